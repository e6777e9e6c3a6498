//! Login rules as tables.

use std::net::{IpAddr, Ipv4Addr};

use sterna_ssh_crypto::{OfferedKey, PrivateKey, PublicKey};

use super::*;
use crate::limits::PASSWORD_LEN_MAX;
use crate::{
    AuthorizedKey, DirectoryError, EmptyWorld, PasswordHash, Signature, UserError, UserKey,
};

fn key(seed: u8) -> PublicKey {
    PrivateKey::from_ed25519_seed(&[seed; 32]).unwrap().public().clone()
}

/// The cheapest hash there is: these tests check decisions, not costs.
fn password(text: &str) -> PasswordHash {
    bcrypt::hash(text, 4).unwrap().parse().unwrap()
}

fn user(name: &str, methods: &[&str]) -> User {
    let authorized = |seed| UserKey::from(AuthorizedKey::from(key(seed)));
    User {
        password: Some(password("right")),
        authorized_keys: vec![authorized(1), authorized(2)],
        methods: methods.iter().map(|chain| chain.parse().unwrap()).collect(),
        ..User::new(name, "/srv")
    }
}

fn directory() -> Directory {
    let disabled = User { enabled: false, ..user("disabled", &[]) };
    let keyless = User { authorized_keys: Vec::new(), ..user("keyless", &[]) };
    let users = [
        user("any", &[]),
        user("both", &["publickey,password"]),
        user("keys", &["publickey,publickey"]),
        user("either", &["publickey,password", "password,publickey"]),
        user("key-only", &["publickey"]),
        disabled,
        keyless,
    ];
    Directory::new(users).unwrap()
}

fn attempt<'a>(user: &'a str, credential: Credential<'a>) -> Attempt<'a> {
    Attempt {
        user: user.as_bytes(),
        credential,
        source: IpAddr::V4(Ipv4Addr::LOCALHOST),
        client_version: b"SSH-2.0-test",
        groups: None,
        now: 1_700_000_000,
    }
}

fn offered(seed: u8) -> OfferedKey {
    key(seed).into()
}

fn signed(key: &OfferedKey) -> Credential<'_> {
    Credential::PublicKey { key, signature: Signature::Valid }
}

fn judge(directory: &Directory, progress: &mut Progress, attempt: &Attempt<'_>) -> Decision {
    authenticate(directory, &EmptyWorld, progress, attempt, &mut Trace::off())
}

/// One word for each decision, so that a dialogue is a table.
fn verdict(decision: &Decision) -> String {
    match decision {
        Decision::Accept(login) => format!("accept {}", login.user.name),
        Decision::KeyOk => "key ok".into(),
        Decision::Continue { methods, .. } => {
            let names: Vec<&str> = methods.iter().map(|m| m.name()).collect();
            format!("continue {}", names.join(","))
        }
        Decision::Reject { refusal, .. } => format!("reject: {}", refusal.reason),
        Decision::Ask(prompts) => format!("ask {:?}", prompts.prompts),
        Decision::ChangePassword { prompt } => format!("change: {prompt}"),
    }
}

