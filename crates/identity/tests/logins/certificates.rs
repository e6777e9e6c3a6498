//! User certificates, clause by clause (CRT-3, CRT-4, CRT-5).

use std::sync::Arc;

use sterna_identity::{Authority, LoginRules, Restrictions, Revoked, Signature, User};
use sterna_ssh_crypto::{CertificateKind, OfferedKey};
use sterna_ssh_files::RevokedKeys;
use sterna_testkit::CertificateSpec;

use crate::support::*;

const CA: u8 = 100;
const OTHER_CA: u8 = 101;

fn trusting(ca: u8) -> LoginRules {
    let authority = Authority { key: public(ca), place: Some(place(3)) };
    LoginRules { user_authorities: vec![authority], ..LoginRules::default() }
}

fn certified(spec: &CertificateSpec) -> OfferedKey {
    spec.sign(&pair(CA), &public(1)).into()
}

/// What `alice`, who has no keys of her own, hears from 192.0.2.7.
fn says(spec: &CertificateSpec) -> String {
    let directory = with_rules([User::new("alice", "/srv")], trusting(CA));
    let key = certified(spec);
    let said = once(&directory, "alice", signed(&key));
    let queried = once(&directory, "alice", sterna_identity::Credential::PublicKeyQuery(&key));
    assert_eq!(queried, said.replace("accept", "key ok"), "a query is judged as the login");
    said
}

#[test]
fn a_certificate_of_a_trusted_authority_logs_in_whom_it_names() {
    let plain = CertificateSpec::default();
    assert_eq!(says(&plain), "accept");
    let names = |principals: &[&'static str]| CertificateSpec {
        principals: principals.to_vec(),
        ..CertificateSpec::default()
    };
    assert_eq!(says(&names(&["bob", "alice"])), "accept");
    for others in [
        &[][..],
        &["bob"],
        &["alice,root"],
        &["root,alice"],
        &["alic"],
        &["alice2"],
        &["xalice"],
        &["Alice"],
        &["alice "],
        &["ali*"],
        &["*"],
        &[""],
    ] {
        assert_eq!(says(&names(others)), "CertificatePrincipal", "{others:?}");
    }
}

#[test]
fn the_authority_must_be_trusted_and_have_signed_by_an_allowed_algorithm() {
    let alice = || [User::new("alice", "/srv")];
    let key = certified(&CertificateSpec::default());
    let by = |rules| once(&with_rules(alice(), rules), "alice", signed(&key));
    assert_eq!(by(trusting(CA)), "accept");
    assert_eq!(by(trusting(OTHER_CA)), "AuthorityUnknown");
    let only =
        |name: &str| LoginRules { ca_signature_algorithms: vec![name.to_owned()], ..trusting(CA) };
    assert_eq!(by(only("ssh-ed25519")), "accept");
    assert_eq!(by(only("ecdsa-sha2-nistp256")), "AuthoritySignature");
    assert_eq!(by(only("")), "AuthoritySignature");
    // The certified key itself is no way in.
    assert_eq!(
        once(&with_rules(alice(), trusting(CA)), "alice", signed(&offered(1))),
        "KeyNotAuthorized"
    );
    // Nor is the authority's.
    assert_eq!(
        once(&with_rules(alice(), trusting(CA)), "alice", signed(&offered(CA))),
        "KeyNotAuthorized"
    );
}

