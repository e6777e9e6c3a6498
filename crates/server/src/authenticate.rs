//! The core's login questions to `identity` and back: judged on threads of their own, since a
//! password hash takes long on purpose.

use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sterna_audit::{Audit, Record};
use sterna_identity::{
    Attempt, Credential, Decision, Directory, HostClaim, Login, Method, Progress, Reason, Refusal,
    Signature, Trace, User, World, authenticate,
};
use sterna_sftp_proto::messages::Symlink;
use sterna_ssh_proto::{AuthAnswer, AuthMethod, AuthRequest, Prompt, Prompts, SignatureCheck};
use sterna_storage::Backend;

use crate::listening::ListenerRules;
use crate::observe::{LoginFacts, Metrics, login_refused};
use crate::sessions::Sessions;
use crate::sftp::SessionPolicy;
use crate::world::SystemWorld;

/// Where a user's files are and what is allowed there. Called once per login, where blocking does
/// no harm.
pub type StorageOf =
    dyn Fn(&User) -> Result<(Arc<dyn Backend>, SessionPolicy), sterna_storage::Error> + Send + Sync;

/// Judges login attempts. [`Users`] is the usual one; an application may bring its own.
pub trait Authenticator: Send + Sync + 'static {
    /// Judges one attempt. May block.
    fn authenticate(&self, progress: &mut Progress, attempt: &Attempt<'_>) -> Decision;

    /// Whether a user who was let in may be here now. Asked once more when the session is among
    /// [`sessions`](Self::sessions): the rules may have changed since the attempt was judged. Must not
    /// block.
    fn may_stay(&self, _user: &User) -> bool {
        true
    }

    /// Where the sessions of those who logged in are to be kept.
    fn sessions(&self) -> Arc<Sessions> {
        Arc::default()
    }
}

/// The users of a [`Directory`] that can be replaced while the server runs.
pub struct Users {
    directory: RwLock<Arc<Directory>>,
    world: Box<dyn World>,
    sessions: Arc<Sessions>,
}

impl Users {
    /// Without a state directory: see [`SystemWorld::new`].
    pub fn new(directory: Directory) -> Self {
        Self::with_world(directory, SystemWorld::new())
    }

    /// Judged in this world.
    pub fn with_world(directory: Directory, world: impl World + 'static) -> Self {
        Self {
            directory: RwLock::new(Arc::new(directory)),
            world: Box::new(world),
            sessions: Arc::default(),
        }
    }

