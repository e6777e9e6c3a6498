//! Public keys of every kind, and the options in front of them.

use sterna_interop::steps::{Steps, check};
use sterna_testkit::openssh::{KeyFile, KeyKind};

use crate::server_login::openssh::{Attempt, Expect};
use crate::server_login::scene::{Scene, authorized};

fn by_key<'s>(attempt: Attempt<'s>, key: &KeyFile) -> Attempt<'s> {
    attempt.by("publickey").key(&key.private)
}

#[test]
fn a_key_of_every_kind_lets_in() {
    let Some(mut scene) = Scene::new() else { return };
    let keys: Vec<KeyFile> =
        KeyKind::ALL.into_iter().map(|kind| scene.key(kind.name(), kind)).collect();
    let lines: Vec<String> = keys.iter().map(|key| key.public_line.clone()).collect();
    scene.user("tern", &authorized(&lines));
    scene.user("other", &authorized(&lines[..1]));
    let stranger = scene.key("stranger", KeyKind::Ed25519);
    let served = scene.start();
    let mut steps = Steps::new("publickey");

    for (kind, key) in KeyKind::ALL.into_iter().zip(&keys) {
        let algorithms: &[&str] = match kind {
            KeyKind::Rsa3072 => &["rsa-sha2-256", "rsa-sha2-512"],
            KeyKind::Ed25519 | KeyKind::EcdsaP256 | KeyKind::EcdsaP384 | KeyKind::EcdsaP521 => {
                &["*"]
            }
        };
        for algorithm in algorithms {
            steps.run(format!("{} {algorithm}", kind.name()), || {
                let accepted = format!("PubkeyAcceptedAlgorithms={algorithm}");
                let attempt = by_key(Attempt::of(&served, "tern"), key).option(accepted);
                let done = attempt.run("pwd\n")?;
                check(done.success(), || done.describe())?;
                // OpenSSH binds the signature to our host key whenever the server says that it can.
                let text = String::from_utf8_lossy(&done.stderr);
                check(text.contains("using publickey-hostbound-v00@openssh.com"), || {
                    done.describe()
                })
            });
        }
        if kind != KeyKind::Ed25519 {
            steps.run(format!("{} of somebody else", kind.name()), || {
                by_key(Attempt::of(&served, "other"), key).is_refused("authorized_keys")
            });
        }
    }
    steps.run("not authorized", || {
        by_key(Attempt::of(&served, "tern"), &stranger).is_refused("authorized_keys")
    });
    steps.run("a wrong key and then the right one", || {
        by_key(Attempt::of(&served, "tern"), &stranger).key(&keys[0].private).succeeds()
    });
    steps.run("SHA-1", || {
        // The client would have to sign by ssh-rsa, which nobody offers.
        let attempt = by_key(Attempt::of(&served, "tern"), &keys[4]);
        let done = attempt.option("PubkeyAcceptedAlgorithms=ssh-rsa").run("pwd\n")?;
        check(!done.success(), || done.describe())
    });
    steps.run("nobody of that name", || {
        by_key(Attempt::of(&served, "stranger"), &keys[0]).is_refused("user")
    });

    steps.finish(|| served.log());
}

#[test]
fn options_in_front_of_a_key_hold() {
    let rows = [
        ("from", "from=\"127.0.0.0/8\"", Expect::In),
        ("from-pattern", "from=\"10.*,127.*\"", Expect::In),
        ("from-elsewhere", "from=\"192.0.2.0/24\"", Expect::Refused("authorized_keys.from")),
        (
            "from-not-here",
            "from=\"!127.0.0.1,127.0.0.0/8\"",
            Expect::Refused("authorized_keys.from"),
        ),
        ("expires", "expiry-time=\"20900101\"", Expect::In),
        ("expired", "expiry-time=\"20200101\"", Expect::Refused("authorized_keys.expiry-time")),
        ("restrict", "restrict", Expect::In),
        ("no-pty", "no-pty,no-port-forwarding", Expect::In),
        ("sftp", "command=\"internal-sftp\"", Expect::In),
        ("read-only", "restrict,command=\"internal-sftp -R\"", Expect::ReadOnly),
        ("shell", "command=\"/bin/sh\"", Expect::Refused("authorized_keys.command")),
        ("unknown-option", "no-such-option", Expect::Refused("authorized_keys")),
        ("environment", "environment=\"A=b\"", Expect::Refused("authorized_keys")),
        ("authority", "cert-authority", Expect::Refused("authorized_keys")),
    ];
    let Some(mut scene) = Scene::new() else { return };
    let key = scene.key("key", KeyKind::Ed25519);
    // A second key, so that nobody is without any.
    let other = scene.key("other", KeyKind::Ed25519).public_line;
    let line = &key.public_line;
    for (user, options, _) in rows {
        scene.write(&format!("{user}.keys"), &format!("{options} {line}\n{other}\n"));
        scene.user(user, &format!("authorized_keys_file = '{user}.keys'"));
    }
    let both = format!("# two\nno-such-option {line}\nrestrict {line}\n");
    scene.write("beside.keys", &both);
    scene.user("beside", "authorized_keys_file = 'beside.keys'");
    let served = scene.start();
    let mut steps = Steps::new("authorized_keys");

    for (user, options, expect) in rows {
        steps.run(format!("{user}: {options}"), || {
            expect.of(&by_key(Attempt::of(&served, user), &key))
        });
    }
    for (user, option) in [("unknown-option", "no-such-option"), ("environment", "environment")] {
        steps.run(format!("the log names the line with {option}"), || {
            served.logs(0, &[&format!("{user}.keys:1"), option]).map(drop)
        });
    }
    steps.run("a good line behind a bad one", || {
        by_key(Attempt::of(&served, "beside"), &key).succeeds()
    });

    steps.finish(|| served.log());
}
