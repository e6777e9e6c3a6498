//! THE operation table: wire type, name, family. Every request is a row here and nowhere else.
//!
//! A message borrows from its frame. `encode` appends the body, `decode` reads it; length, type
//! and request id belong to the frame (see `frame.rs`).

mod attributes;
mod directory;
mod file;
mod init;
mod path;
mod reply;

use sterna_sshwire::{DecodeError, Reader};

pub use attributes::{Fsetstat, Fstat, Lstat, Setstat, Stat};
pub use directory::{Mkdir, Opendir, Readdir, Rmdir};
pub use file::{Close, Open, Read, Write, WriteHead};
pub use init::{ExtensionPairs, Init, VERSION, Version};
pub use path::{Readlink, Realpath, Remove, Rename, Symlink};
pub use reply::{
    Data, DataHead, ExtendedReply, Handle, Name, NameEntry, NameWriter, Reply, Status,
};

use crate::extension::Extended;
use crate::frame::put_frame;
use crate::limits::{HANDLE_LEN_MAX, PATH_LEN_MAX};

/// What an operation works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    File,
    Attributes,
    Directory,
    Path,
    Extension,
}

/// One row of [`OPERATIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// The packet's type byte.
    pub wire_type: u8,
    /// The word for this operation everywhere: permissions, audit lines, commands.
    pub name: &'static str,
    pub family: Family,
}

macro_rules! operations {
    ($($message:ident $name:literal $family:ident;)*) => {
        /// Every request of version 3.
        pub const OPERATIONS: &[Operation] = &[$(Operation {
            wire_type: $message::TYPE,
            name: $name,
            family: Family::$family,
        }),*];

        /// What a client asks for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Request<'a> {
            $($message($message<'a>),)*
        }

        impl<'a> Request<'a> {
            /// The row of this request.
            pub fn operation(&self) -> Operation {
                match self {
                    $(Self::$message(_) => Operation {
                        wire_type: $message::TYPE,
                        name: $name,
                        family: Family::$family,
                    },)*
                }
            }

            /// Reads the body that belongs to `wire_type`; `None` if there is no such request.
            /// Bytes behind the known fields are ignored (draft-13 §4).
            pub fn decode(
                wire_type: u8,
                r: &mut Reader<'a>,
            ) -> Option<Result<Self, DecodeError>> {
                match wire_type {
                    $($message::TYPE => Some($message::decode(r).map(Self::$message)),)*
                    _ => None,
                }
            }

            fn encode_body(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$message(message) => message.encode(out),)*
                }
            }
        }

        $(impl<'a> From<$message<'a>> for Request<'a> {
            fn from(message: $message<'a>) -> Self {
                Self::$message(message)
            }
        })*
    };
}

operations! {
    Open     "open"     File;
    Close    "close"    File;
    Read     "read"     File;
    Write    "write"    File;
    Lstat    "lstat"    Attributes;
    Fstat    "fstat"    Attributes;
    Setstat  "setstat"  Attributes;
    Fsetstat "fsetstat" Attributes;
    Opendir  "opendir"  Directory;
    Readdir  "readdir"  Directory;
    Remove   "remove"   Path;
    Mkdir    "mkdir"    Directory;
    Rmdir    "rmdir"    Directory;
    Realpath "realpath" Path;
    Stat     "stat"     Attributes;
    Rename   "rename"   Path;
    Readlink "readlink" Path;
    Symlink  "symlink"  Path;
    Extended "extended" Extension;
}

impl Request<'_> {
    /// Appends a whole packet.
    pub fn encode(&self, id: u32, out: &mut Vec<u8>) {
        put_frame(out, self.operation().wire_type, Some(id), |out| self.encode_body(out));
    }

    /// The word for this request in audit lines and permissions; an extension has its own.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Extended(extended) => extended.name(),
            _ => self.operation().name,
        }
    }

    /// Whether a read-only session must refuse it: it may change the tree. An extension that is
    /// not known counts as changing.
    pub fn changes(&self) -> bool {
        match self {
            Self::Open(open) => open.flags.changes(),
            Self::Write(_)
            | Self::Setstat(_)
            | Self::Fsetstat(_)
            | Self::Remove(_)
            | Self::Mkdir(_)
            | Self::Rmdir(_)
            | Self::Rename(_)
            | Self::Symlink(_) => true,
            Self::Extended(extended) => extended.changes(),
            Self::Close(_)
            | Self::Read(_)
            | Self::Lstat(_)
            | Self::Fstat(_)
            | Self::Opendir(_)
            | Self::Readdir(_)
            | Self::Realpath(_)
            | Self::Stat(_)
            | Self::Readlink(_) => false,
        }
    }
}

/// A path in a request: bounded, and without NUL, which no file system can name.
pub(crate) fn path<'a>(r: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], DecodeError> {
    let path = r.string(field, PATH_LEN_MAX)?;
    if path.contains(&0) { Err(DecodeError::invalid(field)) } else { Ok(path) }
}

/// A handle in a request.
pub(crate) fn handle<'a>(r: &mut Reader<'a>) -> Result<&'a [u8], DecodeError> {
    r.string("handle", HANDLE_LEN_MAX)
}
