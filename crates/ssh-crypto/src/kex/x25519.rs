//! `curve25519-sha256` (RFC 8731), and the X25519 half of the hybrids.

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use zeroize::Zeroizing;

use super::{ClientExchange, KexError, SharedSecret};
use crate::Random;

/// Bytes of private values, public values and the raw output.
pub(super) const X25519_LEN: usize = 32;

pub(super) fn client_start(random: &mut dyn Random) -> Result<Box<dyn ClientExchange>, KexError> {
    Ok(Box::new(Client(KeyPair::generate(random)?)))
}

pub(super) fn server_reply(
    client_public: &[u8],
    random: &mut dyn Random,
) -> Result<(Vec<u8>, SharedSecret), KexError> {
    let pair = KeyPair::generate(random)?;
    let secret = pair.agree(client_public)?;
    Ok((pair.public.to_vec(), SharedSecret::from_number(&*secret)))
}

struct Client(KeyPair);

impl ClientExchange for Client {
    fn public(&self) -> &[u8] {
        &self.0.public
    }

    fn finish(self: Box<Self>, server_public: &[u8]) -> Result<SharedSecret, KexError> {
        // "The 32 bytes are interpreted as a big-endian number": RFC 8731 §3.1.
        Ok(SharedSecret::from_number(&*self.0.agree(server_public)?))
    }
}

/// A private scalar and its public value.
pub(super) struct KeyPair {
    private: PrivateKey,
    pub(super) public: [u8; X25519_LEN],
}

impl KeyPair {
    pub(super) fn generate(random: &mut dyn Random) -> Result<Self, KexError> {
        let mut scalar = Zeroizing::new([0; X25519_LEN]);
        random.fill(&mut *scalar);
        let private =
            PrivateKey::from_private_key(&X25519, &*scalar).map_err(|_| KexError::Internal)?;
        let public = private.compute_public_key().map_err(|_| KexError::Internal)?;
        let public = public.as_ref().try_into().map_err(|_| KexError::Internal)?;
        Ok(Self { private, public })
    }

    /// The raw shared secret.
    ///
    /// # Errors
    /// [`KexError::PeerValue`] if the length is not 32, [`KexError::WeakSecret`] for points of low
    /// order, whose result is zero whatever our scalar is.
    pub(super) fn agree(&self, peer: &[u8]) -> Result<Zeroizing<[u8; X25519_LEN]>, KexError> {
        if peer.len() != X25519_LEN {
            return Err(KexError::PeerValue);
        }
        let peer = UnparsedPublicKey::new(&X25519, peer);
        // With the length right, a zero result is the one thing that can fail here.
        agree(&self.private, peer, KexError::WeakSecret, |raw| {
            let secret = Zeroizing::new(raw.try_into().map_err(|_| KexError::Internal)?);
            if *secret == [0; X25519_LEN] { Err(KexError::WeakSecret) } else { Ok(secret) }
        })
    }
}
