//! RSA with PKCS#1 v1.5 padding (RFC 8332): verification at every size, private parts for key files.

use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA512, RsaParameters,
};
use crypto_bigint::modular::{BoxedMontyForm, BoxedMontyParams};
use crypto_bigint::{BoxedUint, NonZero, Odd};
use sterna_sshwire::DecodeError;
use zeroize::Zeroizing;

use super::public::bit_len;
use super::{RsaPublicKey, SignatureError};
use crate::{HashAlgorithm, RSA_BITS_MAX};

/// Largest modulus that AWS-LC takes, in bits; above it we compute ourselves.
const AWS_LC_BITS_MAX: usize = 8192;

/// `DigestInfo` in front of the hash (RFC 8017 §9.2, note 1).
const SHA1_PREFIX: &[u8] = &[0x30, 0x21, 0x30, 0x09, 6, 5, 0x2b, 0x0e, 3, 2, 0x1a, 5, 0, 4, 0x14];
const SHA256_PREFIX: &[u8] =
    &[0x30, 0x31, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1, 5, 0, 4, 0x20];
const SHA512_PREFIX: &[u8] =
    &[0x30, 0x51, 0x30, 0x0d, 6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 3, 5, 0, 4, 0x40];

impl RsaPublicKey {
    /// Verifies `signature` over `message`. A short one is padded on the left, since old peers strip
    /// zeros; a long one is refused (HKA-4).
    pub(super) fn verify(
        &self,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let mut padded = vec![0; self.n.len()];
        let start = padded
            .len()
            .checked_sub(signature.len())
            .ok_or(DecodeError::invalid("RSA signature"))?;
        padded[start..].copy_from_slice(signature);
        if bit_len(&self.n) > AWS_LC_BITS_MAX {
            return self.verify_large(hash, message, &padded);
        }
        PublicKeyComponents { n: &self.n, e: &self.e }
            .verify(parameters(hash)?, message, &padded)
            .map_err(|_| SignatureError::Invalid)
    }

    /// The same by hand: the whole padded block is built and compared, nothing in it is parsed.
    pub(super) fn verify_large(
        &self,
        hash: HashAlgorithm,
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), SignatureError> {
        let expected = padded_block(hash, message, self.n.len())?;
        let block = self.raise(signature).ok_or(SignatureError::Invalid)?;
        if block == expected { Ok(()) } else { Err(SignatureError::Invalid) }
    }

    /// `value ^ e mod n`; None if `value` is not below n. All of it is public: no need for constant
    /// time.
    fn raise(&self, value: &[u8]) -> Option<Vec<u8>> {
        let precision = u32::try_from(self.n.len() * 8).ok()?;
        let number = |bytes| BoxedUint::from_be_slice(bytes, precision).ok();
        let (n, value) = (number(&self.n)?, number(value)?);
        if value >= n {
            return None;
        }
        let modulus: Option<Odd<BoxedUint>> = n.into_odd().into();
        let params = BoxedMontyParams::new_vartime(modulus?);
        let exponent = BoxedUint::from_be_slice(&self.e, 64).ok()?;
        let power = BoxedMontyForm::new(value, &params).pow_bounded_exp(&exponent, 64);
        // Whole machine words: cut to the length of n, above which there are only zeros.
        let words = power.retrieve().to_be_bytes();
        Some(words[words.len() - self.n.len()..].to_vec())
    }
}

fn parameters(hash: HashAlgorithm) -> Result<&'static RsaParameters, SignatureError> {
    match hash {
        HashAlgorithm::Sha1 => Ok(&RSA_PKCS1_2048_8192_SHA1_FOR_LEGACY_USE_ONLY),
        HashAlgorithm::Sha256 => Ok(&RSA_PKCS1_2048_8192_SHA256),
        HashAlgorithm::Sha512 => Ok(&RSA_PKCS1_2048_8192_SHA512),
        HashAlgorithm::Sha384 => Err(SignatureError::WrongAlgorithm),
    }
}

