//! The side under test, with an application that keeps the books: what it granted, whom it trusts.
//!
//! Every step is held against the books at once. A failure here is a way around the login.

use std::sync::Arc;
use std::time::Instant;

use super::peer::{Keys, Peer};
use crate::Seed;
use sterna_ssh_proto::messages::{
    DEBUG, DISCONNECT, KEX_METHOD_FIRST, KEX_METHOD_LAST, KEXINIT, NEWKEYS, USERAUTH_SUCCESS,
    name_of,
};
use sterna_ssh_proto::{
    AuthAnswer, AuthMethod, ChannelRequest, ClientAuth, ClientConfig, Connection, Error, Event,
    InputBuffer, OutputBuffer, Prompt, Prompts, Role, ServerConfig, SignatureCheck,
};

pub const USER: &str = "alice";
/// What the server's application takes, and what the client's sends.
pub const PASSWORD: &[u8] = b"correct horse";

/// One connection of ours between an application and a hostile peer.
pub struct Subject<'k> {
    role: Role,
    keys: &'k Keys,
    connection: Connection,
    input: InputBuffer,
    output: OutputBuffer,
    now: Instant,
    books: Books,
    pub error: Option<Error>,
    /// The application thinks about questions until it is told to answer.
    pub hesitates: bool,
    open_question: Option<Answer>,
}

/// What the application knows.
#[derive(Default)]
struct Books {
    /// Server: the last question was answered by `Accept`, and nothing came of it yet.
    granted: bool,
    /// The connection said that the user is logged in.
    logged_in: bool,
    /// Client: the host key was accepted.
    trusts: bool,
    /// Client: an attempt is out that may be answered by success.
    attempt_is_out: bool,
}

/// An answer that the application still owes.
enum Answer {
    HostKey,
    Login(AuthAnswer, Counts),
}

/// Whether an `Accept` may lead to a login: to a wrong signature it may not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Counts {
    Yes,
    No,
}

/// What one step made visible: events, then messages, then the end.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seen {
    pub events: Vec<String>,
    pub said: Vec<&'static str>,
    pub ended: bool,
}

impl Seen {
    pub fn is_nothing(&self) -> bool {
        self.events.is_empty() && self.said.is_empty() && !self.ended
    }
}

impl<'k> Subject<'k> {
    pub fn new(role: Role, keys: &'k Keys) -> Self {
        let (now, random) = (Instant::now(), Box::new(Seed::new(1)));
        let mut output = OutputBuffer::new();
        let connection = match role {
            Role::Server => {
                let mut config = ServerConfig::new(vec![keys.host.public().clone()]);
                config.auth_failures_max = 1000;
                config.channels_max = 1;
                Connection::server(Arc::new(config), random, now, &mut output)
            }
            Role::Client => {
                let mut config = ClientConfig::new(USER);
                config.common.algorithms.kex = vec!["curve25519-sha256".to_owned()];
                Connection::client(Arc::new(config), random, now, &mut output)
            }
        };
        Self {
            role,
            keys,
            connection,
            input: InputBuffer::new(),
            output,
            now,
            books: Books::default(),
            error: None,
            hesitates: false,
            open_question: None,
        }
    }

    /// What is to be sent, to the peer.
    pub fn speak_to(&mut self, peer: &mut Peer<'_>, seen: &mut Seen) {
        while !self.output.is_empty() {
            let pending = self.output.pending();
            // libFuzzer's builds have ciphers that do nothing.
            assert!(
                cfg!(fuzzing) || !pending.windows(PASSWORD.len()).any(|w| w == PASSWORD),
                "a password in clear text"
            );
            peer.hear(pending);
            let len = pending.len();
            self.output.consume(len);
        }
        for payload in std::mem::take(&mut peer.heard) {
            self.check_said(payload[0]);
            if payload[0] != DISCONNECT {
                seen.said.push(name_of(payload[0]));
            }
        }
        for number in &peer.heard_in_clear {
            let of_exchange = matches!(
                *number,
                DISCONNECT..=DEBUG | KEXINIT | NEWKEYS | KEX_METHOD_FIRST..=KEX_METHOD_LAST
            );
            assert!(of_exchange, "{} in clear text", name_of(*number));
        }
    }

