//! `sterna user`: every command as an administrator types it, on files with comments to lose.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use serde_json::Value;
use sterna_identity::PasswordHash;
use tempfile::TempDir;

use crate::support::{feed, stderr, stdout, sterna};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBrsSTxm+vJdIU1ZNA8BCSSzBvrGL9aPZjsnOeeFf0xw";
const FINGERPRINT: &str = "SHA256:mZBu2TmIv22vvuJYjIhbSXcn0fd2SvyXouyJow/NeFw";
const OTHER_KEY: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBKnCh0YHJG94ksAuhBVG/Pp\
     IBV95IbceUN/klzMyNFfxW11OAw/yHlbvVzcQwm56SRkVRs3aQoofEBWx/pmoddA=";
const HASH: &str = "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZedOSjhFjjmHd73d9eE9vkD";

/// A folder with settings and roots.
pub struct Admin {
    dir: TempDir,
}

impl Admin {
    /// Alice among comments.
    pub fn new() -> Self {
        Self::with(&format!(
            "# Our server.\nlisten = [ '127.0.0.1:0' ]   # here only\n\n# Accounting\n[[user]] # first\n  \
             name = 'alice'\n  root = \"alice\"   # her files\n  password = '{HASH}' # old\n  \
             authorized_keys = [\n    # laptop\n    '{KEY} alice@laptop', # blue\n  ]\n# end\n"
        ))
    }

    fn with(settings: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let admin = Self { dir };
        for root in ["alice", "bob", "users"] {
            fs::create_dir(admin.path(root)).unwrap();
        }
        fs::write(admin.config(), settings).unwrap();
        fs::write(admin.path("secret"), "correct horse\n").unwrap();
        fs::write(admin.path("bob.pub"), format!("{OTHER_KEY} bob@desk\n")).unwrap();
        admin
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn config(&self) -> PathBuf {
        self.path("sterna.toml")
    }

    pub fn text(&self) -> String {
        fs::read_to_string(self.config()).unwrap()
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = sterna();
        command.current_dir(self.dir.path()).env("STERNA_CONFIG", "sterna.toml");
        command.arg("user").args(args);
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a command that must succeed; returns what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
        stdout(&output)
    }

    /// Runs a command that must fail so and change no byte; returns what it said.
    pub fn refused(&self, args: &[&str], code: i32) -> String {
        let (settings, names) = (self.text(), self.names());
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", stderr(&output));
        assert_eq!(self.text(), settings, "{args:?}");
        assert_eq!(self.names(), names, "{args:?}");
        stderr(&output)
    }

    /// Everything that lies beside the settings.
    fn names(&self) -> Vec<PathBuf> {
        let mut names = Vec::new();
        for dir in [self.dir.path().to_owned(), self.path("users")] {
            names.extend(fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()));
        }
        names.sort();
        names
    }

    pub fn json(&self, args: &[&str]) -> Value {
        serde_json::from_str(&self.ok(args)).unwrap()
    }

    /// The server itself takes the settings.
    pub fn assert_loads(&self) {
        let output =
            sterna().args(["serve", "--check", "--config"]).arg(self.config()).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }
}

