//! The directory that makes the log trustworthy: `key`, `key.pub`, `head`, and `lock`, which processes that
//! write the same log take in turn.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};

use crate::head::Head;
use crate::key::{KeyError, PublicKey, SigningKey, write_whole};

/// Why a log cannot be begun.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// A file or directory of the log.
    Io {
        path: PathBuf,
        source: io::Error,
    },
    Key {
        path: PathBuf,
        source: KeyError,
    },
    /// No file, no standard output, no journald.
    NoTarget,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { path, source } => write!(f, "{}: {source}", path.display()),
            Self::Key { path, source } => write!(f, "{}: {source}", path.display()),
            Self::NoTarget => f.write_str("there is nowhere to write to"),
        }
    }
}

impl std::error::Error for StartError {}

/// Where the public key of the log with this state directory is.
pub fn public_key_in(state_dir: &Path) -> PathBuf {
    state_dir.join("key.pub")
}

/// Where its head is.
pub fn head_in(state_dir: &Path) -> PathBuf {
    state_dir.join("head")
}

/// The directory, with its key.
pub(crate) struct StateDir {
    head: PathBuf,
    lock: Arc<File>,
    pub(crate) key: SigningKey,
}

/// While it is there no other process writes.
pub(crate) struct Locked(Arc<File>);

impl StateDir {
    pub(crate) fn open(dir: &Path) -> Result<Self, StartError> {
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| StartError::Io { path, source }
        };
        DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(fail(dir))?;
        let path = dir.join("lock");
        let mut how = OpenOptions::new();
        how.read(true).write(true).create(true).truncate(false).mode(0o600);
        let lock = Arc::new(how.open(&path).map_err(fail(&path))?);
        let key = {
            let _locked = lock_now(&lock).map_err(fail(&path))?;
            let path = dir.join("key");
            let key = SigningKey::load_or_make(&path)
                .map_err(|source| StartError::Key { path, source })?;
            let path = public_key_in(dir);
            if PublicKey::from_file(&path).ok() != Some(key.public()) {
                let text = format!("{}\n", key.public());
                let fresh = path.with_extension("new");
                write_whole(&fresh, text.as_bytes(), 0o644)
                    .and_then(|()| fs::rename(&fresh, &path))
                    .map_err(fail(&path))?;
            }
            key
        };
        Ok(Self { head: head_in(dir), lock, key })
    }

    /// Waits for its turn.
    pub(crate) fn lock(&self) -> io::Result<Locked> {
        lock_now(&self.lock)
    }

    /// `Ok(None)`: there is none. What is not signed by the key is an error of its own kind.
    pub(crate) fn head(&self) -> io::Result<Option<Head>> {
        Head::read(&self.head, &self.key.public())
    }

    pub(crate) fn set_head(&self, head: &Head) -> io::Result<()> {
        let fresh = self.head.with_extension("new");
        write_whole(&fresh, &head.encode(&self.key), 0o600)?;
        fs::rename(&fresh, &self.head)
    }
}

fn lock_now(file: &Arc<File>) -> io::Result<Locked> {
    loop {
        match flock(file.as_fd(), FlockOperation::LockExclusive) {
            Ok(()) => return Ok(Locked(Arc::clone(file))),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // Closing the file would do it as well.
        let _ = flock(self.0.as_fd(), FlockOperation::Unlock);
    }
}
