//! The attribute block (draft-02 §5) and its flag bits.
//!
//! A group is there or not as a whole: user with group, access with modification time. Unknown
//! flag bits make the length of the block unknown, so they are an error.

use sterna_sshwire::{DecodeError, Reader, Why, put_string, put_u32, put_u64};

use crate::extension::PosixAttrs;
use crate::limits::{ATTR_PAIR_LEN_MAX, ATTR_PAIRS_MAX};

/// Attributes of a file, or those to be set. `None` is "not said".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Attrs<'a> {
    /// Bytes.
    pub size: Option<u64>,
    pub owner: Option<Owner>,
    /// POSIX `st_mode`: in replies with the file type bits, see [`kind`].
    pub permissions: Option<u32>,
    pub times: Option<Times>,
    /// The pair of `posix-attrs@sterna-sftp`: only in sessions that have turned it on. On the wire it is the
    /// first extended pair, and not among those of `extended`.
    pub posix: Option<PosixAttrs>,
    /// Vendors' pairs; nothing in this system needs one.
    pub extended: AttrPairs<'a>,
}

/// Numeric user and group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
}

/// Seconds since 1970 UTC, unsigned: up to the year 2106.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Times {
    pub accessed: u32,
    pub modified: u32,
}

/// File type bits of `permissions` (POSIX `S_IFMT`).
pub mod kind {
    pub const MASK: u32 = 0o170_000;
    pub const SOCKET: u32 = 0o140_000;
    pub const SYMLINK: u32 = 0o120_000;
    pub const REGULAR: u32 = 0o100_000;
    pub const BLOCK_DEVICE: u32 = 0o060_000;
    pub const DIRECTORY: u32 = 0o040_000;
    pub const CHAR_DEVICE: u32 = 0o020_000;
    pub const FIFO: u32 = 0o010_000;
}

/// Flag bits of the block.
pub mod flag {
    pub const SIZE: u32 = 0x0000_0001;
    pub const UIDGID: u32 = 0x0000_0002;
    pub const PERMISSIONS: u32 = 0x0000_0004;
    pub const ACMODTIME: u32 = 0x0000_0008;
    pub const EXTENDED: u32 = 0x8000_0000;
    pub const ALL: u32 = SIZE | UIDGID | PERMISSIONS | ACMODTIME | EXTENDED;
}

impl<'a> Attrs<'a> {
    /// Which groups the block holds.
    pub fn flags(&self) -> u32 {
        let bit = |there: bool, bit: u32| if there { bit } else { 0 };
        bit(self.size.is_some(), flag::SIZE)
            | bit(self.owner.is_some(), flag::UIDGID)
            | bit(self.permissions.is_some(), flag::PERMISSIONS)
            | bit(self.times.is_some(), flag::ACMODTIME)
            | bit(self.posix.is_some() || !self.extended.is_empty(), flag::EXTENDED)
    }

    /// Appends the block.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, self.flags());
        if let Some(size) = self.size {
            put_u64(out, size);
        }
        if let Some(owner) = self.owner {
            put_u32(out, owner.uid);
            put_u32(out, owner.gid);
        }
        if let Some(permissions) = self.permissions {
            put_u32(out, permissions);
        }
        if let Some(times) = self.times {
            put_u32(out, times.accessed);
            put_u32(out, times.modified);
        }
        if self.posix.is_some() || !self.extended.is_empty() {
            put_u32(out, self.extended.count + u32::from(self.posix.is_some()));
            if let Some(posix) = self.posix {
                posix.encode(out);
            }
            out.extend_from_slice(self.extended.wire);
        }
    }

    /// Reads one block.
    ///
    /// # Errors
    /// Missing bytes, unknown flag bits, or more than [`ATTR_PAIRS_MAX`] extended pairs.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let flags = r.u32("attribute flags")?;
        if flags & !flag::ALL != 0 {
            return Err(DecodeError::invalid("attribute flags"));
        }
        let has = |bit| flags & bit != 0;
        let size = if has(flag::SIZE) { Some(r.u64("size")?) } else { None };
        let owner = if has(flag::UIDGID) {
            Some(Owner { uid: r.u32("uid")?, gid: r.u32("gid")? })
        } else {
            None
        };
        let permissions = if has(flag::PERMISSIONS) { Some(r.u32("permissions")?) } else { None };
        let times = if has(flag::ACMODTIME) {
            Some(Times { accessed: r.u32("atime")?, modified: r.u32("mtime")? })
        } else {
            None
        };
        let (posix, extended) = if has(flag::EXTENDED) {
            AttrPairs::decode(r)?.split_posix()
        } else {
            (None, AttrPairs::default())
        };
        Ok(Self { size, owner, permissions, times, posix, extended })
    }

    /// Nanoseconds of the modification time beside its seconds, if both are there.
    pub fn modified_nanos(&self) -> Option<u32> {
        self.times.and(self.posix).map(|posix| posix.modified_nanos)
    }

    /// Nanoseconds of the access time beside its seconds, if both are there.
    pub fn accessed_nanos(&self) -> Option<u32> {
        self.times.and(self.posix).map(|posix| posix.accessed_nanos)
    }

    /// What names of the same file have in common, if the server says it.
    pub fn file_id(&self) -> Option<u64> {
        self.posix.map(|posix| posix.file_id).filter(|id| *id != 0)
    }

    /// Names of the file, if the server says it.
    pub fn links(&self) -> Option<u32> {
        self.posix.map(|posix| posix.links).filter(|links| *links != 0)
    }

    /// The same with times to the nanosecond, to be set.
    #[must_use]
    pub fn with_nanos(self, accessed_nanos: u32, modified_nanos: u32) -> Self {
        Self {
            posix: Some(PosixAttrs { accessed_nanos, modified_nanos, ..PosixAttrs::default() }),
            ..self
        }
    }
}