#[test]
fn a_user_joins_at_the_end_and_everything_before_stays() {
    let admin = Admin::new();
    let before = admin.text();

    let output = admin.run(&[
        "add",
        "bob",
        "--root",
        "bob",
        "--password-file",
        "secret",
        "--key",
        "bob.pub",
        "--methods",
        "publickey,password",
        "--read-only",
    ]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(stdout(&output), "");
    assert!(stderr(&output).contains("bob: added in sterna.toml:15"), "{}", stderr(&output));
    assert!(stderr(&output).contains("sterna reload"), "{}", stderr(&output));
    let after = admin.text();
    let added = after.strip_prefix(&before).unwrap();
    let lines: Vec<&str> = added.lines().collect();
    let root = format!("root = \"{}\"", admin.path("bob").display());
    assert_eq!(lines[..3], ["", "[[user]]", "name = \"bob\""]);
    assert_eq!(lines[3], root);
    let hash = lines[4].strip_prefix("password = \"").unwrap().strip_suffix('"').unwrap();
    assert!(hash.parse::<PasswordHash>().unwrap().verify(b"correct horse"));
    assert_eq!(
        lines[5..],
        [
            format!("authorized_keys = [\"{OTHER_KEY} bob@desk\"]"),
            "methods = [\"publickey,password\"]".to_owned(),
            "read_only = true".to_owned()
        ]
    );
    admin.assert_loads();
}

#[test]
fn where_there_is_a_users_directory_a_user_is_a_file() {
    let admin = Admin::with("users_dir = 'users' # all of them\n");
    fs::set_permissions(admin.config(), fs::Permissions::from_mode(0o640)).unwrap();

    admin.ok(&["add", "bob", "--root", "bob", "--key", &format!("{OTHER_KEY} b"), "--no-password"]);

    assert_eq!(admin.text(), "users_dir = 'users' # all of them\n");
    let file = admin.path("users/bob.toml");
    let root = admin.path("bob");
    let expected =
        format!("root = \"{}\"\nauthorized_keys = [\"{OTHER_KEY} b\"]\n", root.display());
    assert_eq!(fs::read_to_string(&file).unwrap(), expected);
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
    admin.assert_loads();

    fs::write(admin.path("users/carol.toml"), expected.replace("root", "name = 'c'\nroot"))
        .unwrap();
    let said = admin.refused(&["add", "carol", "--root", "bob", "--key", "bob.pub"], 1);
    assert!(said.contains("users/carol.toml: is there already"), "{said}");
}

#[test]
fn a_password_comes_from_a_file_from_stdin_or_is_made() {
    let admin = Admin::new();
    let stored = |admin: &Admin| {
        let settings: toml::Table = admin.text().parse().unwrap();
        let hash = settings["user"][0]["password"].as_str().unwrap().to_owned();
        hash.parse::<PasswordHash>().unwrap()
    };
    let before = admin.text();

    assert_eq!(admin.ok(&["passwd", "alice", "--password-file", "secret"]), "");
    assert!(stored(&admin).verify(b"correct horse"));
    // Nothing else changed, and what stood behind the value still does.
    let hash = stored(&admin);
    assert_eq!(
        admin.text(),
        before.replace(&format!("'{HASH}'"), &format!("\"{}\"", hash.as_str()))
    );

    let output = feed(&mut admin.command(&["passwd", "alice", "--password-stdin"]), b"typed\nmore");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stored(&admin).verify(b"typed"));

    let said = admin.ok(&["passwd", "alice", "--generate-password"]);
    let made = said.strip_prefix("password: ").unwrap().trim_end();
    assert!(stored(&admin).verify(made.as_bytes()));
    assert!(!admin.text().contains(made));

    let said = admin.json(&["passwd", "alice", "--generate-password", "--json"]);
    assert!(stored(&admin).verify(said["password"].as_str().unwrap().as_bytes()));
}

#[test]
fn what_makes_no_sense_changes_nothing() {
    let admin = Admin::new();
    for (args, code, reason) in [
        (vec!["add", "alice", "--root", "bob", "--key", "bob.pub"], 1, "sterna.toml:5"),
        (vec!["add", "a/../x", "--root", "bob", "--key", "bob.pub"], 2, "slash"),
        (vec!["add", ".x", "--root", "bob", "--key", "bob.pub"], 2, "dot"),
        (vec!["add", "bob", "--root", "gone", "--key", "bob.pub"], 2, "--create-root"),
        (vec!["add", "bob", "--root", "secret", "--key", "bob.pub"], 2, "not a directory"),
        (vec!["add", "bob", "--root", "bob", "--key", "secret"], 2, "secret:1: not a usable key"),
        (vec!["add", "bob", "--root", "bob"], 2, "--password-stdin"),
        (vec!["add", "bob", "--root", "bob", "--no-password"], 2, "could never log in"),
        (vec!["add", "bob", "--root", "bob", "--key", "bob.pub", "--methods", "x"], 2, "methods"),
        (vec!["add", "bob", "--root", "bob", "--no-password", "--generate-password"], 2, "cannot"),
        (vec!["passwd", "eve", "--generate-password"], 1, "no such user"),
        (vec!["passwd", "alice"], 2, "no terminal"),
        (vec!["key", "add", "alice", &format!("{KEY} again")], 1, "number 1"),
        (vec!["key", "rm", "alice", "nobody@nowhere"], 1, "no such key"),
        (vec!["key", "rm", "alice", "2"], 1, "no such key"),
        (vec!["rm", "alice"], 2, "--yes"),
        (vec!["rm", "alice", "--yes"], 2, "there is none"),
        (vec!["rm", "eve", "--yes"], 1, "no such user"),
        (vec!["show", "eve"], 1, "no such user"),
        (vec!["list", "--config", "gone.toml"], 2, "gone.toml"),
        (vec!["disable", "alice", "--config", "gone.toml"], 2, "--config"),
    ] {
        let said = admin.refused(&args, code);
        assert!(said.contains(reason), "{args:?}: {said}");
    }
}

