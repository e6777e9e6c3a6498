//! What programs and services outside may say about a login, as traits. How they are asked (a process,
//! HTTP) is not here.

use std::net::IpAddr;
use std::sync::Arc;

use zeroize::Zeroizing;

use sterna_ssh_crypto::OfferedKey;

use crate::{Attempt, AuthorizedKey, User};

/// Decides over users that the settings do not know.
pub trait ExternalIdentity: Send + Sync {
    /// Asks about one attempt. Blocks up to its own time-out.
    ///
    /// # Errors
    /// It could not be asked, or its answer does not read: the attempt is refused.
    fn ask(&self, attempt: &Attempt<'_>) -> Result<ExternalAnswer, String>;
}

/// What an [`ExternalIdentity`] says. A user of another name than the attempt's is refused.
#[derive(Clone, Debug)]
pub enum ExternalAnswer {
    /// No, or nobody of that name.
    Deny,
    /// The credential of this attempt is good, and this is the user.
    Allow(Arc<User>),
    /// This is the user: the credential is to be judged by this record.
    Judge(Arc<User>),
}

/// Finds keys of a user elsewhere (`authorized_keys_command`).
pub trait KeyLookup: Send + Sync {
    /// The lines for this user and key.
    ///
    /// # Errors
    /// It could not be asked: the key is refused.
    fn keys(&self, user: &str, key: &OfferedKey) -> Result<Vec<AuthorizedKey>, String>;
}

/// Asks the person itself: keyboard-interactive driven from outside.
pub trait Questioner: Send + Sync {
    /// Begins a dialogue with whoever claims to be `user`; `known` tells whether the name exists.
    ///
    /// # Errors
    /// It could not be asked.
    fn begin(
        &self,
        user: &str,
        known: bool,
        source: IpAddr,
        client_version: &[u8],
    ) -> Result<Box<dyn Questions>, String>;
}

/// A dialogue under way. Dropping it ends it.
pub trait Questions: Send + std::fmt::Debug {
    /// The next round: first without answers, then with those of the round before.
    ///
    /// # Errors
    /// It could not be asked, or its answer does not read.
    fn next(&mut self, answers: &[Zeroizing<Vec<u8>>]) -> Result<Round, String>;
}

/// What a round of a dialogue leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Round {
    Ask(Prompts),
    Allow,
    Deny,
}

/// What a person is asked (RFC 4256 §3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompts {
    pub instruction: String,
    /// Text, and whether the answer may be seen while it is typed.
    pub prompts: Vec<(String, bool)>,
}

impl Prompts {
    pub(crate) fn secret(text: &str) -> Self {
        Self { instruction: String::new(), prompts: vec![(text.to_owned(), false)] }
    }
}
