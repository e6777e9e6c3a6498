//! What one connection has proven so far, and in which dialogue it is.

use std::fmt;

use sterna_ssh_crypto::PublicKey;
use zeroize::Zeroizing;

use crate::authenticate::Candidate;
use crate::hook::Questions;
use crate::{Method, Restrictions};

/// Starts empty, ends with the connection. Everything in it belongs to one user name.
#[derive(Debug, Default)]
pub struct Progress {
    pub(crate) user: Vec<u8>,
    pub(crate) proofs: Vec<Proof>,
    pub(crate) restrictions: Restrictions,
    pub(crate) dialogue: Option<Dialogue>,
}

/// A step that was proven; for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    pub method: Method,
    /// Key and certificate, host, second factor: whatever tells this login from others; may be empty.
    pub detail: String,
    /// A key is good for one step only.
    pub(crate) key: Option<PublicKey>,
}

impl Proof {
    pub(crate) fn new(method: Method, detail: impl Into<String>) -> Self {
        Self { method, detail: detail.into(), key: None }
    }
}

impl fmt::Display for Proof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.method.name())?;
        if self.detail.is_empty() { Ok(()) } else { write!(f, " {}", self.detail) }
    }
}

/// A password that was right. Wiped when dropped, never shown.
pub(crate) struct Secret(pub(crate) Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// What the questions that are out ask for.
#[derive(Debug)]
pub(crate) enum Dialogue {
    Password,
    /// A password in place of the right one that was given; how often it was asked for.
    NewPassword {
        old: Secret,
        tries: u32,
    },
    /// A one-time code or a recovery code; `password`: what was proven in this dialogue. `external`: the
    /// user, if a program outside described it when it was asked about the password.
    Code {
        password: Option<Secret>,
        external: Option<Candidate>,
    },
    Outside(Box<dyn Questions>),
}

impl Progress {
    /// As if `user` had proven these steps: for `explain`. A login starts with
    /// [`Progress::default`].
    pub fn assumed(user: &[u8], steps: &[Method]) -> Self {
        let proofs = steps.iter().map(|method| Proof::new(*method, "assumed")).collect();
        Self { user: user.to_vec(), proofs, ..Self::default() }
    }

    /// Everything belongs to the user of the attempt: another name starts anew (RFC 4252 §5).
    pub(crate) fn belong_to(&mut self, user: &[u8]) {
        if self.user != user {
            *self = Self { user: user.to_vec(), ..Self::default() };
        }
    }

    pub(crate) fn has_proven(&self, method: Method) -> bool {
        self.proofs.iter().any(|proof| proof.method == method)
    }
}
