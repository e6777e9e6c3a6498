//! The storage contract: what every backend offers, with all offsets explicit.
//!
//! Paths are absolute byte strings inside the backend: `/` is its root, names are any bytes but NUL
//! and `/`. `.` and `..` may occur; the backend resolves them, never past its root. Symbolic links
//! are followed inside the root only. A backend must be safe to call from many threads at once.

use std::io::IoSliceMut;
use std::ops::Range;

use crate::{Error, Result};

/// A tree of files. Only [`Backend::open`] and [`Backend::stat`] must be written; everything else
/// answers "not supported" until it is.
pub trait Backend: Send + Sync + 'static {
    /// Opens or creates a regular file. Never blocks on a FIFO or device: those are refused.
    fn open(&self, path: &[u8], how: &OpenHow) -> Result<Box<dyn File>>;

    /// Attributes of what `path` names; `follow` says whether a final link is followed.
    fn stat(&self, path: &[u8], follow: bool) -> Result<Attrs>;

    /// The same if it can be done without waiting for a disk or a network, else `None`.
    fn try_stat(&self, _path: &[u8], _follow: bool) -> Option<Result<Attrs>> {
        None
    }

    /// Opens a directory for listing.
    fn open_dir(&self, _path: &[u8]) -> Result<Box<dyn Dir>> {
        Err(Error::unsupported("opendir"))
    }

    /// Changes attributes: size, mode, times, owner, in this order; goes on after an error and
    /// returns the last one.
    fn set_attrs(&self, _path: &[u8], _attrs: &SetAttrs, _follow: bool) -> Result<()> {
        Err(Error::unsupported("setstat"))
    }

    /// Removes a file or a link, never a directory.
    fn remove(&self, _path: &[u8]) -> Result<()> {
        Err(Error::unsupported("remove"))
    }

    fn mkdir(&self, _path: &[u8], _mode: Option<u32>) -> Result<()> {
        Err(Error::unsupported("mkdir"))
    }

    /// Removes an empty directory.
    fn rmdir(&self, _path: &[u8]) -> Result<()> {
        Err(Error::unsupported("rmdir"))
    }

    /// Renames. With `replace` an existing target is replaced atomically; without, it is an
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) error, also atomically.
    fn rename(&self, _from: &[u8], _to: &[u8], _replace: bool) -> Result<()> {
        Err(Error::unsupported("rename"))
    }

    /// The canonical absolute path: links and dots resolved, no trailing slash. The last component
    /// may be missing; a missing one before it is an error.
    fn realpath(&self, path: &[u8]) -> Result<Vec<u8>>;

    /// The text of a symbolic link, as seen from inside the root.
    fn readlink(&self, _path: &[u8]) -> Result<Vec<u8>> {
        Err(Error::unsupported("readlink"))
    }

    /// Makes `link`, a symbolic link with the verbatim text `target`.
    fn symlink(&self, _target: &[u8], _link: &[u8]) -> Result<()> {
        Err(Error::unsupported("symlink"))
    }

    /// Makes `new`, a second name of the file `existing`; a final link of `existing` is not followed.
    fn hardlink(&self, _existing: &[u8], _new: &[u8]) -> Result<()> {
        Err(Error::unsupported("hardlink"))
    }

    /// Size and free space of the file system that holds `path`.
    fn statvfs(&self, _path: &[u8]) -> Result<Space> {
        Err(Error::unsupported("statvfs"))
    }

    /// Reads or changes extended attributes of the file or directory that `path` leads to.
    fn xattr(&self, _path: &[u8], _asked: &Xattr<'_>) -> Result<XattrAnswer> {
        Err(Error::unsupported("xattr"))
    }
}

/// An open regular file. Closed when dropped; [`File::close`] reports what dropping would swallow, and is
/// how a file that was written says that it is complete: a layer may keep others from seeing it before.
pub trait File: Send + Sync {
    /// Reads at `offset` into `buffers` one after the other; as much as there is, `0` only at or
    /// past the end.
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize>;

