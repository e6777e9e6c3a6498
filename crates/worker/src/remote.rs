//! A backend whose names are resolved, and whose files are opened, by a worker with other rights.
//!
//! What comes back of `open` is a descriptor: data and syncing go by it directly. What the kernel allows to a file's
//! owner only goes to the worker, with the descriptor.

use std::any::Any;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use sterna_sandbox::{Channel, Received};
use sterna_storage::{
    Attrs, Backend, Dir, DirEntry, Error, ErrorKind, File, OpenHow, Result, SetAttrs, Space, Xattr,
    XattrAnswer,
};

use crate::limits::ENTRIES_MAX;
use crate::messages::{Reply, Request};

/// Files of a worker's user. Ends the worker when the last of it, its files and directories is dropped.
pub struct RemoteBackend {
    worker: Arc<Worker>,
}

/// The worker. One question at a time: what it does is short, and one process does one thing after the other anyway.
struct Worker {
    /// `None` once it broke: the worker is gone, or said something that is no answer.
    channel: Mutex<Option<Channel>>,
    user: String,
    lost: Box<dyn Fn() + Send + Sync>,
}

impl RemoteBackend {
    /// At the other end of `channel` is [`serve_files`](crate::serve_files); `user` is for the log. `lost`
    /// is called once if the worker goes or answers nonsense.
    pub fn new(channel: Channel, user: &str, lost: impl Fn() + Send + Sync + 'static) -> Self {
        let worker = Worker {
            channel: Mutex::new(Some(channel)),
            user: user.to_owned(),
            lost: Box::new(lost),
        };
        Self { worker: Arc::new(worker) }
    }

    fn ask(&self, doing: &'static str, request: &Request<'_>) -> Result<Reply> {
        self.worker.ask(doing, request, None).map(|(reply, _)| reply)
    }

    fn done(&self, doing: &'static str, request: &Request<'_>) -> Result<()> {
        match self.ask(doing, request)? {
            Reply::Done => Ok(()),
            _ => Err(self.worker.broken(doing)),
        }
    }

    fn path(&self, doing: &'static str, request: &Request<'_>) -> Result<Vec<u8>> {
        match self.ask(doing, request)? {
            Reply::Path(path) => Ok(path),
            _ => Err(self.worker.broken(doing)),
        }
    }
}

impl Worker {
    fn ask(
        &self,
        doing: &'static str,
        request: &Request<'_>,
        file: Option<BorrowedFd<'_>>,
    ) -> Result<(Reply, Option<OwnedFd>)> {
        if let Some(kind) = request.too_long() {
            return Err(Error::new(kind, doing));
        }
        let mut channel = self.channel.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = channel.as_ref() else { return Err(gone(doing)) };
        let exchanged = exchange(open, request, file);
        match exchanged {
            Ok((Reply::Failed { kind, errno }, _)) => {
                let errno = i32::try_from(errno).ok().filter(|errno| *errno != 0);
                let source = errno.map(io::Error::from_raw_os_error);
                Err(Error { kind, doing, source })
            }
            Ok(answered) => Ok(answered),
            Err(error) => {
                *channel = None;
                drop(channel);
                tracing::error!(user = self.user, %error, "the worker of a session is gone");
                (self.lost)();
                Err(gone(doing))
            }
        }
    }

    /// It said something that is no answer to what was asked: it is not asked again.
    fn broken(&self, doing: &'static str) -> Error {
        let open = self.channel.lock().unwrap_or_else(PoisonError::into_inner).take();
        if open.is_some() {
            tracing::error!(user = self.user, doing, "the worker of a session answered nonsense");
            (self.lost)();
        }
        gone(doing)
    }
}

fn exchange(
    channel: &Channel,
    request: &Request<'_>,
    file: Option<BorrowedFd<'_>>,
) -> io::Result<(Reply, Option<OwnedFd>)> {
    channel.send(&request.encode(), file.as_slice())?;
    let message = channel.receive()?;
    let Received { bytes, descriptors } = message.ok_or(io::ErrorKind::UnexpectedEof)?;
    let reply = Reply::decode(&bytes).map_err(|e| io::Error::new(io::ErrorKind::InvalidData, e))?;
    Ok((reply, descriptors.into_iter().next()))
}

/// As a disk that is gone: no client can do anything about it but come again.
fn gone(doing: &'static str) -> Error {
    Error {
        kind: ErrorKind::Other,
        doing,
        source: Some(io::Error::other("the process that works for this user is gone")),
    }
}

impl Backend for RemoteBackend {
    fn open(&self, path: &[u8], how: &OpenHow) -> Result<Box<dyn File>> {
        let request = Request::Open { path, how: *how };
        match self.worker.ask("open", &request, None)? {
            (Reply::File, Some(descriptor)) => {
                let copy = descriptor.try_clone().map_err(|error| Error::io("open", error))?;
                let local = sterna_storage::file_of(descriptor, how)?;
                let worker = Arc::clone(&self.worker);
                Ok(Box::new(RemoteFile { local, descriptor: copy, worker }))
            }
            _ => Err(self.worker.broken("open")),
        }
    }

    fn stat(&self, path: &[u8], follow: bool) -> Result<Attrs> {
        match self.ask("stat", &Request::Stat { path, follow })? {
            Reply::Attrs(attrs) => Ok(attrs),
            _ => Err(self.worker.broken("stat")),
        }
    }

