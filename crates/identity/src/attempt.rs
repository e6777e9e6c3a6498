//! One login attempt, as data.

use std::net::IpAddr;

use sterna_ssh_crypto::PublicKey;

/// What somebody outside says to be, and by what. Borrowed: nothing secret is copied.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    pub user: &'a [u8],
    pub credential: Credential<'a>,
    pub source: IpAddr,
    /// The peer's version line, without its end; for rules and logs, unproven.
    pub client_version: &'a [u8],
}

/// What is offered as a proof.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// Nothing: asks which methods there are (RFC 4252 §5.2).
    None,
    Password(&'a [u8]),
    /// Asks whether this key would do, without proving to have it (RFC 4252 §7).
    PublicKeyQuery(&'a PublicKey),
    PublicKey {
        key: &'a PublicKey,
        /// Whether the signature over this session by this key was right.
        signature_valid: bool,
    },
    /// A method that we do not have.
    Other(&'a [u8]),
}

/// Shows the method and never the password.
impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Password(_) => f.write_str("Password(…)"),
            Self::PublicKeyQuery(key) => write!(f, "PublicKeyQuery({})", key.fingerprint()),
            Self::PublicKey { key, signature_valid } => {
                write!(f, "PublicKey({}, valid: {signature_valid})", key.fingerprint())
            }
            Self::Other(name) => write!(f, "Other({})", name.escape_ascii()),
        }
    }
}
