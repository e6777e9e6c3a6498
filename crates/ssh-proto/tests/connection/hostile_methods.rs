//! Host-based logins, keyboard-interactive and certificates under attack.

use crate::support::{
    auth_request, before_login, carry_to_server, client_says, poll, server_says, take_output,
};
use sterna_ssh_crypto::{Certificate, CertificateKind, KeyType, PrivateKey, SystemRandom, names};
use sterna_ssh_proto::limits::PROMPT_ROUNDS_MAX;
use sterna_ssh_proto::messages::auth::{host_based_signed_bytes, signed_bytes};
use sterna_ssh_proto::{AuthAnswer, ClientAuth, Error, PeerError, Prompt, Prompts};
use sterna_sshwire::{put_string, put_u32};
use sterna_testkit::{CertificateSpec, Pair, PairConfig};

fn ed25519() -> PrivateKey {
    PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap()
}

fn peer_error(fault: PeerError) -> Option<Error> {
    Some(Error::Peer(fault))
}

/// The payload of INFO_RESPONSE.
fn info_response(answers: &[&[u8]]) -> Vec<u8> {
    let mut out = vec![61];
    put_u32(&mut out, answers.len() as u32);
    answers.iter().for_each(|answer| put_string(&mut out, answer));
    out
}

fn keyboard_request(submethods: &[u8]) -> Vec<u8> {
    let mut out = auth_request("alice", "ssh-connection", "keyboard-interactive");
    put_string(&mut out, b"");
    put_string(&mut out, submethods);
    out
}

/// Has the server's application answer the next request; what the request was.
fn answer(pair: &mut Pair, answer: AuthAnswer) -> String {
    carry_to_server(pair);
    let (now, server) = (pair.clock.now(), &mut pair.server);
    let asked = poll(server, now).unwrap().expect("a request");
    let _ = server.connection.answer_auth(answer, now, &mut server.output);
    asked
}

fn say(pair: &mut Pair, payload: &[u8]) {
    pair.client.connection.inject(payload, &mut pair.client.output);
}

fn code() -> AuthAnswer {
    let prompts = vec![Prompt { text: "Code: ".to_owned(), echo: true }];
    AuthAnswer::Prompt(Prompts { prompts, ..Prompts::default() })
}

/// Host-based requests with one thing wrong each: the pair's application accepts every one.
#[test]
fn a_hosts_signature_counts_for_exactly_what_it_signed() {
    let host = ed25519();
    let blob = host.public().to_wire();
    /// Changes session, user, host or client user as they are signed.
    type Spoil = fn(&mut [Vec<u8>; 4]);
    let spoils: [(&str, Spoil); 5] = [
        ("another session", |c| c[0][0] ^= 1),
        ("another server user", |c| c[1] = b"root".to_vec()),
        ("another host", |c| c[2] = b"trusted.example.com.".to_vec()),
        ("another client user", |c| c[3] = b"root".to_vec()),
        ("host and user run together", |c| {
            c[2] = b"client.example.com.b".to_vec();
            c[3] = b"ob".to_vec();
        }),
    ];
    let nothing: (&str, Spoil) = ("nothing wrong", |_| {});
    for (name, spoil) in [nothing].into_iter().chain(spoils) {
        let mut pair = before_login(PairConfig::new(1));
        let mut signed = [
            pair.client.connection.session_id().to_vec(),
            b"alice".to_vec(),
            b"client.example.com.".to_vec(),
            b"bob".to_vec(),
        ];
        spoil(&mut signed);
        let [session, user, client_host, client_user] = &signed;
        let bytes =
            host_based_signed_bytes(session, user, "ssh-ed25519", &blob, client_host, client_user);
        let signature = host.sign("ssh-ed25519", &bytes).unwrap();
        let mut request = auth_request("alice", "ssh-connection", "hostbased");
        for field in [b"ssh-ed25519", &blob[..], b"client.example.com.", b"bob", &signature]
            .map(<[u8]>::to_vec)
        {
            put_string(&mut request, &field);
        }

        client_says(&mut pair, &request);

        assert_eq!(pair.server.error, None, "{name}");
        assert_eq!(pair.server.has("authenticated"), name == "nothing wrong", "{name}");
    }
}

/// A signature for a public-key login must not pass for one of a host, or the other way round.
#[test]
fn methods_do_not_share_signatures() {
    let mut pair = before_login(PairConfig::new(2));
    let (key, session) = (ed25519(), pair.client.connection.session_id().to_vec());
    let blob = key.public().to_wire();
    let bytes = signed_bytes(&session, b"alice", "ssh-ed25519", &blob, None);
    let signature = key.sign("ssh-ed25519", &bytes).unwrap();
    let mut request = auth_request("alice", "ssh-connection", "hostbased");
    for field in [&b"ssh-ed25519"[..], &blob, b"h.", b"alice", &signature] {
        put_string(&mut request, field);
    }

    client_says(&mut pair, &request);

    assert!(!pair.server.has("authenticated"));
    assert_eq!(pair.server.error, None);
}

