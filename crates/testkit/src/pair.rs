//! Two connections, a link and a clock: a whole SSH session in memory, one thread, no sockets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use sterna_ssh_crypto::{KeyType, PrivateKey, SystemRandom};
use sterna_ssh_proto::{
    AuthAnswer, AuthMethod, ChannelId, ChannelRequest, ClientAuth, ClientConfig, Connection, Error,
    Event, InputBuffer, OutputBuffer, Prompt, Prompts, ServerConfig,
};

use crate::{Clock, Link, Seed};

/// Steps after which a pair that never comes to rest is taken to be in a loop.
const STEPS_MAX: usize = 2_000_000;

/// Data handed over in one step: small enough that limits bite between steps.
const WRITE_LEN_MAX: usize = 64 * 1024;

/// How both sides behave.
pub struct PairConfig {
    pub seed: u64,
    pub client: ClientConfig,
    pub server: ServerConfig,
    pub host_keys: Vec<PrivateKey>,
    pub to_server: Link,
    pub to_client: Link,
    /// The client's answer about the host key.
    pub trust_host_key: bool,
    /// What the client sends, and the only one that the server accepts.
    pub password: Vec<u8>,
}

impl PairConfig {
    /// An Ed25519 host key, user `alice`, a password that is right, a fast link.
    pub fn new(seed: u64) -> Self {
        let host_key = PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom)
            .expect("ed25519 keys can be made");
        let server = ServerConfig::new(vec![host_key.public().clone()]);
        Self {
            seed,
            client: ClientConfig::new(*b"alice"),
            server,
            host_keys: vec![host_key],
            to_server: Link::fast(),
            to_client: Link::fast(),
            trust_host_key: true,
            password: b"correct horse".to_vec(),
        }
    }
}

/// One side of a [`Pair`]: the connection and what has happened to it.
pub struct Side {
    pub connection: Connection,
    pub input: InputBuffer,
    pub output: OutputBuffer,
    /// Events in one word each, data apart.
    pub log: Vec<String>,
    /// Data received per channel.
    pub received: BTreeMap<ChannelId, Vec<u8>>,
    pub opened: Vec<ChannelId>,
    /// Why it ended, if it failed.
    pub error: Option<Error>,
    /// Received data is consumed at once; a test that wants a slow reader clears it.
    pub consumes: bool,
    outbox: BTreeMap<ChannelId, Outbox>,
    password: Vec<u8>,
    trust_host_key: bool,
    host_keys: Vec<PrivateKey>,
    logs_in: bool,
    thinks_about_host_key: bool,
}

/// Data of one channel that waits to be sent. What was sent stays in front until all is: taking it out each time
/// would move the rest of a hundred MiB by a packet.
#[derive(Default)]
struct Outbox {
    data: Vec<u8>,
    sent: usize,
}

impl Outbox {
    fn waiting(&self) -> &[u8] {
        &self.data[self.sent..]
    }

    fn has_sent(&mut self, len: usize) {
        self.sent += len;
        if self.sent == self.data.len() {
            self.data.clear();
            self.sent = 0;
        }
    }
}

/// Two sides and the link between them.
pub struct Pair {
    pub client: Side,
    pub server: Side,
    pub to_server: Link,
    pub to_client: Link,
    pub clock: Clock,
}

impl Pair {
    pub fn new(config: PairConfig) -> Self {
        Self::at(config, Clock::new())
    }

    /// With a clock of the caller's, for one side of it that talks to something else.
    pub fn at(config: PairConfig, clock: Clock) -> Self {
        let side = |connection, output, host_keys| Side {
            connection,
            input: InputBuffer::new(),
            output,
            log: Vec::new(),
            received: BTreeMap::new(),
            opened: Vec::new(),
            error: None,
            consumes: true,
            outbox: BTreeMap::new(),
            password: config.password.clone(),
            trust_host_key: config.trust_host_key,
            host_keys,
            logs_in: true,
            thinks_about_host_key: false,
        };
        let random = |salt: u64| Box::new(Seed::new(config.seed ^ salt));
        let mut output = OutputBuffer::new();
        let connection =
            Connection::client(Arc::new(config.client), random(1), clock.now(), &mut output);
        let client = side(connection, output, Vec::new());
        let mut output = OutputBuffer::new();
        let connection =
            Connection::server(Arc::new(config.server), random(2), clock.now(), &mut output);
        let server = side(connection, output, config.host_keys);
        Self { client, server, to_server: config.to_server, to_client: config.to_client, clock }
    }

