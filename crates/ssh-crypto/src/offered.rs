//! A key as a peer offers it, user or host: plain, or inside a certificate.

use sterna_sshwire::{DecodeError, NAME_LEN_MAX, Reader};

use crate::key::split_key_line;
use crate::{
    CERTIFICATE_BLOB_LEN_MAX, Certificate, KeyError, NistCurve, PublicKey, SignatureError,
    TokenUse, names,
};

/// A key blob of a login request or of a host: what it is decides which algorithms fit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum OfferedKey {
    Plain(PublicKey),
    Certified(Box<Certificate>),
}

impl From<PublicKey> for OfferedKey {
    fn from(key: PublicKey) -> Self {
        Self::Plain(key)
    }
}

impl From<Certificate> for OfferedKey {
    fn from(certificate: Certificate) -> Self {
        Self::Certified(Box::new(certificate))
    }
}

impl OfferedKey {
    /// Decodes a key or certificate blob.
    ///
    /// # Errors
    /// As [`PublicKey::from_wire`] and [`Certificate::from_wire`].
    pub fn from_wire(blob: &[u8]) -> Result<Self, KeyError> {
        let name = Reader::new(blob).string("key type", NAME_LEN_MAX)?;
        if std::str::from_utf8(name).is_ok_and(names::is_certificate) {
            Certificate::from_wire(blob).map(Self::from)
        } else {
            PublicKey::from_wire(blob).map(Self::from)
        }
    }

    /// The blob: what [`from_wire`](Self::from_wire) reads.
    pub fn to_wire(&self) -> Vec<u8> {
        match self {
            Self::Plain(key) => key.to_wire(),
            Self::Certified(certificate) => certificate.to_wire().to_vec(),
        }
    }

    /// Reads one line `type base64 comment`, as in `id_ed25519.pub` and `id_ed25519-cert.pub`.
    ///
    /// # Errors
    /// As [`from_wire`](Self::from_wire); also if the type in front is not the one in the blob.
    pub fn from_openssh(line: &str) -> Result<(Self, &str), KeyError> {
        let (key_type, blob, comment) = split_key_line(line, CERTIFICATE_BLOB_LEN_MAX)?;
        let key = Self::from_wire(&blob)?;
        if key.type_name() != key_type {
            return Err(DecodeError::invalid("key line").into());
        }
        Ok((key, comment))
    }

    /// The key itself: the plain one, or the one that is certified.
    pub fn key(&self) -> &PublicKey {
        match self {
            Self::Plain(key) => key,
            Self::Certified(certificate) => &certificate.key,
        }
    }

    pub fn certificate(&self) -> Option<&Certificate> {
        match self {
            Self::Plain(_) => None,
            Self::Certified(certificate) => Some(certificate),
        }
    }

    /// The name inside the blob.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Plain(key) => key.key_type(),
            Self::Certified(certificate) => certificate.type_name(),
        }
    }

    /// The fingerprint of the key itself, also for a certificate, as OpenSSH shows it.
    pub fn fingerprint(&self) -> String {
        self.key().fingerprint()
    }

    /// The algorithms under which this can be offered, the preferred one first. SHA-1 is not among
    /// them. What the signature then names, [`names::signature_algorithm`] tells.
    pub fn algorithms(&self) -> &'static [&'static str] {
        match self {
            Self::Plain(key) => key.signature_algorithms(),
            Self::Certified(certificate) => match &certificate.key {
                PublicKey::Ed25519(_) => &[names::SSH_ED25519_CERT],
                PublicKey::Ecdsa { curve: NistCurve::P256, .. } => &[names::ECDSA_P256_CERT],
                PublicKey::Ecdsa { curve: NistCurve::P384, .. } => &[names::ECDSA_P384_CERT],
                PublicKey::Ecdsa { curve: NistCurve::P521, .. } => &[names::ECDSA_P521_CERT],
                PublicKey::Rsa(_) => &[names::RSA_SHA2_512_CERT, names::RSA_SHA2_256_CERT],
                PublicKey::SkEd25519 { .. } => &[names::SK_ED25519_CERT],
                PublicKey::SkEcdsaP256 { .. } => &[names::SK_ECDSA_P256_CERT],
            },
        }
    }

    /// Verifies a signature by the key under `algorithm`, one of [`algorithms`](Self::algorithms) or,
    /// for old partners, `ssh-rsa`. Nothing is said about the certificate itself.
    ///
    /// # Errors
    /// As [`PublicKey::verify_token`]; [`SignatureError::WrongAlgorithm`] too for a plain algorithm with
    /// a certificate, or the other way round.
    pub fn verify_token(
        &self,
        algorithm: &str,
        message: &[u8],
        signature_blob: &[u8],
    ) -> Result<Option<TokenUse>, SignatureError> {
        if names::is_certificate(algorithm) != self.certificate().is_some() {
            return Err(SignatureError::WrongAlgorithm);
        }
        let algorithm = names::signature_algorithm(algorithm);
        self.key().verify_token(algorithm, message, signature_blob)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyType, PrivateKey, SystemRandom, vectors};

    #[test]
    fn a_certificate_signs_by_the_key_inside_and_under_its_own_algorithm_only() {
        let key = PrivateKey::generate(KeyType::Ed25519, &mut SystemRandom).unwrap();
        let mut certificate = Certificate::from_wire(&vectors::bytes("T24.blob")).unwrap();
        certificate.key = key.public().clone();
        let (plain, certified) =
            (OfferedKey::from(key.public().clone()), OfferedKey::from(certificate));
        let signature = key.sign(names::SSH_ED25519, b"m").unwrap();

        let verify =
            |key: &OfferedKey, algorithm| key.verify_token(algorithm, b"m", &signature).is_ok();
        assert!(verify(&plain, names::SSH_ED25519));
        assert!(verify(&certified, names::SSH_ED25519_CERT));
        assert!(!verify(&plain, names::SSH_ED25519_CERT));
        assert!(!verify(&certified, names::SSH_ED25519));
        assert!(!verify(&certified, names::ECDSA_P256_CERT));
    }

    #[test]
    fn lines_of_keys_and_certificates_are_read_if_type_and_blob_agree() {
        use base64::engine::{Engine as _, general_purpose::STANDARD};
        let blob = vectors::bytes("T24.blob");
        let line = |name: &str| format!("{name} {} alice@laptop", STANDARD.encode(&blob));

        let text = line(names::SSH_ED25519_CERT);
        let (key, comment) = OfferedKey::from_openssh(&text).unwrap();
        assert_eq!((key.to_wire(), comment), (blob.clone(), "alice@laptop"));
        assert_eq!(key.algorithms(), [names::SSH_ED25519_CERT]);
        assert!(OfferedKey::from_openssh(&line(names::SSH_ED25519)).is_err());
        assert!(PublicKey::from_wire(&blob).is_err(), "a certificate is no plain key");
    }
}
