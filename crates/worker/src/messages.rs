//! What is said between the network process and a worker about files: one request, one reply, each a message.
//!
//! Neither side believes the other. Every length has a bound, left-over bytes are an error, and a reply that does not fit
//! its request is one as well. A message can be written in one way only: another one is an error too.

use sterna_sshwire::{DecodeError, Reader, put_bool, put_string, put_u8, put_u32, put_u64};
use sterna_storage::{
    Attrs, DirEntry, ErrorKind, FileKind, OpenHow, Owner, SetAttrs, Space, Time, Xattr,
    XattrAnswer, XattrWhen,
};

use crate::limits::{
    ENTRIES_MAX, ENTRY_NAME_MAX, PATH_MAX, XATTR_NAME_MAX, XATTR_NAMES_MAX, XATTR_VALUE_MAX,
};

/// What is asked of a worker. Paths as in [`Backend`](sterna_storage::Backend).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    Open {
        path: &'a [u8],
        how: OpenHow,
    },
    Stat {
        path: &'a [u8],
        follow: bool,
    },
    OpenDir {
        path: &'a [u8],
    },
    /// `max` entries or fewer.
    ReadDir {
        dir: u32,
        max: u32,
    },
    StatDir {
        dir: u32,
    },
    SyncDir {
        dir: u32,
    },
    CloseDir {
        dir: u32,
    },
    SetAttrs {
        path: &'a [u8],
        attrs: SetAttrs,
        follow: bool,
    },
    Remove {
        path: &'a [u8],
    },
    Mkdir {
        path: &'a [u8],
        mode: Option<u32>,
    },
    Rmdir {
        path: &'a [u8],
    },
    Rename {
        from: &'a [u8],
        to: &'a [u8],
        replace: bool,
    },
    Realpath {
        path: &'a [u8],
    },
    Readlink {
        path: &'a [u8],
    },
    Symlink {
        target: &'a [u8],
        link: &'a [u8],
    },
    Hardlink {
        existing: &'a [u8],
        new: &'a [u8],
    },
    Statvfs {
        path: &'a [u8],
    },
    Xattr {
        path: &'a [u8],
        asked: Xattr<'a>,
    },
    /// Of the file whose descriptor comes with the message.
    FileSetAttrs {
        attrs: SetAttrs,
    },
    FileXattr {
        asked: Xattr<'a>,
    },
}

/// What a worker says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `errno`: the kernel's number, 0 if it did not come from there.
    Failed {
        kind: ErrorKind,
        errno: u32,
    },
    Done,
    /// The file's descriptor comes with the message.
    File,
    Attrs(Attrs),
    Path(Vec<u8>),
    Dir(u32),
    /// `more`: there may be further ones.
    Entries {
        entries: Vec<DirEntry>,
        more: bool,
    },
    Space(Space),
    Xattr(XattrAnswer),
}

/// Kinds of errors, by their numbers in messages.
const ERRORS: [ErrorKind; 18] = [
    ErrorKind::NotFound,
    ErrorKind::PermissionDenied,
    ErrorKind::AlreadyExists,
    ErrorKind::NotADirectory,
    ErrorKind::IsADirectory,
    ErrorKind::DirectoryNotEmpty,
    ErrorKind::WrongKind,
    ErrorKind::NoSpace,
    ErrorKind::QuotaExceeded,
    ErrorKind::ReadOnly,
    ErrorKind::CrossDevice,
    ErrorKind::NameTooLong,
    ErrorKind::LinkLoop,
    ErrorKind::Invalid,
    ErrorKind::Unsupported,
    ErrorKind::Busy,
    ErrorKind::TooManyOpen,
    ErrorKind::Other,
];

const KINDS: [FileKind; 7] = [
    FileKind::Regular,
    FileKind::Directory,
    FileKind::Symlink,
    FileKind::Fifo,
    FileKind::Socket,
    FileKind::CharDevice,
    FileKind::BlockDevice,
];

const WHEN: [XattrWhen; 3] = [XattrWhen::Always, XattrWhen::Missing, XattrWhen::There];

type Decoded<T> = Result<T, DecodeError>;

