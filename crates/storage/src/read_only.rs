//! A layer that lets everything be read and nothing be changed.
//!
//! It refuses what changes *before* asking the backend below, so the answer does not tell what is
//! there. Files are wrapped as well: a descriptor open for reading is enough to change a mode.

use std::any::Any;
use std::io::IoSliceMut;
use std::ops::Range;
use std::sync::Arc;

use crate::{
    Attrs, Backend, Dir, Error, ErrorKind, File, OpenHow, Result, SetAttrs, Space, Xattr,
    XattrAnswer,
};

/// Shows another backend read-only.
pub struct ReadOnly {
    below: Arc<dyn Backend>,
}

impl ReadOnly {
    pub fn new(below: Arc<dyn Backend>) -> Self {
        Self { below }
    }
}

impl Backend for ReadOnly {
    fn open(&self, path: &[u8], how: &OpenHow) -> Result<Box<dyn File>> {
        if how.write || how.append || how.create || how.truncate {
            return Err(refused("open"));
        }
        Ok(Box::new(ReadOnlyFile { below: self.below.open(path, how)? }))
    }

    fn stat(&self, path: &[u8], follow: bool) -> Result<Attrs> {
        self.below.stat(path, follow)
    }

    fn try_stat(&self, path: &[u8], follow: bool) -> Option<Result<Attrs>> {
        self.below.try_stat(path, follow)
    }

    fn open_dir(&self, path: &[u8]) -> Result<Box<dyn Dir>> {
        self.below.open_dir(path)
    }

    fn set_attrs(&self, _path: &[u8], _attrs: &SetAttrs, _follow: bool) -> Result<()> {
        Err(refused("setstat"))
    }

    fn remove(&self, _path: &[u8]) -> Result<()> {
        Err(refused("remove"))
    }

    fn mkdir(&self, _path: &[u8], _mode: Option<u32>) -> Result<()> {
        Err(refused("mkdir"))
    }

    fn rmdir(&self, _path: &[u8]) -> Result<()> {
        Err(refused("rmdir"))
    }

    fn rename(&self, _from: &[u8], _to: &[u8], _replace: bool) -> Result<()> {
        Err(refused("rename"))
    }

    fn realpath(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.below.realpath(path)
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.below.readlink(path)
    }

    fn symlink(&self, _target: &[u8], _link: &[u8]) -> Result<()> {
        Err(refused("symlink"))
    }

    fn hardlink(&self, _existing: &[u8], _new: &[u8]) -> Result<()> {
        Err(refused("hardlink"))
    }

    fn statvfs(&self, path: &[u8]) -> Result<Space> {
        Ok(Space { read_only: true, ..self.below.statvfs(path)? })
    }

    fn xattr(&self, path: &[u8], asked: &Xattr<'_>) -> Result<XattrAnswer> {
        if asked.changes() { Err(refused("xattr")) } else { self.below.xattr(path, asked) }
    }
}

struct ReadOnlyFile {
    below: Box<dyn File>,
}

impl File for ReadOnlyFile {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        self.below.read_at(buffers, offset)
    }

    fn try_read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Option<Result<usize>> {
        self.below.try_read_at(buffers, offset)
    }

    fn write_at(&self, _data: &[u8], _offset: u64) -> Result<()> {
        Err(refused("write"))
    }

    fn stat(&self) -> Result<Attrs> {
        self.below.stat()
    }

    fn try_stat(&self) -> Option<Result<Attrs>> {
        self.below.try_stat()
    }

    fn set_attrs(&self, _attrs: &SetAttrs) -> Result<()> {
        Err(refused("fsetstat"))
    }

    fn sync(&self) -> Result<()> {
        Err(refused("fsync"))
    }

    fn times_tell_of_changes(&self) -> bool {
        self.below.times_tell_of_changes()
    }

    fn data_ranges(&self, asked: Range<u64>, max: usize) -> Result<(Vec<Range<u64>>, bool)> {
        self.below.data_ranges(asked, max)
    }

    fn xattr(&self, asked: &Xattr<'_>) -> Result<XattrAnswer> {
        if asked.changes() { Err(refused("xattr")) } else { self.below.xattr(asked) }
    }

    fn copy_to(&self, from: u64, len: u64, target: &dyn File, to: u64) -> Option<Result<u64>> {
        self.below.copy_to(from, len, target, to)
    }

    /// This layer's own type, not the one below: no backend takes it for a file to write into.
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.below.close()
    }
}

fn refused(doing: &'static str) -> Error {
    Error::new(ErrorKind::ReadOnly, doing)
}
