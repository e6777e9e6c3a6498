//! The first exchange under attack: strict rules, messages that do not belong, wrong guesses.

use std::time::Instant;

use crate::support::{clear_packet, feed, take_output, version_and_kexinit};
use sterna_ssh_proto::{Error, PeerError};
use sterna_testkit::{Pair, PairConfig, Side};

/// A pair of which nothing was sent yet, with each side's version line and KEXINIT in the hand.
struct Start {
    pair: Pair,
    now: Instant,
    client_line: Vec<u8>,
    client_kexinit: Vec<u8>,
    server_line: Vec<u8>,
    server_kexinit: Vec<u8>,
}

fn start() -> Start {
    let mut config = PairConfig::new(1);
    config.client.common.algorithms.kex = vec!["curve25519-sha256".to_owned()];
    let mut pair = Pair::new(config);
    let (client_line, client_kexinit) = version_and_kexinit(&mut pair.client);
    let (server_line, server_kexinit) = version_and_kexinit(&mut pair.server);
    let now = pair.clock.now();
    Start { pair, now, client_line, client_kexinit, server_line, server_kexinit }
}

/// Takes the strict exchange's marker out of a KEXINIT, as an old peer would send it.
fn without_marker(kexinit: &[u8]) -> Vec<u8> {
    let mut old = kexinit.to_vec();
    let at = old.windows(11).position(|w| w == b"kex-strict-").unwrap();
    old[at..at + 3].copy_from_slice(b"old");
    old
}

fn hear(side: &mut Side, now: Instant, line: &[u8], payloads: &[&[u8]]) -> Option<Error> {
    let packets = payloads.iter().flat_map(|p| clear_packet(p));
    let bytes: Vec<u8> = line.iter().copied().chain(packets).collect();
    feed(side, now, &bytes)
}

const IGNORE: &[u8] = &[2, 0, 0, 0, 1, b'x'];

#[test]
fn anything_before_a_strict_kexinit_is_refused_and_before_an_old_one_it_is_not() {
    let debug: &[u8] = &[4, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    let unimplemented: &[u8] = &[3, 0, 0, 0, 0];
    for early in [IGNORE, debug, unimplemented] {
        let mut s = start();
        let kexinit = s.client_kexinit.clone();
        let error = hear(&mut s.pair.server, s.now, &s.client_line, &[early, &kexinit]);
        assert_eq!(error, Some(Error::Peer(PeerError::StrictKexBroken)));

        let mut s = start();
        let kexinit = s.server_kexinit.clone();
        let error = hear(&mut s.pair.client, s.now, &s.server_line, &[early, &kexinit]);
        assert_eq!(error, Some(Error::Peer(PeerError::StrictKexBroken)));

        let mut s = start();
        let kexinit = without_marker(&s.client_kexinit);
        let error = hear(&mut s.pair.server, s.now, &s.client_line, &[early, &kexinit, early]);
        assert_eq!(error, None);
    }
}

/// STR-3, STR-5: every number at the point between KEXINIT and the method's first message.
#[test]
fn every_number_behind_kexinit_is_refused_but_disconnect() {
    for number in 0..=255u8 {
        for (strict, server) in [(true, true), (true, false), (false, true), (false, false)] {
            let mut s = start();
            let (side, line, kexinit) = if server {
                (&mut s.pair.server, &s.client_line, &s.client_kexinit)
            } else {
                (&mut s.pair.client, &s.server_line, &s.server_kexinit)
            };
            let kexinit = if strict { kexinit.clone() } else { without_marker(kexinit) };
            let message = [number, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

            let error = hear(side, s.now, line, &[&kexinit, &message]);

            let tolerated = number == 1 || !strict && (2..=4).contains(&number);
            assert_eq!(error.is_none(), tolerated, "{number} strict {strict} server {server}");
            assert!(!side.has("auth-request") && !side.has("authenticated"));
        }
    }
}

/// The same between the server's NEWKEYS and the client's, where the server waits for one message.
#[test]
fn every_number_before_the_clients_new_keys_is_refused_but_disconnect() {
    for number in 0..=255u8 {
        let mut s = start();
        let (client, server) = (&mut s.pair.client, &mut s.pair.server);
        let init = {
            assert_eq!(hear(client, s.now, &s.server_line, &[&s.server_kexinit]), None);
            take_output(client)
        };
        assert_eq!(hear(server, s.now, &s.client_line, &[&s.client_kexinit]), None);
        assert_eq!(feed(server, s.now, &init), None);
        assert!(server.has("sign"));
        let message = [number, 0, 0, 0, 0, 0, 0, 0, 0];

        let error = feed(server, s.now, &clear_packet(&message));

        assert_eq!(error.is_none(), number == 1, "{number}");
    }
}

#[test]
fn a_first_message_twice_is_refused() {
    let mut s = start();
    let (client, server) = (&mut s.pair.client, &mut s.pair.server);
    assert_eq!(hear(client, s.now, &s.server_line, &[&s.server_kexinit]), None);
    let init = take_output(client);
    assert_eq!(hear(server, s.now, &s.client_line, &[&s.client_kexinit]), None);
    assert_eq!(feed(server, s.now, &init), None);
    assert_eq!(feed(server, s.now, &init), Some(Error::Peer(PeerError::OutOfPhase(30))));
}

/// RFC 4253 §7: one packet sent on a wrong guess is dropped, whatever it holds; the next one counts.
#[test]
fn a_wrong_guess_is_ignored_exactly_once() {
    let guess = [30, 1, 2, 3];
    for wrong_guesses in 0..3 {
        let mut s = start();
        let (client, server) = (&mut s.pair.client, &mut s.pair.server);
        let mut kexinit = s.client_kexinit.clone();
        let first_packet_follows = kexinit.len() - 5;
        kexinit[first_packet_follows] = 1;
        assert_eq!(hear(client, s.now, &s.server_line, &[&s.server_kexinit]), None);
        let init = take_output(client);
        let mut payloads: Vec<&[u8]> = vec![&kexinit];
        payloads.extend(std::iter::repeat_n(&guess[..], wrong_guesses));

        let mut error = hear(server, s.now, &s.client_line, &payloads);
        error = error.or_else(|| feed(server, s.now, &init));

        // Without a guess the real message is taken for it, and nothing else comes.
        assert_eq!(error.is_some(), wrong_guesses == 2, "{error:?}");
        assert_eq!(server.has("sign"), wrong_guesses == 1, "{wrong_guesses}");
    }
}
