//! What one side offers and demands. Made once, shared by many connections.

use std::sync::Arc;
use std::time::Duration;

use sterna_ssh_crypto::{OfferedKey, names};

use crate::channel::WindowBudget;
use crate::limits;

/// Algorithm names to offer, best first. Every name must be known to `ssh-crypto`; unknown ones
/// are left out of our KEXINIT.
#[derive(Clone, Debug)]
pub struct Algorithms {
    pub kex: Vec<String>,
    pub host_key: Vec<String>,
    pub ciphers: Vec<String>,
    pub macs: Vec<String>,
    /// `none` or `zlib@openssh.com`.
    pub compression: Vec<String>,
    /// Algorithms accepted from users and from client hosts, certificates among them
    /// (`server-sig-algs`).
    pub user_keys: Vec<String>,
}

impl Default for Algorithms {
    fn default() -> Self {
        let owned = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect();
        Self {
            kex: owned(names::KEX_DEFAULT),
            host_key: owned(names::HOST_KEY_DEFAULT),
            ciphers: owned(names::ciphers_default()),
            macs: owned(names::MAC_DEFAULT),
            compression: owned(&["none", "zlib@openssh.com"]),
            user_keys: owned(names::USER_KEY_DEFAULT),
        }
    }
}

impl Algorithms {
    /// Leaves only what stands in the strict lists of `ssh-crypto`; what users log in by stays.
    pub fn keep_strict(&mut self) {
        for (offered, strict) in [
            (&mut self.kex, names::KEX_STRICT),
            (&mut self.host_key, names::HOST_KEY_STRICT),
            (&mut self.macs, names::MAC_STRICT),
        ] {
            offered.retain(|name| strict.contains(&name.as_str()));
        }
    }
}

/// What both roles have in common.
#[derive(Clone, Debug)]
pub struct Common {
    /// Comes after `SSH-2.0-` in our version line: printable ASCII without space and minus.
    pub software_version: String,
    pub algorithms: Algorithms,
    /// Data that the peer may send ahead on one channel, in bytes: at first, and at most, once it is
    /// seen that the path holds more. Peers that are not Sterna get
    /// [`WINDOW_LEN_OTHERS_MAX`](limits::WINDOW_LEN_OTHERS_MAX) at most.
    pub window_len: u32,
    pub window_len_max: u32,
    /// What the windows of all connections that share this together may grow by.
    pub window_budget: Arc<WindowBudget>,
    /// Bytes in one direction after which we renew the keys.
    pub rekey_bytes: u64,
    pub rekey_time: Duration,
    /// Ask whether the peer is alive after this much silence; `None` never asks.
    pub keepalive: Option<Duration>,
    /// Unanswered questions after which the peer counts as gone.
    pub keepalive_count_max: u32,
}

impl Default for Common {
    fn default() -> Self {
        Self {
            software_version: concat!("Sterna_", env!("CARGO_PKG_VERSION")).to_owned(),
            algorithms: Algorithms::default(),
            window_len: limits::WINDOW_LEN_DEFAULT,
            window_len_max: limits::WINDOW_LEN_MAX,
            window_budget: Arc::new(WindowBudget::new(limits::WINDOW_GROWTH_LEN_MAX)),
            rekey_bytes: limits::REKEY_BYTES_DEFAULT,
            rekey_time: limits::REKEY_TIME_DEFAULT,
            keepalive: None,
            keepalive_count_max: 3,
        }
    }
}

/// What a server offers and demands.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    pub common: Common,
    /// Public halves of the host keys and their certificates, in order of preference. The private
    /// halves stay with the application, which is asked to sign.
    pub host_keys: Vec<OfferedKey>,
    /// From connect to login.
    pub login_grace: Duration,
    /// Text shown before login, if any.
    pub banner: Option<String>,
    pub auth_failures_max: u32,
    pub channels_max: usize,
}

impl ServerConfig {
    pub fn new(host_keys: impl IntoIterator<Item = impl Into<OfferedKey>>) -> Self {
        Self {
            common: Common::default(),
            host_keys: host_keys.into_iter().map(Into::into).collect(),
            login_grace: limits::LOGIN_GRACE_DEFAULT,
            banner: None,
            auth_failures_max: limits::AUTH_FAILURES_MAX,
            channels_max: limits::CHANNELS_MAX,
        }
    }
}

impl ServerConfig {
    /// Blobs of the host keys without certificates: those that can be announced and proven.
    pub(crate) fn plain_host_keys(&self) -> impl Iterator<Item = Vec<u8>> {
        self.host_keys.iter().filter(|key| key.certificate().is_none()).map(OfferedKey::to_wire)
    }
}

/// What a client offers and demands.
#[derive(Clone, Debug)]
pub struct ClientConfig {
    pub common: Common,
    /// The user to log in as.
    pub user: Vec<u8>,
    /// From connect to login, questions to the user included.
    pub login_grace: Option<Duration>,
    /// Bind signatures of public-key logins to the server's host key where the server takes it
    /// (OpenSSH PROTOCOL §3.1).
    pub host_bound: bool,
}

impl ClientConfig {
    pub fn new(user: impl Into<Vec<u8>>) -> Self {
        Self { common: Common::default(), user: user.into(), login_grace: None, host_bound: true }
    }
}
