//! `home-directory`: where a user's session starts (draft-ietf-secsh-filexfer-extensions-00 §5).

use sterna_sshwire::{DecodeError, Reader, put_string};

use crate::limits::USER_NAME_LEN_MAX;

/// Asks for a home directory. Answered by NAME with one entry.
///
/// OpenSSH before 9.8 fails for an empty name; fall back to REALPATH of `.`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HomeDirectory<'a> {
    /// Empty is the user of the session.
    pub user: &'a [u8],
}

impl<'a> HomeDirectory<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.user);
    }

    /// Reads the fields behind the name.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { user: r.string("user", USER_NAME_LEN_MAX)? })
    }
}
