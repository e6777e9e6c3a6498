//! Names at the server become stable before a transfer is called done.
//!
//! To sync a file says nothing of its name: a power cut after RENAME may leave the part under the name of a part. The
//! directories in which names were given are synced once, when everything is in them. Only our own servers can do that
//! (`fsync@openssh.com` with the handle of a directory).

use std::collections::BTreeSet;
use std::mem::take;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use super::Context;
use super::lanes::{Lane, Reached};
use crate::limits::{DIRS_SYNCED_AT_ONCE, DIRS_UNSYNCED_MAX};
use crate::sftp::Sftp;
use crate::{Error, Refusal};

/// Directories of the server in which names were given since they were synced; `None` where that is not wanted or cannot
/// be done.
pub(super) struct NewNames(Option<Mutex<BTreeSet<Vec<u8>>>>);

impl NewNames {
    pub(super) fn new(are_kept: bool) -> Self {
        Self(are_kept.then(Mutex::default))
    }

    /// Says whether there are as many as there may be.
    fn note(&self, dir: &[u8]) -> bool {
        let Some(dirs) = &self.0 else { return false };
        let mut dirs = dirs.lock().unwrap_or_else(PoisonError::into_inner);
        if !dirs.contains(dir) {
            dirs.insert(dir.to_vec());
        }
        dirs.len() >= DIRS_UNSYNCED_MAX
    }

    fn take(&self) -> BTreeSet<Vec<u8>> {
        let Some(dirs) = &self.0 else { return BTreeSet::new() };
        take(&mut dirs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Context {
    /// Something has got the name `target` at the server.
    pub(super) async fn named(&self, target: &[u8]) {
        if self.new_names.note(parent(target)) {
            self.settle_names().await;
        }
    }

    /// Waits until the names that were given are on stable storage. What keeps one from it is an error of the
    /// transfer.
    pub(super) async fn settle_names(&self) {
        let dirs = self.new_names.take();
        let Some(first) = dirs.first() else { return };
        if self.cancel.is_cancelled() {
            return;
        }
        let sync = |lane: Arc<Lane>| sync_all(lane, &dirs);
        if let Err(error) = self.on_lane(first, &Reached::default(), sync).await {
            self.failed(first, error);
        }
    }
}

async fn sync_all(lane: Arc<Lane>, dirs: &BTreeSet<Vec<u8>>) -> Result<(), Error> {
    let mut under_way = JoinSet::new();
    for dir in dirs {
        if under_way.len() == DIRS_SYNCED_AT_ONCE {
            under_way.join_next().await.transpose().map_err(|_| Error::Cancelled)?.transpose()?;
        }
        under_way.spawn(sync(lane.sftp.clone(), dir.clone()));
    }
    while let Some(done) = under_way.join_next().await {
        done.map_err(|_| Error::Cancelled)??;
    }
    Ok(())
}

async fn sync(sftp: Sftp, dir: Vec<u8>) -> Result<(), Error> {
    match sftp.sync_dir(&dir).await {
        // Who may only write there, or has a storage without it, has done what is possible.
        Err(error) if error.refusal_code().is_some_and(|code| code != Refusal::FAILURE) => Ok(()),
        result => result,
    }
}

/// The directory of a remote path; a relative one begins where the login does.
fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) => b"/",
        Some(at) => &path[..at],
        None => b".",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_of_a_path_is_what_is_before_its_last_slash() {
        for (path, expected) in [("/a", "/"), ("/a/b", "/a"), ("a", "."), ("a/b/c", "a/b")] {
            assert_eq!(parent(path.as_bytes()), expected.as_bytes(), "{path}");
        }
    }

    #[test]
    fn many_names_in_one_directory_are_one_directory_to_sync() {
        let names = NewNames::new(true);
        for n in 0..3 * DIRS_UNSYNCED_MAX {
            assert!(!names.note(if n % 2 == 0 { b"/a" } else { b"/b" }));
        }
        let dirs: Vec<_> = names.take().into_iter().collect();
        assert_eq!(dirs, [b"/a", b"/b"]);
        assert!(names.take().is_empty());
        let full = (0..DIRS_UNSYNCED_MAX).map(|n| names.note(n.to_string().as_bytes()));
        assert_eq!(full.filter(|full| *full).count(), 1);

        let unwanted = NewNames::new(false);
        unwanted.note(b"/a");
        assert!(unwanted.take().is_empty());
    }
}
