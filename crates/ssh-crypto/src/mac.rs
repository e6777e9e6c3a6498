//! Message authentication codes for the ciphers that bring none (RFC 4253 §6.4, RFC 6668).

use aws_lc_rs::{constant_time, hmac};

use crate::OpenError;
use crate::names;

/// One negotiable MAC.
#[derive(Debug)]
pub struct MacRow {
    pub name: &'static str,
    /// Bytes of key material (letters E and F).
    pub key_len: usize,
    /// Bytes behind each packet.
    pub tag_len: usize,
    /// True: over the ciphertext, with the length in clear (OpenSSH PROTOCOL §1.5).
    pub etm: bool,
    algorithm: hmac::Algorithm,
}

/// The row of `name`, if we speak it.
pub fn mac(name: &str) -> Option<&'static MacRow> {
    ROWS.iter().find(|row| row.name == name)
}

static ROWS: [MacRow; 4] = [
    row(names::MAC_SHA2_256_ETM, 32, true, hmac::HMAC_SHA256),
    row(names::MAC_SHA2_512_ETM, 64, true, hmac::HMAC_SHA512),
    row(names::MAC_SHA2_256, 32, false, hmac::HMAC_SHA256),
    row(names::MAC_SHA2_512, 64, false, hmac::HMAC_SHA512),
];

/// HMAC-SHA2 keys are as long as the tags.
const fn row(name: &'static str, len: usize, etm: bool, algorithm: hmac::Algorithm) -> MacRow {
    MacRow { name, key_len: len, tag_len: len, etm, algorithm }
}

/// A keyed MAC; the key schedule is done once, each packet copies it.
pub(crate) struct PacketMac {
    key: hmac::Key,
    tag_len: usize,
}

impl PacketMac {
    pub(crate) fn new(row: &MacRow, key: &[u8]) -> Self {
        Self { key: hmac::Key::new(row.algorithm, key), tag_len: row.tag_len }
    }

    pub(crate) fn tag_len(&self) -> usize {
        self.tag_len
    }

    /// Writes the tag over `sequence || bytes` to `tag`.
    pub(crate) fn sign(&self, sequence: u32, bytes: &[u8], tag: &mut [u8]) {
        tag.copy_from_slice(self.tag(sequence, bytes).as_ref());
    }

    /// Compares in constant time.
    pub(crate) fn verify(&self, sequence: u32, bytes: &[u8], tag: &[u8]) -> Result<(), OpenError> {
        constant_time::verify_slices_are_equal(self.tag(sequence, bytes).as_ref(), tag)
            .map_err(|_| OpenError)
    }

    fn tag(&self, sequence: u32, bytes: &[u8]) -> hmac::Tag {
        let mut context = hmac::Context::with_key(&self.key);
        context.update(&sequence.to_be_bytes());
        context.update(bytes);
        context.sign()
    }
}
