//! Regular files of the local disk: opening without ever blocking, and data at explicit offsets.

use std::any::Any;
use std::io::{IoSlice, IoSliceMut};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicU8, Ordering};

use rustix::fs::{FileType, Mode, OFlags, Stat, copy_file_range, fstat, fsync};
use rustix::io::{
    Errno, ReadWriteFlags, Result as IoResult, preadv, preadv2, pwrite, pwritev2, retry_on_intr,
    write,
};

use super::attrs::{attrs, mode_without_set_id, set_on_file};
use super::close::close;
use super::kind::Kind;
use super::root::Root;
use crate::limits::{BUFFERS_MAX, COPY_STEP_LEN_MAX};
use crate::{Attrs, Error, File, OpenHow, Result, SetAttrs, Xattr, XattrAnswer};

/// Mode of a new file if the caller names none, before the umask; as `fopen(3)`.
const MODE_DEFAULT: u32 = 0o666;

/// No file system keeps bytes at or above this offset, and from here `offset + length` could pass
/// the kernel's signed 64 bits, which it answers by an error where "end of file" is meant.
const OFFSET_END: u64 = i64::MAX as u64 - u32::MAX as u64;

/// How a read or a write that must not block is tried. Asked for at the first one, then remembered.
mod trying {
    /// `RWF_NOWAIT` asks the kernel.
    pub const ASK: u8 = 0;
    /// The file system is in memory and cannot be asked: a plain one does not wait for a disk.
    pub const PLAIN: u8 = 1;
    /// There is no such thing here.
    pub const NEVER: u8 = 2;
}

/// A regular file, open.
pub(super) struct LocalFile {
    fd: OwnedFd,
    append: bool,
    /// Of the file system.
    kind: Kind,
    trying_reads: AtomicU8,
    trying_writes: AtomicU8,
}

impl LocalFile {
    /// Opens `path`; `no_wait` says whether this kernel can be asked for reads without blocking.
    pub fn open(root: &Root, path: &[u8], how: &OpenHow, no_wait: bool) -> IoResult<Self> {
        let mut flags = match (how.read, how.write || how.append) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            // Neither is asked for: reading, as OpenSSH's server has it.
            (_, false) => OFlags::RDONLY,
        };
        flags.set(OFlags::APPEND, how.append);
        flags.set(OFlags::CREATE, how.create);
        flags.set(OFlags::TRUNC, how.truncate);
        flags.set(OFlags::EXCL, how.create && how.exclusive);
        let mode = match how.create {
            true => mode_without_set_id(how.mode.unwrap_or(MODE_DEFAULT)),
            false => Mode::empty(),
        };
        let (fd, stat) = open_with_stat(root, path, flags, mode)?;
        // Found out here, where it may take a while.
        let kind = root.kind_of(&fd, &stat);
        let trying = || AtomicU8::new(if no_wait { trying::ASK } else { trying::NEVER });
        let (trying_reads, trying_writes) = (trying(), trying());
        Ok(Self { fd, append: how.append, kind, trying_reads, trying_writes })
    }

    /// A regular file that is open already.
    pub fn of(fd: OwnedFd, append: bool, no_wait: bool) -> IoResult<Self> {
        if FileType::from_raw_mode(fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Err(Errno::NXIO);
        }
        let kind = Kind::of(&fd);
        let trying = || AtomicU8::new(if no_wait { trying::ASK } else { trying::NEVER });
        let (trying_reads, trying_writes) = (trying(), trying());
        Ok(Self { fd, append, kind, trying_reads, trying_writes })
    }

    pub fn into_descriptor(self) -> OwnedFd {
        self.fd
    }

    /// Remembers that this file system (or kernel) cannot be asked: it will not learn it. Returns whether a
    /// plain call does not wait for a disk here.
    fn cannot_be_asked(&self, trying: &AtomicU8) -> bool {
        let is_plain = self.kind == Kind::InMemory;
        trying.store(if is_plain { trying::PLAIN } else { trying::NEVER }, Ordering::Relaxed);
        is_plain
    }
}

/// Opens a regular file and nothing else: directories are [`Errno::ISDIR`], FIFOs, devices and
/// sockets [`Errno::NXIO`]. Returns at once whatever stands there.
pub(super) fn open_regular(
    root: &Root,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> IoResult<OwnedFd> {
    open_with_stat(root, path, flags, mode).map(|(fd, _)| fd)
}

fn open_with_stat(
    root: &Root,
    path: &[u8],
    flags: OFlags,
    mode: Mode,
) -> IoResult<(OwnedFd, Stat)> {
    let fd = root.open_at(path, flags | OFlags::NONBLOCK | OFlags::NOCTTY, mode)?;
    let stat = fstat(&fd)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Ok((fd, stat)),
        FileType::Directory => Err(Errno::ISDIR),
        _ => Err(Errno::NXIO),
    }
}

