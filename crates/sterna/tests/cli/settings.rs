//! `serve --config`: what the file may say, how mistakes are named, and what a reload changes.

use std::{fs, path::Path, process::Output};

use crate::{
    live::HASH,
    support::{feed, port_of, spawn_until_listening, stderr, stdout, sterna},
};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBrsSTxm+vJdIU1ZNA8BCSSzBvrGL9aPZjsnOeeFf0xw alice";

/// Runs `serve` with a file that must be refused.
fn refused(text: &str) -> Output {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("root")).unwrap();
    let file = dir.path().join("sterna.toml");
    fs::write(&file, text).unwrap();
    sterna().args(["serve", "--config"]).arg(file).output().unwrap()
}

#[test]
fn a_mistake_is_named_with_file_line_key_and_reason() {
    let user = |rest: &str| format!("[[user]]\nname = 'a'\nroot = 'root'\n{rest}\n");
    for (text, line, key, reason) in [
        ("lisen = []\n".to_owned(), 1, "lisen", "unknown"),
        ("\nlisten = 3\n".to_owned(), 2, "listen", "invalid type"),
        ("listen = [\n 'nowhere']\n".to_owned(), 2, "listen", "address"),
        ("[[user]]\nname = 'a'\n".to_owned(), 1, "user.root", "missing"),
        ("[[user]]\nroot = 'root'\n".to_owned(), 1, "user.name", "missing"),
        ("[[user]]\nname = 'a'\nroot = 'gone'\n".to_owned(), 3, "user.root", "no such"),
        (user("password = ''"), 4, "user.password", "empty"),
        (user("password = 'plain'"), 4, "user.password", "hash"),
        (user("authorized_keys = ['ssh-ed25519 AAAA']"), 4, "user.authorized_keys", "key"),
        (user("totp_secret = 'JBSWY3DP'"), 4, "user.totp_secret", "shorter"),
        (user("allow_from = ['10.0.0.1/8']"), 4, "user.allow_from", "beyond its mask"),
        (user("publish = 'later'"), 4, "user.publish", "neither"),
        (user("colour = 'red'"), 4, "user.colour", "unknown"),
        ("trusted_user_ca_keys = []\n".to_owned(), 1, "trusted_user_ca_keys", "no key"),
        ("[host_based]\ncheck_address = 1\n".to_owned(), 2, "host_based.check_address", "invalid"),
        (format!("{0}{0}", user(&format!("authorized_keys = ['{KEY}']"))), 6, "user.name", "twice"),
    ] {
        let output = refused(&text);

        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(2), "{text}: {said}");
        assert!(said.contains(&format!("sterna.toml:{line}: {key}")), "{text}: {said}");
        assert!(said.contains(reason), "{text}: {said}");
    }
}

#[test]
fn all_mistakes_of_a_file_are_named_at_once() {
    let output = refused("listen = ['x']\n[[user]]\nname = 'a'\nroot = 'gone'\npassword = ''\n");

    let said = stderr(&output);
    for place in
        ["sterna.toml:1: listen", "sterna.toml:4: user.root", "sterna.toml:5: user.password"]
    {
        assert!(said.contains(place), "{place}: {said}");
    }
}

#[test]
fn a_user_in_a_file_of_its_own_is_checked_in_its_own_file() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("users")).unwrap();
    fs::write(dir.path().join("sterna.toml"), "users_dir = 'users'\n").unwrap();
    fs::write(dir.path().join("users/bob.toml"), "\nroot = 'gone'\n").unwrap();

    let output =
        sterna().args(["serve", "--config"]).arg(dir.path().join("sterna.toml")).output().unwrap();

    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("bob.toml:2: root"), "{said}");
}

/// Writes settings with one user whose password is what `hash` stands for.
fn write_settings(dir: &Path, user: &str, hash: &str) {
    let text = format!(
        "listen = ['127.0.0.1:0']\nstate_dir = 'state'\n\
         [[user]]\nname = '{user}'\nroot = 'root'\npassword = '{hash}'\n"
    );
    fs::write(dir.join("sterna.toml"), text).unwrap();
}

