//! Public keys: wire form, text form, fingerprint.

use aws_lc_rs::signature::ParsedPublicKey;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use sterna_sshwire::{DecodeError, NAME_LEN_MAX, Reader, put_mpint, put_string};

use super::KeyError;
use crate::nist::NistCurve;
use crate::{
    HashAlgorithm, KEY_BLOB_LEN_MAX, RSA_BITS_MAX, RSA_BITS_MIN, RSA_EXPONENT_BITS_MAX,
    SK_APPLICATION_LEN_MAX, names,
};

/// Bytes of an Ed25519 public key.
pub(super) const ED25519_LEN: usize = 32;

/// A public key. The values inside are checked: points lie on their curve, RSA sizes are in bounds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublicKey {
    Ed25519([u8; ED25519_LEN]),
    /// The point is uncompressed (`04 || x || y`).
    Ecdsa {
        curve: NistCurve,
        point: Vec<u8>,
    },
    Rsa(RsaPublicKey),
    /// `sk-ssh-ed25519@openssh.com`: the private half lives in a token.
    SkEd25519 {
        key: [u8; ED25519_LEN],
        application: Vec<u8>,
    },
    /// `sk-ecdsa-sha2-nistp256@openssh.com`.
    SkEcdsaP256 {
        point: Vec<u8>,
        application: Vec<u8>,
    },
}

/// An RSA key: big-endian magnitudes without leading zeros.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RsaPublicKey {
    pub(super) e: Vec<u8>,
    pub(super) n: Vec<u8>,
}

impl PublicKey {
    /// Decodes a key blob, as in host key messages, public key requests and key files.
    ///
    /// # Errors
    /// [`KeyError::Unsupported`] for types that we do not speak, and for certificates;
    /// [`KeyError::RsaBits`]; [`KeyError::Malformed`] for everything else, left-over bytes too.
    pub fn from_wire(blob: &[u8]) -> Result<Self, KeyError> {
        if blob.len() > KEY_BLOB_LEN_MAX {
            return Err(DecodeError::invalid("key blob").into());
        }
        let mut reader = Reader::new(blob);
        let name = reader.string("key type", KEY_BLOB_LEN_MAX)?;
        let name = std::str::from_utf8(name).map_err(|_| KeyError::Unsupported)?;
        let key = Self::read_fields(name, &mut reader)?;
        reader.finish("key blob")?;
        Ok(key)
    }

    /// Reads the fields of a key of type `key_type`: what stands behind the type in a key blob, and
    /// behind the nonce in a certificate.
    pub(crate) fn read_fields(key_type: &str, reader: &mut Reader<'_>) -> Result<Self, KeyError> {
        Ok(match key_type {
            names::SSH_ED25519 => Self::Ed25519(ed25519(reader)?),
            names::ECDSA_P256 => ecdsa(reader, NistCurve::P256)?,
            names::ECDSA_P384 => ecdsa(reader, NistCurve::P384)?,
            names::ECDSA_P521 => ecdsa(reader, NistCurve::P521)?,
            names::SSH_RSA => Self::Rsa(rsa(reader)?),
            names::SK_ED25519 => {
                Self::SkEd25519 { key: ed25519(reader)?, application: application(reader)? }
            }
            names::SK_ECDSA_P256 => Self::SkEcdsaP256 {
                point: point(reader, NistCurve::P256)?,
                application: application(reader)?,
            },
            _ => return Err(KeyError::Unsupported),
        })
    }

    /// The key blob: what [`from_wire`](Self::from_wire) reads.
    pub fn to_wire(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put_string(&mut out, self.key_type().as_bytes());
        match self {
            Self::Ed25519(key) => put_string(&mut out, key),
            Self::Ecdsa { curve, point } => {
                put_string(&mut out, curve.name().as_bytes());
                put_string(&mut out, point);
            }
            Self::Rsa(key) => {
                put_mpint(&mut out, &key.e);
                put_mpint(&mut out, &key.n);
            }
            Self::SkEd25519 { key, application } => {
                put_string(&mut out, key);
                put_string(&mut out, application);
            }
            Self::SkEcdsaP256 { point, application } => {
                put_string(&mut out, NistCurve::P256.name().as_bytes());
                put_string(&mut out, point);
                put_string(&mut out, application);
            }
        }
        out
    }