impl File for LocalFile {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        if offset >= OFFSET_END {
            return Ok(0);
        }
        let count = buffers.len().min(BUFFERS_MAX);
        retry_on_intr(|| preadv(&self.fd, &mut buffers[..count], offset)).map_err(|e| io("read", e))
    }

    fn try_read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Option<Result<usize>> {
        if offset >= OFFSET_END {
            return Some(Ok(0));
        }
        match self.trying_reads.load(Ordering::Relaxed) {
            trying::ASK => {}
            trying::PLAIN => return Some(self.read_at(buffers, offset)),
            _ => return None,
        }
        let count = buffers.len().min(BUFFERS_MAX);
        let buffers = &mut buffers[..count];
        let wanted: usize = buffers.iter().map(|b| b.len()).sum();
        match preadv2(&self.fd, buffers, offset, ReadWriteFlags::NOWAIT) {
            Ok(len) if len == wanted => Some(Ok(len)),
            // Short: either the file ends here, or the rest is not in memory. Only the first is an
            // answer; for the second the caller reads again where it may block.
            Ok(len) => {
                let size = u64::try_from(fstat(&self.fd).ok()?.st_size).ok()?;
                (offset.saturating_add(len as u64) >= size).then_some(Ok(len))
            }
            Err(Errno::AGAIN | Errno::INTR) => None,
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                let is_plain = self.cannot_be_asked(&self.trying_reads);
                is_plain.then(|| self.read_at(buffers, offset))
            }
            Err(error) => Some(Err(io("read", error))),
        }
    }

    fn write_at(&self, mut data: &[u8], mut offset: u64) -> Result<()> {
        if !self.append && offset.saturating_add(data.len() as u64) > i64::MAX as u64 {
            return Err(io("write", Errno::FBIG));
        }
        while !data.is_empty() {
            let written = retry_on_intr(|| match self.append {
                true => write(&self.fd, data),
                false => pwrite(&self.fd, data, offset),
            });
            match written {
                // No regular file takes nothing without saying why; never loop on it.
                Ok(0) => return Err(io("write", Errno::IO)),
                Ok(len) => {
                    data = &data[len..];
                    offset += len as u64;
                }
                Err(error) => return Err(io("write", error)),
            }
        }
        Ok(())
    }

    fn try_write_at(&self, data: &[u8], offset: u64) -> Option<Result<()>> {
        // What was appended must not be appended again.
        if self.append || offset.saturating_add(data.len() as u64) > i64::MAX as u64 {
            return None;
        }
        match self.trying_writes.load(Ordering::Relaxed) {
            trying::ASK => {}
            trying::PLAIN => return Some(self.write_at(data, offset)),
            _ => return None,
        }
        match pwritev2(&self.fd, &[IoSlice::new(data)], offset, ReadWriteFlags::NOWAIT) {
            Ok(len) if len == data.len() => Some(Ok(())),
            // The rest would wait. So would what comes next, most likely.
            Ok(_) | Err(Errno::AGAIN) => {
                self.trying_writes.store(trying::NEVER, Ordering::Relaxed);
                None
            }
            Err(Errno::INTR) => None,
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                let is_plain = self.cannot_be_asked(&self.trying_writes);
                is_plain.then(|| self.write_at(data, offset))
            }
            Err(error) => Some(Err(io("write", error))),
        }
    }

    fn stat(&self) -> Result<Attrs> {
        fstat(&self.fd).map(|stat| attrs(&stat)).map_err(|e| io("fstat", e))
    }

    fn try_stat(&self) -> Option<Result<Attrs>> {
        self.kind.keeps_attrs().then(|| self.stat())
    }

    fn set_attrs(&self, change: &SetAttrs) -> Result<()> {
        set_on_file(&self.fd, change).map_err(|e| io("fsetstat", e))
    }

    /// Nothing is ever written back on file systems in memory, so whoever has a page of a mapping writable
    /// changes it unnoticed for as long as he likes. Of a file that is not read it is not known.
    fn times_tell_of_changes(&self) -> bool {
        self.kind != Kind::InMemory
    }

    fn sync(&self) -> Result<()> {
        retry_on_intr(|| fsync(&self.fd)).map_err(|e| io("fsync", e))
    }

    fn copy_to(&self, from: u64, len: u64, target: &dyn File, to: u64) -> Option<Result<u64>> {
        let target = target.as_any().downcast_ref::<LocalFile>()?;
        if target.append {
            return None;
        }
        let wanted = if len == 0 { u64::MAX } else { len };
        if from >= OFFSET_END || to >= OFFSET_END {
            return None;
        }
        let (mut from, mut to, mut copied) = (from, to, 0);
        while copied < wanted {
            let step = (wanted - copied).min(COPY_STEP_LEN_MAX) as usize;
            match copy_file_range(&self.fd, Some(&mut from), &target.fd, Some(&mut to), step) {
                // Some file systems answer 0 at once although there are bytes: let the caller read.
                Ok(0) if copied == 0 => return None,
                Ok(0) => break,
                Ok(len) => copied += len as u64,
                Err(Errno::INTR) => {}
                // Not between these two file systems, or not at all.
                Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL)
                    if copied == 0 =>
                {
                    return None;
                }
                Err(error) => return Some(Err(io("copy", error))),
            }
        }
        Some(Ok(copied))
    }

    fn data_ranges(&self, asked: Range<u64>, max: usize) -> Result<(Vec<Range<u64>>, bool)> {
        super::sparse::data_ranges(&self.fd, asked, max).map_err(|e| io("ranges", e))
    }

    fn xattr(&self, asked: &Xattr<'_>) -> Result<XattrAnswer> {
        super::xattr::on_file(&self.fd, asked)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn close(self: Box<Self>) -> Result<()> {
        close(self.fd).map_err(|e| io("close", e))
    }
}

fn io(doing: &'static str, errno: Errno) -> Error {
    Error::io(doing, errno.into())
}

#[cfg(test)]
mod tests;