    /// From now on these users and rules, and no others. Sessions go on, but for those of users that
    /// are gone or disabled; returns how many of these were told to end.
    pub fn replace(&self, directory: Directory) -> usize {
        let new = Arc::new(directory);
        *self.directory.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&new);
        self.sessions.end_unless(|user| may_stay(&new, user))
    }

    /// The users of this moment.
    pub fn directory(&self) -> Arc<Directory> {
        Arc::clone(&self.directory.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Authenticator for Users {
    fn authenticate(&self, progress: &mut Progress, attempt: &Attempt<'_>) -> Decision {
        authenticate(&self.directory(), &*self.world, progress, attempt, &mut Trace::off())
    }

    fn may_stay(&self, user: &User) -> bool {
        may_stay(&self.directory(), user)
    }

    fn sessions(&self) -> Arc<Sessions> {
        Arc::clone(&self.sessions)
    }
}

/// Whether sessions of `user` go on under these users and rules.
fn may_stay(directory: &Directory, user: &User) -> bool {
    match directory.user(user.name.as_bytes()) {
        Some(now) => now.enabled,
        // Who is known outside is not in the settings, and does not leave with them.
        None => user.is_external,
    }
}

impl<A: Authenticator> Authenticator for Arc<A> {
    fn authenticate(&self, progress: &mut Progress, attempt: &Attempt<'_>) -> Decision {
        (**self).authenticate(progress, attempt)
    }

    fn may_stay(&self, user: &User) -> bool {
        (**self).may_stay(user)
    }

    fn sessions(&self) -> Arc<Sessions> {
        (**self).sessions()
    }
}

/// Who logged in, with what the session needs.
pub(crate) struct Account {
    pub(crate) user: Arc<User>,
    pub(crate) backend: Arc<dyn Backend>,
    pub(crate) policy: SessionPolicy,
    /// The key or certificate forces SFTP whatever is asked for.
    pub(crate) sftp_only: bool,
    pub(crate) facts: LoginFacts,
}

/// One attempt on its way through the pool.
pub(crate) struct Judgement {
    pub(crate) progress: Progress,
    pub(crate) answer: AuthAnswer,
    pub(crate) account: Option<Account>,
    /// The attempt was a guess, and wrong: whether even the name was.
    pub(crate) failed: Option<InvalidUser>,
}

impl Judgement {
    /// Nothing is proven and nothing is offered.
    pub(crate) fn refusal() -> Self {
        Self {
            progress: Progress::default(),
            answer: AuthAnswer::Reject { methods: Vec::new() },
            account: None,
            failed: None,
        }
    }
}

/// Whether nobody has the name that was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidUser(pub(crate) bool);

/// Where an attempt comes from, for rules and logs.
pub(crate) struct Peer {
    pub(crate) source: SocketAddr,
    /// Its version line, unproven.
    pub(crate) version: Vec<u8>,
    /// Since it connected.
    pub(crate) connected: Duration,
    /// Of the listener that it came through.
    pub(crate) rules: Arc<ListenerRules>,
    /// The connection's name in the audit log.
    pub(crate) id: Arc<str>,
    pub(crate) audit: Option<Audit>,
    pub(crate) metrics: Option<Arc<Metrics>>,
}

/// Judges `request`, logs the outcome, and opens the user's storage after the last step.
pub(crate) fn judge(
    authenticator: &dyn Authenticator,
    storage_of: &StorageOf,
    mut progress: Progress,
    request: &AuthRequest,
    peer: &Peer,
) -> Judgement {
    let credential = credential_of(&request.method);
    let attempt = Attempt {
        user: &request.user,
        credential,
        source: peer.source.ip().to_canonical(),
        client_version: &peer.version,
        groups: peer.rules.groups.as_deref(),
        now: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    };
    let decision = authenticator.authenticate(&mut progress, &attempt);

    let (user, source) = (request.user.escape_ascii(), peer.source);
    let mut failed = None;
    let (answer, account) = match decision {
        Decision::Accept(login) => accept(storage_of, &login, peer),
        Decision::KeyOk => (AuthAnswer::PublicKeyOk, None),
        Decision::Continue { proof, methods } => {
            let methods = names(&methods);
            tracing::info!(%user, %source, %proof, next = methods.join(","), "login step passed");
            (AuthAnswer::Partial { methods }, None)
        }
        Decision::Ask(prompts) => {
            let prompt = |(text, echo)| Prompt { text, echo };
            let prompts = Prompts {
                name: String::new(),
                instruction: prompts.instruction,
                prompts: prompts.prompts.into_iter().map(prompt).collect(),
            };
            (AuthAnswer::Prompt(prompts), None)
        }
        Decision::ChangePassword { prompt } => (AuthAnswer::ChangePassword { prompt }, None),
        Decision::Reject { refusal, methods } => {
            log_refusal(&request.user, peer, &attempt.credential, &refusal);
            if is_guess(&credential) {
                failed = Some(InvalidUser(refusal.reason == Reason::UnknownUser));
            }
            (AuthAnswer::Reject { methods: names(&methods) }, None)
        }
    };
    Judgement { progress, answer, account, failed }
}

/// Opens the user's storage, as far as the proofs of the login leave it.
fn accept(storage_of: &StorageOf, login: &Login, peer: &Peer) -> (AuthAnswer, Option<Account>) {
    let (user, source) = (&login.user.name, peer.source);
    let (backend, mut policy) = match storage_of(&login.user) {
        Ok(storage) => storage,
        Err(error) => {
            tracing::error!(user, %source, %error, "login refused: no storage");
            if let Some(audit) = &peer.audit {
                let record = Record::new("login-refused").session(Arc::clone(&peer.id));
                let record = record.user(user.as_bytes()).source(source).rule("user.root");
                audit.record(record.result(format!("no storage: {error}")));
            }
            return (AuthAnswer::Reject { methods: Vec::new() }, None);
        }
    };
    policy.draft_symlinks |= Symlink::is_in_draft_order_for(&peer.version);
    policy.read_only |= login.restrictions.read_only || peer.rules.read_only;
    policy.umask = login.restrictions.umask.or(policy.umask);
    if let Some(dir) = &login.restrictions.start_dir {
        // Relative to the user's root, and never above it.
        policy.start_dir =
            if dir.starts_with(b"/") { dir.clone() } else { [b"/", &dir[..]].concat() };
    }
    let proofs: Vec<String> = login.proofs.iter().map(ToString::to_string).collect();
    tracing::info!(
        user, %source, by = proofs.join(", "), client = %peer.version.escape_ascii(),
        read_only = policy.read_only, after_ms = peer.connected.as_millis() as u64, "logged in"
    );
    let facts = LoginFacts {
        proofs,
        client: peer.version.clone(),
        read_only: policy.read_only,
        root: login.user.root.as_os_str().as_encoded_bytes().to_vec(),
    };
    let account = Account {
        user: Arc::clone(&login.user),
        facts,
        backend,
        policy,
        sftp_only: login.restrictions.sftp_only,
    };
    (AuthAnswer::Accept, Some(account))
}

fn log_refusal(user: &[u8], peer: &Peer, credential: &Credential<'_>, refusal: &Refusal) {
    // Every client asks with nothing first.
    if refusal.reason == Reason::NothingOffered {
        return;
    }
    if let Some(metrics) = &peer.metrics {
        metrics.login_refused(refusal.reason);
    }
    if let Some(audit) = &peer.audit {
        let method = method_of(credential);
        login_refused(audit, &peer.id, user, peer.source, method, refusal, &peer.version);
    }
    let (user, source, rule) = (user.escape_ascii(), peer.source, refusal.reason.rule());
    tracing::info!(
        %user, %source, ?credential, rule, reason = %refusal,
        client = %peer.version.escape_ascii(), after_ms = peer.connected.as_millis() as u64,
        "login refused"
    );
}

/// Whether a wrong attempt of this kind tries to guess something.
fn is_guess(credential: &Credential<'_>) -> bool {
    !matches!(
        credential,
        Credential::None | Credential::PublicKeyQuery(_) | Credential::KeyboardInteractive
    )
}

/// The method's name on the wire; a query about a key is not yet an attempt.
fn method_of(credential: &Credential<'_>) -> &'static str {
    match credential {
        Credential::None => "none",
        Credential::Password(_) | Credential::PasswordChange { .. } => "password",
        Credential::PublicKeyQuery(_) => "publickey query",
        Credential::PublicKey { .. } => "publickey",
        Credential::HostBased(_) => "hostbased",
        Credential::KeyboardInteractive | Credential::Answers(_) => "keyboard-interactive",
        Credential::Other(_) => "other",
    }
}

fn credential_of(method: &AuthMethod) -> Credential<'_> {
    match method {
        AuthMethod::None => Credential::None,
        AuthMethod::Password { password } => Credential::Password(password),
        AuthMethod::PasswordChange { old, new } => Credential::PasswordChange { old, new },
        AuthMethod::PublicKeyQuery { key, .. } => Credential::PublicKeyQuery(key),
        AuthMethod::PublicKey { key, signature, .. } => {
            let signature = match signature {
                SignatureCheck::Invalid => Signature::Invalid,
                SignatureCheck::Valid => Signature::Valid,
                SignatureCheck::ValidByToken(token) => Signature::ByToken(*token),
            };
            Credential::PublicKey { key, signature }
        }
        AuthMethod::HostBased { key, client_host, client_user, signature_valid, .. } => {
            Credential::HostBased(HostClaim {
                key,
                client_host,
                client_user,
                signature_valid: *signature_valid,
            })
        }
        AuthMethod::KeyboardInteractive { .. } => Credential::KeyboardInteractive,
        AuthMethod::PromptAnswers { answers } => Credential::Answers(answers),
        AuthMethod::Other { name } => Credential::Other(name.as_bytes()),
        _ => Credential::Other(b"unknown"),
    }
}

fn names(methods: &[Method]) -> Vec<String> {
    methods.iter().map(|method| method.name().to_owned()).collect()
}