#[track_caller]
fn dialogue(steps: &[(&str, Credential<'_>, &str)]) {
    let directory = directory();
    let mut progress = Progress::default();
    for (user, credential, expected) in steps {
        let decision = judge(&directory, &mut progress, &attempt(user, *credential));
        assert_eq!(verdict(&decision), *expected, "{user} {credential:?}");
    }
}

const RIGHT: Credential<'_> = Credential::Password(b"right");
const WRONG: Credential<'_> = Credential::Password(b"wrong");

#[test]
fn one_method_is_enough_if_nothing_else_is_said() {
    let (good, bad) = (offered(1), offered(9));
    dialogue(&[
        ("any", Credential::None, "reject: nothing offered"),
        ("any", WRONG, "reject: wrong password"),
        ("any", Credential::PublicKeyQuery(&bad), "reject: key is not authorized"),
        ("any", Credential::PublicKeyQuery(&good), "key ok"),
        ("any", RIGHT, "accept any"),
    ]);
    dialogue(&[("any", signed(&good), "accept any")]);
    dialogue(&[("any", signed(&bad), "reject: key is not authorized")]);
    let unsigned = Credential::PublicKey { key: &good, signature: Signature::Invalid };
    dialogue(&[("any", unsigned, "reject: signature does not verify")]);
    dialogue(&[("any", Credential::Other(b"hostbased"), "reject: method is not supported")]);
}

#[test]
fn a_chain_is_walked_in_its_order() {
    let good = offered(1);
    dialogue(&[
        ("both", RIGHT, "reject: method is not wanted now"),
        ("both", signed(&good), "continue password"),
        ("both", signed(&good), "reject: method is not wanted now"),
        ("both", WRONG, "reject: wrong password"),
        ("both", RIGHT, "accept both"),
    ]);
    dialogue(&[
        ("either", RIGHT, "continue publickey"),
        ("either", signed(&good), "accept either"),
    ]);
    dialogue(&[("either", signed(&good), "continue password"), ("either", RIGHT, "accept either")]);
}

#[test]
fn a_key_proves_one_step_only() {
    let (one, two) = (offered(1), offered(2));
    dialogue(&[
        ("keys", signed(&one), "continue publickey"),
        (
            "keys",
            Credential::PublicKeyQuery(&one),
            "reject: key was already used for an earlier step",
        ),
        ("keys", signed(&one), "reject: key was already used for an earlier step"),
        ("keys", signed(&two), "accept keys"),
    ]);
}

/// A query proves nothing: anybody may know a public key.
#[test]
fn a_query_is_no_step() {
    let good = offered(1);
    dialogue(&[
        ("both", Credential::PublicKeyQuery(&good), "key ok"),
        ("both", RIGHT, "reject: method is not wanted now"),
    ]);
}

#[test]
fn what_one_name_proved_helps_no_other() {
    let good = offered(1);
    dialogue(&[
        ("both", signed(&good), "continue password"),
        ("any", Credential::None, "reject: nothing offered"),
        ("both", RIGHT, "reject: method is not wanted now"),
    ]);
}

#[test]
fn disabled_and_unknown_users_are_refused_whatever_they_prove() {
    let good = offered(1);
    for credential in [RIGHT, signed(&good), Credential::PublicKeyQuery(&good)] {
        dialogue(&[("disabled", credential, "reject: user is disabled")]);
        dialogue(&[("nobody", credential, "reject: unknown user")]);
    }
    dialogue(&[("keyless", signed(&good), "reject: method is not wanted now")]);
    dialogue(&[("key-only", RIGHT, "reject: method is not wanted now")]);
    dialogue(&[("Any", RIGHT, "reject: unknown user")]);
    dialogue(&[("", RIGHT, "reject: unknown user")]);
}

/// The unknown name's decoy is a hash of a real user: its password must not let anybody in.
#[test]
fn the_decoys_password_opens_nothing() {
    let only = Directory::new([user("real", &[])]).unwrap();
    for name in ["nobody", "somebody", "root", "real2"] {
        let decision = judge(&only, &mut Progress::default(), &attempt(name, RIGHT));
        assert_eq!(verdict(&decision), "reject: unknown user");
    }
    let none = Directory::new([]).unwrap();
    let decision = judge(&none, &mut Progress::default(), &attempt("x", RIGHT));
    assert_eq!(verdict(&decision), "reject: unknown user");
}

#[test]
fn refusals_look_the_same_for_every_name() {
    let directory = directory();
    let bad = offered(9);
    for credential in [Credential::None, WRONG, signed(&bad), Credential::Other(b"x")] {
        let offers = ["any", "key-only", "keyless", "disabled", "nobody"].map(|name| {
            match judge(&directory, &mut Progress::default(), &attempt(name, credential)) {
                Decision::Reject { methods, .. } => methods,
                other => panic!("{other:?}"),
            }
        });
        for offer in &offers {
            assert_eq!(*offer, [Method::PublicKey, Method::Password]);
        }
    }
}

#[test]
fn endless_passwords_cost_nothing() {
    let long = vec![b'x'; PASSWORD_LEN_MAX + 1];
    for name in ["any", "nobody"] {
        dialogue(&[(name, Credential::Password(&long), "reject: password is too long")]);
    }
}

#[test]
fn attempts_print_no_password() {
    let shown = format!("{:?}", attempt("any", RIGHT));
    assert!(!shown.contains("right") && !shown.contains(&format!("{:?}", b"right")), "{shown}");
}

#[test]
fn users_that_make_no_sense_are_refused_at_once() {
    let refused = |user: User| match Directory::new([user]) {
        Err(DirectoryError { why, .. }) => why,
        Ok(_) => panic!("was taken"),
    };
    for name in ["", ".", "..", "a/b", "../x", "a\nb", "a\0b", &"x".repeat(256)] {
        assert_eq!(refused(user(name, &[])), UserError::Name, "{name:?}");
    }
    let no_password = User { password: None, ..user("a", &["publickey,password"]) };
    assert_eq!(refused(no_password), UserError::Lacks(Method::Password));
    assert_eq!(refused(user("a", &["publickey,publickey,publickey"])), UserError::LacksKeys);
    let twice = Directory::new([user("a", &[]), user("a", &[])]);
    assert_eq!(twice.unwrap_err().why, UserError::Twice);
}
