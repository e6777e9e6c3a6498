//! Channels: credit, closing in every order, what a hostile peer may try.

use sterna_ssh_proto::{Error, PeerError};
use sterna_testkit::{Pair, PairConfig};

/// Goal: nobody gets through our server to another host, and the session goes on.
#[test]
fn a_connection_through_the_server_is_refused_and_harms_nothing() {
    let (mut pair, channel) = Pair::connected(PairConfig::new(12));
    let client = &mut pair.client;

    let long = "h".repeat(256);
    assert!(client.connection.open_direct_tcpip(&long, 22, &mut client.output).is_none());
    let tunnel = client.connection.open_direct_tcpip("10.0.0.1", 22, &mut client.output).unwrap();
    pair.run_until_idle();

    assert!(pair.client.has("open-failed 1"), "administratively prohibited: {:?}", pair.client.log);
    pair.client.write(channel, b"still here");
    pair.run_until_idle();
    assert_eq!(pair.server.received[&channel], b"still here");
    assert_eq!(pair.open_subsystem(), tunnel, "the number is free again");
}

/// Goal: a reader that stops costs one window and stops only its own sender.
#[test]
fn a_slow_reader_holds_one_window_and_no_other_channel() {
    let (mut pair, stalled) = Pair::connected(PairConfig::new(1));
    let other = pair.open_subsystem();
    pair.server.consumes = false;
    pair.client.write(stalled, &vec![1; 8 << 20]);
    pair.run_until_idle();
    let held = pair.server.received[&stalled].len();
    assert_eq!(held, 2 << 20);

    pair.server.consumes = true;
    pair.client.write(other, &[2; 100_000]);
    pair.run_until_idle();

    assert_eq!(pair.server.received[&other].len(), 100_000);
    assert_eq!(pair.server.received[&stalled].len(), held, "no credit, no data");
}

#[test]
fn eof_leaves_the_other_direction_open_and_close_frees_the_number() {
    let (mut pair, channel) = Pair::connected(PairConfig::new(2));

    pair.client.connection.send_eof(channel, &mut pair.client.output);
    pair.run_until_idle();
    pair.server.write(channel, b"last words");
    pair.run_until_idle();
    let server = &mut pair.server;
    server.connection.send_exit_status(channel, 3, &mut server.output);
    server.connection.send_eof(channel, &mut server.output);
    server.connection.close(channel, &mut server.output);
    pair.run_until_idle();

    assert_eq!(pair.client.received[&channel], b"last words");
    let tail: Vec<_> = pair.client.log.iter().rev().take(3).rev().cloned().collect();
    assert_eq!(tail, ["exit-status 3", "eof", "closed"]);
    assert!(pair.server.has("closed"));
    assert_eq!(pair.open_subsystem(), channel, "the number is free again");
}

#[test]
fn standard_error_never_uses_up_the_window() {
    let (mut pair, channel) = Pair::connected(PairConfig::new(11));
    let mut sent = 0;
    while sent < 5 << 20 {
        let server = &mut pair.server;
        let taken = server.connection.send_stderr(channel, &[b'e'; 32_768], &mut server.output);
        assert!(taken > 0, "stuck after {sent} bytes");
        sent += taken;
        pair.run_until_idle();
    }

    assert!(pair.client.has("stderr"));
}

#[test]
fn both_sides_may_close_at_once() {
    let (mut pair, channel) = Pair::connected(PairConfig::new(3));

    pair.client.connection.close(channel, &mut pair.client.output);
    pair.server.connection.close(channel, &mut pair.server.output);
    pair.run_until_idle();

    assert!(pair.client.has("closed") && pair.server.has("closed"));
    assert_eq!((&pair.client.error, &pair.server.error), (&None, &None));
}

#[test]
fn channels_beyond_the_bound_are_refused_and_the_rest_lives() {
    let mut config = PairConfig::new(4);
    config.server.channels_max = 2;
    let (mut pair, first) = Pair::connected(config);
    pair.open_subsystem();

    let client = &mut pair.client;
    client.connection.open_session(&mut client.output).unwrap();
    pair.run_until_idle();

    assert!(pair.client.has("open-failed 4"));
    pair.client.write(first, b"still works");
    pair.run_until_idle();
    assert_eq!(pair.server.received[&first], b"still works");
}

