//! Packet ciphers: the table, and the two traits that hide how a packet is sealed and opened.
//!
//! Everything works in place on a whole packet: `length(4) | padding_length | payload | padding |
//! tag`. A [`PacketShape`] tells the caller how to pad and how many bytes it needs before the length
//! can be known; after that no caller asks which cipher it has.
//!
//! Not here: choosing padding, bounds on the length, sequence numbers (`ssh-proto`).

mod aes_ctr;
mod aes_gcm;
mod chacha20_poly1305;
mod fastest;
mod none;

use std::fmt;

use zeroize::Zeroizing;

use crate::mac::{MacRow, PacketMac};
use crate::names;

pub use aes_gcm::GcmLibrary;
pub use chacha20_poly1305::ChaChaLibrary;
pub use none::{none_opener, none_sealer};

/// Bytes of the length field in front of every packet.
const LENGTH_LEN: usize = 4;

/// One negotiable cipher.
#[derive(Debug)]
pub struct CipherRow {
    pub name: &'static str,
    /// Bytes of key material (letters C and D).
    pub key_len: usize,
    /// Bytes of initial IV (letters A and B); may be 0.
    pub iv_len: usize,
    /// True: the cipher authenticates by itself and the negotiated MAC is ignored.
    pub aead: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    AesGcm,
    ChaCha20Poly1305,
    AesCtr,
}

/// The row of `name`, if we speak it.
pub fn cipher(name: &str) -> Option<&'static CipherRow> {
    ROWS.iter().find(|row| row.name == name)
}

static ROWS: [CipherRow; 6] = [
    row(names::CIPHER_AES256_GCM, 32, 12, Kind::AesGcm),
    row(names::CIPHER_AES128_GCM, 16, 12, Kind::AesGcm),
    row(names::CIPHER_CHACHA20_POLY1305, 64, 0, Kind::ChaCha20Poly1305),
    row(names::CIPHER_AES256_CTR, 32, 16, Kind::AesCtr),
    row(names::CIPHER_AES192_CTR, 24, 16, Kind::AesCtr),
    row(names::CIPHER_AES128_CTR, 16, 16, Kind::AesCtr),
];

const fn row(name: &'static str, key_len: usize, iv_len: usize, kind: Kind) -> CipherRow {
    CipherRow { name, key_len, iv_len, aead: !matches!(kind, Kind::AesCtr), kind }
}

/// The key material of one direction, each part as long as its row says. Wiped when dropped.
pub struct DirectionKeys {
    pub iv: Zeroizing<Vec<u8>>,
    pub key: Zeroizing<Vec<u8>>,
    /// Empty for an AEAD.
    pub mac: Zeroizing<Vec<u8>>,
}

impl fmt::Debug for DirectionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DirectionKeys(..)")
    }
}

impl CipherRow {
    /// State that seals the packets of one direction.
    ///
    /// # Panics
    /// If a part of `keys` has not the length its row asks for, or if a cipher that needs a `mac` gets
    /// none: our own mistakes, no peer byte leads here.
    pub fn sealer(
        &self,
        mac: Option<&'static MacRow>,
        keys: &DirectionKeys,
    ) -> Box<dyn SealPacket> {
        self.check(keys);
        // No program that is shipped is built so: a fuzzer spends its time on what stands inside packets.
        if cfg!(fuzzing) {
            return none_sealer();
        }
        match self.kind {
            Kind::AesGcm => aes_gcm::sealer(GcmLibrary::fastest(), &keys.key, &keys.iv),
            Kind::ChaCha20Poly1305 => {
                chacha20_poly1305::sealer(ChaChaLibrary::fastest(), &keys.key)
            }
            Kind::AesCtr => aes_ctr::sealer(&keys.key, &keys.iv, packet_mac(mac, keys)),
        }
    }

    /// State that opens the packets of one direction.
    ///
    /// # Panics
    /// As [`sealer`](Self::sealer).
    pub fn opener(
        &self,
        mac: Option<&'static MacRow>,
        keys: &DirectionKeys,
    ) -> Box<dyn OpenPacket> {
        self.check(keys);
        if cfg!(fuzzing) {
            return none_opener();
        }
        match self.kind {
            Kind::AesGcm => aes_gcm::opener(GcmLibrary::fastest(), &keys.key, &keys.iv),
            Kind::ChaCha20Poly1305 => {
                chacha20_poly1305::opener(ChaChaLibrary::fastest(), &keys.key)
            }
            Kind::AesCtr => aes_ctr::opener(&keys.key, &keys.iv, packet_mac(mac, keys)),
        }
    }

