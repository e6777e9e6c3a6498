//! Authentication under attack: what a server must not accept, what a client must not believe.

use std::time::Instant;

use crate::support::{
    auth_request, before_login, carry_to_server, client_says, poll, server_says, take_output,
};
use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom};
use sterna_ssh_proto::limits::AUTH_REQUESTS_MAX;
use sterna_ssh_proto::messages::auth::{encode_failure, encode_pk_ok, signed_bytes};
use sterna_ssh_proto::{AuthAnswer, ClientAuth, Error, Event, PeerError};
use sterna_sshwire::put_string;
use sterna_testkit::{Pair, PairConfig};

const PLAIN: &str = "publickey";
const BOUND: &str = "publickey-hostbound-v00@openssh.com";

fn ed25519() -> PrivateKey {
    PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap()
}

fn peer_error(fault: PeerError) -> Option<Error> {
    Some(Error::Peer(fault))
}

/// A public key request of `alice`; without `signature` it is a query.
fn key_request(
    method: &str,
    algorithm: &str,
    key: &[u8],
    bound_to: Option<&[u8]>,
    signature: Option<&[u8]>,
) -> Vec<u8> {
    let mut out = auth_request("alice", "ssh-connection", method);
    out.push(u8::from(signature.is_some()));
    put_string(&mut out, algorithm.as_bytes());
    put_string(&mut out, key);
    for field in [bound_to, signature].into_iter().flatten() {
        put_string(&mut out, field);
    }
    out
}

fn none_request(user: &str, service: &str) -> Vec<u8> {
    auth_request(user, service, "none")
}

#[test]
fn another_user_or_service_than_at_first_ends_the_connection() {
    let mut pair = before_login(PairConfig::new(1));
    client_says(&mut pair, &none_request("alice", "ssh-connection"));
    client_says(&mut pair, &none_request("alice", "ssh-connection"));
    assert_eq!(pair.server.error, None);
    client_says(&mut pair, &none_request("root", "ssh-connection"));
    assert_eq!(pair.server.error, peer_error(PeerError::ChangedUser));

    for service in ["ssh-userauth", "", "ssh-connection2"] {
        let mut pair = before_login(PairConfig::new(2));
        client_says(&mut pair, &none_request("alice", service));
        assert_eq!(pair.server.error, peer_error(PeerError::UnknownService), "{service}");
    }
}

#[test]
fn the_service_may_be_asked_for_again_and_nothing_starts_anew() {
    let service = |name: &[u8]| {
        let mut out = vec![5];
        put_string(&mut out, name);
        out
    };
    let mut pair = before_login(PairConfig::new(14));
    client_says(&mut pair, &none_request("alice", "ssh-connection"));
    client_says(&mut pair, &service(b"ssh-userauth"));
    assert_eq!(pair.server.error, None);
    client_says(&mut pair, &none_request("root", "ssh-connection"));
    assert_eq!(pair.server.error, peer_error(PeerError::ChangedUser));

    let mut pair = before_login(PairConfig::new(15));
    client_says(&mut pair, &service(b"ssh-connection"));
    assert_eq!(pair.server.error, peer_error(PeerError::UnknownService));

    let mut pair = before_login(PairConfig::new(16));
    for _ in 0..AUTH_REQUESTS_MAX {
        client_says(&mut pair, &service(b"ssh-userauth"));
    }
    assert_eq!(pair.server.error, peer_error(PeerError::TooManyAuthAttempts));
}

#[test]
fn questions_about_keys_cost_no_attempt_but_endless_ones_end() {
    let mut config = PairConfig::new(3);
    config.server.auth_failures_max = 2;
    let mut pair = before_login(config);
    let key = ed25519().public().to_wire();
    let query = key_request(PLAIN, "ssh-ed25519", &key, None, None);
    // One was the request for the service.
    for _ in 1..AUTH_REQUESTS_MAX {
        client_says(&mut pair, &query);
    }
    assert_eq!(pair.server.error, None);

    client_says(&mut pair, &query);

    assert_eq!(pair.server.error, peer_error(PeerError::TooManyAuthAttempts));
}