#[test]
fn a_second_subsystem_or_shell_on_one_channel_is_refused() {
    let (mut pair, channel) = Pair::connected(PairConfig::new(5));

    pair.client.connection.request_subsystem(channel, "sftp", &mut pair.client.output);
    pair.run_until_idle();

    assert!(pair.client.has("request-done false"));
}

/// What a client may try on a logged-in connection, and how it ends.
fn server_error_after(payload: &[u8]) -> Option<Error> {
    let (mut pair, _) = Pair::connected(PairConfig::new(6));
    pair.client.connection.inject(payload, &mut pair.client.output);
    pair.run_until_idle();
    pair.server.error
}

#[test]
fn messages_for_channels_that_are_not_open_end_the_connection() {
    for number in [91u8, 93, 94, 95, 96, 97, 98] {
        let mut payload = vec![number, 0, 0, 0, 7];
        payload.extend_from_slice(&[0; 12]);
        payload.truncate(match number {
            93 => 9,
            94 => 9,
            95 => 13,
            96 | 97 => 5,
            98 => 10,
            _ => 17,
        });
        assert_eq!(
            server_error_after(&payload),
            Some(Error::Peer(PeerError::NoSuchChannel)),
            "{number}"
        );
    }
}

#[test]
fn window_overflow_ends_the_connection_without_a_panic() {
    let payload = [93, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff];
    assert_eq!(server_error_after(&payload), Some(Error::Peer(PeerError::WindowOverflow)));
}

#[test]
fn more_data_than_the_window_ends_the_connection() {
    let (mut pair, _) = Pair::connected(PairConfig::new(7));
    pair.server.consumes = false;
    let mut payload = vec![94, 0, 0, 0, 0];
    payload.extend_from_slice(&(200_000u32).to_be_bytes());
    payload.extend_from_slice(&vec![0; 200_000]);
    for _ in 0..11 {
        pair.client.connection.inject(&payload, &mut pair.client.output);
    }
    pair.run_until_idle();
    assert_eq!(pair.server.error, Some(Error::Peer(PeerError::WindowExceeded)));
}

#[test]
fn unknown_messages_are_answered_and_the_session_lives() {
    let (mut pair, channel) = Pair::connected(PairConfig::new(8));
    for number in [42u8, 79, 101, 250] {
        pair.client.connection.inject(&[number, 1, 2, 3], &mut pair.client.output);
    }
    pair.client.write(channel, b"alive");
    pair.run_until_idle();

    assert_eq!(pair.server.received[&channel], b"alive");
    assert_eq!(pair.server.error, None);
}

#[test]
fn a_client_refuses_channels_that_the_server_opens() {
    let (mut pair, channel) = Pair::connected(PairConfig::new(9));
    let mut open = vec![90, 0, 0, 0, 7];
    open.extend_from_slice(b"session");
    open.extend_from_slice(&[0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 128, 0]);
    pair.server.connection.inject(&open, &mut pair.server.output);
    pair.run_until_idle();

    assert_eq!(pair.client.error, None);
    assert!(!pair.client.opened.iter().any(|c| *c != channel));
}

/// The last message in every phase: nothing of a later phase has an effect before login.
#[test]
fn messages_before_login_end_the_connection() {
    for payload in [
        &[90, 0, 0, 0, 7, b's', b'e', b's', b's', b'i', b'o', b'n', 0, 0, 0, 0][..],
        &[52],
        &[80, 0, 0, 0, 1, b'x', 1],
        &[94, 0, 0, 0, 0, 0, 0, 0, 0],
        &[192, 0, 0, 0, 0],
    ] {
        let mut config = PairConfig::new(10);
        config.password = b"right".to_vec();
        let mut pair = Pair::new(config);
        pair.client.stop_before_login();
        pair.run_until_idle();
        pair.client.connection.inject(payload, &mut pair.client.output);
        pair.run_until_idle();

        let number = payload[0];
        assert_eq!(pair.server.error, Some(Error::Peer(PeerError::OutOfPhase(number))));
        assert!(pair.server.opened.is_empty() && !pair.server.has("authenticated"));
    }
}
