//! OpenSSH's key revocation lists (KRL-1 to KRL-3; PROTOCOL.krl).
//!
//! A KRL names keys by blob or fingerprint, and certificates of an authority by serial or key id. It
//! is small for what it says: a range of serials takes 16 bytes and may stand for all of them. So
//! ranges and bitmaps are asked as they are and never written out.
//!
//! Whatever is not understood refuses the whole file: a revocation that is overlooked is a door left
//! open. A file cut between two of its sections cannot be told from a shorter one.

mod serials;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;

use sterna_ssh_crypto::{
    Certificate, HashAlgorithm, KEY_BLOB_LEN_MAX, KeyError, OfferedKey, PublicKey, names,
};
use sterna_sshwire::{DecodeError, NAME_LEN_MAX, Reader};

use crate::limits::{KRL_BITMAP_LEN_MAX, KRL_KEY_ID_LEN_MAX, REVOKED_KEYS_LEN_MAX};
use crate::revoked::{Revocation, RevokedBy, RevokedPart};
use serials::{SerialSet, SerialsError};

/// The first bytes of every KRL.
const MAGIC: &[u8; 8] = b"SSHKRL\n\0";

const FORMAT_VERSION: u32 = 1;

/// Section types.
mod section {
    pub const CERTIFICATES: u8 = 1;
    pub const EXPLICIT_KEYS: u8 = 2;
    pub const SHA1: u8 = 3;
    pub const SIGNATURE: u8 = 4;
    pub const SHA256: u8 = 5;
    pub const EXTENSION: u8 = 255;

    /// Types inside a section of certificates.
    pub mod certificates {
        pub const SERIAL_LIST: u8 = 0x20;
        pub const SERIAL_RANGE: u8 = 0x21;
        pub const SERIAL_BITMAP: u8 = 0x22;
        pub const KEY_IDS: u8 = 0x23;
        pub const EXTENSION: u8 = 0x39;
    }
}

/// Why a KRL is refused. Nothing that it might revoke may then be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KrlError {
    /// More than [`REVOKED_KEYS_LEN_MAX`] bytes.
    TooLong,
    /// It begins like something else.
    NotKrl,
    /// A format that is not ours.
    FormatVersion(u32),
    /// The fields do not decode.
    Malformed(DecodeError),
    /// The key of an authority does not read.
    Authority(KeyError),
    /// Serial 0 stands for "no serial"; a range runs backwards, or serials go beyond 64 bits.
    Serials,
    /// A section type that is not known.
    Section(u8),
    /// A signature inside: nobody would check it (OpenSSH dropped them in 9.4).
    Signed,
    /// An extension that must be understood and is not.
    CriticalExtension(String),
}

impl From<DecodeError> for KrlError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl From<SerialsError> for KrlError {
    fn from(_: SerialsError) -> Self {
        Self::Serials
    }
}

impl fmt::Display for KrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KRL: ")?;
        match self {
            Self::TooLong => write!(f, "longer than {REVOKED_KEYS_LEN_MAX} bytes"),
            Self::NotKrl => f.write_str("not a KRL"),
            Self::FormatVersion(version) => write!(f, "format version {version} is not supported"),
            Self::Malformed(error) => error.fmt(f),
            Self::Authority(error) => write!(f, "authority: {error}"),
            Self::Serials => f.write_str("serials are zero, backwards or too large"),
            Self::Section(number) => write!(f, "section type {number} is unknown"),
            Self::Signed => f.write_str("signed lists are not supported"),
            Self::CriticalExtension(name) => {
                write!(f, "critical extension {name:?} is not supported")
            }
        }
    }
}

impl std::error::Error for KrlError {}

/// A key revocation list, ready to be asked.
#[derive(Clone, Debug, Default)]
pub struct Krl {
    /// Counted up by whoever makes the lists.
    pub version: u64,
    /// When it was made, in seconds since 1970; nobody has proven it.
    pub generated: u64,
    /// For people. Any bytes.
    pub comment: Vec<u8>,
    /// By the blob of the authority's key; empty for every authority.
    certificates: HashMap<Vec<u8>, RevokedCertificates>,
    /// Sorted, like those that follow.
    keys: Vec<Box<[u8]>>,
    sha1: Vec<[u8; 20]>,
    sha256: Vec<[u8; 32]>,
}