    fn check_said(&self, number: u8) {
        let of_exchange = matches!(
            number,
            DISCONNECT..=DEBUG | KEXINIT | NEWKEYS | KEX_METHOD_FIRST..=KEX_METHOD_LAST
        );
        match self.role {
            Role::Client => {
                assert!(of_exchange || self.books.trusts, "{} to a stranger", name_of(number));
            }
            Role::Server if number == USERAUTH_SUCCESS || number >= 80 => {
                assert!(self.books.logged_in, "{} without a login", name_of(number));
            }
            Role::Server => {}
        }
        if number >= 80 {
            assert!(self.books.logged_in, "{} without a login", name_of(number));
        }
    }

    /// Hears bytes, answers as its application does, and tells what was seen.
    pub fn hear(&mut self, bytes: &[u8]) -> Seen {
        let mut rest = bytes;
        while !rest.is_empty() {
            let space = self.input.space();
            let len = space.len().min(rest.len());
            space[..len].copy_from_slice(&rest[..len]);
            self.input.commit(len);
            rest = &rest[len..];
        }
        self.run()
    }

    /// The application renews the keys.
    pub fn rekey(&mut self) -> Seen {
        self.connection.start_rekey(self.now, &mut self.output);
        self.run()
    }

    /// The application gives the answer that it owes.
    pub fn answer(&mut self) -> Seen {
        let result = match self.open_question.take() {
            None => Ok(()),
            Some(Answer::HostKey) => {
                self.books.trusts = true;
                self.connection.answer_host_key(true, self.now, &mut self.output)
            }
            Some(Answer::Login(answer, counts)) => {
                self.books.granted = answer == AuthAnswer::Accept && counts == Counts::Yes;
                self.connection.answer_auth(answer, self.now, &mut self.output)
            }
        };
        self.error = self.error.take().or(result.err());
        self.run()
    }

    fn run(&mut self) -> Seen {
        let mut seen = Seen::default();
        loop {
            if self.error.is_some() {
                break;
            }
            let event = self.connection.poll_event(self.now, &mut self.input, &mut self.output);
            let step = match event {
                Ok(None) => break,
                Ok(Some(event)) => Step::from(event),
                Err(error) => {
                    self.error = Some(error);
                    break;
                }
            };
            if let Some(name) = self.take(step) {
                seen.events.push(name);
            }
        }
        assert_eq!(self.connection.is_open(), self.books.logged_in && !self.is_over());
        seen.ended = self.is_over();
        seen
    }

    pub fn is_over(&self) -> bool {
        self.error.is_some() || self.connection.is_ended()
    }

    pub fn is_logged_in(&self) -> bool {
        self.books.logged_in
    }

    pub fn exchanges_done(&self) -> u64 {
        self.connection.exchanges_done()
    }

