//! Peers that ask and never read, or stall an exchange: memory stays bounded, reading stops.

use crate::support::take_output;
use sterna_ssh_proto::limits::{HELD_LEN_MAX, OUTPUT_LEN_HARD_MAX, PACKET_LEN_MAX};
use sterna_ssh_proto::{Error, PeerError};
use sterna_sshwire::put_string;
use sterna_testkit::{Pair, PairConfig};

fn ping(len: usize) -> Vec<u8> {
    let mut out = vec![192];
    put_string(&mut out, &vec![b'p'; len]);
    out
}

/// `count` times `payload` at a server whose client takes nothing. Returns the pair, what of the
/// flood the server would not read, and the most that waited for the socket.
fn flood(payload: &[u8], count: usize) -> (Pair, Vec<u8>, usize) {
    let (mut pair, _) = Pair::connected(PairConfig::new(1));
    let now = pair.clock.now();
    let mut left = Vec::new();
    for _ in 0..count {
        pair.client.connection.inject(payload, &mut pair.client.output);
        left.extend(take_output(&mut pair.client));
    }
    let mut peak = 0;
    while !left.is_empty() && pair.server.connection.wants_input(&pair.server.output) {
        let len = left.len().min(16 * 1024);
        pair.server.feed(&left[..len]);
        left.drain(..len);
        pair.server.run(now);
        peak = peak.max(pair.server.output.len());
    }
    (pair, left, peak)
}

#[test]
fn a_peer_that_pings_and_never_reads_fills_one_output_buffer() {
    let (mut pair, mut left, peak) = flood(&ping(32_000), 200);

    assert!(peak <= OUTPUT_LEN_HARD_MAX + PACKET_LEN_MAX, "{peak}");
    assert!(!left.is_empty(), "reading stopped");
    assert!(!pair.server.connection.wants_input(&pair.server.output));
    assert_eq!(pair.server.error, None);

    // As soon as the peer reads, everything goes on, and nothing was lost.
    let now = pair.clock.now();
    let mut answered = 0;
    for _ in 0..1000 {
        answered += take_output(&mut pair.server).len();
        let len = left.len().min(64 * 1024);
        pair.server.feed(&left[..len]);
        left.drain(..len);
        pair.server.run(now);
    }
    assert!(answered > 200 * 32_000, "{answered}");
}

#[test]
fn requests_of_every_kind_by_a_peer_that_never_reads_are_bounded() {
    let mut global = vec![80];
    put_string(&mut global, b"keepalive@openssh.com");
    global.push(1);
    let mut channel = vec![98, 0, 0, 0, 0];
    put_string(&mut channel, b"keepalive@openssh.com");
    channel.push(1);
    let mut open = vec![90];
    put_string(&mut open, b"direct-tcpip");
    open.extend_from_slice(&[0; 12]);
    for payload in [&global[..], &channel, &open, &[250]] {
        let (pair, left, peak) = flood(payload, 60_000);

        assert!(peak <= OUTPUT_LEN_HARD_MAX + PACKET_LEN_MAX, "{peak}");
        assert!(!left.is_empty(), "reading stopped at {}", payload[0]);
        assert_eq!(pair.server.error, None);
    }
}

/// Goal: what is held back until new keys counts as it will be sent, small answers included.
/// Method: the server begins an exchange, the client goes on asking and never answers it.
#[test]
fn small_requests_during_a_stalled_exchange_end_at_the_bound_of_what_they_cost() {
    for payload in [ping(1000), vec![250], vec![80, 0, 0, 0, 1, b'x', 1]] {
        let (mut pair, _) = Pair::connected(PairConfig::new(2));
        let now = pair.clock.now();
        pair.server.connection.start_rekey(now, &mut pair.server.output);
        take_output(&mut pair.server);
        let mut asked = 0;
        while pair.server.error.is_none() && asked < 20_000 {
            pair.client.connection.inject(&payload, &mut pair.client.output);
            let bytes = take_output(&mut pair.client);
            pair.server.feed(&bytes);
            pair.server.run(now);
            asked += 1;
        }

        assert_eq!(pair.server.error, Some(Error::Peer(PeerError::Flood)), "{}", payload[0]);
        assert!(pair.server.output.len() < HELD_LEN_MAX, "one DISCONNECT");
    }
}

#[test]
fn pings_before_login_end_the_connection() {
    let mut pair = crate::support::before_login(PairConfig::new(3));
    crate::support::client_says(&mut pair, &ping(32_000));
    assert_eq!(pair.server.error, Some(Error::Peer(PeerError::OutOfPhase(192))));
}
