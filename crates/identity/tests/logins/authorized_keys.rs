//! The options of authorized keys, and security keys.

use sterna_identity::hook::KeyLookup;
use sterna_identity::{AuthorizedKey, Credential, LoginRules, Signature, User};
use sterna_ssh_crypto::OfferedKey;

use crate::support::*;

fn says(options: &str) -> String {
    let alice = user_with_keys("alice", &[format!("{options} {}", line(1))]);
    once(&directory([alice]), "alice", signed(&offered(1)))
}

#[test]
fn conditions_of_a_line_must_be_met() {
    for (options, said) in [
        ("restrict", "accept"),
        ("from=\"192.0.2.7\"", "accept"),
        ("from=\"192.0.2.0/24\"", "accept"),
        ("from=\"192.0.2.?\"", "accept"),
        ("from=\"192.0.2.8\"", "KeyFrom"),
        ("from=\"!192.0.2.7,192.0.2.0/24\"", "KeyFrom"),
        ("from=\"!192.0.2.8\"", "KeyFrom"),
        ("from=\"*.example.com\"", "KeyFrom"),
        // The last good second, and the one before it.
        ("expiry-time=\"20050318015831Z\"", "accept"),
        ("expiry-time=\"20050318015830Z\"", "KeyExpired"),
        ("expiry-time=\"20050317Z\"", "KeyExpired"),
        ("command=\"internal-sftp\"", "accept"),
        ("command=\"rsync --server\"", "KeyCommand"),
        ("command=\"\"", "KeyCommand"),
        ("cert-authority", "KeyNotAuthorized"),
        // No token: nobody to ask.
        ("verify-required", "accept"),
    ] {
        assert_eq!(says(options), said, "{options}");
    }
}

#[test]
fn from_sees_through_mapped_addresses() {
    let alice = user_with_keys("alice", &[format!("from=\"192.0.2.0/24\" {}", line(1))]);
    let (directory, world, key) = (directory([alice]), Script::default(), offered(1));
    let by = |source| Connection::new(&directory, &world, "alice").from(source).says(signed(&key));
    assert_eq!(by("::ffff:192.0.2.9"), "accept");
    assert_eq!(by("::ffff:192.0.3.9"), "KeyFrom");
    assert_eq!(by("2001:db8::1"), "KeyFrom");
}

#[test]
fn a_forced_command_restricts_the_session() {
    let command = "command=\"internal-sftp -R -d /in -u 027\"";
    let alice = user_with_keys("alice", &[format!("{command} {}", line(1)), line(2)]);
    let (directory, world) = (directory([alice]), Script::default());
    let left = |seed| {
        let key = offered(seed);
        Connection::new(&directory, &world, "alice").login(signed(&key)).restrictions
    };
    let forced = left(1);
    assert!(forced.sftp_only && forced.read_only);
    assert_eq!((forced.start_dir.as_deref(), forced.umask), (Some(&b"/in"[..]), Some(0o027)));
    assert_eq!(left(2), Default::default());
}

/// The rights are those of the key that signed, not of one that was asked about (AUT-7).
#[test]
fn a_query_about_one_key_leaves_nothing_to_another() {
    let alice = User {
        password: Some(password()),
        ..user_with_keys("alice", &[line(1), format!("command=\"internal-sftp -R\" {}", line(2))])
    };
    let (directory, world) = (directory([alice]), Script::default());
    let (free, bound) = (offered(1), offered(2));

    let mut connection = Connection::new(&directory, &world, "alice");
    assert_eq!(connection.says(Credential::PublicKeyQuery(&free)), "key ok");
    assert!(connection.login(signed(&bound)).restrictions.read_only);

    let mut connection = Connection::new(&directory, &world, "alice");
    assert_eq!(connection.says(Credential::PublicKeyQuery(&bound)), "key ok");
    assert!(!connection.login(RIGHT).restrictions.read_only);
}

