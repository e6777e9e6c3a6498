//! Input buffer to one opened payload: length, open in place, padding, inflate.

use sterna_ssh_crypto::{OpenPacket, none_opener};

use super::{HEAD_LEN, Inflate, InputBuffer, Payload};
use crate::error::PeerError;
use crate::limits::{PACKET_LEN_MIN, PACKETS_HARD_MAX};

/// One direction's keys and counters, receiving.
pub(crate) struct Reader {
    opener: Box<dyn OpenPacket>,
    inflate: Option<Inflate>,
    /// Of the next packet.
    sequence: u32,
    /// Packets opened since the last change of keys, and their bytes.
    packets: u64,
    bytes: u64,
    /// The length of the packet being received, once known.
    packet_len: Option<usize>,
    /// A bad length under a classic MAC: this many bytes are read before the MAC "fails", so that
    /// nobody learns from the moment of failure what the length decrypted to (CVE-2008-5161).
    discard: Option<usize>,
}

impl Reader {
    pub fn new() -> Self {
        Self {
            opener: none_opener(),
            inflate: None,
            sequence: 0,
            packets: 0,
            bytes: 0,
            packet_len: None,
            discard: None,
        }
    }

    /// The sequence number of the packet opened last.
    pub fn last_sequence(&self) -> u32 {
        self.sequence.wrapping_sub(1)
    }

    pub fn bytes_since_keys(&self) -> u64 {
        self.bytes
    }

    pub fn packets_since_keys(&self) -> u64 {
        self.packets
    }

    /// New keys from here on (RFC 4253 §7.3); `reset` is the strict exchange's rule.
    pub fn change_keys(&mut self, opener: Box<dyn OpenPacket>, reset: bool) {
        self.opener = opener;
        (self.packets, self.bytes) = (0, 0);
        if reset {
            self.sequence = 0;
        }
    }

    pub fn set_inflate(&mut self, inflate: Option<Inflate>) {
        self.inflate = inflate;
    }

    /// Opens the next packet if all of it is there. `len_max` bounds `packet_length`.
    pub fn next(
        &mut self,
        input: &mut InputBuffer,
        len_max: usize,
    ) -> Result<Option<Payload>, PeerError> {
        if let Some(left) = self.discard {
            let seen = input.len().min(left);
            input.take(seen);
            self.discard = Some(left - seen);
            return if left == seen { Err(PeerError::BadMac) } else { Ok(None) };
        }
        let shape = self.opener.shape();
        let packet_len = match self.packet_len {
            Some(len) => len,
            None => {
                if input.len() < shape.head_len {
                    input.need(shape.head_len);
                    return Ok(None);
                }
                let head = &mut input.unread()[..shape.head_len];
                let len = self.opener.packet_length(self.sequence, head) as usize;
                let aligned = if shape.length_is_aligned { len.wrapping_add(4) } else { len };
                let good = (PACKET_LEN_MIN..=len_max).contains(&len)
                    && aligned.is_multiple_of(shape.block_len)
                    && len + 4 >= shape.head_len;
                if !good {
                    if shape.length_is_aligned && shape.tag_len > 0 {
                        self.discard = Some(len_max);
                        return self.next(input, len_max);
                    }
                    return Err(PeerError::BadPacket);
                }
                self.packet_len = Some(len);
                len
            }
        };
        let total = 4 + packet_len + shape.tag_len;
        if input.len() < total {
            input.need(total);
            return Ok(None);
        }

        let packet = &mut input.unread()[..total];
        self.opener.open(self.sequence, packet).map_err(|_| PeerError::BadMac)?;
        let padding_len = packet[4] as usize;
        let payload_len = (packet_len - 1).saturating_sub(padding_len);
        if padding_len < 4 || payload_len == 0 {
            return Err(PeerError::BadPacket);
        }

        self.packet_len = None;
        self.sequence = self.sequence.wrapping_add(1);
        self.packets += 1;
        self.bytes += total as u64;
        if self.packets > PACKETS_HARD_MAX {
            return Err(PeerError::KeysWornOut);
        }
        let place = input.take(total);
        let start = place.start + HEAD_LEN;
        let range = start..start + payload_len;
        let Some(inflate) = &mut self.inflate else {
            return Ok(Some(Payload { inflated: false, range }));
        };
        let (compressed, inflated) = input.for_inflating(&range);
        inflate.run(compressed, inflated)?;
        if inflated.is_empty() {
            return Err(PeerError::BadCompression);
        }
        Ok(Some(Payload { inflated: true, range: 0..inflated.len() }))
    }
}
