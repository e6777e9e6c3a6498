//! From the version line to login, between our own two sides.

use std::time::Duration;

use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom, names};
use sterna_ssh_proto::{Deadline, Error, PeerError};
use sterna_testkit::{Link, Pair, PairConfig};

fn one(name: &str) -> Vec<String> {
    vec![name.to_owned()]
}

#[test]
fn every_key_exchange_method_logs_in() {
    for kex in names::KEX_DEFAULT {
        let mut config = PairConfig::new(1);
        config.client.common.algorithms.kex = one(kex);

        let (pair, _) = Pair::connected(config);

        assert!(pair.server.connection.is_open(), "{kex}");
        assert_eq!(pair.client.connection.session_id(), pair.server.connection.session_id());
    }
}

/// Goal: on a long path a login takes no round trip that it does not need.
#[test]
fn the_first_attempt_to_log_in_leaves_with_the_request_for_the_service() {
    const ONE_WAY: Duration = Duration::from_secs(1);
    let mut config = PairConfig::new(1);
    config.to_server = Link::new(ONE_WAY, usize::MAX, 1);
    config.to_client = Link::new(ONE_WAY, usize::MAX, 2);
    let mut pair = Pair::new(config);
    let started = pair.clock.now();

    pair.run_until_idle();

    assert!(pair.client.has("host-keys-proved 1"), "{:?}", pair.client.log);
    // One way for both versions and lists; there and back for the key exchange, "none", the password and
    // the proofs of host keys.
    assert_eq!(pair.clock.now() - started, 9 * ONE_WAY);
}

#[test]
fn every_cipher_and_mac_carries_data_both_ways() {
    for cipher in names::CIPHER_DEFAULT {
        for mac in names::MAC_DEFAULT {
            let mut config = PairConfig::new(2);
            config.client.common.algorithms.kex = one("curve25519-sha256");
            config.client.common.algorithms.ciphers = one(cipher);
            config.server.common.algorithms.macs = one(mac);
            let (mut pair, channel) = Pair::connected(config);

            pair.client.write(channel, &[0xAB; 100_000]);
            pair.server.write(channel, &[0xCD; 70_001]);
            pair.run_until_idle();

            assert_eq!(pair.server.received[&channel], [0xAB; 100_000], "{cipher} {mac}");
            assert_eq!(pair.client.received[&channel], [0xCD; 70_001], "{cipher} {mac}");
        }
    }
}

#[test]
fn every_host_key_type_proves_itself() {
    let types = [
        KeyType::Ed25519,
        KeyType::EcdsaP256,
        KeyType::EcdsaP384,
        KeyType::EcdsaP521,
        KeyType::Rsa { bits: 2048 },
    ];
    for key_type in types {
        let key = PrivateKey::generate(key_type, &mut SystemRandom).unwrap();
        let mut config = PairConfig::new(3);
        config.server.host_keys = vec![key.public().clone().into()];
        config.host_keys = vec![key];

        let (pair, _) = Pair::connected(config);

        assert!(pair.client.has("host-keys-proved 1"), "{key_type:?} {:?}", pair.client.log);
    }
}

/// Goal: packet borders and segment borders have nothing to do with each other.
/// Method: chunks of 1 to 3 bytes on a slow link, several seeds.
#[test]
fn odd_chunks_and_delay_change_nothing() {
    for seed in 0..5 {
        let mut config = PairConfig::new(seed);
        config.to_server = Link::new(Duration::from_millis(20), 3, seed);
        config.to_client = Link::new(Duration::from_millis(20), 3, seed + 100);
        let (mut pair, channel) = Pair::connected(config);

        pair.client.write(channel, b"hello");
        pair.run_until_idle();

        assert_eq!(pair.server.received[&channel], b"hello", "seed {seed}");
    }
}

