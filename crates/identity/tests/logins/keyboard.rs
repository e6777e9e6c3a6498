//! keyboard-interactive: password, one-time code, recovery code, change of password.

use sterna_identity::{Credential, Decision, Directory, RecoveryCode, User};
use sterna_testkit::Seed;

use crate::support::*;

const ASK_PASSWORD: &str = "ask Password:";
const ASK_CODE: &str = "ask Verification code:";

fn with_code(name: &str, methods: &[&str]) -> User {
    User { totp: Some(totp()), ..full_user(name, methods) }
}

fn users() -> Directory {
    directory([
        full_user("plain", &["keyboard-interactive"]),
        with_code("coded", &[]),
        with_code("second", &["publickey,keyboard-interactive", "password,keyboard-interactive"]),
        User {
            totp: Some(totp()),
            methods: vec!["publickey,keyboard-interactive".parse().unwrap()],
            ..user_with_keys("code-only", &[line(1)])
        },
        User { enabled: false, ..with_code("disabled", &[]) },
        full_user("key-only", &["publickey"]),
    ])
}

#[test]
fn a_password_is_enough_where_there_is_no_code() {
    let (users, world) = (users(), Script::default());
    let mut connection = Connection::new(&users, &world, "plain");
    assert_eq!(connection.says(ASK_ME), ASK_PASSWORD);
    assert_eq!(connection.answers(&[b"wrong"]), "WrongPassword");
    assert_eq!(connection.answers(&[PASSWORD]), "NoDialogue", "the question is gone");
    assert_eq!(connection.says(ASK_ME), ASK_PASSWORD);
    assert_eq!(connection.answers(&[PASSWORD]), "accept");
}

#[test]
fn a_code_comes_behind_the_password_and_both_must_be_right() {
    let (users, world) = (users(), Script::default());
    let mut connection = Connection::new(&users, &world, "coded");
    connection.says(ASK_ME);
    assert_eq!(connection.answers(&[CODE]), "WrongPassword");
    connection.says(ASK_ME);
    assert_eq!(connection.answers(&[PASSWORD]), ASK_CODE);
    assert_eq!(connection.answers(&[b"000000"]), "WrongCode");
    assert_eq!(connection.answers(&[CODE]), "NoDialogue");
    connection.says(ASK_ME);
    assert_eq!(connection.answers(&[PASSWORD]), ASK_CODE);
    assert_eq!(connection.answers(&[CODE]), "accept");
}

#[test]
fn a_code_counts_once_and_none_before_it() {
    let (users, world) = (users(), Script::default());
    let by = |code: &[u8]| {
        let mut connection = Connection::new(&users, &world, "coded");
        connection.says(ASK_ME);
        connection.answers(&[PASSWORD]);
        connection.answers(&[code])
    };
    assert_eq!(by(CODE), "accept");
    assert_eq!(by(CODE), "CodeUsed");
    assert_eq!(by(CODE_BEFORE), "CodeUsed", "an older step");
    let mut later = Connection::new(&users, &world, "coded");
    later.now += 600;
    later.says(ASK_ME);
    later.answers(&[PASSWORD]);
    assert_eq!(later.answers(&[CODE]), "WrongCode", "long past");

    let world = Script::default();
    let by = |name, code: &[u8]| {
        let mut connection = Connection::new(&users, &world, name);
        connection.says(signed(&offered(1)));
        connection.says(ASK_ME);
        connection.answers(&[code])
    };
    assert_eq!(by("code-only", CODE_BEFORE), "accept");
    assert_eq!(by("code-only", CODE), "accept", "a later one is good");

    let broken = Script::broken();
    let mut connection = Connection::new(&users, &broken, "coded");
    connection.says(ASK_ME);
    connection.answers(&[PASSWORD]);
    assert_eq!(connection.answers(&[CODE]), "StateFailed", "what cannot be noted does not count");
}

