//! `xattr@proftpd.org`: extended attributes of files, by path and by handle (ProFTPD mod_sftp).
//!
//! A GET is answered by [`GetxattrReply`], a LIST by [`ListxattrReply`], the others by STATUS. Paths lead
//! through links.

use sterna_sshwire::{DecodeError, Reader, put_string, put_u32};

use crate::limits::{REPLY_PACKET_LEN_MAX, XATTR_NAME_LEN_MAX, XATTR_VALUE_LEN_MAX};
use crate::messages::{handle, path};

/// When setting: the name must not be there yet.
pub const XATTR_CREATE: u32 = 1;
/// When setting: the name must be there.
pub const XATTR_REPLACE: u32 = 2;

fn name<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    let name = r.string("attribute name", XATTR_NAME_LEN_MAX)?;
    if name.contains(&0) { Err(DecodeError::invalid("attribute name")) } else { Ok(name) }
}

macro_rules! by_path_and_handle {
    (
        $(#[$path_doc:meta])* $by_path:ident,
        $(#[$handle_doc:meta])* $by_handle:ident,
        $($(#[$field_doc:meta])* $field:ident: $kind:ty, $put:expr, $get:expr;)*
    ) => {
        $(#[$path_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $by_path<'a> {
            pub path: &'a [u8],
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl<'a> $by_path<'a> {
            /// Appends the fields behind the name.
            pub fn encode(&self, out: &mut Vec<u8>) {
                put_string(out, self.path);
                $($put(out, self.$field);)*
            }

            /// Reads the fields behind the name.
            pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
                Ok(Self { path: path(r, "path")?, $($field: $get(r)?,)* })
            }
        }

        $(#[$handle_doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $by_handle<'a> {
            pub handle: &'a [u8],
            $($(#[$field_doc])* pub $field: $kind,)*
        }

        impl<'a> $by_handle<'a> {
            /// Appends the fields behind the name.
            pub fn encode(&self, out: &mut Vec<u8>) {
                put_string(out, self.handle);
                $($put(out, self.$field);)*
            }

            /// Reads the fields behind the name.
            pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
                Ok(Self { handle: handle(r)?, $($field: $get(r)?,)* })
            }
        }
    };
}

by_path_and_handle! {
    /// `getxattr@proftpd.org`: asks for a value.
    Getxattr,
    /// `fgetxattr@proftpd.org`: the same of an open file.
    Fgetxattr,
    name: &'a [u8], put_string, name;
    /// Longest value that the client takes, in bytes; a longer one is refused.
    len_max: u32, put_u32, |r: &mut Reader<'a>| r.u32("value len max");
}

by_path_and_handle! {
    /// `setxattr@proftpd.org`: sets a value.
    Setxattr,
    /// `fsetxattr@proftpd.org`: the same of an open file.
    Fsetxattr,
    name: &'a [u8], put_string, name;
    value: &'a [u8], put_string, |r: &mut Reader<'a>| r.string("value", XATTR_VALUE_LEN_MAX);
    /// [`XATTR_CREATE`], [`XATTR_REPLACE`], or 0: either way.
    flags: u32, put_u32, |r: &mut Reader<'a>| r.u32("flags");
}

by_path_and_handle! {
    /// `listxattr@proftpd.org`: asks for all names.
    Listxattr,
    /// `flistxattr@proftpd.org`: the same of an open file.
    Flistxattr,
}

by_path_and_handle! {
    /// `removexattr@proftpd.org`: removes a name and its value.
    Removexattr,
    /// `fremovexattr@proftpd.org`: the same of an open file.
    Fremovexattr,
    name: &'a [u8], put_string, name;
}

/// A value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GetxattrReply<'a> {
    pub value: &'a [u8],
}

impl<'a> GetxattrReply<'a> {
    /// Appends the reply's data.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_string(out, self.value);
    }

    /// Reads the reply's data.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        Ok(Self { value: r.string("value", REPLY_PACKET_LEN_MAX)? })
    }
}

/// Names, checked and still in their wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListxattrReply<'a> {
    count: u32,
    wire: &'a [u8],
}

impl<'a> ListxattrReply<'a> {
    /// Writes `names` into `buffer`, which is cleared first, and borrows them from there.
    pub fn build<N: AsRef<[u8]>>(
        names: impl IntoIterator<Item = N>,
        buffer: &'a mut Vec<u8>,
    ) -> Self {
        buffer.clear();
        let mut count = 0;
        for name in names {
            put_string(buffer, name.as_ref());
            count += 1;
        }
        Self { count, wire: buffer }
    }

    pub fn iter(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut r = Reader::new(self.wire);
        std::iter::from_fn(move || name(&mut r).ok())
    }

    /// Appends the reply's data.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_u32(out, self.count);
        out.extend_from_slice(self.wire);
    }

    /// Reads the reply's data.
    pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let count = r.u32("name count")?;
        let mut ahead = r.clone();
        // Each takes four bytes or an error ends it.
        for _ in 0..count {
            name(&mut ahead)?;
        }
        let wire = r.bytes("names", r.remaining() - ahead.remaining())?;
        Ok(Self { count, wire })
    }
}
