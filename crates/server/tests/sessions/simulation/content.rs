//! What is in files: every byte follows from the version's number and its place, and none of them is 0.

use std::ops::Range;

/// The content of a file: so many bytes, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    pub tag: u64,
    pub len: u64,
}

impl Version {
    /// The bytes of that range, which lies inside.
    pub fn bytes(self, range: Range<u64>) -> Vec<u8> {
        assert!(range.end <= self.len, "{range:?} of {self:?}");
        range.map(|offset| byte(self.tag, offset)).collect()
    }

    /// Whether `found` is what a read at `offset` may give: some of the bytes there, at least one.
    pub fn has(self, offset: u64, found: &[u8]) -> bool {
        let end = offset + found.len() as u64;
        !found.is_empty() && end <= self.len && self.looks_like(offset, found, false)
    }

    /// Whether each byte of `found` is the one of its place, or 0 where that is permitted.
    pub fn looks_like(self, offset: u64, found: &[u8], or_zero: bool) -> bool {
        let mut places = (offset..).zip(found);
        places.all(|(at, byte_found)| {
            *byte_found == byte(self.tag, at) || or_zero && *byte_found == 0
        })
    }
}

fn byte(tag: u64, offset: u64) -> u8 {
    let mut z = (tag << 32 ^ offset >> 3).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 29).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z >> (8 * (offset & 7))) as u8 | 1
}
