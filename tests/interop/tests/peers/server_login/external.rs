//! Programs outside: one that knows users, one that knows keys, one that asks questions.

use std::fs;

use sterna_interop::steps::{Steps, check};
use sterna_testkit::openssh::{KeyKind, PASSWORD, PASSWORD_CRYPT};

use crate::server_login::openssh::{Attempt, Expect, by_password};
use crate::server_login::scene::{Scene, authorized, password};

/// Answers by the user's name. `@DIR@` is the scene's directory, `@KEY@` a public key.
const IDENTITY: &str = r#"#!/bin/sh
read -r question
printf '%s\n' "$question" >> @DIR@/asked
user() { printf '{"result":"%s","user":{"root":"@DIR@/roots/outside"%s}}\n' "$1" "$2"; }
case $question in
*'"user":"vouched"'*'"password":"open sesame"'*) user allow ;;
*'"user":"vouched"'*'"public_key":"@KEY@'*) user allow ;;
*'"user":"reader"'*'"password":"open sesame"'*) user allow ',"read_only":true' ;;
*'"user":"judged"'*) user judge ',"password":"@HASH@"' ;;
*'"user":"disabled"'*) user judge ',"password":"@HASH@","enabled":false' ;;
*'"user":"both"'*) user judge ',"password":"@HASH@","authorized_keys":["@KEY@"],"methods":["publickey,password"]' ;;
*'"user":"renamed"'*) user allow ',"name":"root"' ;;
*'"user":"misspelt"'*) user allow ',"colour":"red"' ;;
*'"user":"slow"'*) exec sleep 60 ;;
*'"user":"silent"'*) exit 0 ;;
*'"user":"garbage"'*) echo allow ;;
*'"user":"failing"'*) user allow; exit 3 ;;
*) echo '{"result":"deny"}' ;;
esac
"#;

#[test]
fn a_program_that_knows_users_allows_denies_or_has_them_judged() {
    let Some(mut scene) = Scene::new() else { return };
    let key = scene.key("key", KeyKind::Ed25519);
    scene.place.dir("roots/outside");
    let program = IDENTITY
        .replace("@DIR@", &scene.place.path().display().to_string())
        .replace("@KEY@", key.public_line.rsplit_once(' ').expect("a comment").0)
        .replace("@HASH@", PASSWORD_CRYPT);
    let program = scene.program("identity", &program);
    scene.table(&format!(
        "[external_identity]\ncommand = ['{}']\ntimeout_s = 1\ncache_s = 0",
        program.display()
    ));
    // Roots of users from outside are not in the settings.
    scene.top("sandbox_roots = ['roots']");
    scene.user("local", &password());
    let served = scene.start();
    let mut steps = Steps::new("external_identity");

    for (name, user, typed, expect) in [
        ("allowed", "vouched", "open sesame", Expect::In),
        ("allowed to read", "reader", "open sesame", Expect::ReadOnly),
        ("denied", "vouched", "wrong", Expect::Refused("hook")),
        ("unknown there too", "stranger", PASSWORD, Expect::Refused("hook")),
        ("judged", "judged", PASSWORD, Expect::In),
        ("judged, wrong", "judged", "wrong", Expect::Refused("password")),
        ("judged, disabled", "disabled", PASSWORD, Expect::Refused("user.enabled")),
        ("a password where a key comes first", "both", PASSWORD, Expect::Refused("user.methods")),
        ("another user's record", "renamed", PASSWORD, Expect::Refused("hook")),
        ("a record with an unknown key", "misspelt", PASSWORD, Expect::Refused("hook")),
        ("too late", "slow", PASSWORD, Expect::Refused("hook")),
        ("no answer", "silent", PASSWORD, Expect::Refused("hook")),
        ("no JSON", "garbage", PASSWORD, Expect::Refused("hook")),
        ("an answer and a failure", "failing", PASSWORD, Expect::Refused("hook")),
    ] {
        steps.run(name, || expect.of(&Attempt::of(&served, user).password(typed)));
    }
    let by_key = |user| Attempt::of(&served, user).by("publickey").key(&key.private);
    steps.run("allowed by key", || by_key("vouched").succeeds());
    steps.run("denied by key", || by_key("stranger").is_refused("hook"));
    steps.run("judged by key and password", || {
        by_key("both").by("publickey,password").answer("password", PASSWORD).succeeds()
    });
    steps.run("nobody is asked about users of the settings", || {
        by_password(&served, "local").succeeds()?;
        Attempt::of(&served, "local").password("wrong").is_refused("password")?;
        let asked = fs::read_to_string(scene.path("asked"))?;
        check(!asked.contains("\"user\":\"local\""), || asked.clone())?;
        check(asked.contains("\"source\":\"127.0.0.1\""), || asked)
    });

    steps.finish(|| served.log());
}

