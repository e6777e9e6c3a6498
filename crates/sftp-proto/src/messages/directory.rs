//! Directories: OPENDIR, READDIR, MKDIR, RMDIR.

use sterna_sshwire::{DecodeError, Reader, put_string};

use super::{handle, path};
use crate::Attrs;

/// `SSH_FXP_OPENDIR`: opens a directory for listing. Answered by HANDLE.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opendir<'a> {
    pub path: &'a [u8],
}

impl<'a> Opendir<'a> {
    pub const TYPE: u8 = 11;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { path: path(r, "path")? })
    }
}

/// `SSH_FXP_READDIR`: asks for further names. Answered by NAME, at the end by STATUS EOF.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.7.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readdir<'a> {
    /// From an earlier HANDLE reply; opaque to the client.
    pub handle: &'a [u8],
}

impl<'a> Readdir<'a> {
    pub const TYPE: u8 = 12;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.handle);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { handle: handle(r)? })
    }
}

/// `SSH_FXP_MKDIR`: makes a directory.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mkdir<'a> {
    pub path: &'a [u8],
    /// `permissions` holds its mode.
    pub attrs: Attrs<'a>,
}

impl<'a> Mkdir<'a> {
    pub const TYPE: u8 = 14;

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

/// `SSH_FXP_RMDIR`: removes an empty directory.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rmdir<'a> {
    pub path: &'a [u8],
}

impl<'a> Rmdir<'a> {
    pub const TYPE: u8 = 15;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { path: path(r, "path")? })
    }
}
