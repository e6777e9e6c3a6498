//! `sterna explain`: each kind of reason with its rule, file and line.

use std::{fs, path::PathBuf, process::Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{stderr, stdout, sterna};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBrsSTxm+vJdIU1ZNA8BCSSzBvrGL9aPZjsnOeeFf0xw";
const OTHER_KEY: &str = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBKnCh0YHJG94ksAuhBVG/Pp\
     IBV95IbceUN/klzMyNFfxW11OAw/yHlbvVzcQwm56SRkVRs3aQoofEBWx/pmoddA=";
const HASH: &str = "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZedOSjhFjjmHd73d9eE9vkD";

/// Settings in which everybody has one thing that decides, each on a line of its own.
struct Settings {
    dir: TempDir,
    text: String,
}

impl Settings {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut text = String::from(
            "listen = ['127.0.0.1:0']\nstate_dir = 'state'\nrevoked_keys_file = 'revoked'\n\
             [host_based]\nknown_hosts_file = 'known_hosts'\n",
        );
        for (name, more) in [
            ("plain", format!("authorized_keys = ['{KEY}']\npassword = '{HASH}'")),
            ("off", format!("enabled = false\npassword = '{HASH}'")),
            ("old", format!("expires = 2020-01-01T00:00:00Z\npassword = '{HASH}'")),
            ("near", format!("allow_from = ['192.0.2.0/24']\npassword = '{HASH}'")),
            (
                "monday",
                format!("hours = ['mon 08:00-09:00']\ntime_zone = 'UTC'\npassword = '{HASH}'"),
            ),
            (
                "chain",
                format!(
                    "methods = ['publickey,password']\nread_only = true\nauthorized_keys = ['{KEY}']\npassword = '{HASH}'"
                ),
            ),
            ("code", format!("totp_secret = 'JBSWY3DPEHPK3PXP'\npassword = '{HASH}'")),
            ("must", format!("must_change_password = true\npassword = '{HASH}'")),
            ("file", "authorized_keys_file = 'keys'".to_owned()),
            ("host", "host_based = [\n 'batch.example.com:erp']".to_owned()),
        ] {
            text += &format!("[[user]]\nname = '{name}'\nroot = '.'\n{more}\n");
        }
        fs::write(dir.path().join("sterna.toml"), &text).unwrap();
        fs::write(dir.path().join("key.pub"), format!("{KEY} alice@laptop\n")).unwrap();
        fs::write(dir.path().join("other.pub"), format!("# mine\n\n{OTHER_KEY}\n")).unwrap();
        fs::write(dir.path().join("revoked"), format!("{OTHER_KEY}\n")).unwrap();
        fs::write(
            dir.path().join("keys"),
            format!("# from here only\nfrom=\"192.0.2.*\",expiry-time=\"20300101Z\",command=\"internal-sftp -R\" {KEY}\n"),
        )
        .unwrap();
        fs::write(
            dir.path().join("known_hosts"),
            format!("# hosts\nbatch.example.com {KEY}\nother.example.com {KEY}\n"),
        )
        .unwrap();
        Self { dir, text }
    }

    /// The line of the user's `[[user]]`, or of the first that begins so behind it.
    fn line(&self, user: &str, start: &str) -> u64 {
        let lines: Vec<&str> = self.text.lines().collect();
        let name = lines.iter().position(|line| *line == format!("name = '{user}'")).unwrap();
        let at = match start {
            "" => name - 1,
            start => name + lines[name..].iter().position(|l| l.starts_with(start)).unwrap(),
        };
        at as u64 + 1
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, user: &str, args: &str) -> Output {
        let mut command = sterna();
        command.current_dir(self.dir.path()).args(["explain", "--user", user]);
        command.arg("--config").arg(self.path("sterna.toml"));
        if !args.contains("--from") {
            command.args(["--from", "192.0.2.7"]);
        }
        command.args(args.split(' ').filter(|arg| !arg.is_empty())).output().unwrap()
    }

    /// The one object that must be printed.
    fn json(&self, user: &str, args: &str) -> (Option<i32>, Value) {
        let output = self.run(user, &format!("--json {args}"));
        let text = stdout(&output);
        let value = serde_json::from_str(text.trim());
        (
            output.status.code(),
            value.unwrap_or_else(|_| panic!("{args}: {text}{}", stderr(&output))),
        )
    }
}

