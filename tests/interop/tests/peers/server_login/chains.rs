//! Several steps in one login, in the order that the settings want.

use sterna_interop::steps::{Steps, check};
use sterna_testkit::openssh::{KeyKind, PASSWORD};

use crate::server_login::openssh::{Attempt, by_password};
use crate::server_login::scene::{Scene, authorized, password};

#[test]
fn every_step_of_a_chain_is_needed_and_in_its_order() {
    let Some(mut scene) = Scene::new() else { return };
    let first = scene.key("first", KeyKind::Ed25519);
    let second = scene.key("second", KeyKind::EcdsaP256);
    let stranger = scene.key("stranger", KeyKind::Ed25519);
    let keys = authorized(&[first.public_line.clone(), second.public_line.clone()]);
    for (user, methods) in [
        ("key-password", "'publickey,password'"),
        ("key-keyboard", "'publickey,keyboard-interactive'"),
        ("password-key", "'password,publickey'"),
        ("two-keys", "'publickey,publickey'"),
        ("either", "'publickey,password', 'keyboard-interactive'"),
    ] {
        scene.user(user, &format!("{}\n{keys}\nmethods = [{methods}]", password()));
    }
    scene.table("[[group]]\nname = 'strict'\nmethods = ['publickey,password']");
    scene.user("of-group", &format!("{}\n{keys}\ngroups = ['strict']", password()));
    let served = scene.start();
    let mut steps = Steps::new("chains");
    // Every method, each with what it wants.
    let all = |user| {
        Attempt::of(&served, user)
            .key(&first.private)
            .answer("assword", PASSWORD)
            .by("publickey,password,keyboard-interactive")
    };
    let wrong = |user| Attempt::of(&served, user).key(&first.private).answer("assword", "wrong");

    steps.run("publickey,password", || all("key-password").succeeds());
    steps.run("publickey,keyboard-interactive", || all("key-keyboard").succeeds());
    // A client that tries its key too early believes that it is no good.
    steps.run("password,publickey", || all("password-key").by("password,publickey").succeeds());
    steps.run("one chain or the other", || {
        all("either").succeeds()?;
        all("either").by("keyboard-interactive").succeeds()
    });
    steps.run("a chain of the user's group", || {
        all("of-group").succeeds()?;
        by_password(&served, "of-group").is_refused("user.methods")
    });
    steps.run("the step that passed is in the log", || {
        served.logs(0, &["login step passed", "user=key-password ", "next=\"password\""]).map(drop)
    });

    steps.run("wrong password behind the key", || wrong("key-password").is_refused("password"));
    steps.run("wrong password by keyboard behind the key", || {
        wrong("key-keyboard").is_refused("password")
    });
    steps.run("no password", || {
        let attempt = Attempt::of(&served, "key-password").key(&first.private).by("publickey");
        let mark = served.mark();
        let done = attempt.run("pwd\n")?;
        check(done.code() == Some(255), || done.describe())?;
        let parts = ["login step passed", "user=key-password "];
        served.logs(mark, &parts).map(drop)
    });
    steps.run("password first", || by_password(&served, "key-password").is_refused("user.methods"));
    steps.run("keyboard first", || {
        let attempt = Attempt::of(&served, "key-keyboard").by("keyboard-interactive");
        attempt.answer("assword", PASSWORD).is_refused("user.methods")
    });
    steps.run("key first", || {
        let attempt = Attempt::of(&served, "password-key").by("publickey");
        attempt.key(&first.private).is_refused("user.methods")
    });
    steps.run("another method behind the key", || {
        let attempt = all("key-keyboard").by("publickey,password");
        let done = attempt.run("pwd\n")?;
        check(done.code() == Some(255), || done.describe())
    });
    steps.run("a key that is not authorized", || {
        let attempt = Attempt::of(&served, "key-password").key(&stranger.private);
        attempt.answer("assword", PASSWORD).is_refused("authorized_keys")
    });

    steps.run("two keys", || {
        let attempt = Attempt::of(&served, "two-keys").by("publickey");
        attempt.key(&first.private).key(&second.private).succeeds()
    });
    steps.run("one key for two", || {
        let attempt = Attempt::of(&served, "two-keys").by("publickey").key(&first.private);
        let mark = served.mark();
        let done = attempt.run("pwd\n")?;
        check(done.code() == Some(255), || done.describe())?;
        served.logs(mark, &["login refused", "user=two-keys ", "already used"]).map(drop)
    });

    steps.finish(|| served.log());
}
