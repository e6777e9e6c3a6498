//! One SSH connection: answers the core's questions, and runs what its channels ask for.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use sterna_audit::Audit;
use sterna_identity::Progress;
use sterna_ssh_crypto::SystemRandom;
use sterna_ssh_proto::{
    AuthAnswer, AuthMethod, AuthRequest, ChannelId, ChannelRequest, Error, Event, Reason,
    SignRequest,
};
use sterna_ssh_tokio::{Link, Service, Turns, now};
use tokio::time::{Sleep, sleep_until};

use crate::authenticate::{Account, Authenticator, InvalidUser, Judgement, Peer, StorageOf, judge};
use crate::channel::Channel;
use crate::command::Command;
use crate::host_keys::HostKeys;
use crate::io_pool::IoPool;
use crate::jobs::Jobs;
use crate::listening::ListenerRules;
use crate::login_delay::LoginDelay;
use crate::observe::{Cause, LoginFacts, Metrics, Observer, random_id};
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
    pub(crate) audit: Option<Audit>,
    pub(crate) metrics: Option<Arc<Metrics>>,
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
    /// Its name in logs and lists.
    id: Arc<str>,
    /// How others can see and end this session; from login on.
    session: Option<Session>,
    /// The client has sent something since the last poll.
    was_active: bool,
    /// Why the session ended.
    ended: Option<Box<str>>,
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

/// Why a login that was right makes no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoEntry {
    TooMany,
    AccountGone,
    NoAudit,
}

impl NoEntry {
    fn why(self) -> &'static str {
        match self {
            Self::TooMany => "too many sessions of this user",
            Self::AccountGone => "the account was taken away meanwhile",
            Self::NoAudit => "the audit log cannot be written",
        }
    }
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
            id: random_id(&mut SystemRandom),
            session: None,
            was_active: false,
            ended: None,
            connected: now(),
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
            connected: now() - self.connected,
            rules: Arc::clone(&self.rules),
            id: Arc::clone(&self.id),
            audit: self.shared.audit.clone(),
            metrics: self.shared.metrics.clone(),
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
        if let Some(attempt) = &self.attempt {
            note_crypto(self.shared.metrics.as_deref(), attempt.began, link.now);
        }
        // A judgement that panicked is a refusal; what was proven before is forgotten.
        let mut judgement = judgement.unwrap_or_else(Judgement::refusal);
        match judgement.account.take() {
            Some((account, facts)) => match self.enter(&account, facts) {
                Ok(()) => self.account = Some(account),
                Err(refusal) => {
                    let (user, source) = (&account.user.name, self.source);
                    tracing::info!(user, %source, "login refused: {}", refusal.why());
                    if refusal == NoEntry::TooMany {
                        // The login was right: nobody is to be penalised for it.
                        self.unauthenticated = None;
                        let why = "too many sessions of this user; try again later";
                        link.connection.disconnect(Reason::TooManyConnections, why, link.output);
                        return Ok(());
                    }
                    judgement = Judgement::refusal();
                }
            },
            None => self.account = None,
        }
        self.progress = Some(judgement.progress);
        if let (Some(InvalidUser(invalid)), Some(admission)) =
            (judgement.failed, &self.unauthenticated)
        {
            admission.login_failed(invalid);
        }
        match (judgement.answer, self.attempt.take()) {
            (answer @ AuthAnswer::Reject { .. }, Some(attempt)) if attempt.may_guess => {
                let due = self.shared.login_delay.due(&attempt.user, attempt.began, now());
                self.refusal = Some((answer, Box::pin(sleep_until(due.into()))));
                Ok(())
            }
            (answer, _) => link.connection.answer_auth(answer, link.now, link.output),
        }
    }

    /// Makes a session of the connection, unless something has changed since the login was judged.
    fn enter(&mut self, account: &Account, facts: LoginFacts) -> Result<(), NoEntry> {
        let (id, user) = (Arc::clone(&self.id), &account.user);
        let audit = self.shared.audit.clone();
        let metrics = self.shared.metrics.clone();
        let observer = Observer::new(id, Arc::clone(user), self.source, facts, audit, metrics);
        let observer = Arc::new(observer);
        let limits = self.shared.limits.now();
        let max = user.sessions_max.unwrap_or(limits.sessions_per_user);
        let session = self.shared.sessions.enter(Arc::clone(user), Arc::clone(&observer), max);
        let Ok(session) = session.inspect_err(|TooMany| {
            observer.refused("login", "limits.sessions_per_user", None);
        }) else {
            return Err(NoEntry::TooMany);
        };
        // From here on a reload ends the session; one that came since it was judged did not see it.
        if !self.shared.authenticator.may_stay(user) {
            return Err(NoEntry::AccountGone);
        }
        // The same with an audit log that fails.
        if observer.is_stopped() {
            return Err(NoEntry::NoAudit);
        }
        observer.logged_in();
        self.session = Some(session);
        Ok(())
    }

    /// The connection is over; for the record of the session.
    pub(crate) fn note_end(&mut self, why: String) {
        self.ended.get_or_insert(why.into());
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
            let (metrics, since) = (self.shared.metrics.clone(), link.now);
            self.signatures.start(0, move |_| {
                let signature = sign();
                note_crypto(metrics.as_deref(), since, now());
                signature
            });
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
            (Some(Channel::Fresh), Some(account)) => self.start(account, request, link.now),
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
    fn start(&self, account: &Account, request: ChannelRequest, now: Instant) -> Option<Channel> {
        let (backend, resources) = (Arc::clone(&account.backend), &self.shared.resources);
        let sftp = |backend| {
            let mut session = SftpSession::new(backend, account.policy.clone(), resources);
            if let Some(open) = &self.session {
                session = session.observed_by(Arc::clone(open.observer()), now);
            }
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
                let observer = self.session.as_ref().map(Session::observer);
                if let Some((observer, record)) =
                    observer.and_then(|observer| Some((observer, observer.new_record("exec")?)))
                {
                    observer.record(record.with("command", &line[..]));
                }
                let command = Command::exec(&line, backend, &account.policy, resources);
                Some(Channel::Command(Box::new(command)))
            }
            ChannelRequest::Shell => Some(Channel::Command(Box::new(Command::no_shell(resources)))),
            _ => None,
        }
    }
}

