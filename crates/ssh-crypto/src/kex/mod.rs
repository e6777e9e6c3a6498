//! Key exchange methods: public values in, shared secret out (RFC 4253 §7-8 and its successors).
//!
//! Messages, exchange hash and order belong to `ssh-proto`; here is the mathematics and every check of
//! the peer's value. A state is used once: finishing consumes it, dropping it wipes it.

mod dh_group;
mod ecdh_nist;
mod mlkem768_x25519;
mod primes;
mod sntrup761_x25519;
mod x25519;

use std::fmt;

use sterna_sshwire::{mpint_len, put_mpint, put_string};
use zeroize::Zeroizing;

use crate::nist::NistCurve;
use crate::{HashAlgorithm, Random, names};

pub use dh_group::DhGroup;

/// One negotiable key exchange method.
#[derive(Debug)]
pub struct KexRow {
    pub name: &'static str,
    /// For the exchange hash and the key derivation.
    pub hash: HashAlgorithm,
    pub kind: KexKind,
    method: Method,
}

/// How the messages of a method look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KexKind {
    /// Messages 30 and 31 carry the public values as strings; also the hybrids.
    Ecdh,
    /// Messages 30 and 31 carry the public values as mpints.
    DhGroup,
    /// Messages 34, 31, 32, 33: the server names a group first ([`DhGroup`]).
    DhGroupExchange,
}

#[derive(Clone, Copy, Debug)]
enum Method {
    X25519,
    EcdhNist(NistCurve),
    MlKem768X25519,
    Sntrup761X25519,
    DhGroup(&'static DhGroup),
    DhGroupExchange,
}

/// The row of `name`, if we speak it. Methods of the legacy list have rows too.
pub fn kex(name: &str) -> Option<&'static KexRow> {
    ROWS.iter().find(|row| row.name == name)
}

static ROWS: [KexRow; 13] = {
    use HashAlgorithm::{Sha1, Sha256, Sha384, Sha512};
    use KexKind::{DhGroup, DhGroupExchange, Ecdh};
    use NistCurve::{P256, P384, P521};
    use dh_group::{GROUP14, GROUP16, GROUP18};
    [
        row(names::KEX_MLKEM768_X25519, Sha256, Ecdh, Method::MlKem768X25519),
        row(names::KEX_SNTRUP761_X25519, Sha512, Ecdh, Method::Sntrup761X25519),
        row(names::KEX_SNTRUP761_X25519_OPENSSH, Sha512, Ecdh, Method::Sntrup761X25519),
        row(names::KEX_CURVE25519, Sha256, Ecdh, Method::X25519),
        row(names::KEX_CURVE25519_LIBSSH, Sha256, Ecdh, Method::X25519),
        row(names::KEX_ECDH_P256, Sha256, Ecdh, Method::EcdhNist(P256)),
        row(names::KEX_ECDH_P384, Sha384, Ecdh, Method::EcdhNist(P384)),
        row(names::KEX_ECDH_P521, Sha512, Ecdh, Method::EcdhNist(P521)),
        row(names::KEX_DH_GROUP16_SHA512, Sha512, DhGroup, Method::DhGroup(&GROUP16)),
        row(names::KEX_DH_GROUP18_SHA512, Sha512, DhGroup, Method::DhGroup(&GROUP18)),
        row(names::KEX_DH_GROUP14_SHA256, Sha256, DhGroup, Method::DhGroup(&GROUP14)),
        row(names::KEX_DH_GROUP14_SHA1, Sha1, DhGroup, Method::DhGroup(&GROUP14)),
        row(names::KEX_DH_EXCHANGE_SHA256, Sha256, DhGroupExchange, Method::DhGroupExchange),
    ]
};

const fn row(name: &'static str, hash: HashAlgorithm, kind: KexKind, method: Method) -> KexRow {
    KexRow { name, hash, kind, method }
}