    fn check(&self, keys: &DirectionKeys) {
        assert_eq!(keys.key.len(), self.key_len, "key of {}", self.name);
        assert_eq!(keys.iv.len(), self.iv_len, "IV of {}", self.name);
    }
}

/// The keyed MAC and whether it covers the ciphertext.
fn packet_mac(row: Option<&'static MacRow>, keys: &DirectionKeys) -> (PacketMac, bool) {
    let row = row.expect("a cipher without its own authentication was negotiated with a MAC");
    assert_eq!(keys.mac.len(), row.key_len, "key of {}", row.name);
    (PacketMac::new(row, &keys.mac), row.etm)
}

/// What a caller must know to build or receive a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketShape {
    /// The padded part is a multiple of this many bytes; at least 8 (RFC 4253 §6).
    pub block_len: usize,
    /// True: the 4 length bytes count towards the multiple (classic MACs). False: they do not
    /// (`-etm` MACs and AEADs).
    pub length_is_aligned: bool,
    /// Bytes needed before [`OpenPacket::packet_length`] can answer.
    pub head_len: usize,
    /// Bytes behind the padding.
    pub tag_len: usize,
}

/// Seals the packets of one direction, in order.
pub trait SealPacket: Send {
    fn shape(&self) -> PacketShape;

    /// Encrypts and authenticates `packet` in place.
    ///
    /// On entry: `length(4) | padding_length | payload | padding | tag_len bytes of room`.
    ///
    /// # Panics
    /// If `packet` is too short to hold the length field and the tag: our own mistake.
    fn seal(&mut self, sequence: u32, packet: &mut [u8]);
}

/// Opens the packets of one direction, in order.
pub trait OpenPacket: Send {
    fn shape(&self) -> PacketShape;

    /// The `packet_length` field from the first [`PacketShape::head_len`] bytes of a packet.
    ///
    /// Not authenticated yet. Called exactly once per packet, before [`open`](Self::open); the classic
    /// CTR mode decrypts `head` in place here. A `head` that is too short gives 0, which no caller
    /// accepts as a length.
    fn packet_length(&mut self, sequence: u32, head: &mut [u8]) -> u32;

    /// Verifies the whole packet, tag included, and decrypts it in place.
    ///
    /// Afterwards everything between the 4 length bytes and the tag is plain text; the length bytes
    /// themselves may still be encrypted. Total for every length of `packet`.
    ///
    /// # Errors
    /// [`OpenError`] if the tag is wrong or the packet has an impossible length. `packet` is then
    /// meaningless and the connection must end: the cipher's state no longer fits the peer's.
    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), OpenError>;
}

/// A packet was not authentic, or could not be one. Deliberately says no more (PKT-4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenError;

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("packet is not authentic")
    }
}

impl std::error::Error for OpenError {}

/// True where AES runs in hardware, which decides our order of preference.
pub(crate) fn has_aes_instructions() -> bool {
    #[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
    return std::arch::is_x86_feature_detected!("aes")
        && std::arch::is_x86_feature_detected!("pclmulqdq");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes")
        && std::arch::is_aarch64_feature_detected!("pmull");
    #[allow(unreachable_code)]
    false
}

/// The clear length field at the start of `packet`; 0 if it is not there.
fn clear_length(packet: &[u8]) -> u32 {
    packet.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

/// Splits a received packet into its authenticated part and its tag, if it can be a packet at all:
/// the length field, then whole blocks (at least one), then the tag.
fn split_packet(
    packet: &mut [u8],
    shape: PacketShape,
) -> Result<(&mut [u8], &mut [u8]), OpenError> {
    let body_len = packet.len().checked_sub(shape.tag_len).ok_or(OpenError)?;
    let aligned = if shape.length_is_aligned { 0 } else { LENGTH_LEN };
    let blocks_len = body_len.checked_sub(aligned).ok_or(OpenError)?;
    if blocks_len == 0 || blocks_len % shape.block_len != 0 {
        return Err(OpenError);
    }
    Ok(packet.split_at_mut(body_len))
}

#[cfg(test)]
mod tests;
