//! `statvfs@openssh.com` and `fstatvfs@openssh.com`: space of a file system (OpenSSH `PROTOCOL` §4.4).

use sterna_sshwire::{DecodeError, Reader, put_string, put_u64};

use crate::messages::{handle, path};

/// Asks about the file system that holds `path`. Answered by [`StatvfsReply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statvfs<'a> {
    pub path: &'a [u8],
}

impl<'a> Statvfs<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { path: path(r, "path")? })
    }
}

/// Asks about the file system that holds an open file. Answered by [`StatvfsReply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fstatvfs<'a> {
    pub handle: &'a [u8],
}

impl<'a> Fstatvfs<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.handle);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { handle: handle(r)? })
    }
}

/// The fields of POSIX `statvfs`; blocks are `fragment_len` bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StatvfsReply {
    /// Bytes; the preferred size of reads and writes.
    pub block_len: u64,
    /// Bytes of one block of the counts below.
    pub fragment_len: u64,
    pub blocks: u64,
    pub blocks_free: u64,
    /// Blocks left for users without privileges.
    pub blocks_available: u64,
    pub files: u64,
    pub files_free: u64,
    pub files_available: u64,
    pub fs_id: u64,
    /// [`StatvfsReply::READ_ONLY`] and [`StatvfsReply::NO_SETUID`].
    pub flags: u64,
    /// Bytes of the longest name.
    pub name_len_max: u64,
}

impl StatvfsReply {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u64(out, self.block_len);
        put_u64(out, self.fragment_len);
        put_u64(out, self.blocks);
        put_u64(out, self.blocks_free);
        put_u64(out, self.blocks_available);
        put_u64(out, self.files);
        put_u64(out, self.files_free);
        put_u64(out, self.files_available);
        put_u64(out, self.fs_id);
        put_u64(out, self.flags);
        put_u64(out, self.name_len_max);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            block_len: r.u64("block len")?,
            fragment_len: r.u64("fragment len")?,
            blocks: r.u64("blocks")?,
            blocks_free: r.u64("blocks free")?,
            blocks_available: r.u64("blocks available")?,
            files: r.u64("files")?,
            files_free: r.u64("files free")?,
            files_available: r.u64("files available")?,
            fs_id: r.u64("fs id")?,
            flags: r.u64("flags")?,
            name_len_max: r.u64("name len max")?,
        })
    }
}

impl StatvfsReply {
    pub const READ_ONLY: u64 = 1;
    pub const NO_SETUID: u64 = 2;
}
