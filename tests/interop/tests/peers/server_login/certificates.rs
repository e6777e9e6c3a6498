//! User certificates of OpenSSH: authorities, principals, times, options, and revocation.

use std::process::Command;

use sterna_interop::steps::Steps;
use sterna_testkit::openssh::{KeyFile, KeyKind};

use crate::server_login::authority::Authority;
use crate::server_login::openssh::{Attempt, Expect};
use crate::server_login::scene::{Scene, must_run};

/// A user of every scene here; the setting only makes the account one that could log in.
const USER: &str = "tern";

fn by_certificate<'s>(attempt: Attempt<'s>, key: &KeyFile) -> Attempt<'s> {
    attempt.by("publickey").key(&key.private)
}

/// A scene with an authority that everybody's certificates may come from.
fn trusting() -> Option<(Scene, Authority)> {
    let mut scene = Scene::new()?;
    let authority = Authority::new(&scene, "ca");
    scene.top(&format!("trusted_user_ca_keys = ['{}']", authority.key.public_line));
    Some((scene, authority))
}

#[test]
fn a_certificate_of_every_kind_of_key_lets_in() {
    let Some((mut scene, authority)) = trusting() else { return };
    scene.user(USER, "");
    let served = scene.start();
    let mut steps = Steps::new("certificates");

    for kind in KeyKind::ALL {
        let key = authority.certified(kind.name(), kind, &["-n", USER]);
        steps.run(kind.name(), || {
            by_certificate(Attempt::of(&served, USER), &key).succeeds()?;
            // Without its certificate it is nobody's.
            std::fs::remove_file(scene.path(&format!("{}-cert.pub", kind.name())))?;
            by_certificate(Attempt::of(&served, USER), &key).is_refused("authorized_keys")
        });
    }
    steps.run("an authority that nobody trusts", || {
        let stranger = Authority::new(&scene, "stranger_ca");
        let key = stranger.certified("of_stranger", KeyKind::Ed25519, &["-n", USER]);
        by_certificate(Attempt::of(&served, USER), &key).is_refused("certificate.authority")
    });

    steps.finish(|| served.log());
}

/// Goal: the log tells who came, by what, from where, with which client, and after how long; let in or not.
#[test]
fn the_log_line_of_a_login_says_everything_about_it() {
    let Some((mut scene, authority)) = trusting() else { return };
    scene.user(USER, "");
    let served = scene.start();
    let good = authority.certified("good", KeyKind::Ed25519, &["-n", USER]);
    let bad = authority.certified("bad", KeyKind::Ed25519, &["-n", "somebody"]);
    let fingerprint = |public: &std::path::Path| -> String {
        let done = must_run(Command::new("ssh-keygen").arg("-lf").arg(public));
        let line = String::from_utf8_lossy(&done.stdout).into_owned();
        line.split(' ').nth(1).expect("a fingerprint").to_owned()
    };
    let (key, ca) = (fingerprint(&good.public), fingerprint(&authority.key.public));
    let mut steps = Steps::new("log lines");

    steps.run("let in", || {
        let mark = served.mark();
        by_certificate(Attempt::of(&served, USER), &good).succeeds()?;
        let (by, ca) = ("by=\"publickey ", format!("CA {ca}"));
        let parts = ["logged in", "user=\"tern\"", by, &key, &ca, "principal tern"];
        let more = ["source=127.0.0.1:", "client=", "OpenSSH_", "after_ms="];
        served.logs(mark, &[&parts[..], &more[..]].concat()).map(drop)
    });
    steps.run("refused", || {
        let mark = served.mark();
        by_certificate(Attempt::of(&served, USER), &bad).is_refused("certificate.principals")?;
        let parts = ["login refused", "user=tern", "source=127.0.0.1:", "client=", "OpenSSH_"];
        let more = ["after_ms=", "rule=\"certificate.principals\""];
        served.logs(mark, &[&parts[..], &more[..]].concat()).map(drop)
    });

    steps.finish(|| served.log());
}

