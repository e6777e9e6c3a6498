//! What holds for the logins of all users: authorities, revocations, host keys, programs to ask.

use std::fmt;
use std::sync::Arc;

use sterna_ssh_crypto::{PublicKey, names};
use sterna_ssh_files::{KnownHosts, Place, RevokedKeys};

use crate::hook::{ExternalIdentity, KeyLookup, Questioner};

/// Rules beside those of the users themselves. The default trusts nobody and asks nobody.
#[derive(Clone)]
pub struct LoginRules {
    /// Whose certificates log in users.
    pub user_authorities: Vec<Authority>,
    /// By which algorithms authorities may have signed.
    pub ca_signature_algorithms: Vec<String>,
    /// Keys and certificates that are never taken.
    pub revoked: Option<Revoked>,
    /// `None`: no host speaks for its users.
    pub host_based: Option<HostBasedRules>,
    pub external: Option<Arc<dyn ExternalIdentity>>,
    pub key_lookup: Option<Arc<dyn KeyLookup>>,
    /// Drives keyboard-interactive in place of password and code.
    pub questioner: Option<Arc<dyn Questioner>>,
}

/// A key that signs certificates.
#[derive(Clone, Debug)]
pub struct Authority {
    pub key: PublicKey,
    pub place: Option<Place>,
}

/// Revoked keys, and the setting that names their file.
#[derive(Clone)]
pub struct Revoked {
    pub keys: Arc<RevokedKeys>,
    pub place: Option<Place>,
}

/// Which hosts may speak for their users.
#[derive(Clone)]
pub struct HostBasedRules {
    /// The keys of client hosts.
    pub known_hosts: Arc<KnownHosts>,
    /// The claimed name must belong to the peer's address.
    pub check_address: bool,
}

impl Default for LoginRules {
    fn default() -> Self {
        let algorithms = names::CA_SIGNATURE_DEFAULT.iter().map(|name| (*name).to_owned());
        Self {
            user_authorities: Vec::new(),
            ca_signature_algorithms: algorithms.collect(),
            revoked: None,
            host_based: None,
            external: None,
            key_lookup: None,
            questioner: None,
        }
    }
}

impl fmt::Debug for LoginRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoginRules")
            .field("user_authorities", &self.user_authorities)
            .field("revoked", &self.revoked.is_some())
            .field("host_based", &self.host_based.is_some())
            .field("external", &self.external.is_some())
            .finish_non_exhaustive()
    }
}
