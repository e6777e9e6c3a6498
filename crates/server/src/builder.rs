//! From settings to a listening server.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use sterna_audit::Audit;
use sterna_identity::{Directory, User};
use sterna_ssh_crypto::SystemRandom;
use sterna_ssh_proto::ServerConfig;
use sterna_storage::{Backend, Error as StorageError};

use crate::authenticate::{Authenticator, StorageOf, Users};
use crate::banner::Banner;
use crate::connection::Shared;
use crate::defence::{Defence, DefenceSettings};
use crate::host_keys::{HostKeyError, HostKeys};
use crate::io_pool::IoPool;
use crate::listener::Server;
use crate::listening::{ListenAt, ListenerRules, Listening, socket_for};
use crate::login_delay::LoginDelay;
use crate::roots::Roots;
use crate::server_limits::LiveLimits;
use crate::sftp::{Resources, SessionPolicy};

/// Threads that judge logins. They mostly wait: for programs outside, for names of hosts, and for
/// their turn to hash a password (`world.rs`).
const LOGIN_THREADS_MAX: usize = 32;

/// Puts a [`Server`] together. Host keys and an authenticator are needed; the rest has defaults.
pub struct Builder {
    listen: Vec<ListenAt>,
    inherited: Vec<std::net::TcpListener>,
    streams: Option<Arc<ListenerRules>>,
    host_keys: Option<HostKeys>,
    authenticator: Option<Arc<dyn Authenticator>>,
    storage_of: Box<StorageOf>,
    resources: Option<Resources>,
    limits: Arc<LiveLimits>,
    defence: Option<Arc<Defence>>,
    login_grace: Option<Duration>,
    banner: Banner,
    audit: Option<Audit>,
    metrics: bool,
    logins: Option<IoPool>,
    login_delay: Option<LoginDelay>,
    configure: Vec<Configure>,
}

/// A change of what the SSH layer offers.
type Configure = Box<dyn FnOnce(&mut ServerConfig)>;

/// Why a server could not be put together.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// No host key, no authenticator or no address to listen on: said by name.
    Missing(&'static str),
    HostKey(HostKeyError),
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    /// A listening socket cannot be copied.
    Socket(io::Error),
}

impl std::fmt::Display for BuildError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Missing(what) => write!(f, "the server needs {what}"),
            Self::HostKey(error) => error.fmt(f),
            Self::Socket(error) => write!(f, "listening sockets: {error}"),
            Self::Listen { address, source } => write!(f, "listen on {address}: {source}"),
        }
    }
}

impl std::error::Error for BuildError {}

impl From<HostKeyError> for BuildError {
    fn from(error: HostKeyError) -> Self {
        Self::HostKey(error)
    }
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            inherited: Vec::new(),
            streams: None,
            host_keys: None,
            authenticator: None,
            storage_of: Box::new(local_roots()),
            resources: None,
            limits: Arc::default(),
            defence: None,
            login_grace: None,
            banner: Banner::default(),
            audit: None,
            metrics: false,
            logins: None,
            login_delay: None,
            configure: Vec::new(),
        }
    }
}

/// The directory that a user's record names, as `/`.
fn local_roots()
-> impl Fn(&User) -> Result<(Arc<dyn Backend>, SessionPolicy), StorageError> + Send + Sync {
    let roots = Roots::new();
    move |user| Ok((roots.open(user)?, SessionPolicy::of_user(user)))
}

impl Builder {
    /// One more address to listen on; port 0 is chosen by the system.
    #[must_use]
    pub fn listen(self, address: SocketAddr) -> Self {
        self.listen_at(address.into())
    }

    /// One more address to listen on, with rules of its own.
    #[must_use]
    pub fn listen_at(mut self, at: ListenAt) -> Self {
        self.listen.push(at);
        self
    }

    /// Sockets that listen already, from a predecessor or a service manager: they are used where the
    /// address is theirs, and those of other addresses are closed.
    #[must_use]
    pub fn inherited(mut self, sockets: Vec<std::net::TcpListener>) -> Self {
        self.inherited = sockets;
        self
    }

    /// The application brings connections itself, through [`Server::door`]: these rules hold for them. Then there need
    /// be no address to listen on.
    #[must_use]
    pub fn streams(mut self, rules: Arc<ListenerRules>) -> Self {
        self.streams = Some(rules);
        self
    }

    #[must_use]
    pub fn host_keys(mut self, keys: HostKeys) -> Self {
        self.host_keys = Some(keys);
        self
    }

    /// Host keys from this directory; missing ones are made.
    ///
    /// # Errors
    /// As [`HostKeys::in_dir`].
    pub fn state_dir(self, dir: impl AsRef<Path>) -> Result<Self, BuildError> {
        Ok(self.host_keys(HostKeys::in_dir(dir.as_ref())?))
    }

    /// These users may log in. To change them while the server runs, keep an `Arc<Users>` and give
    /// it to [`Builder::authenticator`].
    #[must_use]
    pub fn users(self, directory: Directory) -> Self {
        self.authenticator(Users::new(directory))
    }

    #[must_use]
    pub fn authenticator(mut self, authenticator: impl Authenticator) -> Self {
        self.authenticator = Some(Arc::new(authenticator));
        self
    }

