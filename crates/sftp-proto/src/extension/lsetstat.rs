//! `lsetstat@openssh.com`: SETSTAT that never follows a link (OpenSSH `PROTOCOL` §4.7).

use sterna_sshwire::{DecodeError, Reader, put_string};

use crate::Attrs;
use crate::messages::path;

/// Changes the attributes of a name itself. Answered by STATUS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lsetstat<'a> {
    pub path: &'a [u8],
    /// Without a size: a link has none to set.
    pub attrs: Attrs<'a>,
}

impl<'a> Lsetstat<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.path);
        self.attrs.encode(out);
    }

    /// Reads the fields behind the name; a size is an error, as OpenSSH has it.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (path, attrs) = (path(r, "path")?, Attrs::decode(r)?);
        if attrs.size.is_some() {
            return Err(DecodeError::invalid("size"));
        }
        Ok(Self { path, attrs })
    }
}
