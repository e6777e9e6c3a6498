//! The login against a server that plays a part: what is sent, in which order, what a person is asked.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};

use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom};
use sterna_ssh_proto::{ClientAuth, Prompt as Question, Prompts, SessionBinding};
use sterna_sshwire::{Reader, put_string, put_u32, put_u64};
use tempfile::TempDir;
use tokio::sync::mpsc;
use zeroize::Zeroizing;

use super::{Credentials, KeyFiles, log_in};
use crate::Error;
use crate::limits::{AUTH_ATTEMPTS_MAX, KEYBOARD_ROUNDS_MAX, PASSWORD_CHANGES_MAX};
use crate::prompt::{HostKeyQuestion, Prompt};
use crate::session::login::Login;
use crate::session::{Command, Notice};
use crate::ssh_config::HostSettings;

/// A person who gives these answers, in this order, and notes what was asked and told.
#[derive(Default)]
struct Person {
    answers: Mutex<VecDeque<&'static str>>,
    seen: Mutex<Vec<String>>,
}

impl Person {
    fn note(&self, text: String) {
        self.seen.lock().unwrap().push(text);
    }

    fn answer(&self, asked: String) -> Option<Zeroizing<String>> {
        self.note(asked);
        self.answers.lock().unwrap().pop_front().map(|answer| Zeroizing::new(answer.to_owned()))
    }
}

impl Prompt for Person {
    fn host_key(&self, _: &HostKeyQuestion) -> Option<String> {
        None
    }

    fn password(&self, user: &str, _: &str, attempt: u32) -> Option<Zeroizing<String>> {
        self.answer(format!("password of {user}, {attempt}"))
    }

    fn passphrase(&self, file: &Path, attempt: u32) -> Option<Zeroizing<String>> {
        self.answer(format!(
            "passphrase of {}, {attempt}",
            file.file_name().unwrap().to_string_lossy()
        ))
    }

    fn question(&self, text: &str, echo: bool) -> Option<Zeroizing<String>> {
        self.answer(format!("{}{text}", if echo { "seen " } else { "" }))
    }

    fn inform(&self, text: &str) {
        self.note(format!("told: {text}"));
    }
}

/// What one login is tried with, and what came of it.
struct Stage {
    settings: HostSettings,
    person: Arc<Person>,
    password: Option<&'static str>,
    host_is_trusted: bool,
    /// `server-sig-algs` of the server.
    announces: &'static [&'static str],
    place: TempDir,
}

impl Stage {
    fn new(answers: &[&'static str]) -> Self {
        let place = tempfile::tempdir().unwrap();
        let mut settings = HostSettings::defaults("h", "u", None);
        settings.agent = None;
        settings.identity_files.clear();
        let person =
            Person { answers: Mutex::new(answers.iter().copied().collect()), ..Person::default() };
        Self {
            settings,
            person: Arc::new(person),
            password: None,
            host_is_trusted: true,
            announces: &[],
            place,
        }
    }

    fn seen(&self) -> Vec<String> {
        self.person.seen.lock().unwrap().clone()
    }

    /// Writes a key file and names it in the settings.
    fn key(&mut self, name: &str) -> PrivateKey {
        let key = PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap();
        let path = self.write(name, &key.to_openssh_text(""));
        self.settings.identity_files.push(path);
        self.settings.identity_files_named = true;
        key
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.place.path().join(name);
        std::fs::write(&path, text).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&path, mode).unwrap();
        path
    }