    /// A pair that is logged in and has one session channel with a subsystem.
    pub fn connected(config: PairConfig) -> (Self, ChannelId) {
        let mut pair = Self::new(config);
        pair.run_until_idle();
        assert!(
            pair.client.connection.is_open(),
            "login failed: {:?} {:?}",
            pair.client.error,
            pair.server.error
        );
        let channel = pair.open_subsystem();
        (pair, channel)
    }

    /// Opens one more session channel and asks for `sftp` on it.
    pub fn open_subsystem(&mut self) -> ChannelId {
        let side = &mut self.client;
        let channel = side.connection.open_session(&mut side.output).expect("room for a channel");
        self.run_until_idle();
        let side = &mut self.client;
        side.connection.request_subsystem(channel, "sftp", &mut side.output);
        self.run_until_idle();
        channel
    }

    /// Lets bytes travel and timers that are *due* fire until nothing moves any more. Time moves
    /// only as far as bytes in flight need.
    pub fn run_until_idle(&mut self) {
        for _ in 0..STEPS_MAX {
            if self.step() {
                continue;
            }
            let arrivals = [self.to_server.next_arrival(), self.to_client.next_arrival()];
            let Some(next) = arrivals.into_iter().flatten().min() else { return };
            self.clock.advance_to(next);
        }
        panic!("the pair does not come to rest");
    }

    /// Lets virtual time run to the next timer of either side, then until idle.
    pub fn run_next_timer(&mut self) {
        let timers = [self.client.connection.next_timeout(), self.server.connection.next_timeout()];
        let next = timers.into_iter().flatten().min().expect("a timer is armed");
        self.clock.advance_to(next);
        self.run_until_idle();
    }

    fn step(&mut self) -> bool {
        let now = self.clock.now();
        let mut moved = false;
        if let Some(chunk) = self.to_server.receive(now) {
            self.server.feed(&chunk);
            moved = true;
        }
        if let Some(chunk) = self.to_client.receive(now) {
            self.client.feed(&chunk);
            moved = true;
        }
        moved |= self.client.run(now);
        moved |= self.server.run(now);
        moved |= self.client.flush(now, &mut self.to_server);
        moved |= self.server.flush(now, &mut self.to_client);
        moved
    }
}

impl Side {
    /// Queues data; it goes out as window and key exchanges allow.
    pub fn write(&mut self, channel: ChannelId, data: &[u8]) {
        self.outbox.entry(channel).or_default().data.extend_from_slice(data);
    }

    /// What this side takes for the password from now on.
    pub fn set_password(&mut self, password: &[u8]) {
        self.password = password.to_vec();
    }

    /// The client goes no further than the authentication service.
    pub fn stop_before_login(&mut self) {
        self.logs_in = false;
    }

    /// The question about the host key stays open; the test answers it.
    pub fn think_about_host_key(&mut self) {
        self.thinks_about_host_key = true;
    }

    /// Data queued and not sent yet.
    pub fn unsent(&self) -> usize {
        self.outbox.values().map(|outbox| outbox.waiting().len()).sum()
    }

    pub fn has(&self, event: &str) -> bool {
        self.log.iter().any(|entry| entry == event)
    }