#[test]
fn a_dialogue_goes_on_for_some_rounds_and_ends_with_the_right_answer() {
    let mut pair = before_login(PairConfig::new(3));
    client_says(&mut pair, &keyboard_request(b""));
    assert!(!pair.server.has("authenticated"));

    client_says(&mut pair, &info_response(&[b"correct horse"]));

    assert!(pair.server.has("authenticated"));
}

#[test]
fn answers_that_nobody_asked_for_end_the_connection() {
    let mut pair = before_login(PairConfig::new(4));
    client_says(&mut pair, &info_response(&[b"correct horse"]));
    assert_eq!(pair.server.error, peer_error(PeerError::OutOfPhase(61)));

    // A second answer to the same question.
    let mut pair = before_login(PairConfig::new(5));
    client_says(&mut pair, &keyboard_request(b""));
    client_says(&mut pair, &info_response(&[b"wrong"]));
    assert_eq!(pair.server.error, None);
    client_says(&mut pair, &info_response(&[b"correct horse"]));
    assert_eq!(pair.server.error, peer_error(PeerError::OutOfPhase(61)));
}

#[test]
fn another_request_ends_the_dialogue() {
    let mut pair = before_login(PairConfig::new(6));
    client_says(&mut pair, &keyboard_request(b""));
    client_says(&mut pair, &auth_request("alice", "ssh-connection", "none"));
    client_says(&mut pair, &info_response(&[b"correct horse"]));

    assert_eq!(pair.server.error, peer_error(PeerError::OutOfPhase(61)));
    assert!(!pair.server.has("authenticated"));
}

/// The application must never see answers that do not belong to its questions, one by one.
#[test]
fn more_or_fewer_answers_than_questions_are_a_failed_attempt() {
    for answers in [&[][..], &[&b"correct horse"[..], b"x"]] {
        let mut pair = before_login(PairConfig::new(7));
        say(&mut pair, &keyboard_request(b""));
        answer(&mut pair, code());
        say(&mut pair, &info_response(answers));

        let asked = answer(&mut pair, AuthAnswer::Accept);

        // The pair's application would accept: the request is told to it as no method of ours.
        assert!(asked.contains("Other"), "{asked}");
    }
}

#[test]
fn rounds_of_questions_are_bounded() {
    let mut pair = before_login(PairConfig::new(8));
    say(&mut pair, &keyboard_request(b""));
    for round in 0..=PROMPT_ROUNDS_MAX {
        let asked = answer(&mut pair, code());
        let expected = if round == 0 { "KeyboardInteractive" } else { "PromptAnswers" };
        assert!(asked.contains(expected), "{round}: {asked}");
        say(&mut pair, &info_response(&[b"1"]));
    }

    carry_to_server(&mut pair);
    let now = pair.clock.now();

    // The last question was not sent but turned into a refusal: its answer is nobody's.
    assert_eq!(poll(&mut pair.server, now), Err(PeerError::OutOfPhase(61).into()));
}

/// CVE-2015-5600: a list of devices must not buy more attempts.
#[test]
fn submethods_buy_no_attempts() {
    let mut config = PairConfig::new(9);
    config.server.auth_failures_max = 2;
    let mut pair = before_login(config);
    let many = ["pam"; 1000].join(",");
    client_says(&mut pair, &keyboard_request(many.as_bytes()));
    client_says(&mut pair, &info_response(&[b"wrong"]));
    assert_eq!(pair.server.error, None);
    client_says(&mut pair, &keyboard_request(many.as_bytes()));
    client_says(&mut pair, &info_response(&[b"wrong"]));

    assert_eq!(pair.server.error, peer_error(PeerError::TooManyAuthAttempts));
}

#[test]
fn answers_print_nothing() {
    let mut pair = before_login(PairConfig::new(10));
    say(&mut pair, &keyboard_request(b""));
    answer(&mut pair, code());
    say(&mut pair, &info_response(&[b"hunter2"]));

    let asked = answer(&mut pair, AuthAnswer::Reject { methods: Vec::new() });

    assert!(asked.contains("PromptAnswers"), "{asked}");
    assert!(!asked.contains("hunter2") && !asked.contains("104, 117"), "{asked}");
}