    /// The name inside the blob. For RSA this is `ssh-rsa`, whatever the signature algorithm.
    pub fn key_type(&self) -> &'static str {
        match self {
            Self::Ed25519(_) => names::SSH_ED25519,
            Self::Ecdsa { curve, .. } => curve.key_type(),
            Self::Rsa(_) => names::SSH_RSA,
            Self::SkEd25519 { .. } => names::SK_ED25519,
            Self::SkEcdsaP256 { .. } => names::SK_ECDSA_P256,
        }
    }

    /// The signature algorithms of this key, the preferred one first. SHA-1 is not among them.
    pub fn signature_algorithms(&self) -> &'static [&'static str] {
        match self {
            Self::Ed25519(_) => &[names::SSH_ED25519],
            Self::Ecdsa { curve: NistCurve::P256, .. } => &[names::ECDSA_P256],
            Self::Ecdsa { curve: NistCurve::P384, .. } => &[names::ECDSA_P384],
            Self::Ecdsa { curve: NistCurve::P521, .. } => &[names::ECDSA_P521],
            Self::Rsa(_) => &[names::RSA_SHA2_512, names::RSA_SHA2_256],
            Self::SkEd25519 { .. } => &[names::SK_ED25519],
            Self::SkEcdsaP256 { .. } => &[names::SK_ECDSA_P256],
        }
    }

    /// Key size in bits, as `ssh-keygen -l` shows it.
    pub fn bits(&self) -> usize {
        match self {
            Self::Ed25519(_) | Self::SkEd25519 { .. } | Self::SkEcdsaP256 { .. } => 256,
            Self::Ecdsa { curve, .. } => curve.bits(),
            Self::Rsa(key) => bit_len(&key.n),
        }
    }

    /// `SHA256:` and the unpadded base64 of the blob's hash, as OpenSSH shows it.
    pub fn fingerprint(&self) -> String {
        let hash = HashAlgorithm::Sha256.digest(&[&self.to_wire()]);
        format!("SHA256:{}", STANDARD_NO_PAD.encode(hash))
    }

    /// Reads one line `type base64 comment`, as in `id_ed25519.pub`. The comment may be missing and
    /// may hold blanks. Options in front (`authorized_keys`) are the caller's to take off.
    ///
    /// # Errors
    /// Those of [`from_wire`](Self::from_wire); also if the type in front is not the one in the blob.
    pub fn from_openssh(line: &str) -> Result<(Self, &str), KeyError> {
        let (key_type, blob, comment) = split_key_line(line, KEY_BLOB_LEN_MAX)?;
        let key = Self::from_wire(&blob)?;
        if key.key_type() != key_type {
            return Err(DecodeError::invalid("key line").into());
        }
        Ok((key, comment))
    }

    /// One line `type base64 comment` without a line end; no blank behind if `comment` is empty.
    pub fn to_openssh(&self, comment: &str) -> String {
        let line = format!("{} {}", self.key_type(), STANDARD.encode(self.to_wire()));
        if comment.is_empty() { line } else { format!("{line} {comment}") }
    }
}

impl RsaPublicKey {
    /// Checks sizes and the exponent; both magnitudes without leading zeros.
    ///
    /// # Errors
    /// [`KeyError::RsaBits`]; [`KeyError::Malformed`] for an exponent that is even, below 3 or longer
    /// than [`RSA_EXPONENT_BITS_MAX`], or an even modulus.
    pub(crate) fn new(e: &[u8], n: &[u8]) -> Result<Self, KeyError> {
        let bits = bit_len(n);
        if !(RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits) {
            return Err(KeyError::RsaBits(bits));
        }
        let odd = |number: &[u8]| number.last().is_some_and(|last| last % 2 == 1);
        if !odd(n) {
            return Err(DecodeError::invalid("RSA modulus").into());
        }
        if !odd(e) || e == [1] || bit_len(e) > RSA_EXPONENT_BITS_MAX {
            return Err(DecodeError::invalid("RSA exponent").into());
        }
        Ok(Self { e: e.to_vec(), n: n.to_vec() })
    }

    /// The public exponent.
    pub fn e(&self) -> &[u8] {
        &self.e
    }

    /// The modulus.
    pub fn n(&self) -> &[u8] {
        &self.n
    }
}

/// The type, the blob and the comment of a line `type base64 comment`.
pub(crate) fn split_key_line(
    line: &str,
    blob_len_max: usize,
) -> Result<(&str, Vec<u8>, &str), DecodeError> {
    let malformed = || DecodeError::invalid("key line");
    let (key_type, rest) = line.trim().split_once([' ', '\t']).ok_or_else(malformed)?;
    let rest = rest.trim_start();
    let (encoded, comment) = rest.split_once([' ', '\t']).unwrap_or((rest, ""));
    if encoded.len() > blob_len_max.div_ceil(3) * 4 {
        return Err(malformed());
    }
    let blob = STANDARD.decode(encoded).map_err(|_| malformed())?;
    Ok((key_type, blob, comment.trim_start()))
}

fn ed25519(reader: &mut Reader<'_>) -> Result<[u8; ED25519_LEN], DecodeError> {
    let key = reader.string("Ed25519 key", ED25519_LEN)?;
    key.try_into().map_err(|_| DecodeError::invalid("Ed25519 key"))
}

fn ecdsa(reader: &mut Reader<'_>, curve: NistCurve) -> Result<PublicKey, DecodeError> {
    Ok(PublicKey::Ecdsa { curve, point: point(reader, curve)? })
}

/// Curve name and point; the name must fit the key type (HKA-3).
fn point(reader: &mut Reader<'_>, curve: NistCurve) -> Result<Vec<u8>, DecodeError> {
    if reader.string("curve name", NAME_LEN_MAX)? != curve.name().as_bytes() {
        return Err(DecodeError::invalid("curve name"));
    }
    let point = reader.string("curve point", curve.point_len())?;
    let on_curve = || ParsedPublicKey::new(curve.verification(), point).is_ok();
    if curve.is_uncompressed(point) && on_curve() {
        Ok(point.to_vec())
    } else {
        Err(DecodeError::invalid("curve point"))
    }
}

fn rsa(reader: &mut Reader<'_>) -> Result<RsaPublicKey, KeyError> {
    // One bit more than allowed may still decode, so that the error can say how many there are.
    let e = reader.mpint("RSA exponent", RSA_BITS_MAX / 8)?;
    let n = reader.mpint("RSA modulus", RSA_BITS_MAX / 8)?;
    RsaPublicKey::new(e, n)
}

fn application(reader: &mut Reader<'_>) -> Result<Vec<u8>, DecodeError> {
    Ok(reader.string("security key application", SK_APPLICATION_LEN_MAX)?.to_vec())
}

/// Bits of a magnitude without leading zeros.
pub(super) fn bit_len(magnitude: &[u8]) -> usize {
    magnitude.len() * 8 - magnitude.first().map_or(0, |first| first.leading_zeros() as usize)
}