#[test]
fn settings_that_would_not_load_are_never_written() {
    let admin = Admin::new();
    let broken = format!("{}nonsense = 1\n", admin.text());
    fs::write(admin.config(), &broken).unwrap();

    let said = admin.refused(&["key", "add", "alice", "bob.pub"], 2);

    assert!(said.contains("do not load as they are"), "{said}");
    assert!(said.contains("sterna.toml:14: user.nonsense"), "{said}");

    fs::write(admin.config(), "[[user]\n").unwrap();
    let said = admin.refused(&["list"], 2);
    assert!(said.contains("sterna.toml:1"), "{said}");
}

#[test]
fn a_root_is_made_only_for_a_user_who_is_added() {
    let admin = Admin::new();

    admin.refused(
        &[
            "add",
            "eve",
            "--root",
            "deep/eve",
            "--create-root",
            "--key",
            "bob.pub",
            "--methods",
            "x",
        ],
        2,
    );
    admin.ok(&["add", "eve", "--root", "deep/eve", "--create-root", "--key", "bob.pub"]);

    assert!(admin.path("deep/eve").is_dir());
    admin.assert_loads();
}

#[test]
fn keys_join_and_leave_by_any_of_their_names() {
    let admin = Admin::new();
    let before = admin.text();

    admin.ok(&["key", "add", "alice", "bob.pub"]);
    let with_both = before.replace("# blue\n", &format!("# blue\n    \"{OTHER_KEY} bob@desk\",\n"));
    assert_eq!(admin.text(), with_both);

    for name in ["bob@desk", "2"] {
        admin.ok(&["key", "rm", "alice", name]);
        assert_eq!(admin.text(), before, "{name}");
        admin.ok(&["key", "add", "alice", "bob.pub"]);
    }
    admin.ok(&["key", "rm", "alice", FINGERPRINT]);
    assert_eq!(admin.text(), with_both.replace(&format!("    '{KEY} alice@laptop', # blue\n"), ""));
}

#[test]
fn a_keys_file_is_edited_and_keeps_its_other_lines() {
    let admin = Admin::with(
        "[[user]]\nname = 'alice'\nroot = 'alice'\nauthorized_keys_file = 'alice.keys'\n",
    );
    let (settings, keys) = (admin.text(), admin.path("alice.keys"));
    let before = format!("# hers\n\n{KEY} laptop # not a comment\r\nbroken line\n# end");
    fs::write(&keys, &before).unwrap();
    fs::set_permissions(&keys, fs::Permissions::from_mode(0o600)).unwrap();

    admin.ok(&["key", "add", "alice", "bob.pub"]);
    let after = format!("{before}\n{OTHER_KEY} bob@desk\n");
    assert_eq!(fs::read_to_string(&keys).unwrap(), after);
    assert_eq!(fs::metadata(&keys).unwrap().permissions().mode() & 0o777, 0o600);
    let shown = admin.json(&["show", "alice", "--json"]);
    let lines: Vec<_> = shown["keys"].as_array().unwrap().iter().map(|key| &key["line"]).collect();
    assert_eq!(lines, [3, 4, 6]);
    assert!(shown["keys"][1]["refused"].is_string(), "{shown}");

    admin.ok(&["key", "rm", "alice", "2"]);
    admin.ok(&["key", "rm", "alice", "bob@desk"]);
    assert_eq!(
        fs::read_to_string(&keys).unwrap(),
        format!("{}\n", before.replace("broken line\n", ""))
    );
    assert_eq!(admin.text(), settings);

    fs::rename(&keys, admin.path("elsewhere")).unwrap();
    symlink(admin.path("elsewhere"), &keys).unwrap();
    let said = admin.refused(&["key", "add", "alice", "bob.pub"], 1);
    assert!(said.contains("symbolic link"), "{said}");
}

