//! Against OpenSSH itself: what `ssh-keygen` hashes, finds and revokes, we see in the same way.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use sterna_ssh_crypto::{OfferedKey, PublicKey};
use sterna_ssh_files::known_hosts::{line_for, record_name};
use sterna_ssh_files::{KnownHosts, Krl, Lookup};
use tempfile::TempDir;

fn run(args: &[&str]) -> Output {
    Command::new("ssh-keygen").args(args).stdin(Stdio::null()).output().unwrap()
}

fn ssh_keygen(args: &[&str]) -> String {
    let output = run(args);
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

struct Stage(TempDir);

impl Stage {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn at(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    fn key(&self, name: &str, kind: &str) {
        ssh_keygen(&["-q", "-t", kind, "-N", "", "-C", name, "-f", &self.at(name)]);
    }

    /// Signs `NAME.pub`; the certificate is `NAME-cert.pub`, moved to `certificate`.
    fn certify(&self, name: &str, ca: &str, serial: &str, id: &str, certificate: &str) {
        let public = self.at(&format!("{name}.pub"));
        ssh_keygen(&["-q", "-s", &self.at(ca), "-z", serial, "-I", id, "-n", "alice", &public]);
        fs::rename(self.path(&format!("{name}-cert.pub")), self.path(certificate)).unwrap();
    }
}

fn offered(path: &Path) -> OfferedKey {
    OfferedKey::from_openssh(&fs::read_to_string(path).unwrap()).unwrap().0
}

/// What `ssh-keygen -Q` says: revoked or not, or `None` if it refuses the file.
fn theirs(list: &str, key: &str) -> Option<bool> {
    let output = run(&["-Q", "-f", list, key]);
    let said = String::from_utf8_lossy(&output.stdout);
    if said.contains("REVOKED") {
        return Some(true);
    }
    output.status.success().then_some(false)
}

/// Keys and certificates with a part of them revoked; their files by name.
fn revocation_stage() -> (Stage, Vec<String>) {
    let stage = Stage::new();
    for (name, kind) in [
        ("ca", "ed25519"),
        ("old_ca", "ecdsa"),
        ("alice", "ed25519"),
        ("bob", "rsa"),
        ("carol", "ecdsa"),
    ] {
        stage.key(name, kind);
    }
    let mut files: Vec<String> =
        ["alice.pub", "bob.pub", "carol.pub", "ca.pub", "old_ca.pub"].map(str::to_owned).into();
    for (name, ca, serial, id) in [
        ("alice", "ca", "0", "plain"),
        ("alice", "ca", "1", "plain"),
        ("alice", "ca", "5", "plain"),
        ("alice", "ca", "12", "plain"),
        ("alice", "ca", "16", "plain"),
        ("alice", "ca", "17", "plain"),
        ("alice", "ca", "18446744073709551615", "plain"),
        ("alice", "ca", "2", "mallory"),
        ("alice", "old_ca", "5", "plain"),
        ("alice", "old_ca", "2", "mallory"),
        ("bob", "ca", "1", "plain"),
        ("carol", "ca", "1", "plain"),
    ] {
        let file = format!("{}.cert", files.len());
        stage.certify(name, ca, serial, id, &file);
        files.push(file);
    }
    (stage, files)
}

#[test]
fn revocation_lists_say_the_same_to_both() {
    let (stage, files) = revocation_stage();
    let public = |name: &str| fs::read_to_string(stage.path(name)).unwrap();
    let hashes = format!("sha1: {}sha256: {}", public("bob.pub"), public("carol.pub"));
    for (ca, spec) in [
        ("ca.pub", "serial: 5\nserial: 12-16\nid: mallory\n".to_owned()),
        ("ca.pub", "serial: 18446744073709551615\nserial: 1\nserial: 3\nserial: 5\nserial: 8\nserial: 9\nserial: 12\n".to_owned()),
        ("none", "serial: 5\nid: mallory\n".to_owned()),
        ("none", format!("key: {}", public("bob.pub"))),
        ("none", format!("key: {}", public("old_ca.pub"))),
        ("none", hashes),
        ("none", String::new()),
    ] {
        let (list, spec_file) = (stage.at("list.krl"), stage.at("spec"));
        fs::write(&spec_file, &spec).unwrap();
        let ca = if ca == "none" { ca.to_owned() } else { stage.at(ca) };
        ssh_keygen(&["-q", "-k", "-f", &list, "-s", &ca, &spec_file]);
        let krl = Krl::from_bytes(&fs::read(&list).unwrap()).unwrap();
        for file in &files {
            let ours = krl.revocation(&offered(&stage.path(file))).is_some();
            assert_eq!(Some(ours), theirs(&list, &stage.at(file)), "{spec}{file}");
        }
    }
}

/// Goal: no file that OpenSSH refuses passes here, and one that both take means the same.
/// Method: turn one bit in every byte of a list, and ask both about a revoked certificate.
#[test]
fn damaged_lists_are_refused_where_openssh_refuses_them() {
    let (stage, files) = revocation_stage();
    let (list, spec_file) = (stage.at("list.krl"), stage.at("spec"));
    fs::write(&spec_file, "serial: 1\nserial: 5\nserial: 12-16\nid: mallory\n").unwrap();
    ssh_keygen(&["-q", "-k", "-f", &list, "-s", &stage.at("ca.pub"), &spec_file]);
    let bob = format!("key: {}", fs::read_to_string(stage.path("bob.pub")).unwrap());
    fs::write(&spec_file, bob).unwrap();
    ssh_keygen(&["-q", "-k", "-u", "-f", &list, &spec_file]);
    let whole = fs::read(&list).unwrap();
    let certificate = &files[7];
    let key = offered(&stage.path(certificate));

    let (mut both_take, mut both_refuse) = (0, 0);
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 1 << (at % 8);
        fs::write(&list, &damaged).unwrap();
        let ours = Krl::from_bytes(&damaged);
        match (ours, theirs(&list, &stage.at(certificate))) {
            (Ok(ours), Some(theirs)) => {
                both_take += 1;
                assert_eq!(ours.revocation(&key).is_some(), theirs, "byte {at}");
            }
            (Ok(_), None) => panic!("byte {at} is taken here only"),
            (Err(_), None) => both_refuse += 1,
            // Stricter here: a key blob has to name its type.
            (Err(_), Some(_)) => {}
        }
    }
    assert!(both_take > 50 && both_refuse > 50, "{both_take} {both_refuse}");
}

#[test]
fn hosts_are_found_in_the_same_lines() {
    let stage = Stage::new();
    stage.key("host", "ed25519");
    let key =
        PublicKey::from_openssh(&fs::read_to_string(stage.path("host.pub")).unwrap()).unwrap().0;
    let mut text = String::new();
    for (names, port) in [("alpha.lab", 22), ("beta.lab", 2222), ("2001:db8::1", 22)] {
        text += &line_for(&record_name(names, port), &key, None).unwrap();
        text += "\n";
        text += &line_for(&format!("hashed-{}", record_name(names, port)), &key, Some(&[7; 20]))
            .unwrap();
        text += "\n";
    }
    text += &format!("*.org,!bad.org {}\n", key.to_openssh(""));
    fs::write(stage.path("known"), &text).unwrap();
    let mut known = KnownHosts::default();
    known.add_text("known", text.as_bytes()).unwrap();

    for name in [
        "alpha.lab",
        "ALPHA.lab",
        "[alpha.lab]:2222",
        "beta.lab",
        "[beta.lab]:2222",
        "2001:db8::1",
        "hashed-alpha.lab",
        "hashed-[beta.lab]:2222",
        "hashed-beta.lab",
        "good.org",
        "bad.org",
        "org",
        "alpha.lab.org",
    ] {
        let said = String::from_utf8(run(&["-F", name, "-f", &stage.at("known")]).stdout).unwrap();
        let line =
            said.lines().find_map(|l| l.rsplit_once("line ")?.1.trim().parse::<usize>().ok());
        let ours = match known.lookup(&[name], &key) {
            Lookup::Known(place) => Some(place.line),
            _ => None,
        };
        assert_eq!(ours, line, "{name}: {said}");
    }
}
