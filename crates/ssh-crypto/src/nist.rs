//! The NIST curves, in one place for key exchange and signatures (RFC 5656 §10.1).

use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, ECDH_P521};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED,
    ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaSigningAlgorithm, EcdsaVerificationAlgorithm,
};
use zeroize::Zeroizing;

use crate::{Random, names};

/// A curve that SSH names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NistCurve {
    P256,
    P384,
    P521,
}

/// First byte of an uncompressed point (SEC 1 §2.3.3); SSH allows no other form.
const UNCOMPRESSED: u8 = 4;

/// Draws of a scalar before we call the random source broken. A fair one misses the range of P-256
/// once in 2^32, that of the others less often.
const SCALAR_DRAWS_MAX: usize = 64;

impl NistCurve {
    pub(crate) const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    /// The identifier inside key blobs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
            Self::P521 => "nistp521",
        }
    }

    /// The key type, which is also the signature algorithm.
    pub const fn key_type(self) -> &'static str {
        match self {
            Self::P256 => names::ECDSA_P256,
            Self::P384 => names::ECDSA_P384,
            Self::P521 => names::ECDSA_P521,
        }
    }

    /// Size of the field in bits.
    pub const fn bits(self) -> usize {
        match self {
            Self::P256 => 256,
            Self::P384 => 384,
            Self::P521 => 521,
        }
    }

    /// Bytes of a coordinate, of a scalar, and of each half of a signature.
    pub(crate) const fn field_len(self) -> usize {
        self.bits().div_ceil(8)
    }

    /// Bytes of an uncompressed point.
    pub(crate) const fn point_len(self) -> usize {
        1 + 2 * self.field_len()
    }

    /// True if `point` has the one form that SSH allows. Says nothing about the curve equation.
    pub(crate) fn is_uncompressed(self, point: &[u8]) -> bool {
        point.first() == Some(&UNCOMPRESSED) && point.len() == self.point_len()
    }

    /// A uniform scalar in `1..n`; None only if `random` is broken.
    pub(crate) fn random_scalar(self, random: &mut dyn Random) -> Option<Zeroizing<Vec<u8>>> {
        // 521 is not a multiple of 8: one bit of the first byte is used.
        let top_mask = 0xff >> (8 * self.field_len() - self.bits());
        let mut scalar = Zeroizing::new(vec![0; self.field_len()]);
        for _ in 0..SCALAR_DRAWS_MAX {
            random.fill(&mut scalar);
            scalar[0] &= top_mask;
            // Refused outside the range; drawing again keeps the choice uniform.
            if self.public_point(&scalar).is_some() {
                return Some(scalar);
            }
        }
        None
    }

    /// The uncompressed point of a scalar of [`field_len`](Self::field_len) bytes; None outside `1..n`.
    pub(crate) fn public_point(self, scalar: &[u8]) -> Option<Vec<u8>> {
        let private = agreement::PrivateKey::from_private_key(self.agreement(), scalar).ok()?;
        Some(private.compute_public_key().ok()?.as_ref().to_vec())
    }

    pub(crate) fn agreement(self) -> &'static agreement::Algorithm {
        match self {
            Self::P256 => &ECDH_P256,
            Self::P384 => &ECDH_P384,
            Self::P521 => &ECDH_P521,
        }
    }

    pub(crate) fn verification(self) -> &'static EcdsaVerificationAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED,
            Self::P384 => &ECDSA_P384_SHA384_FIXED,
            Self::P521 => &ECDSA_P521_SHA512_FIXED,
        }
    }

    pub(crate) fn signing(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_FIXED_SIGNING,
            Self::P521 => &ECDSA_P521_SHA512_FIXED_SIGNING,
        }
    }
}