    /// Logs in at a server that answers each attempt as `says` tells; without an answer it ends the
    /// connection. Returns the attempts in words.
    async fn log_in(
        &self,
        mut says: impl FnMut(&ClientAuth) -> Option<Notice> + Send + 'static,
    ) -> (Result<(), Error>, Vec<String>) {
        let (commands, mut commands_out) = mpsc::channel(8);
        let (notices_in, notices) = mpsc::channel(8);
        let announces = self.announces;
        let server = tokio::spawn(async move {
            let mut attempts = Vec::new();
            let _ = notices_in.send(refused(&[])).await;
            while let Some(command) = commands_out.recv().await {
                match command {
                    Command::TryAuth(auth) => {
                        attempts.push(in_words(&auth));
                        match says(&auth) {
                            Some(notice @ Notice::Disconnected(_)) => {
                                let _ = notices_in.send(notice).await;
                                break;
                            }
                            Some(notice) => drop(notices_in.send(notice).await),
                            None => break,
                        }
                    }
                    Command::SignatureAlgorithms { reply } => {
                        drop(reply.send(announces.iter().map(|a| (*a).to_owned()).collect()));
                    }
                    Command::SignedBytes { reply, .. } => drop(reply.send(b"signed".to_vec())),
                    Command::SessionBinding { reply } => drop(reply.send(Some(binding()))),
                    _ => {}
                }
            }
            attempts
        });
        let prompt: Arc<dyn Prompt> = self.person.clone();
        let end = Arc::new(OnceLock::from("the server ended the connection: Too many".to_owned()));
        let mut login = Login {
            commands,
            notices,
            end,
            prompt: prompt.clone(),
            host: "h".into(),
            disconnected: None,
        };
        let credentials = Credentials {
            settings: &self.settings,
            password: self.password.map(|password| Zeroizing::new(password.to_owned())),
            prompt: &prompt,
            host_is_trusted: self.host_is_trusted,
            socket: None,
        };
        let files = KeyFiles::read(&self.settings);
        let result = log_in(&mut login, &credentials, files).await;
        drop(login);
        (result, server.await.unwrap())
    }
}

fn binding() -> SessionBinding {
    SessionBinding {
        host_key: b"host".to_vec(),
        session_id: b"id".to_vec(),
        signature: b"sig".to_vec(),
    }
}

fn in_words(auth: &ClientAuth) -> String {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    match auth {
        ClientAuth::None => "none".into(),
        ClientAuth::Password { password } => format!("password {}", text(password)),
        ClientAuth::PasswordChange { old, new } => format!("change {} {}", text(old), text(new)),
        ClientAuth::PublicKeyQuery { algorithm, key_blob } => {
            format!("query {algorithm} {}", fingerprint(key_blob))
        }
        ClientAuth::PublicKey { algorithm, key_blob, signature } => {
            let by = text(Reader::new(signature).string("algorithm", 64).unwrap());
            format!("sign {algorithm} {} by {by}", fingerprint(key_blob))
        }
        ClientAuth::KeyboardInteractive { submethods } => format!("keyboard {submethods}"),
        ClientAuth::PromptAnswers { answers } => {
            format!("answers {:?}", answers.iter().map(|a| text(a)).collect::<Vec<_>>())
        }
        other => format!("{other:?}"),
    }
}

fn fingerprint(key_blob: &[u8]) -> String {
    sterna_ssh_crypto::OfferedKey::from_wire(key_blob).unwrap().fingerprint()
}

fn refused(methods: &[&str]) -> Notice {
    Notice::AuthTurn {
        can_continue: methods.iter().map(|m| (*m).to_owned()).collect(),
        partial: false,
    }
}

fn partly(methods: &[&str]) -> Notice {
    let Notice::AuthTurn { can_continue, .. } = refused(methods) else { unreachable!() };
    Notice::AuthTurn { can_continue, partial: true }
}

fn prompted(name: &str, questions: &[(&str, bool)]) -> Notice {
    let question = |(text, echo): &(&str, bool)| Question { text: (*text).to_owned(), echo: *echo };
    Notice::Prompted(Prompts {
        name: name.to_owned(),
        instruction: String::new(),
        prompts: questions.iter().map(question).collect(),
    })
}

/// Accepts every key that it is asked about, and every signature.
fn takes_keys(auth: &ClientAuth) -> Option<Notice> {
    match auth {
        ClientAuth::PublicKeyQuery { algorithm, key_blob } => {
            Some(Notice::KeyAccepted { algorithm: algorithm.clone(), key_blob: key_blob.clone() })
        }
        ClientAuth::PublicKey { .. } => Some(Notice::LoggedIn),
        _ => Some(refused(&["publickey"])),
    }
}

/// The answers of a script, one after the other.
fn script(answers: Vec<Notice>) -> impl FnMut(&ClientAuth) -> Option<Notice> + Send + 'static {
    let mut answers = answers.into_iter();
    move |_| answers.next()
}

