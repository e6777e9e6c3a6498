//! A file that one transfer writes, and no other one meanwhile.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

/// Held until it is dropped, or this process ends, however it does. Advisory: who does not ask is not
/// kept out.
#[derive(Debug)]
pub(crate) struct Lock(Arc<OwnedFd>);

impl Lock {
    /// Locks an open file, if nobody else has. Where the file system has no locks nobody is kept out.
    ///
    /// # Errors
    /// If another process, or another transfer of this one, has it.
    pub(crate) fn take(file: &Arc<OwnedFd>) -> io::Result<Self> {
        match flock(file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => Err(io::Error::other("another transfer is writing it")),
            Err(error) => {
                tracing::debug!(%error, "no lock");
                Ok(Self(file.clone()))
            }
            Ok(()) => Ok(Self(file.clone())),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Threads that still look at the file would hold the lock as long as they do.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}
