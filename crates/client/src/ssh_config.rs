//! ssh_config(5), as OpenSSH reads it.
//!
//! Options given first (`-o`), then the user's file, then the system's; the *first* value of a
//! keyword wins, except `IdentityFile` and `CertificateFile`, which add up. [`KEYWORDS`] says of every
//! keyword what it does here; what a file sets and we cannot do is listed in
//! [`HostSettings::not_honoured`]. Anything that is not understood is an error with file and line.
//!
//! The pieces: `words` splits lines, `files` and `reader` go through files and decide which lines
//! hold (with `matching` for `Host` and `Match`), `check` and `values` judge values, `tokens` fills in
//! `%h` and its kind, `read` makes the settings.

mod algorithms;
mod canonical;
mod check;
mod exec;
mod files;
mod keywords;
mod local;
mod matching;
mod read;
mod reader;
#[cfg(test)]
mod tests;
mod tokens;
mod values;
mod words;

use std::path::PathBuf;
use std::time::Duration;

use crate::Destination;
use crate::host_key::StrictHostKeyChecking;
use crate::limits::{CONNECT_TIMEOUT_DEFAULT, PASSWORD_PROMPTS_DEFAULT, REQUIRED_RSA_SIZE_DEFAULT};

pub use algorithms::AlgorithmChange;
pub(crate) use exec::shell;
pub use keywords::{Effect, KEYWORDS, Keyword};
pub(crate) use local::local_user;
pub use read::ConfigSource;

/// Everything that is known about how to reach one host, after files and options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// What the person typed.
    pub alias: String,
    /// What is looked up and connected to.
    pub host: String,
    pub user: String,
    pub port: u16,
    /// Key files in the order they are tried; defaults if none was named.
    pub identity_files: Vec<PathBuf>,
    /// Whether the files were named by a person (a missing one is then worth a word).
    pub identity_files_named: bool,
    /// Offer only the keys of `identity_files`, not everything that the agent has.
    pub identities_only: bool,
    /// Certificates beside the keys, in the order named (`CertificateFile`); none by default. Those
    /// found as `IDENTITY-cert.pub` are not listed here, and are not looked for if this is not empty.
    pub certificate_files: Vec<PathBuf>,
    /// Socket of the agent (`IdentityAgent`, else `$SSH_AUTH_SOCK`); `None`: no agent is used.
    pub agent: Option<PathBuf>,
    pub add_keys_to_agent: AddKeysToAgent,
    pub user_known_hosts: Vec<PathBuf>,
    pub global_known_hosts: Vec<PathBuf>,
    /// The name under which the host key is recorded instead of the host's (`HostKeyAlias`).
    pub host_key_alias: Option<String>,
    pub strict_host_key_checking: StrictHostKeyChecking,
    pub hash_known_hosts: bool,
    /// Learn further keys of the server once it has proven them (ROT-2).
    pub update_host_keys: UpdateHostKeys,
    /// Keys that are never accepted from a server: a key list or a KRL (`RevokedHostKeys`).
    pub revoked_host_keys: Option<PathBuf>,
    /// Accept any host key of a server at a loopback address.
    pub no_host_authentication_for_localhost: bool,
    /// Also look up the server's address among the known hosts.
    pub check_host_ip: bool,
    /// RSA keys of servers and of certificate authorities below this are refused, in bits.
    pub required_rsa_size: u32,
    /// Algorithms by which an authority may have signed a certificate.
    pub ca_signature_algorithms: Option<AlgorithmChange>,
    pub host_key_algorithms: Option<AlgorithmChange>,
    pub kex_algorithms: Option<AlgorithmChange>,
    pub ciphers: Option<AlgorithmChange>,
    pub macs: Option<AlgorithmChange>,
    pub pubkey_algorithms: Option<AlgorithmChange>,
    /// Methods in the order in which they are tried, as written.
    pub preferred_authentications: Vec<String>,
    pub password_authentication: bool,
    pub pubkey_authentication: PubkeyAuthentication,
    pub kbd_interactive_authentication: bool,
    /// What the server is asked to use for keyboard-interactive; empty: its own choice.
    pub kbd_interactive_devices: Vec<String>,
    pub hostbased_authentication: bool,
    pub hostbased_accepted_algorithms: Option<AlgorithmChange>,
    /// OpenSSH's `ssh-keysign` may be asked to sign with the host's keys.
    pub enable_ssh_keysign: bool,
    /// Passwords, and rounds of keyboard-interactive, that a person is asked for.
    pub password_prompts: u32,
    pub batch_mode: bool,
    pub connect_timeout: Duration,
    /// Tries of the TCP connection, one a second.
    pub connection_attempts: u32,
    /// Whether the system probes an idle TCP connection.
    pub tcp_keep_alive: bool,
    /// Address of this machine from which the connection is made.
    pub bind_address: Option<String>,
    /// Network interface of this machine from which the connection is made.
    pub bind_interface: Option<String>,
    /// How the server is reached.
    pub proxy: Proxy,
    /// Silence after which the server is asked whether it lives; `None`: never.
    pub server_alive_interval: Option<Duration>,
    pub server_alive_count_max: u32,
    /// Bytes after which keys are renewed; `None`: the default.
    pub rekey_bytes: Option<u64>,
    pub rekey_time: Option<Duration>,
    pub compression: bool,
    /// `any`, `inet` or `inet6`.
    pub address_family: AddressFamily,
    /// What a file or an option sets and we cannot do, each keyword once.
    pub not_honoured: Vec<NotHonoured>,
}