#[test]
fn compression_starts_after_login_and_survives_new_keys() {
    let mut config = PairConfig::new(4);
    config.client.common.algorithms.compression = one("zlib@openssh.com");
    config.client.common.rekey_bytes = 2_000;
    let (mut pair, channel) = Pair::connected(config);

    let text = b"all work and no play makes jack a dull boy\n".repeat(20_000);
    let before = pair.to_server.passed();
    pair.client.write(channel, &text);
    pair.server.write(channel, &text);
    pair.run_until_idle();

    assert!(pair.server.received[&channel] == text && pair.client.received[&channel] == text);
    assert!(pair.to_server.passed() - before < text.len() / 5, "it was compressed");
    assert!(pair.client.connection.exchanges_done() > 1);
}

#[test]
fn nothing_in_common_names_both_lists() {
    let mut config = PairConfig::new(5);
    config.client.common.algorithms.ciphers = one("aes128-ctr");
    config.server.common.algorithms.ciphers = one("aes256-ctr");
    let mut pair = Pair::new(config);

    pair.run_until_idle();

    let error = pair.client.error.expect("no common cipher").to_string();
    assert!(error.contains("aes128-ctr") && error.contains("aes256-ctr"), "{error}");
}

#[test]
fn a_refused_host_key_ends_before_anything_secret_is_sent() {
    let mut config = PairConfig::new(6);
    config.trust_host_key = false;
    let mut pair = Pair::new(config);

    pair.run_until_idle();

    assert_eq!(pair.client.error, Some(Error::HostKeyRefused));
    assert!(!pair.server.has("auth-request"));
    assert!(pair.server.has("disconnected 9"));
}

/// Goal: comparing a fingerprint may take longer than any key exchange.
#[test]
fn a_person_may_think_about_a_host_key_for_long() {
    let mut config = PairConfig::new(12);
    config.server.login_grace = Duration::from_secs(24 * 3600);
    let mut pair = Pair::new(config);
    pair.client.think_about_host_key();
    pair.run_until_idle();

    pair.clock.advance(Duration::from_secs(600));
    pair.run_until_idle();
    let (client, now) = (&mut pair.client, pair.clock.now());
    assert_eq!(client.error, None);
    client.connection.answer_host_key(true, now, &mut client.output).unwrap();
    pair.run_until_idle();

    assert!(pair.client.connection.is_open(), "{:?} {:?}", pair.client.error, pair.server.error);
}

#[test]
fn wrong_passwords_end_at_the_bound() {
    let mut config = PairConfig::new(7);
    config.server.auth_failures_max = 3;
    let mut pair = Pair::new(config);
    pair.run_until_idle();
    assert!(pair.server.connection.is_open());

    let mut config = PairConfig::new(7);
    config.server.auth_failures_max = 3;
    config.password = b"right".to_vec();
    let mut pair = Pair::new(config);
    pair.client.set_password(b"wrong");
    pair.run_until_idle();

    assert_eq!(pair.server.error, Some(Error::Peer(PeerError::TooManyAuthAttempts)));
    assert!(pair.client.has("disconnected 14"), "{:?}", pair.client.log);
}

#[test]
fn who_does_not_log_in_is_cut_off_at_the_grace_time() {
    let mut config = PairConfig::new(8);
    config.to_server.cut_after(40);
    let mut pair = Pair::new(config);
    pair.run_until_idle();

    while pair.server.error.is_none() {
        pair.run_next_timer();
    }

    assert_eq!(pair.server.error, Some(Error::TimedOut(Deadline::Login)));
}

#[test]
fn keepalive_ends_a_connection_whose_peer_is_gone() {
    let mut config = PairConfig::new(9);
    config.server.common.keepalive = Some(Duration::from_secs(15));
    let (mut pair, _) = Pair::connected(config);
    for _ in 0..5 {
        pair.run_next_timer();
        assert!(pair.server.error.is_none(), "the peer answers");
    }

    pair.to_server.cut_after(0);
    for _ in 0..5 {
        if pair.server.error.is_none() {
            pair.run_next_timer();
        }
    }

    assert_eq!(pair.server.error, Some(Error::TimedOut(Deadline::KeepAlive)));
}
