//! Passwords: every form in which they may be stored, and their change on the way in.

use std::fs;
use std::process::Command;

use sterna_interop::binary;
use sterna_interop::client::command_max;
use sterna_interop::steps::{Steps, check, check_equal};
use sterna_testkit::openssh::{PASSWORD, PASSWORD_CRYPT};
use sterna_testkit::processes::run;

use crate::server_login::openssh::{Attempt, Expect, by_password};
use crate::server_login::scene::Scene;

/// `PASSWORD` as other programs have hashed it: bcrypt and crypt(3), by libxcrypt.
const HASHES: [(&str, &str); 4] = [
    ("bcrypt", "$2b$06$abcdefghijklmnopqrstuud/5IuQmqhVO0kfNEbHJM.fJkPiliBzC"),
    ("sha256", "$5$interop$FVMk6eyFPTz4Xd8ziMUFH7T4SlQ9.dshLvhD0KxLoND"),
    ("sha512", PASSWORD_CRYPT),
    ("yescrypt", "$y$j9T$F5Jx5fExrKuPp53xLKQ..1$zwtVrjrUCmXcyLTs6oxLTQlzifSUkF8RHJ./tK5KU79"),
];

/// As `sterna hash-password` prints it.
fn own_hash(password: &str) -> String {
    let mut hash = Command::new(binary::sterna());
    let done = run(hash.arg("hash-password"), password.as_bytes(), command_max());
    assert!(done.success(), "{}", done.describe());
    String::from_utf8_lossy(&done.stdout).trim().to_owned()
}

#[test]
fn a_password_lets_in_however_it_is_stored() {
    let Some(mut scene) = Scene::new() else { return };
    let own = own_hash(PASSWORD);
    check(own.starts_with("$argon2id$"), || own.clone()).expect("argon2id is the default");
    let hashes = HASHES.into_iter().chain([("own", own.as_str())]);
    for (name, hash) in hashes.clone() {
        scene.user(name, &format!("password = '{hash}'"));
    }
    let served = scene.start();
    let mut steps = Steps::new("password");

    for (name, _) in hashes {
        steps.run(name, || by_password(&served, name).succeeds());
        steps.run(format!("{name}, wrong"), || {
            Attempt::of(&served, name).password("wrong horse").is_refused("password")
        });
    }
    steps.run("empty", || Attempt::of(&served, "own").password("").is_refused("password"));
    steps.run("nobody of that name", || by_password(&served, "stranger").is_refused("user"));

    steps.finish(|| served.log());
}

const NEW: &str = "new battery staple";

/// What somebody answers who changes a password.
fn change<'s>(attempt: Attempt<'s>, old: &str, new: &str, again: &str) -> Attempt<'s> {
    attempt
        .by("password")
        .answer("old password", old)
        .answer("Retype", again)
        .answer("new password", new)
        .answer("password", PASSWORD)
}

/// What somebody answers who changes a password by keyboard-interactive.
fn change_by_keyboard<'s>(attempt: Attempt<'s>, new: &str, again: &str) -> Attempt<'s> {
    attempt
        .by("keyboard-interactive")
        .answer("Retype new password", again)
        .answer("New password", new)
        .answer("Password", PASSWORD)
}

/// Goal: whoever must change the password can, at once, and only so gets in; the settings keep all
/// that a person wrote into them.
#[test]
fn a_password_that_must_be_changed_is_changed_on_the_way_in() {
    let Some(mut scene) = Scene::new() else { return };
    let lines = format!(
        "# given out by telephone\npassword = '{PASSWORD_CRYPT}'  # the first one\n\
         must_change_password = true\n\
         methods = ['password', 'keyboard-interactive']\n# the end of the user"
    );
    for user in ["by-password", "by-keyboard", "stays"] {
        scene.user(user, &lines);
    }
    let served = scene.start();
    let before = fs::read_to_string(scene.settings()).expect("the settings");
    let mut steps = Steps::new("must_change_password");
    let told = |attempt: &Attempt<'_>| attempt.asked();

    steps.run("wrong password", || {
        let attempt = Attempt::of(&served, "by-password").password("wrong horse");
        attempt.is_refused("password")?;
        check(!told(&attempt).contains("new password"), || told(&attempt))
    });
    steps.run("wrong old password", || {
        let attempt = Attempt::of(&served, "by-password");
        change(attempt, "wrong horse", NEW, NEW).is_refused("password")
    });
    steps.run("the settings are as they were", || {
        check_equal("settings", &fs::read_to_string(scene.settings())?, &before)
    });
    for (user, attempt) in [
        ("by-password", change(Attempt::of(&served, "by-password"), PASSWORD, NEW, NEW)),
        ("by-keyboard", change_by_keyboard(Attempt::of(&served, "by-keyboard"), NEW, NEW)),
    ] {
        steps.run(format!("{user}: changed"), || attempt.succeeds());
        steps.run(format!("{user}: the new one"), || {
            let attempt = Attempt::of(&served, user).password(NEW);
            attempt.succeeds()?;
            check(!told(&attempt).contains("new password"), || told(&attempt))
        });
        steps.run(format!("{user}: the old one"), || {
            by_password(&served, user).is_refused("password")
        });
    }
    steps.run("too short, three times", || {
        let attempt = Attempt::of(&served, "stays");
        change_by_keyboard(attempt, "short", "short").is_refused("password.change")
    });
    steps.run("two that differ, three times", || {
        let attempt = Attempt::of(&served, "stays");
        change_by_keyboard(attempt, NEW, "other battery staple").is_refused("password.change")
    });
    steps.run("comments are kept, and the third user", || {
        let after = fs::read_to_string(scene.settings())?;
        for comment in ["# given out by telephone", "# the end of the user"] {
            check_equal(comment, &after.matches(comment).count(), &3)?;
        }
        check_equal("old hashes", &after.matches(PASSWORD_CRYPT).count(), &1)?;
        check(!after.contains(NEW), || format!("the password itself is in the file\n{after}"))
    });

    steps.finish(|| {
        format!("{}\n{}", served.log(), fs::read_to_string(scene.settings()).unwrap_or_default())
    });
}

/// A password alone is no way in where a second factor exists or the methods do not name it.
#[test]
fn a_password_is_taken_only_where_it_is_a_method() {
    let Some(mut scene) = Scene::new() else { return };
    let password = crate::server_login::scene::password();
    let key = scene.key("key", sterna_testkit::openssh::KeyKind::Ed25519);
    let keys = crate::server_login::scene::authorized(std::slice::from_ref(&key.public_line));
    scene.user("may", &password);
    scene.user("keys-only", &format!("{password}\n{keys}\nmethods = ['publickey']"));
    scene.user("no-password", &keys);
    let served = scene.start();
    let mut steps = Steps::new("password as a method");

    for (user, expect) in [
        ("may", Expect::In),
        ("keys-only", Expect::Refused("user.methods")),
        ("no-password", Expect::Refused("user.methods")),
    ] {
        steps.run(user, || expect.of(&by_password(&served, user)));
    }
    steps.run("keys-only, by key", || {
        Attempt::of(&served, "keys-only").by("publickey").key(&key.private).succeeds()
    });

    steps.finish(|| served.log());
}
