//! The part of ssh_config(5) that Sterna honours, and a list of what it met and does not.
//!
//! As OpenSSH reads it: options given first (`-o`), then the user's file, then the system's; the
//! *first* value of a keyword wins, except `IdentityFile`, which adds up. A keyword that would make
//! the connection go elsewhere or run something (`ProxyJump`, `ProxyCommand`) is an error rather
//! than silently ignored; the rest that we lack is listed in [`HostSettings::not_honoured`].

mod pattern;
mod read;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use crate::Error;
use crate::host_key::StrictHostKeyChecking;
use crate::limits::CONNECT_TIMEOUT_DEFAULT;

pub(crate) use pattern::{pattern_list_matches, wildcard_match};
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
    /// `None`: the agent of `$SSH_AUTH_SOCK` is not used (`IdentityAgent none`).
    pub agent: Option<PathBuf>,
    pub user_known_hosts: Vec<PathBuf>,
    pub global_known_hosts: Vec<PathBuf>,
    /// The name under which the host key is recorded instead of the host's (`HostKeyAlias`).
    pub host_key_alias: Option<String>,
    pub strict_host_key_checking: StrictHostKeyChecking,
    pub hash_known_hosts: bool,
    /// Learn further keys of the server once it has proven them (ROT-2).
    pub update_host_keys: bool,
    pub host_key_algorithms: Option<AlgorithmChange>,
    pub kex_algorithms: Option<AlgorithmChange>,
    pub ciphers: Option<AlgorithmChange>,
    pub macs: Option<AlgorithmChange>,
    pub pubkey_algorithms: Option<AlgorithmChange>,
    /// Methods in order; only those that we know.
    pub preferred_authentications: Vec<String>,
    pub password_authentication: bool,
    pub pubkey_authentication: bool,
    pub password_prompts: u32,
    pub batch_mode: bool,
    pub connect_timeout: Duration,
    /// Silence after which the server is asked whether it lives; `None`: never.
    pub server_alive_interval: Option<Duration>,
    pub server_alive_count_max: u32,
    /// Bytes after which keys are renewed; `None`: the default.
    pub rekey_bytes: Option<u64>,
    pub rekey_time: Option<Duration>,
    pub compression: bool,
    /// `any`, `inet` or `inet6`.
    pub address_family: AddressFamily,
    /// Keywords that were met and have no effect here, each once.
    pub not_honoured: Vec<String>,
}

/// Which addresses of a host are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AddressFamily {
    #[default]
    Any,
    V4,
    V6,
}

/// A value of `Ciphers`, `MACs`, `KexAlgorithms`, …: a list, or a change of the default list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AlgorithmChange {
    /// Exactly these.
    Only(Vec<String>),
    /// `+list`: these behind the default.
    Append(Vec<String>),
    /// `-list`: the default without what these patterns match.
    Remove(Vec<String>),
    /// `^list`: these in front of the default.
    Prepend(Vec<String>),
}

impl AlgorithmChange {
    /// Reads a value as ssh_config(5) writes it.
    pub fn parse(value: &str) -> Self {
        let list = |text: &str| -> Vec<String> {
            text.split(',').map(str::trim).filter(|n| !n.is_empty()).map(str::to_owned).collect()
        };
        match value.as_bytes().first() {
            Some(b'+') => Self::Append(list(&value[1..])),
            Some(b'-') => Self::Remove(list(&value[1..])),
            Some(b'^') => Self::Prepend(list(&value[1..])),
            _ => Self::Only(list(value)),
        }
    }

    /// Applies the change to `default`. Names outside of `known` are dropped.
    ///
    /// # Errors
    /// [`Error::Usage`] if nothing is left: we would have to guess what is safe.
    pub fn apply(
        &self,
        keyword: &str,
        default: &[String],
        known: impl Fn(&str) -> bool,
    ) -> Result<Vec<String>, Error> {
        let usable = |names: &[String]| -> Vec<String> {
            let mut out: Vec<String> = Vec::new();
            for name in names.iter().filter(|n| known(n)) {
                if !out.contains(name) {
                    out.push(name.clone());
                }
            }
            out
        };
        let chosen = match self {
            Self::Only(names) => usable(names),
            Self::Append(names) => usable(&[default, names].concat()),
            Self::Prepend(names) => usable(&[names, default].concat()),
            Self::Remove(patterns) => {
                let gone =
                    |n: &str| patterns.iter().any(|p| wildcard_match(p.as_bytes(), n.as_bytes()));
                default.iter().filter(|n| !gone(n)).cloned().collect()
            }
        };
        if chosen.is_empty() {
            return Err(Error::Usage(format!("{keyword}: none of these algorithms is known here")));
        }
        Ok(chosen)
    }
}

impl HostSettings {
    /// What holds for a host about which no file says anything.
    pub(crate) fn defaults(alias: &str, user: &str, home: Option<&std::path::Path>) -> Self {
        let ssh = |name: &str| home.map(|h| h.join(".ssh").join(name));
        Self {
            alias: alias.to_owned(),
            host: alias.to_owned(),
            user: user.to_owned(),
            port: 22,
            identity_files: ["id_ed25519", "id_ecdsa", "id_rsa"]
                .into_iter()
                .filter_map(ssh)
                .collect(),
            identity_files_named: false,
            identities_only: false,
            agent: std::env::var_os("SSH_AUTH_SOCK").filter(|s| !s.is_empty()).map(PathBuf::from),
            user_known_hosts: ["known_hosts", "known_hosts2"].into_iter().filter_map(ssh).collect(),
            global_known_hosts: vec![
                "/etc/ssh/ssh_known_hosts".into(),
                "/etc/ssh/ssh_known_hosts2".into(),
            ],
            host_key_alias: None,
            strict_host_key_checking: StrictHostKeyChecking::Ask,
            hash_known_hosts: false,
            update_host_keys: true,
            host_key_algorithms: None,
            kex_algorithms: None,
            ciphers: None,
            macs: None,
            pubkey_algorithms: None,
            preferred_authentications: vec!["publickey".into(), "password".into()],
            password_authentication: true,
            pubkey_authentication: true,
            password_prompts: crate::limits::PASSWORD_PROMPTS_MAX,
            batch_mode: false,
            connect_timeout: CONNECT_TIMEOUT_DEFAULT,
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