#[test]
fn the_list_and_one_user_are_shown_without_secrets() {
    let admin = Admin::new();
    admin.ok(&["add", "bob", "--root", "bob", "--key", "bob.pub", "--methods", "publickey"]);

    let list = admin.ok(&["list"]);
    let rows: Vec<Vec<&str>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows.len(), 3, "{list}");
    assert_eq!(rows[1][..6], ["alice", "enabled", "1", "sha256-crypt", "-", "any"]);
    assert_eq!(rows[1].last(), Some(&"sterna.toml:5"));
    assert_eq!(rows[2][..6], ["bob", "enabled", "1", "-", "-", "publickey"]);

    let list = admin.ok(&["list", "--json"]);
    let rows: Vec<Value> = list.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(rows[0]["password"], "sha256-crypt");
    assert_eq!(rows[0]["root"], "alice");
    assert_eq!((&rows[1]["line"], &rows[1]["keys"]), (&15.into(), &1.into()));
    assert_eq!(rows[1]["methods"], serde_json::json!(["publickey"]));
    assert_eq!(rows[1]["password"], Value::Null);

    let shown = admin.ok(&["show", "alice"]);
    assert!(shown.contains(&format!("ssh-ed25519 {FINGERPRINT} alice@laptop")), "{shown}");
    let json = admin.json(&["show", "alice", "--json"]);
    assert_eq!(json["keys"][0]["fingerprint"], FINGERPRINT);
    for said in [list, shown, json.to_string()] {
        assert!(!said.contains("$5$"), "{said}");
    }
}

#[test]
fn a_broken_file_is_named_and_the_others_are_listed() {
    let admin = Admin::with("users_dir = 'users'\n");
    fs::write(admin.path("users/a.toml"), "root = '../alice'\n").unwrap();
    fs::write(admin.path("users/b.toml"), "root = \n").unwrap();

    let output = admin.run(&["list"]);

    assert_eq!(output.status.code(), Some(2));
    assert!(stdout(&output).contains("users/a.toml:1"), "{}", stdout(&output));
    assert!(stderr(&output).contains("users/b.toml:1"), "{}", stderr(&output));
}

#[test]
fn a_user_leaves_and_the_files_stay() {
    let admin = Admin::new();
    let before = admin.text();
    fs::write(admin.path("bob/kept"), "").unwrap();
    admin.ok(&["add", "bob", "--root", "bob", "--key", "bob.pub"]);

    let output = admin.run(&["rm", "bob", "--yes"]);

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("bob stays as it is"), "{}", stderr(&output));
    assert_eq!(admin.text(), before);
    assert!(admin.path("bob/kept").exists());

    let admin = Admin::with("users_dir = 'users'\n");
    for name in ["a", "b"] {
        admin.ok(&["add", name, "--root", "bob", "--key", "bob.pub"]);
    }
    admin.ok(&["rm", "a", "--yes"]);
    assert!(!admin.path("users/a.toml").exists());
    assert!(admin.path("users/b.toml").exists());
    admin.assert_loads();
}

/// Goal: several administrators at once lose nothing of each other's.
/// Method: start all, then wait for all; each must find the others' users in place.
#[test]
fn users_who_are_added_at_once_all_land() {
    const COUNT: usize = 12;
    let admin = Admin::new();
    let before = admin.text();

    let children: Vec<_> = (0..COUNT)
        .map(|n| {
            let name = format!("u{n}");
            let args = ["add", &name, "--root", "bob", "--key", "bob.pub"];
            admin.command(&args).stderr(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    }

    assert!(admin.text().starts_with(&before));
    let listed = admin.ok(&["list", "--json"]);
    assert_eq!(listed.lines().count(), COUNT + 1);
    admin.assert_loads();
}

#[test]
fn a_linked_settings_file_is_edited_where_it_lies() {
    let admin = Admin::new();
    let real = admin.path("real.toml");
    fs::rename(admin.config(), &real).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o600)).unwrap();
    symlink("real.toml", admin.config()).unwrap();

    admin.ok(&["key", "add", "alice", "bob.pub"]);

    assert!(fs::symlink_metadata(admin.config()).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().contains("bob@desk"));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn every_command_shows_examples() {
    for args in [
        &["add"][..],
        &["passwd"],
        &["key"],
        &["key", "add"],
        &["key", "rm"],
        &["totp"],
        &["recovery"],
        &["list"],
        &["show"],
        &["disable"],
        &["enable"],
        &["rm"],
    ] {
        let output = sterna().arg("user").args(args).arg("--help").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(stdout(&output).contains("Examples:\n  sterna user"), "{args:?}");
    }
}
