//! Users that only a program outside knows.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sterna_identity::hook::ExternalAnswer;
use sterna_identity::{Credential, Directory, LoginRules, Method, Revoked, Signature, User};
use sterna_ssh_crypto::OfferedKey;
use sterna_ssh_files::RevokedKeys;
use sterna_testkit::CertificateSpec;

use crate::support::*;

fn rules(answer: &Arc<Always>) -> LoginRules {
    LoginRules { external: Some(answer.clone()), ..LoginRules::default() }
}

fn with_answer(answer: Result<ExternalAnswer, String>) -> (Directory, Arc<Always>) {
    let external = Always::new(answer);
    (with_rules([full_user("local", &[])], rules(&external)), external)
}

fn allow(user: User) -> (Directory, Arc<Always>) {
    with_answer(Ok(ExternalAnswer::Allow(Arc::new(user))))
}

fn judge(user: User) -> (Directory, Arc<Always>) {
    with_answer(Ok(ExternalAnswer::Judge(Arc::new(user))))
}

#[test]
fn local_users_are_never_asked_about() {
    let (directory, external) = allow(User::new("local", "/elsewhere"));
    assert_eq!(once(&directory, "local", WRONG), "WrongPassword");
    assert_eq!(once(&directory, "local", signed(&offered(9))), "KeyNotAuthorized");
    assert_eq!(once(&directory, "local", RIGHT), "accept");
    assert_eq!(external.asked.load(Ordering::Relaxed), 0);
}

#[test]
fn a_no_and_a_failure_refuse_everything() {
    for (answer, said) in
        [(Ok(ExternalAnswer::Deny), "HookDenied"), (Err("timed out".to_owned()), "HookFailed")]
    {
        let (directory, external) = with_answer(answer);
        let (key, world) = (offered(1), Script::default());
        for credential in [RIGHT, signed(&key), Credential::PublicKeyQuery(&key)] {
            assert_eq!(once(&directory, "remote", credential), said);
        }
        let mut connection = Connection::new(&directory, &world, "remote");
        assert_eq!(connection.says(ASK_ME), "ask Password:");
        assert_eq!(connection.answers(&[PASSWORD]), said);
        assert_eq!(external.asked.load(Ordering::Relaxed), 4);
    }
}

#[test]
fn who_is_vouched_for_needs_no_more_unless_the_record_says_so() {
    let (directory, _) = allow(User::new("remote", "/srv"));
    let (key, world) = (offered(1), Script::default());
    assert_eq!(once(&directory, "remote", WRONG), "accept", "right or wrong was its business");
    assert_eq!(once(&directory, "remote", signed(&key)), "accept");
    let mut connection = Connection::new(&directory, &world, "remote");
    connection.says(ASK_ME);
    assert_eq!(connection.answers(&[b"anything"]), "accept");

    let chained = User {
        methods: vec!["publickey,password".parse().unwrap()],
        ..User::new("remote", "/srv")
    };
    let (directory, _) = allow(chained);
    let mut connection = Connection::new(&directory, &world, "remote");
    assert_eq!(connection.says(RIGHT), "MethodNotNext");
    assert_eq!(connection.says(signed(&key)), "next password");
    assert_eq!(connection.says(RIGHT), "accept");
}

#[test]
fn being_vouched_for_spares_no_policy() {
    let new = || User::new("remote", "/srv");
    for (user, said) in [
        (User { enabled: false, ..new() }, "UserDisabled"),
        (User { expires: Some(NOW), ..new() }, "UserExpired"),
        (User { allow_from: Some("10.0.0.0/8".parse().unwrap()), ..new() }, "SourceNotAllowed"),
    ] {
        let (directory, _) = allow(user);
        assert_eq!(once(&directory, "remote", RIGHT), said);
        assert_eq!(once(&directory, "remote", signed(&offered(1))), said);
    }
}

#[test]
fn being_vouched_for_spares_no_signature_touch_or_revocation() {
    let (directory, _) = allow(User::new("remote", "/srv"));
    let (key, token) = (offered(1), OfferedKey::from(token_key()));
    let by = |key, signature| once(&directory, "remote", signed_as(key, signature));
    assert_eq!(by(&key, Signature::Valid), "accept");
    assert_eq!(by(&key, Signature::Invalid), "BadSignature");
    assert_eq!(by(&token, used(true, false, 1)), "accept");
    assert_eq!(by(&token, used(false, false, 1)), "NotTouched");

    let keys = Arc::new(RevokedKeys::from_bytes(line(1).as_bytes()).unwrap());
    let external = Always::new(Ok(ExternalAnswer::Allow(Arc::new(User::new("remote", "/srv")))));
    let rules = LoginRules { revoked: Some(Revoked { keys, place: None }), ..rules(&external) };
    let directory = with_rules([], rules);
    assert_eq!(once(&directory, "remote", signed(&key)), "KeyRevoked");
    assert_eq!(once(&directory, "remote", signed(&offered(2))), "accept");
}

