//! Keys change while data flows: nothing is lost, nothing is sent early (RFC 4253 §9).

use std::time::Duration;

use sterna_ssh_proto::limits::{KEX_STALL_MAX, KEX_TIME_MAX};
use sterna_ssh_proto::{Deadline, Error};
use sterna_testkit::{Link, Pair, PairConfig, Seed};

/// Goal: bytes survive any number of key exchanges, started by either side or both at once.
/// Method: tiny limits on both sides, both directions busy, odd chunks, delay; compare all bytes.
#[test]
fn data_both_ways_survives_constant_rekeying() {
    for seed in 0..4 {
        let mut config = PairConfig::new(seed);
        config.client.common.rekey_bytes = 50_000;
        config.server.common.rekey_bytes = 70_000;
        config.to_server = Link::new(Duration::from_millis(5), 5_000, seed);
        config.to_client = Link::new(Duration::from_millis(5), 5_000, seed + 1);
        let (mut pair, channel) = Pair::connected(config);
        let up = Seed::new(seed).bytes(1_000_000);
        let down = Seed::new(seed + 9).bytes(1_500_000);

        pair.client.write(channel, &up);
        pair.server.write(channel, &down);
        pair.run_until_idle();

        assert!(pair.server.received[&channel] == up, "seed {seed}: {:?}", pair.server.error);
        assert!(pair.client.received[&channel] == down, "seed {seed}: {:?}", pair.client.error);
        assert!(pair.client.connection.exchanges_done() > 5, "seed {seed}");
    }
}

/// Goal: the sender of much data pauses for one round trip, because the receiver asks for new keys.
/// Method: fewer bytes than a sender renews its keys after, and more than a receiver does.
#[test]
fn the_receiver_of_much_renews_the_keys_before_the_sender_has_to() {
    let mut config = PairConfig::new(9);
    (config.client.common.rekey_bytes, config.server.common.rekey_bytes) = (4 << 20, 4 << 20);
    let (mut pair, channel) = Pair::connected(config);
    assert_eq!(pair.client.connection.exchanges_done(), 1);

    pair.client.write(channel, &vec![7; (4 << 20) - (300 << 10)]);
    pair.run_until_idle();

    assert_eq!(pair.client.connection.exchanges_done(), 2);
    assert_eq!(pair.server.received[&channel].len(), (4 << 20) - (300 << 10));
}

#[test]
fn data_written_during_an_exchange_arrives_once_and_after_it() {
    let mut config = PairConfig::new(7);
    (config.to_server, config.to_client) = (Link::slow(), Link::slow());
    let (mut pair, channel) = Pair::connected(config);

    let client = &mut pair.client;
    client.connection.start_rekey(pair.clock.now(), &mut client.output);
    assert_eq!(client.connection.sendable(channel, &client.output), 0);
    client.write(channel, &[0xAB; 32_768]);
    pair.run_until_idle();

    assert_eq!(pair.server.received[&channel], [0xAB; 32_768]);
    assert_eq!(pair.client.connection.exchanges_done(), 2);
}

/// Goal: new keys do not cost a slow reader its session, and a peer that does nothing about them goes.
/// Method: the server's KEXINIT stays on its way for minutes, while the client sends now and then.
#[test]
fn an_exchange_may_last_while_the_peer_moves_and_not_when_it_stands_still() {
    let (mut pair, channel) = Pair::connected(PairConfig::new(7));
    let ask_for_new_keys = |pair: &mut Pair| {
        let server = &mut pair.server;
        server.connection.start_rekey(pair.clock.now(), &mut server.output);
        let asked = server.output.pending().to_vec();
        server.output.consume(asked.len());
        asked
    };
    let asked = ask_for_new_keys(&mut pair);
    for _ in 0..3 {
        pair.clock.advance(KEX_STALL_MAX * 9 / 10);
        pair.client.write(channel, b"still reading");
        pair.run_until_idle();
        assert_eq!(pair.server.error, None);
    }
    pair.client.feed(&asked);
    pair.run_until_idle();
    assert_eq!(pair.server.connection.exchanges_done(), 2);

    ask_for_new_keys(&mut pair);
    pair.clock.advance(KEX_STALL_MAX);
    pair.run_until_idle();
    assert_eq!(pair.server.error, Some(Error::TimedOut(Deadline::KeyExchange)));
}

/// Goal: what waits to be sent moves, or it does not. And nobody is exchanged with for ever.
#[test]
fn an_exchange_may_last_while_what_waits_is_taken_and_an_hour_at_most() {
    let (mut pair, channel) = Pair::connected(PairConfig::new(7));
    let server = &mut pair.server;
    server.write(channel, &[1; 100_000]);
    server.run(pair.clock.now());
    server.connection.start_rekey(pair.clock.now(), &mut server.output);
    let began = pair.clock.now();
    let mut ended = None;
    while ended.is_none() {
        pair.clock.advance(KEX_STALL_MAX);
        server.output.consume(1);
        server.run(pair.clock.now());
        ended = server.error.clone();
    }
    assert_eq!(ended, Some(Error::TimedOut(Deadline::KeyExchange)));
    assert_eq!(pair.clock.now() - began, KEX_TIME_MAX);

    let (mut pair, channel) = Pair::connected(PairConfig::new(7));
    let server = &mut pair.server;
    server.write(channel, &[1; 100_000]);
    server.run(pair.clock.now());
    server.connection.start_rekey(pair.clock.now(), &mut server.output);
    for expected in [None, Some(Error::TimedOut(Deadline::KeyExchange))] {
        pair.clock.advance(KEX_STALL_MAX);
        server.run(pair.clock.now());
        assert_eq!(server.error, expected);
    }
}

#[test]
fn the_clock_alone_renews_keys() {
    let mut config = PairConfig::new(8);
    config.server.common.rekey_time = Duration::from_secs(60);
    let (mut pair, channel) = Pair::connected(config);

    pair.run_next_timer();
    pair.client.write(channel, b"still here");
    pair.run_until_idle();

    assert_eq!(pair.server.connection.exchanges_done(), 2);
    assert_eq!(pair.server.received[&channel], b"still here");
}

#[test]
fn the_session_id_stays_when_the_hash_changes_its_size() {
    let mut config = PairConfig::new(9);
    config.client.common.algorithms.kex =
        vec!["diffie-hellman-group16-sha512".to_owned(), "curve25519-sha256".to_owned()];
    let (mut pair, channel) = Pair::connected(config);
    let id = pair.client.connection.session_id().to_vec();

    for _ in 0..3 {
        pair.client.connection.start_rekey(pair.clock.now(), &mut pair.client.output);
        pair.run_until_idle();
    }
    pair.client.write(channel, b"x");
    pair.run_until_idle();

    assert_eq!(pair.client.connection.session_id(), id);
    assert_eq!(pair.server.received[&channel], b"x");
}

#[test]
fn a_peer_that_stalls_the_exchange_is_cut_off() {
    let (mut pair, _) = Pair::connected(PairConfig::new(10));
    pair.to_server.cut_after(0);
    pair.server.connection.start_rekey(pair.clock.now(), &mut pair.server.output);
    pair.run_until_idle();

    pair.run_next_timer();

    assert!(pair.server.error.is_some());
}
