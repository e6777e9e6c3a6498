//! The head: a small signed file that says where the log ends and where it begins. It is written after the
//! lines that it speaks of, so a crash can leave it behind the log, and never in front of it: a log that ends
//! before its head was cut.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::time::SystemTime;

use serde::Deserialize;

use crate::chain::{Hash, Place};
use crate::key::{PublicKey, Purpose, SigningKey};
use crate::limits::SMALL_FILE_LEN_MAX;
use crate::record::rfc3339;

/// What the log is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The last line.
    pub(crate) last: Place,
    /// The number of the first line of the oldest file that is kept.
    pub(crate) oldest: u64,
}

#[derive(Deserialize)]
struct Text<'t> {
    seq: u64,
    hash: &'t str,
    oldest: u64,
}

impl Head {
    pub(crate) fn encode(&self, key: &SigningKey) -> Vec<u8> {
        let Self { last: Place { seq, hash }, oldest } = self;
        let time = rfc3339(SystemTime::now());
        let text =
            format!("{{\"seq\":{seq},\"hash\":\"{hash}\",\"oldest\":{oldest},\"time\":\"{time}\"");
        let mut line = text.into_bytes();
        key.seal(Purpose::Head, &mut line);
        line.push(b'\n');
        line
    }

    /// `None`: there is no such file.
    ///
    /// # Errors
    /// It cannot be read, or (`InvalidData`) it is not signed by `key`.
    pub(crate) fn read(path: &Path, key: &PublicKey) -> io::Result<Option<Self>> {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let mut bytes = Vec::new();
        file.take(SMALL_FILE_LEN_MAX).read_to_end(&mut bytes)?;
        let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "not signed by this key");
        if !key.has_sealed(Purpose::Head, line) {
            return Err(invalid());
        }
        let text: Text<'_> = serde_json::from_slice(line).map_err(|_| invalid())?;
        let hash = Hash::from_hex(text.hash).ok_or_else(invalid)?;
        Ok(Some(Self { last: Place { seq: text.seq, hash }, oldest: text.oldest }))
    }
}