/// What the server makes of one signed request of `alice`, which its application always accepts.
fn logs_in(pair: &mut Pair, request: &[u8]) -> bool {
    client_says(pair, request);
    assert_eq!(pair.server.error, None);
    let by_core = pair.server.has("authenticated");
    assert_eq!(by_core, pair.server.connection.is_open());
    by_core
}

#[test]
fn a_right_signature_logs_in_plain_and_host_bound() {
    for bound in [false, true] {
        let mut pair = before_login(PairConfig::new(4));
        let (key, session) = (ed25519(), pair.client.connection.session_id().to_vec());
        let host_key = pair.client.connection.host_key().to_vec();
        let bound_to = bound.then_some(&host_key[..]);
        let blob = key.public().to_wire();
        let bytes = signed_bytes(&session, b"alice", "ssh-ed25519", &blob, bound_to);
        let signature = key.sign("ssh-ed25519", &bytes).unwrap();
        let method = if bound { BOUND } else { PLAIN };

        let request = key_request(method, "ssh-ed25519", &blob, bound_to, Some(&signature));

        assert!(logs_in(&mut pair, &request), "{method}");
    }
}

/// Goal: a signature counts for exactly the session, user, algorithm, key and host it was made for.
/// Method: the application accepts everything; each request has one thing wrong.
#[test]
fn a_signature_over_anything_else_never_logs_in() {
    type Spoil = fn(&mut Claim);
    struct Claim {
        session: Vec<u8>,
        user: &'static [u8],
        signed_algorithm: &'static str,
        signed_key: Vec<u8>,
        signed_bound: Option<Vec<u8>>,
        sent_bound: Option<Vec<u8>>,
        flip: Option<usize>,
    }
    let spoils: [(&str, Spoil); 10] = [
        ("another session", |c| c.session[0] ^= 1),
        ("no session", |c| c.session.clear()),
        ("another user", |c| c.user = b"root"),
        ("a longer user", |c| c.user = b"alice\0"),
        ("another algorithm", |c| c.signed_algorithm = "rsa-sha2-256"),
        ("another key", |c| c.signed_key[30] ^= 1),
        ("plain, signed as bound", |c| c.signed_bound = Some(b"host".to_vec())),
        ("bound to another host", |c| {
            c.signed_bound = Some(b"host".to_vec());
            c.sent_bound = Some(b"host".to_vec());
        }),
        ("a flipped signature", |c| c.flip = Some(40)),
        ("a flipped algorithm inside the signature", |c| c.flip = Some(6)),
    ];
    for (name, spoil) in spoils {
        let mut pair = before_login(PairConfig::new(5));
        let key = ed25519();
        let blob = key.public().to_wire();
        let mut claim = Claim {
            session: pair.client.connection.session_id().to_vec(),
            user: b"alice",
            signed_algorithm: "ssh-ed25519",
            signed_key: blob.clone(),
            signed_bound: None,
            sent_bound: None,
            flip: None,
        };
        spoil(&mut claim);
        let bytes = signed_bytes(
            &claim.session,
            claim.user,
            claim.signed_algorithm,
            &claim.signed_key,
            claim.signed_bound.as_deref(),
        );
        let mut signature = key.sign("ssh-ed25519", &bytes).unwrap();
        if let Some(at) = claim.flip {
            signature[at] ^= 1;
        }
        let bound = claim.sent_bound.as_deref();
        let method = if bound.is_some() { BOUND } else { PLAIN };

        let request = key_request(method, "ssh-ed25519", &blob, bound, Some(&signature));

        assert!(!logs_in(&mut pair, &request), "{name}");
    }
}