/// A keyword that holds for a host and has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotHonoured {
    /// For example `VerifyHostKeyDNS`.
    pub keyword: String,
    pub why: &'static str,
    /// `FILE:LINE`, or the option.
    pub at: String,
}

/// How the bytes of a connection reach the server (`ProxyJump`, `ProxyCommand`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxy {
    /// A TCP connection from here.
    #[default]
    Direct,
    /// The standard input and output of this command, run by a shell; tokens are filled in.
    Command(String),
    /// Through these servers, the first one first.
    Jump(Vec<Destination>),
}

/// Value of `PubkeyAuthentication`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PubkeyAuthentication {
    Off,
    /// With the host key in what is signed where the server offers that.
    #[default]
    On,
    /// Never with the host key in what is signed.
    Unbound,
    /// The same as [`On`](Self::On), as in OpenSSH.
    HostBound,
}

impl PubkeyAuthentication {
    /// Whether public keys are tried at all.
    pub fn is_on(self) -> bool {
        self != Self::Off
    }
}

/// Value of `AddKeysToAgent`: what happens to a key that was read from a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AddKeysToAgent {
    pub when: AddKeys,
    /// Each use of the key has to be confirmed at the agent.
    pub confirm: bool,
    /// After this the agent forgets the key; `None`: the agent's own default.
    pub lifetime: Option<Duration>,
}

/// Whether a key goes to the agent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddKeys {
    #[default]
    Never,
    Ask,
    Always,
}

/// Value of `UpdateHostKeys`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum UpdateHostKeys {
    No,
    #[default]
    Yes,
    /// A person confirms each change of the file.
    Ask,
}

/// Which addresses of a host are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressFamily {
    #[default]
    Any,
    V4,
    V6,
}

/// Names below `~/.ssh` of the keys that are tried when none is named, in OpenSSH's order.
const IDENTITY_FILES: [&str; 5] =
    ["id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk"];

/// Methods in OpenSSH's order, as far as we have them.
const PREFERRED_AUTHENTICATIONS: [&str; 4] =
    ["hostbased", "publickey", "keyboard-interactive", "password"];

impl HostSettings {
    /// What holds for a host about which no file says anything.
    pub(crate) fn defaults(alias: &str, user: &str, home: Option<&std::path::Path>) -> Self {
        let ssh_dir = home.map(|home| home.join(".ssh"));
        let ssh = |name: &str| ssh_dir.as_ref().map(|dir| dir.join(name));
        Self {
            alias: alias.to_owned(),
            host: alias.to_owned(),
            user: user.to_owned(),
            port: 22,
            identity_files: IDENTITY_FILES.into_iter().filter_map(ssh).collect(),
            identity_files_named: false,
            identities_only: false,
            certificate_files: Vec::new(),
            add_keys_to_agent: AddKeysToAgent::default(),
            agent: std::env::var_os("SSH_AUTH_SOCK").filter(|s| !s.is_empty()).map(PathBuf::from),
            user_known_hosts: ["known_hosts", "known_hosts2"].into_iter().filter_map(ssh).collect(),
            global_known_hosts: vec![
                "/etc/ssh/ssh_known_hosts".into(),
                "/etc/ssh/ssh_known_hosts2".into(),
            ],
            host_key_alias: None,
            strict_host_key_checking: StrictHostKeyChecking::Ask,
            hash_known_hosts: false,
            update_host_keys: UpdateHostKeys::Yes,
            revoked_host_keys: None,
            no_host_authentication_for_localhost: false,
            check_host_ip: false,
            required_rsa_size: REQUIRED_RSA_SIZE_DEFAULT,
            ca_signature_algorithms: None,
            host_key_algorithms: None,
            kex_algorithms: None,
            ciphers: None,
            macs: None,
            pubkey_algorithms: None,
            preferred_authentications: PREFERRED_AUTHENTICATIONS.map(str::to_owned).to_vec(),
            password_authentication: true,
            pubkey_authentication: PubkeyAuthentication::On,
            kbd_interactive_authentication: true,
            kbd_interactive_devices: Vec::new(),
            hostbased_authentication: false,
            hostbased_accepted_algorithms: None,
            enable_ssh_keysign: false,
            password_prompts: PASSWORD_PROMPTS_DEFAULT,
            batch_mode: false,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
            connection_attempts: 1,
            tcp_keep_alive: true,
            bind_address: None,
            bind_interface: None,
            proxy: Proxy::Direct,
            server_alive_interval: None,
            server_alive_count_max: 3,
            rekey_bytes: None,
            rekey_time: None,
            compression: false,
            address_family: AddressFamily::Any,
            not_honoured: Vec::new(),
        }
    }
}
