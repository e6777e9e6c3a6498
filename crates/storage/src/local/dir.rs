//! Listing a local directory, batch by batch, in bounded memory however many names it has.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, RawDir, RawDirEntry, fstat, fsync, statat};
use rustix::io::{Errno, Result as IoResult};

use super::attrs::{attrs, kind};
use super::root::Root;
use crate::limits::{ENTRIES_MAX, RECORD_LEN_MAX, RECORD_LEN_MIN, RECORD_LEN_USUAL_MAX};
use crate::{Attrs, Dir, DirEntry, Error, FileKind, Result};

pub(super) struct LocalDir {
    fd: OwnedFd,
    /// Attributes shown for `..`: resolved inside the root, so those of the root for the root.
    above: Attrs,
    at_end: bool,
}

impl LocalDir {
    pub fn open(root: &Root, path: &[u8]) -> IoResult<Self> {
        let fd = root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let above = match above(root, path) {
            Ok(fd) => attrs(&fstat(&fd)?),
            // Moved away or not searchable: the directory itself is at least no lie about others.
            Err(_) => attrs(&fstat(&fd)?),
        };
        Ok(Self { fd, above, at_end: false })
    }

    /// Appends what the kernel says in so many bytes of records.
    fn read(&mut self, records_len: usize, entries: &mut Vec<DirEntry>) -> IoResult<()> {
        let mut records = Vec::with_capacity(records_len);
        let mut dir = RawDir::new(&self.fd, records.spare_capacity_mut());
        loop {
            match dir.next() {
                Some(Ok(entry)) => {
                    if let Some(attrs) = self.entry_attrs(&entry) {
                        let name = entry.file_name().to_bytes().to_vec();
                        entries.push(DirEntry { name, attrs });
                    }
                }
                // A directory that was removed while it was open has no entries any more.
                None | Some(Err(Errno::NOENT)) => {
                    self.at_end = true;
                    return Ok(());
                }
                Some(Err(errno)) => return Err(errno),
            }
            if dir.is_buffer_empty() {
                return Ok(());
            }
        }
    }

    /// Attributes of one entry; `None` if it is gone by now.
    fn entry_attrs(&self, entry: &RawDirEntry<'_>) -> Option<Attrs> {
        let name = entry.file_name();
        if name == c".." {
            return Some(self.above);
        }
        match statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Some(attrs(&stat)),
            Err(Errno::NOENT) => None,
            // Readable but not searchable: the names may be seen, nothing else.
            Err(_) => Some(unknown(kind(entry.file_type()))),
        }
    }
}

impl Dir for LocalDir {
    /// What the kernel says at a time is taken whole, so that nothing of it is kept between two calls.
    fn next_entries(&mut self, max: usize, entries: &mut Vec<DirEntry>) -> Result<bool> {
        let before = entries.len();
        let enough = before + max.clamp(1, ENTRIES_MAX);
        let mut records_len_min = RECORD_LEN_USUAL_MAX;
        while !self.at_end && entries.len() < enough {
            // Full of the shortest records it brings no more than is asked for.
            let records_len = (enough - entries.len()) * RECORD_LEN_MIN;
            let records_len = records_len.max(records_len_min);
            match self.read(records_len, entries) {
                // The next name alone is longer.
                Err(Errno::INVAL) if records_len < RECORD_LEN_MAX => {
                    records_len_min = RECORD_LEN_MAX;
                }
                // What was read is not lost; the next call meets the error again.
                Err(_) if entries.len() > before => break,
                result => result.map_err(|e| io("readdir", e))?,
            }
        }
        Ok(!self.at_end)
    }

    fn stat(&self) -> Result<Attrs> {
        fstat(&self.fd).map(|stat| attrs(&stat)).map_err(|e| io("fstat", e))
    }

    fn sync(&self) -> Result<()> {
        fsync(&self.fd).map_err(|e| io("fsync", e))
    }
}

fn above(root: &Root, path: &[u8]) -> IoResult<OwnedFd> {
    root.open_at(&[path, b"/.."].concat(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty())
}

fn unknown(kind: FileKind) -> Attrs {
    let time = crate::Time::default();
    Attrs {
        kind,
        size: 0,
        mode: 0,
        uid: u32::MAX,
        gid: u32::MAX,
        accessed: time,
        modified: time,
        changed: time,
        links: 1,
        id: (0, 0),
    }
}

fn io(doing: &'static str, errno: Errno) -> Error {
    Error::io(doing, errno.into())
}