fn exit_code(result: &Result<(), Error>) -> u8 {
    result.as_ref().err().map_or(0, Error::exit_code)
}

#[tokio::test]
async fn every_round_of_questions_is_answered_and_one_without_questions_needs_nobody() {
    let mut stage = Stage::new(&["secret", "123456", "blue"]);
    stage.settings.kbd_interactive_devices = vec!["pam".into(), "otp".into()];

    let (result, attempts) = stage
        .log_in(script(vec![
            refused(&["keyboard-interactive"]),
            prompted("Hel\x1b[2Jlo", &[("Password: ", false)]),
            prompted("", &[("A menu\n1. push\nCode: ", false), ("Colour\u{202e}: ", true)]),
            prompted("", &[]),
            Notice::LoggedIn,
        ]))
        .await;

    assert!(result.is_ok());
    assert_eq!(
        attempts,
        [
            "none",
            "keyboard pam,otp",
            "answers [\"secret\"]",
            "answers [\"123456\", \"blue\"]",
            "answers []"
        ]
    );
    assert_eq!(
        stage.seen(),
        [
            "told: Hel\\u{1b}[2Jlo",
            "(u@h) Password: ",
            "told: A menu",
            "told: 1. push",
            "(u@h) Code: ",
            "seen (u@h) Colour\\u{202e}: "
        ]
    );
}

#[tokio::test]
async fn a_given_password_answers_one_question_and_only_one_for_a_password() {
    let questions: [(&[(&str, bool)], bool); 6] = [
        (&[("Password: ", false)], true),
        (&[("Password: ", true)], false),
        (&[("Password: ", false), ("Code: ", false)], false),
        (&[("Verification code: ", false)], false),
        (&[("New password: ", false)], false),
        (&[("user:", false)], false),
    ];
    for (questions, is_filled) in questions {
        let mut stage = Stage::new(&[]);
        stage.password = Some("given");
        stage.settings.batch_mode = true;

        let (result, attempts) = stage
            .log_in(script(vec![
                refused(&["keyboard-interactive"]),
                prompted("", questions),
                // Asked a second time, it is not given again.
                prompted("", &[("Password: ", false)]),
            ]))
            .await;

        let expected: &[&str] = if is_filled {
            &["none", "keyboard ", "answers [\"given\"]"]
        } else {
            &["none", "keyboard "]
        };
        assert_eq!(attempts, expected, "{questions:?}");
        assert_eq!(exit_code(&result), 5);
        assert!(stage.seen().is_empty(), "nobody is asked in batch mode");
    }
}

#[tokio::test]
async fn wrong_answers_are_asked_for_again_as_often_as_the_settings_say() {
    let mut stage = Stage::new(&["a", "b", "c", "d"]);
    stage.settings.password_prompts = 2;
    let methods = ["keyboard-interactive"];

    let (result, attempts) = stage
        .log_in(move |auth| match auth {
            ClientAuth::KeyboardInteractive { .. } => Some(prompted("", &[("Password: ", false)])),
            _ => Some(refused(&methods)),
        })
        .await;

    assert_eq!(exit_code(&result), 5);
    assert_eq!(attempts, ["none", "keyboard ", "answers [\"a\"]", "keyboard ", "answers [\"b\"]"]);
}

#[tokio::test]
async fn a_server_that_asks_without_end_is_left() {
    let stage = Stage::new(&[]);

    let (result, attempts) = stage
        .log_in(|auth| match auth {
            ClientAuth::None => Some(refused(&["keyboard-interactive"])),
            _ => Some(prompted("", &[])),
        })
        .await;

    assert_eq!(exit_code(&result), 5);
    assert_eq!(attempts.len(), 2 + KEYBOARD_ROUNDS_MAX as usize);
}

