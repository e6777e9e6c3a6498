//! Protocol states: what each message does in every state that a peer can bring a connection to.
//!
//! The machine that each role shows is learnt from outside and kept in `testdata/states_*.txt` for people to read.
//! Whatever is said, the subject's books are held against the connection (`testkit::states::subject`): nobody is logged in whom the
//! application did not accept, nothing of channels moves before, and a client tells a stranger nothing.

use sterna_ssh_proto::{Error, PeerError, Role};
use sterna_testkit::Seed;
use sterna_testkit::states::{
    Keys, Machine, Peer, Seen, Subject, Symbol, alphabet, find, fresh, learn, step,
};

/// A learnt machine is what the file says; `UPDATE_GOLDEN=1` writes it.
fn check_golden(name: &str, text: &str) {
    let path = format!("{}/testdata/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(golden == text, "{path} differs; UPDATE_GOLDEN=1 writes it anew");
}

/// Seeded walks through the machine, long and mostly along ways that do not end: the side itself must do
/// what the machine foretells.
fn walk(role: Role, keys: &Keys, alphabet: &[Symbol], machine: &Machine, walks: u64) -> usize {
    const LEN_MAX: usize = 40;
    let mut logins = 0;
    for seed in 0..walks {
        let mut random = Seed::new(seed);
        let (mut subject, mut peer) = fresh(role, keys);
        let (mut at, mut path) = (0, Vec::new());
        for _ in 0..LEN_MAX {
            let edges = &machine.states[at].edges;
            let living: Vec<_> = (0..edges.len()).filter(|s| edges[*s].to.is_some()).collect();
            // Ways to other states first; the rest and the ends now and then.
            let onward: Vec<_> =
                living.iter().copied().filter(|s| edges[*s].to != Some(at)).collect();
            let symbol = match random.below(16) {
                0..10 if !onward.is_empty() => onward[random.below(onward.len())],
                0..15 if !living.is_empty() => living[random.below(living.len())],
                _ => random.below(alphabet.len()),
            };
            path.push(alphabet[symbol].name);
            let seen = step(&mut subject, &mut peer, &alphabet[symbol]);
            assert!(seen == edges[symbol].seen, "seed {seed}: {path:?} {seen:?}");
            let Some(to) = edges[symbol].to else { break };
            at = to;
        }
        logins += usize::from(subject.is_logged_in());
    }
    logins
}

#[test]
fn a_servers_states_are_those_of_the_golden_file() {
    let (keys, alphabet) = (Keys::generate(), alphabet::to_server());

    let machine = learn(Role::Server, &keys, &alphabet);

    let title = "What a client's messages do to a server, by state.";
    check_golden("states_server.txt", &machine.describe(title, &alphabet));
    let logins = walk(Role::Server, &keys, &alphabet, &machine, 600);
    assert!(logins > 50, "the walks come through the login: {logins}");
}

#[test]
fn a_clients_states_are_those_of_the_golden_file() {
    let (keys, mut alphabet) = (Keys::generate(), alphabet::to_client());
    // Counted, which no small machine shows: `connection/auth.rs` has the test.
    alphabet.retain(|symbol| symbol.name != "EXT_INFO");

    let machine = learn(Role::Client, &keys, &alphabet);

    let title = "What a server's messages do to a client, by state.";
    check_golden("states_client.txt", &machine.describe(title, &alphabet));
    let logins = walk(Role::Client, &keys, &alphabet, &machine, 600);
    assert!(logins > 50, "the walks come through the login: {logins}");
}

/// Goal: keys that our own application renews, at any moment and between any messages, open no way.
/// Method: seeded walks; the books judge (what was held back meanwhile is said later, so the machine cannot foretell it).
#[test]
fn keys_renewed_by_the_application_at_any_moment_open_no_way() {
    let keys = Keys::generate();
    let mut renewed = 0;
    for (role, alphabet) in
        [(Role::Server, alphabet::to_server()), (Role::Client, alphabet::to_client())]
    {
        for seed in 0..300 {
            let mut random = Seed::new(seed);
            let (service, login) = match role {
                Role::Server => (TO_SERVER[6], "USERAUTH_REQUEST password right"),
                Role::Client => (TO_CLIENT[5], "USERAUTH_SUCCESS"),
            };
            let (mut subject, mut peer) = come_to(role, &keys, &alphabet, service);
            if seed % 4 != 0 {
                step(&mut subject, &mut peer, &alphabet[find(&alphabet, login)]);
                assert!(subject.is_logged_in());
            }
            for _ in 0..30 {
                let mut seen = match random.below(4) {
                    0 => subject.rekey(),
                    _ => step(&mut subject, &mut peer, &alphabet[random.below(alphabet.len())]),
                };
                subject.speak_to(&mut peer, &mut seen);
                if seen.ended {
                    break;
                }
                renewed += usize::from(seen.said.contains(&"KEXINIT"));
            }
        }
    }
    assert!(renewed > 20, "{renewed}");
}

/// The messages that lead to each interesting place of a connection.
const TO_SERVER: &[&[&str]] = &[
    &[],
    &["version"],
    &["version", "KEXINIT strict"],
    &["version", "KEXINIT"],
    &["version", "KEXINIT strict", "ECDH_INIT"],
    &["version", "KEXINIT strict", "ECDH_INIT", "NEWKEYS"],
    &["version", "KEXINIT strict", "ECDH_INIT", "NEWKEYS", "SERVICE_REQUEST ssh-userauth"],
    &[
        "version",
        "KEXINIT strict",
        "ECDH_INIT",
        "NEWKEYS",
        "SERVICE_REQUEST ssh-userauth",
        "USERAUTH_REQUEST publickey query",
    ],
    &[
        "version",
        "KEXINIT strict",
        "ECDH_INIT",
        "NEWKEYS",
        "SERVICE_REQUEST ssh-userauth",
        "USERAUTH_REQUEST keyboard-interactive",
    ],
    &[
        "version",
        "KEXINIT strict",
        "ECDH_INIT",
        "NEWKEYS",
        "SERVICE_REQUEST ssh-userauth",
        "KEXINIT",
    ],
    &[
        "version",
        "KEXINIT strict",
        "ECDH_INIT",
        "NEWKEYS",
        "SERVICE_REQUEST ssh-userauth",
        "KEXINIT",
        "ECDH_INIT",
    ],
];

const TO_CLIENT: &[&[&str]] = &[
    &[],
    &["KEXINIT strict"],
    &["KEXINIT"],
    &["KEXINIT strict", "ECDH_REPLY"],
    &["KEXINIT strict", "ECDH_REPLY", "NEWKEYS"],
    &["KEXINIT strict", "ECDH_REPLY", "NEWKEYS", "SERVICE_ACCEPT ssh-userauth"],
    &["KEXINIT strict", "ECDH_REPLY", "NEWKEYS", "SERVICE_ACCEPT ssh-userauth", "KEXINIT"],
];

fn come_to<'k>(
    role: Role,
    keys: &'k Keys,
    alphabet: &[Symbol],
    path: &[&str],
) -> (Subject<'k>, Peer<'k>) {
    let (mut subject, mut peer) = fresh(role, keys);
    for name in path {
        let seen = step(&mut subject, &mut peer, &alphabet[find(alphabet, name)]);
        assert!(!seen.ended, "{path:?} ends at {name}: {:?}", subject.error);
    }
    (subject, peer)
}

