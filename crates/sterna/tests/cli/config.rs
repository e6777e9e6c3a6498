//! `sterna config`: checked, shown and compared without a server, and without a secret.

use std::{fs, path::Path, process::Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{stderr, stdout, sterna};

const HASH: &str = "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZedOSjhFjjmHd73d9eE9vkD";
const TOTP: &str = "JBSWY3DPEHPK3PXP";

/// A main file with a group, and a user with every secret in a file of its own.
fn folder() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("users/root")).unwrap();
    let main = "# ours\nlisten = ['127.0.0.1:0']\nusers_dir = 'users'\n\n[[group]]\nname = 'partners'\n\
                read_only = true\n[defence]\nmax_auth_tries = 3\n";
    fs::write(dir.path().join("sterna.toml"), main).unwrap();
    let user = format!(
        "root = 'root'\ngroups = ['partners']\npassword = '{HASH}'\ntotp_secret = '{TOTP}'\n\
         recovery_codes = ['sha256:{}']\nexpires = 2030-12-31\n",
        "0".repeat(64)
    );
    fs::write(dir.path().join("users/bob.toml"), user).unwrap();
    dir
}

fn run(dir: &Path, args: &str) -> Output {
    let mut command = sterna();
    command.current_dir(dir).env("STERNA_CONFIG", "sterna.toml").env("HOME", dir);
    command.arg("config").args(args.split(' ')).output().unwrap()
}

fn ok(dir: &Path, args: &str) -> String {
    let output = run(dir, args);
    assert_eq!(output.status.code(), Some(0), "{args}: {}", stderr(&output));
    stdout(&output)
}

#[test]
fn a_check_says_all_mistakes_at_once_or_that_there_are_none() {
    let dir = folder();
    assert_eq!(ok(dir.path(), "check"), "sterna.toml: good, 1 users\n");

    let broken = "listen = ['x']\n[[user]]\nname = 'a'\nroot = 'gone'\npassword = ''\n";
    fs::write(dir.path().join("broken.toml"), broken).unwrap();
    let output = run(dir.path(), "check broken.toml");

    assert_eq!(output.status.code(), Some(2));
    for place in
        ["broken.toml:1: listen", "broken.toml:4: user.root", "broken.toml:5: user.password"]
    {
        assert!(stderr(&output).contains(place), "{place}: {}", stderr(&output));
    }
    assert_eq!(run(dir.path(), "check gone.toml").status.code(), Some(2));
}

#[test]
fn what_is_shown_has_places_and_no_secrets() {
    let dir = folder();
    for args in ["show", "show --all", "show --json", "show --all --json"] {
        let said = ok(dir.path(), args);

        for secret in [HASH, "saltstring", TOTP, "sha256:", "0000"] {
            assert!(!said.contains(secret), "{args}: {said}");
        }
        assert!(said.contains("(hidden)"), "{args}: {said}");
    }
    let said = ok(dir.path(), "show");
    let user = "users/bob.toml";
    for line in [
        "max_auth_tries = 3  # sterna.toml:9".to_owned(),
        "read_only = true  # sterna.toml:7".to_owned(),
        format!("password = \"(hidden)\"  # {user}:3"),
        format!("expires = 2030-12-31  # {user}:6"),
    ] {
        assert!(said.lines().any(|shown| shown == line), "{line}: {said}");
    }
    assert_eq!(
        said.matches("read_only = true  # sterna.toml:7").count(),
        2,
        "group and user: {said}"
    );
    assert!(!said.contains("max_startups"), "{said}");
    assert!(said.lines().any(|shown| shown == "name = \"bob\""), "by its file's name: {said}");
    let all = ok(dir.path(), "show --all");
    assert!(all.lines().any(|line| line == "max_startups = \"100:30:500\""), "{all}");

    let json: Value = serde_json::from_str(&ok(dir.path(), "show --json")).unwrap();
    assert_eq!(json["settings"]["user"][0]["expires"], "2030-12-31");
    assert_eq!(json["places"]["user.bob.totp_secret"], format!("{user}:4"));
}

#[test]
fn two_files_are_compared_key_by_key_without_secrets() {
    let dir = folder();
    let user = |name: &str, salt: &str| {
        let hash = HASH.replace("saltstringsaltst", salt);
        format!("[[user]]\nname = '{name}'\nroot = '.'\npassword = '{hash}'\n")
    };
    let (old, new) =
        (user("alice", "one") + &user("bob", "one"), user("alice", "two") + &user("eve", "x"));
    fs::write(dir.path().join("old.toml"), old).unwrap();
    fs::write(dir.path().join("new.toml"), format!("listen = ['127.0.0.1:1']\n{new}")).unwrap();

    let said = ok(dir.path(), "diff old.toml new.toml");
    assert_eq!(
        said,
        "+ listen = [\"127.0.0.1:1\"]  (needs a restart)\n~ user alice: password\n- user bob\n+ user eve\n"
    );
    let said = ok(dir.path(), "diff old.toml new.toml --json");
    let first: Value = serde_json::from_str(said.lines().next().unwrap()).unwrap();
    assert_eq!((&first["kind"], &first["needs_restart"]), (&"added".into(), &true.into()));
    assert_eq!(ok(dir.path(), "diff old.toml old.toml"), "");

    let output = run(dir.path(), "diff old.toml");
    assert_eq!(stdout(&output), "+ user alice\n+ user bob\n");
    assert!(stderr(&output).contains("no server runs"), "{}", stderr(&output));
    assert_eq!(run(dir.path(), "diff old.toml gone.toml").status.code(), Some(2));
}
