//! How our client knows a real `sshd`: by records of every form, and by host certificates.

use std::fs;
use std::process::Command;
use std::time::Duration;

use sterna_interop::binary;
use sterna_interop::place::Place;
use sterna_testkit::openssh::{KeyFile, KeyKind, Sshd, SshdSettings};
use sterna_testkit::processes::{Finished, run};

const COMMAND_MAX: Duration = Duration::from_secs(60);

/// Exit statuses.
const DONE: i32 = 0;
const NOT_TRUSTED: i32 = 4;

fn keygen(arguments: &[&str]) {
    let done = run(Command::new("ssh-keygen").args(arguments), b"", COMMAND_MAX);
    assert!(done.success(), "{}", done.describe());
}

/// An `sshd` whose only host key is `key`, perhaps with a certificate for it.
struct Scene {
    place: Place,
    key: KeyFile,
    sshd: Sshd,
}

impl Scene {
    /// `certify` are the arguments of `ssh-keygen` that sign the host key by `ca`.
    fn new(ca: Option<(&KeyFile, &[&str])>) -> Self {
        let place = Place::new();
        let key = KeyFile::generate(&place.path().join("own_host_key"), KeyKind::Ed25519);
        let mut lines = vec![format!("HostKey {}", key.private.display())];
        if let Some((ca, arguments)) = ca {
            let (ca, public) = (ca.private.to_str().unwrap(), key.public.to_str().unwrap());
            keygen(&[&["-q", "-h", "-s", ca, "-I", "test"], arguments, &[public]].concat());
            let certificate = place.path().join("own_host_key-cert.pub");
            lines.push(format!("HostCertificate {}", certificate.display()));
        }
        let settings = SshdSettings { host_keys: vec![], lines, ..SshdSettings::default() };
        let sshd = Sshd::start(place.path(), &place.dir("home"), &settings);
        Self { place, key, sshd }
    }

    /// An `sshd` with a host key of each of these kinds; `key` is the first.
    fn with_keys(kinds: &[KeyKind]) -> Self {
        let place = Place::new();
        let settings = SshdSettings { host_keys: kinds.to_vec(), ..SshdSettings::default() };
        let sshd = Sshd::start(place.path(), &place.dir("home"), &settings);
        Self { place, key: sshd.host_keys[0].clone(), sshd }
    }

    fn name(&self) -> String {
        format!("[127.0.0.1]:{}", self.sshd.login.port)
    }

    /// Lists the start directory with these known hosts.
    fn list(&self, known_hosts: &str, options: &[&str]) -> Finished {
        let login = &self.sshd.login;
        fs::write(&login.known_hosts, known_hosts).unwrap();
        let mut sterna = Command::new(binary::sterna());
        sterna.arg("ls").arg("-P").arg(login.port.to_string());
        for option in options {
            sterna.args(["-o", option]);
        }
        sterna.args(login.options()).arg("--").arg(login.destination() + ":");
        sterna.env("HOME", self.place.path());
        sterna.env_remove("SSH_AUTH_SOCK").env_remove("STERNA_PASSWORD");
        run(&mut sterna, b"", COMMAND_MAX)
    }

    fn expect(&self, known_hosts: &str, options: &[&str], code: i32) -> Finished {
        let done = self.list(known_hosts, options);
        assert_eq!(done.code(), Some(code), "{known_hosts}{options:?}\n{}", done.describe());
        done
    }
}

#[test]
fn records_of_every_form_are_found() {
    let scene = Scene::new(None);
    let (name, line) = (scene.name(), &scene.key.public_line);
    let other = KeyFile::generate(&scene.place.path().join("other"), KeyKind::Ed25519);

    scene.expect(&format!("{name} {line}\n"), &[], DONE);
    scene.expect(&format!("x,[127.0.0.*]:*,!y {line}\n"), &[], DONE);
    scene.expect(&format!("*,!{name},!127.0.0.1 {line}\n"), &[], NOT_TRUSTED);
    scene.expect(&format!("127.0.0.1 {line}\n"), &[], DONE);
    scene.expect("", &[], NOT_TRUSTED);
    scene.expect(&format!("alias {line}\n"), &["HostKeyAlias=alias"], DONE);
    let changed = scene.expect(&format!("{name} {}\n", other.public_line), &[], NOT_TRUSTED);
    assert!(String::from_utf8_lossy(&changed.stderr).contains("known_hosts:1"));
    scene.expect(&format!("{name} {line}\n@revoked * {line}\n"), &[], NOT_TRUSTED);

    // As `ssh-keygen` hashes them.
    let hashed = scene.place.path().join("hashed");
    fs::write(&hashed, format!("{name} {line}\n")).unwrap();
    keygen(&["-q", "-H", "-f", hashed.to_str().unwrap()]);
    let hashed = fs::read_to_string(&hashed).unwrap();
    assert!(hashed.starts_with("|1|"), "{hashed}");
    scene.expect(&hashed, &[], DONE);

    // And `ssh-keygen` finds what we have hashed.
    let new = ["StrictHostKeyChecking=accept-new", "HashKnownHosts=yes"];
    scene.expect("", &new, DONE);
    let file = scene.sshd.login.known_hosts.to_str().unwrap();
    assert!(fs::read_to_string(file).unwrap().starts_with("|1|"));
    keygen(&["-F", &name, "-f", file]);

    // A KRL and a list.
    let krl = scene.place.path().join("krl");
    keygen(&["-q", "-k", "-f", krl.to_str().unwrap(), scene.key.public.to_str().unwrap()]);
    let known = format!("{name} {line}\n");
    for file in [&krl, &scene.key.public, &scene.place.path().join("missing")] {
        let option = format!("RevokedHostKeys={}", file.display());
        scene.expect(&known, &[&option], NOT_TRUSTED);
    }
    let option = format!("RevokedHostKeys={}", other.public.display());
    scene.expect(&known, &[&option], DONE);
}

