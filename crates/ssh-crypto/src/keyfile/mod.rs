//! Private key files: OpenSSH's own format, PKCS#8, PKCS#1 and SEC1, all in PEM armour (KEY-1).
//!
//! What kind of file it is, its first line says. Reading is bounded: file length, bcrypt rounds, and no
//! recursion. Written is OpenSSH's format only, without a passphrase.
//!
//! Not here: file permissions and paths (the callers').

mod der;
mod openssh;
mod pem;

use std::fmt;

use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin, EcPrivateKeyBin};
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{EcdsaKeyPair, Ed25519KeyPair};
use zeroize::Zeroizing;

use crate::nist::NistCurve;
use crate::{KEY_FILE_LEN_MAX, PrivateKey};

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

impl PrivateKey {
    /// Reads the text of a private key file. Text around the armour is ignored.
    ///
    /// `passphrase` is used only if the file is encrypted. Trying one may take a second, as the file's
    /// author asked for.
    ///
    /// # Errors
    /// [`KeyFileError`]. Encrypted files are read in OpenSSH's format only.
    pub fn from_text(text: &str, passphrase: Option<&str>) -> Result<Self, KeyFileError> {
        if text.len() > KEY_FILE_LEN_MAX {
            return Err(KeyFileError::Malformed("file is too long"));
        }
        if text.trim_start().starts_with("PuTTY-User-Key-File") {
            return Err(KeyFileError::Unsupported("PuTTY's format (puttygen can convert it) is"));
        }
        let armour = pem::decode(text)?;
        let key = match armour.label {
            "OPENSSH PRIVATE KEY" => return openssh::decode(&armour.bytes, passphrase),
            "ENCRYPTED PRIVATE KEY" => {
                return Err(KeyFileError::Unsupported(
                    "encrypted PKCS#8 (ssh-keygen -p can convert it) is",
                ));
            }
            "PRIVATE KEY" => from_pkcs8(&armour.bytes),
            "RSA PRIVATE KEY" => {
                RsaKeyPair::from_der(&armour.bytes).ok().and_then(Self::from_rsa_pair)
            }
            "EC PRIVATE KEY" => NistCurve::ALL.into_iter().find_map(|curve| {
                ecdsa(
                    curve,
                    &EcdsaKeyPair::from_private_key_der(curve.signing(), &armour.bytes).ok()?,
                )
            }),
            _ => return Err(KeyFileError::Unsupported("this kind of PEM block is")),
        };
        key.ok_or(KeyFileError::Malformed("no key that we can use is inside"))
    }

    /// The text of an OpenSSH key file with this key, not encrypted, with `comment`.
    pub fn to_openssh_text(&self, comment: &str) -> Zeroizing<String> {
        pem::encode("OPENSSH PRIVATE KEY", &openssh::encode(self, comment))
    }
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

#[cfg(test)]
mod tests;
