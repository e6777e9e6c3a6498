//! One SSH connection: answers the core's questions, and runs what its channels ask for.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use sterna_identity::Progress;
use sterna_ssh_proto::{
    AuthAnswer, AuthMethod, AuthRequest, ChannelId, ChannelRequest, Error, Event, Reason,
    SignRequest,
};
use sterna_ssh_tokio::{Link, Service, Turns};
use tokio::time::{Sleep, sleep_until};

use crate::authenticate::{Account, Authenticator, InvalidUser, Judgement, Peer, StorageOf, judge};
use crate::channel::Channel;
use crate::command::Command;
use crate::host_keys::HostKeys;
use crate::io_pool::IoPool;
use crate::jobs::Jobs;
use crate::listening::ListenerRules;
use crate::login_delay::LoginDelay;
use crate::server_limits::LiveLimits;
use crate::sessions::{Session, Sessions, TooMany};
use crate::sftp::{Resources, SftpSession};
use crate::shutdown::{Phase, ShutdownWatch};

/// What all connections of a server share.
pub(crate) struct Shared {
    pub(crate) host_keys: HostKeys,
    pub(crate) authenticator: Arc<dyn Authenticator>,
    pub(crate) storage_of: Box<StorageOf>,
    /// Judges logins: few threads, each may hash a password.
    pub(crate) logins: IoPool,
    pub(crate) login_delay: LoginDelay,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) limits: Arc<LiveLimits>,
    /// Makes signatures that take long: RSA.
    pub(crate) signatures: IoPool,
    pub(crate) resources: Resources,
}

/// Tells the defence that the connection has logged in, when it is dropped.
pub(crate) type Unauthenticated = crate::defence::Admission;

/// The service above one connection.
pub(crate) struct ServerConnection {
    shared: Arc<Shared>,
    /// Of the listener that it came through.
    rules: Arc<ListenerRules>,
    source: SocketAddr,
    logins: Jobs<Judgement>,
    signatures: Jobs<Option<Vec<u8>>>,
    /// What was proven so far; away while an attempt is judged.
    progress: Option<Progress>,
    attempt: Option<Attempt>,
    /// A refusal that waits until it is time to say it.
    refusal: Option<(AuthAnswer, Pin<Box<Sleep>>)>,
    account: Option<Account>,
    /// How others can end this session; from login on.
    session: Option<Session>,
    connected: Instant,
    unauthenticated: Option<Unauthenticated>,
    channels: BTreeMap<ChannelId, Channel>,
    turns: Turns,
    shutdown: ShutdownWatch,
}

/// The attempt that is judged.
struct Attempt {
    user: Vec<u8>,
    began: Instant,
    /// Every method but `none`, which guesses nothing.
    may_guess: bool,
}

impl ServerConnection {
    pub(crate) fn new(
        shared: Arc<Shared>,
        rules: Arc<ListenerRules>,
        source: SocketAddr,
        unauthenticated: Unauthenticated,
        shutdown: ShutdownWatch,
    ) -> Self {
        Self {
            logins: Jobs::new(shared.logins.clone()),
            signatures: Jobs::new(shared.signatures.clone()),
            shared,
            rules,
            source,
            progress: Some(Progress::default()),
            attempt: None,
            refusal: None,
            account: None,
            session: None,
            connected: Instant::now(),
            unauthenticated: Some(unauthenticated),
            channels: BTreeMap::new(),
            turns: Turns::default(),
            shutdown,
        }
    }

    /// The user, once logged in; for the log.
    pub(crate) fn user(&self) -> Option<&str> {
        self.account.as_ref().map(|account| account.user.name.as_str())
    }

