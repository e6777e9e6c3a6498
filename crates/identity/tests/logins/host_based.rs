//! Hosts that speak for their users (RFC 4252 §9; HBA-2).

use std::sync::Arc;

use sterna_identity::{
    Credential, Directory, HostBasedRules, HostClaim, HostUser, LoginRules, Revoked, User,
};
use sterna_ssh_crypto::{CertificateKind, OfferedKey};
use sterna_ssh_files::{KnownHosts, RevokedKeys, Shosts};
use sterna_testkit::CertificateSpec;

use crate::support::*;

const HOST: u8 = 200;
const OTHER_HOST: u8 = 201;
const CA: u8 = 100;

fn known(text: &str) -> Arc<KnownHosts> {
    let mut hosts = KnownHosts::default();
    hosts.add_text("known_hosts", text.as_bytes()).unwrap();
    Arc::new(hosts)
}

fn rules(known_hosts: &str, check_address: bool) -> LoginRules {
    let host_based = HostBasedRules { known_hosts: known(known_hosts), check_address };
    LoginRules { host_based: Some(host_based), ..LoginRules::default() }
}

/// `batch.example.com:job` is alice.
fn alice() -> User {
    let pair =
        HostUser { host: "batch.example.com".into(), user: "job".into(), place: Some(place(9)) };
    User { host_based: vec![pair], ..User::new("alice", "/srv") }
}

fn world() -> Script {
    let addresses = [
        ("batch.example.com", vec!["198.51.100.1".parse().unwrap(), "192.0.2.7".parse().unwrap()]),
        ("other.example.com", vec!["192.0.2.99".parse().unwrap()]),
    ];
    Script::resolving(addresses)
}

fn batch() -> String {
    format!("batch.example.com {}\nother.example.com {}\n", line(HOST), line(OTHER_HOST))
}

fn says(directory: &Directory, source: &str, credential: Credential<'_>) -> String {
    Connection::new(directory, &world(), "alice").from(source).says(credential)
}

#[test]
fn name_address_user_and_key_must_all_fit() {
    let directory = with_rules([alice()], rules(&batch(), true));
    let (key, other) = (offered(HOST), offered(OTHER_HOST));
    for (source, key, host, user, said) in [
        ("192.0.2.7", &key, "batch.example.com", "job", "accept"),
        ("192.0.2.7", &key, "batch.example.com.", "job", "accept"),
        ("192.0.2.7", &key, "BATCH.Example.com.", "job", "accept"),
        ("198.51.100.1", &key, "batch.example.com", "job", "accept"),
        ("::ffff:192.0.2.7", &key, "batch.example.com", "job", "accept"),
        ("192.0.2.8", &key, "batch.example.com", "job", "HostAddress"),
        ("2001:db8::1", &key, "batch.example.com", "job", "HostAddress"),
        ("192.0.2.7", &key, "nowhere.example.com", "job", "HostKeyUnknown"),
        ("192.0.2.7", &other, "other.example.com", "job", "HostAddress"),
        ("192.0.2.99", &other, "other.example.com", "job", "HostUserNotListed"),
        ("192.0.2.7", &key, "batch.example.com", "root", "HostUserNotListed"),
        ("192.0.2.7", &key, "batch.example.com", "Job", "HostUserNotListed"),
        ("192.0.2.7", &key, "batch.example.com", "", "HostUserNotListed"),
        ("192.0.2.7", &other, "batch.example.com", "job", "HostKeyUnknown"),
        ("192.0.2.7", &offered(9), "batch.example.com", "job", "HostKeyUnknown"),
        ("192.0.2.7", &key, "", "job", "HostName"),
        ("192.0.2.7", &key, "batch.example.com..", "job", "HostKeyUnknown"),
        ("192.0.2.7", &key, "*", "job", "HostName"),
        ("192.0.2.7", &key, "batch.example.com,other.example.com", "job", "HostName"),
        ("192.0.2.7", &key, "[batch.example.com]:22", "job", "HostName"),
    ] {
        let said_now = says(&directory, source, host_claim(key, host, user));
        assert_eq!(said_now, said, "{source} {host} {user}");
    }
}

