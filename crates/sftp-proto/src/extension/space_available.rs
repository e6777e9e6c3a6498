//! `space-available`: free bytes (draft-ietf-secsh-filexfer-extensions-00 §4).

use sterna_sshwire::{DecodeError, Reader, put_string, put_u32, put_u64};

use crate::messages::path;

/// Asks about the device that holds `path`. Answered by [`SpaceAvailableReply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceAvailable<'a> {
    pub path: &'a [u8],
}

impl<'a> SpaceAvailable<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { path: path(r, "path")? })
    }
}

/// Sizes in bytes; 0 is "not known".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SpaceAvailableReply {
    pub bytes_on_device: u64,
    pub unused_bytes_on_device: u64,
    /// What the user may hold in all.
    pub bytes_available_to_user: u64,
    /// What the user may still write.
    pub unused_bytes_available_to_user: u64,
    /// Bytes of the smallest piece that is given out.
    pub bytes_per_allocation_unit: u32,
}

impl SpaceAvailableReply {
    /// Appends the reply's data.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.bytes_on_device);
        put_u64(out, self.unused_bytes_on_device);
        put_u64(out, self.bytes_available_to_user);
        put_u64(out, self.unused_bytes_available_to_user);
        put_u32(out, self.bytes_per_allocation_unit);
    }

    /// Reads the reply's data. Older drafts lack the last word and old ProFTPD sends half of it:
    /// unless all four bytes are there it is 0.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            bytes_on_device: r.u64("bytes on device")?,
            unused_bytes_on_device: r.u64("unused bytes on device")?,
            bytes_available_to_user: r.u64("bytes available to user")?,
            unused_bytes_available_to_user: r.u64("unused bytes available to user")?,
            bytes_per_allocation_unit: r.u32("bytes per allocation unit").unwrap_or(0),
        })
    }
}