/// Goal: no number at all, known or not, opens a way around the login.
/// Method: each of 256 with bodies of several lengths, in every state before the login; then a channel is asked for.
#[test]
fn no_message_number_in_any_state_leads_around_the_login() {
    let keys = Keys::generate();
    for (role, places, alphabet) in [
        (Role::Server, TO_SERVER, alphabet::to_server()),
        (Role::Client, TO_CLIENT, alphabet::to_client()),
    ] {
        let open = &alphabet[find(&alphabet, "CHANNEL_OPEN session")];
        for path in places {
            for number in 0..=255u8 {
                for body_len in [0, 12] {
                    let (mut subject, mut peer) = come_to(role, &keys, &alphabet, path);
                    let mut payload = vec![0; 1 + body_len];
                    payload[0] = number;
                    peer.payload(&payload);
                    let mut seen = subject.hear(&std::mem::take(&mut peer.said));
                    subject.speak_to(&mut peer, &mut seen);
                    // A server may say yes to an attempt that is out, of "none" too.
                    let answer = (number, body_len) == (52, 0);
                    if answer && role == Role::Client && path.len() == 4 {
                        assert!(subject.is_logged_in());
                        continue;
                    }
                    assert!(!subject.is_logged_in(), "{role:?} {path:?} {number}");
                    let seen = step(&mut subject, &mut peer, open);
                    assert!(seen.ended, "{role:?} {path:?} {number}");
                }
            }
        }
    }
}

