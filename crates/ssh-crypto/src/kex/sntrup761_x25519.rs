//! `sntrup761x25519-sha512`: Streamlined NTRU Prime 761 and X25519, hashed together.
//!
//! C_INIT = public key (1158) || X25519 (32); S_REPLY = ciphertext (1039) || X25519 (32);
//! K = SHA-512(KEM secret || X25519 secret), encoded as a *string*. As OpenSSH 8.5 does.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sntrup::sntrup761::{
    Ciphertext, DecapsulationKey, EncapsulationKey, SharedSecret as KemSecret,
    generate_key_deterministic,
};
use zeroize::Zeroizing;

use super::x25519::{self, X25519_LEN};
use super::{ClientExchange, KexError, SharedSecret};
use crate::{HashAlgorithm, Random};

const PUBLIC_KEY_LEN: usize = 1158;
const CIPHERTEXT_LEN: usize = 1039;

pub(super) fn client_start(random: &mut dyn Random) -> Result<Box<dyn ClientExchange>, KexError> {
    let (kem_public, kem) = generate_key_deterministic(&seed(random));
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
    let (ciphertext, kem_secret) = encapsulate(&kem_public, &seed(random));
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

fn encapsulate(public: &EncapsulationKey, seed: &[u8; 32]) -> (Ciphertext, KemSecret) {
    public.encapsulate(&mut ChaCha20Rng::from_seed(*seed))
}

/// 256 bits that ChaCha20 stretches to what the sampling needs.
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
    use crate::SystemRandom;

    /// T7: KEM secret 32 x aa, X25519 secret 32 x bb.
    #[test]
    fn the_halves_are_hashed_and_sent_as_a_string() {
        assert_eq!(
            hex::encode(combine(&[0xaa; 32], &[0xbb; 32]).encoded()),
            "00000040cc70516e8df1444135edfcbb0eabfd20a8407cf56df6fca0d2d23573136b832278a32da5\
             81653892e0117a1e4a03e140c6400582e598d2030fa517ff54148e20"
        );
    }

    /// Goal: the library's vector code computes the KEM that others compute.
    /// Method: what another implementation (the sntrup761 crate, without vector code) gave for these seeds.
    #[test]
    fn keys_ciphertext_and_secrets_are_those_of_another_implementation() {
        let sha256 = |bytes: &[u8]| hex::encode(HashAlgorithm::Sha256.digest(&[bytes]));
        let (public, private) = generate_key_deterministic(&[0x21; 32]);
        assert_eq!(
            sha256(public.as_ref()),
            "d96a0df1fda0d2297252558b4c939810e9c160b30bd15cb7eb8b2c3fe0f1f41b"
        );
        let (ciphertext, secret) = encapsulate(&public, &[0x84; 32]);
        assert_eq!(
            sha256(ciphertext.as_ref()),
            "e69a586549e0a1ee317ad0ec7be6230e0997f1c75c60509454d6a5d1fde77400"
        );
        let expected = "4143f8c7dedb6a19cf05807c9a325d4de10b556f5948849d4fbfc9a648506049";
        assert_eq!(hex::encode(secret.as_ref()), expected);
        assert_eq!(hex::encode(private.decapsulate(&ciphertext).as_ref()), expected);

        let mut forged = ciphertext.as_ref().to_vec();
        forged[0] ^= 1;
        let rejected = private.decapsulate(&Ciphertext::try_from(&forged[..]).unwrap());
        assert_eq!(
            hex::encode(rejected.as_ref()),
            "4ea8a3f4bfeb96fd5807a199f49161cf80d9051c6d3e636c833bef82aa0b17ef"
        );
    }

    /// Every string of the right length is a public key or a ciphertext to the library, and none makes it panic.
    #[test]
    fn bytes_that_nobody_computed_give_some_secret() {
        let random = &mut SystemRandom;
        let client = client_start(random).unwrap();
        let (reply, _) = server_reply(client.public(), random).unwrap();
        for fill in [0, 1, 0x7f, 0x80, 0xff] {
            let mut public = client.public().to_vec();
            public[..PUBLIC_KEY_LEN].fill(fill);
            assert!(server_reply(&public, random).is_ok(), "{fill}");
            let mut reply = reply.clone();
            reply[..CIPHERTEXT_LEN].fill(fill);
            assert!(client_start(random).unwrap().finish(&reply).is_ok(), "{fill}");
        }
        for _ in 0..20 {
            let mut public = client.public().to_vec();
            random.fill(&mut public[..PUBLIC_KEY_LEN]);
            assert!(server_reply(&public, random).is_ok(), "{public:?}");
            let mut reply = reply.clone();
            random.fill(&mut reply[..CIPHERTEXT_LEN]);
            assert!(client_start(random).unwrap().finish(&reply).is_ok(), "{reply:?}");
        }
    }
}