#[test]
fn a_bound_signature_sent_as_a_plain_one_or_the_other_way_never_logs_in() {
    for signed_bound in [false, true] {
        let mut pair = before_login(PairConfig::new(6));
        let (key, session) = (ed25519(), pair.client.connection.session_id().to_vec());
        let host_key = pair.client.connection.host_key().to_vec();
        let blob = key.public().to_wire();
        let bound = Some(&host_key[..]);
        let signed_to = bound.filter(|_| signed_bound);
        let bytes = signed_bytes(&session, b"alice", "ssh-ed25519", &blob, signed_to);
        let signature = key.sign("ssh-ed25519", &bytes).unwrap();
        let (method, sent_to) = if signed_bound { (PLAIN, None) } else { (BOUND, bound) };

        let request = key_request(method, "ssh-ed25519", &blob, sent_to, Some(&signature));

        assert!(!logs_in(&mut pair, &request));
    }
}

#[test]
fn an_rsa_signature_counts_only_under_the_name_it_was_made_with() {
    let key = PrivateKey::generate(KeyType::Rsa { bits: 2048 }, &mut SystemRandom).unwrap();
    let blob = key.public().to_wire();
    for (made, claimed, right) in [
        ("rsa-sha2-256", "rsa-sha2-256", true),
        ("rsa-sha2-512", "rsa-sha2-512", true),
        ("rsa-sha2-256", "rsa-sha2-512", false),
        ("rsa-sha2-512", "rsa-sha2-256", false),
        ("rsa-sha2-256", "ssh-rsa", false),
        ("rsa-sha2-256", "ssh-ed25519", false),
    ] {
        let mut pair = before_login(PairConfig::new(7));
        let session = pair.client.connection.session_id().to_vec();
        let bytes = signed_bytes(&session, b"alice", claimed, &blob, None);
        let signature = key.sign(made, &bytes).unwrap();

        let request = key_request(PLAIN, claimed, &blob, None, Some(&signature));
        pair.server.set_password(b"");

        assert_eq!(logs_in(&mut pair, &request), right, "{made} as {claimed}");
    }
}

/// AUT-7: the key that is told to the application is the one that signed, not the one asked about.
#[test]
fn the_key_that_signed_is_told_not_the_one_asked_about() {
    let mut pair = before_login(PairConfig::new(8));
    let now = pair.clock.now();
    let (asked, signing) = (ed25519(), ed25519());
    let query = key_request(PLAIN, "ssh-ed25519", &asked.public().to_wire(), None, None);
    pair.client.connection.inject(&query, &mut pair.client.output);
    carry_to_server(&mut pair);
    let event = poll(&mut pair.server, now).unwrap().unwrap();
    assert!(event.contains("PublicKeyQuery"), "{event}");
    let server = &mut pair.server;
    server.connection.answer_auth(AuthAnswer::PublicKeyOk, now, &mut server.output).unwrap();

    let blob = signing.public().to_wire();
    let session = pair.client.connection.session_id();
    let bytes = signed_bytes(session, b"alice", "ssh-ed25519", &blob, None);
    let signature = signing.sign("ssh-ed25519", &bytes).unwrap();
    let request = key_request(PLAIN, "ssh-ed25519", &blob, None, Some(&signature));
    pair.client.connection.inject(&request, &mut pair.client.output);
    carry_to_server(&mut pair);
    let event = poll(&mut pair.server, now).unwrap().unwrap();

    assert!(event.contains("signature: Valid"), "{event}");
    assert!(event.contains(&format!("{:?}", signing.public())), "{event}");
    assert!(!event.contains(&format!("{:?}", asked.public())), "{event}");
}

#[test]
fn accepting_a_question_about_a_key_logs_nobody_in() {
    let mut pair = before_login(PairConfig::new(9));
    let now = pair.clock.now();
    let query = key_request(PLAIN, "ssh-ed25519", &ed25519().public().to_wire(), None, None);
    pair.client.connection.inject(&query, &mut pair.client.output);
    carry_to_server(&mut pair);
    poll(&mut pair.server, now).unwrap().unwrap();

    let server = &mut pair.server;
    server.connection.answer_auth(AuthAnswer::Accept, now, &mut server.output).unwrap();

    assert!(!server.connection.is_open());
}