/// Goal: what comes in while the application thinks about a login has no part in the answer.
/// Method: seeded bursts of anything behind the question, then yes or no.
#[test]
fn messages_behind_an_open_question_wait_for_its_answer() {
    let (keys, alphabet) = (Keys::generate(), alphabet::to_server());
    let service = TO_SERVER[6];
    let mut logins = [0, 0];
    for seed in 0..600 {
        let mut random = Seed::new(seed);
        let (mut subject, mut peer) = come_to(Role::Server, &keys, &alphabet, service);
        subject.hesitates = true;
        let right = seed % 2 == 0;
        let kind = if right { "right" } else { "wrong" };
        let request = format!("USERAUTH_REQUEST password {kind}");
        step(&mut subject, &mut peer, &alphabet[find(&alphabet, &request)]);
        for _ in 0..1 + random.below(4) {
            let symbol = alphabet[random.below(alphabet.len())];
            // What needs the answer of the other side first cannot be said blindly.
            if symbol.name.starts_with("KEXINIT") {
                continue;
            }
            let seen = step(&mut subject, &mut peer, &symbol);
            assert!(seen.is_nothing(), "seed {seed}: {} {seen:?}", symbol.name);
        }

        let mut seen = subject.answer();
        subject.speak_to(&mut peer, &mut seen);

        assert_eq!(subject.is_logged_in(), right, "seed {seed}");
        logins[usize::from(right)] += usize::from(subject.is_logged_in());
    }
    assert_eq!(logins, [0, 300]);
}

/// Goal: until somebody says that the host key is right, a server learns nothing of the user.
/// Method: seeded bursts of anything behind the server's reply, while the question is open.
#[test]
fn a_client_that_has_not_accepted_the_host_key_says_nothing() {
    let (keys, alphabet) = (Keys::generate(), alphabet::to_client());
    for seed in 0..600 {
        let mut random = Seed::new(seed);
        let (mut subject, mut peer) = come_to(Role::Client, &keys, &alphabet, TO_CLIENT[1]);
        subject.hesitates = true;
        let reply = alphabet[find(&alphabet, "ECDH_REPLY")];
        step(&mut subject, &mut peer, &reply);
        for _ in 0..1 + random.below(6) {
            let symbol = alphabet[random.below(alphabet.len())];
            let seen = step(&mut subject, &mut peer, &symbol);
            assert!(seen.is_nothing(), "seed {seed}: {} {seen:?}", symbol.name);
        }
        assert!(!subject.is_logged_in() && subject.exchanges_done() == 0);
    }
}

/// CVE-2018-10933: a client that says SUCCESS itself, at every place before the login.
#[test]
fn a_success_said_by_the_client_logs_nobody_in() {
    let (keys, alphabet) = (Keys::generate(), alphabet::to_server());
    for path in TO_SERVER {
        let (mut subject, mut peer) = come_to(Role::Server, &keys, &alphabet, path);
        let seen = step(&mut subject, &mut peer, &alphabet[find(&alphabet, "USERAUTH_SUCCESS")]);
        assert!(seen.ended && seen.events.is_empty(), "{path:?} {seen:?}");
    }
}