impl<'a> Request<'a> {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        let o = &mut out;
        match self {
            Self::Open { path, how } => {
                put_u8(o, 1);
                put_string(o, path);
                put_how(o, how);
            }
            Self::Stat { path, follow } => {
                put_u8(o, 2);
                put_string(o, path);
                put_bool(o, *follow);
            }
            Self::OpenDir { path } => one_path(o, 3, path),
            Self::ReadDir { dir, max } => {
                put_u8(o, 4);
                put_u32(o, *dir);
                put_u32(o, *max);
            }
            Self::StatDir { dir } => one_number(o, 5, *dir),
            Self::SyncDir { dir } => one_number(o, 6, *dir),
            Self::CloseDir { dir } => one_number(o, 7, *dir),
            Self::SetAttrs { path, attrs, follow } => {
                put_u8(o, 8);
                put_string(o, path);
                put_set_attrs(o, attrs);
                put_bool(o, *follow);
            }
            Self::Remove { path } => one_path(o, 9, path),
            Self::Mkdir { path, mode } => {
                put_u8(o, 10);
                put_string(o, path);
                put_option(o, *mode);
            }
            Self::Rmdir { path } => one_path(o, 11, path),
            Self::Rename { from, to, replace } => {
                put_u8(o, 12);
                put_string(o, from);
                put_string(o, to);
                put_bool(o, *replace);
            }
            Self::Realpath { path } => one_path(o, 13, path),
            Self::Readlink { path } => one_path(o, 14, path),
            Self::Symlink { target, link } => two_paths(o, 15, target, link),
            Self::Hardlink { existing, new } => two_paths(o, 16, existing, new),
            Self::Statvfs { path } => one_path(o, 17, path),
            Self::Xattr { path, asked } => {
                put_u8(o, 18);
                put_string(o, path);
                put_xattr(o, asked);
            }
            Self::FileSetAttrs { attrs } => {
                put_u8(o, 19);
                put_set_attrs(o, attrs);
            }
            Self::FileXattr { asked } => {
                put_u8(o, 20);
                put_xattr(o, asked);
            }
        }
        out
    }

    /// Why nobody needs to be asked: what is longer than anything can be.
    pub(crate) fn too_long(&self) -> Option<ErrorKind> {
        let (paths, asked) = match self {
            Self::Open { path, .. }
            | Self::Stat { path, .. }
            | Self::OpenDir { path }
            | Self::SetAttrs { path, .. }
            | Self::Remove { path }
            | Self::Mkdir { path, .. }
            | Self::Rmdir { path }
            | Self::Realpath { path }
            | Self::Readlink { path }
            | Self::Statvfs { path } => ([*path, b""], None),
            Self::Rename { from: one, to: other, .. }
            | Self::Symlink { target: one, link: other }
            | Self::Hardlink { existing: one, new: other } => ([*one, *other], None),
            Self::Xattr { path, asked } => ([*path, b""], Some(asked)),
            Self::FileXattr { asked } => ([&b""[..], b""], Some(asked)),
            Self::ReadDir { .. }
            | Self::StatDir { .. }
            | Self::SyncDir { .. }
            | Self::CloseDir { .. }
            | Self::FileSetAttrs { .. } => return None,
        };
        if paths.iter().any(|path| path.len() > PATH_MAX) {
            return Some(ErrorKind::NameTooLong);
        }
        match asked {
            Some(Xattr::Get(name) | Xattr::Remove(name) | Xattr::Set { name, .. })
                if name.len() > XATTR_NAME_MAX =>
            {
                Some(ErrorKind::NameTooLong)
            }
            Some(Xattr::Set { value, .. }) if value.len() > XATTR_VALUE_MAX => {
                Some(ErrorKind::NoSpace)
            }
            _ => None,
        }
    }

    /// # Errors
    /// It does not read.
    pub fn decode(bytes: &'a [u8]) -> Decoded<Self> {
        let mut r = Reader::new(bytes);
        let r = &mut r;
        let request = match r.u8("request")? {
            1 => Self::Open { path: path(r)?, how: how(r)? },
            2 => Self::Stat { path: path(r)?, follow: flag(r, "follow")? },
            3 => Self::OpenDir { path: path(r)? },
            4 => Self::ReadDir { dir: r.u32("dir")?, max: r.u32("max")? },
            5 => Self::StatDir { dir: r.u32("dir")? },
            6 => Self::SyncDir { dir: r.u32("dir")? },
            7 => Self::CloseDir { dir: r.u32("dir")? },
            8 => {
                Self::SetAttrs { path: path(r)?, attrs: set_attrs(r)?, follow: flag(r, "follow")? }
            }
            9 => Self::Remove { path: path(r)? },
            10 => Self::Mkdir { path: path(r)?, mode: option(r, "mode")? },
            11 => Self::Rmdir { path: path(r)? },
            12 => Self::Rename { from: path(r)?, to: path(r)?, replace: flag(r, "replace")? },
            13 => Self::Realpath { path: path(r)? },
            14 => Self::Readlink { path: path(r)? },
            15 => Self::Symlink { target: path(r)?, link: path(r)? },
            16 => Self::Hardlink { existing: path(r)?, new: path(r)? },
            17 => Self::Statvfs { path: path(r)? },
            18 => Self::Xattr { path: path(r)?, asked: xattr(r)? },
            19 => Self::FileSetAttrs { attrs: set_attrs(r)? },
            20 => Self::FileXattr { asked: xattr(r)? },
            _ => return Err(DecodeError::invalid("request")),
        };
        r.finish("request")?;
        Ok(request)
    }
}

