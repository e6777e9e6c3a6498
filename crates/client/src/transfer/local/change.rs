//! Changes to what is already in a local directory: names go, get a second one, get other attributes.

use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;

use super::{LocalDir, check_local};
use crate::Error;

/// Attributes to set; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) mode: Option<u32>,
    /// Access and modification.
    pub(crate) times: Option<(Timespec, Timespec)>,
    pub(crate) uid: Option<u32>,
    pub(crate) gid: Option<u32>,
}

impl LocalDir {
    /// Removes an empty directory in this one; that it is not there is fine.
    pub(crate) fn remove_dir(&self, name: &[u8]) -> Result<(), Error> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::REMOVEDIR) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed("remove directory", name, error)),
        }
    }

    /// Gives the file `from` in `from_dir` the name `to` in this directory; one that is there is
    /// replaced in one step, by way of `aside`.
    pub(crate) fn hard_link(
        &self,
        from_dir: &Arc<Self>,
        from: &[u8],
        to: &[u8],
        aside: &[u8],
    ) -> Result<(), Error> {
        check_local(to)?;
        let link = |name| {
            rustix::fs::linkat(&from_dir.fd, from, &self.fd, name, AtFlags::empty())
                .map_err(|e| self.failed("make hard link", to, e))
        };
        if self.stat(to)?.is_none() {
            return link(to);
        }
        self.remove(aside)?;
        link(aside)?;
        let renamed = self.rename(aside, to);
        // Two names of one file are left as they are by a rename.
        self.remove(aside)?;
        renamed
    }

    /// Sets attributes of a file or directory in this one; never through a link.
    pub(crate) fn change(&self, name: &[u8], change: &Change) -> Result<(), Error> {
        let failed = |e| self.failed("set attributes of", name, e);
        if change.uid.is_some() || change.gid.is_some() {
            let (uid, gid) = (change.uid.map(Uid::from_raw), change.gid.map(Gid::from_raw));
            rustix::fs::chownat(&self.fd, name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed)?;
        }
        if let Some((last_access, last_modification)) = change.times {
            let times = Timestamps { last_access, last_modification };
            rustix::fs::utimensat(&self.fd, name, &times, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(failed)?;
        }
        // Last: without the right to search a directory nothing more can be done in it.
        if let Some(mode) = change.mode {
            // An open path cannot become a link any more, and asks for no right to read.
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty()).map_err(failed)?;
            let stat = rustix::fs::fstat(&fd).map_err(failed)?;
            if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
                return Err(failed(Errno::LOOP));
            }
            let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&fd));
            rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(mode), AtFlags::empty())
                .map_err(failed)?;
        }
        Ok(())
    }

    /// Sets attributes of this directory itself.
    pub(crate) fn change_own(&self, change: &Change) -> Result<(), Error> {
        self.change(b".", change)
    }
}