/// CVE-2025-32433: channels and requests on them, at every place before the login.
#[test]
fn channel_messages_before_the_login_reach_nothing() {
    let (keys, alphabet) = (Keys::generate(), alphabet::to_server());
    let channel: Vec<_> = alphabet
        .iter()
        .filter(|s| s.name.starts_with("CHANNEL_") || s.name.starts_with("GLOBAL_"))
        .collect();
    assert!(channel.len() > 10);
    for path in TO_SERVER {
        for symbol in &channel {
            let (mut subject, mut peer) = come_to(Role::Server, &keys, &alphabet, path);
            let seen = step(&mut subject, &mut peer, symbol);
            assert!(seen.ended && seen.events.is_empty(), "{path:?} {} {seen:?}", symbol.name);
        }
    }
}

/// CVE-2023-48795, Terrapin: packets put in before NEWKEYS to shift the sequence numbers, so that as many can be taken out
/// behind it. Under the strict exchange the first is refused; without it (an old peer) it is legal, which shows that
/// the attack is the right one.
#[test]
fn packets_put_in_before_newkeys_end_a_strict_exchange() {
    let keys = Keys::generate();
    for (role, alphabet, answer) in [
        (Role::Server, alphabet::to_server(), "ECDH_INIT"),
        (Role::Client, alphabet::to_client(), "ECDH_REPLY"),
    ] {
        for stowaway in ["IGNORE", "DEBUG", "UNIMPLEMENTED", "EXT_INFO"] {
            for at in 0..3 {
                let strict = play(role, &keys, &alphabet, "KEXINIT strict", answer, stowaway, at);
                assert!(strict.is_some(), "{role:?} {stowaway} at {at}");
                let old = play(role, &keys, &alphabet, "KEXINIT", answer, stowaway, at);
                assert_eq!(old.is_some(), stowaway == "EXT_INFO", "{role:?} {stowaway} at {at}");
            }
        }
    }
}

/// One exchange with `stowaway` as the packet number `at` behind the version line; its error.
fn play(
    role: Role,
    keys: &Keys,
    alphabet: &[Symbol],
    kexinit: &str,
    answer: &str,
    stowaway: &str,
    at: usize,
) -> Option<Error> {
    let mut names = vec![kexinit, answer, "NEWKEYS"];
    names.insert(at, stowaway);
    if role == Role::Server {
        names.insert(0, "version");
    }
    let (mut subject, mut peer) = fresh(role, keys);
    for name in names {
        step(&mut subject, &mut peer, &alphabet[find(alphabet, name)]);
        if subject.is_over() {
            return Some(subject.error.clone().expect("it ended by a fault"));
        }
    }
    None
}

/// The other half of the strict exchange: numbers begin again at NEWKEYS, so that nothing before can shift them.
#[test]
fn sequence_numbers_that_do_not_begin_again_fail_under_the_strict_exchange() {
    let keys = Keys::generate();
    for (kexinit, forgets, right) in
        [("KEXINIT strict", false, true), ("KEXINIT strict", true, false), ("KEXINIT", true, true)]
    {
        let alphabet = alphabet::to_server();
        let (mut subject, mut peer) = fresh(Role::Server, &keys);
        peer.forgets_to_reset = forgets;
        let mut last = Seen::default();
        for name in ["version", kexinit, "ECDH_INIT", "NEWKEYS", "SERVICE_REQUEST ssh-userauth"] {
            last = step(&mut subject, &mut peer, &alphabet[find(&alphabet, name)]);
        }
        assert_eq!(last.said == ["SERVICE_ACCEPT"], right, "{kexinit} {forgets}");
        // The length is the first thing that does not open under the wrong number.
        let error = (!right).then_some(Error::Peer(PeerError::BadPacket));
        assert_eq!(subject.error, error);
    }
}