/// Extended (type, data) pairs, checked and still in their wire form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AttrPairs<'a> {
    count: u32,
    wire: &'a [u8],
}

impl<'a> AttrPairs<'a> {
    /// Writes `pairs` into `buffer`, which is cleared first, and borrows them from there.
    pub fn build(pairs: &[(&[u8], &[u8])], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        let pairs = &pairs[..pairs.len().min(ATTR_PAIRS_MAX as usize)];
        for (name, data) in pairs {
            put_string(buffer, name);
            put_string(buffer, data);
        }
        Self { count: pairs.len() as u32, wire: buffer }
    }

    pub fn len(&self) -> usize {
        self.count as usize
    }

    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub fn iter(&self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> + use<'a> {
        let mut r = Reader::new(self.wire);
        std::iter::from_fn(move || read_pair(&mut r).ok())
    }

    /// Takes the first pair out if it is ours.
    fn split_posix(self) -> (Option<PosixAttrs>, Self) {
        let mut r = Reader::new(self.wire);
        let first = read_pair(&mut r).ok();
        match first.and_then(|(name, data)| PosixAttrs::of_pair(name, data)) {
            Some(posix) if self.count > 0 => {
                (Some(posix), Self { count: self.count - 1, wire: r.rest() })
            }
            _ => (None, self),
        }
    }

    fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = r.u32("extended count")?;
        if count > ATTR_PAIRS_MAX {
            let why = Why::TooLong { len: count as usize, max: ATTR_PAIRS_MAX as usize };
            return Err(DecodeError { field: "extended count", why });
        }
        let mut ahead = r.clone();
        for _ in 0..count {
            read_pair(&mut ahead)?;
        }
        let wire = r.bytes("extended attributes", r.remaining() - ahead.remaining())?;
        Ok(Self { count, wire })
    }
}

fn read_pair<'a>(r: &mut Reader<'a>) -> Result<(&'a [u8], &'a [u8]), DecodeError> {
    Ok((
        r.string("extended type", ATTR_PAIR_LEN_MAX)?,
        r.string("extended data", ATTR_PAIR_LEN_MAX)?,
    ))
}

/// A time of the file system as version 3 can say it: out of range is clamped, never wrapped.
pub fn clamp_seconds(seconds: i64) -> u32 {
    u32::try_from(seconds.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_out_of_range_are_clamped_not_wrapped() {
        assert_eq!(clamp_seconds(-1), 0);
        assert_eq!(clamp_seconds(1_700_000_000), 1_700_000_000);
        assert_eq!(clamp_seconds(1 << 32), u32::MAX);
        assert_eq!(clamp_seconds(i64::MIN), 0);
    }

    #[test]
    fn unknown_flag_bits_are_refused() {
        for bit in (4..31).map(|n| 1u32 << n) {
            let wire = bit.to_be_bytes();

            let error = Attrs::decode(&mut Reader::new(&wire)).unwrap_err();

            assert_eq!(error, DecodeError::invalid("attribute flags"));
        }
    }

    #[test]
    fn a_lying_count_of_pairs_is_refused_before_anything_is_read() {
        for count in [65u32, 0x7fff_ffff, 0xffff_ffff] {
            let wire = [&[0x80, 0, 0, 0][..], &count.to_be_bytes()].concat();

            let error = Attrs::decode(&mut Reader::new(&wire)).unwrap_err();

            assert!(matches!(error.why, Why::TooLong { .. }), "{error}");
        }
    }

    #[test]
    fn pairs_keep_their_order_and_bytes() {
        let mut buffer = Vec::new();
        let pairs: [(&[u8], &[u8]); 2] = [(b"user.x", b"1"), (b"", b"\xff\0")];

        let built = AttrPairs::build(&pairs, &mut buffer);

        assert!(built.iter().eq(pairs));
    }
}