#[test]
fn a_recovery_code_counts_once_and_for_its_user_only() {
    let mut seed = Seed::new(11);
    let (code, other) = (RecoveryCode::make(&mut seed), RecoveryCode::make(&mut seed));
    let has = |name: &str, code: &RecoveryCode| User {
        recovery_codes: vec![code.hash()],
        ..with_code(name, &[])
    };
    let (users, world) = (directory([has("a", &code), has("b", &other)]), Script::default());
    let by = |name, code: &str| {
        let mut connection = Connection::new(&users, &world, name);
        connection.says(ASK_ME);
        connection.answers(&[PASSWORD]);
        connection.answers(&[code.as_bytes()])
    };
    assert_eq!(by("b", &code.shown()), "WrongCode");
    assert_eq!(by("a", &code.shown()), "accept");
    assert_eq!(by("a", &code.shown()), "CodeUsed");
    assert_eq!(by("a", &code.shown().to_uppercase()), "CodeUsed");
}

#[test]
fn a_code_alone_is_asked_for_behind_another_proof_only() {
    let (users, world) = (users(), Script::default());
    let key = offered(1);
    let mut connection = Connection::new(&users, &world, "code-only");
    assert_eq!(connection.says(ASK_ME), ASK_PASSWORD, "nothing is proven yet");
    assert_eq!(connection.answers(&[CODE]), "MethodNotNext");
    assert_eq!(connection.says(signed(&key)), "next keyboard-interactive");
    assert_eq!(connection.says(ASK_ME), ASK_CODE);
    assert_eq!(connection.answers(&[CODE]), "accept");

    // Behind a password that was proven as a step of its own.
    let mut connection = Connection::new(&users, &world, "second");
    assert_eq!(connection.says(RIGHT), "next publickey,keyboard-interactive");
    assert_eq!(connection.says(ASK_ME), ASK_CODE);
    assert_eq!(connection.answers(&[PASSWORD]), "WrongCode");
    assert_eq!(connection.says(ASK_ME), ASK_CODE);
    assert_eq!(connection.answers(&[CODE]), "accept");

    // Behind a key the password is asked for, too, because there is one.
    let world = Script::default();
    let mut connection = Connection::new(&users, &world, "second");
    assert_eq!(connection.says(signed(&key)), "next keyboard-interactive,password");
    assert_eq!(connection.says(ASK_ME), ASK_PASSWORD);
    assert_eq!(connection.answers(&[CODE]), "WrongPassword");
    assert_eq!(connection.says(ASK_ME), ASK_PASSWORD);
    assert_eq!(connection.answers(&[PASSWORD]), ASK_CODE);
    assert_eq!(connection.answers(&[CODE]), "accept");
}

#[test]
fn answers_fit_the_questions_that_are_out() {
    let (users, world) = (users(), Script::default());
    let mut connection = Connection::new(&users, &world, "coded");
    assert_eq!(connection.answers(&[PASSWORD]), "NoDialogue");
    for answers in [&[][..], &[PASSWORD, CODE]] {
        connection.says(ASK_ME);
        assert_eq!(connection.answers(answers), "NoDialogue", "{}", answers.len());
    }
    for between in [Credential::None, WRONG, Credential::Other(b"x"), ASK_ME] {
        connection.says(ASK_ME);
        assert_eq!(connection.answers(&[PASSWORD]), ASK_CODE);
        connection.says(between);
        assert_ne!(connection.answers(&[CODE]), "accept", "{between:?}");
    }
    connection.says(ASK_ME);
    assert_eq!(connection.answers(&[PASSWORD]), ASK_CODE);
    connection.user = "plain";
    assert_eq!(connection.answers(&[CODE]), "NoDialogue");
    connection.user = "coded";
    assert_eq!(connection.answers(&[CODE]), "NoDialogue", "nor does it come back");
}

#[test]
fn everybody_is_asked_the_same() {
    let users = users();
    for name in ["plain", "coded", "second", "code-only", "disabled", "key-only", "nobody", ""] {
        let world = Script::default();
        let mut connection = Connection::new(&users, &world, name);
        assert_eq!(connection.says(ASK_ME), ASK_PASSWORD, "{name}");
        let answer = vec![b"wrong".to_vec().into()];
        match connection.decide(Credential::Answers(&answer)) {
            Decision::Reject { methods, .. } => {
                assert_eq!(names(&methods), "publickey,keyboard-interactive,password", "{name}");
            }
            other => panic!("{name}: {other:?}"),
        }
        assert_eq!(world.hashes(), 1, "{name}");
    }
}

#[test]
fn the_right_password_of_whom_may_not_log_in_leads_nowhere() {
    let (users, world) = (users(), Script::default());
    for (name, said) in
        [("disabled", "UserDisabled"), ("key-only", "MethodNotNext"), ("nobody", "UnknownUser")]
    {
        let mut connection = Connection::new(&users, &world, name);
        connection.says(ASK_ME);
        assert_eq!(connection.answers(&[PASSWORD]), said);
    }
}

