//! ECDSA signatures between SSH's two mpints and the fixed-length form of the library (RFC 5656 §3.1.2).

use aws_lc_rs::signature::UnparsedPublicKey;
use sterna_sshwire::{DecodeError, Reader, put_mpint};

use super::SignatureError;
use crate::nist::NistCurve;

/// Verifies `mpint r | mpint s` over `message`. `point` is a checked public key.
pub(super) fn verify(
    curve: NistCurve,
    point: &[u8],
    message: &[u8],
    numbers: &[u8],
) -> Result<(), SignatureError> {
    let fixed = to_fixed(curve, numbers)?;
    // The library refuses r and s of n or above.
    UnparsedPublicKey::new(curve.verification(), point)
        .verify(message, &fixed)
        .map_err(|_| SignatureError::Invalid)
}

/// `r || s`, each padded to the field's length, from the two mpints. Zero is refused here.
pub(super) fn to_fixed(curve: NistCurve, numbers: &[u8]) -> Result<Vec<u8>, DecodeError> {
    let mut reader = Reader::new(numbers);
    let mut fixed = vec![0; 2 * curve.field_len()];
    let halves = fixed.chunks_exact_mut(curve.field_len());
    for (half, field) in halves.zip(["ECDSA r", "ECDSA s"]) {
        let number = reader.mpint(field, curve.field_len())?;
        // A field of the right length is the longest that `mpint` lets through, but its bound counts
        // the sign byte: a number without one may still be a byte too long.
        let start = half.len().checked_sub(number.len()).ok_or(DecodeError::invalid(field))?;
        if number.is_empty() {
            return Err(DecodeError::invalid(field));
        }
        half[start..].copy_from_slice(number);
    }
    reader.finish("ECDSA signature")?;
    Ok(fixed)
}

/// `mpint r | mpint s` from `r || s`.
pub(super) fn from_fixed(fixed: &[u8]) -> Vec<u8> {
    let (r, s) = fixed.split_at(fixed.len() / 2);
    let mut numbers = Vec::with_capacity(fixed.len() + 10);
    put_mpint(&mut numbers, r);
    put_mpint(&mut numbers, s);
    numbers
}
