//! Payload to padded, numbered, sealed bytes at the end of the output buffer.

use std::io::IoSliceMut;

use sterna_ssh_crypto::{PacketShape, Random, SealPacket, none_sealer};

use super::{Deflate, HEAD_LEN, OutputBuffer};
use crate::limits::SEND_SLICES_MAX;
use crate::messages::channel::{DATA_HEAD_LEN, data_head};

/// Random bytes drawn at once for padding.
const PADDING_STOCK_LEN: usize = 1024;

/// One direction's keys and counters, sending.
pub(crate) struct Writer {
    sealer: Box<dyn SealPacket>,
    shape: PacketShape,
    deflate: Option<Deflate>,
    /// Of the next packet.
    sequence: u32,
    /// Packets sealed since the last change of keys, and their bytes.
    packets: u64,
    bytes: u64,
    padding: PaddingStock,
    /// Reused for compressed payloads.
    scratch: Vec<u8>,
}

impl Writer {
    pub fn new() -> Self {
        let sealer = none_sealer();
        Self {
            shape: sealer.shape(),
            sealer,
            deflate: None,
            sequence: 0,
            packets: 0,
            bytes: 0,
            padding: PaddingStock::default(),
            scratch: Vec::new(),
        }
    }

    /// Gives memory back that the next packet gets again.
    pub fn release(&mut self) {
        self.padding = PaddingStock::default();
        self.scratch = Vec::new();
    }

    pub fn bytes_since_keys(&self) -> u64 {
        self.bytes
    }

    pub fn packets_since_keys(&self) -> u64 {
        self.packets
    }

    /// New keys from here on (RFC 4253 §7.3); `reset` is the strict exchange's rule.
    pub fn change_keys(&mut self, sealer: Box<dyn SealPacket>, reset: bool) {
        self.shape = sealer.shape();
        self.sealer = sealer;
        (self.packets, self.bytes) = (0, 0);
        if reset {
            self.sequence = 0;
        }
    }

    pub fn set_deflate(&mut self, deflate: Option<Deflate>) {
        self.deflate = deflate;
    }

    /// Seals one payload.
    pub fn seal(&mut self, out: &mut OutputBuffer, random: &mut dyn Random, payload: &[u8]) {
        if let Some(deflate) = &mut self.deflate {
            let mut compressed = std::mem::take(&mut self.scratch);
            compressed.clear();
            deflate.run(payload, &mut compressed);
            self.seal_raw(out, random, &[&compressed]);
            self.scratch = compressed;
        } else {
            self.seal_raw(out, random, &[payload]);
        }
    }

    /// Seals a DATA message whose data is the concatenation of `parts`.
    pub fn seal_data(
        &mut self,
        out: &mut OutputBuffer,
        random: &mut dyn Random,
        recipient: u32,
        parts: [&[u8]; 2],
    ) {
        let len = parts[0].len() + parts[1].len();
        let head = data_head(recipient, u32::try_from(len).expect("within one packet"));
        if self.deflate.is_some() {
            let payload = [&head[..], parts[0], parts[1]].concat();
            self.seal(out, random, &payload);
        } else {
            self.seal_raw(out, random, &[&head, parts[0], parts[1]]);
        }
    }

