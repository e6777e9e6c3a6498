//! Private keys: making them and signing with them. Reading and writing files is in `keyfile/`.

use std::fmt;

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA512, RsaEncoding,
};
use sterna_sshwire::put_string;
use zeroize::Zeroizing;

use super::{PublicKey, RsaPrivateParts, RsaPublicKey, SignError, ecdsa};
use crate::nist::NistCurve;
use crate::{Random, keyfile, names};

/// What kind of key to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    Ed25519,
    EcdsaP256,
    EcdsaP384,
    EcdsaP521,
    /// 2048, 3072, 4096 or 8192 bits.
    Rsa {
        bits: usize,
    },
}

/// A private key that can sign. Never shown by `Debug`; secret parts are wiped when dropped.
pub struct PrivateKey {
    public: PublicKey,
    secret: Secret,
    comment: String,
}

/// The library's key beside the bytes that a file needs: the library gives them back only as DER.
pub(crate) enum Secret {
    Ed25519 { pair: Ed25519KeyPair, seed: Zeroizing<[u8; 32]> },
    Ecdsa { curve: NistCurve, pair: EcdsaKeyPair, scalar: Zeroizing<Vec<u8>> },
    Rsa { pair: RsaKeyPair, parts: RsaPrivateParts },
}

impl PrivateKey {
    /// Makes a new key. RSA keys are drawn from AWS-LC's own generator, the others from `random`.
    ///
    /// # Errors
    /// [`SignError::Unsupported`] for an RSA size that is not offered, [`SignError::Internal`] if the
    /// library fails.
    pub fn generate(key_type: KeyType, random: &mut dyn Random) -> Result<Self, SignError> {
        let key = match key_type {
            KeyType::Ed25519 => {
                let mut seed = Zeroizing::new([0; 32]);
                random.fill(&mut *seed);
                Self::from_ed25519_seed(&seed)
            }
            KeyType::EcdsaP256 => Self::generate_ecdsa(NistCurve::P256, random),
            KeyType::EcdsaP384 => Self::generate_ecdsa(NistCurve::P384, random),
            KeyType::EcdsaP521 => Self::generate_ecdsa(NistCurve::P521, random),
            KeyType::Rsa { bits } => {
                let size = match bits {
                    2048 => KeySize::Rsa2048,
                    3072 => KeySize::Rsa3072,
                    4096 => KeySize::Rsa4096,
                    8192 => KeySize::Rsa8192,
                    _ => return Err(SignError::Unsupported),
                };
                RsaKeyPair::generate(size).ok().and_then(Self::from_rsa_pair)
            }
        };
        key.ok_or(SignError::Internal)
    }

    /// The Ed25519 key of a 32-byte seed (RFC 8032 §5.1.5); None only if the library fails.
    pub fn from_ed25519_seed(seed: &[u8; 32]) -> Option<Self> {
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).ok()?;
        let public = PublicKey::Ed25519(pair.public_key().as_ref().try_into().ok()?);
        Some(Self::new(public, Secret::Ed25519 { pair, seed: Zeroizing::new(*seed) }))
    }

    /// The ECDSA key of a scalar of the field's length; None outside `1..n`.
    pub(crate) fn from_ecdsa_scalar(curve: NistCurve, scalar: &[u8]) -> Option<Self> {
        let point = curve.public_point(scalar)?;
        let pair =
            EcdsaKeyPair::from_private_key_and_public_key(curve.signing(), scalar, &point).ok()?;
        let scalar = Zeroizing::new(scalar.to_vec());
        let public = PublicKey::Ecdsa { curve, point };
        Some(Self::new(public, Secret::Ecdsa { curve, pair, scalar }))
    }

    /// The RSA key of its parts; None if they do not fit together or the size is out of bounds.
    pub(crate) fn from_rsa_parts(parts: RsaPrivateParts) -> Option<Self> {
        let public = PublicKey::Rsa(RsaPublicKey::new(&parts.e, &parts.n).ok()?);
        let pair = parts.key_pair()?;
        Some(Self::new(public, Secret::Rsa { pair, parts }))
    }

    /// The RSA key that the library read or made.
    pub(crate) fn from_rsa_pair(pair: RsaKeyPair) -> Option<Self> {
        let der: Pkcs8V1Der<'_> = pair.as_der().ok()?;
        Self::from_rsa_parts(keyfile::rsa_parts_of_pkcs8(der.as_ref())?)
    }

    fn generate_ecdsa(curve: NistCurve, random: &mut dyn Random) -> Option<Self> {
        Self::from_ecdsa_scalar(curve, &curve.random_scalar(random)?)
    }

    fn new(public: PublicKey, secret: Secret) -> Self {
        Self { public, secret, comment: String::new() }
    }

    /// The public half.
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The comment of the file it was read from; empty for a new key and for files that carry none.
    pub fn comment(&self) -> &str {
        &self.comment
    }

    pub(crate) fn with_comment(mut self, comment: &str) -> Self {
        self.comment = comment.to_owned();
        self
    }

    pub(crate) fn secret(&self) -> &Secret {
        &self.secret
    }

    /// Signs `message`; the answer is the whole signature blob, with `algorithm` in it.
    ///
    /// ECDSA nonces are uniform below the group order, drawn by AWS-LC (no reduction: KEY-2).
    ///
    /// # Errors
    /// [`SignError::Unsupported`] if `algorithm` is not one of this key's
    /// [`signature_algorithms`](PublicKey::signature_algorithms); we never sign with SHA-1.
    pub fn sign(&self, algorithm: &str, message: &[u8]) -> Result<Vec<u8>, SignError> {
        if !self.public.signature_algorithms().contains(&algorithm) {
            return Err(SignError::Unsupported);
        }
        let internal = |_| SignError::Internal;
        let raw = match &self.secret {
            Secret::Ed25519 { pair, .. } => {
                pair.try_sign(message).map_err(internal)?.as_ref().to_vec()
            }
            Secret::Ecdsa { pair, .. } => {
                let fixed = pair.sign(&SystemRandom::new(), message).map_err(internal)?;
                ecdsa::from_fixed(fixed.as_ref())
            }
            Secret::Rsa { pair, .. } => {
                let encoding: &'static dyn RsaEncoding = match algorithm {
                    names::RSA_SHA2_512 => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                let mut raw = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), message, &mut raw).map_err(internal)?;
                raw
            }
        };
        let mut blob = Vec::with_capacity(raw.len() + 40);
        put_string(&mut blob, algorithm.as_bytes());
        put_string(&mut blob, &raw);
        Ok(blob)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({} {})", self.public.key_type(), self.public.fingerprint())
    }
}