#[test]
fn a_certificate_that_was_changed_or_signed_by_somebody_else_is_worthless() {
    let good = certified(&CertificateSpec::default()).to_wire();
    let directory = with_rules([User::new("alice", "/srv")], trusting(CA));
    let mut readable = 0;
    for at in 0..good.len() {
        let mut changed = good.clone();
        changed[at] ^= 1;
        let Ok(key) = OfferedKey::from_wire(&changed) else { continue };
        readable += 1;
        assert_ne!(once(&directory, "alice", signed(&key)), "accept", "byte {at}");
    }
    assert!(readable > 100, "{readable}");
    // Names the trusted authority, and another one signed it.
    let other = CertificateSpec::default().sign(&pair(OTHER_CA), &public(1));
    let mut forged = other.to_wire().to_vec();
    let (ca, wrong) = (public(CA).to_wire(), public(OTHER_CA).to_wire());
    let at = forged.windows(wrong.len()).position(|window| window == wrong).unwrap();
    forged[at..at + ca.len()].copy_from_slice(&ca);
    let key = OfferedKey::from_wire(&forged).unwrap();
    assert_eq!(once(&directory, "alice", signed(&key)), "AuthoritySignature");
}

#[test]
fn kind_and_time_must_fit() {
    let of = |kind, valid_after, valid_before| CertificateSpec {
        kind,
        valid_after,
        valid_before,
        ..CertificateSpec::default()
    };
    use CertificateKind::{Host, User};
    assert_eq!(says(&of(User, NOW, NOW + 1)), "accept", "one second only");
    assert_eq!(says(&of(User, 0, u64::MAX)), "accept");
    assert_eq!(says(&of(Host, 0, u64::MAX)), "CertificateKind");
    assert_eq!(says(&of(User, NOW + 1, u64::MAX)), "CertificateTime", "not yet");
    assert_eq!(says(&of(User, 0, NOW)), "CertificateTime", "no more");
    assert_eq!(says(&of(User, NOW + 1, NOW)), "CertificateTime", "never");
    assert_eq!(says(&of(User, 0, 0)), "CertificateTime");
}

#[test]
fn principals_in_the_settings_replace_the_login_name() {
    let alice = User {
        principals: vec!["ops".into(), "alice@example.com".into()],
        ..User::new("alice", "/srv")
    };
    let directory = with_rules([alice], trusting(CA));
    let named = |principals: &[&'static str]| {
        let spec = CertificateSpec { principals: principals.to_vec(), ..Default::default() };
        once(&directory, "alice", signed(&certified(&spec)))
    };
    assert_eq!(named(&["alice@example.com"]), "accept");
    assert_eq!(named(&["dev", "ops"]), "accept");
    assert_eq!(named(&["alice"]), "CertificatePrincipal");
    assert_eq!(named(&["ops,dev"]), "CertificatePrincipal");
    assert_eq!(named(&["op"]), "CertificatePrincipal");
}

#[test]
fn critical_options_are_enforced_or_refuse() {
    let with = |name, value| CertificateSpec {
        critical_options: vec![(name, value)],
        ..CertificateSpec::default()
    };
    for (option, value, said) in [
        ("source-address", Some("192.0.2.7"), "accept"),
        ("source-address", Some("10.0.0.0/8,192.0.2.0/24"), "accept"),
        ("source-address", Some("192.0.2.8"), "CertificateSource"),
        ("source-address", Some("2001:db8::/32"), "CertificateSource"),
        ("source-address", Some("192.0.2.7/33"), "CertificateSource"),
        ("source-address", Some("192.0.2.*"), "CertificateSource"),
        ("source-address", Some("192.0.2.0/24,"), "CertificateSource"),
        ("source-address", Some(""), "CertificateSource"),
        ("source-address", None, "CertificateOption"),
        ("force-command", Some("internal-sftp"), "accept"),
        ("force-command", Some("/bin/sh"), "CertificateCommand"),
        ("force-command", Some(""), "CertificateCommand"),
        ("force-command", None, "CertificateOption"),
        ("verify-required", None, "accept"),
        ("verify-required", Some("yes"), "CertificateOption"),
        ("no-such-option", None, "CertificateOption"),
        ("Source-Address", Some("192.0.2.7"), "CertificateOption"),
        ("permit-pty", None, "CertificateOption"),
    ] {
        assert_eq!(says(&with(option, value)), said, "{option} {value:?}");
    }
    let extension = CertificateSpec {
        extensions: vec!["no-such-extension", "permit-pty"],
        ..CertificateSpec::default()
    };
    assert_eq!(says(&extension), "accept", "extensions that nobody knows are passed over");
}