#[test]
fn without_users_who_could_use_it_nobody_is_asked() {
    let keys_only = directory([full_user("a", &["publickey"])]);
    assert_eq!(once(&keys_only, "a", ASK_ME), "MethodNotNext");
    assert_eq!(once(&keys_only, "nobody", ASK_ME), "MethodNotNext");
}

fn must_change(user: User) -> Directory {
    directory([User { must_change_password: true, ..user }])
}

const NEW: &[u8] = b"new and long";

#[test]
fn a_password_is_changed_in_the_dialogue() {
    let users = must_change(full_user("a", &["keyboard-interactive"]));
    let world = Script::default();
    let ask = |why: &str| format!("ask {why} New password: Retype new password:");
    let first = ask("The password must be changed.");

    let mut connection = Connection::new(&users, &world, "a");
    connection.says(ASK_ME);
    assert_eq!(connection.answers(&[PASSWORD]), first);
    assert_eq!(connection.answers(&[NEW, b"new and lang"]), ask("The two do not agree."));
    assert_eq!(
        connection.answers(&[b"short", b"short"]),
        ask("The new one needs at least 8 characters.")
    );
    assert_eq!(connection.answers(&[b"short", b"short"]), "PasswordNotChanged", "three tries");
    assert_eq!(connection.answers(&[NEW, NEW]), "NoDialogue");
    assert!(world.changed.lock().unwrap().is_empty());

    connection.says(ASK_ME);
    assert_eq!(connection.answers(&[PASSWORD]), first);
    assert_eq!(connection.answers(&[NEW]), "NoDialogue", "once is not twice");
    connection.says(ASK_ME);
    assert_eq!(connection.answers(&[PASSWORD]), first);
    assert_eq!(connection.answers(&[NEW, NEW]), "accept");
    assert_eq!(*world.changed.lock().unwrap(), [("a".to_owned(), NEW.to_vec())]);
}

#[test]
fn the_old_password_is_no_new_one() {
    let long = b"old and long";
    let users = must_change(User {
        password: Some(hash_of(long)),
        ..full_user("a", &["keyboard-interactive"])
    });
    let world = Script::default();
    let mut connection = Connection::new(&users, &world, "a");
    connection.says(ASK_ME);
    connection.answers(&[long]);
    assert_eq!(
        connection.answers(&[long, long]),
        "ask The new one must differ from the old one. New password: Retype new password:"
    );
}

/// Otherwise whoever knows the password alone keeps its owner out.
#[test]
fn nothing_is_changed_before_the_code_is_right() {
    let users = must_change(with_code("a", &[]));
    let world = Script::default();
    let mut connection = Connection::new(&users, &world, "a");
    connection.says(ASK_ME);
    assert_eq!(connection.answers(&[PASSWORD]), ASK_CODE);
    assert_eq!(connection.answers(&[NEW, NEW]), "NoDialogue");
    connection.says(ASK_ME);
    assert_eq!(connection.answers(&[PASSWORD]), ASK_CODE);
    assert!(connection.answers(&[CODE]).starts_with("ask The password must be changed."));
    assert_eq!(connection.answers(&[NEW, NEW]), "accept");
    assert_eq!(world.changed.lock().unwrap().len(), 1);
}

#[test]
fn a_password_that_cannot_be_stored_lets_nobody_in() {
    let users = must_change(full_user("a", &["keyboard-interactive"]));
    let world = Script::broken();
    let mut connection = Connection::new(&users, &world, "a");
    connection.says(ASK_ME);
    connection.answers(&[PASSWORD]);
    assert_eq!(connection.answers(&[NEW, NEW]), "PasswordNotChanged");
}

#[test]
fn a_dialogue_prints_no_password() {
    let users = must_change(full_user("a", &["keyboard-interactive"]));
    let world = Script::default();
    let mut connection = Connection::new(&users, &world, "a");
    connection.says(ASK_ME);
    connection.answers(&[PASSWORD]);
    let shown = format!("{:?}", connection.progress());
    assert!(shown.contains("NewPassword"), "{shown}");
    assert!(!shown.contains("right") && !shown.contains(&format!("{PASSWORD:?}")), "{shown}");
}
