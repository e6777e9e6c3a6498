//! `sntrup761x25519-sha512`: Streamlined NTRU Prime 761 and X25519, hashed together.
//!
//! C_INIT = public key (1158) || X25519 (32); S_REPLY = ciphertext (1039) || X25519 (32);
//! K = SHA-512(KEM secret || X25519 secret), encoded as a *string*. As OpenSSH 8.5 does.

use sntrup761::{Ciphertext, DecapsulationKey, EncapsulationKey, generate_key_from_seed};
use zeroize::Zeroizing;

use super::x25519::{self, X25519_LEN};
use super::{ClientExchange, KexError, SharedSecret};
use crate::{HashAlgorithm, Random};

const PUBLIC_KEY_LEN: usize = 1158;
const CIPHERTEXT_LEN: usize = 1039;

pub(super) fn client_start(random: &mut dyn Random) -> Result<Box<dyn ClientExchange>, KexError> {
    let (kem_public, kem) = generate_key_from_seed(*seed(random));
    let x25519 = x25519::KeyPair::generate(random)?;
    let public = [kem_public.as_ref(), &x25519.public].concat();
    Ok(Box::new(Client { kem, x25519, public }))
}

pub(super) fn server_reply(
    client_public: &[u8],
    random: &mut dyn Random,
) -> Result<(Vec<u8>, SharedSecret), KexError> {
    if client_public.len() != PUBLIC_KEY_LEN + X25519_LEN {
        return Err(KexError::PeerValue);
    }
    let (kem_public, x25519_public) = client_public.split_at(PUBLIC_KEY_LEN);
    let kem_public = EncapsulationKey::try_from(kem_public).map_err(|_| KexError::PeerValue)?;
    let pair = x25519::KeyPair::generate(random)?;
    let x25519_secret = pair.agree(x25519_public)?;
    let (ciphertext, kem_secret) = kem_public.encapsulate_deterministic(*seed(random));
    let reply = [ciphertext.as_ref(), &pair.public].concat();
    Ok((reply, combine(kem_secret.as_ref(), &*x25519_secret)))
}

struct Client {
    kem: DecapsulationKey,
    x25519: x25519::KeyPair,
    public: Vec<u8>,
}

impl ClientExchange for Client {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn finish(self: Box<Self>, server_public: &[u8]) -> Result<SharedSecret, KexError> {
        if server_public.len() != CIPHERTEXT_LEN + X25519_LEN {
            return Err(KexError::PeerValue);
        }
        let (ciphertext, x25519_public) = server_public.split_at(CIPHERTEXT_LEN);
        let ciphertext = Ciphertext::try_from(ciphertext).map_err(|_| KexError::PeerValue)?;
        let x25519_secret = self.x25519.agree(x25519_public)?;
        // A forged ciphertext gives a wrong key and no error, as with ML-KEM.
        let kem_secret = self.kem.decapsulate(&ciphertext);
        Ok(combine(kem_secret.as_ref(), &*x25519_secret))
    }
}

/// 256 bits that the library stretches to what its sampling needs.
fn seed(random: &mut dyn Random) -> Zeroizing<[u8; 32]> {
    let mut seed = Zeroizing::new([0; 32]);
    random.fill(&mut *seed);
    seed
}

fn combine(kem_secret: &[u8], x25519_secret: &[u8]) -> SharedSecret {
    let hash = Zeroizing::new(HashAlgorithm::Sha512.digest(&[kem_secret, x25519_secret]));
    SharedSecret::from_hash(&hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// T7: KEM secret 32 x aa, X25519 secret 32 x bb.
    #[test]
    fn the_halves_are_hashed_and_sent_as_a_string() {
        assert_eq!(
            hex::encode(combine(&[0xaa; 32], &[0xbb; 32]).encoded()),
            "00000040cc70516e8df1444135edfcbb0eabfd20a8407cf56df6fca0d2d23573136b832278a32da5\
             81653892e0117a1e4a03e140c6400582e598d2030fa517ff54148e20"
        );
    }
}