#[test]
fn of_several_lines_the_first_whose_conditions_are_met_counts() {
    let says = |lines: &[&str]| {
        let lines: Vec<String> = lines.iter().map(|o| format!("{o} {}", line(1))).collect();
        let directory = directory([user_with_keys("alice", &lines)]);
        let (world, key) = (Script::default(), offered(1));
        let mut connection = Connection::new(&directory, &world, "alice");
        let said = connection.says(signed(&key));
        let findings = connection.trace.findings();
        let found = findings.iter().find(|finding| finding.rule == "authorized_keys");
        (said, found.map(|finding| finding.place.clone().unwrap().line))
    };
    let accept = |line| ("accept".to_owned(), Some(line));
    assert_eq!(says(&["from=\"10.0.0.1\"", "restrict"]), accept(2));
    assert_eq!(says(&["restrict", "command=\"internal-sftp -R\""]), accept(1));
    assert_eq!(says(&["command=\"/bin/sh\"", "command=\"internal-sftp\""]), accept(2));
    let refused = (String::from("KeyExpired"), None);
    assert_eq!(says(&["from=\"10.0.0.1\"", "expiry-time=\"20040101Z\""]), refused);
}

#[test]
fn a_security_key_shows_touch_person_and_counter() {
    let key = OfferedKey::from(token_key());
    let says = |options: &str, signature| {
        let text = format!("{options} {}", token_key().to_openssh(""));
        once(&directory([user_with_keys("alice", &[text])]), "alice", signed_as(&key, signature))
    };
    for (options, touched, verified, said) in [
        ("restrict", true, false, "accept"),
        ("restrict", false, false, "NotTouched"),
        ("restrict", false, true, "NotTouched"),
        ("no-touch-required", false, false, "accept"),
        ("verify-required", true, true, "accept"),
        ("verify-required", true, false, "UserNotVerified"),
        ("verify-required,no-touch-required", false, false, "UserNotVerified"),
    ] {
        assert_eq!(says(options, used(touched, verified, 1)), said, "{options}");
    }
    assert_eq!(says("no-touch-required", Signature::Invalid), "BadSignature");
}

#[test]
fn a_counter_that_goes_back_or_cannot_be_kept_refuses() {
    let key = OfferedKey::from(token_key());
    let directory = directory([user_with_keys("alice", &[token_key().to_openssh("")])]);
    let world = Script::default();
    let by = |counter| {
        Connection::new(&directory, &world, "alice")
            .says(signed_as(&key, used(true, false, counter)))
    };
    assert_eq!(by(5), "accept");
    assert_eq!(by(6), "accept");
    assert_eq!(by(6), "CounterWentBack");
    assert_eq!(by(2), "CounterWentBack");

    let broken = Script::broken();
    let mut connection = Connection::new(&directory, &broken, "alice");
    assert_eq!(connection.says(signed_as(&key, used(true, false, 9))), "StateFailed");
}

struct Lines(Result<Vec<AuthorizedKey>, String>);

impl KeyLookup for Lines {
    fn keys(&self, user: &str, _: &OfferedKey) -> Result<Vec<AuthorizedKey>, String> {
        if user == "alice" { self.0.clone() } else { Ok(Vec::new()) }
    }
}

#[test]
fn lines_of_a_program_come_behind_the_users_own_and_fail_closed() {
    let says = |lines: Result<&[&str], &str>, user: &str, seed| {
        let lines = lines.map(|all| {
            all.iter().map(|options| format!("{options} {}", line(3)).parse().unwrap()).collect()
        });
        let rules = LoginRules {
            key_lookup: Some(std::sync::Arc::new(Lines(lines.map_err(str::to_owned)))),
            ..LoginRules::default()
        };
        let users = [user_with_keys("alice", &[line(1)]), User::new("bob", "/srv")];
        once(&with_rules(users, rules), user, signed(&offered(seed)))
    };
    assert_eq!(says(Ok(&["restrict"]), "alice", 3), "accept");
    assert_eq!(says(Ok(&["restrict"]), "alice", 4), "KeyNotAuthorized");
    assert_eq!(says(Ok(&["restrict"]), "bob", 3), "KeyNotAuthorized");
    assert_eq!(says(Ok(&["restrict"]), "nobody", 3), "UnknownUser");
    assert_eq!(says(Ok(&["from=\"10.0.0.1\""]), "alice", 3), "KeyFrom");
    assert_eq!(says(Ok(&[]), "alice", 3), "KeyNotAuthorized");
    assert_eq!(says(Err("timed out"), "alice", 3), "HookFailed");
    assert_eq!(says(Err("timed out"), "alice", 1), "accept", "not asked about the user's own");
}
