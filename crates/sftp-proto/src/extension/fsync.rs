//! `fsync@openssh.com`: content to stable storage (OpenSSH `PROTOCOL` §4.6).

use sterna_sshwire::{DecodeError, Reader, put_string};

use crate::messages::handle;

/// Answered by STATUS once the content of the handle is on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fsync<'a> {
    pub handle: &'a [u8],
}

impl<'a> Fsync<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.handle);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { handle: handle(r)? })
    }
}