/// CVE-2018-15473: whether a request is well formed is decided before anybody looks at the user.
#[test]
fn malformed_requests_end_alike_for_every_user_and_ask_nobody() {
    let spoils: [fn(&str) -> Vec<u8>; 6] = [
        |user| auth_request(user, "ssh-connection", "publickey"),
        |user| auth_request(user, "ssh-connection", "password"),
        |user| {
            [&auth_request(user, "ssh-connection", "password")[..], &[0, 0, 0, 0, 9, b'x']].concat()
        },
        |user| [&auth_request(user, "ssh-connection", "none")[..], b"more"].concat(),
        |user| {
            let mut cut = auth_request(user, "ssh-connection", "publickey");
            cut.push(1);
            put_string(&mut cut, b"ssh-ed25519");
            cut.extend_from_slice(&u32::MAX.to_be_bytes());
            cut
        },
        |user| auth_request(user, "ssh-connection", "none")[..20 + user.len()].to_vec(),
    ];
    for (which, spoil) in spoils.iter().enumerate() {
        let mut seen = Vec::new();
        for user in ["alice", "carol"] {
            let mut pair = before_login(PairConfig::new(10));
            let before = pair.to_client.passed();
            pair.client.connection.inject(&spoil(user), &mut pair.client.output);
            pair.run_until_idle();
            assert!(!pair.server.has("auth-request"), "{which}");
            assert!(matches!(pair.server.error, Some(Error::Malformed { .. })), "{which}");
            seen.push((pair.server.error, pair.to_client.passed() - before));
        }
        assert_eq!(seen[0], seen[1], "{which}");
    }
}

#[test]
fn methods_keys_and_algorithms_that_are_unknown_are_ordinary_failures() {
    let key = ed25519().public().to_wire();
    let mut config = PairConfig::new(11);
    config.server.auth_failures_max = 100;
    let mut pair = before_login(config);
    let gssapi =
        [&auth_request("alice", "ssh-connection", "gssapi-with-mic")[..], &[0xff; 40]].concat();
    for request in [
        gssapi,
        auth_request("alice", "ssh-connection", "gssapi-with-mic"),
        auth_request("alice", "ssh-connection", ""),
        key_request(PLAIN, "ssh-dss", &key, None, None),
        key_request(PLAIN, "rsa-sha2-256", &key, None, None),
        key_request(PLAIN, "ssh-ed25519", b"no key", None, Some(b"no signature")),
        key_request(PLAIN, "ssh-ed25519", &key, None, Some(b"")),
    ] {
        assert!(!logs_in(&mut pair, &request));
    }
}

// ---- what a server may try on a client ----

/// A client that waits for the answer to a question about `key`; the server does not hear it.
fn waiting_for_pk_ok(key: &PrivateKey) -> Pair {
    let mut pair = before_login(PairConfig::new(12));
    pair.to_server.cut_after(0);
    let client = &mut pair.client;
    let query = ClientAuth::PublicKeyQuery {
        algorithm: "ssh-ed25519".to_owned(),
        key_blob: key.public().to_wire(),
    };
    client.connection.try_auth(query, &mut client.output);
    pair.run_until_idle();
    pair
}

#[test]
fn a_client_signs_only_with_the_key_it_asked_about() {
    let (key, other) = (ed25519(), ed25519());
    let wire = key.public().to_wire();
    for (algorithm, blob, right) in [
        ("ssh-ed25519", &wire, true),
        ("ssh-ed25519", &other.public().to_wire(), false),
        ("rsa-sha2-256", &wire, false),
    ] {
        let mut pair = waiting_for_pk_ok(&key);
        let mut answer = Vec::new();
        encode_pk_ok(&mut answer, algorithm.as_bytes(), blob);

        server_says(&mut pair, &answer);

        assert_eq!(pair.client.has("key-accepted"), right);
        let error = (!right).then_some(Error::Peer(PeerError::UnaskedAnswer));
        assert_eq!(pair.client.error, error);
    }
}

