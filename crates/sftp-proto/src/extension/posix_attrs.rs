//! `posix-attrs@sterna-sftp`, ours: attributes to the nanosecond, and which names are the same file.
//!
//! Announced with the value `1`. A client that wants it sends the request of that name, without fields, and
//! is answered by STATUS OK; from then on every attribute block of the session, in both directions, may
//! carry one extended pair of that type, before all others:
//!
//! ```text
//! string "posix-attrs@sterna-sftp"
//! string of 20 bytes:
//!     uint32 nanoseconds of the access time       below 10^9; the seconds are those of the block
//!     uint32 nanoseconds of the modification time
//!     uint64 file id                              equal: the same file within this server; 0: not said
//!     uint32 names of the file (hard links)       0: not said
//! ```
//!
//! In SETSTAT, FSETSTAT and lsetstat the last two mean nothing. Whoever has not asked never sees the pair.

use std::marker::PhantomData;

use sterna_sshwire::{DecodeError, Reader, put_string, put_u32, put_u64};

/// Turns the pair on; it has no fields. Answered by STATUS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PosixAttrsRequest<'a>(PhantomData<&'a [u8]>);

impl<'a> PosixAttrsRequest<'a> {
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

/// What the pair says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PosixAttrs {
    /// Of the access time, beside its seconds; below [`NANOS_PER_SECOND`].
    pub accessed_nanos: u32,
    /// Of the modification time.
    pub modified_nanos: u32,
    /// Equal for names of the same file; 0 is "not said".
    pub file_id: u64,
    /// Names of the file; 0 is "not said".
    pub links: u32,
}

/// One second.
pub const NANOS_PER_SECOND: u32 = 1_000_000_000;

impl PosixAttrs {
    /// The type of the pair.
    pub const TYPE: &'static [u8] = b"posix-attrs@sterna-sftp";

    /// Bytes of its data.
    const LEN: u32 = 20;

    /// Appends the pair.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, Self::TYPE);
        put_u32(out, Self::LEN);
        put_u32(out, self.accessed_nanos);
        put_u32(out, self.modified_nanos);
        put_u64(out, self.file_id);
        put_u32(out, self.links);
    }

    /// Reads a pair; `None` if it is of another type, or not what this one has to be.
    pub(crate) fn of_pair(name: &[u8], data: &[u8]) -> Option<Self> {
        if name != Self::TYPE {
            return None;
        }
        let mut r = Reader::new(data);
        let read = Self {
            accessed_nanos: r.u32("atime nanoseconds").ok()?,
            modified_nanos: r.u32("mtime nanoseconds").ok()?,
            file_id: r.u64("file id").ok()?,
            links: r.u32("link count").ok()?,
        };
        let in_range = read.accessed_nanos.max(read.modified_nanos) < NANOS_PER_SECOND;
        (in_range && r.remaining() == 0).then_some(read)
    }
}