#[tokio::test]
async fn an_expired_password_is_changed_until_the_server_likes_the_new_one() {
    let stage = Stage::new(&["old", "one", "other", "weak", "weak", "strong", "strong"]);
    let expired = |why: &str| Notice::PasswordExpired(why.to_owned());

    let (result, attempts) = stage
        .log_in(script(vec![
            refused(&["password"]),
            expired("expired"),
            expired("too\x07 weak"),
            Notice::LoggedIn,
        ]))
        .await;

    assert!(result.is_ok());
    assert_eq!(attempts, ["none", "password old", "change old weak", "change old strong"]);
    let (new, again) = ("New password of u@h: ", "The new password of u@h again: ");
    let different = "told: the two are different";
    assert_eq!(
        stage.seen(),
        [
            "password of u, 1",
            "told: expired",
            new,
            again,
            different,
            new,
            again,
            "told: too\\u{7} weak",
            new,
            again
        ]
    );
}

#[tokio::test]
async fn nobody_is_asked_for_a_new_password_in_batch_mode_nor_for_ever() {
    let mut stage = Stage::new(&["unused"]);
    stage.password = Some("given");
    stage.settings.batch_mode = true;
    let expired = |_: &ClientAuth| Some(Notice::PasswordExpired("expired".to_owned()));
    let or_methods = move |auth: &ClientAuth| match auth {
        ClientAuth::None => Some(refused(&["password"])),
        auth => expired(auth),
    };

    let (result, attempts) = stage.log_in(or_methods).await;

    assert_eq!((exit_code(&result), attempts.len()), (5, 2), "{attempts:?}");
    assert_eq!(stage.seen(), ["told: expired"]);

    let stage = Stage::new(&["x"; 100]);
    let (result, attempts) = stage.log_in(or_methods).await;

    assert_eq!(exit_code(&result), 5);
    assert_eq!(attempts.len(), 2 + PASSWORD_CHANGES_MAX as usize);
}

#[tokio::test]
async fn nothing_secret_goes_to_a_host_that_is_not_trusted() {
    let mut stage = Stage::new(&["a", "b"]);
    stage.password = Some("given");
    stage.host_is_trusted = false;

    let (result, attempts) =
        stage.log_in(|_| Some(refused(&["keyboard-interactive", "password"]))).await;

    assert_eq!((exit_code(&result), attempts), (5, vec!["none".to_owned()]));
}

#[tokio::test]
async fn methods_go_in_the_order_of_the_settings_and_only_those_that_are_on() {
    let methods = ["password", "keyboard-interactive", "publickey", "gssapi-with-mic"];
    let order = |change: fn(&mut HostSettings)| async move {
        let mut stage = Stage::new(&["pw"]);
        let key = stage.key("id");
        stage.settings.password_prompts = 1;
        change(&mut stage.settings);
        let (_, attempts) = stage.log_in(move |_| Some(refused(&methods))).await;
        let sign = format!("sign ssh-ed25519 {} by ssh-ed25519", key.public().fingerprint());
        attempts[1..].iter().map(|a| a.replace(&sign, "sign")).collect::<Vec<_>>()
    };

    assert_eq!(order(|_| {}).await, ["sign", "keyboard ", "password pw"]);
    let preferred = |s: &mut HostSettings| {
        s.preferred_authentications = ["password", "publickey"].map(str::to_owned).to_vec();
    };
    assert_eq!(order(preferred).await, ["password pw", "sign"]);
    let off = |s: &mut HostSettings| {
        s.password_authentication = false;
        s.kbd_interactive_authentication = false;
    };
    assert_eq!(order(off).await, ["sign"]);
}

#[tokio::test]
async fn after_a_step_the_next_begins_afresh_and_the_key_of_the_first_is_not_shown_again() {
    let mut stage = Stage::new(&["a", "b"]);
    stage.settings.password_prompts = 1;
    let (first, second) = (stage.key("first"), stage.key("second"));
    let (first, second) = (first.public().fingerprint(), second.public().fingerprint());
    let mut steps = 0;

    let (result, attempts) = stage
        .log_in(move |auth| match auth {
            ClientAuth::None => Some(refused(&["password"])),
            ClientAuth::Password { .. } | ClientAuth::PublicKey { .. } => {
                steps += 1;
                Some(match steps {
                    1 => partly(&["publickey"]),
                    2 => partly(&["publickey"]),
                    3 => partly(&["password"]),
                    _ => Notice::LoggedIn,
                })
            }
            auth => takes_keys(auth),
        })
        .await;

    assert!(result.is_ok());
    let query = |key: &str| format!("query ssh-ed25519 {key}");
    let sign = |key: &str| format!("sign ssh-ed25519 {key} by ssh-ed25519");
    let expected = [
        "none".to_owned(),
        "password a".into(),
        query(&first),
        sign(&first),
        query(&second),
        sign(&second),
        "password b".into(),
    ];
    assert_eq!(attempts, expected);
    assert_eq!(stage.seen(), ["password of u, 1", "password of u, 1"]);
}

