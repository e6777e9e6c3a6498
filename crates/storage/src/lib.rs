//! Where bytes rest: one small contract, [`Backend`], and what implements it.
//!
//! The crate knows no SFTP words and no users. Calls may block; whoever calls from an asynchronous
//! task does so on threads of its own (see `server`'s I/O pool).

mod backend;
pub mod conformance;
mod error;
pub mod limits;
mod local;
mod memory;
mod on_close;
mod read_only;

pub use backend::{
    Attrs, Backend, Dir, DirEntry, File, FileKind, OpenHow, Owner, SetAttrs, Space, Time, Xattr,
    XattrAnswer, XattrWhen,
};
pub use error::{Error, ErrorKind, Result};
pub use local::{Local, Resolver, file_of};
pub use memory::Memory;
pub use on_close::{Folder, OnClose, Uploads};
pub use read_only::ReadOnly;
