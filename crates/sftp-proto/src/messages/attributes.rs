//! Attributes by path and by handle: LSTAT, FSTAT, SETSTAT, FSETSTAT, STAT.

use sterna_sshwire::{DecodeError, Reader, put_string};

use super::{handle, path};
use crate::Attrs;

/// `SSH_FXP_LSTAT`: asks for the attributes of a name; a final link is not followed.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lstat<'a> {
    pub path: &'a [u8],
}

impl<'a> Lstat<'a> {
    pub const TYPE: u8 = 7;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { path: path(r, "path")? })
    }
}

/// `SSH_FXP_FSTAT`: asks for the attributes of what a handle is open on.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fstat<'a> {
    /// From an earlier HANDLE reply; opaque to the client.
    pub handle: &'a [u8],
}

impl<'a> Fstat<'a> {
    pub const TYPE: u8 = 8;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.handle);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { handle: handle(r)? })
    }
}

/// `SSH_FXP_SETSTAT`: changes the attributes that are given; links are followed.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setstat<'a> {
    pub path: &'a [u8],
    pub attrs: Attrs<'a>,
}

impl<'a> Setstat<'a> {
    pub const TYPE: u8 = 9;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
        self.attrs.encode(out);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { path: path(r, "path")?, attrs: Attrs::decode(r)? })
    }
}

/// `SSH_FXP_FSETSTAT`: changes the attributes that are given.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.9.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fsetstat<'a> {
    /// From an earlier HANDLE reply; opaque to the client.
    pub handle: &'a [u8],
    pub attrs: Attrs<'a>,
}

impl<'a> Fsetstat<'a> {
    pub const TYPE: u8 = 10;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.handle);
        self.attrs.encode(out);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { handle: handle(r)?, attrs: Attrs::decode(r)? })
    }
}

/// `SSH_FXP_STAT`: asks for the attributes of a name; links are followed.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat<'a> {
    pub path: &'a [u8],
}

impl<'a> Stat<'a> {
    pub const TYPE: u8 = 17;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { path: path(r, "path")? })
    }
}
