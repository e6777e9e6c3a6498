//! Open files: OPEN, CLOSE, READ, WRITE.

use std::ops::Range;

use sterna_sshwire::{DecodeError, Reader, put_string, put_u32, put_u64};

use super::{handle, path};
use crate::limits::PACKET_LEN_MAX;
use crate::{Attrs, OpenFlags};

/// `SSH_FXP_OPEN`: opens or creates a file. Answered by HANDLE.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'a> {
    pub path: &'a [u8],
    pub flags: OpenFlags,
    /// `permissions` holds the mode of a new file; the size is ignored.
    pub attrs: Attrs<'a>,
}

impl<'a> Open<'a> {
    pub const TYPE: u8 = 3;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
        put_u32(out, self.flags.0);
        self.attrs.encode(out);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            path: path(r, "path")?,
            flags: OpenFlags(r.u32("flags")?),
            attrs: Attrs::decode(r)?,
        })
    }
}

/// `SSH_FXP_CLOSE`: ends a file or directory handle, whatever the status.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    /// From an earlier HANDLE reply; opaque to the client.
    pub handle: &'a [u8],
}

impl<'a> Close<'a> {
    pub const TYPE: u8 = 4;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.handle);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { handle: handle(r)? })
    }
}

/// `SSH_FXP_READ`: asks for bytes of an open file. Answered by DATA.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read<'a> {
    /// From an earlier HANDLE reply; opaque to the client.
    pub handle: &'a [u8],
    /// First byte wanted, counted from the start of the file.
    pub offset: u64,
    /// Bytes wanted. The reply may hold fewer, never more.
    pub len: u32,
}

impl<'a> Read<'a> {
    pub const TYPE: u8 = 5;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.handle);
        put_u64(out, self.offset);
        put_u32(out, self.len);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { handle: handle(r)?, offset: r.u64("offset")?, len: r.u32("len")? })
    }
}

/// `SSH_FXP_WRITE`: writes bytes to an open file: all of them, or an error.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Write<'a> {
    /// From an earlier HANDLE reply; opaque to the client.
    pub handle: &'a [u8],
    /// Where the first byte goes, counted from the start of the file.
    pub offset: u64,
    pub data: &'a [u8],
}

impl<'a> Write<'a> {
    pub const TYPE: u8 = 6;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.handle);
        put_u64(out, self.offset);
        put_string(out, self.data);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self {
            handle: handle(r)?,
            offset: r.u64("offset")?,
            data: r.string("data", PACKET_LEN_MAX)?,
        })
    }
}

impl Write<'_> {
    /// Bytes of the frame in front of the handle's content: type, id and its length word.
    const HANDLE_AT: usize = 1 + 4 + 4;

    /// Where `data` lies in the frame this message was decoded from (the frame begins with its
    /// type byte). A server that owns the frame can hand it to another thread with this range
    /// and need not copy the data out.
    pub fn data_range(&self) -> Range<usize> {
        let start = Self::HANDLE_AT + self.handle.len() + 8 + 4;
        start..start + self.data.len()
    }
}
