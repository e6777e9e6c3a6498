//! `chacha20-poly1305@openssh.com`: two ChaCha20 keys, one for the length, one for the rest.
//!
//! The sequence number is the nonce; the tag covers the encrypted length and the ciphertext. The
//! length can be read without authenticating it, and nothing else is decrypted before the tag fits.
//!
//! Two libraries stand behind one trait. AWS-LC has the whole construct, with ChaCha20 for AVX2 and
//! Poly1305 for SSE2. RustCrypto has both halves as crates, ChaCha20 for AVX-512 and Poly1305 for AVX2;
//! where the processor has no AVX-512, it is the slower one. [`ChaChaLibrary::fastest`] measures.
//!
//! Spec: OpenSSH PROTOCOL.chacha20poly1305.

use std::hint::black_box;
use std::sync::OnceLock;

use aws_lc_rs::aead::chacha20_poly1305_openssh::{KEY_LEN, OpeningKey, SealingKey, TAG_LEN};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use chacha20::ChaCha20;
use chacha20::cipher::{KeyIvInit, StreamCipher};
use poly1305::universal_hash::{KeyInit, UniversalHash};
use poly1305::{Block, Poly1305};
use zeroize::Zeroizing;

use super::fastest::clearly_faster;
use super::{LENGTH_LEN, OpenError, OpenPacket, PacketShape, SealPacket, split_packet};

const SHAPE: PacketShape =
    PacketShape { block_len: 8, length_is_aligned: false, head_len: LENGTH_LEN, tag_len: TAG_LEN };

/// Whose ChaCha20 and Poly1305 seal our packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChaChaLibrary {
    AwsLc,
    RustCrypto,
}

impl ChaChaLibrary {
    /// The faster one on this processor: measured at the first call, remembered afterwards.
    pub fn fastest() -> Self {
        static FASTEST: OnceLock<ChaChaLibrary> = OnceLock::new();
        *FASTEST.get_or_init(|| {
            if clearly_faster(sealing(Self::RustCrypto), sealing(Self::AwsLc)) {
                Self::RustCrypto
            } else {
                Self::AwsLc
            }
        })
    }
}

pub(super) fn sealer(library: ChaChaLibrary, key: &[u8]) -> Box<dyn SealPacket> {
    let key = key_material(key);
    match library {
        ChaChaLibrary::AwsLc => Box::new(AwsLcSealer(SealingKey::new(key))),
        ChaChaLibrary::RustCrypto => Box::new(Composed::new(key)),
    }
}

pub(super) fn opener(library: ChaChaLibrary, key: &[u8]) -> Box<dyn OpenPacket> {
    let key = key_material(key);
    match library {
        ChaChaLibrary::AwsLc => Box::new(AwsLcOpener(OpeningKey::new(key))),
        ChaChaLibrary::RustCrypto => Box::new(Composed::new(key)),
    }
}

fn key_material(key: &[u8]) -> &[u8; KEY_LEN] {
    key.try_into().expect("the row says 64 bytes and was checked")
}

struct AwsLcSealer(SealingKey);

impl SealPacket for AwsLcSealer {
    fn shape(&self) -> PacketShape {
        SHAPE
    }

    fn seal(&mut self, sequence: u32, packet: &mut [u8]) {
        let (body, tag) = packet.split_last_chunk_mut().expect("our packet has room for the tag");
        self.0.seal_in_place(sequence, body, tag);
    }
}

struct AwsLcOpener(OpeningKey);

impl OpenPacket for AwsLcOpener {
    fn shape(&self) -> PacketShape {
        SHAPE
    }

    /// Leaves `head` encrypted: the tag covers it that way.
    fn packet_length(&mut self, sequence: u32, head: &mut [u8]) -> u32 {
        head.first_chunk().map_or(0, |encrypted| {
            u32::from_be_bytes(self.0.decrypt_packet_length(sequence, *encrypted))
        })
    }

    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), OpenError> {
        let (body, tag) = split_packet(packet, SHAPE)?;
        let tag: &[u8; TAG_LEN] = (&*tag).try_into().map_err(|_| OpenError)?;
        self.0.open_in_place(sequence, body, tag).map(|_| ()).map_err(|_| OpenError)
    }
}

