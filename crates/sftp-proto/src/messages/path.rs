//! Names: REMOVE, REALPATH, RENAME, READLINK, SYMLINK.

use sterna_sshwire::{DecodeError, Reader, put_string};

use super::path;

/// `SSH_FXP_REMOVE`: removes a file or a link, never a directory.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remove<'a> {
    pub path: &'a [u8],
}

impl<'a> Remove<'a> {
    pub const TYPE: u8 = 13;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { path: path(r, "path")? })
    }
}

/// `SSH_FXP_REALPATH`: asks for the canonical absolute path. Answered by NAME.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.11.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Realpath<'a> {
    /// Empty is the same as `.`: the directory the session starts in.
    pub path: &'a [u8],
}

impl<'a> Realpath<'a> {
    pub const TYPE: u8 = 16;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { path: path(r, "path")? })
    }
}

/// `SSH_FXP_RENAME`: renames; in version 3 an existing new name is an error.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rename<'a> {
    pub old_path: &'a [u8],
    pub new_path: &'a [u8],
}

impl<'a> Rename<'a> {
    pub const TYPE: u8 = 18;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.old_path);
        put_string(out, self.new_path);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { old_path: path(r, "old path")?, new_path: path(r, "new path")? })
    }
}

/// `SSH_FXP_READLINK`: asks for the text of a symbolic link. Answered by NAME.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.10.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Readlink<'a> {
    pub path: &'a [u8],
}

impl<'a> Readlink<'a> {
    pub const TYPE: u8 = 19;

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { path: path(r, "path")? })
    }
}

/// `SSH_FXP_SYMLINK`: makes a symbolic link.
///
/// The draft puts the new name first. OpenSSH's server reads the target first, and nearly every
/// client sends it so; that order is the one here. [`Symlink::swapped`] gives the draft's.
///
/// Spec: draft-ietf-secsh-filexfer-02 §6.10; OpenSSH `PROTOCOL` §4.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Symlink<'a> {
    /// The text of the link, verbatim; it need not exist.
    pub target: &'a [u8],
    /// The new name.
    pub link: &'a [u8],
}

impl<'a> Symlink<'a> {
    pub const TYPE: u8 = 20;

    /// The message whose bytes, read in the draft's order, mean this one.
    pub fn swapped(self) -> Self {
        Self { target: self.link, link: self.target }
    }

    /// Whether a program that calls itself `software` in its SSH version line means the draft's
    /// order. AsyncSSH does, on both sides, unless it meets a peer named OpenSSH or Paramiko.
    pub fn is_in_draft_order_for(software: &[u8]) -> bool {
        software.starts_with(b"AsyncSSH_")
    }

    /// Appends the body; the frame adds length, type and request id.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.target);
        put_string(out, self.link);
    }

    /// Reads the body in wire order; bytes behind it are the caller's to ignore.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { target: path(r, "link target")?, link: path(r, "link path")? })
    }
}
