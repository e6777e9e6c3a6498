//! `aes128/192/256-ctr` (RFC 4344 §4) with an HMAC, in the classic and in the `-etm` order.
//!
//! The counter block runs on from packet to packet, in place; the keystream position is the only state.
//! Classic: the length is encrypted too and the MAC covers the plain text, so the first block must be
//! decrypted before anything is authenticated. `-etm`: the length is clear, the MAC covers the
//! ciphertext, and the keystream starts behind the length.
//!
//! RustCrypto's `aes` and `ctr` because they run in place; AWS-LC's streaming CTR wants two buffers.

use aes::{Aes128, Aes192, Aes256};
use ctr::Ctr128BE;
use ctr::cipher::{KeyIvInit, StreamCipher};

use super::{
    LENGTH_LEN, OpenError, OpenPacket, PacketShape, SealPacket, clear_length, split_packet,
};
use crate::mac::PacketMac;

const BLOCK_LEN: usize = 16;

/// `mac` is the keyed MAC and whether it is one of the `-etm` kind.
pub(super) fn sealer(key: &[u8], iv: &[u8], mac: (PacketMac, bool)) -> Box<dyn SealPacket> {
    match key.len() {
        16 => seal_with::<Ctr128BE<Aes128>>(key, iv, mac),
        24 => seal_with::<Ctr128BE<Aes192>>(key, iv, mac),
        _ => seal_with::<Ctr128BE<Aes256>>(key, iv, mac),
    }
}

/// See [`sealer`].
pub(super) fn opener(key: &[u8], iv: &[u8], mac: (PacketMac, bool)) -> Box<dyn OpenPacket> {
    match key.len() {
        16 => open_with::<Ctr128BE<Aes128>>(key, iv, mac),
        24 => open_with::<Ctr128BE<Aes192>>(key, iv, mac),
        _ => open_with::<Ctr128BE<Aes256>>(key, iv, mac),
    }
}

fn seal_with<C>(key: &[u8], iv: &[u8], (mac, etm): (PacketMac, bool)) -> Box<dyn SealPacket>
where
    C: KeyIvInit + StreamCipher + Send + 'static,
{
    let stream = new_stream::<C>(key, iv);
    if etm { Box::new(Etm { stream, mac }) } else { Box::new(Classic::new(stream, mac)) }
}

fn open_with<C>(key: &[u8], iv: &[u8], (mac, etm): (PacketMac, bool)) -> Box<dyn OpenPacket>
where
    C: KeyIvInit + StreamCipher + Send + 'static,
{
    let stream = new_stream::<C>(key, iv);
    if etm { Box::new(Etm { stream, mac }) } else { Box::new(Classic::new(stream, mac)) }
}

fn new_stream<C: KeyIvInit>(key: &[u8], iv: &[u8]) -> C {
    C::new_from_slices(key, iv).expect("the row gives both lengths and was checked")
}

/// Encrypt, then MAC.
struct Etm<C> {
    stream: C,
    mac: PacketMac,
}

impl<C> Etm<C> {
    fn packet_shape(&self) -> PacketShape {
        PacketShape {
            block_len: BLOCK_LEN,
            length_is_aligned: false,
            head_len: LENGTH_LEN,
            tag_len: self.mac.tag_len(),
        }
    }
}

impl<C: StreamCipher + Send> SealPacket for Etm<C> {
    fn shape(&self) -> PacketShape {
        self.packet_shape()
    }

    fn seal(&mut self, sequence: u32, packet: &mut [u8]) {
        let (body, tag) = packet.split_at_mut(packet.len() - self.mac.tag_len());
        self.stream.apply_keystream(&mut body[LENGTH_LEN..]);
        self.mac.sign(sequence, body, tag);
    }
}

impl<C: StreamCipher + Send> OpenPacket for Etm<C> {
    fn shape(&self) -> PacketShape {
        self.packet_shape()
    }

    fn packet_length(&mut self, _sequence: u32, head: &mut [u8]) -> u32 {
        clear_length(head)
    }

    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), OpenError> {
        let (body, tag) = split_packet(packet, self.packet_shape())?;
        self.mac.verify(sequence, body, tag)?;
        let text = body.get_mut(LENGTH_LEN..).ok_or(OpenError)?;
        self.stream.try_apply_keystream(text).map_err(|_| OpenError)
    }
}

/// Encrypt and MAC.
struct Classic<C> {
    stream: C,
    mac: PacketMac,
    /// True between `packet_length` and `open`: the first block is plain text already.
    head_is_open: bool,
}

impl<C> Classic<C> {
    fn new(stream: C, mac: PacketMac) -> Self {
        Self { stream, mac, head_is_open: false }
    }

    fn packet_shape(&self) -> PacketShape {
        PacketShape {
            block_len: BLOCK_LEN,
            length_is_aligned: true,
            head_len: BLOCK_LEN,
            tag_len: self.mac.tag_len(),
        }
    }
}

impl<C: StreamCipher + Send> SealPacket for Classic<C> {
    fn shape(&self) -> PacketShape {
        self.packet_shape()
    }

    fn seal(&mut self, sequence: u32, packet: &mut [u8]) {
        let (body, tag) = packet.split_at_mut(packet.len() - self.mac.tag_len());
        self.mac.sign(sequence, body, tag);
        self.stream.apply_keystream(body);
    }
}

impl<C: StreamCipher + Send> OpenPacket for Classic<C> {
    fn shape(&self) -> PacketShape {
        self.packet_shape()
    }

    fn packet_length(&mut self, _sequence: u32, head: &mut [u8]) -> u32 {
        let Some(head) = head.first_chunk_mut::<BLOCK_LEN>() else { return 0 };
        if self.stream.try_apply_keystream(head).is_err() {
            return 0;
        }
        self.head_is_open = true;
        clear_length(head)
    }

    fn open(&mut self, sequence: u32, packet: &mut [u8]) -> Result<(), OpenError> {
        let opened = if std::mem::take(&mut self.head_is_open) { BLOCK_LEN } else { 0 };
        let (body, tag) = split_packet(packet, self.packet_shape())?;
        let rest = body.get_mut(opened..).ok_or(OpenError)?;
        self.stream.try_apply_keystream(rest).map_err(|_| OpenError)?;
        self.mac.verify(sequence, body, tag)
    }
}