    /// Bytes straight from the wire.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let space = self.input.space();
            let len = space.len().min(bytes.len());
            space[..len].copy_from_slice(&bytes[..len]);
            self.input.commit(len);
            bytes = &bytes[len..];
        }
    }

    fn flush(&mut self, now: Instant, link: &mut Link) -> bool {
        let has_output = !self.output.is_empty();
        while !self.output.is_empty() {
            let pending = self.output.pending();
            link.send(now, pending);
            let len = pending.len();
            self.output.consume(len);
        }
        has_output
    }

    /// Takes all events and sends what may go.
    pub fn run(&mut self, now: Instant) -> bool {
        if self.error.is_some() {
            return false;
        }
        let mut moved = false;
        if let Err(error) = self.run_events(now, &mut moved) {
            self.error = Some(error);
        }
        for (channel, outbox) in &mut self.outbox {
            let waiting = outbox.waiting();
            let portion = &waiting[..waiting.len().min(WRITE_LEN_MAX)];
            let sent = self.connection.send_data(*channel, &[portion], &mut self.output);
            outbox.has_sent(sent);
            moved |= sent > 0;
        }
        moved
    }

    fn run_events(&mut self, now: Instant, moved: &mut bool) -> Result<(), Error> {
        self.connection.handle_timeout(now, &mut self.output)?;
        while let Some(event) =
            self.connection.poll_event(now, &mut self.input, &mut self.output)?
        {
            *moved = true;
            let (connection, output) = (&mut self.connection, &mut self.output);
            let entry = match event {
                Event::Sign(request) => {
                    let key =
                        self.host_keys.iter().find(|k| k.public().to_wire() == request.key_blob);
                    let signature =
                        key.and_then(|k| k.sign(&request.algorithm, &request.data).ok());
                    connection.answer_signature(signature, now, output)?;
                    "sign".to_owned()
                }
                Event::AuthRequest(request) => {
                    let methods = || vec!["publickey".to_owned(), "password".to_owned()];
                    let answer = match &request.method {
                        AuthMethod::Password { password } if **password == self.password => {
                            AuthAnswer::Accept
                        }
                        AuthMethod::PublicKeyQuery { .. } => AuthAnswer::PublicKeyOk,
                        AuthMethod::PublicKey { .. } | AuthMethod::HostBased { .. } => {
                            AuthAnswer::Accept
                        }
                        AuthMethod::KeyboardInteractive { .. } => {
                            AuthAnswer::Prompt(password_prompt())
                        }
                        AuthMethod::PromptAnswers { answers } if *answers[0] == self.password => {
                            AuthAnswer::Accept
                        }
                        _ => AuthAnswer::Reject { methods: methods() },
                    };
                    connection.answer_auth(answer, now, output)?;
                    "auth-request".to_owned()
                }
                Event::HostKey(_) => {
                    if !self.thinks_about_host_key {
                        connection.answer_host_key(self.trust_host_key, now, output)?;
                    }
                    "host-key".to_owned()
                }
                Event::AuthTurn { can_continue, .. } => {
                    let attempt = if can_continue.is_empty() {
                        ClientAuth::None
                    } else {
                        ClientAuth::Password { password: self.password.clone().into() }
                    };
                    if self.logs_in {
                        connection.try_auth(attempt, output);
                    }
                    "auth-turn".to_owned()
                }
                Event::PublicKeyAccepted { .. } => "key-accepted".to_owned(),
                Event::Prompted(prompts) => {
                    let answers = vec![self.password.clone().into(); prompts.prompts.len()];
                    if self.logs_in {
                        connection.try_auth(ClientAuth::PromptAnswers { answers }, output);
                    }
                    format!("prompted {}", prompts.prompts.len())
                }
                Event::PasswordExpired { prompt } => format!("password-expired {prompt}"),
                Event::Banner(text) => format!("banner {text}"),
                Event::HostKeysAnnounced(keys) => {
                    connection.prove_host_keys(keys, output);
                    "host-keys-announced".to_owned()
                }
                Event::HostKeysProved(keys) => format!("host-keys-proved {}", keys.len()),
                Event::Authenticated { .. } => "authenticated".to_owned(),
                Event::ChannelOpened(channel) => {
                    self.opened.push(channel);
                    "opened".to_owned()
                }
                Event::ChannelOpenFailed { reason, .. } => format!("open-failed {reason}"),
                Event::ChannelRequest { channel, request } => match request {
                    ChannelRequest::Subsystem(_) | ChannelRequest::Exec(_) => {
                        connection.answer_request(channel, true, output);
                        "started".to_owned()
                    }
                    ChannelRequest::Shell => {
                        connection.answer_request(channel, false, output);
                        "shell".to_owned()
                    }
                    ChannelRequest::ExitStatus(code) => format!("exit-status {code}"),
                    other => format!("{other:?}"),
                },
                Event::ChannelRequestDone { accepted, .. } => format!("request-done {accepted}"),
                Event::ChannelData { channel, data } => {
                    self.received.entry(channel).or_default().extend_from_slice(data);
                    let len = data.len();
                    if self.consumes {
                        connection.consume(channel, len, output);
                    }
                    continue;
                }
                Event::ChannelStderr { .. } => "stderr".to_owned(),
                Event::ChannelEof(_) => "eof".to_owned(),
                Event::ChannelClosed(_) => "closed".to_owned(),
                Event::ChannelWritable(_) => continue,
                Event::Disconnected { reason, .. } => format!("disconnected {reason}"),
            };
            self.log.push(entry);
        }
        Ok(())
    }
}

/// What the server asks in keyboard-interactive.
fn password_prompt() -> Prompts {
    let prompt = Prompt { text: "Password: ".to_owned(), echo: false };
    Prompts { prompts: vec![prompt], ..Prompts::default() }
}