const BATCH: &str = "--client-host Batch.example.com. --host-key key.pub --client-user erp";

#[test]
fn who_is_kept_out_learns_the_rule_the_file_and_the_line() {
    let settings = Settings::new();
    let main = settings.path("sterna.toml");
    let at = |user: &str| Some((main.clone(), settings.line(user, "")));
    let keys = Some((settings.path("keys"), 2));
    let password = "--method password";
    for (user, args, rule, place) in [
        ("nobody", "".to_owned(), "user", None),
        ("off", password.to_owned(), "user.enabled", at("off")),
        ("old", password.to_owned(), "user.expires", at("old")),
        ("near", format!("{password} --from 198.51.100.7"), "user.allow_from", at("near")),
        ("monday", format!("{password} --at 2030-01-01T08:30:00Z"), "user.hours", at("monday")),
        ("chain", password.to_owned(), "user.methods", at("chain")),
        ("code", password.to_owned(), "user.methods", at("code")),
        ("chain", "--key key.pub --after publickey".to_owned(), "user.methods", at("chain")),
        ("plain", "--key other.pub".to_owned(), "revoked_keys_file", Some((main.clone(), 3))),
        ("near", "--key key.pub".to_owned(), "user.methods", at("near")),
        ("host", "--key key.pub".to_owned(), "user.methods", at("host")),
        ("file", "--from 198.51.100.7".to_owned(), "authorized_keys.from", keys.clone()),
        ("file", "--at 2031-01-01".to_owned(), "authorized_keys.expiry-time", keys),
        ("host", format!("{BATCH} --assume-address 192.0.2.8"), "host_based.check_address", None),
        (
            "host",
            format!("{BATCH} --assume-address 192.0.2.7").replace("erp", "root"),
            "user.host_based",
            at("host"),
        ),
        (
            "host",
            format!("{} --assume-address 192.0.2.7", BATCH.replace("Batch", "a*b")),
            "host_based.name",
            None,
        ),
    ] {
        let (code, said) = settings.json(user, &args);

        let what = format!("{user} {args}: {said}");
        assert_eq!(code, Some(1), "{what}");
        assert_eq!(said["verdict"], "kept out", "{what}");
        assert_eq!(said["rule"], rule, "{what}");
        match place {
            None => assert!(said.get("file").is_none(), "{what}"),
            Some((file, line)) => {
                assert_eq!(said["file"].as_str(), file.to_str(), "{what}");
                // A rule about a user points at the user or at the key of the rule.
                assert_eq!(said["line"].as_u64(), Some(line), "{what}");
            }
        }
    }
}