    /// What each user sees as `/`, and the rules there. Without it: the directory of the user's
    /// record.
    #[must_use]
    pub fn storage<F>(mut self, storage_of: F) -> Self
    where
        F: Fn(&User) -> Result<(Arc<dyn Backend>, SessionPolicy), StorageError>
            + Send
            + Sync
            + 'static,
    {
        self.storage_of = Box::new(storage_of);
        self
    }

    /// Pools that are shared with other servers of the process.
    #[must_use]
    pub fn resources(mut self, resources: Resources) -> Self {
        self.resources = Some(resources);
        self
    }

    /// Where logins are judged and slow signatures made, in place of threads of the server's own.
    #[must_use]
    pub fn logins(mut self, pool: IoPool) -> Self {
        self.logins = Some(pool);
        self
    }

    /// What the delay of a refused login follows from, for each name; without it, something random. Servers that clients
    /// take for one should have the same, so that a name has the same delay at all of them.
    #[must_use]
    pub fn login_delay_secret(mut self, secret: [u8; 32]) -> Self {
        self.login_delay = Some(LoginDelay { secret });
        self
    }

    /// Bounds of everything that a peer can make grow, which may be replaced while the server runs.
    #[must_use]
    pub fn limits(mut self, limits: Arc<LiveLimits>) -> Self {
        self.limits = limits;
        self
    }

    /// Who is let in before login, and who is refused for a while. Without it: one with the default
    /// settings, which remembers nothing over a restart.
    #[must_use]
    pub fn defence(mut self, defence: Arc<Defence>) -> Self {
        self.defence = Some(defence);
        self
    }

    /// From connect to login, in place of what the defence's settings say, until those are replaced.
    #[must_use]
    pub fn login_grace(mut self, grace: Duration) -> Self {
        self.login_grace = Some(grace);
        self
    }

    /// Text shown before login: a string, or a [`Banner`] to change it while the server runs.
    #[must_use]
    pub fn banner(mut self, text: impl Into<Banner>) -> Self {
        self.banner = text.into();
        self
    }

    /// Records who logs in and what is done. Without it nothing is recorded.
    #[must_use]
    pub fn audit(mut self, audit: Audit) -> Self {
        self.audit = Some(audit);
        self
    }

    /// Counts what [`Server::figures`] tells.
    #[must_use]
    pub fn metrics(mut self, wanted: bool) -> Self {
        self.metrics = wanted;
        self
    }

    /// Changes what the SSH layer offers and demands: algorithms, windows, keep-alive.
    #[must_use]
    pub fn ssh(mut self, configure: impl FnOnce(&mut ServerConfig) + 'static) -> Self {
        self.configure.push(Box::new(configure));
        self
    }

    /// Opens the sockets; connections wait in their backlog until [`Server::run`].
    ///
    /// # Errors
    /// [`BuildError`]: something is missing, or an address cannot be used.
    pub fn bind(self) -> Result<Server, BuildError> {
        let host_keys = self.host_keys.ok_or(BuildError::Missing("host keys"))?;
        let authenticator = self.authenticator.ok_or(BuildError::Missing("users"))?;
        if self.listen.is_empty() && self.streams.is_none() {
            return Err(BuildError::Missing("an address to listen on"));
        }
        let mut config = ServerConfig::new(host_keys.offered());
        if config.host_keys.is_empty() {
            return Err(BuildError::Missing("host keys"));
        }
        let defence = self.defence.unwrap_or_else(|| {
            Defence::new(DefenceSettings::default(), Instant::now(), SystemTime::now())
        });
        let settings = defence.settings();
        config.login_grace = self.login_grace.unwrap_or(settings.login_grace);
        config.auth_failures_max = settings.max_auth_tries;
        self.configure.into_iter().for_each(|configure| configure(&mut config));
        let config = Arc::new(config);
        let mut inherited = self.inherited;
        let mut listening = Vec::new();
        for ListenAt { address, rules } in self.listen {
            let socket = socket_for(address, &mut inherited)
                .map_err(|source| BuildError::Listen { address, source })?;
            listening.push(Listening::new(Some(socket), rules, &config, Arc::clone(&settings)));
        }
        let brings = self.streams.is_some();
        if let Some(rules) = self.streams {
            listening.push(Listening::new(None, rules, &config, Arc::clone(&settings)));
        }
        drop(inherited);
        let resources = self.resources.unwrap_or_default();
        resources.handles.set_max(self.limits.now().handles_total);
        let sessions = authenticator.sessions();
        if let Some(audit) = &self.audit {
            defence.record_to(audit.clone());
            let sessions = Arc::clone(&sessions);
            audit.on_stop(move |is_stopped| {
                if is_stopped {
                    sessions.end_all("the server cannot record what is done");
                }
            });
        }
        let cores = crate::cores();
        let shared = Shared {
            host_keys,
            sessions,
            authenticator,
            storage_of: self.storage_of,
            signatures: self.logins.clone().unwrap_or_else(|| IoPool::new(cores)),
            logins: self.logins.unwrap_or_else(|| IoPool::new(LOGIN_THREADS_MAX)),
            login_delay: self.login_delay.unwrap_or_else(|| LoginDelay::new(&mut SystemRandom)),
            resources,
            limits: self.limits,
            audit: self.audit,
            metrics: self.metrics.then(Arc::default),
        };
        Server::new(listening, brings, Arc::new(shared), defence, self.banner)
            .map_err(BuildError::Socket)
    }
}