    fn start_login(&mut self, request: AuthRequest, link: &mut Link<'_>) -> Result<(), Error> {
        let Some(progress) = self.progress.take() else {
            // The core asks one question at a time.
            let none = AuthAnswer::Reject { methods: Vec::new() };
            return link.connection.answer_auth(none, link.now, link.output);
        };
        self.attempt = Some(Attempt {
            user: request.user.clone(),
            began: link.now,
            may_guess: !matches!(request.method, AuthMethod::None),
        });
        let shared = Arc::clone(&self.shared);
        let peer = Peer {
            source: self.source,
            version: link.connection.peer_software().to_vec(),
            connected: self.connected.elapsed(),
            rules: Arc::clone(&self.rules),
        };
        self.logins.start(0, move |_| {
            let authenticator = &*shared.authenticator;
            judge(authenticator, &*shared.storage_of, progress, &request, &peer)
        });
        Ok(())
    }

    fn finish_login(
        &mut self,
        judgement: Option<Judgement>,
        link: &mut Link<'_>,
    ) -> Result<(), Error> {
        // A judgement that panicked is a refusal; what was proven before is forgotten.
        let mut judgement = judgement.unwrap_or_else(Judgement::refusal);
        if let Some(account) = &judgement.account {
            let max =
                account.user.sessions_max.unwrap_or(self.shared.limits.now().sessions_per_user);
            match self.shared.sessions.enter(Arc::clone(&account.user), max) {
                Ok(session) => self.session = Some(session),
                Err(TooMany) => {
                    let (user, source) = (&account.user.name, self.source);
                    tracing::info!(user, %source, max, "login refused: too many sessions of this user");
                    // The login was right: nobody is to be penalised for it.
                    self.unauthenticated = None;
                    let why = "too many sessions of this user; try again later";
                    link.connection.disconnect(Reason::TooManyConnections, why, link.output);
                    return Ok(());
                }
            }
            // From here on a reload ends the session; one that came since it was judged did not see it.
            if !self.shared.authenticator.may_stay(&account.user) {
                let (user, source) = (&account.user.name, self.source);
                tracing::info!(user, %source, "login refused: the account was taken away meanwhile");
                self.session = None;
                judgement = Judgement::refusal();
            }
        }
        self.progress = Some(judgement.progress);
        self.account = judgement.account;
        if let (Some(InvalidUser(invalid)), Some(admission)) =
            (judgement.failed, &self.unauthenticated)
        {
            admission.login_failed(invalid);
        }
        match (judgement.answer, self.attempt.take()) {
            (answer @ AuthAnswer::Reject { .. }, Some(attempt)) if attempt.may_guess => {
                let due = self.shared.login_delay.due(&attempt.user, attempt.began, Instant::now());
                self.refusal = Some((answer, Box::pin(sleep_until(due.into()))));
                Ok(())
            }
            (answer, _) => link.connection.answer_auth(answer, link.now, link.output),
        }
    }

    /// Says a refusal when its time has come. The task sleeps meanwhile and others go on.
    fn poll_refusal(&mut self, cx: &mut Context<'_>, link: &mut Link<'_>) -> Result<(), Error> {
        match self.refusal.take() {
            Some((answer, mut sleep)) => match sleep.as_mut().poll(cx) {
                Poll::Ready(()) => link.connection.answer_auth(answer, link.now, link.output),
                Poll::Pending => {
                    self.refusal = Some((answer, sleep));
                    Ok(())
                }
            },
            None => Ok(()),
        }
    }

    /// Signs with a host key: at once if that is quick, else on another thread.
    fn start_signature(&mut self, request: SignRequest, link: &mut Link<'_>) -> Result<(), Error> {
        let slow = HostKeys::is_slow(&request.algorithm);
        let shared = Arc::clone(&self.shared);
        let sign =
            move || shared.host_keys.sign(&request.key_blob, &request.algorithm, &request.data);
        if slow {
            self.signatures.start(0, move |_| sign());
            return Ok(());
        }
        link.connection.answer_signature(sign(), link.now, link.output)
    }

    fn handle_request(&mut self, id: ChannelId, request: ChannelRequest, link: &mut Link<'_>) {
        let asks = matches!(
            request,
            ChannelRequest::Subsystem(_) | ChannelRequest::Exec(_) | ChannelRequest::Shell
        );
        let started = match (self.channels.get(&id), &self.account) {
            (Some(Channel::Fresh), Some(account)) => self.start(account, request),
            _ => None,
        };
        if asks {
            link.connection.answer_request(id, started.is_some(), link.output);
        }
        if let Some(program) = started {
            self.channels.insert(id, program);
        }
    }