impl Reply {
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(128);
        let o = &mut out;
        match self {
            Self::Failed { kind, errno } => {
                let number = ERRORS.iter().position(|known| known == kind);
                put_u8(o, 0);
                put_u8(o, number.unwrap_or(ERRORS.len() - 1) as u8);
                put_u32(o, *errno);
            }
            Self::Done => put_u8(o, 1),
            Self::File => put_u8(o, 2),
            Self::Attrs(attrs) => {
                put_u8(o, 3);
                put_attrs(o, attrs);
            }
            Self::Path(path) => one_path(o, 4, path),
            Self::Dir(dir) => one_number(o, 5, *dir),
            Self::Entries { entries, more } => {
                put_u8(o, 6);
                put_bool(o, *more);
                put_u32(o, entries.len() as u32);
                for entry in entries {
                    put_string(o, &entry.name);
                    put_attrs(o, &entry.attrs);
                }
            }
            Self::Space(space) => {
                put_u8(o, 7);
                put_space(o, space);
            }
            Self::Xattr(XattrAnswer::Value(value)) => one_path(o, 8, value),
            Self::Xattr(XattrAnswer::Names(names)) => {
                put_u8(o, 9);
                put_u32(o, names.len() as u32);
                names.iter().for_each(|name| put_string(o, name));
            }
            Self::Xattr(XattrAnswer::Done) => put_u8(o, 10),
        }
        out
    }

    /// # Errors
    /// It does not read.
    pub fn decode(bytes: &[u8]) -> Decoded<Self> {
        let mut r = Reader::new(bytes);
        let r = &mut r;
        let reply = match r.u8("reply")? {
            0 => Self::Failed { kind: one_of(r, "error", &ERRORS)?, errno: r.u32("errno")? },
            1 => Self::Done,
            2 => Self::File,
            3 => Self::Attrs(attrs(r)?),
            4 => Self::Path(path(r)?.to_vec()),
            5 => Self::Dir(r.u32("dir")?),
            6 => {
                let more = flag(r, "more")?;
                let mut entries = Vec::new();
                for _ in 0..count(r, ENTRIES_MAX)? {
                    let name = r.string("name", ENTRY_NAME_MAX)?.to_vec();
                    entries.push(DirEntry { name, attrs: attrs(r)? });
                }
                Self::Entries { entries, more }
            }
            7 => Self::Space(space(r)?),
            8 => Self::Xattr(XattrAnswer::Value(r.string("value", XATTR_VALUE_MAX)?.to_vec())),
            9 => {
                let mut names = Vec::new();
                for _ in 0..count(r, XATTR_NAMES_MAX)? {
                    names.push(r.string("name", XATTR_NAME_MAX)?.to_vec());
                }
                Self::Xattr(XattrAnswer::Names(names))
            }
            10 => Self::Xattr(XattrAnswer::Done),
            _ => return Err(DecodeError::invalid("reply")),
        };
        r.finish("reply")?;
        Ok(reply)
    }
}