/// What is revoked of one authority.
#[derive(Clone, Debug, Default)]
struct RevokedCertificates {
    serials: SerialSet,
    /// Sorted.
    key_ids: Vec<Box<[u8]>>,
}

impl Krl {
    /// Whether `bytes` begin as a KRL does.
    pub fn is_krl(bytes: &[u8]) -> bool {
        bytes.starts_with(MAGIC)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`KrlError`]; the caller must then trust no key that the list was to judge.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KrlError> {
        if bytes.len() > REVOKED_KEYS_LEN_MAX {
            return Err(KrlError::TooLong);
        }
        if !Self::is_krl(bytes) {
            return Err(KrlError::NotKrl);
        }
        let mut r = Reader::new(bytes);
        r.bytes("KRL magic", MAGIC.len())?;
        let format_version = r.u32("KRL format version")?;
        if format_version != FORMAT_VERSION {
            return Err(KrlError::FormatVersion(format_version));
        }
        let mut krl = Self {
            version: r.u64("KRL version")?,
            generated: r.u64("KRL date")?,
            ..Self::default()
        };
        // No flag has a meaning.
        r.u64("KRL flags")?;
        r.string("KRL reserved", REVOKED_KEYS_LEN_MAX)?;
        krl.comment = r.string("KRL comment", REVOKED_KEYS_LEN_MAX)?.to_vec();
        while !r.is_empty() {
            let number = r.u8("KRL section type")?;
            krl.section(number, Reader::new(r.string("KRL section", REVOKED_KEYS_LEN_MAX)?))?;
        }
        krl.sort();
        Ok(krl)
    }

    /// Why `offered` is revoked, if it is: the key itself, the certificate around it, or the key of the
    /// authority that signed the certificate.
    pub fn revocation(&self, offered: &OfferedKey) -> Option<Revocation> {
        let because = |part, by| Revocation { part, by };
        if let Some(by) = self.key_revoked(offered.key()) {
            return Some(because(RevokedPart::Key, by));
        }
        let certificate = offered.certificate()?;
        if let Some(by) = self.certificate_revoked(certificate) {
            return Some(because(RevokedPart::Certificate, by));
        }
        Some(because(RevokedPart::Authority, self.key_revoked(&certificate.ca)?))
    }

    fn key_revoked(&self, key: &PublicKey) -> Option<RevokedBy> {
        let blob = key.to_wire();
        let is_in = |hash: HashAlgorithm, at: &dyn Fn(&[u8]) -> bool| at(&hash.digest(&[&blob]));
        if self.keys.binary_search_by(|known| known.as_ref().cmp(&blob)).is_ok() {
            return Some(RevokedBy::ExplicitKey);
        }
        if is_in(HashAlgorithm::Sha256, &|hash| contains(&self.sha256, hash)) {
            return Some(RevokedBy::Sha256Fingerprint);
        }
        is_in(HashAlgorithm::Sha1, &|hash| contains(&self.sha1, hash))
            .then_some(RevokedBy::Sha1Fingerprint)
    }

    fn certificate_revoked(&self, certificate: &Certificate) -> Option<RevokedBy> {
        let of_its_authority = self.certificates.get(&certificate.ca.to_wire());
        let of_every_authority = self.certificates.get(&[][..]);
        of_its_authority.into_iter().chain(of_every_authority).find_map(|revoked| {
            let key_id = certificate.key_id.as_slice();
            if revoked.key_ids.binary_search_by(|known| known.as_ref().cmp(key_id)).is_ok() {
                return Some(RevokedBy::KeyId);
            }
            let serial = certificate.serial;
            revoked.serials.contains(serial).then_some(RevokedBy::Serial(serial))
        })
    }