    /// The program that a request asks for, if we have it.
    fn start(&self, account: &Account, request: ChannelRequest) -> Option<Channel> {
        let (backend, resources) = (Arc::clone(&account.backend), &self.shared.resources);
        let sftp = |backend| {
            let session = SftpSession::new(backend, account.policy.clone(), resources);
            Some(Channel::Sftp(Box::new(session)))
        };
        match request {
            ChannelRequest::Subsystem(name) if name == b"sftp" => sftp(backend),
            // As if the client had asked for what its key or certificate forces (CRT-4).
            ChannelRequest::Exec(_) | ChannelRequest::Shell if account.sftp_only => sftp(backend),
            ChannelRequest::Exec(line) => {
                tracing::info!(
                    user = %account.user.name, source = %self.source,
                    command = %line[..line.len().min(200)].escape_ascii(), "command"
                );
                let command = Command::exec(&line, backend, &account.policy, resources);
                Some(Channel::Command(Box::new(command)))
            }
            ChannelRequest::Shell => Some(Channel::Command(Box::new(Command::no_shell(resources)))),
            _ => None,
        }
    }
}

impl Service for ServerConnection {
    fn release(&mut self) {
        self.logins.release();
        self.signatures.release();
        self.channels.values_mut().for_each(Channel::release);
    }

    fn handle_event(&mut self, event: Event<'_>, link: &mut Link<'_>) -> Result<(), Error> {
        match event {
            Event::Sign(request) => return self.start_signature(request, link),
            Event::AuthRequest(request) => return self.start_login(request, link),
            Event::Authenticated { .. } => {
                self.unauthenticated = None;
                self.logins.release();
            }
            Event::ChannelOpened(id) => {
                let in_use = self.channels.values().filter(|c| !matches!(c, Channel::Over)).count();
                if in_use < self.shared.limits.now().channels {
                    self.channels.insert(id, Channel::Fresh);
                } else {
                    link.connection.close(id, link.output);
                    self.channels.insert(id, Channel::Over);
                }
            }
            Event::ChannelRequest { channel, request } => {
                self.handle_request(channel, request, link);
            }
            Event::ChannelData { channel, data } => match self.channels.get_mut(&channel) {
                Some(program) => program.handle_data(channel, data, link),
                None => link.connection.consume(channel, data.len(), link.output),
            },
            Event::ChannelEof(id) => {
                if let Some(program) = self.channels.get_mut(&id) {
                    program.handle_eof(id, link);
                }
            }
            Event::ChannelClosed(id) => {
                self.channels.remove(&id);
            }
            Event::Disconnected { reason, text } => {
                let text = text.escape_debug();
                tracing::debug!(source = %self.source, reason, %text, "client disconnected");
            }
            // A client has no standard error, room to send is used by `poll`, and the rest is for
            // clients.
            _ => {}
        }
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>, link: &mut Link<'_>) -> Result<(), Error> {
        self.logins.register(cx.waker());
        while let Some((_, judgement)) = self.logins.take_done() {
            self.finish_login(judgement, link)?;
        }
        self.poll_refusal(cx, link)?;
        self.signatures.register(cx.waker());
        while let Some((_, signature)) = self.signatures.take_done() {
            link.connection.answer_signature(signature.flatten(), link.now, link.output)?;
        }
        self.turns.serve_each(&mut self.channels, |id, program| program.poll(id, cx, link));
        let leaves = match self.shutdown.poll(cx) {
            Phase::Serving => false,
            Phase::Finishing => {
                self.progress.is_some() && self.channels.values().all(Channel::is_idle)
            }
            Phase::Ending => true,
        };
        if self.session.as_ref().is_some_and(|session| session.poll_end(cx)) {
            let why = "the account may not be used any more";
            link.connection.disconnect(Reason::ByApplication, why, link.output);
        } else if leaves {
            link.connection.disconnect(Reason::ByApplication, "server is stopping", link.output);
        }
        Ok(())
    }
}
