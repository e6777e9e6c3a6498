//! `ecdh-sha2-nistp256/384/521` (RFC 5656 §4).

use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, agree};

use super::{ClientExchange, KexError, SharedSecret};
use crate::Random;
use crate::nist::NistCurve;

pub(super) fn client_start(
    curve: NistCurve,
    random: &mut dyn Random,
) -> Result<Box<dyn ClientExchange>, KexError> {
    Ok(Box::new(KeyPair::generate(curve, random)?))
}

pub(super) fn server_reply(
    curve: NistCurve,
    client_public: &[u8],
    random: &mut dyn Random,
) -> Result<(Vec<u8>, SharedSecret), KexError> {
    let pair = KeyPair::generate(curve, random)?;
    let secret = pair.agree(client_public)?;
    Ok((pair.public, secret))
}

struct KeyPair {
    curve: NistCurve,
    private: PrivateKey,
    public: Vec<u8>,
}

impl KeyPair {
    fn generate(curve: NistCurve, random: &mut dyn Random) -> Result<Self, KexError> {
        let scalar = curve.random_scalar(random).ok_or(KexError::Internal)?;
        let private = PrivateKey::from_private_key(curve.agreement(), &scalar)
            .map_err(|_| KexError::Internal)?;
        let public = private.compute_public_key().map_err(|_| KexError::Internal)?;
        Ok(Self { curve, private, public: public.as_ref().to_vec() })
    }

    /// AWS-LC checks that the point is on the curve; the form is checked here, since the library would
    /// also take other encodings.
    fn agree(&self, peer: &[u8]) -> Result<SharedSecret, KexError> {
        if !self.curve.is_uncompressed(peer) {
            return Err(KexError::PeerValue);
        }
        let peer = UnparsedPublicKey::new(self.curve.agreement(), peer);
        agree(&self.private, peer, KexError::PeerValue, |x| Ok(SharedSecret::from_number(x)))
    }
}

impl ClientExchange for KeyPair {
    fn public(&self) -> &[u8] {
        &self.public
    }

    fn finish(self: Box<Self>, server_public: &[u8]) -> Result<SharedSecret, KexError> {
        self.agree(server_public)
    }
}
