//! Keys: public ones from the wire, private ones that sign, and their errors (RFC 4253 §6.6 and its
//! successors).
//!
//! The wire parser is our own: bounded, without recursion, and strict about left-over bytes.
//!
//! Not here: certificates (`certificate.rs`), files (`keyfile/`), whether a key is trusted (`identity`).

mod ecdsa;
mod private;
mod public;
mod rsa;
mod verify;

use std::fmt;

use sterna_sshwire::DecodeError;

pub use private::{KeyType, PrivateKey};
pub use public::{PublicKey, RsaPublicKey};
pub use verify::TokenUse;

pub(crate) use private::Secret;
pub(crate) use public::split_key_line;
pub(crate) use rsa::RsaPrivateParts;

/// Why bytes or text are no public key for us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// The fields do not decode.
    Malformed(DecodeError),
    /// A key type that we do not speak; a certificate where a plain key is wanted.
    Unsupported,
    /// An RSA modulus outside [`RSA_BITS_MIN`](crate::RSA_BITS_MIN) to
    /// [`RSA_BITS_MAX`](crate::RSA_BITS_MAX).
    RsaBits(usize),
}

impl From<DecodeError> for KeyError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "public key: {error}"),
            Self::Unsupported => f.write_str("public key: type is not supported"),
            Self::RsaBits(bits) => write!(
                f,
                "public key: RSA modulus of {bits} bits, must have {} to {}",
                crate::RSA_BITS_MIN,
                crate::RSA_BITS_MAX
            ),
        }
    }
}

impl std::error::Error for KeyError {}

/// Why a signature was not accepted. Every variant means: refuse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// The blob does not decode.
    Malformed(DecodeError),
    /// The blob names another algorithm than was agreed, or the key cannot use it (HKA-6).
    WrongAlgorithm,
    /// The mathematics does not fit.
    Invalid,
    /// A security key signed without the touch that is required.
    NotTouched,
}

impl From<DecodeError> for SignatureError {
    fn from(error: DecodeError) -> Self {
        Self::Malformed(error)
    }
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(error) => write!(f, "signature: {error}"),
            Self::WrongAlgorithm => f.write_str("signature: not the algorithm that was agreed"),
            Self::Invalid => f.write_str("signature: does not fit"),
            Self::NotTouched => f.write_str("signature: the security key was not touched"),
        }
    }
}

impl std::error::Error for SignatureError {}

/// Why we could not sign or make a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignError {
    /// This key cannot sign with that algorithm, or a key of this kind and size cannot be made.
    Unsupported,
    /// The library failed, for example for want of memory.
    Internal,
}

impl fmt::Display for SignError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsupported => "private key: cannot be used with this algorithm",
            Self::Internal => "private key: cryptographic library failed",
        })
    }
}

impl std::error::Error for SignError {}

#[cfg(test)]
mod tests;
