//! Logging in, host keys that are learnt over the wire, and the example program.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use sterna_client::{Connector, HostKeyQuestion, Prompt, Reconnect, Zeroizing};
use sterna_identity::parse_authorized_keys;
use sterna_ssh_crypto::KeyType;

use crate::stage::{PASSWORD, Stage};

/// A person who types these answers, in this order, and notes what was asked.
#[derive(Default)]
struct Types {
    answers: Mutex<Vec<&'static str>>,
    asked: Mutex<Vec<String>>,
}

impl Types {
    fn new(answers: &[&'static str]) -> Arc<Self> {
        Arc::new(Self {
            answers: Mutex::new(answers.iter().rev().copied().collect()),
            asked: Mutex::default(),
        })
    }

    fn next(&self, asked: String) -> Option<Zeroizing<String>> {
        self.asked.lock().unwrap().push(asked);
        self.answers.lock().unwrap().pop().map(|answer| Zeroizing::new(answer.to_owned()))
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

impl Prompt for Types {
    fn host_key(&self, _: &HostKeyQuestion) -> Option<String> {
        None
    }

    fn password(&self, user: &str, _: &str, attempt: u32) -> Option<Zeroizing<String>> {
        self.next(format!("password of {user}, {attempt}"))
    }

    fn passphrase(&self, file: &Path, attempt: u32) -> Option<Zeroizing<String>> {
        let name = file.file_name().unwrap().to_string_lossy();
        self.next(format!("passphrase of {name}, {attempt}"))
    }
}

#[tokio::test]
async fn a_password_is_asked_for_until_it_is_right() {
    let stage = Stage::new();
    let person = Types::new(&["battery staple", PASSWORD]);

    let session = stage.builder().prompt(person.clone()).connect().await.unwrap();

    assert!(session.sftp().await.is_ok());
    assert_eq!(person.asked(), ["password of alice, 1", "password of alice, 2"]);
}

#[tokio::test]
async fn a_password_that_was_right_is_not_asked_for_again_when_the_connection_is_made_anew() {
    let stage = Stage::new();
    let person = Types::new(&["battery staple", PASSWORD]);
    let connector = Connector::new(stage.builder().prompt(person.clone()));
    connector.connect().await.unwrap().close().await;

    let again = connector.reconnect().await.unwrap();

    assert!(again.sftp.stat("/").await.is_ok());
    assert_eq!(person.asked(), ["password of alice, 1", "password of alice, 2"]);
}

#[tokio::test]
async fn a_given_password_that_is_wrong_ends_with_5_and_nobody_is_asked() {
    let stage = Stage::new();
    let person = Types::new(&[PASSWORD]);
    let given = Zeroizing::new("wrong".to_owned());

    let builder = stage.builder().prompt(person.clone()).password(given);
    let error = builder.connect().await.err().unwrap();

    assert_eq!(error.exit_code(), 5, "{error}");
    assert!(person.asked().is_empty());
}

/// A stage whose user has an encrypted key, `here/id`, and nothing else.
fn with_encrypted_key() -> Option<Stage> {
    let stage = Stage::with(&[KeyType::Ed25519], |user| {
        let here = user.root.with_file_name("here");
        let made = Command::new("ssh-keygen")
            .args(["-q", "-t", "ed25519", "-N", "open sesame", "-f"])
            .arg(here.join("id"))
            .status();
        if made.is_ok_and(|status| status.success()) {
            let public = fs::read(here.join("id.pub")).unwrap();
            let keys = parse_authorized_keys(&public).0;
            user.authorized_keys = keys.into_iter().map(Into::into).collect();
            user.password = None;
        }
    });
    if !stage.here("id").exists() {
        eprintln!("skipped: ssh-keygen is not installed");
        return None;
    }
    Some(stage)
}

#[tokio::test]
async fn an_encrypted_key_is_opened_with_a_passphrase_when_the_server_wants_it() {
    let Some(stage) = with_encrypted_key() else { return };
    let person = Types::new(&["wrong", "open sesame"]);

    let builder = stage.builder().identity(stage.here("id")).prompt(person.clone());
    let session = builder.connect().await.unwrap();

    assert!(session.sftp().await.is_ok());
    assert_eq!(person.asked(), ["passphrase of id, 1", "passphrase of id, 2"]);
}

#[tokio::test]
async fn an_encrypted_key_is_of_no_use_where_nobody_can_be_asked() {
    let Some(stage) = with_encrypted_key() else { return };
    let person = Types::new(&["open sesame"]);

    let builder = stage.builder().identity(stage.here("id")).prompt(person.clone());
    let error = builder.batch_mode(true).connect().await.err().unwrap();

    assert_eq!(error.exit_code(), 5, "{error}");
    assert!(person.asked().is_empty());
}

#[tokio::test]
async fn further_host_keys_are_proven_over_the_wire_and_trusted_afterwards() {
    let stage = Stage::with(&[KeyType::Ed25519, KeyType::EcdsaP256], |_| {});
    let password = || Zeroizing::new(PASSWORD.to_owned());
    let types = || {
        let text = fs::read_to_string(stage.known_hosts()).unwrap_or_default();
        let words = text.lines().filter_map(|line| line.split(' ').nth(1).map(str::to_owned));
        words.collect::<Vec<_>>()
    };

    let first = stage.builder().option("UpdateHostKeys=yes").password(password());
    let session = first.connect().await.unwrap();
    // The session stays open: learning goes on beside it.
    while types().len() < 2 {
        tokio::task::yield_now().await;
    }

    assert_eq!(types(), ["ssh-ed25519", "ecdsa-sha2-nistp256"]);
    session.close().await;
    let strict = stage.strict_builder().option("StrictHostKeyChecking=yes");
    let strict = strict.option("HostKeyAlgorithms=ecdsa-sha2-nistp256");
    assert!(strict.password(password()).connect().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_example_lists_a_directory_and_downloads_a_file() {
    let stage = Stage::new();
    fs::write(stage.there("report.txt"), b"all is well").unwrap();
    fs::write(stage.dir.path().join("password"), format!("{PASSWORD}\n")).unwrap();
    // Beside `deps/`, where this test lies: cargo builds examples together with tests.
    let program = std::env::current_exe().unwrap();
    let program = program.parent().and_then(Path::parent).unwrap().join("examples/get");

    let output = Command::new(&program)
        .arg("alice@127.0.0.1:/report.txt")
        .arg(stage.port.to_string())
        .arg(stage.dir.path().join("password"))
        .current_dir(stage.here(""))
        .env("HOME", stage.dir.path())
        .env_remove("SSH_AUTH_SOCK")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; built by `cargo test`", program.display()));

    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(said, "report.txt\n1 files, 11 bytes\n");
    assert_eq!(fs::read(stage.here("report.txt")).unwrap(), b"all is well");
}
