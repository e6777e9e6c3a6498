//! `copy-data`: bytes copied inside the server (draft-ietf-secsh-filexfer-extensions-00 §7).

use sterna_sshwire::{DecodeError, Reader, put_string, put_u64};

use crate::messages::handle;

/// Copies a range from one open file into another; both must not be the same file. Answered by
/// STATUS.
///
/// OpenSSH may say OK although the source ended early: a client compares sizes afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CopyData<'a> {
    pub read_handle: &'a [u8],
    /// First byte taken.
    pub read_offset: u64,
    /// Bytes; 0 is everything up to the end of the source.
    pub len: u64,
    pub write_handle: &'a [u8],
    /// Where the first byte goes; a handle opened to append ignores it.
    pub write_offset: u64,
}

impl<'a> CopyData<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.read_handle);
        put_u64(out, self.read_offset);
        put_u64(out, self.len);
        put_string(out, self.write_handle);
        put_u64(out, self.write_offset);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            read_handle: handle(r)?,
            read_offset: r.u64("read offset")?,
            len: r.u64("len")?,
            write_handle: handle(r)?,
            write_offset: r.u64("write offset")?,
        })
    }
}
