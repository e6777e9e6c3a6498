//! `users-groups-by-id@openssh.com`: names of numeric ids (OpenSSH `PROTOCOL`).

use sterna_sshwire::{DecodeError, Reader, Why, put_string, put_string_with, put_u32};

use crate::limits::{IDS_MAX, REPLY_PACKET_LEN_MAX};

/// Asks for the names of users and groups. Answered by [`UsersGroupsReply`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsersGroups<'a> {
    pub uids: Ids<'a>,
    pub gids: Ids<'a>,
}

impl<'a> UsersGroups<'a> {
    /// Appends the fields behind the name.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.uids.wire);
        put_string(out, self.gids.wire);
    }

    /// Reads the fields behind the name; at most [`IDS_MAX`] of each.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { uids: Ids::decode(r, "uids")?, gids: Ids::decode(r, "gids")? })
    }
}

/// The names in the order of the ids; an unknown id has an empty name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsersGroupsReply<'a> {
    pub users: Names<'a>,
    pub groups: Names<'a>,
}

impl<'a> UsersGroupsReply<'a> {
    /// Appends the reply's data.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.users.wire);
        put_string(out, self.groups.wire);
    }

    /// Reads the reply's data.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { users: Names::decode(r, "users")?, groups: Names::decode(r, "groups")? })
    }

    /// Appends the reply's data from two lists, one name at a time.
    pub fn encode_names<U: AsRef<[u8]>, G: AsRef<[u8]>>(
        users: impl IntoIterator<Item = U>,
        groups: impl IntoIterator<Item = G>,
        out: &mut Vec<u8>,
    ) {
        put_string_with(out, |out| users.into_iter().for_each(|n| put_string(out, n.as_ref())));
        put_string_with(out, |out| groups.into_iter().for_each(|n| put_string(out, n.as_ref())));
    }
}

/// Packed numeric ids, checked and still in their wire form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ids<'a> {
    wire: &'a [u8],
}

impl<'a> Ids<'a> {
    /// Writes the first [`IDS_MAX`] of `ids` into `buffer`, which is cleared first, and borrows
    /// them from there.
    pub fn build(ids: &[u32], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        for id in ids.iter().take(IDS_MAX) {
            put_u32(buffer, *id);
        }
        Self { wire: buffer }
    }

    pub fn len(&self) -> usize {
        self.wire.len() / 4
    }

    pub fn is_empty(&self) -> bool {
        self.wire.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = u32> + use<'a> {
        self.wire.as_chunks::<4>().0.iter().map(|id| u32::from_be_bytes(*id))
    }

    fn decode(r: &mut Reader<'a>, field: &'static str) -> Result<Self, DecodeError> {
        let wire = r.string(field, usize::MAX)?;
        if wire.len() % 4 != 0 {
            return Err(DecodeError::invalid(field));
        }
        if wire.len() > 4 * IDS_MAX {
            let why = Why::TooLong { len: wire.len(), max: 4 * IDS_MAX };
            return Err(DecodeError { field, why });
        }
        Ok(Self { wire })
    }
}

/// Packed names, checked and still in their wire form.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Names<'a> {
    wire: &'a [u8],
}

impl<'a> Names<'a> {
    /// Writes `names` into `buffer`, which is cleared first, and borrows them from there.
    pub fn build(names: &[&[u8]], buffer: &'a mut Vec<u8>) -> Self {
        buffer.clear();
        names.iter().for_each(|name| put_string(buffer, name));
        Self { wire: buffer }
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut r = Reader::new(self.wire);
        std::iter::from_fn(move || r.string("name", REPLY_PACKET_LEN_MAX).ok())
    }

    fn decode(r: &mut Reader<'a>, field: &'static str) -> Result<Self, DecodeError> {
        let wire = r.string(field, REPLY_PACKET_LEN_MAX)?;
        let mut names = Reader::new(wire);
        while !names.is_empty() {
            names.string(field, REPLY_PACKET_LEN_MAX)?;
        }
        Ok(Self { wire })
    }
}