/// `00 01 ff.. 00 DigestInfo` (RFC 8017 §9.2), `len` bytes.
fn padded_block(
    hash: HashAlgorithm,
    message: &[u8],
    len: usize,
) -> Result<Vec<u8>, SignatureError> {
    let prefix = match hash {
        HashAlgorithm::Sha1 => SHA1_PREFIX,
        HashAlgorithm::Sha256 => SHA256_PREFIX,
        HashAlgorithm::Sha512 => SHA512_PREFIX,
        HashAlgorithm::Sha384 => return Err(SignatureError::WrongAlgorithm),
    };
    let info = [prefix, &hash.digest(&[message])].concat();
    let fill = len.checked_sub(info.len() + 3).ok_or(SignatureError::Invalid)?;
    let mut block = vec![0, 1];
    block.resize(2 + fill, 0xff);
    block.push(0);
    block.extend_from_slice(&info);
    Ok(block)
}

/// The numbers of a private key that its file holds, as big-endian magnitudes.
pub(crate) struct RsaPrivateParts {
    pub(crate) n: Vec<u8>,
    pub(crate) e: Vec<u8>,
    pub(crate) d: Zeroizing<Vec<u8>>,
    pub(crate) p: Zeroizing<Vec<u8>>,
    pub(crate) q: Zeroizing<Vec<u8>>,
    /// `q^-1 mod p`.
    pub(crate) iqmp: Zeroizing<Vec<u8>>,
}

impl RsaPrivateParts {
    /// The library's key, which checks that all parts fit together; None if they do not, or if the
    /// modulus is outside 2048 to 8192 bits.
    pub(super) fn key_pair(&self) -> Option<KeyPair> {
        let dp = exponent_for(&self.d, &self.p)?;
        let dq = exponent_for(&self.d, &self.q)?;
        KeyPair::from_components(&KeyPairComponents {
            public_key: PublicKeyComponents { n: &self.n[..], e: &self.e[..] },
            d: &self.d[..],
            p: &self.p[..],
            q: &self.q[..],
            dP: &dp[..],
            dQ: &dq[..],
            qInv: &self.iqmp[..],
        })
        .ok()
    }
}

/// `d mod (prime - 1)`.
fn exponent_for(d: &[u8], prime: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let len = d.len().max(prime.len());
    if len > RSA_BITS_MAX / 8 || prime.is_empty() {
        return None;
    }
    let precision = u32::try_from(len * 8).ok()?;
    let number = |bytes| BoxedUint::from_be_slice(bytes, precision).ok().map(Zeroizing::new);
    let one_less = number(prime)?.wrapping_sub(BoxedUint::one_with_precision(precision));
    let modulus: Option<NonZero<BoxedUint>> = one_less.into_nz().into();
    let modulus = Zeroizing::new(modulus?);
    let rest = Zeroizing::new(number(d)?.rem(&modulus));
    Some(Zeroizing::new(rest.to_be_bytes().into_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Secret;
    use crate::{KeyType, PrivateKey, PublicKey, SystemRandom, names};
    use sterna_sshwire::put_string;

    /// Goal: `ssh-rsa` with SHA-1 verifies where it is asked for, since we cannot sign with it.
    /// Method: `block ^ d mod n` by hand.
    #[test]
    fn a_legacy_sha1_signature_verifies_when_asked_for_by_name() {
        let key = PrivateKey::generate(KeyType::Rsa { bits: 2048 }, &mut SystemRandom).unwrap();
        let (Secret::Rsa { parts, .. }, PublicKey::Rsa(public)) = (key.secret(), key.public())
        else {
            unreachable!()
        };
        let block = padded_block(HashAlgorithm::Sha1, b"message", 256).unwrap();
        let number = |bytes: &[u8]| BoxedUint::from_be_slice(bytes, 2048).unwrap();
        let n = number(&parts.n).into_odd().unwrap();
        let params = BoxedMontyParams::new_vartime(n);
        let signature =
            BoxedMontyForm::new(number(&block), &params).pow(&number(&parts.d)).retrieve();
        let signature = signature.to_be_bytes();
        assert_eq!(public.verify_large(HashAlgorithm::Sha1, b"message", &signature), Ok(()));

        let mut blob = Vec::new();
        put_string(&mut blob, names::SSH_RSA.as_bytes());
        put_string(&mut blob, &signature);
        assert_eq!(key.public().verify(names::SSH_RSA, b"message", &blob), Ok(()));
        assert_eq!(
            key.public().verify(names::RSA_SHA2_256, b"message", &blob),
            Err(SignatureError::WrongAlgorithm)
        );
    }
}