#[tokio::test]
async fn the_only_key_signs_at_once_and_one_of_several_is_shown_first() {
    let mut stage = Stage::new(&[]);
    let only = stage.key("a").public().fingerprint();

    let (result, attempts) = stage.log_in(takes_keys).await;

    assert!(result.is_ok());
    assert_eq!(attempts[1..], [format!("sign ssh-ed25519 {only} by ssh-ed25519")]);
    stage.key("b");
    let (result, attempts) = stage.log_in(takes_keys).await;
    assert!(result.is_ok());
    assert_eq!(attempts[1], format!("query ssh-ed25519 {only}"));
}

#[tokio::test]
async fn a_server_that_gives_partial_success_for_ever_is_left() {
    let mut stage = Stage::new(&[]);
    stage.settings.preferred_authentications = vec!["keyboard-interactive".to_owned()];

    let (result, attempts) = stage.log_in(|_| Some(partly(&["keyboard-interactive"]))).await;

    assert_eq!(exit_code(&result), 5);
    assert_eq!(attempts.len(), AUTH_ATTEMPTS_MAX);
}

#[tokio::test]
async fn being_thrown_out_after_too_many_keys_says_what_to_do() {
    let mut stage = Stage::new(&[]);
    for name in ["a", "b", "c"] {
        stage.key(name);
    }
    let mut queries = 0;
    let thrown_out = |reason: u32| {
        move |auth: &ClientAuth| match auth {
            ClientAuth::None => Some(refused(&["publickey"])),
            _ => {
                queries += 1;
                Some(if queries == 2 {
                    Notice::Disconnected(reason)
                } else {
                    refused(&["publickey"])
                })
            }
        }
    };

    let (result, _) = stage.log_in(thrown_out(2)).await;

    let error = result.unwrap_err();
    assert_eq!(error.exit_code(), 5);
    let text = error.to_string();
    assert!(text.contains("Too many") && text.contains("2 keys"), "{text}");
    assert!(text.contains("IdentitiesOnly"), "{text}");

    // Another reason, or none, is a matter of the connection.
    let (result, _) = stage.log_in(thrown_out(11)).await;
    assert_eq!(exit_code(&result), 3);
}

/// A user certificate of a key, as far as a client looks at it: nobody signed it.
pub(super) fn certificate_line(key: &PrivateKey, kind: u32) -> String {
    let public = key.public().to_wire();
    let mut r = Reader::new(&public);
    r.string("type", 64).unwrap();
    let name = "ssh-ed25519-cert-v01@openssh.com";
    let mut blob = Vec::new();
    put_string(&mut blob, name.as_bytes());
    put_string(&mut blob, b"nonce");
    blob.extend_from_slice(r.rest());
    put_u64(&mut blob, 1);
    put_u32(&mut blob, kind);
    put_string(&mut blob, b"key id");
    put_string(&mut blob, b"");
    put_u64(&mut blob, 0);
    put_u64(&mut blob, u64::MAX);
    for empty in [b""; 3] {
        put_string(&mut blob, empty);
    }
    put_string(&mut blob, &public);
    put_string(&mut blob, b"not a signature");
    use base64::engine::{Engine as _, general_purpose::STANDARD};
    format!("{name} {}\n", STANDARD.encode(blob))
}