fn one_path(o: &mut Vec<u8>, number: u8, path: &[u8]) {
    put_u8(o, number);
    put_string(o, path);
}

fn two_paths(o: &mut Vec<u8>, number: u8, one: &[u8], other: &[u8]) {
    one_path(o, number, one);
    put_string(o, other);
}

fn one_number(o: &mut Vec<u8>, number: u8, value: u32) {
    put_u8(o, number);
    put_u32(o, value);
}

fn path<'a>(r: &mut Reader<'a>) -> Decoded<&'a [u8]> {
    r.string("path", PATH_MAX)
}

fn count(r: &mut Reader<'_>, max: usize) -> Decoded<usize> {
    match usize::try_from(r.u32("count")?) {
        Ok(count) if count <= max => Ok(count),
        _ => Err(DecodeError::invalid("count")),
    }
}

fn one_of<T: Copy>(r: &mut Reader<'_>, field: &'static str, all: &[T]) -> Decoded<T> {
    let number = usize::from(r.u8(field)?);
    all.get(number).copied().ok_or(DecodeError::invalid(field))
}

fn put_option(o: &mut Vec<u8>, value: Option<u32>) {
    put_bool(o, value.is_some());
    put_u32(o, value.unwrap_or(0));
}

fn option(r: &mut Reader<'_>, field: &'static str) -> Decoded<Option<u32>> {
    let (is_there, value) = (flag(r, field)?, r.u32(field)?);
    if_there(field, is_there, value)
}

/// What stands in the place of nothing is the default.
fn if_there<T: Default + PartialEq>(
    field: &'static str,
    is_there: bool,
    value: T,
) -> Decoded<Option<T>> {
    match (is_there, value) {
        (true, value) => Ok(Some(value)),
        (false, value) if value == T::default() => Ok(None),
        (false, _) => Err(DecodeError::invalid(field)),
    }
}

fn flag(r: &mut Reader<'_>, field: &'static str) -> Decoded<bool> {
    match r.u8(field)? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(DecodeError::invalid(field)),
    }
}

fn put_how(o: &mut Vec<u8>, how: &OpenHow) {
    let OpenHow { read, write, append, create, truncate, exclusive, mode } = *how;
    for flag in [read, write, append, create, truncate, exclusive] {
        put_bool(o, flag);
    }
    put_option(o, mode);
}

fn how(r: &mut Reader<'_>) -> Decoded<OpenHow> {
    let mut next = || flag(r, "flag");
    let (read, write, append) = (next()?, next()?, next()?);
    let (create, truncate, exclusive) = (next()?, next()?, next()?);
    Ok(OpenHow { read, write, append, create, truncate, exclusive, mode: option(r, "mode")? })
}

fn put_time(o: &mut Vec<u8>, time: Time) {
    put_u64(o, time.seconds.cast_unsigned());
    put_u32(o, time.nanos);
}

fn time(r: &mut Reader<'_>) -> Decoded<Time> {
    Ok(Time { seconds: r.u64("seconds")?.cast_signed(), nanos: r.u32("nanos")? })
}

fn put_attrs(o: &mut Vec<u8>, attrs: &Attrs) {
    let kind = KINDS.iter().position(|known| *known == attrs.kind);
    put_u8(o, kind.unwrap_or(0) as u8);
    put_u64(o, attrs.size);
    for number in [attrs.mode, attrs.uid, attrs.gid] {
        put_u32(o, number);
    }
    for time in [attrs.accessed, attrs.modified, attrs.changed] {
        put_time(o, time);
    }
    for number in [attrs.links, attrs.id.0, attrs.id.1] {
        put_u64(o, number);
    }
}

