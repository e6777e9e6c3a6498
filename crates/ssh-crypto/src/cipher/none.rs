//! No cipher: what both sides speak until the first NEWKEYS (RFC 4253 §6).

use super::{LENGTH_LEN, OpenError, OpenPacket, PacketShape, SealPacket, clear_length};

/// The sealer before the first NEWKEYS.
pub fn none_sealer() -> Box<dyn SealPacket> {
    Box::new(Clear)
}

/// The opener before the first NEWKEYS.
pub fn none_opener() -> Box<dyn OpenPacket> {
    Box::new(Clear)
}

struct Clear;

const SHAPE: PacketShape =
    PacketShape { block_len: 8, length_is_aligned: true, head_len: LENGTH_LEN, tag_len: 0 };

impl SealPacket for Clear {
    fn shape(&self) -> PacketShape {
        SHAPE
    }

    fn seal(&mut self, _sequence: u32, _packet: &mut [u8]) {}
}

impl OpenPacket for Clear {
    fn shape(&self) -> PacketShape {
        SHAPE
    }

    fn packet_length(&mut self, _sequence: u32, head: &mut [u8]) -> u32 {
        clear_length(head)
    }

    fn open(&mut self, _sequence: u32, packet: &mut [u8]) -> Result<(), OpenError> {
        super::split_packet(packet, SHAPE).map(|_| ())
    }
}
