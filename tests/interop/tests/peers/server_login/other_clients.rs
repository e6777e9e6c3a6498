//! Clients that are not OpenSSH's, each by key, password and keyboard-interactive, right and wrong.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use sterna_interop::binary::{has_peer, miss, peer_script};
use sterna_interop::client::command_max;
use sterna_interop::place::Place;
use sterna_interop::steps::{Outcome, Steps, check};
use sterna_testkit::openssh::{KeyFile, KeyKind, PASSWORD};
use sterna_testkit::processes::{Finished, find_program, run};

use crate::server_login::authority::Authority;
use crate::server_login::keyboard::{TOTP_SECRET, code};
use crate::server_login::python::{asyncssh, paramiko};
use crate::server_login::scene::{Scene, Served, authorized, must_run, password};

/// What a client shows to get in.
#[derive(Clone, Copy, Debug)]
enum Proof<'a> {
    Key(&'a KeyFile),
    Password(&'a str),
    /// The answer to the one question of keyboard-interactive.
    Answer(&'a str),
}

/// Tries to list the start directory of a user.
type LogIn<'a> = &'a dyn Fn(&Served, &str, Proof<'_>) -> Outcome<Finished>;

/// Users who come in by one method each, and the key of the first.
fn scene() -> Option<(Scene, KeyFile)> {
    let mut scene = Scene::new()?;
    let key = scene.key("key", KeyKind::Ed25519);
    let keys = authorized(std::slice::from_ref(&key.public_line));
    let password = password();
    for (user, methods) in [
        ("by-key", "publickey"),
        ("by-password", "password"),
        ("by-keyboard", "keyboard-interactive"),
    ] {
        scene.user(user, &format!("{keys}\n{password}\nmethods = ['{methods}']"));
    }
    Some((scene, key))
}

/// All of a client: each method right and wrong. A refusal is its exit status `refused`.
fn every_method(name: &str, refused: i32, log_in: LogIn<'_>) {
    let Some((scene, key)) = scene() else { return };
    let stranger = scene.key("stranger", KeyKind::Ed25519);
    let served = scene.start();
    let mut steps = Steps::new(name);

    for (user, proof, rule) in [
        ("by-key", Proof::Key(&key), None),
        ("by-password", Proof::Password(PASSWORD), None),
        ("by-keyboard", Proof::Answer(PASSWORD), None),
        ("by-key", Proof::Key(&stranger), Some("authorized_keys")),
        ("by-password", Proof::Password("wrong"), Some("password")),
        ("by-keyboard", Proof::Answer("wrong"), Some("password")),
    ] {
        let how = if rule.is_some() { "wrong" } else { "right" };
        steps.run(format!("{user}, {how}"), || {
            let mark = served.mark();
            let done = log_in(&served, user, proof)?;
            let expected = if rule.is_some() { refused } else { 0 };
            check(done.code() == Some(expected), || {
                format!("it should have ended with {expected}\n{}", done.describe())
            })?;
            match rule {
                Some(rule) => served.logs_refusal(mark, user, rule),
                None => served.logs(mark, &["logged in", &format!("user=\"{user}\"")]).map(drop),
            }
        });
    }

    steps.finish(|| served.log());
}

#[test]
fn asyncssh_logs_in_by_every_method() {
    every_method("AsyncSSH", 5, &|served, user, proof| {
        let attempt = match proof {
            Proof::Key(key) => json!({"methods": ["publickey"], "key": key.private}),
            Proof::Password(password) => json!({"methods": ["password"], "password": password}),
            Proof::Answer(answer) => {
                json!({"methods": ["keyboard-interactive"], "answers": {"Password": answer}})
            }
        };
        Ok(asyncssh(served, user, attempt)?.done)
    });
}

#[test]
fn paramiko_logs_in_by_every_method() {
    every_method("Paramiko", 5, &|served, user, proof| {
        let step = match proof {
            Proof::Key(key) => json!(["publickey", key.private]),
            Proof::Password(password) => json!(["password", password]),
            Proof::Answer(answer) => json!(["keyboard-interactive", {"Password": answer}]),
        };
        Ok(paramiko(served, user, json!({"steps": [step]}))?.done)
    });
}

#[test]
fn putty_logs_in_by_every_method() {
    if !has_peer("psftp") || !has_peer("puttygen") {
        return;
    }
    every_method("PuTTY", 1, &|served, user, proof| {
        let home = served.scratch.join("putty");
        fs::create_dir_all(home.join(".putty/sessions"))?;
        // The only way to say which method it should use.
        let keyboard = i32::from(matches!(proof, Proof::Answer(_)));
        fs::write(home.join(".putty/sessions/test"), format!("AuthKI={keyboard}\n"))?;
        fs::write(served.scratch.join("psftp_batch"), "ls\n")?;
        let mut psftp = Command::new("psftp");
        psftp.args(["-v", "-batch", "-noagent", "-load", "test"]);
        psftp.args(["-P", &served.port.to_string(), "-l", user]);
        psftp.arg("-b").arg(served.scratch.join("psftp_batch"));
        psftp.arg("-hostkey").arg(&served.host_fingerprint);
        match proof {
            Proof::Key(key) => {
                let ppk = key.private.with_extension("ppk");
                let mut puttygen = Command::new("puttygen");
                must_run(puttygen.arg(&key.private).args(["-O", "private", "-o"]).arg(&ppk));
                psftp.arg("-i").arg(ppk);
            }
            Proof::Password(password) | Proof::Answer(password) => {
                psftp.args(["-pw", password]);
            }
        }
        psftp.arg("127.0.0.1").env("HOME", home).env_remove("SSH_AUTH_SOCK");
        Ok(run(&mut psftp, b"", command_max()))
    });
}

#[test]
fn lftp_logs_in_by_every_method() {
    if !has_peer("lftp") {
        return;
    }
    every_method("lftp", 1, &|served, user, proof| {
        let (method, key, password) = match proof {
            Proof::Key(key) => ("publickey", key.private.display().to_string(), "x"),
            Proof::Password(password) => ("password", "none".to_owned(), password),
            Proof::Answer(answer) => ("keyboard-interactive", "none".to_owned(), answer),
        };
        // It answers at a terminal of its own what ssh asks there.
        let ssh = format!(
            "ssh -a -x -F none -o UserKnownHostsFile={} -o GlobalKnownHostsFile=/dev/null \
             -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes -o IdentityFile={key} \
             -o PreferredAuthentications={method} -o NumberOfPasswordPrompts=1",
            served.known_hosts.display()
        );
        let script = format!(
            "set sftp:connect-program \"{ssh}\"\nset net:max-retries 1\nset net:timeout 30\n\
             set cmd:fail-exit yes\nopen -u \"{user},{password}\" -p {} sftp://127.0.0.1\nls\n",
            served.port
        );
        let mut lftp = Command::new("lftp");
        lftp.arg("--norc").arg("-c").arg(OsString::from(script));
        lftp.env("HOME", &served.scratch).env_remove("SSH_AUTH_SOCK").env("LC_ALL", "C.UTF-8");
        Ok(run(&mut lftp, b"", command_max()))
    });
}

#[test]
fn curl_logs_in_by_every_method() {
    if !has_peer("curl") {
        return;
    }
    /// `CURLE_LOGIN_DENIED`.
    const DENIED: i32 = 67;
    every_method("curl with libssh2", DENIED, &|served, user, proof| {
        let mut curl = Command::new("curl");
        curl.args(["-q", "-sS", "-v", "--hostpubsha256"]);
        curl.arg(served.host_fingerprint.trim_start_matches("SHA256:"));
        match proof {
            Proof::Key(key) => {
                curl.args(["--user", &format!("{user}:")]);
                curl.arg("--key").arg(&key.private).arg("--pubkey").arg(&key.public);
            }
            // It tries the one and then the other.
            Proof::Password(password) | Proof::Answer(password) => {
                curl.args(["--user", &format!("{user}:{password}")]);
            }
        }
        curl.arg(format!("sftp://127.0.0.1:{}/", served.port)).env_remove("SSH_AUTH_SOCK");
        curl.env("HOME", &served.scratch);
        Ok(run(&mut curl, b"", command_max()))
    });
}

/// The program of `peers/libssh_login.c`, compiled now; `None` where there is no compiler or library.
fn libssh_login(place: &Place) -> Option<PathBuf> {
    if !Path::new("/usr/include/libssh/libssh.h").exists() || find_program("cc").is_none() {
        miss("no C compiler, or libssh's headers are not installed");
        return None;
    }
    let program = place.path().join("libssh_login");
    let mut cc = Command::new("cc");
    cc.args(["-Wall", "-o"]).arg(&program).arg(peer_script("libssh_login.c")).arg("-lssh");
    must_run(&mut cc);
    Some(program)
}

#[test]
fn libssh_logs_in_by_every_method() {
    let place = Place::new();
    let Some(program) = libssh_login(&place) else { return };
    every_method("libssh", 5, &|served, user, proof| {
        let mut login = Command::new(&program);
        login.arg(served.port.to_string()).arg(user).arg(&served.known_hosts);
        match proof {
            Proof::Key(key) => login.arg("publickey").arg(&key.private),
            Proof::Password(password) => login.args(["password", password]),
            Proof::Answer(answer) => login.args(["keyboard-interactive", answer]),
        };
        login.env_remove("SSH_AUTH_SOCK").env("HOME", &served.scratch);
        Ok(run(&mut login, b"", command_max()))
    });
}

#[test]
fn asyncssh_logs_in_by_certificate_and_changes_a_password() {
    let Some(mut scene) = Scene::new() else { return };
    let authority = Authority::new(&scene, "ca");
    scene.top(&format!("trusted_user_ca_keys = ['{}']", authority.key.public_line));
    scene.user("certified", "");
    scene.user("changes", &format!("{}\nmust_change_password = true", password()));
    scene.user("code", &format!("{}\ntotp_secret = '{TOTP_SECRET}'", password()));
    let served = scene.start();
    let mut steps = Steps::new("more of AsyncSSH");

    for (name, arguments, refused_by) in [
        ("good", &["-n", "certified"][..], None),
        ("other", &["-n", "somebody"], Some("certificate.principals")),
        ("host", &["-h", "-n", "certified"], Some("certificate.kind")),
    ] {
        let key = authority.certified(name, KeyKind::Ed25519, arguments);
        steps.run(format!("certificate: {name}"), || {
            let attempt =
                json!({"methods": ["publickey"], "key": key.private, "certificate": true});
            asyncssh(&served, "certified", attempt)?.expect(&served, "certified", refused_by)
        });
    }
    let new = "new battery staple";
    for (name, typed, new, refused_by) in [
        ("wrong", "wrong", Some(new), Some("password")),
        ("changed", PASSWORD, Some(new), None),
        ("the old one", PASSWORD, None, Some("password")),
        ("the new one", new, None, None),
    ] {
        steps.run(format!("must_change_password: {name}"), || {
            let mut attempt = json!({"methods": ["password"], "password": typed});
            if let Some(new) = new {
                attempt["new_password"] = new.into();
            }
            asyncssh(&served, "changes", attempt)?.expect(&served, "changes", refused_by)
        });
    }
    let used = code();
    for (name, refused_by) in [("once", None), ("twice", Some("totp.replay"))] {
        steps.run(format!("password and code, {name}"), || {
            let answers = json!({"Password": PASSWORD, "code": used});
            let attempt = json!({"methods": ["keyboard-interactive"], "answers": answers});
            asyncssh(&served, "code", attempt)?.expect(&served, "code", refused_by)
        });
    }

    steps.finish(|| served.log());
}

/// Paramiko computes the code by itself, and can change the user's name in the middle of a login.
#[test]
fn paramiko_logs_in_in_several_steps_as_one_user() {
    let Some(mut scene) = Scene::new() else { return };
    let key = scene.key("key", KeyKind::Ed25519);
    let keys = authorized(std::slice::from_ref(&key.public_line));
    let lines = format!("{keys}\n{}", password());
    scene.user("tern", &format!("{lines}\nmethods = ['publickey,password']"));
    scene.user("other", &format!("{lines}\nmethods = ['publickey,password']"));
    scene.user("code", &format!("{}\ntotp_secret = '{TOTP_SECRET}'", password()));
    let served = scene.start();
    let mut steps = Steps::new("more of Paramiko");
    let by_key = json!(["publickey", key.private]);

    steps.run("password and code", || {
        let answers = json!({"Password": PASSWORD, "code": {"totp": TOTP_SECRET}});
        let attempt = json!({"steps": [["keyboard-interactive", answers]]});
        paramiko(&served, "code", attempt)?.expect(&served, "code", None)
    });
    steps.run("key and password", || {
        let attempt = json!({"steps": [by_key, ["password", PASSWORD]]});
        paramiko(&served, "tern", attempt)?.expect(&served, "tern", None)
    });
    steps.run("key and wrong password", || {
        let attempt = json!({"steps": [by_key, ["password", "wrong"]]});
        paramiko(&served, "tern", attempt)?.expect(&served, "tern", Some("password"))
    });
    steps.run("key, and the password as somebody else", || {
        let attempt = json!({"steps": [by_key, ["password", PASSWORD, "other"]]});
        let tried = paramiko(&served, "tern", attempt)?;
        tried.expect_end(&served, "change of user or service")?;
        served.logs(0, &["login step passed", "user=tern "]).map(drop)
    });
    steps.run("key, and a channel before the password", || {
        let mark = served.mark();
        let tried = paramiko(&served, "tern", json!({"steps": [by_key, ["channel", null]]}))?;
        tried.expect_end(&served, "message 90 is not allowed in this phase")?;
        served.logs(mark, &["login step passed", "user=tern "]).map(drop)
    });

    steps.finish(|| served.log());
}
