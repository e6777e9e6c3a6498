//! `mlkem768x25519-sha256`: ML-KEM-768 (FIPS 203) and X25519, hashed together.
//!
//! C_INIT = encapsulation key (1184) || X25519 (32); S_REPLY = ciphertext (1088) || X25519 (32);
//! K = SHA-256(KEM secret || X25519 secret), encoded as a *string*. As OpenSSH 9.9 does.

use aws_lc_rs::kem::{Ciphertext, DecapsulationKey, EncapsulationKey, ML_KEM_768};
use zeroize::Zeroizing;

use super::x25519::{self, X25519_LEN};
use super::{ClientExchange, KexError, SharedSecret};
use crate::{HashAlgorithm, Random};

const ENCAPSULATION_KEY_LEN: usize = 1184;
const CIPHERTEXT_LEN: usize = 1088;

/// The KEM key comes from AWS-LC's own generator, the X25519 scalar from `random`.
pub(super) fn client_start(random: &mut dyn Random) -> Result<Box<dyn ClientExchange>, KexError> {
    let kem = DecapsulationKey::generate(&ML_KEM_768).map_err(|_| KexError::Internal)?;
    Client::new(kem, x25519::KeyPair::generate(random)?).map(|client| Box::new(client) as _)
}

pub(super) fn server_reply(
    client_public: &[u8],
    random: &mut dyn Random,
) -> Result<(Vec<u8>, SharedSecret), KexError> {
    if client_public.len() != ENCAPSULATION_KEY_LEN + X25519_LEN {
        return Err(KexError::PeerValue);
    }
    let (kem_public, x25519_public) = client_public.split_at(ENCAPSULATION_KEY_LEN);
    // The modulus check of FIPS 203 §7.2 is in one of these two.
    let (ciphertext, kem_secret) = EncapsulationKey::new(&ML_KEM_768, kem_public)
        .map_err(|_| KexError::PeerValue)?
        .encapsulate()
        .map_err(|_| KexError::PeerValue)?;
    let pair = x25519::KeyPair::generate(random)?;
    let x25519_secret = pair.agree(x25519_public)?;
    let reply = [ciphertext.as_ref(), &pair.public].concat();
    Ok((reply, combine(kem_secret.as_ref(), &*x25519_secret)))
}

struct Client {
    kem: DecapsulationKey,
    x25519: x25519::KeyPair,
    public: Vec<u8>,
}

impl Client {
    fn new(kem: DecapsulationKey, x25519: x25519::KeyPair) -> Result<Self, KexError> {
        let kem_public = kem
            .encapsulation_key()
            .and_then(|key| key.key_bytes())
            .map_err(|_| KexError::Internal)?;
        let public = [kem_public.as_ref(), &x25519.public].concat();
        Ok(Self { kem, x25519, public })
    }
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
        // A forged ciphertext gives a wrong key and no error (implicit rejection): the host's
        // signature then does not fit.
        let kem_secret =
            self.kem.decapsulate(Ciphertext::from(ciphertext)).map_err(|_| KexError::PeerValue)?;
        let x25519_secret = self.x25519.agree(x25519_public)?;
        Ok(combine(kem_secret.as_ref(), &*x25519_secret))
    }
}

fn combine(kem_secret: &[u8], x25519_secret: &[u8]) -> SharedSecret {
    let hash = Zeroizing::new(HashAlgorithm::Sha256.digest(&[kem_secret, x25519_secret]));
    SharedSecret::from_hash(&hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::testing::Bytes;
    use crate::vectors;

    /// T7: KEM secret 32 x aa, X25519 secret 32 x bb.
    #[test]
    fn the_halves_are_hashed_and_sent_as_a_string() {
        assert_eq!(
            hex::encode(combine(&[0xaa; 32], &[0xbb; 32]).encoded()),
            "00000020e2d80f78d79027556d6619a1400605abbdca6bb6eb24e0831e33ecd5466fa5f6"
        );
    }

    /// T27: a server's answer to the key of a fixed seed, made by another implementation.
    #[test]
    fn the_vector_of_another_implementation_gives_its_secret() {
        let mut scalar = Bytes((1..=32).collect());
        let client = Client {
            kem: DecapsulationKey::new(&ML_KEM_768, &vectors::bytes("T27.decapsulation_key"))
                .unwrap(),
            x25519: x25519::KeyPair::generate(&mut scalar).unwrap(),
            public: vectors::bytes("T27.C_INIT_1216"),
        };
        assert_eq!(client.public[ENCAPSULATION_KEY_LEN..], client.x25519.public);

        let secret = Box::new(client).finish(&vectors::bytes("T27.S_REPLY_1120")).unwrap();

        assert_eq!(secret.encoded(), vectors::bytes("T27.K_string"));
    }

    /// FIPS 203 §7.2: coefficients of q and above are no key.
    #[test]
    fn an_encapsulation_key_that_fails_the_modulus_check_is_refused() {
        let mut init = vectors::bytes("T27.C_INIT_1216");
        init[..ENCAPSULATION_KEY_LEN].fill(0xff);
        assert_eq!(server_reply(&init, &mut crate::SystemRandom).err(), Some(KexError::PeerValue));
    }
}
