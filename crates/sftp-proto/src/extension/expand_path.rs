//! `expand-path@openssh.com`: REALPATH that knows `~` (OpenSSH `PROTOCOL` §4.9).

use sterna_sshwire::{DecodeError, Reader, put_string};

use crate::messages::path;

/// Expands `~`, `~/x` and `~user/x`, then works as REALPATH. Answered by NAME.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpandPath<'a> {
    pub path: &'a [u8],
}

impl<'a> ExpandPath<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { path: path(r, "path")? })
    }
}
