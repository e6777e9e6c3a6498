//! Key files of every format that people bring, with and without a passphrase.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use sterna_interop::binary;
use sterna_interop::server::{self, Server};
use sterna_interop::steps::{Steps, check};

use crate::client_login::attempt::{Attempt, is_in, is_refused};

const PASSPHRASE: &str = "open sesame";

/// Formats without a passphrase.
const CLEAR: [&str; 6] = [
    "ed25519.openssh",
    "ed25519.pkcs8",
    "ed25519.ppk2",
    "ed25519.ppk3",
    "rsa.keygen-pem",
    "rsa.ppk3",
];

const ENCRYPTED: [&str; 10] = [
    "ed25519.openssh-encrypted",
    "ed25519.pkcs8-aes256",
    "ed25519.ppk2-encrypted",
    "ed25519.ppk3-encrypted",
    "p256.dek-aes128",
    "p256.keygen-pkcs8-encrypted",
    "p384.ppk3-encrypted",
    "p521.openssh-encrypted",
    "rsa.keygen-pem-encrypted",
    "rsa.pkcs8-scrypt",
];

/// Copies a key file of the fixtures to where nobody else can read it; the server lets it in.
fn prepare(server: &Server, name: &str) -> PathBuf {
    let fixtures =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates/ssh-crypto/testdata/keys");
    let key = server.place.path().join(name);
    fs::copy(fixtures.join(name), &key).expect("copy a key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).expect("change its mode");
    let kind = name.split('.').next().expect("a kind of key");
    let public = fs::read(fixtures.join(format!("{kind}.pub"))).expect("its public half");
    fs::write(&server.login.key.public, public).expect("authorize");
    key
}

/// Whether the client under test reads the format at all.
fn is_known(name: &str) -> bool {
    !binary::is_baseline() || !(name.contains("ppk") || name.starts_with("ed25519.pkcs8"))
}

#[test]
fn a_key_file_of_every_format_lets_in() {
    let server = server::openssh();
    let mut steps = Steps::new("key files");

    for name in CLEAR.into_iter().filter(|name| is_known(name)) {
        let key = prepare(&server, name);
        steps.run(name, || Attempt::at(&server).key(&key).succeeds());
    }
    steps.run("a key that others can read", || {
        let key = prepare(&server, CLEAR[0]);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644))?;
        Attempt::at(&server).key(&key).is_refused_with("lets others read it")
    });

    steps.finish(|| server.process.log());
}

#[test]
fn an_encrypted_key_file_of_every_format_lets_in_with_its_passphrase() {
    let server = server::openssh();
    let mut steps = Steps::new("encrypted key files");

    for name in ENCRYPTED.into_iter().filter(|name| is_known(name)) {
        let key = prepare(&server, name);
        let attempt = Attempt::at(&server).key(&key).option("PasswordAuthentication=no");
        let question = "assphrase ";
        steps.run(name, || is_in(&attempt.converse(&[(question, PASSPHRASE)])?));
        steps.run(format!("{name}, a wrong one first"), || {
            is_in(&attempt.converse(&[(question, "wrong"), (question, PASSPHRASE)])?)
        });
        steps.run(format!("{name}, nobody to ask"), || attempt.clone().is_refused());
    }
    steps.run("three wrong passphrases", || {
        let key = prepare(&server, ENCRYPTED[0]);
        let attempt = Attempt::at(&server).key(&key).option("PasswordAuthentication=no");
        is_refused(&attempt.converse(&[("assphrase ", "wrong"); 3])?)
    });
    steps.run("nobody is asked for a key that the server does not take", || {
        let key = prepare(&server, ENCRYPTED[0]);
        fs::write(&server.login.key.public, "")?;
        let attempt = Attempt::at(&server).key(&key).option("PasswordAuthentication=no");
        let done = attempt.converse(&[])?;
        is_refused(&done)?;
        let text = String::from_utf8_lossy(&done.stdout);
        check(!text.contains("assphrase "), || done.describe())
    });

    steps.finish(|| server.process.log());
}