#[test]
fn what_a_certificate_says_holds() {
    let rows: [(&str, &[&str], Expect); 14] = [
        ("forever", &["-n", "tern", "-V", "always:forever"], Expect::In),
        ("today", &["-n", "tern", "-V", "-1h:+1h"], Expect::In),
        (
            "expired",
            &["-n", "tern", "-V", "20200101:20210101"],
            Expect::Refused("certificate.validity"),
        ),
        (
            "not-yet-valid",
            &["-n", "tern", "-V", "20900101:20910101"],
            Expect::Refused("certificate.validity"),
        ),
        ("other-principal", &["-n", "somebody"], Expect::Refused("certificate.principals")),
        ("one-of-several", &["-n", "somebody,tern"], Expect::In),
        ("no-principal", &[], Expect::Refused("certificate.principals")),
        ("source", &["-n", "tern", "-O", "source-address=127.0.0.0/8"], Expect::In),
        (
            "other-source",
            &["-n", "tern", "-O", "source-address=192.0.2.0/24"],
            Expect::Refused("certificate.source-address"),
        ),
        ("read-only", &["-n", "tern", "-O", "force-command=internal-sftp -R"], Expect::ReadOnly),
        (
            "shell",
            &["-n", "tern", "-O", "force-command=/bin/sh"],
            Expect::Refused("certificate.force-command"),
        ),
        (
            "unknown-option",
            &["-n", "tern", "-O", "critical:x@example.com=1"],
            Expect::Refused("certificate.critical-options"),
        ),
        // It may be ignored, unlike a critical one.
        ("unknown-extension", &["-n", "tern", "-O", "extension:x@example.com=1"], Expect::In),
        ("no-extensions", &["-n", "tern", "-O", "clear"], Expect::In),
    ];
    let Some((mut scene, authority)) = trusting() else { return };
    scene.user(USER, "");
    let served = scene.start();
    let mut steps = Steps::new("what a certificate says");

    for (name, arguments, expect) in rows {
        let key = authority.certified(name, KeyKind::Ed25519, arguments);
        steps.run(name, || expect.of(&by_certificate(Attempt::of(&served, USER), &key)));
    }

    steps.finish(|| served.log());
}

#[test]
fn settings_say_which_names_in_a_certificate_are_a_user() {
    let rows = [
        ("own-name", "", "own-name", Expect::In),
        ("mapped", "principals = ['erp', 'backup']", "backup", Expect::In),
        (
            "mapped-away",
            "principals = ['erp']",
            "mapped-away",
            Expect::Refused("certificate.principals"),
        ),
        ("prefix", "", "prefix2", Expect::Refused("certificate.principals")),
    ];
    let Some((mut scene, authority)) = trusting() else { return };
    for (user, settings, _, _) in rows {
        scene.user(user, settings);
    }
    let served = scene.start();
    let mut steps = Steps::new("principals");

    for (user, settings, principal, expect) in rows {
        let key = authority.certified(user, KeyKind::Ed25519, &["-n", principal]);
        steps.run(format!("{principal} as {user} {settings}"), || {
            expect.of(&by_certificate(Attempt::of(&served, user), &key))
        });
    }

    steps.finish(|| served.log());
}