#[test]
fn a_forced_command_leaves_what_it_says() {
    let directory = with_rules([User::new("alice", "/srv")], trusting(CA));
    let left = |options: Vec<(&'static str, Option<&'static str>)>| {
        let spec = CertificateSpec { critical_options: options, ..Default::default() };
        let key = certified(&spec);
        let world = Script::default();
        Connection::new(&directory, &world, "alice").login(signed(&key)).restrictions
    };
    assert_eq!(left(vec![]), Restrictions::default());
    let forced = left(vec![("force-command", Some("internal-sftp -R"))]);
    assert!(forced.sftp_only && forced.read_only);
}

#[test]
fn an_authority_of_one_user_certifies_under_the_conditions_of_its_line() {
    let says = |options: &str, spec: &CertificateSpec| {
        let alice = user_with_keys("alice", &[format!("{options} {}", line(CA))]);
        once(&directory([alice]), "alice", signed(&certified(spec)))
    };
    let plain = CertificateSpec::default();
    let ops = CertificateSpec { principals: vec!["ops"], ..CertificateSpec::default() };
    let forced = |command| CertificateSpec {
        critical_options: vec![("force-command", Some(command))],
        ..CertificateSpec::default()
    };
    let read_only = forced("internal-sftp -R");
    for (options, spec, said) in [
        ("cert-authority", &plain, "accept"),
        ("restrict", &plain, "AuthorityUnknown"),
        ("cert-authority", &ops, "CertificatePrincipal"),
        ("cert-authority,principals=\"ops,dev\"", &ops, "accept"),
        ("cert-authority,principals=\"dev,ops\"", &ops, "accept"),
        ("cert-authority,principals=\"ops,dev\"", &plain, "CertificatePrincipal"),
        ("cert-authority,principals=\"op\"", &ops, "CertificatePrincipal"),
        ("cert-authority,principals=\"\"", &ops, "CertificatePrincipal"),
        ("cert-authority,from=\"192.0.2.0/24\"", &plain, "accept"),
        ("cert-authority,from=\"192.0.2.0/24,!192.0.2.7\"", &plain, "KeyFrom"),
        ("cert-authority,expiry-time=\"20050318015831Z\"", &plain, "accept"),
        ("cert-authority,expiry-time=\"20050318015830Z\"", &plain, "KeyExpired"),
        ("cert-authority,command=\"internal-sftp -R\"", &plain, "accept"),
        ("cert-authority,command=\"internal-sftp -R\"", &read_only, "accept"),
        ("cert-authority,command=\"internal-sftp\"", &read_only, "KeyCommand"),
        ("cert-authority,command=\"/bin/true\"", &plain, "KeyCommand"),
    ] {
        assert_eq!(says(options, spec), said, "{options} {:?}", spec.principals);
    }
    let other: OfferedKey = plain.sign(&pair(OTHER_CA), &public(1)).into();
    let alice = user_with_keys("alice", &[format!("cert-authority {}", line(CA))]);
    let directory = directory([alice]);
    assert_eq!(once(&directory, "alice", signed(&other)), "AuthorityUnknown");
    assert_eq!(once(&directory, "alice", signed(&offered(CA))), "KeyNotAuthorized");
}

/// As in OpenSSH, where TrustedUserCAKeys and the user's own lines are two ways in.
#[test]
fn a_line_of_the_user_may_let_in_what_the_authority_for_everybody_does_not() {
    let own = format!("cert-authority,principals=\"ops\" {}", line(CA));
    let directory = with_rules([user_with_keys("alice", &[own])], trusting(CA));
    let by = |principal| {
        let spec = CertificateSpec { principals: vec![principal], ..Default::default() };
        once(&directory, "alice", signed(&certified(&spec)))
    };
    assert_eq!(by("alice"), "accept");
    assert_eq!(by("ops"), "accept");
    assert_eq!(by("dev"), "CertificatePrincipal");
}