    /// One event: the books, the application's answer, and its name if a peer could notice it.
    fn take(&mut self, step: Step) -> Option<String> {
        let (now, output) = (self.now, &mut self.output);
        let (connection, books) = (&mut self.connection, &mut self.books);
        match step {
            Step::Sign(algorithm, data) => {
                assert_eq!(self.role, Role::Server);
                let signature = self.keys.host.sign(&algorithm, &data).ok();
                self.error = connection.answer_signature(signature, now, output).err();
                None
            }
            Step::Login(name, answer, counts) => {
                assert_eq!(self.role, Role::Server);
                assert!(connection.exchanges_done() > 0, "a login before the first keys");
                assert!(!books.logged_in, "a login after the login");
                if self.hesitates {
                    self.open_question = Some(Answer::Login(answer, counts));
                } else {
                    books.granted = answer == AuthAnswer::Accept && counts == Counts::Yes;
                    self.error = connection.answer_auth(answer, now, output).err();
                }
                Some(name)
            }
            Step::LoggedIn => {
                match self.role {
                    Role::Server => assert!(books.granted, "logged in, and nobody said yes"),
                    Role::Client => assert!(books.trusts && books.attempt_is_out),
                }
                assert!(!books.logged_in && connection.exchanges_done() > 0);
                (books.logged_in, books.attempt_is_out) = (true, false);
                if self.role == Role::Client {
                    connection.open_session(output);
                }
                Some("logged in".to_owned())
            }
            Step::HostKey => {
                assert_eq!(self.role, Role::Client);
                assert!(!books.trusts, "asked about the host key twice");
                if self.hesitates {
                    self.open_question = Some(Answer::HostKey);
                } else {
                    books.trusts = true;
                    self.error = connection.answer_host_key(true, now, output).err();
                }
                Some("asks about host key".to_owned())
            }
            Step::Turn(name, attempt) => {
                assert!(books.trusts && !books.logged_in);
                assert!(connection.exchanges_done() > 0, "credentials before the first keys");
                books.attempt_is_out = false;
                if let Some(attempt) = attempt {
                    // Success to a mere question is not success.
                    books.attempt_is_out = !matches!(attempt, ClientAuth::PublicKeyQuery { .. });
                    let attempt = self.sign(attempt);
                    self.connection.try_auth(attempt, &mut self.output);
                }
                Some(name)
            }
            Step::Banner => {
                assert!(books.trusts);
                Some("banner".to_owned())
            }
            Step::Channel(name, answer) => {
                assert!(books.logged_in, "{name} without a login");
                if let Some((channel, accepted)) = answer {
                    connection.answer_request(channel, accepted, output);
                }
                Some(name)
            }
            Step::Data(channel, len) => {
                assert!(books.logged_in, "data without a login");
                connection.consume(channel, len, output);
                Some("data".to_owned())
            }
            Step::Opened(channel) => {
                assert!(books.logged_in, "a channel without a login");
                if self.role == Role::Client {
                    connection.request_subsystem(channel, "sftp", output);
                }
                Some("channel opened".to_owned())
            }
            Step::Other(name) => Some(name),
        }
    }

    /// Fills in what only the key's holder knows.
    fn sign(&self, attempt: ClientAuth) -> ClientAuth {
        match attempt {
            ClientAuth::PublicKeyQuery { algorithm, .. } => ClientAuth::PublicKeyQuery {
                algorithm,
                key_blob: self.keys.user.public().to_wire(),
            },
            ClientAuth::PublicKey { algorithm, key_blob, .. } => {
                let bytes = self.connection.public_key_signed_bytes(&algorithm, &key_blob);
                let signature = self.keys.user.sign(&algorithm, &bytes).unwrap();
                ClientAuth::PublicKey { algorithm, key_blob, signature }
            }
            other => other,
        }
    }
}

/// An event with what the application makes of it; nothing borrowed.
enum Step {
    Sign(String, Vec<u8>),
    Login(String, AuthAnswer, Counts),
    LoggedIn,
    HostKey,
    Turn(String, Option<ClientAuth>),
    Banner,
    Channel(String, Option<(sterna_ssh_proto::ChannelId, bool)>),
    Opened(sterna_ssh_proto::ChannelId),
    Data(sterna_ssh_proto::ChannelId, usize),
    Other(String),
}

