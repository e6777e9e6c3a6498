//! A worker's work: one request after the other, on one backend, until the other end is gone.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use sterna_sandbox::{Channel, Received};
use sterna_storage::{Backend, Dir, Error, ErrorKind, Local, OpenHow, Result};

use crate::limits::{DIRS_MAX, ENTRIES_MAX};
use crate::messages::{Reply, Request};

/// Answers requests about files beneath `local`, with the rights of this process.
///
/// # Errors
/// The channel fails, or a message does not read: whoever sends such is not to be served.
pub fn serve_files(channel: &Channel, local: &Local) -> io::Result<()> {
    let mut dirs = Dirs::default();
    while let Some(Received { bytes, descriptors }) = channel.receive()? {
        let request = Request::decode(&bytes).map_err(io::Error::other)?;
        let file = descriptors.into_iter().next();
        let mut opened = None;
        let reply = match answer(local, &mut dirs, request, file, &mut opened) {
            Ok(reply) => reply,
            Err(error) => failed(&error),
        };
        let descriptors: Vec<_> = opened.iter().map(|file| file.as_fd()).collect();
        channel.send(&reply.encode(), &descriptors)?;
    }
    Ok(())
}

/// Directories that are being listed.
#[derive(Default)]
struct Dirs {
    open: HashMap<u32, Box<dyn Dir>>,
    next: u32,
}

impl Dirs {
    fn add(&mut self, dir: Box<dyn Dir>) -> Result<u32> {
        if self.open.len() >= DIRS_MAX {
            return Err(Error::new(ErrorKind::TooManyOpen, "opendir"));
        }
        while self.open.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        self.open.insert(self.next, dir);
        Ok(self.next)
    }

    fn get(&mut self, dir: u32) -> Result<&mut Box<dyn Dir>> {
        self.open.get_mut(&dir).ok_or_else(|| Error::new(ErrorKind::Invalid, "readdir"))
    }
}

fn answer(
    local: &Local,
    dirs: &mut Dirs,
    request: Request<'_>,
    file: Option<OwnedFd>,
    opened: &mut Option<OwnedFd>,
) -> Result<Reply> {
    let done = |()| Reply::Done;
    let with_file = || {
        let file = file.ok_or_else(|| Error::new(ErrorKind::Invalid, "file"))?;
        sterna_storage::file_of(file, &OpenHow::default())
    };
    match request {
        Request::Open { path, how } => {
            *opened = Some(local.open_descriptor(path, &how)?);
            Ok(Reply::File)
        }
        Request::Stat { path, follow } => local.stat(path, follow).map(Reply::Attrs),
        Request::OpenDir { path } => dirs.add(local.open_dir(path)?).map(Reply::Dir),
        Request::ReadDir { dir, max } => {
            let mut entries = Vec::new();
            let max = usize::try_from(max).unwrap_or(ENTRIES_MAX).min(ENTRIES_MAX);
            let more = dirs.get(dir)?.next_entries(max, &mut entries)?;
            Ok(Reply::Entries { entries, more })
        }
        Request::StatDir { dir } => dirs.get(dir)?.stat().map(Reply::Attrs),
        Request::SyncDir { dir } => dirs.get(dir)?.sync().map(done),
        Request::CloseDir { dir } => {
            dirs.open.remove(&dir);
            Ok(Reply::Done)
        }
        Request::SetAttrs { path, attrs, follow } => {
            local.set_attrs(path, &attrs, follow).map(done)
        }
        Request::Remove { path } => local.remove(path).map(done),
        Request::Mkdir { path, mode } => local.mkdir(path, mode).map(done),
        Request::Rmdir { path } => local.rmdir(path).map(done),
        Request::Rename { from, to, replace } => local.rename(from, to, replace).map(done),
        Request::Realpath { path } => local.realpath(path).map(Reply::Path),
        Request::Readlink { path } => local.readlink(path).map(Reply::Path),
        Request::Symlink { target, link } => local.symlink(target, link).map(done),
        Request::Hardlink { existing, new } => local.hardlink(existing, new).map(done),
        Request::Statvfs { path } => local.statvfs(path).map(Reply::Space),
        Request::Xattr { path, asked } => local.xattr(path, &asked).map(Reply::Xattr),
        Request::FileSetAttrs { attrs } => with_file()?.set_attrs(&attrs).map(done),
        Request::FileXattr { asked } => with_file()?.xattr(&asked).map(Reply::Xattr),
    }
}

fn failed(error: &Error) -> Reply {
    let errno = error.source.as_ref().and_then(io::Error::raw_os_error);
    let errno = errno.and_then(|errno| u32::try_from(errno).ok()).unwrap_or(0);
    Reply::Failed { kind: error.kind, errno }
}
