//! Windows that follow the path: they grow for a long one, for nothing else, and not without bound.

use std::sync::Arc;
use std::time::Duration;

use sterna_ssh_proto::{ChannelId, WindowBudget};
use sterna_testkit::{Link, Pair, PairConfig, Side};

const MIB: usize = 1 << 20;

/// A pair whose links have 50 ms each way.
fn far_apart(seed: u64) -> PairConfig {
    let mut config = PairConfig::new(seed);
    (config.to_server, config.to_client) = (Link::slow(), Link::slow());
    config
}

fn window_len(side: &Side, channel: ChannelId) -> usize {
    side.connection.window_len(channel) as usize
}

/// The window has grown until there was hardly room for more, and never beyond `max`: it grows by what comes
/// in a round trip, and some credit is always on its way.
fn assert_largest(window: usize, max: usize) {
    assert!(window <= max && window >= max / 8 * 7, "{window} of {max}");
}

/// Lets the client send `len` bytes to the server, all consumed as they come. Returns the time it took.
fn upload(pair: &mut Pair, channel: ChannelId, len: usize) -> Duration {
    let begun = pair.clock.now();
    pair.client.write(channel, &vec![7; len]);
    pair.run_until_idle();
    assert_eq!(pair.server.received[&channel].len(), len);
    pair.clock.now() - begun
}

#[test]
fn a_long_path_with_a_consuming_reader_gets_the_largest_window_there_is() {
    let (mut pair, channel) = Pair::connected(far_apart(1));

    let time = upload(&mut pair, channel, 100 * MIB);

    assert_largest(window_len(&pair.server, channel), 32 * MIB);
    // 2 MiB in a round trip would take five seconds.
    assert!(time < Duration::from_millis(2500), "{time:?}");
}

#[test]
fn downloads_grow_the_clients_window_in_the_same_way() {
    let (mut pair, channel) = Pair::connected(far_apart(2));

    pair.server.write(channel, &vec![7; 100 * MIB]);
    pair.run_until_idle();

    assert_eq!(pair.client.received[&channel].len(), 100 * MIB);
    assert_largest(window_len(&pair.client, channel), 32 * MIB);
    assert_eq!(window_len(&pair.server, channel), 2 * MIB, "nothing came this way");
}

#[test]
fn peers_that_are_not_sterna_get_no_more_than_openssh_bears() {
    let mut config = far_apart(3);
    config.client.common.software_version = "OpenSSH_9.2p1".to_owned();
    let (mut pair, channel) = Pair::connected(config);

    upload(&mut pair, channel, 100 * MIB);

    assert_largest(window_len(&pair.server, channel), 15 * MIB);
}

#[test]
fn a_short_path_needs_no_more_than_it_begins_with() {
    let (mut pair, channel) = Pair::connected(PairConfig::new(4));

    upload(&mut pair, channel, 100 * MIB);

    assert_eq!(window_len(&pair.server, channel), 2 * MIB);
}

/// Goal: a reader that is slower than the path never has more waiting than the first window.
/// Method: it takes 256 KiB each second of a path that could bring 20 MiB.
#[test]
fn a_slow_reader_makes_no_window_grow() {
    let (mut pair, channel) = Pair::connected(far_apart(5));
    pair.server.consumes = false;
    pair.client.write(channel, &vec![7; 20 * MIB]);
    let mut consumed = 0;
    for _ in 0..60 {
        pair.run_until_idle();
        let waiting = pair.server.received[&channel].len() - consumed;
        assert!(waiting <= 2 * MIB, "{waiting}");
        pair.clock.advance(Duration::from_secs(1));
        let (now, server) = (pair.clock.now(), &mut pair.server);
        server.connection.handle_timeout(now, &mut server.output).unwrap();
        for _ in 0..8 {
            server.connection.consume(channel, 32 * 1024, &mut server.output);
        }
        consumed += 8 * 32 * 1024;
    }

    assert_eq!(window_len(&pair.server, channel), 2 * MIB);
    assert!(consumed <= pair.server.received[&channel].len(), "the peer could go on");
}

/// Goal: what a peer holds of our credit and what we hold of its bytes is never more than the window.
#[test]
fn credit_and_unconsumed_bytes_together_never_exceed_the_window() {
    let (mut pair, channel) = Pair::connected(far_apart(6));
    upload(&mut pair, channel, 50 * MIB);
    let window = window_len(&pair.server, channel);
    assert!(window > 2 * MIB);

    pair.server.consumes = false;
    pair.client.write(channel, &vec![7; 60 * MIB]);
    pair.run_until_idle();

    let waiting = pair.server.received[&channel].len() - 50 * MIB;
    assert!(waiting <= window, "{waiting} in a window of {window}");
    // Credit is given back in steps.
    assert!(waiting + MIB / 4 > window, "{waiting} of {window}");
}

#[test]
fn the_windows_of_all_connections_grow_out_of_one_budget() {
    let budget = Arc::new(WindowBudget::new(40 << 20));
    let mut connections = Vec::new();
    let mut grown = 0;
    for seed in 10..16 {
        let mut config = far_apart(seed);
        config.server.common.window_budget = Arc::clone(&budget);
        let (mut pair, channel) = Pair::connected(config);
        upload(&mut pair, channel, 60 * MIB);
        grown += window_len(&pair.server, channel) - 2 * MIB;
        connections.push((pair, channel));
    }
    assert_eq!(grown as u64 + budget.left(), 40 << 20);
    assert!(budget.left() > 0, "there is something for the next one");

    let (mut pair, channel) = connections.pop().unwrap();
    let back = budget.left() + window_len(&pair.server, channel) as u64 - (2 << 20);
    pair.client.connection.close(channel, &mut pair.client.output);
    let server = &mut pair.server;
    server.connection.close(channel, &mut server.output);
    pair.run_until_idle();
    assert_eq!(budget.left(), back, "a channel that is gone gives back");
    drop((pair, connections));
    assert_eq!(budget.left(), 40 << 20);
}

/// Goal: a peer cannot talk a window larger.
/// Method: it answers what it was not asked, asks much, and closes late; only bytes that it sent over a
/// long way and that were consumed count.
#[test]
fn words_without_bytes_make_no_window_grow() {
    let (mut pair, channel) = Pair::connected(far_apart(7));
    for _ in 0..200 {
        let client = &mut pair.client;
        // SUCCESS, a request of no meaning, and credit for the server.
        client.connection.inject(&[99, 0, 0, 0, 0], &mut client.output);
        client.connection.inject(&[93, 0, 0, 0, 0, 0, 0, 1, 0], &mut client.output);
        let mut request = vec![98, 0, 0, 0, 0, 0, 0, 0, 1, b'x'];
        request.push(1);
        client.connection.inject(&request, &mut client.output);
        pair.run_until_idle();
        // Bytes that nobody sent are reported as consumed.
        let server = &mut pair.server;
        server.connection.consume(channel, 32 * MIB, &mut server.output);
    }

    assert_eq!(window_len(&pair.server, channel), 2 * MIB);
}