/// Lines with `cert-authority` trust an authority for one user only.
#[test]
fn a_user_may_have_an_authority_of_their_own() {
    let rows = [
        ("plain", "cert-authority", "plain", Expect::In),
        ("listed", "cert-authority,principals=\"erp,backup\"", "erp", Expect::In),
        (
            "not-listed",
            "cert-authority,principals=\"erp,backup\"",
            "not-listed",
            Expect::Refused("certificate.principals"),
        ),
        (
            "elsewhere",
            "cert-authority,from=\"192.0.2.1\"",
            "elsewhere",
            Expect::Refused("authorized_keys.from"),
        ),
        ("read-only", "cert-authority,command=\"internal-sftp -R\"", "read-only", Expect::ReadOnly),
    ];
    let Some(mut scene) = Scene::new() else { return };
    let authority = Authority::new(&scene, "ca");
    for (user, options, _, _) in rows {
        let line = format!("authorized_keys = ['{options} {}']", authority.key.public_line);
        scene.user(user, &line);
    }
    let other = scene.key("other", KeyKind::Ed25519);
    scene.user("without", &crate::server_login::scene::authorized(&[other.public_line]));
    let served = scene.start();
    let mut steps = Steps::new("cert-authority");

    for (user, options, principal, expect) in rows {
        let key = authority.certified(user, KeyKind::Ed25519, &["-n", principal]);
        steps.run(format!("{principal} by {options}"), || {
            expect.of(&by_certificate(Attempt::of(&served, user), &key))
        });
    }
    steps.run("another user's authority", || {
        let key = authority.certified("key", KeyKind::Ed25519, &["-n", "without"]);
        let attempt = by_certificate(Attempt::of(&served, "without"), &key);
        attempt.is_refused("certificate.authority")
    });
    steps.run("the authority's own key", || {
        by_certificate(Attempt::of(&served, "plain"), &authority.key).is_refused("authorized_keys")
    });

    steps.finish(|| served.log());
}

/// What is revoked, as the file that `revoked_keys_file` names.
#[derive(Clone, Copy, Debug)]
enum Revoked {
    /// A specification for `ssh-keygen -k`.
    Specified(&'static str),
    /// A list of these public keys.
    Listed(&'static str),
    /// A KRL of these public keys.
    InKrl(&'static str),
}

#[test]
fn what_is_revoked_lets_nobody_in() {
    let Some((mut scene, authority)) = trusting() else { return };
    scene.top("revoked_keys_file = 'revoked'");
    let certified = |name: &str, more: &[&str]| {
        authority.certified(name, KeyKind::Ed25519, &[&["-n", USER], more].concat())
    };
    // Serial number and name of both differ.
    let bad = certified("bad", &["-z", "7", "-I", "laptop"]);
    let good = certified("good", &["-z", "8", "-I", "desktop"]);
    let plain = scene.key("plain", KeyKind::EcdsaP256);
    scene.user(
        USER,
        &crate::server_login::scene::authorized(std::slice::from_ref(&plain.public_line)),
    );
    let mut steps = Steps::new("revoked keys");

    for (revoked, good_is_in, plain_is_in) in [
        (Revoked::Specified("serial: 7\n"), true, true),
        (Revoked::Specified("serial: 1-7\n"), true, true),
        (Revoked::Specified("id: laptop\n"), true, true),
        (Revoked::InKrl("bad.pub"), true, true),
        (Revoked::InKrl("bad-cert.pub"), true, true),
        (Revoked::InKrl("ca.pub"), false, true),
        (Revoked::Listed("bad.pub"), true, true),
        (Revoked::Listed("ca.pub"), false, true),
        (Revoked::Specified("hash: PLAIN\nserial: 7\n"), true, false),
    ] {
        let file = scene.path("revoked");
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-k", "-f"]).arg(&file);
        match revoked {
            Revoked::Specified(text) => {
                let text = text.replace("PLAIN", &plain.fingerprint());
                let specification = scene.write("specification", &text);
                must_run(keygen.arg("-s").arg(&authority.key.public).arg(specification));
            }
            Revoked::InKrl(name) => drop(must_run(keygen.arg(scene.path(name)))),
            Revoked::Listed(name) => {
                let text = std::fs::read_to_string(scene.path(name)).expect("a public key");
                scene.write("revoked", &format!("# gone\n{text}"));
            }
        }
        let served = scene.start();
        steps.run(format!("{revoked:?}"), || {
            let expect = |key, is_in| {
                let attempt = by_certificate(Attempt::of(&served, USER), key);
                if is_in { attempt.succeeds() } else { attempt.is_refused("revoked_keys_file") }
            };
            expect(&bad, false)?;
            expect(&good, good_is_in)?;
            expect(&plain, plain_is_in)
        });
    }

    steps.finish(String::new);
}