fn attrs(r: &mut Reader<'_>) -> Decoded<Attrs> {
    Ok(Attrs {
        kind: one_of(r, "kind", &KINDS)?,
        size: r.u64("size")?,
        mode: r.u32("mode")?,
        uid: r.u32("uid")?,
        gid: r.u32("gid")?,
        accessed: time(r)?,
        modified: time(r)?,
        changed: time(r)?,
        links: r.u64("links")?,
        id: (r.u64("device")?, r.u64("inode")?),
    })
}

fn put_set_attrs(o: &mut Vec<u8>, attrs: &SetAttrs) {
    put_bool(o, attrs.size.is_some());
    put_u64(o, attrs.size.unwrap_or(0));
    put_option(o, attrs.mode);
    put_bool(o, attrs.times.is_some());
    let (accessed, modified) = attrs.times.unwrap_or_default();
    put_time(o, accessed);
    put_time(o, modified);
    put_bool(o, attrs.owner.is_some());
    let owner = attrs.owner.unwrap_or_default();
    put_option(o, owner.uid);
    put_option(o, owner.gid);
}

fn set_attrs(r: &mut Reader<'_>) -> Decoded<SetAttrs> {
    let (has_size, size) = (flag(r, "size")?, r.u64("size")?);
    let mode = option(r, "mode")?;
    let (has_times, times) = (flag(r, "times")?, (time(r)?, time(r)?));
    let has_owner = flag(r, "owner")?;
    let owner = Owner { uid: option(r, "uid")?, gid: option(r, "gid")? };
    Ok(SetAttrs {
        size: if_there("size", has_size, size)?,
        mode,
        times: if_there("times", has_times, times)?,
        owner: if_there("owner", has_owner, owner)?,
    })
}

fn put_space(o: &mut Vec<u8>, space: &Space) {
    let Space {
        block_size,
        fragment_size,
        blocks,
        blocks_free,
        blocks_available,
        files,
        files_free,
        files_available,
        fs_id,
        read_only,
        no_setuid,
        name_len_max,
    } = *space;
    for number in [
        block_size,
        fragment_size,
        blocks,
        blocks_free,
        blocks_available,
        files,
        files_free,
        files_available,
        fs_id,
        name_len_max,
    ] {
        put_u64(o, number);
    }
    put_bool(o, read_only);
    put_bool(o, no_setuid);
}

fn space(r: &mut Reader<'_>) -> Decoded<Space> {
    Ok(Space {
        block_size: r.u64("block size")?,
        fragment_size: r.u64("fragment size")?,
        blocks: r.u64("blocks")?,
        blocks_free: r.u64("blocks free")?,
        blocks_available: r.u64("blocks available")?,
        files: r.u64("files")?,
        files_free: r.u64("files free")?,
        files_available: r.u64("files available")?,
        fs_id: r.u64("id")?,
        name_len_max: r.u64("name length")?,
        read_only: flag(r, "read-only")?,
        no_setuid: flag(r, "no set-id")?,
    })
}

fn put_xattr(o: &mut Vec<u8>, asked: &Xattr<'_>) {
    match asked {
        Xattr::Get(name) => one_path(o, 0, name),
        Xattr::List => put_u8(o, 1),
        Xattr::Set { name, value, when } => {
            let when = WHEN.iter().position(|known| known == when);
            two_paths(o, 2, name, value);
            put_u8(o, when.unwrap_or(0) as u8);
        }
        Xattr::Remove(name) => one_path(o, 3, name),
    }
}

fn xattr<'a>(r: &mut Reader<'a>) -> Decoded<Xattr<'a>> {
    Ok(match r.u8("asked")? {
        0 => Xattr::Get(r.string("name", XATTR_NAME_MAX)?),
        1 => Xattr::List,
        2 => Xattr::Set {
            name: r.string("name", XATTR_NAME_MAX)?,
            value: r.string("value", XATTR_VALUE_MAX)?,
            when: one_of(r, "when", &WHEN)?,
        },
        3 => Xattr::Remove(r.string("name", XATTR_NAME_MAX)?),
        _ => return Err(DecodeError::invalid("asked")),
    })
}

#[cfg(test)]
mod tests;