/// A later judgement must not take away what the authority demands (CRT-4).
#[test]
fn being_vouched_for_spares_nothing_that_a_certificate_demands() {
    let (directory, _) = allow(User::new("remote", "/srv"));
    let with = |name, value| -> OfferedKey {
        let spec = CertificateSpec { critical_options: vec![(name, value)], ..Default::default() };
        spec.sign(&pair(100), &public(1)).into()
    };
    for (name, value, said) in [
        ("source-address", Some("192.0.2.7"), "accept"),
        ("source-address", Some("192.0.2.8"), "CertificateSource"),
        ("force-command", Some("/bin/sh"), "CertificateCommand"),
        ("unknown", None, "CertificateOption"),
    ] {
        let key = with(name, value);
        assert_eq!(once(&directory, "remote", signed(&key)), said, "{name}");
        let queried = once(&directory, "remote", Credential::PublicKeyQuery(&key));
        assert_eq!(queried, said.replace("accept", "key ok"), "{name}");
    }
    let forced = with("force-command", Some("internal-sftp -R"));
    let world = Script::default();
    let login = Connection::new(&directory, &world, "remote").login(signed(&forced));
    assert!(login.restrictions.read_only && login.restrictions.sftp_only);

    let verified = CertificateSpec {
        critical_options: vec![("verify-required", None)],
        ..CertificateSpec::default()
    };
    let verified: OfferedKey = verified.sign(&pair(100), &token_key()).into();
    let by = |verified_now| {
        once(&directory, "remote", signed_as(&verified, used(true, verified_now, 1)))
    };
    assert_eq!(by(false), "UserNotVerified");
    assert_eq!(by(true), "accept");

    let old = CertificateSpec { valid_before: NOW, ..CertificateSpec::default() };
    let old: OfferedKey = old.sign(&pair(100), &public(1)).into();
    assert_eq!(once(&directory, "remote", signed(&old)), "CertificateTime");
}

#[test]
fn a_key_that_is_vouched_for_counts_for_one_step() {
    let chained = User {
        methods: vec!["publickey,publickey".parse().unwrap()],
        ..User::new("remote", "/srv")
    };
    let ((directory, _), world) = (allow(chained), Script::default());
    let mut connection = Connection::new(&directory, &world, "remote");
    assert_eq!(connection.says(signed(&offered(1))), "next publickey");
    assert_eq!(connection.says(signed(&offered(1))), "KeyAlreadyUsed");
    assert_eq!(connection.says(Credential::PublicKeyQuery(&offered(1))), "KeyAlreadyUsed");
    assert_eq!(connection.says(signed(&offered(2))), "accept");
}

#[test]
fn a_record_to_judge_by_is_judged_like_a_local_user() {
    let (directory, _) = judge(full_user("remote", &[]));
    assert_eq!(once(&directory, "remote", RIGHT), "accept");
    assert_eq!(once(&directory, "remote", WRONG), "WrongPassword");
    assert_eq!(once(&directory, "remote", signed(&offered(1))), "accept");
    assert_eq!(once(&directory, "remote", signed(&offered(9))), "KeyNotAuthorized");
    let invalid = offered(1);
    assert_eq!(once(&directory, "remote", signed_as(&invalid, Signature::Invalid)), "BadSignature");
    let (directory, _) = judge(User::new("remote", "/srv"));
    assert_eq!(once(&directory, "remote", RIGHT), "MethodNotNext");
}

#[test]
fn a_second_factor_in_the_record_is_asked_for() {
    let judged = User { totp: Some(totp()), ..full_user("remote", &[]) };
    let vouched = User { totp: Some(totp()), ..User::new("remote", "/srv") };
    for (directory, _) in [judge(judged), allow(vouched)] {
        let world = Script::default();
        assert!(directory.offered().contains(&Method::KeyboardInteractive));
        let mut connection = Connection::new(&directory, &world, "remote");
        assert_eq!(connection.says(RIGHT), "MethodNotNext", "a password alone");
        assert_eq!(connection.says(ASK_ME), "ask Password:");
        assert_eq!(connection.answers(&[PASSWORD]), "ask Verification code:");
        assert_eq!(connection.answers(&[b"000000"]), "WrongCode");
        connection.says(ASK_ME);
        connection.answers(&[PASSWORD]);
        assert_eq!(connection.answers(&[CODE]), "accept");
        connection.says(ASK_ME);
        connection.answers(&[PASSWORD]);
        assert_ne!(connection.answers(&[CODE]), "accept", "twice");
    }
}

#[test]
fn a_record_of_another_user_is_refused() {
    for name in ["local", "root", "Remote", "../remote"] {
        let (directory, _) = allow(User::new(name, "/srv"));
        assert_eq!(once(&directory, "remote", RIGHT), "HookFailed", "{name}");
    }
}

/// A directory service may take an empty password for "anybody may look".
#[test]
fn nobody_outside_is_asked_about_an_empty_password() {
    let (directory, external) = allow(User::new("remote", "/srv"));
    assert_eq!(once(&directory, "remote", Credential::Password(b"")), "WrongPassword");
    assert_eq!(external.asked.load(Ordering::Relaxed), 0);
}

#[test]
fn a_password_outside_is_not_changed_here() {
    let marked = || User { must_change_password: true, ..full_user("remote", &[]) };
    let (directory, _) = allow(marked());
    assert_eq!(once(&directory, "remote", RIGHT), "accept", "its keeper did not say so");
    let change = Credential::PasswordChange { old: PASSWORD, new: b"new and long" };
    assert_eq!(once(&directory, "remote", change), "PasswordNotChanged");
}
