//! Local files, always beneath a directory that is held open: names from a server cannot lead out.
//!
//! Every step takes one component and refuses symbolic links (`O_NOFOLLOW`), so neither `..` nor a
//! link that appears meanwhile changes where bytes go. All calls block: they are for threads that may.

mod at_hand;
mod change;
mod lock;
mod xattr;

pub(crate) use at_hand::AtHand;
pub(crate) use change::Change;
pub(crate) use lock::Lock;

use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;

use crate::Error;
use crate::limits::{COPY_STEP_LEN, HASH_STEP_LEN, LOCAL_BATCH_MAX, LOCAL_NAME_LEN_MAX};
use crate::sftp::{Attrs, check_name};

/// A directory that is held open, and its path for messages.
#[derive(Debug)]
pub(crate) struct LocalDir {
    fd: OwnedFd,
    path: PathBuf,
}

/// One entry of a local directory.
#[derive(Debug)]
pub(crate) struct LocalEntry {
    pub(crate) name: Vec<u8>,
    pub(crate) kind: FileType,
}

impl LocalDir {
    /// Opens a directory that the user named: links on the way are the user's own choice.
    pub(crate) fn open(path: &Path) -> Result<Arc<Self>, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty());
        let fd = fd.map_err(|e| Error::local("open directory", path, e))?;
        Ok(Arc::new(Self { fd, path: path.to_owned() }))
    }

    /// Opens a directory in this one.
    pub(crate) fn open_dir(&self, name: &[u8]) -> Result<Arc<Self>, Error> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty());
        let fd = fd.map_err(|e| self.failed("open directory", name, e))?;
        Ok(Arc::new(Self { fd, path: self.path_of(name) }))
    }

    /// Makes a directory in this one unless it is there, and opens it.
    pub(crate) fn make_dir(&self, name: &[u8]) -> Result<Arc<Self>, Error> {
        check_local(name)?;
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => self.open_dir(name),
            Err(error) => Err(self.failed("make directory", name, error)),
        }
    }

    /// Opens a file in this directory.
    pub(crate) fn open_file(
        &self,
        name: &[u8],
        flags: OFlags,
        mode: u32,
    ) -> Result<OwnedFd, Error> {
        check_local(name)?;
        // NONBLOCK: a pipe in place of the file must not hold us up.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(mode));
        fd.map_err(|e| self.failed("open", name, e))
    }

    /// Attributes of an entry, a link not followed; `None` if there is none.
    pub(crate) fn stat(&self, name: &[u8]) -> Result<Option<Stat>, Error> {
        match rustix::fs::statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.failed("stat", name, error)),
        }
    }

    /// Whether the file of which these are the attributes stands under this name.
    pub(crate) fn is_at(&self, name: &[u8], file: &Stat) -> Result<bool, Error> {
        let there = self.stat(name)?;
        Ok(there.is_some_and(|there| (there.st_dev, there.st_ino) == (file.st_dev, file.st_ino)))
    }

    /// Attributes of what an entry leads to, links followed: for trees of the user's own.
    pub(crate) fn stat_through(&self, name: &[u8]) -> Result<Stat, Error> {
        rustix::fs::statat(&self.fd, name, AtFlags::empty())
            .map_err(|e| self.failed("follow", name, e))
    }

    /// Replaces `to` by `from`, both in this directory.
    pub(crate) fn rename(&self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        rustix::fs::renameat(&self.fd, from, &self.fd, to).map_err(|e| self.failed("rename", to, e))
    }

    /// Removes a file; that it is not there is fine.
    pub(crate) fn remove(&self, name: &[u8]) -> Result<(), Error> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(self.failed("remove", name, error)),
        }
    }

    /// Makes a symbolic link; an existing link of that name is replaced, anything else is kept.
    pub(crate) fn symlink(&self, target: &[u8], name: &[u8]) -> Result<(), Error> {
        check_local(name)?;
        if let Some(stat) = self.stat(name)?
            && FileType::from_raw_mode(stat.st_mode) == FileType::Symlink
        {
            self.remove(name)?;
        }
        rustix::fs::symlinkat(target, &self.fd, name).map_err(|e| self.failed("make link", name, e))
    }

    /// Where a link in this directory points.
    pub(crate) fn read_link(&self, name: &[u8]) -> Result<Vec<u8>, Error> {
        let target = rustix::fs::readlinkat(&self.fd, name, Vec::new());
        target.map(std::ffi::CString::into_bytes).map_err(|e| self.failed("read link", name, e))
    }

    /// Begins to read this directory.
    pub(crate) fn listing(self: &Arc<Self>) -> Result<LocalListing, Error> {
        let failed = |e: Errno| Error::local("read directory", &self.path, e);
        let dir = Dir::read_from(&self.fd).map_err(failed)?;
        Ok(LocalListing { of: self.clone(), dir })
    }

    /// Sets mode and times of this directory itself.
    pub(crate) fn set_attrs(
        &self,
        mode: Option<u32>,
        times: Option<Timestamps>,
    ) -> Result<(), Error> {
        set_attrs(&self.fd, mode, times)
            .map_err(|e| Error::local("set attributes of", &self.path, e))
    }

    pub(crate) fn own_stat(&self) -> Result<Stat, Error> {
        rustix::fs::fstat(&self.fd).map_err(|e| Error::local("stat", &self.path, e))
    }

    /// Brings renames in this directory to stable storage. Not every file system can; then it is as good
    /// as it gets.
    pub(crate) fn sync(&self) {
        let _ = rustix::fs::fsync(&self.fd);
    }

    pub(crate) fn path_of(&self, name: &[u8]) -> PathBuf {
        self.path.join(OsStr::from_bytes(name))
    }

    fn failed(&self, doing: &'static str, name: &[u8], error: Errno) -> Error {
        Error::local(doing, self.path_of(name), error)
    }
}

