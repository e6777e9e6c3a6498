//! What holds whatever is proven: enabled, where from, when, how long.

use std::sync::Arc;

use sterna_identity::{Credential, HostBasedRules, HostUser, Hours, LoginRules, User};
use sterna_ssh_files::KnownHosts;

use crate::support::*;

fn base() -> User {
    let from = HostUser { host: "batch.example.com".into(), user: "job".into(), place: None };
    User {
        host_based: vec![from],
        ..full_user("alice", &["publickey", "password", "hostbased", "keyboard-interactive"])
    }
}

/// What `user` hears by every method, which must be the same.
#[track_caller]
fn says(user: User, source: &str) -> String {
    let mut known_hosts = KnownHosts::default();
    let text = format!("batch.example.com {}", line(200));
    known_hosts.add_text("known_hosts", text.as_bytes()).unwrap();
    let host_based = HostBasedRules { known_hosts: Arc::new(known_hosts), check_address: false };
    let rules = LoginRules { host_based: Some(host_based), ..LoginRules::default() };
    let (directory, world) = (with_rules([user], rules), Script::default());
    let connect = || Connection::new(&directory, &world, "alice").from(source);

    let (key, host) = (offered(1), offered(200));
    let mut said = connect().says(Credential::PublicKeyQuery(&key)).replace("key ok", "accept");
    for credential in [signed(&key), RIGHT, host_claim(&host, "batch.example.com", "job")] {
        let next = connect().says(credential);
        assert_eq!(next, said, "{credential:?}");
        said = next;
    }
    let mut connection = connect();
    assert_eq!(connection.says(ASK_ME), "ask Password:");
    assert_eq!(connection.answers(&[PASSWORD]), said, "keyboard-interactive");
    said
}

#[test]
fn policy_holds_for_every_method() {
    let from = |list: &str| User { allow_from: Some(list.parse().unwrap()), ..base() };
    let hours = |text: &str| {
        let zone = Some(jiff::tz::TimeZone::UTC);
        User { hours: Some(Hours::new([text], zone).unwrap()), ..base() }
    };
    let here = "192.0.2.7";
    assert_eq!(says(base(), here), "accept");
    assert_eq!(says(User { enabled: false, ..base() }, here), "UserDisabled");
    assert_eq!(says(User { expires: Some(NOW + 1), ..base() }, here), "accept");
    assert_eq!(says(User { expires: Some(NOW), ..base() }, here), "UserExpired");
    assert_eq!(says(from("192.0.2.0/24"), here), "accept");
    assert_eq!(says(from("192.0.2.0/24"), "::ffff:192.0.2.1"), "accept");
    assert_eq!(says(from("192.0.2.0/24"), "192.0.3.7"), "SourceNotAllowed");
    assert_eq!(says(from("192.0.2.0/24"), "2001:db8::1"), "SourceNotAllowed");
    assert_eq!(says(from("2001:db8::/32"), "2001:db8::1"), "accept");
    assert_eq!(says(from("192.0.2.0/24,!192.0.2.7"), here), "SourceNotAllowed");
    // NOW is a Friday, 01:58.
    assert_eq!(says(hours("fri 01:58-02:00"), here), "accept");
    assert_eq!(says(hours("22:00-06:00"), here), "accept");
    assert_eq!(says(hours("fri 01:00-01:58"), here), "OutsideHours");
    assert_eq!(says(hours("fri 01:59-02:00"), here), "OutsideHours");
    assert_eq!(says(hours("sat-thu 01:00-02:00"), here), "OutsideHours");
}

/// Between two steps the clock may pass the end.
#[test]
fn policy_is_judged_at_every_step() {
    let user = User { expires: Some(NOW + 60), ..full_user("alice", &["publickey,password"]) };
    let (directory, world) = (directory([user]), Script::default());
    let mut connection = Connection::new(&directory, &world, "alice");
    assert_eq!(connection.says(signed(&offered(1))), "next password");
    connection.now += 60;
    assert_eq!(connection.says(RIGHT), "UserExpired");
}
