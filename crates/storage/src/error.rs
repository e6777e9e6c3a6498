//! Why storage said no: a kind that callers can act on, what was being done, and the cause.

use std::{fmt, io};

pub type Result<T> = std::result::Result<T, Error>;

/// A storage operation failed. It never holds a path of the machine, so it may be shown to clients.
#[derive(Debug)]
pub struct Error {
    pub kind: ErrorKind,
    /// The operation, in one word: `open`, `rename`, …
    pub doing: &'static str,
    pub source: Option<io::Error>,
}

/// What a caller can do about it. One variant for each answer that a protocol can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    NotFound,
    PermissionDenied,
    AlreadyExists,
    NotADirectory,
    IsADirectory,
    DirectoryNotEmpty,
    /// Not a symbolic link, a FIFO where a file is needed, …: the wrong kind of object.
    WrongKind,
    NoSpace,
    QuotaExceeded,
    ReadOnly,
    CrossDevice,
    NameTooLong,
    LinkLoop,
    /// The call makes no sense: a negative offset, a directory moved into itself.
    Invalid,
    /// This backend cannot do that at all.
    Unsupported,
    Busy,
    TooManyOpen,
    Other,
}

impl Error {
    pub fn new(kind: ErrorKind, doing: &'static str) -> Self {
        Self { kind, doing, source: None }
    }

    pub fn unsupported(doing: &'static str) -> Self {
        Self::new(ErrorKind::Unsupported, doing)
    }

    pub fn io(doing: &'static str, source: io::Error) -> Self {
        Self { kind: ErrorKind::from_errno(&source), doing, source: Some(source) }
    }
}

impl ErrorKind {
    /// The one map from the operating system's error numbers.
    fn from_errno(error: &io::Error) -> Self {
        use rustix::io::Errno;
        let Some(errno) = error.raw_os_error().map(Errno::from_raw_os_error) else {
            return Self::Other;
        };
        match errno {
            // NODATA: no extended attribute of that name.
            Errno::NOENT | Errno::NODATA => Self::NotFound,
            Errno::ACCESS | Errno::PERM => Self::PermissionDenied,
            Errno::EXIST => Self::AlreadyExists,
            Errno::NOTDIR => Self::NotADirectory,
            Errno::ISDIR => Self::IsADirectory,
            Errno::NOTEMPTY => Self::DirectoryNotEmpty,
            Errno::NOSPC | Errno::FBIG => Self::NoSpace,
            Errno::DQUOT => Self::QuotaExceeded,
            Errno::ROFS => Self::ReadOnly,
            // openat2 says XDEV when a path would leave the root: for the client that place does
            // not exist. rename and link overwrite this kind where XDEV means another device.
            Errno::XDEV => Self::NotFound,
            Errno::NAMETOOLONG => Self::NameTooLong,
            Errno::LOOP => Self::LinkLoop,
            Errno::INVAL | Errno::OVERFLOW | Errno::RANGE | Errno::TOOBIG => Self::Invalid,
            Errno::NOSYS | Errno::OPNOTSUPP => Self::Unsupported,
            Errno::BUSY | Errno::TXTBSY | Errno::AGAIN => Self::Busy,
            // A FIFO nobody reads, a socket, a device without driver.
            Errno::NXIO | Errno::NODEV => Self::WrongKind,
            // The handle is open, but not for that: read-only or write-only.
            Errno::BADF => Self::PermissionDenied,
            Errno::MFILE | Errno::NFILE => Self::TooManyOpen,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let why = match self.kind {
            ErrorKind::NotFound => "no such file or directory",
            ErrorKind::PermissionDenied => "permission denied",
            ErrorKind::AlreadyExists => "already exists",
            ErrorKind::NotADirectory => "not a directory",
            ErrorKind::IsADirectory => "is a directory",
            ErrorKind::DirectoryNotEmpty => "directory not empty",
            ErrorKind::WrongKind => "wrong kind of file",
            ErrorKind::NoSpace => "no space left",
            ErrorKind::QuotaExceeded => "quota exceeded",
            ErrorKind::ReadOnly => "read-only",
            ErrorKind::CrossDevice => "on another device",
            ErrorKind::NameTooLong => "name too long",
            ErrorKind::LinkLoop => "too many symbolic links",
            ErrorKind::Invalid => "invalid argument",
            ErrorKind::Unsupported => "not supported",
            ErrorKind::Busy => "busy",
            ErrorKind::TooManyOpen => "too many open files",
            ErrorKind::Other => "failed",
        };
        match (&self.source, self.kind) {
            (Some(source), ErrorKind::Other) => write!(f, "{}: {source}", self.doing),
            _ => write!(f, "{}: {why}", self.doing),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_ref().map(|e| e as _)
    }
}