#[test]
fn without_the_address_check_everything_else_still_counts() {
    let directory = with_rules([alice()], rules(&batch(), false));
    let (key, other) = (offered(HOST), offered(OTHER_HOST));
    let by = |key, host, user| says(&directory, "203.0.113.1", host_claim(key, host, user));
    assert_eq!(by(&key, "batch.example.com", "job"), "accept");
    assert_eq!(by(&other, "batch.example.com", "job"), "HostKeyUnknown");
    assert_eq!(by(&key, "other.example.com", "job"), "HostKeyUnknown");
    assert_eq!(by(&other, "other.example.com", "job"), "HostUserNotListed");
    assert_eq!(by(&key, "batch.example.com", "root"), "HostUserNotListed");
}

#[test]
fn the_signature_must_be_right() {
    let directory = with_rules([alice()], rules(&batch(), true));
    let key = offered(HOST);
    let claim = HostClaim {
        key: &key,
        client_host: b"batch.example.com",
        client_user: b"job",
        signature_valid: false,
    };
    assert_eq!(says(&directory, "192.0.2.7", Credential::HostBased(claim)), "BadSignature");
}

/// Goal: a stranger cannot make us look up names of his choice.
#[test]
fn a_name_is_looked_up_only_when_its_host_has_signed_with_a_listed_key() {
    let list =
        format!("batch.example.com {}\n@revoked batch.example.com {}\n", line(HOST), line(9));
    let bob = User { known_hosts: Some(known(&batch())), ..User::new("bob", "/srv") };
    let directory = with_rules([alice(), bob], rules(&list, true));
    let (key, other) = (offered(HOST), offered(OTHER_HOST));
    for (key, host, signature_valid, said, lookups) in [
        (&key, "batch.example.com", true, "accept", 1),
        (&key, "batch.example.com", false, "BadSignature", 0),
        (&key, "slow.example.net", true, "HostKeyUnknown", 0),
        (&offered(8), "batch.example.com", true, "HostKeyUnknown", 0),
        (&offered(9), "batch.example.com", true, "HostKeyRevoked", 0),
        // In bob's own list: whoever is named, it costs the same.
        (&other, "other.example.com", true, "HostAddress", 1),
    ] {
        let world = world();
        let claim =
            HostClaim { key, client_host: host.as_bytes(), client_user: b"job", signature_valid };
        let mut alice = Connection::new(&directory, &world, "alice").from("192.0.2.7");

        assert_eq!(alice.says(Credential::HostBased(claim)), said, "{host}");
        assert_eq!(world.name_lookups.into_inner(), lookups, "{host} {said}");
    }
}

#[test]
fn without_rules_or_pairs_no_host_speaks_for_anybody() {
    let key = offered(HOST);
    let claim = || host_claim(&key, "batch.example.com", "job");
    let no_rules = directory([alice()]);
    assert_eq!(says(&no_rules, "192.0.2.7", claim()), "MethodNotNext");
    let no_pairs = with_rules([full_user("alice", &[])], rules(&batch(), true));
    assert_eq!(says(&no_pairs, "192.0.2.7", claim()), "MethodNotNext");
    // The name of a host is no address in the user's list, and no pattern.
    let pattern = HostUser { host: "*".into(), user: "job".into(), place: None };
    let patterns = User { host_based: vec![pattern], ..User::new("alice", "/srv") };
    let patterns = with_rules([patterns], rules(&batch(), true));
    assert_eq!(says(&patterns, "192.0.2.7", claim()), "HostUserNotListed");
}

