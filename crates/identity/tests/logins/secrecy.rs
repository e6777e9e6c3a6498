//! A refusal tells nothing: neither by what it offers nor by what it costs.

use std::sync::Arc;

use sterna_identity::hook::ExternalAnswer;
use sterna_identity::{Authority, Credential, Decision, Directory, LoginRules, Signature, User};
use sterna_ssh_crypto::OfferedKey;
use sterna_testkit::CertificateSpec;

use crate::support::*;

const NAMES: [&str; 9] =
    ["any", "key-only", "coded", "marked", "disabled", "elsewhere", "no-password", "nobody", ""];

fn users() -> Vec<User> {
    vec![
        full_user("any", &[]),
        full_user("key-only", &["publickey"]),
        User { totp: Some(totp()), ..full_user("coded", &["keyboard-interactive"]) },
        User { must_change_password: true, ..full_user("marked", &[]) },
        User { enabled: false, ..full_user("disabled", &[]) },
        User { allow_from: Some("10.0.0.1".parse().unwrap()), ..full_user("elsewhere", &[]) },
        user_with_keys("no-password", &[line(1)]),
    ]
}

fn trusting() -> LoginRules {
    let authority = Authority { key: public(100), place: None };
    LoginRules { user_authorities: vec![authority], ..LoginRules::default() }
}

fn offers(directory: &Directory, name: &str, credential: Credential<'_>) -> Vec<String> {
    let world = Script::default();
    match Connection::new(directory, &world, name).decide(credential) {
        Decision::Reject { methods, .. } => {
            methods.iter().map(|method| method.name().to_owned()).collect()
        }
        other => panic!("{name} {credential:?}: {other:?}"),
    }
}

#[test]
fn every_refusal_offers_the_same() {
    let directory = with_rules(users(), trusting());
    let (unknown, mine) = (offered(9), offered(1));
    let foreign = CertificateSpec { principals: vec!["x"], ..CertificateSpec::default() };
    let foreign: OfferedKey = foreign.sign(&pair(100), &public(1)).into();
    let old = CertificateSpec { valid_before: NOW, ..CertificateSpec::default() };
    let old: OfferedKey = old.sign(&pair(100), &public(1)).into();
    for credential in [
        Credential::None,
        WRONG,
        Credential::Password(b""),
        Credential::PasswordChange { old: b"wrong", new: b"new and long" },
        Credential::PublicKeyQuery(&unknown),
        Credential::PublicKeyQuery(&foreign),
        Credential::PublicKeyQuery(&old),
        signed(&unknown),
        signed_as(&mine, Signature::Invalid),
        host_claim(&unknown, "batch.example.com", "job"),
        Credential::Other(b"gssapi-with-mic"),
        Credential::Answers(&[]),
    ] {
        for name in NAMES {
            let offered = offers(&directory, name, credential);
            let expected = ["publickey", "keyboard-interactive", "password"];
            assert_eq!(offered, expected, "{name} {credential:?}");
        }
    }
}

#[test]
fn a_password_costs_one_hash_whoever_is_named() {
    let directory = directory(users());
    for name in NAMES {
        for password in [PASSWORD, b"wrong"] {
            let world = Script::default();
            Connection::new(&directory, &world, name).says(Credential::Password(password));
            assert_eq!(world.hashes(), 1, "{name}");

            let world = Script::default();
            let change = Credential::PasswordChange { old: password, new: b"new and long" };
            Connection::new(&directory, &world, name).says(change);
            assert_eq!(world.hashes(), 1, "{name}: change");

            let world = Script::default();
            let mut connection = Connection::new(&directory, &world, name);
            connection.says(ASK_ME);
            assert_eq!(world.hashes(), 0, "{name}: nothing was said");
            connection.answers(&[password]);
            assert_eq!(world.hashes(), 1, "{name}: in a dialogue");
        }
    }
}

#[test]
fn what_a_program_outside_says_does_not_show_in_the_cost() {
    let disabled = User { enabled: false, ..User::new("remote", "/srv") };
    for answer in [
        Ok(ExternalAnswer::Deny),
        Err("timed out".to_owned()),
        Ok(ExternalAnswer::Judge(Arc::new(full_user("remote", &[])))),
        Ok(ExternalAnswer::Judge(Arc::new(User::new("remote", "/srv")))),
        Ok(ExternalAnswer::Allow(Arc::new(disabled))),
    ] {
        let shown = format!("{answer:?}");
        let rules = LoginRules { external: Some(Always::new(answer)), ..LoginRules::default() };
        let (directory, world) = (with_rules(users(), rules), Script::default());
        Connection::new(&directory, &world, "remote").says(WRONG);
        assert_eq!(world.hashes(), 1, "{shown}");
    }
}

/// Whoever has proven something may know what is left.
#[test]
fn behind_a_proof_only_what_is_left_is_offered() {
    let directory = directory([full_user("alice", &["publickey,password"]), full_user("b", &[])]);
    let world = Script::default();
    let mut connection = Connection::new(&directory, &world, "alice");
    assert_eq!(connection.says(signed(&offered(1))), "next password");
    match connection.decide(WRONG) {
        Decision::Reject { methods, .. } => assert_eq!(names(&methods), "password"),
        other => panic!("{other:?}"),
    }
}