#[test]
fn success_to_a_mere_question_is_not_believed() {
    let mut pair = waiting_for_pk_ok(&ed25519());
    server_says(&mut pair, &[52]);
    assert_eq!(pair.client.error, peer_error(PeerError::UnaskedAnswer));
    assert!(!pair.client.connection.is_open());
}

#[test]
fn answers_that_nobody_asked_for_end_the_clients_side() {
    for answer in [&[52][..], &[51, 0, 0, 0, 0, 0], &[60, 0, 0, 0, 0, 0, 0, 0, 0], &[61]] {
        let mut pair = before_login(PairConfig::new(13));
        server_says(&mut pair, answer);
        assert_eq!(pair.client.error, peer_error(PeerError::UnaskedAnswer), "{answer:?}");
        assert!(!pair.client.has("authenticated"));
    }
}

/// PWD-1: message 60 to a password is no fault. The user reads why, and other methods may go on.
#[test]
fn an_expired_password_is_told_with_the_servers_words() {
    let mut pair = before_login(PairConfig::new(16));
    pair.to_server.cut_after(0);
    let (now, client) = (pair.clock.now(), &mut pair.client);
    client.connection.try_auth(ClientAuth::None, &mut client.output);
    let mut failure = Vec::new();
    let methods = ["publickey", "password"].map(str::to_owned);
    encode_failure(&mut failure, &methods, false);
    let mut expired = vec![60];
    put_string(&mut expired, b"password has expired");
    put_string(&mut expired, b"");
    let mut heard = Vec::new();
    for answer in [&failure, &expired] {
        pair.server.connection.inject(answer, &mut pair.server.output);
        let bytes = take_output(&mut pair.server);
        pair.client.feed(&bytes);
        while let Some(event) = poll(&mut pair.client, now).unwrap() {
            heard.push(event);
        }
        if heard.len() == 1 {
            let password = ClientAuth::Password { password: b"old".to_vec().into() };
            pair.client.connection.try_auth(password, &mut pair.client.output);
        }
    }

    assert_eq!(heard[1], "PasswordExpired { prompt: \"password has expired\" }");
    assert_eq!(heard.len(), 2);
}

#[test]
fn a_banner_is_filtered_and_bounded() {
    let mut pair = before_login(PairConfig::new(14));
    let mut banner = vec![53];
    let text = [b"\x1b[2J\xe2\x80\xae\xd8\x9c".as_slice(), &[b'a'; 20_000]].concat();
    put_string(&mut banner, &text);
    put_string(&mut banner, b"");

    server_says(&mut pair, &banner);

    let shown = pair.client.log.last().unwrap();
    assert!(shown.starts_with("banner \u{fffd}[2J\u{fffd}\u{fffd}aaa"), "{:?}", &shown[..30]);
    assert!(shown.len() < 9000, "{}", shown.len());
}

/// The events of a client are about the server's words, never about the user's secrets.
#[test]
fn debug_output_of_a_login_holds_no_password() {
    let mut pair = before_login(PairConfig::new(15));
    let mut request = auth_request("alice", "ssh-connection", "password");
    request.push(0);
    put_string(&mut request, b"correct horse");
    pair.client.connection.inject(&request, &mut pair.client.output);
    carry_to_server(&mut pair);
    let now: Instant = pair.clock.now();
    let server = &mut pair.server;
    let event = server.connection.poll_event(now, &mut server.input, &mut server.output).unwrap();
    let Some(Event::AuthRequest(request)) = event else { panic!("no request") };
    let shown = format!("{request:?}");
    let bytes = format!("{:?}", b"correct horse");
    assert!(!shown.contains("correct") && !shown.contains(&bytes), "{shown}");
}
