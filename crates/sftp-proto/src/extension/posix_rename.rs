//! `posix-rename@openssh.com`: a rename that replaces the target (OpenSSH `PROTOCOL` §4.3).

use sterna_sshwire::{DecodeError, Reader, put_string};

use crate::messages::path;

/// Renames; an existing new name is replaced atomically. Answered by STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PosixRename<'a> {
    pub old_path: &'a [u8],
    pub new_path: &'a [u8],
}

impl<'a> PosixRename<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.old_path);
        put_string(out, self.new_path);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { old_path: path(r, "old path")?, new_path: path(r, "new path")? })
    }
}