    fn section(&mut self, number: u8, mut r: Reader<'_>) -> Result<(), KrlError> {
        match number {
            section::CERTIFICATES => {
                let authority = match r.string("KRL authority", KEY_BLOB_LEN_MAX)? {
                    [] => Vec::new(),
                    blob => authority(blob)?.to_vec(),
                };
                r.string("KRL reserved", REVOKED_KEYS_LEN_MAX)?;
                let revoked = self.certificates.entry(authority).or_default();
                while !r.is_empty() {
                    let number = r.u8("KRL certificate section type")?;
                    let data = r.string("KRL certificate section", REVOKED_KEYS_LEN_MAX)?;
                    revoked.section(number, Reader::new(data))?;
                }
            }
            section::EXPLICIT_KEYS => {
                while !r.is_empty() {
                    let blob = r.string("KRL key", KEY_BLOB_LEN_MAX)?;
                    self.keys.push(plain_key_blob(blob)?.into());
                }
            }
            section::SHA1 => fingerprints(&mut r, &mut self.sha1)?,
            section::SHA256 => fingerprints(&mut r, &mut self.sha256)?,
            section::EXTENSION => extension(&mut r)?,
            section::SIGNATURE => return Err(KrlError::Signed),
            unknown => return Err(KrlError::Section(unknown)),
        }
        Ok(r.finish("KRL section")?)
    }

    fn sort(&mut self) {
        for revoked in self.certificates.values_mut() {
            revoked.serials.sort();
            sort_set(&mut revoked.key_ids);
        }
        sort_set(&mut self.keys);
        sort_set(&mut self.sha1);
        sort_set(&mut self.sha256);
    }
}

impl RevokedCertificates {
    fn section(&mut self, number: u8, mut r: Reader<'_>) -> Result<(), KrlError> {
        use section::certificates;
        match number {
            certificates::SERIAL_LIST => {
                while !r.is_empty() {
                    let serial = r.u64("KRL serial")?;
                    self.serials.add_range(serial, serial)?;
                }
            }
            certificates::SERIAL_RANGE => {
                let (first, last) = (r.u64("KRL serial range")?, r.u64("KRL serial range")?);
                self.serials.add_range(first, last)?;
            }
            certificates::SERIAL_BITMAP => {
                let offset = r.u64("KRL bitmap offset")?;
                self.serials.add_bitmap(offset, r.mpint("KRL bitmap", KRL_BITMAP_LEN_MAX)?)?;
            }
            certificates::KEY_IDS => {
                while !r.is_empty() {
                    self.key_ids.push(r.string("KRL key id", KRL_KEY_ID_LEN_MAX)?.into());
                }
            }
            certificates::EXTENSION => extension(&mut r)?,
            unknown => return Err(KrlError::Section(unknown)),
        }
        Ok(r.finish("KRL certificate section")?)
    }
}

/// An authority must be a key of a type that we speak, as OpenSSH has it; one that is too short or too
/// long for us signs nothing that we take, and does no harm.
fn authority(blob: &[u8]) -> Result<&[u8], KrlError> {
    match PublicKey::from_wire(blob) {
        Ok(_) | Err(KeyError::RsaBits(_)) => Ok(blob),
        Err(why) => Err(KrlError::Authority(why)),
    }
}

/// A key blob as far as it has to be known here: it names its type, and that is no certificate's, which
/// no key would ever equal.
fn plain_key_blob(blob: &[u8]) -> Result<&[u8], DecodeError> {
    let key_type = Reader::new(blob).utf8("KRL key type", NAME_LEN_MAX)?;
    if names::is_certificate(key_type) {
        return Err(DecodeError::invalid("KRL key type"));
    }
    Ok(blob)
}

fn fingerprints<const N: usize>(
    r: &mut Reader<'_>,
    all: &mut Vec<[u8; N]>,
) -> Result<(), DecodeError> {
    while !r.is_empty() {
        let hash = r.string("KRL fingerprint", N)?;
        all.push(hash.try_into().map_err(|_| DecodeError::invalid("KRL fingerprint"))?);
    }
    Ok(())
}

/// None is known: a critical one refuses the file, any other is passed over.
fn extension(r: &mut Reader<'_>) -> Result<(), KrlError> {
    let name = r.string("KRL extension name", NAME_LEN_MAX)?;
    let critical = r.bool("KRL extension is critical")?;
    r.string("KRL extension", REVOKED_KEYS_LEN_MAX)?;
    if critical {
        return Err(KrlError::CriticalExtension(String::from_utf8_lossy(name).into_owned()));
    }
    Ok(())
}

fn sort_set<T: Ord>(all: &mut Vec<T>) {
    all.sort_unstable();
    all.dedup();
    all.shrink_to_fit();
}

fn contains<const N: usize>(sorted: &[[u8; N]], hash: &[u8]) -> bool {
    sorted.binary_search_by(|known| known.as_slice().cmp(hash)).is_ok()
}
