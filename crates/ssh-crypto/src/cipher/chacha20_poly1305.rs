//! `chacha20-poly1305@openssh.com`: two ChaCha20 keys, one for the length, one for the rest.
//!
//! The sequence number is the nonce; the tag covers the encrypted length and the ciphertext. The
//! length can be read without authenticating it, and nothing else is decrypted before the tag fits.
//!
//! Spec: OpenSSH PROTOCOL.chacha20poly1305.

use aws_lc_rs::aead::chacha20_poly1305_openssh::{KEY_LEN, OpeningKey, SealingKey, TAG_LEN};

use super::{LENGTH_LEN, OpenError, OpenPacket, PacketShape, SealPacket, split_packet};

const SHAPE: PacketShape =
    PacketShape { block_len: 8, length_is_aligned: false, head_len: LENGTH_LEN, tag_len: TAG_LEN };

pub(super) fn sealer(key: &[u8]) -> Box<dyn SealPacket> {
    Box::new(Sealer { key: SealingKey::new(key_material(key)) })
}

pub(super) fn opener(key: &[u8]) -> Box<dyn OpenPacket> {
    Box::new(Opener { key: OpeningKey::new(key_material(key)) })
}

fn key_material(key: &[u8]) -> &[u8; KEY_LEN] {
    key.try_into().expect("the row says 64 bytes and was checked")
}

struct Sealer {
    key: SealingKey,
}

impl SealPacket for Sealer {
    fn shape(&self) -> PacketShape {
        SHAPE
    }

    fn seal(&mut self, sequence: u32, packet: &mut [u8]) {
        let (body, tag) = packet.split_last_chunk_mut().expect("our packet has room for the tag");
        self.key.seal_in_place(sequence, body, tag);
    }
}

struct Opener {
    key: OpeningKey,
}

impl OpenPacket for Opener {
    fn shape(&self) -> PacketShape {
        SHAPE
    }

    /// Leaves `head` encrypted: the tag covers it that way.
    fn packet_length(&mut self, sequence: u32, head: &mut [u8]) -> u32 {
        head.first_chunk().map_or(0, |encrypted| {
            u32::from_be_bytes(self.key.decrypt_packet_length(sequence, *encrypted))
        })
    }

    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), OpenError> {
        let (body, tag) = split_packet(packet, SHAPE)?;
        let tag: &[u8; TAG_LEN] = (&*tag).try_into().map_err(|_| OpenError)?;
        self.key.open_in_place(sequence, body, tag).map(|_| ()).map_err(|_| OpenError)
    }
}
