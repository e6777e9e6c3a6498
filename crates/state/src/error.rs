//! Why the state could not be read or written.

use std::path::PathBuf;
use std::{fmt, io};

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// One variant for each thing that helps.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The file or its directory cannot be used: permissions, space, a failing disk.
    Io { path: PathBuf, source: io::Error },
    /// The file is no state file of ours, or not a whole one. It is never replaced by an empty one
    /// on its own, because used codes would then be good again: put a backup in its place, or
    /// remove it knowing that.
    Damaged { path: PathBuf, what: String },
    /// The file was written by a newer release, whose schema this one does not know.
    TooNew { path: PathBuf, found: i64, known: i64 },
    /// Another process holds the file for longer than [`BUSY_WAIT`](crate::limits::BUSY_WAIT).
    Busy { path: PathBuf },
    /// The database refused otherwise, for example because the disk is full.
    Database { path: PathBuf, doing: &'static str, source: rusqlite::Error },
    /// A bound of [`limits`](crate::limits) was reached, and forgetting something would not be safe.
    Full { what: &'static str },
    /// A name or reason is longer than its bound.
    TooLong { what: &'static str },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Damaged { path, what } => {
                write!(f, "{}: damaged, or no state of this program: {what}", path.display())
            }
            Self::TooNew { path, found, known } => {
                let path = path.display();
                write!(f, "{path}: written by a newer release (schema {found}; known: {known})")
            }
            Self::Busy { path } => write!(f, "{}: in use by another process", path.display()),
            Self::Database { path, doing, source } => {
                write!(f, "{}: {doing}: {source}", path.display())
            }
            Self::Full { what } => write!(f, "too many {what}"),
            Self::TooLong { what } => write!(f, "{what}: too long"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            Self::Database { source, .. } => Some(source),
            Self::Damaged { .. }
            | Self::TooNew { .. }
            | Self::Busy { .. }
            | Self::Full { .. }
            | Self::TooLong { .. } => None,
        }
    }
}
