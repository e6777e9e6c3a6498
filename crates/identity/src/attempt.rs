//! One login attempt, as data.

use std::net::IpAddr;

use sterna_ssh_crypto::{OfferedKey, TokenUse};
use zeroize::Zeroizing;

/// What somebody outside says to be, and by what. Borrowed: nothing secret is copied.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    pub user: &'a [u8],
    pub credential: Credential<'a>,
    pub source: IpAddr,
    /// The peer's version line, without its end; for rules and logs, unproven.
    pub client_version: &'a [u8],
    /// Only users of one of these groups may come this way; `None`: everybody.
    pub groups: Option<&'a [String]>,
    /// Seconds since 1970: every rule about time is judged at this moment.
    pub now: u64,
}

/// What is offered as a proof.
#[derive(Clone, Copy)]
pub enum Credential<'a> {
    /// Nothing: asks which methods there are (RFC 4252 §5.2).
    None,
    Password(&'a [u8]),
    /// The old password, and one that is to replace it (RFC 4252 §8).
    PasswordChange {
        old: &'a [u8],
        new: &'a [u8],
    },
    /// Asks whether this key would do, without proving to have it (RFC 4252 §7).
    PublicKeyQuery(&'a OfferedKey),
    PublicKey {
        key: &'a OfferedKey,
        signature: Signature,
    },
    /// The client's host says who its user is (RFC 4252 §9).
    HostBased(HostClaim<'a>),
    /// Wants to be asked (RFC 4256).
    KeyboardInteractive,
    /// Answers to what was asked last.
    Answers(&'a [Zeroizing<Vec<u8>>]),
    /// A method that we do not have.
    Other(&'a [u8]),
}

/// What the signature of a user's key was worth.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    Invalid,
    Valid,
    /// Valid, by a security key that was used like this.
    ByToken(TokenUse),
}

/// The content of a host-based attempt.
#[derive(Clone, Copy, Debug)]
pub struct HostClaim<'a> {
    /// The key or certificate of the client's host.
    pub key: &'a OfferedKey,
    /// As sent; OpenSSH ends it with a dot.
    pub client_host: &'a [u8],
    /// The user's name there.
    pub client_user: &'a [u8],
    /// Whether the signature over this session by this key was right.
    pub signature_valid: bool,
}

/// Shows the method and never a secret.
impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Password(_) => f.write_str("Password(…)"),
            Self::PasswordChange { .. } => f.write_str("PasswordChange(…)"),
            Self::PublicKeyQuery(key) => write!(f, "PublicKeyQuery({})", key.fingerprint()),
            Self::PublicKey { key, signature } => {
                write!(f, "PublicKey({}, {signature:?})", key.fingerprint())
            }
            Self::HostBased(claim) => write!(
                f,
                "HostBased({}@{}, {})",
                claim.client_user.escape_ascii(),
                claim.client_host.escape_ascii(),
                claim.key.fingerprint()
            ),
            Self::KeyboardInteractive => f.write_str("KeyboardInteractive"),
            Self::Answers(answers) => write!(f, "Answers({})", answers.len()),
            Self::Other(name) => write!(f, "Other({})", name.escape_ascii()),
        }
    }
}
