//! Global requests under attack: keep-alive, announcement of host keys and their proof.

use std::time::Duration;

use crate::support::{client_says, server_says};
use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom};
use sterna_ssh_proto::messages::global::{
    HOST_KEYS, HOST_KEYS_PROVE, encode_request, encode_success, prove_bytes,
};
use sterna_ssh_proto::{Error, PeerError};
use sterna_sshwire::put_string;
use sterna_testkit::{Pair, PairConfig};

fn ed25519() -> PrivateKey {
    PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap()
}

fn proofs(pair: &Pair) -> Vec<&str> {
    let log = pair.client.log.iter();
    log.filter_map(|entry| entry.strip_prefix("host-keys-proved ")).collect()
}

#[test]
fn both_sides_answer_each_others_keepalives_for_ever() {
    let mut config = PairConfig::new(1);
    config.client.common.keepalive = Some(Duration::from_secs(10));
    config.server.common.keepalive = Some(Duration::from_secs(17));
    let (mut pair, channel) = Pair::connected(config);

    for _ in 0..200 {
        pair.run_next_timer();
    }
    pair.client.write(channel, b"alive");
    pair.run_until_idle();

    assert_eq!((&pair.client.error, &pair.server.error), (&None, &None));
    assert_eq!(pair.server.received[&channel], b"alive");
}

#[test]
fn requests_of_other_makes_are_answered_and_harmless() {
    let (mut pair, channel) = Pair::connected(PairConfig::new(2));
    for name in ["keepalive@libssh2.org", "keep-alive@bitvise.com", "tcpip-forward", ""] {
        let mut request = Vec::new();
        encode_request(&mut request, name, true, &[]);
        request.extend_from_slice(b"fields of its own");
        let before = pair.to_client.passed();
        pair.client.connection.inject(&request, &mut pair.client.output);
        pair.run_until_idle();
        assert!(pair.to_client.passed() > before, "{name} is answered");
    }
    let mut unanswered = Vec::new();
    encode_request(&mut unanswered, "keepalive@openssh.com", false, &[]);
    let before = pair.to_client.passed();
    pair.client.connection.inject(&unanswered, &mut pair.client.output);
    pair.run_until_idle();
    assert_eq!(pair.to_client.passed(), before, "no answer was wanted");

    pair.client.write(channel, b"alive");
    pair.run_until_idle();
    assert_eq!(pair.server.received[&channel], b"alive");
}

/// CVE-2026-39830 in another implementation: a surplus answer blocked everything behind it.
#[test]
fn answers_that_nobody_asked_for_are_ignored_on_both_sides() {
    let (mut pair, channel) = Pair::connected(PairConfig::new(3));
    for payload in [&[81][..], &[82], &[81, 1, 2, 3], &[99, 0, 0, 0, 0], &[100, 0, 0, 0, 9]] {
        for _ in 0..50 {
            pair.client.connection.inject(payload, &mut pair.client.output);
            pair.server.connection.inject(payload, &mut pair.server.output);
        }
        pair.run_until_idle();
    }
    pair.client.write(channel, b"up");
    pair.server.write(channel, b"down");
    pair.run_until_idle();

    assert_eq!((&pair.client.error, &pair.server.error), (&None, &None));
    assert_eq!(pair.server.received[&channel], b"up");
    assert_eq!(pair.client.received[&channel], b"down");
}

#[test]
fn a_server_proves_its_own_keys_and_no_others() {
    let mut config = PairConfig::new(4);
    let second = PrivateKey::generate(KeyType::EcdsaP256, &mut SystemRandom).unwrap();
    config.server.host_keys.push(second.public().clone().into());
    config.host_keys.push(second);
    let own: Vec<_> = config.server.host_keys.iter().map(|k| k.to_wire()).collect();
    let foreign = ed25519().public().to_wire();
    let (mut pair, _) = Pair::connected(config);
    assert_eq!(proofs(&pair), ["2"], "after the announcement");

    for keys in [
        vec![own[1].clone()],
        vec![foreign.clone()],
        vec![own[0].clone(), foreign],
        vec![own[1].clone(), own[0].clone()],
        vec![b"no key at all".to_vec()],
    ] {
        pair.client.connection.prove_host_keys(keys, &mut pair.client.output);
    }
    pair.run_until_idle();

    assert_eq!(proofs(&pair), ["2", "1", "0", "0", "2", "0"]);
    assert_eq!(pair.server.error, None);
}

