//! `hardlink@openssh.com`: a second name of a file (OpenSSH `PROTOCOL` §4.5).

use sterna_sshwire::{DecodeError, Reader, put_string};

use crate::messages::path;

/// Makes a hard link; a final link of `existing` is not followed. Answered by STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hardlink<'a> {
    pub existing: &'a [u8],
    pub new: &'a [u8],
}

impl<'a> Hardlink<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.existing);
        put_string(out, self.new);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { existing: path(r, "existing")?, new: path(r, "new")? })
    }
}