impl From<Event<'_>> for Step {
    fn from(event: Event<'_>) -> Self {
        let channel = |name: &str| Self::Channel(name.to_owned(), None);
        match event {
            Event::Sign(request) => Self::Sign(request.algorithm, request.data),
            Event::AuthRequest(request) => {
                let (name, answer, counts) = judge(request.method);
                Self::Login(format!("login by {name}"), answer, counts)
            }
            Event::HostKey(_) => Self::HostKey,
            Event::AuthTurn { can_continue, .. } => {
                let can = |method: &str| can_continue.iter().any(|m| m == method);
                let attempt = if can_continue.is_empty() {
                    Some(ClientAuth::None)
                } else if can("password") {
                    Some(ClientAuth::Password { password: PASSWORD.to_vec().into() })
                } else if can("publickey") {
                    let algorithm = "ssh-ed25519".to_owned();
                    Some(ClientAuth::PublicKeyQuery { algorithm, key_blob: Vec::new() })
                } else if can("keyboard-interactive") {
                    Some(ClientAuth::KeyboardInteractive { submethods: String::new() })
                } else {
                    None
                };
                Self::Turn("turn".to_owned(), attempt)
            }
            Event::PublicKeyAccepted { algorithm, key_blob } => {
                let signature = Vec::new();
                let attempt = ClientAuth::PublicKey { algorithm, key_blob, signature };
                Self::Turn("key accepted".to_owned(), Some(attempt))
            }
            Event::Prompted(prompts) => {
                let answers = vec![PASSWORD.to_vec().into(); prompts.prompts.len()];
                Self::Turn("prompted".to_owned(), Some(ClientAuth::PromptAnswers { answers }))
            }
            Event::PasswordExpired { .. } => {
                let (old, new) = (PASSWORD.to_vec().into(), b"new".to_vec().into());
                let attempt = ClientAuth::PasswordChange { old, new };
                Self::Turn("password expired".to_owned(), Some(attempt))
            }
            Event::Banner(_) => Self::Banner,
            Event::HostKeysAnnounced(_) => channel("host keys announced"),
            Event::HostKeysProved(_) => channel("host keys proved"),
            Event::Authenticated { .. } => Self::LoggedIn,
            Event::ChannelOpened(channel) => Self::Opened(channel),
            Event::ChannelOpenFailed { .. } => channel("channel refused"),
            Event::ChannelRequest { channel, request } => match request {
                ChannelRequest::Subsystem(name) => Self::Channel(
                    format!("subsystem {}", String::from_utf8_lossy(&name)),
                    Some((channel, name == b"sftp")),
                ),
                ChannelRequest::Exec(_) => Self::Channel("exec".into(), Some((channel, false))),
                ChannelRequest::Shell => Self::Channel("shell".into(), Some((channel, false))),
                _ => Self::Channel("request".into(), None),
            },
            Event::ChannelRequestDone { accepted, .. } => {
                Self::Channel(format!("request done {accepted}"), None)
            }
            Event::ChannelData { channel, data } => Self::Data(channel, data.len()),
            Event::ChannelStderr { .. } => channel("stderr"),
            Event::ChannelEof(_) => channel("eof"),
            Event::ChannelClosed(_) => channel("closed"),
            Event::ChannelWritable(_) => channel("writable"),
            Event::Disconnected { .. } => Self::Other("disconnected".to_owned()),
        }
    }
}

/// The server's application: the one password, and any key that signs. It is careless on purpose: it accepts
/// a wrong signature too, which must not count.
fn judge(method: AuthMethod) -> (&'static str, AuthAnswer, Counts) {
    let reject = || AuthAnswer::Reject { methods: vec!["publickey".to_owned()] };
    let yes_if = |right| if right { AuthAnswer::Accept } else { reject() };
    let prompt = Prompt { text: "Password: ".to_owned(), echo: false };
    let prompts = Prompts { prompts: vec![prompt], ..Prompts::default() };
    let (name, answer) = match method {
        AuthMethod::None => ("none", reject()),
        AuthMethod::Password { password } => ("password", yes_if(*password == PASSWORD)),
        AuthMethod::PublicKeyQuery { .. } => ("key", AuthAnswer::PublicKeyOk),
        AuthMethod::PublicKey { signature: SignatureCheck::Invalid, .. } => {
            return ("wrong signature", AuthAnswer::Accept, Counts::No);
        }
        AuthMethod::PublicKey { .. } => ("signature", AuthAnswer::Accept),
        AuthMethod::KeyboardInteractive { .. } => ("prompts", AuthAnswer::Prompt(prompts)),
        AuthMethod::PromptAnswers { answers } => {
            ("answers", yes_if(answers.len() == 1 && *answers[0] == PASSWORD))
        }
        _ => ("other method", reject()),
    };
    (name, answer, Counts::Yes)
}