/// A client that waits for a proof of `keys`, which the real server never hears about.
fn waiting_for_proof(keys: &[&PrivateKey]) -> Pair {
    let (mut pair, _) = Pair::connected(PairConfig::new(5));
    assert_eq!(proofs(&pair), ["1"]);
    pair.to_server.cut_after(0);
    let blobs = keys.iter().map(|k| k.public().to_wire()).collect();
    pair.client.connection.prove_host_keys(blobs, &mut pair.client.output);
    pair.run_until_idle();
    pair
}

#[test]
fn one_bad_signature_proves_nothing() {
    let keys = [ed25519(), ed25519()];
    let sign = |key: &PrivateKey, session: &[u8], blob: &[u8]| {
        key.sign("ssh-ed25519", &prove_bytes(session, blob)).unwrap()
    };
    for case in 0..7 {
        let mut pair = waiting_for_proof(&[&keys[0], &keys[1]]);
        let session = pair.client.connection.session_id().to_vec();
        let blobs = keys.each_ref().map(|k| k.public().to_wire());
        let good = [sign(&keys[0], &session, &blobs[0]), sign(&keys[1], &session, &blobs[1])];
        let mut flipped = good[1].clone();
        flipped[50] ^= 1;
        let signatures = match case {
            0 => vec![good[0].clone(), good[1].clone()],
            1 => vec![good[0].clone(), flipped],
            2 => vec![good[1].clone(), good[0].clone()],
            3 => vec![good[0].clone()],
            4 => vec![good[0].clone(), good[1].clone(), good[1].clone()],
            5 => vec![good[0].clone(), sign(&keys[1], b"another session", &blobs[1])],
            _ => vec![good[0].clone(), sign(&keys[0], &session, &blobs[1])],
        };
        let mut reply = Vec::new();
        encode_success(&mut reply, &signatures);

        server_says(&mut pair, &reply);

        assert_eq!(proofs(&pair), ["1", if case == 0 { "2" } else { "0" }], "{case}");
        assert_eq!(pair.client.error, None);
    }
}

#[test]
fn a_refusal_or_a_broken_reply_proves_nothing() {
    for reply in [&[82][..], &[81], &[81, 0, 0, 0, 9, 1], &[81, 0xff, 0xff, 0xff, 0xff]] {
        let mut pair = waiting_for_proof(&[&ed25519()]);
        server_says(&mut pair, reply);
        assert_eq!(proofs(&pair), ["1", "0"], "{reply:?}");
        assert_eq!(pair.client.error, None);
    }
}

/// ROT-2: only the first announcement counts, and one that cannot be read counts as none.
#[test]
fn later_and_broken_announcements_are_ignored() {
    let (mut pair, _) = Pair::connected(PairConfig::new(6));
    let mut again = Vec::new();
    encode_request(&mut again, HOST_KEYS, false, &[ed25519().public().to_wire()]);
    server_says(&mut pair, &again);
    let announced = pair.client.log.iter().filter(|e| *e == "host-keys-announced").count();
    assert_eq!(announced, 1);
    assert_eq!(pair.client.error, None);
}

#[test]
fn a_request_for_proof_that_is_malformed_ends_and_an_empty_one_fails() {
    let (mut pair, _) = Pair::connected(PairConfig::new(7));
    let mut empty = Vec::new();
    encode_request(&mut empty, HOST_KEYS_PROVE, true, &[]);
    client_says(&mut pair, &empty);
    assert_eq!(pair.server.error, None);

    let mut broken = empty.clone();
    broken.extend_from_slice(&[0, 0, 0, 9, 1]);
    client_says(&mut pair, &broken);
    assert!(matches!(pair.server.error, Some(Error::Malformed { .. })));
}

#[test]
fn proofs_of_too_many_keys_are_refused() {
    let (mut pair, _) = Pair::connected(PairConfig::new(8));
    let own = pair.client.connection.host_key().to_vec();
    let mut request = Vec::new();
    encode_request(&mut request, HOST_KEYS_PROVE, true, &vec![own; 33]);
    client_says(&mut pair, &request);
    assert!(matches!(pair.server.error, Some(Error::Malformed { .. })));
}

#[test]
fn a_session_after_no_more_sessions_ends_the_connection() {
    let (mut pair, _) = Pair::connected(PairConfig::new(9));
    let mut promise = vec![80];
    put_string(&mut promise, b"no-more-sessions@openssh.com");
    promise.push(0);
    pair.client.connection.inject(&promise, &mut pair.client.output);
    let client = &mut pair.client;
    client.connection.open_session(&mut client.output).unwrap();
    pair.run_until_idle();
    assert_eq!(pair.server.error, Some(Error::Peer(PeerError::SessionAfterNoMore)));
}
