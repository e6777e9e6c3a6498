//! `ranges@asyncssh.com`: which parts of a file hold data, for sparse copies (AsyncSSH 2.19 and newer).
//!
//! Where no data follows the offset, the answer is STATUS EOF.

use sterna_sshwire::{DecodeError, Reader, put_bool, put_string, put_u32, put_u64};

use crate::messages::handle;

/// Asks for the parts with data. Answered by [`RangesReply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ranges<'a> {
    pub handle: &'a [u8],
    /// First byte that is asked about.
    pub offset: u64,
    /// Bytes that are asked about.
    pub len: u64,
}

impl<'a> Ranges<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.handle);
        put_u64(out, self.offset);
        put_u64(out, self.len);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { handle: handle(r)?, offset: r.u64("offset")?, len: r.u64("len")? })
    }
}

/// Parts with data in ascending order, checked and still in their wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangesReply<'a> {
    wire: &'a [u8],
    /// Nothing but a hole follows the last one, within what was asked about.
    pub at_end: bool,
}

/// Bytes of one part on the wire.
const RANGE_LEN: usize = 16;

impl<'a> RangesReply<'a> {
    /// Writes the parts, offset and length each, into `buffer`, which is cleared first, and borrows them from
    /// there.
    pub fn build(
        ranges: impl IntoIterator<Item = (u64, u64)>,
        at_end: bool,
        buffer: &'a mut Vec<u8>,
    ) -> Self {
        buffer.clear();
        for (offset, len) in ranges {
            put_u64(buffer, offset);
            put_u64(buffer, len);
        }
        Self { wire: buffer, at_end }
    }

    /// Offset and length of each part, in bytes.
    pub fn iter(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let mut r = Reader::new(self.wire);
        std::iter::from_fn(move || Some((r.u64("offset").ok()?, r.u64("len").ok()?)))
    }

    /// Appends the reply's data.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, (self.wire.len() / RANGE_LEN) as u32);
        out.extend_from_slice(self.wire);
        put_bool(out, self.at_end);
    }

    /// Reads the reply's data.
    ///
    /// # Errors
    /// Missing bytes, or parts that overlap, are out of order or pass the largest offset: nobody could copy
    /// them and be sure of an end.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = r.u32("range count")? as usize;
        let len = count.checked_mul(RANGE_LEN).ok_or(DecodeError::invalid("range count"))?;
        let reply = Self { wire: r.bytes("ranges", len)?, at_end: r.bool("at end")? };
        let mut after = 0u64;
        for (offset, len) in reply.iter() {
            let end = offset.checked_add(len).filter(|_| offset >= after && len > 0);
            after = end.ok_or(DecodeError::invalid("ranges"))?;
        }
        Ok(reply)
    }
}
