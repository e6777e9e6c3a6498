//! `limits@openssh.com`: how much one request may carry (OpenSSH `PROTOCOL` §4.8).

use std::marker::PhantomData;

use sterna_sshwire::{DecodeError, Reader, put_u64};

use crate::limits::{
    BLOCK_LEN_DEFAULT, BLOCK_LEN_MIN, PACKET_LEN_MAX, READ_LEN_MAX, WRITE_LEN_MAX,
};

/// Asks for the server's limits; it has no fields. Answered by [`LimitsReply`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits<'a>(PhantomData<&'a [u8]>);

impl<'a> Limits<'a> {
    pub const fn new() -> Self {
        Self(PhantomData)
    }

    /// Appends nothing.
    pub fn encode(&self, _out: &mut Vec<u8>) {}

    /// Reads nothing.
    pub fn decode(_r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self::new())
    }
}

/// The server's limits; 0 is "not said".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsReply {
    /// Bytes of a packet.
    pub packet_len_max: u64,
    /// Bytes of one READ.
    pub read_len_max: u64,
    /// Bytes of one WRITE.
    pub write_len_max: u64,
    pub open_handles_max: u64,
}

impl LimitsReply {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.packet_len_max);
        put_u64(out, self.read_len_max);
        put_u64(out, self.write_len_max);
        put_u64(out, self.open_handles_max);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            packet_len_max: r.u64("packet len max")?,
            read_len_max: r.u64("read len max")?,
            write_len_max: r.u64("write len max")?,
            open_handles_max: r.u64("open handles max")?,
        })
    }
}

impl LimitsReply {
    /// What this crate's server announces; only the number of handles is a matter of policy.
    pub fn ours(open_handles_max: u64) -> Self {
        Self {
            packet_len_max: PACKET_LEN_MAX as u64,
            read_len_max: READ_LEN_MAX.into(),
            write_len_max: WRITE_LEN_MAX.into(),
            open_handles_max,
        }
    }

    /// Bytes a client asks for in one READ.
    pub fn usable_read_len(&self) -> u32 {
        usable(self.read_len_max, READ_LEN_MAX)
    }

    /// Bytes a client puts into one WRITE.
    pub fn usable_write_len(&self) -> u32 {
        usable(self.write_len_max, WRITE_LEN_MAX)
    }
}

/// The smaller of both sides' limits; the block that every server takes if theirs is unknown or
/// too small to be meant.
fn usable(theirs: u64, ours: u32) -> u32 {
    if theirs < BLOCK_LEN_MIN {
        return BLOCK_LEN_DEFAULT;
    }
    u32::try_from(theirs).map_or(ours, |theirs| theirs.min(ours))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senseless_limits_fall_back_to_the_block_everybody_takes() {
        let cases = [
            (0, 32768),
            (1, 32768),
            (63, 32768),
            (64, 64),
            (65536, 65536),
            (261_120, 261_120),
            (261_121, 261_120),
            (1 << 63, 261_120),
        ];
        for (announced, usable) in cases {
            let limits = LimitsReply { read_len_max: announced, ..LimitsReply::ours(1) };

            assert_eq!(limits.usable_read_len(), usable, "{announced}");
        }
    }
}