/// The times in a server's attributes, to the nanosecond where it tells them.
pub(crate) fn timestamps(attrs: &Attrs) -> Option<Timestamps> {
    let at = |seconds: u32, nanos: Option<u32>| Timespec {
        tv_sec: seconds.into(),
        tv_nsec: nanos.unwrap_or(0).min(999_999_999).into(),
    };
    attrs.times.map(|times| Timestamps {
        last_access: at(times.accessed, attrs.accessed_nanos()),
        last_modification: at(times.modified, attrs.modified_nanos()),
    })
}

/// A local directory that is being read.
pub(crate) struct LocalListing {
    of: Arc<LocalDir>,
    dir: Dir,
}

impl LocalListing {
    /// Some more entries, sorted by name, without `.` and `..`; none at the end.
    pub(crate) fn next_batch(&mut self) -> Result<Vec<LocalEntry>, Error> {
        let failed = |e: Errno| Error::local("read directory", &self.of.path, e);
        let mut batch = Vec::new();
        while batch.len() < LOCAL_BATCH_MAX
            && let Some(entry) = self.dir.read()
        {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name().to_bytes().to_vec();
            if name == b"." || name == b".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => self
                    .of
                    .stat(&name)?
                    .map_or(FileType::Unknown, |s| FileType::from_raw_mode(s.st_mode)),
                kind => kind,
            };
            batch.push(LocalEntry { name, kind });
        }
        batch.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(batch)
    }
}

/// Sets mode and times of an open file.
pub(crate) fn set_attrs(
    fd: &OwnedFd,
    mode: Option<u32>,
    times: Option<Timestamps>,
) -> io::Result<()> {
    if let Some(mode) = mode {
        rustix::fs::fchmod(fd, Mode::from_raw_mode(mode))?;
    }
    if let Some(times) = times {
        rustix::fs::futimens(fd, &times)?;
    }
    Ok(())
}

/// Writes all of `data` at `offset`.
pub(crate) fn write_all_at(fd: &OwnedFd, mut data: &[u8], mut offset: u64) -> io::Result<()> {
    while !data.is_empty() {
        match rustix::io::pwrite(fd, data, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => {
                data = &data[len..];
                offset += len as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Writes all of `buffers`, one behind the other, at `offset`, with as few calls as can be.
pub(crate) fn write_all_vectored_at(
    fd: &OwnedFd,
    mut buffers: &mut [IoSlice<'_>],
    mut offset: u64,
) -> io::Result<()> {
    while !buffers.is_empty() {
        match rustix::io::pwritev(fd, buffers, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(len) => {
                offset += len as u64;
                IoSlice::advance_slices(&mut buffers, len);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Copies the first `len` bytes of `from` to the start of `to`, without reading them where the file
/// system can. Returns how many it were: fewer if `from` is shorter, or if `stop` says so meanwhile.
pub(crate) fn copy(
    from: &OwnedFd,
    to: &OwnedFd,
    len: u64,
    stop: impl Fn() -> bool,
) -> io::Result<u64> {
    let mut at = 0;
    let mut by_kernel = true;
    let mut buffer = Vec::new();
    while at < len && !stop() {
        let step = COPY_STEP_LEN.min(usize::try_from(len - at).unwrap_or(usize::MAX));
        if by_kernel {
            let (mut source, mut target) = (at, at);
            let copied =
                rustix::fs::copy_file_range(from, Some(&mut source), to, Some(&mut target), step);
            match copied {
                Ok(0) => break,
                Ok(copied) => at += copied as u64,
                Err(Errno::INTR) => {}
                Err(Errno::NOSYS | Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP) => {
                    by_kernel = false;
                }
                Err(error) => return Err(error.into()),
            }
            continue;
        }
        buffer.clear();
        read_at(from, &mut buffer, at, step.min(HASH_STEP_LEN))?;
        if buffer.is_empty() {
            break;
        }
        write_all_at(to, &buffer, at)?;
        at += buffer.len() as u64;
    }
    Ok(at)
}

/// Appends up to `len` bytes from `offset` on to `out`; fewer only at the end of the file.
pub(crate) fn read_at(fd: &OwnedFd, out: &mut Vec<u8>, offset: u64, len: usize) -> io::Result<()> {
    let start = out.len();
    out.resize(start + len, 0);
    let read = read_into(fd, &mut out[start..], offset);
    out.truncate(start + *read.as_ref().unwrap_or(&0));
    read.map(|_| ())
}

/// Fills `out` from `offset` on and returns how many bytes that were; fewer only at the end of the file.
pub(crate) fn read_into(fd: &OwnedFd, out: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut filled = 0;
    while filled < out.len() {
        match rustix::io::pread(fd, &mut out[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(len) => filled += len,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(filled)
}

/// A name that this machine can hold and that stays where it is put.
fn check_local(name: &[u8]) -> Result<(), Error> {
    check_name(name)?;
    if name.len() > LOCAL_NAME_LEN_MAX {
        return Err(Error::local(
            "create",
            OsStr::from_bytes(&name[..64]),
            io::Error::from(Errno::NAMETOOLONG),
        ));
    }
    Ok(())
}
