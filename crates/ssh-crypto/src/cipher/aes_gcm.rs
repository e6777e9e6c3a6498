//! `aes128-gcm@openssh.com` and `aes256-gcm@openssh.com` (RFC 5647 §7, OpenSSH PROTOCOL §1.6).
//!
//! The length travels in clear and is the associated data. The nonce is 4 fixed bytes and a 64-bit
//! counter that goes up by one per packet, whatever the sequence number says.
//!
//! Two libraries stand behind one trait: on processors with VAES but without AVX-512, ring is nearly
//! twice as fast as AWS-LC, with AVX-512 it is the other way round. [`GcmLibrary::fastest`] measures.

use std::hint::black_box;
use std::sync::OnceLock;

use super::fastest::clearly_faster;
use super::{
    LENGTH_LEN, OpenError, OpenPacket, PacketShape, SealPacket, clear_length, split_packet,
};

const TAG_LEN: usize = 16;
const NONCE_LEN: usize = 12;

const SHAPE: PacketShape =
    PacketShape { block_len: 16, length_is_aligned: false, head_len: LENGTH_LEN, tag_len: TAG_LEN };

/// Whose AES-GCM seals our packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GcmLibrary {
    AwsLc,
    Ring,
}

impl GcmLibrary {
    /// The faster one on this processor: measured at the first call, remembered afterwards.
    pub fn fastest() -> Self {
        static FASTEST: OnceLock<GcmLibrary> = OnceLock::new();
        *FASTEST.get_or_init(|| {
            // AWS-LC is the usual one: it is updated more often.
            let ring = clearly_faster(sealing::<RingKey>(), sealing::<AwsLcKey>());
            if ring { Self::Ring } else { Self::AwsLc }
        })
    }
}

pub(super) fn sealer(library: GcmLibrary, key: &[u8], iv: &[u8]) -> Box<dyn SealPacket> {
    match library {
        GcmLibrary::AwsLc => Box::new(State::<AwsLcKey>::new(key, iv)),
        GcmLibrary::Ring => Box::new(State::<RingKey>::new(key, iv)),
    }
}

pub(super) fn opener(library: GcmLibrary, key: &[u8], iv: &[u8]) -> Box<dyn OpenPacket> {
    match library {
        GcmLibrary::AwsLc => Box::new(State::<AwsLcKey>::new(key, iv)),
        GcmLibrary::Ring => Box::new(State::<RingKey>::new(key, iv)),
    }
}

/// A key schedule that can be used with any nonce.
trait GcmKey: Send + Sized {
    /// `key` has 16 or 32 bytes.
    fn new(key: &[u8]) -> Self;
    fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN];
    fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError>;
}

struct State<K> {
    key: K,
    nonce: Nonce,
}

impl<K: GcmKey> State<K> {
    fn new(key: &[u8], iv: &[u8]) -> Self {
        let iv = iv.try_into().expect("the row says 12 bytes and was checked");
        Self { key: K::new(key), nonce: Nonce(iv) }
    }
}

impl<K: GcmKey> SealPacket for State<K> {
    fn shape(&self) -> PacketShape {
        SHAPE
    }

    fn seal(&mut self, _sequence: u32, packet: &mut [u8]) {
        let (length, rest) = packet.split_at_mut(LENGTH_LEN);
        let (text, tag) =
            rest.split_last_chunk_mut::<TAG_LEN>().expect("our packet has room for the tag");
        *tag = self.key.seal(self.nonce.next(), length, text);
    }
}

impl<K: GcmKey> OpenPacket for State<K> {
    fn shape(&self) -> PacketShape {
        SHAPE
    }

    fn packet_length(&mut self, _sequence: u32, head: &mut [u8]) -> u32 {
        clear_length(head)
    }

    fn open(&mut self, _sequence: u32, packet: &mut [u8]) -> Result<(), OpenError> {
        let nonce = self.nonce.next();
        let (body, tag) = split_packet(packet, SHAPE)?;
        let (length, text) = body.split_at_mut_checked(LENGTH_LEN).ok_or(OpenError)?;
        let tag = (&*tag).try_into().map_err(|_| OpenError)?;
        self.key.open(nonce, length, text, tag)
    }
}

