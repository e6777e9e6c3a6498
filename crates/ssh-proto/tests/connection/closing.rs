//! The end of channels: what a peer may say in which order, and numbers that are used again.

use crate::support::client_says;
use sterna_ssh_proto::messages::channel::{
    OpenConfirmation, encode_close, encode_eof, encode_window_adjust,
};
use sterna_ssh_proto::{Error, PeerError};
use sterna_testkit::{Pair, PairConfig, Seed};

fn data(len: usize) -> Vec<u8> {
    let mut out = vec![94, 0, 0, 0, 0];
    out.extend_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
    out.resize(out.len() + len, b'd');
    out
}

fn built(build: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::new();
    build(&mut out);
    out
}

/// CHN-7. Goal: every order of a channel's last words has one defined end, and none has another.
/// Method: all orders of data, EOF, CLOSE, an adjustment and a request, against the rule by hand.
#[test]
fn last_words_in_every_order_end_as_the_rules_say() {
    let words = [
        data(3),
        built(|p| encode_eof(p, 0)),
        built(|p| encode_close(p, 0)),
        built(|p| encode_window_adjust(p, 0, 1)),
        [&[98, 0, 0, 0, 0, 0, 0, 0, 1, b'x'][..], &[1]].concat(),
    ];
    for order in permutations(words.len()) {
        let (mut pair, channel) = Pair::connected(PairConfig::new(1));
        let place = |word: usize| order.iter().position(|w| *w == word).unwrap();
        let (data_at, eof_at, close_at) = (place(0), place(1), place(2));
        let expected = if eof_at < data_at && data_at < close_at {
            Some(PeerError::WindowExceeded)
        } else if close_at + 1 < words.len() {
            // Whatever comes behind CLOSE names a channel that is not open.
            Some(PeerError::NoSuchChannel)
        } else {
            None
        };

        for word in &order {
            client_says(&mut pair, &words[*word]);
        }

        assert_eq!(pair.server.error, expected.map(Error::Peer), "{order:?}");
        if data_at < close_at && data_at < eof_at {
            assert_eq!(pair.server.received[&channel], b"ddd", "{order:?}");
        } else {
            assert!(!pair.server.received.contains_key(&channel), "{order:?}");
        }
    }
}

fn permutations(len: usize) -> Vec<Vec<usize>> {
    if len == 0 {
        return vec![vec![]];
    }
    let shorter = permutations(len - 1);
    let insert = |p: &Vec<usize>, at: usize| {
        let mut longer = p.clone();
        longer.insert(at, len - 1);
        longer
    };
    shorter.iter().flat_map(|p| (0..len).map(move |at| insert(p, at))).collect()
}

/// The same words after *we* closed: the peer did not know yet, so nothing of it is a fault.
#[test]
fn whatever_crosses_our_close_is_dropped_in_silence() {
    let (mut pair, channel) = Pair::connected(PairConfig::new(2));
    let server = &mut pair.server;
    server.connection.close(channel, &mut server.output);
    let sent = pair.to_client.passed();
    for word in [
        data(100),
        built(|p| encode_window_adjust(p, 0, 1)),
        [&[98, 0, 0, 0, 0, 0, 0, 0, 1, b'x'][..], &[1]].concat(),
        built(|p| encode_eof(p, 0)),
    ] {
        pair.to_client.cut_after(0);
        pair.client.connection.inject(&word, &mut pair.client.output);
    }
    pair.run_until_idle();

    assert_eq!(pair.server.error, None);
    assert!(!pair.server.received.contains_key(&channel) && !pair.server.has("eof"));
    assert_eq!(pair.to_client.passed(), sent, "no request is answered");
}

#[test]
fn channels_opened_and_closed_for_ever_use_the_same_numbers() {
    let (mut pair, first) = Pair::connected(PairConfig::new(3));
    for round in 0..200 {
        let channel = pair.open_subsystem();
        pair.client.write(channel, b"x");
        pair.run_until_idle();
        assert_eq!(pair.server.received.remove(&channel).unwrap(), b"x");
        let (closer, other) = if round % 2 == 0 {
            (&mut pair.client, &pair.server)
        } else {
            (&mut pair.server, &pair.client)
        };
        assert!(other.error.is_none());
        closer.connection.close(channel, &mut closer.output);
        pair.run_until_idle();
        assert_ne!(channel, first);
        assert_eq!(channel.number(), 1);
    }
}

/// A server that lets us send one byte at a time, or packets of one byte.
#[test]
fn the_smallest_windows_and_packets_still_carry_everything() {
    for (window, packet_len_max) in [(1u32, 32_768u32), (1 << 20, 1), (0, 1), (0, u32::MAX)] {
        let mut pair = Pair::new(PairConfig::new(4));
        pair.run_until_idle();
        pair.to_server.cut_after(0);
        let client = &mut pair.client;
        let channel = client.connection.open_session(&mut client.output).unwrap();
        let answer = OpenConfirmation { recipient: 0, sender: 5, window, packet_len_max };
        crate::support::server_says(&mut pair, &built(|p| answer.encode(p)));
        let text = Seed::new(5).bytes(300);
        pair.client.write(channel, &text);
        pair.run_until_idle();
        for _ in 0..300 {
            crate::support::server_says(&mut pair, &built(|p| encode_window_adjust(p, 0, 1)));
        }
        assert_eq!(pair.client.unsent(), 0, "{window} {packet_len_max}");
        assert_eq!(pair.client.error, None);
    }
}

#[test]
fn a_server_that_allows_no_packet_is_never_sent_to_and_nobody_spins() {
    let mut pair = Pair::new(PairConfig::new(6));
    pair.run_until_idle();
    pair.to_server.cut_after(0);
    let client = &mut pair.client;
    let channel = client.connection.open_session(&mut client.output).unwrap();
    let answer = OpenConfirmation { recipient: 0, sender: 5, window: u32::MAX, packet_len_max: 0 };
    crate::support::server_says(&mut pair, &built(|p| answer.encode(p)));
    pair.client.write(channel, b"never");
    pair.run_until_idle();

    assert_eq!((pair.client.unsent(), &pair.client.error), (5, &None));
}

#[test]
fn a_second_confirmation_ends_the_connection() {
    let (mut pair, _) = Pair::connected(PairConfig::new(7));
    let answer = OpenConfirmation { recipient: 0, sender: 5, window: 1, packet_len_max: 1 };
    crate::support::server_says(&mut pair, &built(|p| answer.encode(p)));
    assert_eq!(pair.client.error, Some(Error::Peer(PeerError::NoSuchChannel)));
}
