//! Open files: OPEN, CLOSE, READ, WRITE.

use std::ops::Range;

use sterna_sshwire::{DecodeError, Reader, put_string, put_u8, put_u32, put_u64};

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

/// The beginning of a packet with a WRITE, its length word included, up to the data: for who moves the data by
/// another way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WriteHead<'a> {
    /// The request's id.
    pub id: u32,
    pub handle: &'a [u8],
    pub offset: u64,
    /// Bytes of data behind it.
    pub data_len: u32,
}

impl<'a> WriteHead<'a> {
    /// Its length in bytes with this handle.
    pub fn len_with(handle: &[u8]) -> usize {
        4 + Write::HANDLE_AT + handle.len() + 8 + 4
    }

    /// Appends it. There are at most [`WRITE_LEN_MAX`](crate::limits::WRITE_LEN_MAX) bytes of data.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let len = Self::len_with(self.handle) - 4 + self.data_len as usize;
        put_u32(out, len as u32);
        put_u8(out, Write::TYPE);
        put_u32(out, self.id);
        put_string(out, self.handle);
        put_u64(out, self.offset);
        put_u32(out, self.data_len);
    }

    /// The head of the packet that `stream` begins with. `None` if that is anything but a WRITE of the usual form, or
    /// if more must come before that can be said: then the whole packet has to be looked at.
    pub fn decode(stream: &'a [u8]) -> Option<Self> {
        let mut r = Reader::new(stream);
        let packet_len = r.u32("length").ok()? as usize;
        if packet_len > PACKET_LEN_MAX || r.u8("type").ok()? != Write::TYPE {
            return None;
        }
        let id = r.u32("request id").ok()?;
        let handle = handle(&mut r).ok()?;
        let offset = r.u64("offset").ok()?;
        let data_len = r.u32("data length").ok()?;
        // Bytes behind the data are nobody's, but allowed.
        let is_all = Self::len_with(handle) + data_len as usize == 4 + packet_len;
        is_all.then_some(Self { id, handle, offset, data_len })
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