impl KexRow {
    /// The client's half: a fresh private value and its public one.
    ///
    /// # Errors
    /// [`KexError::NeedsGroup`] for a group exchange: ask the [`DhGroup`] that the server names.
    /// [`KexError::Internal`] if the library fails.
    pub fn client_start(
        &self,
        random: &mut dyn Random,
    ) -> Result<Box<dyn ClientExchange>, KexError> {
        match self.method {
            Method::X25519 => x25519::client_start(random),
            Method::EcdhNist(curve) => ecdh_nist::client_start(curve, random),
            Method::MlKem768X25519 => mlkem768_x25519::client_start(random),
            Method::Sntrup761X25519 => sntrup761_x25519::client_start(random),
            Method::DhGroup(group) => group.client_start(random),
            Method::DhGroupExchange => Err(KexError::NeedsGroup),
        }
    }

    /// The server's half: its public value and the secret.
    ///
    /// # Errors
    /// Those of [`client_start`](Self::client_start), and [`KexError::PeerValue`] or
    /// [`KexError::WeakSecret`] if the client's value must not be used.
    pub fn server_reply(
        &self,
        client_public: &[u8],
        random: &mut dyn Random,
    ) -> Result<(Vec<u8>, SharedSecret), KexError> {
        match self.method {
            Method::X25519 => x25519::server_reply(client_public, random),
            Method::EcdhNist(curve) => ecdh_nist::server_reply(curve, client_public, random),
            Method::MlKem768X25519 => mlkem768_x25519::server_reply(client_public, random),
            Method::Sntrup761X25519 => sntrup761_x25519::server_reply(client_public, random),
            Method::DhGroup(group) => group.server_reply(client_public, random),
            Method::DhGroupExchange => Err(KexError::NeedsGroup),
        }
    }
}

/// The client's private half of a running exchange. Good for one answer.
pub trait ClientExchange: Send {
    /// What goes to the server: bytes of a string, or for finite-field groups the magnitude of an
    /// mpint.
    fn public(&self) -> &[u8];

    /// Takes the server's public value in the same form.
    ///
    /// # Errors
    /// [`KexError::PeerValue`] or [`KexError::WeakSecret`]; the connection must end.
    fn finish(self: Box<Self>, server_public: &[u8]) -> Result<SharedSecret, KexError>;
}

/// The secret K in its wire encoding, ready for exchange hash and key derivation. Wiped when dropped.
pub struct SharedSecret {
    encoded: Zeroizing<Vec<u8>>,
}

impl SharedSecret {
    /// A secret that is a number: `mpint` of the big-endian `magnitude`, leading zeros dropped.
    pub fn from_number(magnitude: &[u8]) -> Self {
        let mut encoded = Zeroizing::new(Vec::with_capacity(mpint_len(magnitude)));
        put_mpint(&mut encoded, magnitude);
        Self { encoded }
    }

    /// A hybrid's secret: `string` of the hash over both halves.
    pub fn from_hash(hash: &[u8]) -> Self {
        let mut encoded = Zeroizing::new(Vec::with_capacity(4 + hash.len()));
        put_string(&mut encoded, hash);
        Self { encoded }
    }

    /// With its length word.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SharedSecret(..)")
    }
}

/// Why an exchange cannot go on. All but `NeedsGroup` and `Internal` are the peer's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KexError {
    /// The public value has the wrong length or form, or is outside its range.
    PeerValue,
    /// The result does not depend on our private value, or is trivial (RFC 7748 §6.1).
    WeakSecret,
    /// The group that the server named is unacceptable (RFC 4419 §3); says why.
    PeerGroup(&'static str),
    /// This method has no group of its own: our own mistake.
    NeedsGroup,
    /// The library failed, for example for want of memory.
    Internal,
}

impl fmt::Display for KexError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PeerValue => f.write_str("key exchange: invalid public value"),
            Self::WeakSecret => f.write_str("key exchange: weak shared secret"),
            Self::PeerGroup(why) => write!(f, "key exchange: group refused: {why}"),
            Self::NeedsGroup => f.write_str("key exchange: no group was chosen yet"),
            Self::Internal => f.write_str("key exchange: cryptographic library failed"),
        }
    }
}

impl std::error::Error for KexError {}

#[cfg(test)]
mod tests;