#[test]
fn who_is_let_in_learns_why_and_what_may_be_done() {
    let settings = Settings::new();
    let passed = |said: &Value, rule: &str| -> Value {
        let rules = said["passed"].as_array().unwrap();
        rules.iter().find(|found| found["rule"] == rule).unwrap_or_else(|| panic!("{said}")).clone()
    };

    let (code, said) = settings.json("plain", "--key key.pub");
    assert_eq!((code, said["verdict"].as_str()), (Some(0), Some("let in")), "{said}");
    let line = passed(&said, "authorized_keys")["line"].as_u64();
    assert_eq!(line, Some(settings.line("plain", "authorized_keys")));
    assert_eq!(said["session"]["read_only"], false);

    let (code, said) = settings.json("file", "");
    assert_eq!((code, said["verdict"].as_str()), (Some(0), Some("let in")), "{said}");
    let found = passed(&said, "authorized_keys");
    assert_eq!(found["file"].as_str(), settings.path("keys").to_str());
    assert_eq!(found["line"], 2);
    assert_eq!(
        (&said["session"]["read_only"], &said["session"]["sftp_only"]),
        (&true.into(), &true.into())
    );

    let (code, said) = settings.json("chain", "--method publickey");
    assert_eq!((code, said["verdict"].as_str()), (Some(0), Some("step passed")), "{said}");
    assert_eq!(said["next"][0], "password");
    let (code, said) = settings.json("chain", "--method password --after publickey");
    assert_eq!((code, said["verdict"].as_str()), (Some(0), Some("let in")), "{said}");
    assert_eq!(said["session"]["read_only"], true);

    let (code, said) = settings.json("code", "");
    assert_eq!((code, said["method"].as_str()), (Some(0), Some("keyboard-interactive")), "{said}");
    passed(&said, "totp");

    let (code, said) = settings.json("must", "");
    assert_eq!((code, said["verdict"].as_str()), (Some(0), Some("let in")), "{said}");
    assert!(said["notes"][0].as_str().unwrap().contains("must be changed"), "{said}");

    let (code, said) = settings.json("host", &format!("{BATCH} --assume-address 192.0.2.7"));
    assert_eq!((code, said["verdict"].as_str()), (Some(0), Some("let in")), "{said}");
    let found = passed(&said, "host_based.known_hosts_file");
    assert_eq!(
        (found["file"].as_str(), &found["line"]),
        (settings.path("known_hosts").to_str(), &2.into())
    );
    let line = passed(&said, "user.host_based")["line"].as_u64();
    assert_eq!(line, Some(settings.line("host", "host_based") + 1));

    let (_, said) = settings.json("monday", "--at 2030-01-07T08:30:00Z");
    assert_eq!(said["verdict"], "let in", "{said}");
}

#[test]
fn without_a_method_each_that_the_user_has_is_judged_for_people() {
    let settings = Settings::new();

    let output = settings.run("plain", "--at 2030-01-01T08:30:00Z");

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    let file = settings.path("sterna.toml");
    let line = settings.line("plain", "authorized_keys");
    assert_eq!(said.matches("\nlet in\n").count(), 2, "{said}");
    assert!(
        said.contains(
            "plain from 192.0.2.7 at 2030-01-01T08:30:00Z by publickey ssh-ed25519 SHA256:"
        )
    );
    assert!(said.contains("plain from 192.0.2.7 at 2030-01-01T08:30:00Z by password"), "{said}");
    assert!(
        said.contains(&format!("authorized_keys  {}:{line}: SHA256:", file.display())),
        "{said}"
    );
    assert!(said.contains("may: read and write"), "{said}");

    let output = settings.run("off", "");
    assert_eq!(output.status.code(), Some(1));
    let said = stdout(&output);
    let line = settings.line("off", "");
    let verdict = format!("kept out by user.enabled ({}:{line}): user is disabled", file.display());
    assert!(said.contains(&verdict), "{said}");
}

#[test]
fn what_cannot_be_judged_is_wrong_usage() {
    let settings = Settings::new();
    for (user, args, said) in [
        ("host", "--method hostbased", "--client-host"),
        ("near", "--method publickey", "--key"),
        ("plain", "--key nowhere.pub", "nowhere.pub"),
        ("plain", "--key sterna.toml", "not a public key"),
        ("plain", "--method telepathy", "telepathy"),
        ("plain", "--at tomorrow", "tomorrow"),
        ("plain", "--from nowhere", "nowhere"),
    ] {
        let output = settings.run(user, args);

        assert_eq!(output.status.code(), Some(2), "{args}");
        assert!(stderr(&output).contains(said), "{args}: {}", stderr(&output));
    }
    fs::write(settings.path("sterna.toml"), "nonsense = 1\n").unwrap();
    let output = settings.run("plain", "");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("sterna.toml:1: nonsense"), "{}", stderr(&output));
}

#[test]
fn programs_are_not_asked_and_that_is_said() {
    let settings = Settings::new();
    let text = format!("{}[external_identity]\ncommand = ['/bin/false']\n", settings.text);
    fs::write(settings.path("sterna.toml"), text).unwrap();

    let (code, said) = settings.json("nobody", "");

    assert_eq!((code, said["verdict"].as_str()), (Some(1), Some("open")), "{said}");
    assert!(said["reason"].as_str().unwrap().contains("external_identity"), "{said}");
}
