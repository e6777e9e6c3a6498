//! What one connection has proven so far, and in which dialogue it is.

use std::fmt;
use std::sync::Arc;

use sterna_ssh_crypto::PublicKey;
use zeroize::Zeroizing;

use crate::hook::Questions;
use crate::{Method, Restrictions, User};

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

/// What the questions that are out ask for.
#[derive(Debug)]
pub(crate) enum Dialogue {
    Password,
    /// A password in place of the right one that was given; how often it was asked for.
    NewPassword {
        old: Zeroizing<Vec<u8>>,
        tries: u32,
    },
    /// A one-time code or a recovery code; `password`: it was proven in this dialogue. `external`: the
    /// user, if a program outside described it when it was asked about the password.
    Code { password: bool, external: Option<Arc<User>> },
    Outside(Box<dyn Questions>),
}

impl Progress {
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