    fn open_dir(&self, path: &[u8]) -> Result<Box<dyn Dir>> {
        match self.ask("opendir", &Request::OpenDir { path })? {
            Reply::Dir(dir) => Ok(Box::new(RemoteDir { dir, worker: Arc::clone(&self.worker) })),
            _ => Err(self.worker.broken("opendir")),
        }
    }

    fn set_attrs(&self, path: &[u8], attrs: &SetAttrs, follow: bool) -> Result<()> {
        self.done("setstat", &Request::SetAttrs { path, attrs: *attrs, follow })
    }

    fn remove(&self, path: &[u8]) -> Result<()> {
        self.done("remove", &Request::Remove { path })
    }

    fn mkdir(&self, path: &[u8], mode: Option<u32>) -> Result<()> {
        self.done("mkdir", &Request::Mkdir { path, mode })
    }

    fn rmdir(&self, path: &[u8]) -> Result<()> {
        self.done("rmdir", &Request::Rmdir { path })
    }

    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> Result<()> {
        self.done("rename", &Request::Rename { from, to, replace })
    }

    fn realpath(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.path("realpath", &Request::Realpath { path })
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.path("readlink", &Request::Readlink { path })
    }

    fn symlink(&self, target: &[u8], link: &[u8]) -> Result<()> {
        self.done("symlink", &Request::Symlink { target, link })
    }

    fn hardlink(&self, existing: &[u8], new: &[u8]) -> Result<()> {
        self.done("hardlink", &Request::Hardlink { existing, new })
    }

    fn statvfs(&self, path: &[u8]) -> Result<Space> {
        match self.ask("statvfs", &Request::Statvfs { path })? {
            Reply::Space(space) => Ok(space),
            _ => Err(self.worker.broken("statvfs")),
        }
    }

    fn xattr(&self, path: &[u8], asked: &Xattr<'_>) -> Result<XattrAnswer> {
        match self.ask("xattr", &Request::Xattr { path, asked: *asked })? {
            Reply::Xattr(answer) => Ok(answer),
            _ => Err(self.worker.broken("xattr")),
        }
    }
}

/// An open file: data by its descriptor.
struct RemoteFile {
    local: Box<dyn File>,
    /// For the worker, where only the owner may do something.
    descriptor: OwnedFd,
    worker: Arc<Worker>,
}

impl File for RemoteFile {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        self.local.read_at(buffers, offset)
    }

    fn try_read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Option<Result<usize>> {
        self.local.try_read_at(buffers, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.local.write_at(data, offset)
    }

    fn try_write_at(&self, data: &[u8], offset: u64) -> Option<Result<()>> {
        self.local.try_write_at(data, offset)
    }

    fn stat(&self) -> Result<Attrs> {
        self.local.stat()
    }

    fn try_stat(&self) -> Option<Result<Attrs>> {
        self.local.try_stat()
    }

    fn set_attrs(&self, attrs: &SetAttrs) -> Result<()> {
        let request = Request::FileSetAttrs { attrs: *attrs };
        match self.worker.ask("fsetstat", &request, Some(self.descriptor.as_fd()))? {
            (Reply::Done, _) => Ok(()),
            _ => Err(self.worker.broken("fsetstat")),
        }
    }

    fn times_tell_of_changes(&self) -> bool {
        self.local.times_tell_of_changes()
    }

    fn sync(&self) -> Result<()> {
        self.local.sync()
    }

    fn data_ranges(&self, asked: Range<u64>, max: usize) -> Result<(Vec<Range<u64>>, bool)> {
        self.local.data_ranges(asked, max)
    }

    fn xattr(&self, asked: &Xattr<'_>) -> Result<XattrAnswer> {
        let request = Request::FileXattr { asked: *asked };
        match self.worker.ask("xattr", &request, Some(self.descriptor.as_fd()))? {
            (Reply::Xattr(answer), _) => Ok(answer),
            _ => Err(self.worker.broken("xattr")),
        }
    }

    fn copy_to(&self, from: u64, len: u64, target: &dyn File, to: u64) -> Option<Result<u64>> {
        let target = target.as_any().downcast_ref::<Self>()?;
        self.local.copy_to(from, len, &*target.local, to)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn close(self: Box<Self>) -> Result<()> {
        drop(self.descriptor);
        self.local.close()
    }
}

/// A directory that the worker lists.
struct RemoteDir {
    dir: u32,
    worker: Arc<Worker>,
}

impl Dir for RemoteDir {
    fn next_entries(&mut self, max: usize, entries: &mut Vec<DirEntry>) -> Result<bool> {
        let max = u32::try_from(max.clamp(1, ENTRIES_MAX)).unwrap_or(u32::MAX);
        let request = Request::ReadDir { dir: self.dir, max };
        match self.worker.ask("readdir", &request, None)? {
            (Reply::Entries { entries: read, more }, _) => {
                entries.extend(read);
                Ok(more)
            }
            _ => Err(self.worker.broken("readdir")),
        }
    }

    fn stat(&self) -> Result<Attrs> {
        match self.worker.ask("fstat", &Request::StatDir { dir: self.dir }, None)? {
            (Reply::Attrs(attrs), _) => Ok(attrs),
            _ => Err(self.worker.broken("fstat")),
        }
    }

    fn sync(&self) -> Result<()> {
        match self.worker.ask("fsync", &Request::SyncDir { dir: self.dir }, None)? {
            (Reply::Done, _) => Ok(()),
            _ => Err(self.worker.broken("fsync")),
        }
    }
}

impl Drop for RemoteDir {
    fn drop(&mut self) {
        // A worker that is gone has closed it.
        let _ = self.worker.ask("closedir", &Request::CloseDir { dir: self.dir }, None);
    }
}