#[test]
fn a_security_keys_certificate_may_go_untouched_only_if_authority_and_line_say_so() {
    let certificate = |extensions: &[&'static str]| -> OfferedKey {
        let spec = CertificateSpec { extensions: extensions.to_vec(), ..Default::default() };
        spec.sign(&pair(CA), &token_key()).into()
    };
    let free = &["no-touch-required"][..];
    let says = |line_options: Option<&str>, extensions, touched| {
        let directory = match line_options {
            Some(options) => {
                directory([user_with_keys("alice", &[format!("{options} {}", line(CA))])])
            }
            None => with_rules([User::new("alice", "/srv")], trusting(CA)),
        };
        let key = certificate(extensions);
        once(&directory, "alice", signed_as(&key, used(touched, false, 1)))
    };
    let (with, without) = (Some("cert-authority,no-touch-required"), Some("cert-authority"));
    for (options, extensions, touched, said) in [
        (with, free, false, "accept"),
        (with, &[][..], false, "NotTouched"),
        (without, free, false, "NotTouched"),
        (without, &[], false, "NotTouched"),
        (without, &[], true, "accept"),
        (None, free, false, "accept"),
        (None, &[], false, "NotTouched"),
        (None, &[], true, "accept"),
    ] {
        assert_eq!(says(options, extensions, touched), said, "{options:?} {extensions:?}");
    }
}

#[test]
fn verification_of_the_person_is_demanded_by_either_side() {
    let certificate = |options: Vec<_>| -> OfferedKey {
        let spec = CertificateSpec { critical_options: options, ..Default::default() };
        spec.sign(&pair(CA), &token_key()).into()
    };
    let demanding = certificate(vec![("verify-required", None)]);
    let plain = certificate(vec![]);
    for (options, key, verified, said) in [
        ("cert-authority", &demanding, true, "accept"),
        ("cert-authority", &demanding, false, "UserNotVerified"),
        ("cert-authority", &plain, false, "accept"),
        ("cert-authority,verify-required", &plain, false, "UserNotVerified"),
        ("cert-authority,verify-required", &plain, true, "accept"),
    ] {
        let directory = directory([user_with_keys("alice", &[format!("{options} {}", line(CA))])]);
        let said_now = once(&directory, "alice", signed_as(key, used(true, verified, 1)));
        assert_eq!(said_now, said, "{options} {verified}");
    }
}

#[test]
fn revoked_keys_and_authorities_are_refused_whoever_trusts_them() {
    let says = |revoked: &str, key: &OfferedKey| {
        let keys = Arc::new(RevokedKeys::from_bytes(revoked.as_bytes()).unwrap());
        let rules = LoginRules { revoked: Some(Revoked { keys, place: None }), ..trusting(CA) };
        let alice = user_with_keys("alice", &[line(1)]);
        once(&with_rules([alice], rules), "alice", signed(key))
    };
    let certificate = certified(&CertificateSpec::default());
    assert_eq!(says(&line(9), &certificate), "accept");
    assert_eq!(says(&line(9), &offered(1)), "accept");
    assert_eq!(says(&line(1), &offered(1)), "KeyRevoked");
    assert_eq!(says(&line(1), &certificate), "KeyRevoked", "the key inside");
    assert_eq!(says(&line(CA), &certificate), "KeyRevoked", "the authority");
    assert_eq!(says(&line(CA), &offered(1)), "accept", "has no authority");
}

#[test]
fn a_certificate_does_not_spare_the_signature() {
    let directory = with_rules([User::new("alice", "/srv")], trusting(CA));
    let key = certified(&CertificateSpec::default());
    assert_eq!(once(&directory, "alice", signed_as(&key, Signature::Invalid)), "BadSignature");
    assert_eq!(once(&directory, "bob", signed(&key)), "UnknownUser");
}