/// Goal: of several host keys the server shows the one that we know.
/// Method: an `sshd` with three, of which one is recorded, each in turn; then one is wanted that is
/// not recorded, which the server has too.
#[test]
fn the_host_key_that_is_recorded_is_the_one_that_is_asked_for() {
    let scene = Scene::with_keys(&[KeyKind::Ed25519, KeyKind::EcdsaP256, KeyKind::Rsa3072]);
    let algorithms = ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512"];

    for (recorded, algorithm) in scene.sshd.host_keys.iter().zip(algorithms) {
        let line = format!("{} {}\n", scene.name(), recorded.public_line);
        scene.expect(&line, &["StrictHostKeyChecking=yes"], DONE);
        for wanted in algorithms {
            let option = format!("HostKeyAlgorithms={wanted}");
            let code = if wanted == algorithm { DONE } else { NOT_TRUSTED };
            scene.expect(&line, &[&option], code);
        }
    }
}

#[test]
fn a_host_certificate_is_accepted_only_if_everything_fits() {
    let authorities = Place::new();
    let ca = KeyFile::generate(&authorities.path().join("ca"), KeyKind::Ed25519);
    let trusted = format!("@cert-authority [127.0.0.1]:*,other {}\n", ca.public_line);
    let revoked = format!("{trusted}@revoked * {}\n", ca.public_line);

    let good = Scene::new(Some((&ca, &["-n", "x,127.0.0.*"])));
    good.expect(&trusted, &[], DONE);
    good.expect("", &[], NOT_TRUSTED);
    good.expect(&format!("@cert-authority elsewhere {}\n", ca.public_line), &[], NOT_TRUSTED);
    good.expect(&revoked, &[], NOT_TRUSTED);
    good.expect(&trusted, &["CASignatureAlgorithms=rsa-sha2-512"], NOT_TRUSTED);
    good.expect(&trusted, &["HostKeyAlias=other"], NOT_TRUSTED);
    let option = format!("RevokedHostKeys={}", ca.public.display());
    good.expect(&trusted, &[&option], NOT_TRUSTED);
    // An authority's line makes no key known: what is recorded stays what it is.
    good.expect(&trusted, &["HostKeyAlgorithms=ssh-ed25519"], NOT_TRUSTED);

    for arguments in [
        &["-n", "other.example"][..],
        &["-n", "127.0.0.1", "-V", "20200101:20200102"],
        &["-n", "127.0.0.1", "-V", "20980101:20990101"],
    ] {
        let bad = Scene::new(Some((&ca, arguments)));
        let done = bad.expect(&trusted, &[], NOT_TRUSTED);
        // The plain key inside may still be known.
        let line = format!("{trusted}{} {}\n", bad.name(), bad.key.public_line);
        let fallback = bad.list(&line, &[]);
        assert!(fallback.success(), "{arguments:?} {}{}", fallback.describe(), done.describe());
    }
}

#[test]
fn rotated_host_keys_are_learnt_and_old_ones_forgotten() {
    let scene = Scene::new(None);
    let old = KeyFile::generate(&scene.place.path().join("old"), KeyKind::EcdsaP256);
    let (name, line) = (scene.name(), &scene.key.public_line);
    let both = format!("{name} {line}\n{name} {}\nother {}\n", old.public_line, old.public_line);

    // One command may be over before the announcement has been worked through: a second one comes.
    let file = &scene.sshd.login.known_hosts;
    scene.expect(&both, &[], DONE);
    assert_eq!(fs::read_to_string(file).unwrap(), both, "the file was chosen: it stays");
    let expected = format!("{name} {line}\nother {}\n", old.public_line);
    let tries = (0..50).any(|_| {
        scene.expect(&both, &["UpdateHostKeys=yes"], DONE);
        fs::read_to_string(file).unwrap() == expected
    });
    assert!(tries, "{}", fs::read_to_string(file).unwrap());
}
