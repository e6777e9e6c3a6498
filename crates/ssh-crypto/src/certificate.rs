//! OpenSSH certificates: a key, what it may be used for, and the signature of an authority over both.
//!
//! [`Certificate::from_wire`] reads and bounds; it believes nothing. Whoever asks must then check the
//! authority's signature ([`Certificate::verify_ca`]), that the authority is trusted, the times, the
//! names and the options: the rules differ for users and hosts and live where they are applied.
//!
//! Spec: OpenSSH PROTOCOL.certkeys.

use sterna_sshwire::{DecodeError, NAME_LEN_MAX, Reader};

use crate::key::{KeyError, SignatureError};
use crate::limits::{
    CERTIFICATE_BLOB_LEN_MAX, CERTIFICATE_NONCE_LEN_MAX, CERTIFICATE_OPTIONS_MAX,
    CERTIFICATE_PRINCIPALS_MAX, KEY_BLOB_LEN_MAX,
};
use crate::{PublicKey, names};

/// What a certificate speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CertificateKind {
    User,
    Host,
}

/// A name with its data, of the critical options or of the extensions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertificateOption {
    pub name: Vec<u8>,
    /// Empty for a flag; otherwise it holds one more string, see [`CertificateOption::value`].
    pub data: Vec<u8>,
}

impl CertificateOption {
    /// The string that an option with a value carries.
    ///
    /// # Errors
    /// If the data is not exactly one string.
    pub fn value(&self) -> Result<&[u8], DecodeError> {
        let mut reader = Reader::new(&self.data);
        let value = reader.string("option value", KEY_BLOB_LEN_MAX)?;
        reader.finish("option value")?;
        Ok(value)
    }
}

/// A certificate as it was read; nothing in it is trusted yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Certificate {
    blob: Vec<u8>,
    /// How much of `blob` the authority signed.
    signed_len: usize,
    signature: Vec<u8>,
    /// The key that is certified.
    pub key: PublicKey,
    /// 0 if the authority does not count.
    pub serial: u64,
    pub kind: CertificateKind,
    /// The authority's words for logs, for example who asked for it. Any bytes.
    pub key_id: Vec<u8>,
    /// User or host names. Empty is for nobody, not for everybody.
    pub principals: Vec<Vec<u8>>,
    /// First second of validity, since 1970.
    pub valid_after: u64,
    /// First second that is not valid any more; `u64::MAX` is for ever.
    pub valid_before: u64,
    /// One that is not understood makes the certificate worthless.
    pub critical_options: Vec<CertificateOption>,
    /// One that is not understood is ignored.
    pub extensions: Vec<CertificateOption>,
    /// The authority's key: plain, never a certificate.
    pub ca: PublicKey,
}

impl Certificate {
    /// Decodes a certificate blob.
    ///
    /// # Errors
    /// As [`PublicKey::from_wire`]; also for an authority that is itself a certificate, options that
    /// stand twice, and more of anything than `limits.rs` allows.
    pub fn from_wire(blob: &[u8]) -> Result<Self, KeyError> {
        if blob.len() > CERTIFICATE_BLOB_LEN_MAX {
            return Err(DecodeError::invalid("certificate").into());
        }
        let mut r = Reader::new(blob);
        let name = r.string("certificate type", NAME_LEN_MAX)?;
        let name = std::str::from_utf8(name).map_err(|_| KeyError::Unsupported)?;
        let key_type = names::certified_key_type(name).ok_or(KeyError::Unsupported)?;
        r.string("certificate nonce", CERTIFICATE_NONCE_LEN_MAX)?;
        let key = PublicKey::read_fields(key_type, &mut r)?;
        let serial = r.u64("certificate serial")?;
        let kind = match r.u32("certificate kind")? {
            1 => CertificateKind::User,
            2 => CertificateKind::Host,
            _ => return Err(DecodeError::invalid("certificate kind").into()),
        };
        let key_id = r.string("certificate key id", KEY_BLOB_LEN_MAX)?.to_vec();
        let principals = principals(r.string("certificate principals", KEY_BLOB_LEN_MAX)?)?;
        let valid_after = r.u64("certificate valid after")?;
        let valid_before = r.u64("certificate valid before")?;
        let critical_options = options(r.string("critical options", KEY_BLOB_LEN_MAX)?)?;
        let extensions = options(r.string("extensions", KEY_BLOB_LEN_MAX)?)?;
        r.string("certificate reserved", KEY_BLOB_LEN_MAX)?;
        let ca = PublicKey::from_wire(r.string("certificate authority", KEY_BLOB_LEN_MAX)?)?;
        let signed_len = blob.len() - r.remaining();
        let signature = r.string("certificate signature", KEY_BLOB_LEN_MAX)?.to_vec();
        r.finish("certificate")?;
        Ok(Self {
            blob: blob.to_vec(),
            signed_len,
            signature,
            key,
            serial,
            kind,
            key_id,
            principals,
            valid_after,
            valid_before,
            critical_options,
            extensions,
            ca,
        })
    }

    /// The blob that was read, byte for byte.
    pub fn to_wire(&self) -> &[u8] {
        &self.blob
    }

    /// The name inside the blob, for example `ssh-ed25519-cert-v01@openssh.com`.
    pub fn type_name(&self) -> &'static str {
        names::certificate_type(self.key.key_type())
    }

    /// Whether the authority signed exactly this, by one of `algorithms`.
    ///
    /// # Errors
    /// [`SignatureError::WrongAlgorithm`] for an algorithm that is not among `algorithms`.
    pub fn verify_ca(&self, algorithms: &[&str]) -> Result<(), SignatureError> {
        let algorithm = Reader::new(&self.signature).string("signature algorithm", NAME_LEN_MAX)?;
        let algorithm =
            std::str::from_utf8(algorithm).map_err(|_| SignatureError::WrongAlgorithm)?;
        if !algorithms.contains(&algorithm) {
            return Err(SignatureError::WrongAlgorithm);
        }
        let signed = self.blob.get(..self.signed_len).unwrap_or_default();
        self.ca.verify(algorithm, signed, &self.signature).map(drop)
    }

    /// Whether `now` (seconds since 1970) is within the validity.
    pub fn is_valid_at(&self, now: u64) -> bool {
        self.valid_after <= now && (now < self.valid_before || self.valid_before == u64::MAX)
    }
}

fn principals(packed: &[u8]) -> Result<Vec<Vec<u8>>, DecodeError> {
    let mut r = Reader::new(packed);
    let mut all = Vec::new();
    while r.remaining() > 0 {
        if all.len() == CERTIFICATE_PRINCIPALS_MAX {
            return Err(DecodeError::invalid("certificate principals"));
        }
        all.push(r.string("certificate principal", KEY_BLOB_LEN_MAX)?.to_vec());
    }
    Ok(all)
}

/// Names ascend, so that none stands twice (CRT-2).
fn options(packed: &[u8]) -> Result<Vec<CertificateOption>, DecodeError> {
    let mut r = Reader::new(packed);
    let mut all: Vec<CertificateOption> = Vec::new();
    while r.remaining() > 0 {
        let name = r.string("option name", NAME_LEN_MAX)?.to_vec();
        let data = r.string("option data", KEY_BLOB_LEN_MAX)?.to_vec();
        let ascends = all.last().is_none_or(|before| before.name < name);
        if !ascends || all.len() == CERTIFICATE_OPTIONS_MAX {
            return Err(DecodeError::invalid("certificate options"));
        }
        all.push(CertificateOption { name, data });
    }
    Ok(all)
}

#[cfg(test)]
mod tests;
