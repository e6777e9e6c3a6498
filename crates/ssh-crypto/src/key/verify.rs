//! Verifying signature blobs: algorithm first, then layout, then mathematics (HKA-1 to HKA-6).

use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
use sterna_sshwire::{NAME_LEN_MAX, Reader};

use super::{PublicKey, SignatureError, ecdsa};
use crate::nist::NistCurve;
use crate::{HashAlgorithm, SIGNATURE_BLOB_LEN_MAX, names};

/// How a security key made a signature that is valid (OpenSSH PROTOCOL.u2f).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenUse {
    /// Somebody touched the token.
    pub touched: bool,
    /// The token asked for a PIN or fingerprint.
    pub user_verified: bool,
    /// Grows with every signature of the token, unless it is 0: such a token does not count.
    pub counter: u32,
}

/// Flags byte of a security key's signature.
const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;

impl PublicKey {
    /// Verifies a signature blob over `message`. Security keys must have been touched.
    ///
    /// `algorithm` is what was agreed (host keys) or what the request names (users); that it is in the
    /// local allow-list is the caller's check. The blob must name the same one. `ssh-rsa` (SHA-1)
    /// verifies if the caller asks for it by name.
    ///
    /// # Errors
    /// [`SignatureError`]: whatever it says, refuse.
    pub fn verify(
        &self,
        algorithm: &str,
        message: &[u8],
        signature_blob: &[u8],
    ) -> Result<(), SignatureError> {
        match self.verify_token(algorithm, message, signature_blob)? {
            Some(token) if !token.touched => Err(SignatureError::NotTouched),
            _ => Ok(()),
        }
    }

    /// As [`verify`](Self::verify), and says how a security key was used: whether a touch or more is
    /// needed is for the caller to judge. `None` for keys that live in no token.
    ///
    /// # Errors
    /// As [`verify`](Self::verify), but never for want of a touch.
    pub fn verify_token(
        &self,
        algorithm: &str,
        message: &[u8],
        signature_blob: &[u8],
    ) -> Result<Option<TokenUse>, SignatureError> {
        let mut reader = Reader::new(signature_blob);
        if reader.string("signature algorithm", NAME_LEN_MAX)? != algorithm.as_bytes() {
            return Err(SignatureError::WrongAlgorithm);
        }
        if !self.can_use(algorithm) {
            return Err(SignatureError::WrongAlgorithm);
        }
        let raw = reader.string("signature", SIGNATURE_BLOB_LEN_MAX)?;
        let token = match self {
            Self::SkEd25519 { application, .. } | Self::SkEcdsaP256 { application, .. } => {
                Some((application, TokenPart::decode(&mut reader)?))
            }
            Self::Ed25519(_) | Self::Ecdsa { .. } | Self::Rsa(_) => None,
        };
        reader.finish("signature blob")?;
        match token {
            None => self.verify_raw(algorithm, message, raw).map(|()| None),
            Some((application, part)) => {
                let signed = part.signed_bytes(application, message);
                // Only after the signature fits do the flags mean anything.
                self.verify_raw(algorithm, &signed, raw).map(|()| Some(part.token_use()))
            }
        }
    }

    fn can_use(&self, algorithm: &str) -> bool {
        self.signature_algorithms().contains(&algorithm)
            || (matches!(self, Self::Rsa(_)) && algorithm == names::SSH_RSA)
    }

    /// The signature proper, without name and flags.
    fn verify_raw(
        &self,
        algorithm: &str,
        message: &[u8],
        raw: &[u8],
    ) -> Result<(), SignatureError> {
        match self {
            // AWS-LC refuses S >= L and keys that are no point; small-order keys verify as RFC 8032's
            // equation without cofactor says.
            Self::Ed25519(key) | Self::SkEd25519 { key, .. } => {
                UnparsedPublicKey::new(&ED25519, key)
                    .verify(message, raw)
                    .map_err(|_| SignatureError::Invalid)
            }
            Self::Ecdsa { curve, point } => ecdsa::verify(*curve, point, message, raw),
            Self::SkEcdsaP256 { point, .. } => ecdsa::verify(NistCurve::P256, point, message, raw),
            Self::Rsa(key) => key.verify(rsa_hash(algorithm)?, message, raw),
        }
    }
}

fn rsa_hash(algorithm: &str) -> Result<HashAlgorithm, SignatureError> {
    match algorithm {
        names::RSA_SHA2_512 => Ok(HashAlgorithm::Sha512),
        names::RSA_SHA2_256 => Ok(HashAlgorithm::Sha256),
        names::SSH_RSA => Ok(HashAlgorithm::Sha1),
        _ => Err(SignatureError::WrongAlgorithm),
    }
}

/// What follows the raw signature of a security key.
struct TokenPart {
    flags: u8,
    counter: u32,
}

impl TokenPart {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, SignatureError> {
        Ok(Self {
            flags: reader.u8("security key flags")?,
            counter: reader.u32("security key counter")?,
        })
    }

    /// What the token signed in place of `message`.
    fn signed_bytes(&self, application: &[u8], message: &[u8]) -> Vec<u8> {
        [
            &HashAlgorithm::Sha256.digest(&[application])[..],
            &[self.flags],
            &self.counter.to_be_bytes(),
            &HashAlgorithm::Sha256.digest(&[message]),
        ]
        .concat()
    }

    fn token_use(&self) -> TokenUse {
        TokenUse {
            touched: self.flags & USER_PRESENT != 0,
            user_verified: self.flags & USER_VERIFIED != 0,
            counter: self.counter,
        }
    }
}