    /// The same if it can be done without blocking, else `None`: then nothing was read.
    fn try_read_at(&self, _buffers: &mut [IoSliceMut<'_>], _offset: u64) -> Option<Result<usize>> {
        None
    }

    /// Writes all of `data` at `offset`, or at the end if the file was opened for appending.
    fn write_at(&self, _data: &[u8], _offset: u64) -> Result<()> {
        Err(Error::unsupported("write"))
    }

    /// The same if it can be done without waiting for a disk, else `None`: then some of it may be written, and
    /// all of it must be written again.
    fn try_write_at(&self, _data: &[u8], _offset: u64) -> Option<Result<()>> {
        None
    }

    fn stat(&self) -> Result<Attrs>;

    /// As [`Backend::try_stat`].
    fn try_stat(&self) -> Option<Result<Attrs>> {
        None
    }

    /// As [`Backend::set_attrs`].
    fn set_attrs(&self, _attrs: &SetAttrs) -> Result<()> {
        Err(Error::unsupported("fsetstat"))
    }

    /// Whether [`Attrs::modified`] or [`Attrs::changed`] tell of every change of the content after a while,
    /// by whatever way it was made. Where they do not, equal attributes say nothing about the content.
    fn times_tell_of_changes(&self) -> bool {
        true
    }

    /// Returns when content and attributes are on stable storage.
    fn sync(&self) -> Result<()> {
        Err(Error::unsupported("fsync"))
    }

    /// The parts of `asked` that hold data, in ascending order, and whether nothing but a hole follows
    /// the last one in `asked`; `max` parts at most. What is not a part reads as zeros. Files without
    /// holes, or of backends that do not know them, are one part.
    fn data_ranges(&self, asked: Range<u64>, max: usize) -> Result<(Vec<Range<u64>>, bool)> {
        let part = asked.start..asked.end.min(self.stat()?.size);
        Ok((if part.is_empty() || max == 0 { vec![] } else { vec![part] }, max > 0))
    }

    /// As [`Backend::xattr`].
    fn xattr(&self, _asked: &Xattr<'_>) -> Result<XattrAnswer> {
        Err(Error::unsupported("xattr"))
    }

    /// Copies `len` bytes (to the end of `self` if `0`) from `self` at `from` to `target` at `to`
    /// inside the backend. Returns the bytes copied; fewer only if `self` ends early. `None` if
    /// there is no way better than reading and writing.
    ///
    /// Ranges of one file must not overlap: whoever calls compares [`Attrs::id`] and refuses that.
    /// A call blocks until all is copied; pass a `len` that suits cancelling and progress.
    fn copy_to(&self, _from: u64, _len: u64, _target: &dyn File, _to: u64) -> Option<Result<u64>> {
        None
    }

    /// The concrete type, so that [`File::copy_to`] can recognise a file of its own backend.
    fn as_any(&self) -> &dyn std::any::Any;

    /// Flushes what the file system may still refuse (a full disk, a lost network mount).
    fn close(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

/// A directory being listed.
pub trait Dir: Send {
    /// Appends up to about `max` further entries, `.` and `..` among them. Returns `false` once
    /// everything was returned. Entries that vanish meanwhile are left out.
    fn next_entries(&mut self, max: usize, entries: &mut Vec<DirEntry>) -> Result<bool>;

    /// Attributes of the directory itself.
    fn stat(&self) -> Result<Attrs>;

    /// Flushes the directory's entries to stable storage.
    fn sync(&self) -> Result<()> {
        Ok(())
    }
}

/// One name in a directory; the attributes are those of the name itself, links not followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DirEntry {
    pub name: Vec<u8>,
    pub attrs: Attrs,
}

/// How a file is opened (the flags of POSIX `open`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OpenHow {
    pub read: bool,
    pub write: bool,
    pub append: bool,
    pub create: bool,
    pub truncate: bool,
    /// With `create`: fail if the name exists, links included.
    pub exclusive: bool,
    /// Permission bits of a new file, before the process's umask; `0o666` if `None`.
    pub mode: Option<u32>,
}

/// What kind of object a name is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    Regular,
    Directory,
    Symlink,
    Fifo,
    Socket,
    CharDevice,
    BlockDevice,
}

/// A point in time: seconds since 1970 and nanoseconds below one second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Time {
    pub seconds: i64,
    pub nanos: u32,
}

/// Attributes of a file, directory or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attrs {
    pub kind: FileKind,
    /// Bytes.
    pub size: u64,
    /// Permission bits, `0o7777` at most.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub accessed: Time,
    pub modified: Time,
    pub changed: Time,
    pub links: u64,
    /// Device and inode: two names with equal `id` are the same file. `(0, 0)` if unknown.
    pub id: (u64, u64),
}

/// A change of owner; `None` keeps what is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    pub uid: Option<u32>,
    pub gid: Option<u32>,
}

/// Attributes to change; `None` keeps what is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAttrs {
    /// Truncates or extends with zeros, in bytes.
    pub size: Option<u64>,
    /// Permission bits; set-user-id and set-group-id are dropped by backends that reach real files.
    pub mode: Option<u32>,
    /// Last access and last modification.
    pub times: Option<(Time, Time)>,
    pub owner: Option<Owner>,
}

/// What is asked about extended attributes. Names begin with `user.`; others belong to the system and are
/// [`PermissionDenied`](crate::ErrorKind::PermissionDenied).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Xattr<'a> {
    /// A value, of at most [`XATTR_VALUE_LEN_MAX`](crate::limits::XATTR_VALUE_LEN_MAX) bytes;
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is none of that name.
    Get(&'a [u8]),
    /// All names that may be asked for.
    List,
    Set {
        name: &'a [u8],
        value: &'a [u8],
        when: XattrWhen,
    },
    Remove(&'a [u8]),
}

impl Xattr<'_> {
    /// Whether it changes anything.
    pub fn changes(&self) -> bool {
        matches!(self, Self::Set { .. } | Self::Remove(_))
    }
}

/// When a value may be set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum XattrWhen {
    #[default]
    Always,
    /// Only if there is none of that name; else [`AlreadyExists`](crate::ErrorKind::AlreadyExists).
    Missing,
    /// Only if there is one; else [`NotFound`](crate::ErrorKind::NotFound).
    There,
}

/// The answer to [`Xattr`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum XattrAnswer {
    Value(Vec<u8>),
    Names(Vec<Vec<u8>>),
    Done,
}

/// Size and free space of a file system (`statvfs`). Blocks are `fragment_size` bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    pub block_size: u64,
    pub fragment_size: u64,
    pub blocks: u64,
    pub blocks_free: u64,
    pub blocks_available: u64,
    pub files: u64,
    pub files_free: u64,
    pub files_available: u64,
    pub fs_id: u64,
    pub read_only: bool,
    pub no_setuid: bool,
    pub name_len_max: u64,
}
