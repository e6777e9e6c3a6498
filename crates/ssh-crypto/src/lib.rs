//! SSH algorithms behind tables: ciphers, MACs, key exchange, keys, signatures, digests.
//!
//! The protocol core negotiates names and asks the tables here: [`cipher()`], [`mac()`], [`kex()`].
//! Each row builds state that works in place and on bytes that are already there; nothing here reads
//! a socket, a clock or a global random source. Primitives come from kept libraries (AWS-LC, ring,
//! RustCrypto); what is ours is the SSH framing around them and the checks that SSH demands.
//!
//! Not here: which algorithm wins a negotiation (`ssh-proto`), which keys are trusted (`identity`).

mod certificate;
mod cipher;
mod derive;
mod digest;
mod hash;
mod kex;
mod key;
mod keyfile;
mod limits;
mod mac;
pub mod names;
mod nist;
mod offered;
mod random;
#[cfg(test)]
mod vectors;

pub use certificate::{Certificate, CertificateKind, CertificateOption};
pub use cipher::{
    ChaChaLibrary, CipherRow, DirectionKeys, GcmLibrary, OpenError, OpenPacket, PacketShape,
    SealPacket, cipher, none_opener, none_sealer,
};
pub use derive::derive_key;
pub use digest::{DigestAlgorithm, Digester};
pub use hash::HashAlgorithm;
pub use kex::{ClientExchange, DhGroup, KexError, KexKind, KexRow, SharedSecret, kex};
pub use key::{
    KeyError, KeyType, PrivateKey, PublicKey, RsaPublicKey, SignError, SignatureError, TokenUse,
};
pub use keyfile::{KeyFileError, is_encrypted, public_key_of};
pub use limits::*;
pub use mac::{MacRow, mac};
pub use nist::NistCurve;
pub use offered::OfferedKey;
pub use random::{Random, SystemRandom};