#[test]
fn shosts_lines_allow_and_deny() {
    let key = offered(HOST);
    for (shosts, user, said) in [
        ("batch.example.com job", "job", "accept"),
        ("batch.example.com", "alice", "accept"),
        ("192.0.2.7 job", "job", "accept"),
        ("batch.example.com", "job", "HostUserNotListed"),
        ("batch.example.com -job", "job", "HostUserNotListed"),
        ("-batch.example.com job\nbatch.example.com job", "job", "HostUserNotListed"),
        ("+ job", "job", "HostUserNotListed"),
        ("batch.example.com +", "job", "HostUserNotListed"),
        ("", "job", "HostUserNotListed"),
    ] {
        let shosts = Shosts::parse(".shosts", shosts.as_bytes()).unwrap();
        let user_here =
            User { shosts: Some(Arc::new(shosts.clone())), ..User::new("alice", "/srv") };
        let directory = with_rules([user_here], rules(&batch(), true));
        let claim = host_claim(&key, "batch.example.com", user);
        assert_eq!(says(&directory, "192.0.2.7", claim), said, "{shosts:?} {user}");
    }
    let claim = Credential::HostBased(HostClaim {
        key: &key,
        client_host: b"batch.example.com",
        client_user: b"j\xffb",
        signature_valid: true,
    });
    let shosts = Shosts::parse(".shosts", b"batch.example.com").unwrap();
    let user_here = User { shosts: Some(Arc::new(shosts)), ..User::new("alice", "/srv") };
    let directory = with_rules([user_here], rules(&batch(), true));
    assert_eq!(says(&directory, "192.0.2.7", claim), "HostUserNotListed");
}

#[test]
fn revoked_host_keys_are_refused_by_either_list() {
    let key = offered(HOST);
    let claim = || host_claim(&key, "batch.example.com", "job");
    let revoked = format!("@revoked * {}\n{}", line(HOST), batch());
    let elsewhere = format!("@revoked other.example.com {}\n{}", line(HOST), batch());
    let by = |user, rules| says(&with_rules([user], rules), "192.0.2.7", claim());
    assert_eq!(by(alice(), rules(&revoked, true)), "HostKeyRevoked");
    assert_eq!(by(alice(), rules(&elsewhere, true)), "accept");
    let own = |text: &str| User { known_hosts: Some(known(text)), ..alice() };
    assert_eq!(by(own(&revoked), rules(&batch(), true)), "HostKeyRevoked");
    assert_eq!(by(own(&batch()), rules(&revoked, true)), "HostKeyRevoked");
    let keys = Arc::new(RevokedKeys::from_bytes(line(HOST).as_bytes()).unwrap());
    let all = LoginRules { revoked: Some(Revoked { keys, place: None }), ..rules(&batch(), true) };
    assert_eq!(by(alice(), all), "KeyRevoked");
}

#[test]
fn a_users_own_known_hosts_add_to_those_for_everybody() {
    let key = offered(HOST);
    let by = |name: &str, own: &str| {
        let mine = User { known_hosts: Some(known(own)), ..alice() };
        let bob = User { name: "bob".into(), ..alice() };
        let directory = with_rules([mine, bob], rules("", true));
        let world = world();
        let mut connection = Connection::new(&directory, &world, name);
        connection.says(host_claim(&key, "batch.example.com", "job"))
    };
    assert_eq!(by("alice", &batch()), "accept");
    assert_eq!(by("bob", &batch()), "HostKeyUnknown", "the list is alice's");
    assert_eq!(by("alice", ""), "HostKeyUnknown");
}

