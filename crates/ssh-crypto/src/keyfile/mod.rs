//! Private key files: OpenSSH's own format, PuTTY's, and PKCS#8, PKCS#1 and SEC1 in PEM armour (KEY-1),
//! encrypted or not.
//!
//! What kind of file it is, its first line says. Reading is bounded: file length, the work of every key
//! derivation, and no recursion. Written is OpenSSH's format only, without a passphrase.
//!
//! Not here: file permissions and paths (the callers'), certificates beside a key (`offered.rs`).

mod dek;
mod der;
mod openssh;
mod pem;
mod pkcs8;
mod ppk;

use std::fmt;

use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin, EcPrivateKeyBin};
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
use zeroize::Zeroizing;

use crate::key::RsaPrivateParts;
use crate::nist::NistCurve;
use crate::{Certificate, KEY_FILE_LEN_MAX, PrivateKey, PublicKey};

pub(crate) use der::rsa_parts_of_pkcs8;

/// Why a file gave no private key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFileError {
    /// It is encrypted and no passphrase was given: ask for one.
    Encrypted,
    /// The passphrase does not fit: ask again.
    WrongPassphrase,
    /// A format, cipher or key type that we do not read; says which.
    Unsupported(&'static str),
    /// Not a key file, or a damaged one; says where.
    Malformed(&'static str),
}

impl fmt::Display for KeyFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Encrypted => f.write_str("key file is encrypted, a passphrase is needed"),
            Self::WrongPassphrase => f.write_str("key file: wrong passphrase"),
            Self::Unsupported(what) => write!(f, "key file: {what} not supported"),
            Self::Malformed(what) => write!(f, "key file: {what}"),
        }
    }
}

impl std::error::Error for KeyFileError {}

/// The label of OpenSSH's own format, in PEM armour.
const OPENSSH: &str = "OPENSSH PRIVATE KEY";

/// The PEM labels that we know.
enum Label {
    OpenSsh,
    EncryptedPkcs8,
    /// Encrypted only if the armour has headers that say so.
    Plain(Layout),
}

/// The DER structures that a private key comes in.
#[derive(Clone, Copy)]
enum Layout {
    /// `PrivateKeyInfo` (RFC 5958).
    Pkcs8,
    /// `RSAPrivateKey` (RFC 8017 §A.1.2).
    Pkcs1,
    /// `ECPrivateKey` (RFC 5915).
    Sec1,
}

impl Label {
    fn of(label: &str) -> Result<Self, KeyFileError> {
        Ok(match label {
            OPENSSH => Self::OpenSsh,
            "ENCRYPTED PRIVATE KEY" => Self::EncryptedPkcs8,
            "PRIVATE KEY" => Self::Plain(Layout::Pkcs8),
            "RSA PRIVATE KEY" => Self::Plain(Layout::Pkcs1),
            "EC PRIVATE KEY" => Self::Plain(Layout::Sec1),
            _ => return Err(KeyFileError::Unsupported("this kind of PEM block is")),
        })
    }
}

/// The public half and the comment of a private key file that holds them in clear: OpenSSH's format and
/// PuTTY's. Needs no passphrase. `None` for every other format, and for damaged files.
///
/// In an encrypted file nothing protects them: use the key to ask whether a server would take it, and
/// nothing else. The comment is empty where it is encrypted (OpenSSH's format). The files of security
/// keys have a public half too, though [`PrivateKey::from_text`] refuses them.
pub fn public_key_of(text: &str) -> Option<(PublicKey, String)> {
    if text.len() > KEY_FILE_LEN_MAX {
        return None;
    }
    if text.starts_with(ppk::MAGIC) {
        return ppk::public_half(text);
    }
    let armour = pem::decode(text).ok()?;
    if armour.label == OPENSSH { openssh::public_half(&armour.bytes) } else { None }
}

/// True if a private key file is encrypted and a passphrase may open it: not for damaged ones, and not
/// for those that [`PrivateKey::from_text`] refuses whatever the passphrase.
pub fn is_encrypted(text: &str) -> bool {
    matches!(PrivateKey::from_text(text, None), Err(KeyFileError::Encrypted))
}

