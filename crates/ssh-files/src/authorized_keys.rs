//! `authorized_keys`: keys that may log in, and under what conditions (sshd(8), "AUTHORIZED_KEYS FILE
//! FORMAT"; PUB-4).
//!
//! A key is never given more than its owner wrote: a line with an option that we do not know or cannot
//! enforce is *refused* with its reason, and every option that narrows a key comes back in
//! [`KeyOptions`] for the caller to enforce.
//!
//! Whoever asks whether a key may log in goes through the lines in their order and takes the first of
//! this key whose conditions are all met, as OpenSSH does.

mod expiry;
mod options;
#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;

use sterna_ssh_crypto::{KeyError, PublicKey};

use crate::AddressError;
use crate::limits::{AUTHORIZED_KEYS_LEN_MAX, AUTHORIZED_KEYS_LINE_LEN_MAX, AUTHORIZED_KEYS_MAX};

pub use options::KeyOptions;

/// A key that may log in if its options allow it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizedKey {
    pub key: PublicKey,
    /// What its owner wrote behind it; for people, never for decisions.
    pub comment: String,
    /// Counted from 1; 0 if the text was not a line of a file.
    pub line: usize,
    pub options: KeyOptions,
}

/// Why a line gives nobody access.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LineError {
    /// The key is malformed or of an unsupported type.
    Key(KeyError),
    /// An option that OpenSSH knows and that we cannot enforce.
    NotEnforced(&'static str),
    /// An option that nobody knows.
    UnknownOption(String),
    /// An option that may stand only once.
    Twice(&'static str),
    /// `principals` without `cert-authority`.
    PrincipalsWithoutAuthority,
    /// `from` with a list that does not read.
    From(AddressError),
    /// `expiry-time` that is no time.
    ExpiryTime(String),
    /// Quotes that do not end, or something else between the options.
    Options,
    /// Longer than [`AUTHORIZED_KEYS_LINE_LEN_MAX`].
    TooLong,
    /// More keys than [`AUTHORIZED_KEYS_MAX`] or more bytes than [`AUTHORIZED_KEYS_LEN_MAX`]: this
    /// line and what follows is not read.
    TooMany,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => error.fmt(f),
            Self::NotEnforced(name) => write!(f, "option {name} is not supported, key refused"),
            Self::UnknownOption(name) => write!(f, "option {name:?} is unknown, key refused"),
            Self::Twice(name) => write!(f, "option {name} stands twice, key refused"),
            Self::PrincipalsWithoutAuthority => {
                f.write_str("option principals needs cert-authority, key refused")
            }
            Self::From(error) => write!(f, "option from: {error}, key refused"),
            Self::ExpiryTime(text) => {
                write!(f, "option expiry-time: {text:?} is no time, key refused")
            }
            Self::Options => f.write_str("options do not read"),
            Self::TooLong => f.write_str("line is too long"),
            Self::TooMany => f.write_str("too many keys, the rest is not read"),
        }
    }
}

impl std::error::Error for LineError {}

/// A line that was refused; blank lines and comments are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedLine {
    /// Counted from 1.
    pub line: usize,
    pub why: LineError,
}

/// Reads a whole file. A bad line costs only itself.
///
/// The same key with the same options is kept once; with other options it is another way in, and
/// stays behind the first.
pub fn parse_authorized_keys(file: &[u8]) -> (Vec<AuthorizedKey>, Vec<RefusedLine>) {
    let mut keys: Vec<AuthorizedKey> = Vec::new();
    let mut refused = Vec::new();
    let mut read = 0;
    for (index, text) in file.split(|&b| b == b'\n').enumerate() {
        let line = index + 1;
        read += text.len() + 1;
        if read > AUTHORIZED_KEYS_LEN_MAX + 1 {
            refused.push(RefusedLine { line, why: LineError::TooMany });
            break;
        }
        let text = text.trim_ascii();
        if text.is_empty() || text.starts_with(b"#") {
            continue;
        }
        match parse_line(text, line) {
            Ok(found) if keys.iter().any(|known| known.admits_the_same(&found)) => {}
            Ok(_) if keys.len() == AUTHORIZED_KEYS_MAX => {
                refused.push(RefusedLine { line, why: LineError::TooMany });
                break;
            }
            Ok(found) => keys.push(found),
            Err(why) => refused.push(RefusedLine { line, why }),
        }
    }
    (keys, refused)
}

impl AuthorizedKey {
    fn admits_the_same(&self, other: &Self) -> bool {
        self.key == other.key && self.options == other.options
    }
}

impl From<PublicKey> for AuthorizedKey {
    /// The key without conditions and comment.
    fn from(key: PublicKey) -> Self {
        Self { key, comment: String::new(), line: 0, options: KeyOptions::default() }
    }
}

impl FromStr for AuthorizedKey {
    type Err = LineError;

    /// Reads one line: `[options] type base64 [comment]`.
    fn from_str(line: &str) -> Result<Self, LineError> {
        parse_line(line.as_bytes().trim_ascii(), 0)
    }
}

fn parse_line(text: &[u8], line: usize) -> Result<AuthorizedKey, LineError> {
    if text.len() > AUTHORIZED_KEYS_LINE_LEN_MAX {
        return Err(LineError::TooLong);
    }
    // Options look like no key type: those all hold a family name and a dash.
    let has_options = !["ssh-", "ecdsa-", "sk-"].iter().any(|f| text.starts_with(f.as_bytes()));
    let (options, rest) =
        if has_options { options::parse(text)? } else { (KeyOptions::default(), text) };
    let rest = String::from_utf8_lossy(rest);
    let (key, comment) = PublicKey::from_openssh(&rest).map_err(LineError::Key)?;
    Ok(AuthorizedKey { key, comment: comment.to_owned(), line, options })
}
