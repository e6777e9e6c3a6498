//! Listing a local directory, batch by batch, in bounded memory however many names it has.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags, fstat, fsync, statat};
use rustix::io::{Errno, Result as IoResult};

use super::attrs::{attrs, kind};
use super::root::Root;
use crate::limits::ENTRIES_MAX;
use crate::{Attrs, Dir, DirEntry, Error, FileKind, Result};

pub(super) struct LocalDir {
    dir: rustix::fs::Dir,
    /// Attributes shown for `..`: resolved inside the root, so those of the root for the root.
    above: Attrs,
}

impl LocalDir {
    pub fn open(root: &Root, path: &[u8]) -> IoResult<Self> {
        let fd = root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        let above = match above(root, path) {
            Ok(fd) => attrs(&fstat(&fd)?),
            // Moved away or not searchable: the directory itself is at least no lie about others.
            Err(_) => attrs(&fstat(&fd)?),
        };
        Ok(Self { dir: rustix::fs::Dir::new(fd)?, above })
    }

    /// Attributes of one entry; `None` if it is gone by now.
    fn entry_attrs(&self, entry: &rustix::fs::DirEntry) -> IoResult<Option<Attrs>> {
        let name = entry.file_name();
        if name == c".." {
            return Ok(Some(self.above));
        }
        match statat(self.dir.fd()?, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(attrs(&stat))),
            Err(Errno::NOENT) => Ok(None),
            // Readable but not searchable: the names may be seen, nothing else.
            Err(_) => Ok(Some(unknown(kind(entry.file_type())))),
        }
    }
}

impl Dir for LocalDir {
    fn next_entries(&mut self, max: usize, entries: &mut Vec<DirEntry>) -> Result<bool> {
        for _ in 0..max.clamp(1, ENTRIES_MAX) {
            let Some(entry) = self.dir.read() else {
                return Ok(false);
            };
            let entry = entry.map_err(|e| io("readdir", e))?;
            if let Some(attrs) = self.entry_attrs(&entry).map_err(|e| io("readdir", e))? {
                entries.push(DirEntry { name: entry.file_name().to_bytes().to_vec(), attrs });
            }
        }
        Ok(true)
    }

    fn stat(&self) -> Result<Attrs> {
        self.dir.stat().map(|stat| attrs(&stat)).map_err(|e| io("fstat", e))
    }

    fn sync(&self) -> Result<()> {
        self.dir.fd().and_then(fsync).map_err(|e| io("fsync", e))
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