#[test]
fn a_program_that_knows_keys_is_asked_behind_the_settings() {
    let Some(mut scene) = Scene::new() else { return };
    let key = scene.key("key", KeyKind::Ed25519);
    let own = scene.key("own", KeyKind::EcdsaP256);
    let dir = scene.place.path().display().to_string();
    let program = format!(
        "#!/bin/sh\ncase $1 in failing) exit 1 ;; slow) exec sleep 60 ;; esac\n\
         printf '%s %s\\n' \"$1\" \"$2\" >> {dir}/asked\nexec cat {dir}/$1.lines\n"
    );
    let program = scene.program("keys", &program);
    scene.top(&format!("authorized_keys_command = ['{}', '%u', '%f']", program.display()));
    scene.top("authorized_keys_command_timeout_s = 1");
    let line = &key.public_line;
    let rows = [
        ("listed", line.clone(), Expect::In),
        ("reader", format!("command=\"internal-sftp -R\" {line}"), Expect::ReadOnly),
        (
            "elsewhere",
            format!("from=\"192.0.2.1\" {line}"),
            Expect::Refused("authorized_keys.from"),
        ),
        ("option", format!("no-such-option {line}"), Expect::Refused("authorized_keys")),
        ("other", own.public_line.clone(), Expect::Refused("authorized_keys")),
        ("empty", String::new(), Expect::Refused("authorized_keys")),
        ("failing", line.clone(), Expect::Refused("hook")),
        ("slow", line.clone(), Expect::Refused("hook")),
    ];
    for (user, line, _) in &rows {
        scene.write(&format!("{user}.lines"), &format!("{line}\n"));
        scene.user(user, &authorized(std::slice::from_ref(&own.public_line)));
    }
    let served = scene.start();
    let mut steps = Steps::new("authorized_keys_command");
    let by = |user, key: &std::path::Path| Attempt::of(&served, user).by("publickey").key(key);

    for (user, _, expect) in &rows {
        steps.run(*user, || expect.of(&by(user, &key.private)));
    }
    steps.run("a key of the settings, though the program fails", || {
        by("failing", &own.private).succeeds()
    });
    steps.run("it was told user and fingerprint", || {
        let asked = fs::read_to_string(scene.path("asked"))?;
        let expected = format!("listed {}\n", key.fingerprint());
        check(asked.starts_with(&expected), || asked)
    });

    steps.finish(|| served.log());
}

const QUESTIONS: &str = r#"#!/bin/sh
read -r question
echo '{"instruction":"Two questions","prompts":[{"text":"Bird: ","echo":true},{"text":"Word: ","echo":false}]}'
read -r answers
case $answers in
*'"answers":["tern","arctic"]'*) ;;
*'"answers":["auk",'*) exec sleep 60 ;;
*) echo '{"result":"deny"}'; exit ;;
esac
echo '{"prompts":[{"text":"Once more: ","echo":false}]}'
read -r answers
case $answers in
*'"answers":["arctic"]'*) echo '{"result":"allow"}' ;;
*) echo '{"result":"deny"}' ;;
esac
"#;

#[test]
fn a_program_may_ask_the_questions() {
    let Some(mut scene) = Scene::new() else { return };
    let program = scene.program("questions", QUESTIONS);
    scene.table(&format!(
        "[keyboard_interactive]\ncommand = ['{}']\ntimeout_s = 1",
        program.display()
    ));
    scene.user("tern", "methods = ['keyboard-interactive']");
    scene.user("other", &format!("{}\nmethods = ['password']", password()));
    let served = scene.start();
    let mut steps = Steps::new("keyboard_interactive");
    let answers = |user, bird: &str, word: &str, again: &str| {
        let attempt = Attempt::of(&served, user).by("keyboard-interactive");
        attempt.answer("Bird: ", bird).answer("Word: ", word).answer("Once more: ", again)
    };

    steps.run("right", || {
        let attempt = answers("tern", "tern", "arctic", "arctic");
        attempt.succeeds()?;
        let asked =
            "(tern@127.0.0.1) Bird: \n(tern@127.0.0.1) Word: \n(tern@127.0.0.1) Once more: \n";
        check(attempt.asked() == asked, || attempt.asked())
    });
    for (name, attempt, rule) in [
        ("wrong", answers("tern", "tern", "common", "arctic"), "hook"),
        ("wrong the second time", answers("tern", "tern", "arctic", "common"), "hook"),
        ("too late", answers("tern", "auk", "arctic", "arctic"), "hook"),
        ("nobody of that name", answers("stranger", "tern", "arctic", "arctic"), "user"),
        ("not a method of the user", answers("other", "tern", "arctic", "arctic"), "user.methods"),
    ] {
        steps.run(name, || attempt.is_refused(rule));
    }
    steps.run("a password stays a password", || by_password(&served, "other").succeeds());

    steps.finish(|| served.log());
}