#[tokio::test]
async fn a_certificate_goes_first_and_is_signed_for_by_the_key_inside() {
    let mut stage = Stage::new(&[]);
    let (other, certified) = (stage.key("a_other"), stage.key("b_certified"));
    stage.write("b_certified-cert.pub", &certificate_line(&certified, 1));
    // One for hosts is not for users.
    stage.write("a_other-cert.pub", &certificate_line(&other, 2));
    let mut queries = 0;

    let (result, attempts) = stage
        .log_in(move |auth| {
            queries += u32::from(matches!(auth, ClientAuth::PublicKeyQuery { .. }));
            // Refused at first, to see what comes next.
            if queries == 2 { Some(refused(&["publickey"])) } else { takes_keys(auth) }
        })
        .await;

    assert!(result.is_ok());
    let key = certified.public().fingerprint();
    let algorithm = "ssh-ed25519-cert-v01@openssh.com";
    assert_eq!(
        attempts[1..],
        [format!("query {algorithm} {key}"), format!("sign {algorithm} {key} by ssh-ed25519")]
    );

    let mut stage = Stage::new(&[]);
    let plain = stage.key("plain");
    let path = stage.write("elsewhere.pub", &certificate_line(&plain, 1));
    stage.settings.certificate_files = vec![path];
    let (_, attempts) = stage.log_in(|_| Some(refused(&["publickey"]))).await;
    let key = plain.public().fingerprint();
    let query = |algorithm: &str| format!("query {algorithm} {key}");
    assert_eq!(attempts[1..], [query(algorithm), query("ssh-ed25519")]);
}

#[tokio::test]
async fn a_public_half_that_belongs_to_another_key_is_never_signed_for() {
    let mut stage = Stage::new(&["secret", "secret"]);
    let other = PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap();
    let certificate = stage.write("c-cert.pub", &certificate_line(&other, 1));
    stage.key("mine");
    stage.settings.certificate_files = vec![certificate];
    stage.settings.identities_only = true;

    let (_, attempts) = stage.log_in(takes_keys).await;

    assert!(attempts.iter().all(|a| !a.contains("cert")), "{attempts:?}");
    assert!(stage.seen()[0].contains("certificate"), "{:?}", stage.seen());
}

#[tokio::test]
async fn one_named_key_of_a_kind_that_the_server_announces_is_the_first_attempt() {
    let mut stage = Stage::new(&[]);
    stage.announces = &["ssh-ed25519"];
    let key = stage.key("key").public().fingerprint();

    let (result, attempts) = stage.log_in(takes_keys).await;

    assert!(result.is_ok());
    assert_eq!(attempts, [format!("sign ssh-ed25519 {key} by ssh-ed25519")]);
}

#[tokio::test]
async fn a_key_that_was_refused_at_once_comes_again_only_after_another_step() {
    for (methods, after_password, again) in [
        (&["publickey", "password"][..], Notice::LoggedIn, false),
        (&["password"], partly(&["publickey"]), true),
    ] {
        let mut stage = Stage::new(&[]);
        stage.announces = &["ssh-ed25519"];
        stage.password = Some("given");
        let key = stage.key("key").public().fingerprint();
        let sign = format!("sign ssh-ed25519 {key} by ssh-ed25519");

        let (result, attempts) =
            stage.log_in(script(vec![refused(methods), after_password, Notice::LoggedIn])).await;

        assert!(result.is_ok());
        let mut expected = vec![sign.clone(), "password given".to_owned()];
        expected.extend(again.then_some(sign));
        assert_eq!(attempts, expected);
    }
}

#[tokio::test]
async fn the_server_is_asked_first_where_the_first_attempt_is_not_sure() {
    let changes: [fn(&mut Stage); 5] = [
        |stage| drop(stage.key("another")),
        |stage| stage.settings.identity_files_named = false,
        |stage| stage.announces = &["rsa-sha2-512"],
        |stage| stage.settings.agent = Some(stage.place.path().join("agent")),
        |stage| stage.settings.preferred_authentications.insert(0, "password".into()),
    ];
    for (index, change) in changes.into_iter().enumerate() {
        let mut stage = Stage::new(&[]);
        stage.announces = &["ssh-ed25519"];
        stage.settings.batch_mode = true;
        stage.key("key");
        change(&mut stage);

        let (result, attempts) = stage.log_in(takes_keys).await;

        assert!(result.is_ok(), "{index}");
        assert_eq!(attempts[0], "none", "{index}");
    }
}