impl PrivateKey {
    /// Reads the text of a private key file. Text around PEM armour is ignored.
    ///
    /// `passphrase` is used only if the file is encrypted. Trying one may take seconds, as the file's
    /// author asked for; what would take longer is refused before a passphrase is needed.
    ///
    /// Formats without a MAC (all of PEM but OpenSSH's own) tell a wrong passphrase, or damage, only by
    /// what they decrypt to. Damage inside an Ed25519 key in PKCS#8 may give another key: that format
    /// holds 32 bytes of which all values are keys, and nothing beside them.
    ///
    /// # Errors
    /// [`KeyFileError`]: [`Encrypted`](KeyFileError::Encrypted) if the file is encrypted, a passphrase
    /// could open it and none was given.
    pub fn from_text(text: &str, passphrase: Option<&str>) -> Result<Self, KeyFileError> {
        if text.len() > KEY_FILE_LEN_MAX {
            return Err(KeyFileError::Malformed("file is too long"));
        }
        if text.starts_with(ppk::MAGIC) {
            return ppk::decode(text, passphrase);
        }
        let armour = pem::decode(text)?;
        let (layout, clear) = match (Label::of(armour.label)?, armour.dek_info) {
            (Label::OpenSsh, None) => return openssh::decode(&armour.bytes, passphrase),
            (Label::Plain(layout), None) => return from_der(layout, &armour.bytes),
            (Label::EncryptedPkcs8, None) => {
                (Layout::Pkcs8, pkcs8::decrypt(&armour.bytes, passphrase)?)
            }
            (Label::Plain(layout), Some(info)) => {
                (layout, dek::decrypt(info, &armour.bytes, passphrase)?)
            }
            (Label::OpenSsh | Label::EncryptedPkcs8, Some(_)) => {
                return Err(KeyFileError::Malformed("encrypted twice"));
            }
        };
        if der::looks_like_private_key(&clear) {
            from_der(layout, &clear)
        } else {
            Err(KeyFileError::WrongPassphrase)
        }
    }

    /// The text of an OpenSSH key file with this key, not encrypted, with `comment`.
    pub fn to_openssh_text(&self, comment: &str) -> Zeroizing<String> {
        pem::encode(OPENSSH, &openssh::encode(self, comment))
    }

    /// The key as an agent takes it (RFC 9987 §3.2), from its type to the last of its fields; the comment
    /// follows. With a certificate of it, the agent will have that beside the key.
    pub fn to_agent_wire(&self, certificate: Option<&Certificate>) -> Zeroizing<Vec<u8>> {
        let certificate_len = certificate.map_or(0, |c| c.to_wire().len());
        // Large enough for every key that we can read, so that no copy of a secret is left behind.
        let mut out = Zeroizing::new(Vec::with_capacity(16 * 1024 + certificate_len));
        openssh::put_key_fields(&mut out, self, certificate);
        out
    }
}

/// The key of a PEM block, decrypted if it was encrypted.
fn from_der(layout: Layout, der: &[u8]) -> Result<PrivateKey, KeyFileError> {
    let key = match layout {
        Layout::Pkcs8 => from_pkcs8(der),
        Layout::Pkcs1 => RsaKeyPair::from_der(der).ok().and_then(PrivateKey::from_rsa_pair),
        Layout::Sec1 => NistCurve::ALL.into_iter().find_map(|curve| {
            ecdsa(curve, &EcdsaKeyPair::from_private_key_der(curve.signing(), der).ok()?)
        }),
    };
    key.ok_or(KeyFileError::Malformed("no key that we can use is inside"))
}

/// PKCS#8 says inside what it holds: each reader refuses what is not its own.
fn from_pkcs8(der: &[u8]) -> Option<PrivateKey> {
    if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
        let seed: Curve25519SeedBin<'_> = pair.seed().ok()?.as_be_bytes().ok()?;
        return PrivateKey::from_ed25519_seed(seed.as_ref().try_into().ok()?);
    }
    if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
        return PrivateKey::from_rsa_pair(pair);
    }
    NistCurve::ALL
        .into_iter()
        .find_map(|curve| ecdsa(curve, &EcdsaKeyPair::from_pkcs8(curve.signing(), der).ok()?))
}

fn ecdsa(curve: NistCurve, pair: &EcdsaKeyPair) -> Option<PrivateKey> {
    let scalar: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().ok()?;
    PrivateKey::from_ecdsa_scalar(curve, scalar.as_ref())
}

/// The ECDSA key of a number from a file, which may lack leading zeros.
fn ecdsa_of_number(curve: NistCurve, number: &[u8]) -> Result<PrivateKey, KeyFileError> {
    let bad = KeyFileError::Malformed("ECDSA private key");
    let mut scalar = Zeroizing::new(vec![0; curve.field_len()]);
    let start = scalar.len().checked_sub(number.len()).ok_or(bad)?;
    scalar[start..].copy_from_slice(number);
    PrivateKey::from_ecdsa_scalar(curve, &scalar).ok_or(bad)
}

fn rsa_of_parts(parts: RsaPrivateParts) -> Result<PrivateKey, KeyFileError> {
    PrivateKey::from_rsa_parts(parts).ok_or(KeyFileError::Unsupported(
        "an RSA key of this size or with parts that do not fit is",
    ))
}

/// The public half beside a key is not always authenticated: it must be the key's own.
fn with_its_public_half(
    key: PrivateKey,
    public: Option<&PublicKey>,
) -> Result<PrivateKey, KeyFileError> {
    if public == Some(key.public()) {
        Ok(key)
    } else {
        Err(KeyFileError::Malformed("public and private halves differ"))
    }
}

#[cfg(test)]
mod tests;