/// A connection waited for a judgement or a signature.
fn note_crypto(metrics: Option<&Metrics>, since: Instant, now: Instant) {
    if let Some(metrics) = metrics {
        metrics.waited(Cause::Crypto, now.saturating_duration_since(since));
    }
}

impl Drop for ServerConnection {
    /// The last record of a session, behind those of what it had open.
    fn drop(&mut self) {
        self.channels.clear();
        if let Some(session) = self.session.take() {
            let observer = Arc::clone(session.observer());
            observer.logged_out(self.ended.as_deref().unwrap_or("cut by the server"));
            drop(session);
            observer.leave();
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
            Event::ChannelData { channel, data } => {
                self.was_active = true;
                match self.channels.get_mut(&channel) {
                    Some(program) => program.handle_data(channel, data, link),
                    None => link.connection.consume(channel, data.len(), link.output),
                }
            }
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
        if std::mem::take(&mut self.was_active)
            && let Some(session) = &self.session
        {
            session.observer().touch(link.now);
        }
        self.turns.serve_each(&mut self.channels, |id, program| program.poll(id, cx, link));
        let leaves = match self.shutdown.poll(cx) {
            Phase::Serving => false,
            Phase::Finishing => {
                self.progress.is_some() && self.channels.values().all(Channel::is_idle)
            }
            Phase::Ending => true,
        };
        if let Some(why) = self.session.as_ref().and_then(|session| session.poll_end(cx)) {
            link.connection.disconnect(Reason::ByApplication, why, link.output);
            self.ended.get_or_insert_with(|| why.into());
        } else if leaves {
            self.ended.get_or_insert_with(|| "server is stopping".into());
            link.connection.disconnect(Reason::ByApplication, "server is stopping", link.output);
        }
        Ok(())
    }
}