/// Message 60 means a question only to who asked to be asked.
#[test]
fn a_client_takes_questions_only_in_a_dialogue() {
    let mut question = vec![60];
    (0..3).for_each(|_| put_string(&mut question, b""));
    put_u32(&mut question, 0);
    for attempt in [
        ClientAuth::None,
        ClientAuth::PublicKeyQuery { algorithm: "ssh-ed25519".to_owned(), key_blob: vec![1] },
    ] {
        let mut pair = before_login(PairConfig::new(11));
        pair.client.connection.try_auth(attempt, &mut pair.client.output);
        server_says(&mut pair, &question);
        assert!(matches!(pair.client.error, Some(Error::Peer(_) | Error::Malformed { .. })));
    }

    let mut pair = before_login(PairConfig::new(12));
    let ask = ClientAuth::KeyboardInteractive { submethods: String::new() };
    pair.client.connection.try_auth(ask, &mut pair.client.output);
    server_says(&mut pair, &question);
    assert_eq!(pair.client.error, None);
    assert!(pair.client.has("prompted 0"));
}

/// The key in a certificate signs, under the plain algorithm's name (CRT-7).
#[test]
fn a_certificate_logs_in_under_its_own_algorithm_only() {
    let (ca, key) = (ed25519(), ed25519());
    let certificate = CertificateSpec::default().sign(&ca, key.public());
    let (blob, plain) = (certificate.to_wire(), key.public().to_wire());
    for (algorithm, blob, right) in [
        (names::SSH_ED25519_CERT, blob, true),
        (names::SSH_ED25519, blob, false),
        (names::SSH_ED25519_CERT, &plain[..], false),
        (names::ECDSA_P256_CERT, blob, false),
    ] {
        let mut pair = before_login(PairConfig::new(13));
        let session = pair.client.connection.session_id().to_vec();
        let bytes = signed_bytes(&session, b"alice", algorithm, blob, None);
        let signature = key.sign(names::SSH_ED25519, &bytes).unwrap();
        let mut request = auth_request("alice", "ssh-connection", "publickey");
        request.push(1);
        for field in [algorithm.as_bytes(), blob, &signature] {
            put_string(&mut request, field);
        }

        client_says(&mut pair, &request);

        assert_eq!(pair.server.has("authenticated"), right, "{algorithm}");
        assert_eq!(pair.server.error, None);
    }
}

/// A server shows its host certificate; the key inside signs, and is what is announced later.
#[test]
fn a_host_certificate_is_shown_and_its_key_signs() {
    let (ca, host) = (ed25519(), ed25519());
    let spec = CertificateSpec {
        kind: CertificateKind::Host,
        principals: vec!["server.example.com"],
        ..CertificateSpec::default()
    };
    let certificate: Certificate = spec.sign(&ca, host.public());
    let mut config = PairConfig::new(14);
    config.server.host_keys = vec![certificate.clone().into(), host.public().clone().into()];
    config.host_keys = vec![host];

    let mut pair = Pair::new(config);
    pair.run_until_idle();

    assert_eq!(pair.client.error, None);
    assert_eq!(pair.client.connection.host_key(), certificate.to_wire());
    assert!(pair.client.has("authenticated"));
    assert!(pair.client.has("host-keys-proved 1"), "{:?}", pair.client.log);
}

/// What an agent is told before it signs (AGT-3).
#[test]
fn a_client_can_prove_to_its_agent_where_it_is_connected() {
    let pair = before_login(PairConfig::new(15));
    let binding = pair.client.connection.session_binding().unwrap();

    let host_key = sterna_ssh_crypto::PublicKey::from_wire(&binding.host_key).unwrap();
    assert_eq!(binding.session_id, pair.client.connection.session_id());
    let verified = host_key.verify("ssh-ed25519", &binding.session_id, &binding.signature);
    assert_eq!(verified, Ok(()));
}

/// A change of the password is asked for only in answer to a password.
#[test]
fn a_password_change_belongs_to_a_password() {
    let change = || AuthAnswer::ChangePassword { prompt: "change it".to_owned() };
    let mut pair = before_login(PairConfig::new(16));
    let mut password = auth_request("alice", "ssh-connection", "password");
    password.push(0);
    put_string(&mut password, b"old");
    say(&mut pair, &password);
    answer(&mut pair, change());
    let sent = take_output(&mut pair.server);
    assert!(!sent.is_empty());
    assert_eq!(pair.server.error, None);

    let mut pair = before_login(PairConfig::new(17));
    client_says(&mut pair, &auth_request("alice", "ssh-connection", "none"));
    let mut changed = auth_request("alice", "ssh-connection", "password");
    changed.push(1);
    put_string(&mut changed, b"correct horse");
    put_string(&mut changed, b"new");
    client_says(&mut pair, &changed);
    assert!(!pair.server.has("authenticated"), "the pair's application changes none");
}
