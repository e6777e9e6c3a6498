//! Each decision names the rules that made it.

use std::collections::HashSet;

use sterna_identity::{Decision, Reason, User};

use crate::support::*;

#[test]
fn an_accepted_login_names_rules_and_places() {
    let alice = User {
        place: Some(place(20)),
        allow_from: Some("192.0.2.0/24".parse().unwrap()),
        expires: Some(NOW + 1),
        ..user_with_keys("alice", &[line(2), format!("from=\"192.0.2.7\" {}", line(1))])
    };
    let (directory, world) = (directory([alice]), Script::default());
    let mut connection = Connection::new(&directory, &world, "alice");
    connection.login(signed(&offered(1)));

    let found: Vec<(&str, Option<usize>)> = connection
        .trace
        .findings()
        .iter()
        .map(|finding| (finding.rule, finding.place.as_ref().map(|place| place.line)))
        .collect();
    assert_eq!(
        found,
        [
            ("user.enabled", Some(20)),
            ("user.allow_from", Some(20)),
            ("user.expires", Some(20)),
            ("user.methods", Some(20)),
            ("authorized_keys", Some(2)),
        ]
    );
    let rules: HashSet<&str> = Reason::ALL.iter().map(|reason| reason.rule()).collect();
    assert!(found.iter().all(|(rule, _)| rules.contains(rule)));
}

#[test]
fn a_refusal_names_the_line_that_refused() {
    let alice = User {
        place: Some(place(20)),
        ..user_with_keys("alice", &[line(2), format!("from=\"10.0.0.1\" {}", line(1))])
    };
    let users = [alice, User { enabled: false, place: Some(place(7)), ..full_user("bob", &[]) }];
    let (directory, world) = (directory(users), Script::default());
    for (name, credential, rule, line) in [
        ("alice", signed(&offered(1)), "authorized_keys.from", Some(2)),
        ("alice", RIGHT, "user.methods", Some(20)),
        ("bob", RIGHT, "user.enabled", Some(7)),
        ("nobody", RIGHT, "user", None),
    ] {
        match Connection::new(&directory, &world, name).decide(credential) {
            Decision::Reject { refusal, .. } => {
                assert_eq!(refusal.reason.rule(), rule);
                assert_eq!(refusal.place.map(|place| place.line), line, "{name} {rule}");
            }
            other => panic!("{name}: {other:?}"),
        }
    }
}

#[test]
fn every_reason_has_a_rule_and_words_of_its_own() {
    let texts: HashSet<String> = Reason::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        let rule = reason.rule();
        let usable = |c: char| c.is_ascii_lowercase() || matches!(c, '.' | '_' | '-');
        assert!(!rule.is_empty() && rule.chars().all(usable), "{rule}");
    }
}