/// 4 fixed bytes, then the invocation counter.
struct Nonce([u8; NONCE_LEN]);

impl Nonce {
    /// The nonce for this packet; the counter moves on and wraps inside its own 8 bytes.
    fn next(&mut self) -> [u8; NONCE_LEN] {
        let nonce = self.0;
        if let Some(counter) = self.0.last_chunk_mut::<8>() {
            *counter = u64::from_be_bytes(*counter).wrapping_add(1).to_be_bytes();
        }
        nonce
    }
}

struct AwsLcKey(aws_lc_rs::aead::LessSafeKey);

impl GcmKey for AwsLcKey {
    fn new(key: &[u8]) -> Self {
        use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, LessSafeKey, UnboundKey};
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        Self(LessSafeKey::new(UnboundKey::new(algorithm, key).expect("the row gives the length")))
    }

    fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        use aws_lc_rs::aead::{Aad, Nonce};
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), text)
            .expect("a packet is far below GCM's limit of 64 GiB");
        tag.as_ref().try_into().expect("GCM tags have 16 bytes")
    }

    fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        use aws_lc_rs::aead::{Aad, Nonce};
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .open_in_place_separate_tag(nonce, Aad::from(aad), tag, text)
            .map(|_| ())
            .map_err(|_| OpenError)
    }
}

struct RingKey(ring::aead::LessSafeKey);

impl GcmKey for RingKey {
    fn new(key: &[u8]) -> Self {
        use ring::aead::{AES_128_GCM, AES_256_GCM, LessSafeKey, UnboundKey};
        let algorithm = if key.len() == 16 { &AES_128_GCM } else { &AES_256_GCM };
        Self(LessSafeKey::new(UnboundKey::new(algorithm, key).expect("the row gives the length")))
    }

    fn seal(&self, nonce: [u8; NONCE_LEN], aad: &[u8], text: &mut [u8]) -> [u8; TAG_LEN] {
        use ring::aead::{Aad, Nonce};
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self
            .0
            .seal_in_place_separate_tag(nonce, Aad::from(aad), text)
            .expect("a packet is far below GCM's limit of 64 GiB");
        tag.as_ref().try_into().expect("GCM tags have 16 bytes")
    }

    fn open(
        &self,
        nonce: [u8; NONCE_LEN],
        aad: &[u8],
        text: &mut [u8],
        tag: &[u8; TAG_LEN],
    ) -> Result<(), OpenError> {
        use ring::aead::{Aad, Nonce, Tag};
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .open_in_place_separate_tag(nonce, Aad::from(aad), Tag::from(*tag), text, 0..)
            .map(|_| ())
            .map_err(|_| OpenError)
    }
}

/// Seals one full packet: some 10 µs each, so that a choice stays well below a millisecond.
fn sealing<K: GcmKey>() -> impl FnMut() {
    let key = K::new(&[0x5a; 32]);
    let mut packet = vec![0; 32 * 1024];
    move || {
        black_box(key.seal([0; NONCE_LEN], &[0; LENGTH_LEN], black_box(&mut packet)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_carries_inside_its_eight_bytes_only() {
        let mut nonce = Nonce([1, 2, 3, 4, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        nonce.next();
        assert_eq!(nonce.next(), [1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    /// Goal: a peer cannot tell which library we took.
    /// Method: seal with one, open with the other, both ways, several packets.
    #[test]
    fn both_libraries_read_each_other() {
        for key_len in [16, 32] {
            for (left, right) in
                [(GcmLibrary::AwsLc, GcmLibrary::Ring), (GcmLibrary::Ring, GcmLibrary::AwsLc)]
            {
                let (key, iv) = (vec![7; key_len], [9; NONCE_LEN]);
                let mut sealer = sealer(left, &key, &iv);
                let mut opener = opener(right, &key, &iv);
                for sequence in 0..4 {
                    let mut packet = vec![sequence as u8; 4 + 48 + TAG_LEN];
                    let clear = packet.clone();
                    sealer.seal(sequence, &mut packet);
                    assert_ne!(packet[4..52], clear[4..52]);
                    opener.open(sequence, &mut packet).unwrap();
                    assert_eq!(packet[..52], clear[..52]);
                }
            }
        }
    }
}