    /// Lays out packets for `len` bytes of data, at most `packet_len_max` in each, lets `fill` write
    /// the data straight into them, and seals what it says it used.
    ///
    /// `fill` gets all slices in order and returns how many bytes it wrote from the front; with 0
    /// nothing is sent. `len` must fit into [`SEND_SLICES_MAX`] packets.
    pub fn seal_data_with(
        &mut self,
        out: &mut OutputBuffer,
        random: &mut dyn Random,
        recipient: u32,
        len: usize,
        packet_len_max: usize,
        fill: impl FnOnce(&mut [IoSliceMut<'_>]) -> usize,
    ) -> usize {
        let count = len.div_ceil(packet_len_max);
        assert!(count <= SEND_SLICES_MAX, "caller bounds len by the slices there are");
        if self.deflate.is_some() {
            return self.deflate_data_with(out, random, recipient, len, packet_len_max, fill);
        }
        let full_len = self.packet_len(DATA_HEAD_LEN + packet_len_max);
        let last_len = self.packet_len(DATA_HEAD_LEN + len - (count - 1) * packet_len_max);
        let laid_out = (count - 1) * full_len + last_len;

        let used = {
            let mut slices: [IoSliceMut<'_>; SEND_SLICES_MAX] =
                std::array::from_fn(|_| IoSliceMut::new(&mut []));
            let mut rest = out.extend(laid_out);
            for (i, slice) in slices[..count].iter_mut().enumerate() {
                let last = i + 1 == count;
                let (packet, next) = rest.split_at_mut(if last { last_len } else { full_len });
                rest = next;
                let data_len =
                    if last { len - (count - 1) * packet_len_max } else { packet_len_max };
                let data = &mut packet[HEAD_LEN + DATA_HEAD_LEN..][..data_len];
                *slice = IoSliceMut::new(data);
            }
            fill(&mut slices[..count])
        };
        assert!(used <= len, "fill used more than it was given");

        // Seal front to back; the first packet that is not full is the last one sent.
        let laid = out.tail_mut(laid_out);
        let (mut done, mut at) = (0, 0);
        while done < used {
            let data_len = (used - done).min(packet_len_max);
            let payload_len = DATA_HEAD_LEN + data_len;
            let packet_len = packet_len(self.shape, payload_len);
            let packet = &mut laid[at..at + packet_len];
            let head = data_head(recipient, u32::try_from(data_len).expect("within one packet"));
            packet[HEAD_LEN..HEAD_LEN + DATA_HEAD_LEN].copy_from_slice(&head);
            self.packets += 1;
            self.bytes += packet_len as u64;
            finish(
                &mut *self.sealer,
                self.shape,
                &mut self.padding,
                random,
                self.sequence,
                packet,
                payload_len,
            );
            self.sequence = self.sequence.wrapping_add(1);
            done += data_len;
            at += packet_len;
        }
        out.retract(laid_out - at);
        used
    }

    /// The same when payloads are compressed: through memory of its own.
    fn deflate_data_with(
        &mut self,
        out: &mut OutputBuffer,
        random: &mut dyn Random,
        recipient: u32,
        len: usize,
        packet_len_max: usize,
        fill: impl FnOnce(&mut [IoSliceMut<'_>]) -> usize,
    ) -> usize {
        let mut data = vec![0; len];
        let used = fill(&mut [IoSliceMut::new(&mut data)]);
        for chunk in data[..used].chunks(packet_len_max) {
            self.seal_data(out, random, recipient, [chunk, &[]]);
        }
        used
    }

    /// Bytes of a whole packet around `payload_len` bytes.
    pub fn packet_len(&self, payload_len: usize) -> usize {
        packet_len(self.shape, payload_len)
    }

    fn seal_raw(&mut self, out: &mut OutputBuffer, random: &mut dyn Random, parts: &[&[u8]]) {
        let payload_len = parts.iter().map(|p| p.len()).sum();
        let packet_len = self.packet_len(payload_len);
        let packet = out.extend(packet_len);
        let mut at = HEAD_LEN;
        for part in parts {
            packet[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        self.packets += 1;
        self.bytes += packet_len as u64;
        finish(
            &mut *self.sealer,
            self.shape,
            &mut self.padding,
            random,
            self.sequence,
            packet,
            payload_len,
        );
        self.sequence = self.sequence.wrapping_add(1);
    }
}

/// Padding for a payload: at least 4 bytes, up to the cipher's block (RFC 4253 §6).
fn padding_len(shape: PacketShape, payload_len: usize) -> usize {
    let counted = 1 + payload_len + if shape.length_is_aligned { 4 } else { 0 };
    let to_block = shape.block_len - counted % shape.block_len;
    if to_block < 4 { to_block + shape.block_len } else { to_block }
}

fn packet_len(shape: PacketShape, payload_len: usize) -> usize {
    HEAD_LEN + payload_len + padding_len(shape, payload_len) + shape.tag_len
}

/// Writes length, padding length and padding around a payload that is in place, and seals.
fn finish(
    sealer: &mut dyn SealPacket,
    shape: PacketShape,
    padding: &mut PaddingStock,
    random: &mut dyn Random,
    sequence: u32,
    packet: &mut [u8],
    payload_len: usize,
) {
    let padding_len = padding_len(shape, payload_len);
    let length = u32::try_from(1 + payload_len + padding_len).expect("packets are bounded");
    packet[..4].copy_from_slice(&length.to_be_bytes());
    packet[4] = u8::try_from(padding_len).expect("padding is below two blocks");
    let at = HEAD_LEN + payload_len;
    padding.fill(random, &mut packet[at..at + padding_len]);
    sealer.seal(sequence, packet);
}

/// Random padding drawn in larger portions: one call of the generator per many packets.
#[derive(Default)]
struct PaddingStock {
    /// None before the first packet.
    bytes: Vec<u8>,
    used: usize,
}

impl PaddingStock {
    fn fill(&mut self, random: &mut dyn Random, out: &mut [u8]) {
        if self.bytes.len() - self.used < out.len() {
            self.bytes.resize(PADDING_STOCK_LEN, 0);
            random.fill(&mut self.bytes);
            self.used = 0;
        }
        out.copy_from_slice(&self.bytes[self.used..self.used + out.len()]);
        self.used += out.len();
    }
}