#[test]
fn host_certificates_must_name_the_host_and_hold_nothing_else() {
    let authority = format!("@cert-authority *.example.com {}", line(CA));
    let directory = with_rules([alice()], rules(&authority, true));
    let good = || CertificateSpec {
        kind: CertificateKind::Host,
        principals: vec!["batch.example.com"],
        ..CertificateSpec::default()
    };
    let by = |spec: CertificateSpec, ca| {
        let key: OfferedKey = spec.sign(&pair(ca), &public(HOST)).into();
        says(&directory, "192.0.2.7", host_claim(&key, "batch.example.com.", "job"))
    };
    assert_eq!(by(good(), CA), "accept");
    assert_eq!(by(CertificateSpec { principals: vec!["*.example.com"], ..good() }, CA), "accept");
    assert_eq!(by(CertificateSpec { extensions: vec!["x"], ..good() }, CA), "accept");
    for (spec, said) in [
        (
            CertificateSpec { principals: vec!["other.example.com"], ..good() },
            "CertificatePrincipal",
        ),
        (
            CertificateSpec { principals: vec!["batch.example.com,x"], ..good() },
            "CertificatePrincipal",
        ),
        (CertificateSpec { principals: vec!["batch"], ..good() }, "CertificatePrincipal"),
        (CertificateSpec { principals: vec![], ..good() }, "CertificatePrincipal"),
        (CertificateSpec { valid_before: NOW, ..good() }, "CertificateTime"),
        (CertificateSpec { valid_after: NOW + 1, ..good() }, "CertificateTime"),
        (CertificateSpec { kind: CertificateKind::User, ..good() }, "CertificateKind"),
        (
            CertificateSpec { critical_options: vec![("verify-required", None)], ..good() },
            "CertificateOption",
        ),
    ] {
        let shown = format!("{spec:?}");
        assert_eq!(by(spec, CA), said, "{shown}");
    }
    assert_eq!(by(good(), CA + 1), "HostKeyUnknown");
}

#[test]
fn authorities_are_for_their_hosts_only_and_may_be_revoked() {
    let spec = CertificateSpec {
        kind: CertificateKind::Host,
        principals: vec!["batch.example.com"],
        ..CertificateSpec::default()
    };
    let key: OfferedKey = spec.sign(&pair(CA), &public(HOST)).into();
    for (text, said) in [
        (format!("@cert-authority batch.example.com {}", line(CA)), "accept"),
        (format!("@cert-authority other.example.com {}", line(CA)), "HostKeyUnknown"),
        (format!("batch.example.com {}", line(CA)), "HostKeyUnknown"),
        // The key alone is listed: it came in a certificate, and that one nobody vouches for.
        (format!("batch.example.com {}", line(HOST)), "HostKeyUnknown"),
        (format!("@cert-authority * {}\n@revoked * {}", line(CA), line(CA)), "HostKeyRevoked"),
        (format!("@cert-authority * {}\n@revoked * {}", line(CA), line(HOST)), "HostKeyRevoked"),
    ] {
        let directory = with_rules([alice()], rules(&text, true));
        let claim = host_claim(&key, "batch.example.com", "job");
        assert_eq!(says(&directory, "192.0.2.7", claim), said, "{text}");
    }
    // Who certifies hosts does not certify users.
    let user: OfferedKey = CertificateSpec::default().sign(&pair(CA), &public(1)).into();
    let directory = with_rules(
        [User {
            password: Some(password()),
            authorized_keys: vec![authorized(&line(2), 1)],
            ..alice()
        }],
        rules(&format!("@cert-authority * {}", line(CA)), true),
    );
    assert_eq!(says(&directory, "192.0.2.7", signed(&user)), "AuthorityUnknown");
}

/// Asking for a name takes time: it must not show who exists.
#[test]
fn names_are_looked_up_whoever_is_named() {
    let directory = with_rules([alice(), full_user("bob", &[])], rules(&batch(), true));
    let key = offered(HOST);
    for name in ["alice", "bob", "nobody"] {
        let world = world();
        Connection::new(&directory, &world, name).says(host_claim(
            &key,
            "batch.example.com",
            "job",
        ));
        let asked = world.name_lookups.load(std::sync::atomic::Ordering::Relaxed);
        assert_eq!(asked, 1, "{name}");
    }
}