const HALF_KEY_LEN: usize = KEY_LEN / 2;

/// The construct of RustCrypto's two crates.
struct Composed {
    /// K_2 of the specification: for the padded payload, and for the key of the tag.
    packet_key: Zeroizing<[u8; HALF_KEY_LEN]>,
    /// K_1 of the specification: for the length.
    length_key: Zeroizing<[u8; HALF_KEY_LEN]>,
}

impl Composed {
    fn new(key: &[u8; KEY_LEN]) -> Self {
        let mut new = Self {
            packet_key: Zeroizing::new([0; HALF_KEY_LEN]),
            length_key: Zeroizing::new([0; HALF_KEY_LEN]),
        };
        let (packet_key, length_key) = key.split_at(HALF_KEY_LEN);
        new.packet_key.copy_from_slice(packet_key);
        new.length_key.copy_from_slice(length_key);
        new
    }

    /// The cipher, which stands at its block 1, and the authenticator, whose key is block 0.
    fn start(&self, sequence: u32) -> (ChaCha20, Poly1305) {
        const BLOCK_LEN: usize = 64;
        let mut cipher = cipher(&self.packet_key, sequence);
        let mut block = Zeroizing::new([0; BLOCK_LEN]);
        cipher.apply_keystream(&mut *block);
        let key: &[u8; 32] = block.first_chunk().expect("a block is longer than a key");
        (cipher, Poly1305::new(key.into()))
    }
}

/// The specification's 64-bit nonce and 64-bit counter from 0, for which a packet never needs the upper half.
fn cipher(key: &[u8; HALF_KEY_LEN], sequence: u32) -> ChaCha20 {
    let mut nonce = [0; 12];
    if let Some(end) = nonce.last_chunk_mut() {
        *end = sequence.to_be_bytes();
    }
    ChaCha20::new(key.into(), &nonce.into())
}

fn tag_of(mut authenticator: Poly1305, body: &[u8]) -> [u8; TAG_LEN] {
    let (blocks, rest) = Block::slice_as_chunks(body);
    authenticator.update(blocks);
    authenticator.compute_unpadded(rest).into()
}

impl SealPacket for Composed {
    fn shape(&self) -> PacketShape {
        SHAPE
    }

    fn seal(&mut self, sequence: u32, packet: &mut [u8]) {
        let (body, tag) =
            packet.split_last_chunk_mut::<TAG_LEN>().expect("our packet has room for the tag");
        let (length, text) = body.split_at_mut(LENGTH_LEN);
        let (mut text_cipher, authenticator) = self.start(sequence);
        cipher(&self.length_key, sequence).apply_keystream(length);
        text_cipher.apply_keystream(text);
        *tag = tag_of(authenticator, body);
    }
}

impl OpenPacket for Composed {
    fn shape(&self) -> PacketShape {
        SHAPE
    }

    /// Leaves `head` encrypted: the tag covers it that way.
    fn packet_length(&mut self, sequence: u32, head: &mut [u8]) -> u32 {
        head.first_chunk::<LENGTH_LEN>().map_or(0, |encrypted| {
            let mut length = *encrypted;
            cipher(&self.length_key, sequence).apply_keystream(&mut length);
            u32::from_be_bytes(length)
        })
    }

    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), OpenError> {
        let (body, tag) = split_packet(packet, SHAPE)?;
        let (mut text_cipher, authenticator) = self.start(sequence);
        verify_slices_are_equal(&tag_of(authenticator, body), tag).map_err(|_| OpenError)?;
        let text = body.get_mut(LENGTH_LEN..).ok_or(OpenError)?;
        text_cipher.try_apply_keystream(text).map_err(|_| OpenError)
    }
}