fn hash_of(dir: &Path, password: &str) -> String {
    fs::write(dir.join("password"), password).unwrap();
    let output =
        sterna().args(["hash-password", "--password-file"]).arg(dir.join("password")).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn exit_of_ls(port: u16, user: &str, password: &str) -> Option<i32> {
    let output = sterna()
        .args(["ls", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o"])
        .args(["UserKnownHostsFile=/dev/null", "-P", &port.to_string()])
        .arg(format!("{user}@127.0.0.1:/"))
        .env("STERNA_PASSWORD", password)
        .env("HOME", "/nonexistent")
        .output()
        .unwrap();
    output.status.code()
}

/// Goal: SIGHUP brings new users in, and a bad file changes nothing.
/// Method: the log on stderr says when a reload is over; only then is the effect looked at.
#[test]
fn a_reload_applies_everything_or_nothing() {
    use std::io::BufRead;
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("root")).unwrap();
    let hash = hash_of(dir.path(), "first");
    write_settings(dir.path(), "alice", &hash);
    let mut command = sterna();
    command.args(["serve", "--config"]).arg(dir.path().join("sterna.toml"));
    let (mut child, greeting) = spawn_until_listening(&mut command);
    let port = crate::support::port_of(&greeting);
    let mut log = std::io::BufReader::new(child.stderr.take().unwrap()).lines();
    let mut reload = || {
        let pid = child.id().to_string();
        let killed = std::process::Command::new("kill").args(["-s", "HUP", &pid]).status();
        assert!(killed.unwrap().success());
        log.by_ref().map(Result::unwrap).find(|line| line.contains("settings")).unwrap()
    };
    assert_eq!(exit_of_ls(port, "alice", "first"), Some(0));

    write_settings(dir.path(), "bob", &hash);
    let said = reload();
    assert!(said.contains("reloaded"), "{said}");
    assert_eq!(exit_of_ls(port, "alice", "first"), Some(5));
    assert_eq!(exit_of_ls(port, "bob", "first"), Some(0));

    fs::write(dir.path().join("sterna.toml"), "nonsense = 1\n").unwrap();
    let said = reload();
    assert!(said.contains("kept"), "{said}");
    assert_eq!(exit_of_ls(port, "bob", "first"), Some(0));

    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_password_may_be_hashed_from_a_pipe() {
    let mut command = sterna();
    command.arg("hash-password");

    let output = feed(&mut command, b"correct horse\n");

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).starts_with("$argon2id$"), "{}", stdout(&output));
}

/// Goal: who demands every wall gets every wall, or no server.
#[test]
fn a_required_sandbox_is_there_or_nothing_starts() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("root")).unwrap();
    fs::write(dir.path().join("root/f"), "x").unwrap();
    let settings = format!(
        "listen = ['127.0.0.1:0']\nstate_dir = 'state'\nsandbox = 'require'\n\
         [[user]]\nname = 'alice'\nroot = 'root'\npassword = '{HASH}'\n"
    );
    fs::write(dir.path().join("sterna.toml"), settings).unwrap();
    // On a kernel without them this panics with what the server says, which is the other half.
    let mut command = sterna();
    command.current_dir(dir.path()).args(["serve", "--config", "sterna.toml"]);
    let (mut child, greeting) = spawn_until_listening(&mut command);

    let mut client = sterna();
    client.args(["ls", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o"]);
    client.args(["UserKnownHostsFile=/dev/null", "-P", &port_of(&greeting).to_string()]);
    client.env("STERNA_PASSWORD", "Hello world!").env("HOME", dir.path());
    let output = client.arg("alice@127.0.0.1:/").output().unwrap();
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    child.kill().unwrap();
    let log = child.wait_with_output().unwrap();

    assert_eq!(stdout(&output).trim(), "f", "{}", stderr(&output));
    for line in ["Seccomp:\t2", "NoNewPrivs:\t1"] {
        assert!(status.lines().any(|shown| shown == line), "{line}: {status}");
    }
    let log = stderr(&log);
    assert!(log.contains("landlock=\"abi ") && log.contains("seccomp=\"on\""), "{log}");

    // Users whose roots may be anywhere need a hole as large as the wall.
    let settings =
        "state_dir = 'state'\nsandbox = 'require'\n[external_identity]\ncommand = ['/bin/true']\n";
    let output = refused(settings);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("external_identity without sandbox_roots"));
}
