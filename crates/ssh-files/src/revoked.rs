//! The file that `RevokedKeys` names: a KRL, or a plain list with one public key a line.
//!
//! Such a file must be read whole or not at all: without it nobody knows which keys are bad, so an
//! error means that no key may be trusted (KRL-3).

use std::collections::HashMap;
use std::fmt;

use sterna_ssh_crypto::{KeyError, OfferedKey, PublicKey, names};

use crate::krl::{Krl, KrlError};
use crate::limits::{FileTooLong, REVOKED_KEYS_LEN_MAX};

/// Why a key is not to be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    pub part: RevokedPart,
    pub by: RevokedBy,
}

/// What of an offered key is revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokedPart {
    /// The key itself, alone or inside a certificate.
    Key,
    /// This certificate.
    Certificate,
    /// The key that signed the certificate.
    Authority,
}

/// Which rule of the file says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokedBy {
    /// A line of a plain list, counted from 1.
    Line(usize),
    ExplicitKey,
    Sha1Fingerprint,
    Sha256Fingerprint,
    Serial(u64),
    KeyId,
}

impl fmt::Display for Revocation {
    /// For example `certificate is revoked by serial 7`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.part {
            RevokedPart::Key => "key is revoked by ",
            RevokedPart::Certificate => "certificate is revoked by ",
            RevokedPart::Authority => "certificate authority is revoked by ",
        })?;
        match self.by {
            RevokedBy::Line(line) => write!(f, "line {line}"),
            RevokedBy::ExplicitKey => f.write_str("key"),
            RevokedBy::Sha1Fingerprint => f.write_str("SHA-1 fingerprint"),
            RevokedBy::Sha256Fingerprint => f.write_str("SHA-256 fingerprint"),
            RevokedBy::Serial(serial) => write!(f, "serial {serial}"),
            RevokedBy::KeyId => f.write_str("key id"),
        }
    }
}

/// Why the file is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevokedKeysError {
    TooLong(FileTooLong),
    Krl(KrlError),
    /// A line of a plain list is no public key.
    Line {
        /// Counted from 1.
        line: usize,
        why: KeyError,
    },
}

impl fmt::Display for RevokedKeysError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(error) => error.fmt(f),
            Self::Krl(error) => error.fmt(f),
            Self::Line { line, why } => write!(f, "line {line}: {why}"),
        }
    }
}

impl std::error::Error for RevokedKeysError {}

/// Keys that must not be trusted, whoever vouches for them.
#[derive(Clone, Debug)]
pub struct RevokedKeys(Form);

#[derive(Clone, Debug)]
enum Form {
    Krl(Krl),
    /// Key to the line where it stands first.
    List(HashMap<PublicKey, usize>),
}

impl RevokedKeys {
    /// Reads a file of either form.
    ///
    /// In a plain list a certificate stands for the key inside it. Keys that nobody can offer here, such
    /// as DSA keys, are passed over.
    ///
    /// # Errors
    /// [`RevokedKeysError`]; no key may then be trusted.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RevokedKeysError> {
        if bytes.len() > REVOKED_KEYS_LEN_MAX {
            let len_max = REVOKED_KEYS_LEN_MAX;
            return Err(RevokedKeysError::TooLong(FileTooLong { len_max }));
        }
        if Krl::is_krl(bytes) {
            return Ok(Self(Form::Krl(Krl::from_bytes(bytes).map_err(RevokedKeysError::Krl)?)));
        }
        let mut list = HashMap::new();
        for (index, text) in bytes.split(|b| *b == b'\n').enumerate() {
            let line = index + 1;
            let text = String::from_utf8_lossy(text.trim_ascii());
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let key = key_of(&text).map_err(|why| RevokedKeysError::Line { line, why })?;
            if let Some(key) = key {
                list.entry(key).or_insert(line);
            }
        }
        Ok(Self(Form::List(list)))
    }

    /// Why `offered` is revoked, if it is.
    pub fn revocation(&self, offered: &OfferedKey) -> Option<Revocation> {
        let list = match &self.0 {
            Form::Krl(krl) => return krl.revocation(offered),
            Form::List(list) => list,
        };
        let by = |part, key| Some(Revocation { part, by: RevokedBy::Line(*list.get(key)?) });
        by(RevokedPart::Key, offered.key())
            .or_else(|| by(RevokedPart::Authority, &offered.certificate()?.ca))
    }
}

/// The key of a line; `None` for one that nobody can offer here.
fn key_of(line: &str) -> Result<Option<PublicKey>, KeyError> {
    match OfferedKey::from_openssh(line) {
        Ok((offered, _)) => Ok(Some(offered.key().clone())),
        // Inside a certificate it may be the authority that is not understood, and the key is.
        Err(why) if line.split([' ', '\t']).next().is_some_and(names::is_certificate) => Err(why),
        Err(KeyError::Unsupported | KeyError::RsaBits(_)) => Ok(None),
        Err(why) => Err(why),
    }
}

#[cfg(test)]
mod tests;