/// Seals one full packet: some 25 µs each, so that a choice stays below a millisecond.
fn sealing(library: ChaChaLibrary) -> impl FnMut() {
    let mut sealer = sealer(library, &[0x5a; KEY_LEN]);
    let mut packet = vec![0; 32 * 1024];
    move || sealer.seal(0, black_box(&mut packet))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARIES: [ChaChaLibrary; 2] = [ChaChaLibrary::AwsLc, ChaChaLibrary::RustCrypto];

    fn key() -> Vec<u8> {
        (0..KEY_LEN).map(|at| at as u8 * 3).collect()
    }

    /// A packet of `text_len` bytes behind its length, with room for the tag.
    fn clear_packet(text_len: usize) -> Vec<u8> {
        let mut packet = u32::try_from(text_len).unwrap().to_be_bytes().to_vec();
        packet.extend((0..text_len).map(|at| at as u8));
        packet.resize(packet.len() + TAG_LEN, 0);
        packet
    }

    /// Lengths around every boundary of a block, of the blocks that are computed side by side, and full packets.
    fn text_lens() -> impl Iterator<Item = usize> {
        (8..=2304).step_by(8).chain([4096, 32 * 1024, 32 * 1024 + 40, 256 * 1024 + 64])
    }

    /// Goal: a peer cannot tell which library we took.
    /// Method: both seal the same packet; each opens what the other sealed.
    #[test]
    fn both_libraries_seal_the_same_and_open_each_other() {
        for text_len in text_lens() {
            let clear = clear_packet(text_len);
            for sequence in [0, 1, 0x0102_0304, u32::MAX - 1, u32::MAX] {
                let sealed = LIBRARIES.map(|library| {
                    let mut packet = clear.clone();
                    sealer(library, &key()).seal(sequence, &mut packet);
                    packet
                });
                assert_eq!(sealed[0], sealed[1], "{text_len} bytes, sequence {sequence}");
                let body_end = clear.len() - TAG_LEN;
                assert_ne!(sealed[0][LENGTH_LEN..body_end], clear[LENGTH_LEN..body_end]);
                for library in LIBRARIES {
                    let (mut opener, mut packet) = (opener(library, &key()), sealed[0].clone());
                    let length = opener.packet_length(sequence, &mut packet[..LENGTH_LEN]);
                    assert_eq!(length as usize, text_len, "{library:?}");
                    opener.open(sequence, &mut packet).unwrap();
                    assert_eq!(packet[LENGTH_LEN..body_end], clear[LENGTH_LEN..body_end]);
                }
            }
        }
    }

    /// Goal: what was changed on its way, or belongs to another place in the stream, is refused, and stays sealed.
    #[test]
    fn neither_library_decrypts_what_is_not_authentic() {
        for library in LIBRARIES {
            for text_len in text_lens() {
                let mut sealed = clear_packet(text_len);
                sealer(library, &key()).seal(7, &mut sealed);
                let (middle, last) = (sealed.len() / 2, sealed.len() - 1);
                for at in [0, LENGTH_LEN, middle, last - TAG_LEN, last - TAG_LEN + 1, last] {
                    let mut packet = sealed.clone();
                    packet[at] ^= 0x10;
                    let changed = packet.clone();
                    let opened = opener(library, &key()).open(7, &mut packet);
                    assert_eq!(opened, Err(OpenError), "{library:?} {text_len} bytes, byte {at}");
                    assert_eq!(packet, changed, "{library:?} {text_len} bytes, byte {at}");
                }
                for sequence in [6, 8] {
                    let opened = opener(library, &key()).open(sequence, &mut sealed.clone());
                    assert_eq!(opened, Err(OpenError), "{library:?} sequence {sequence}");
                }
            }
        }
    }

    #[test]
    fn neither_library_panics_at_a_length_that_no_packet_has() {
        for library in LIBRARIES {
            for len in 0..200 {
                let mut opener = opener(library, &key());
                assert_eq!(opener.open(0, &mut vec![0x11; len]), Err(OpenError));
                let length = opener.packet_length(0, &mut vec![0x11; len.min(LENGTH_LEN)]);
                assert_eq!(length == 0, len < LENGTH_LEN, "{library:?} {len}");
            }
        }
    }
}
