//! Keyboard-interactive: the password, one-time codes and recovery codes.

use sterna_interop::steps::{Outcome, Steps, check};
use sterna_testkit::openssh::{KeyKind, PASSWORD};
use totp_rs::{Builder, Secret};

use crate::server_login::openssh::{Attempt, by_password};
use crate::server_login::scene::{Scene, authorized, now, password};

/// Shared by the server and the test.
pub const TOTP_SECRET: &str = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";

/// Seconds in which a code is the code.
const STEP: u64 = 30;

/// A recovery code, and how it stands in the settings: `printf 0123456789abcdef | sha256sum`.
const RECOVERY: (&str, &str) = (
    "0123-4567-89ab-cdef",
    "sha256:9f9f5111f7b27a781f1f1ddde5ebc2dd2b796bfc7365c9c28b548e564176929f",
);

/// The code of the step behind this one. It is already good, and stays so for at least a minute, so
/// that a slow machine can use it twice.
pub fn code() -> String {
    code_at(now() + STEP)
}

fn code_at(time: u64) -> String {
    let secret = Secret::try_from_base32(TOTP_SECRET).expect("a secret");
    let totp = Builder::new().with_secret(secret).with_digits(6).with_step_duration(STEP);
    totp.build_noncompliant().generate(time).to_string()
}

/// Answers the questions for password and code.
fn attempt<'s>(attempt: Attempt<'s>, password: &str, code: &str) -> Attempt<'s> {
    attempt
        .by("keyboard-interactive")
        .answer("Password: ", password)
        .answer("Verification code: ", code)
}

#[test]
fn a_password_may_be_the_answer_to_a_question() {
    let Some(mut scene) = Scene::new() else { return };
    scene.user("tern", &format!("{}\nmethods = ['keyboard-interactive']", password()));
    let served = scene.start();
    let mut steps = Steps::new("keyboard-interactive");
    let of = |user| Attempt::of(&served, user);

    steps.run("right", || {
        let attempt = attempt(of("tern"), PASSWORD, "");
        attempt.succeeds()?;
        check(attempt.asked() == "(tern@127.0.0.1) Password: \n", || attempt.asked())
    });
    steps.run("wrong", || attempt(of("tern"), "wrong horse", "").is_refused("password"));
    steps.run("nobody of that name is asked the same", || {
        let attempt = attempt(of("stranger"), PASSWORD, "");
        attempt.is_refused("user")?;
        check(attempt.asked() == "(stranger@127.0.0.1) Password: \n", || attempt.asked())
    });

    steps.finish(|| served.log());
}

#[test]
fn a_code_is_asked_for_behind_the_password_and_taken_once() {
    let Some(mut scene) = Scene::new() else { return };
    let lines = format!(
        "{}\ntotp_secret = '{TOTP_SECRET}'\nrecovery_codes = ['{}']",
        password(),
        RECOVERY.1
    );
    for user in ["codes", "recovers", "wrong", "old"] {
        scene.user(user, &lines);
    }
    scene.user("password-only", &password());
    let key = scene.key("key", KeyKind::Ed25519);
    let chain = "methods = ['publickey,keyboard-interactive']";
    let keys = authorized(std::slice::from_ref(&key.public_line));
    scene.user("key-and-code", &format!("{keys}\ntotp_secret = '{TOTP_SECRET}'\n{chain}"));
    let served = scene.start();
    let mut steps = Steps::new("one-time codes");
    let of = |user| Attempt::of(&served, user);

    let used = code();
    steps.run("the code", || attempt(of("codes"), PASSWORD, &used).succeeds());
    steps.run("the code again", || attempt(of("codes"), PASSWORD, &used).is_refused("totp.replay"));
    steps.run("a wrong code", || {
        let wrong = if used == "000000" { "111111" } else { "000000" };
        attempt(of("wrong"), PASSWORD, wrong).is_refused("totp")
    });
    steps.run("a code of yesterday", || {
        attempt(of("old"), PASSWORD, &code_at(now() - 86_400)).is_refused("totp")
    });
    steps.run("no code is asked for behind a wrong password", || {
        let attempt = attempt(of("wrong"), "wrong horse", &code());
        attempt.is_refused("password")?;
        check(!attempt.asked().contains("code"), || attempt.asked())
    });
    steps.run("the password alone", || by_password(&served, "wrong").is_refused("user.methods"));
    steps.run("a recovery code", || attempt(of("recovers"), PASSWORD, RECOVERY.0).succeeds());
    steps.run("the recovery code again", || {
        attempt(of("recovers"), PASSWORD, RECOVERY.0).is_refused("totp.replay")
    });
    steps.run("somebody else's wrong recovery code", || {
        attempt(of("wrong"), PASSWORD, "0123-4567-89ab-cdeg").is_refused("totp")
    });
    steps.run("a key and then only the code", || -> Outcome {
        let attempt = of("key-and-code").key(&key.private);
        let attempt = attempt.by("publickey,keyboard-interactive").answer("code: ", &code());
        attempt.succeeds()?;
        check(!attempt.asked().contains("Password"), || attempt.asked())
    });

    steps.finish(|| served.log());
}

/// A code that was used stays used when the server starts anew.
#[test]
fn a_used_code_stays_used_over_a_restart() {
    let Some(mut scene) = Scene::new() else { return };
    scene.user("tern", &format!("{}\ntotp_secret = '{TOTP_SECRET}'", password()));
    let mut steps = Steps::new("one-time codes and a restart");
    let used = code();

    let served = scene.start();
    steps.run("used", || attempt(Attempt::of(&served, "tern"), PASSWORD, &used).succeeds());
    drop(served);
    let served = scene.start();
    steps.run("used again", || {
        attempt(Attempt::of(&served, "tern"), PASSWORD, &used).is_refused("totp.replay")
    });

    steps.finish(|| served.log());
}
