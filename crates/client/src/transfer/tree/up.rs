//! A tree to the server: directories are made before what is in them, files go as they are seen.

use std::pin::Pin;
use std::sync::Arc;

use rustix::fs::FileType;
use sterna_sftp_proto::Times;
use sterna_sftp_proto::attrs::clamp_seconds;

use super::super::branch::{Branch, Late};
use super::super::download::umask;
use super::super::flock::Flock;
use super::super::lanes::Reached;
use super::super::local::{LocalDir, LocalEntry};
use super::super::upload::Upload;
use super::super::{Context, Lane, Links, blocking, is_companion};
use super::{UNFINISHED, not_regular, too_deep};
use crate::Error;
use crate::limits::TREE_DEPTH_MAX;
use crate::sftp::{Attrs, joined};

/// What uploads files and trees. Clones share everything.
#[derive(Clone)]
pub(super) struct Up {
    pub(super) context: Arc<Context>,
    pub(super) flock: Arc<Flock>,
}

/// A local directory that is still to be read.
pub(super) struct SourceDir {
    pub(super) parent: Arc<LocalDir>,
    /// `None`: `parent` itself.
    pub(super) name: Option<Vec<u8>>,
    pub(super) source: Vec<u8>,
    pub(super) target: Vec<u8>,
    pub(super) depth: usize,
    pub(super) above: Option<Arc<Branch>>,
}

/// A directory that exists on both sides and whose entries are being looked at.
struct Made {
    local: Arc<LocalDir>,
    source: Vec<u8>,
    target: Vec<u8>,
    /// It was made just now.
    is_new: bool,
    depth: usize,
    branch: Arc<Branch>,
}

impl Up {
    /// Starts one file when there is a place for it.
    pub(super) async fn file(&self, file: Upload, branch: Option<Arc<Branch>>) {
        let place = self.flock.place().await;
        let context = self.context.clone();
        self.flock.start(async move {
            let source = file.source.clone();
            match file.arrive(&context, place).await {
                Ok(report) => context.done(&report),
                Err(error) => context.failed(&source, error),
            }
            if let Some(branch) = branch {
                branch.leave(&context).await;
            }
        });
    }

    /// Makes a directory at the server, reads ours to its end and starts what is in it. Boxed, because
    /// directories are in directories.
    pub(super) fn walk(
        self,
        dir: SourceDir,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> {
        Box::pin(async move {
            let SourceDir { parent, name, source, target, depth, above } = dir;
            let (local, stat) = blocking(move || {
                let local = match name {
                    Some(name) => parent.open_dir(&name)?,
                    None => parent,
                };
                let stat = local.own_stat()?;
                Ok::<_, Error>((local, stat))
            })
            .await??;
            // A directory that its owner cannot write is made writable while it is filled.
            let mode = stat.st_mode & 0o777;
            let made_with = Some(mode | 0o700);
            let at = &target[..];
            let make = |lane: Arc<Lane>| async move { lane.sftp.ensure_dir(at, made_with).await };
            let is_new = self.context.on_lane(&source, &Reached::default(), make).await?;
            if is_new {
                self.context.named(at).await;
            }

            let preserve = self.context.options.preserve;
            let mode = if preserve { mode } else { mode & !umask() };
            let times = Times {
                accessed: clamp_seconds(stat.st_atime),
                modified: clamp_seconds(stat.st_mtime),
            };
            let times = preserve.then_some(times);
            let attrs = Attrs { permissions: Some(mode), times, ..Attrs::default() };
            let nanos = |nanos| u32::try_from(nanos).unwrap_or(0);
            let attrs = match preserve {
                true => attrs.with_nanos(nanos(stat.st_atime_nsec), nanos(stat.st_mtime_nsec)),
                false => attrs,
            };
            let late = match preserve || mode & 0o700 != 0o700 {
                true => Late::There(target.clone(), attrs),
                false => Late::Nothing,
            };
            let branch = Branch::new(above, &source, late);
            let made = Made { local, source, target, is_new, depth, branch };
            let result = self.entries(&made).await;
            made.branch.leave(&self.context).await;
            result
        })
    }

    async fn entries(&self, dir: &Made) -> Result<(), Error> {
        let local = dir.local.clone();
        let mut listing = blocking(move || local.listing()).await??;
        loop {
            let (rest, batch) = blocking(move || {
                let batch = listing.next_batch();
                (listing, batch)
            })
            .await?;
            listing = rest;
            let batch = batch?;
            if batch.is_empty() {
                return Ok(());
            }
            for entry in batch {
                if self.context.is_stopped() {
                    return Err(Error::Cancelled);
                }
                let source = joined(&dir.source, &entry.name);
                if let Err(error) = self.start_entry(dir, entry, &source).await {
                    self.context.failed(&source, error);
                }
            }
        }
    }

    async fn start_entry(&self, dir: &Made, entry: LocalEntry, source: &[u8]) -> Result<(), Error> {
        if is_companion(&entry.name) {
            self.context.skipped(source, UNFINISHED);
            return Ok(());
        }
        let links = self.context.options.links;
        let target = joined(&dir.target, &entry.name);
        let is_link = entry.kind == FileType::Symlink;
        let mut kind = entry.kind;
        if is_link && links == Links::Follow {
            let path = dir.local.path_of(&entry.name);
            let metadata = blocking({
                let path = path.clone();
                move || std::fs::metadata(path)
            });
            let metadata = metadata.await?.map_err(|error| Error::local("follow", path, error))?;
            kind = match metadata.is_dir() {
                true => FileType::Directory,
                false => FileType::RegularFile,
            };
        }
        let local = dir.local.clone();
        match kind {
            FileType::RegularFile => {
                let (name, source) = (entry.name, source.to_vec());
                let mut file = Upload::new(local, name, source, is_link, target);
                file.replaces_nothing = dir.is_new;
                self.file(file, Some(dir.branch.clone())).await;
            }
            FileType::Directory if dir.depth + 1 >= TREE_DEPTH_MAX => return Err(too_deep(source)),
            FileType::Directory => {
                let (parent, name) = if is_link {
                    let path = local.path_of(&entry.name);
                    (blocking(move || LocalDir::open(&path)).await??, None)
                } else {
                    (local, Some(entry.name))
                };
                let below = SourceDir {
                    parent,
                    name,
                    source: source.to_vec(),
                    target,
                    depth: dir.depth + 1,
                    above: Some(dir.branch.clone()),
                };
                match self.flock.try_dir() {
                    Some(permit) => {
                        let (this, source) = (self.clone(), source.to_vec());
                        self.flock.start(async move {
                            if let Err(error) = this.clone().walk(below).await {
                                this.context.failed(&source, error);
                            }
                            drop(permit);
                        });
                    }
                    None => self.clone().walk(below).await?,
                }
            }
            FileType::Symlink if links == Links::Keep => {
                self.link(source.to_vec(), local, entry.name, target, dir.branch.clone()).await;
            }
            FileType::Symlink => self.context.skipped(source, "a symbolic link"),
            _ => return Err(not_regular("put", source)),
        }
        Ok(())
    }

    /// Starts making a link again when there is a place for it.
    async fn link(
        &self,
        source: Vec<u8>,
        local: Arc<LocalDir>,
        name: Vec<u8>,
        target: Vec<u8>,
        branch: Arc<Branch>,
    ) {
        let place = self.flock.place().await;
        let context = self.context.clone();
        self.flock.start(async move {
            let made = match blocking(move || local.read_link(&name)).await {
                Ok(Ok(says)) => {
                    let (says, target) = (&says[..], &target[..]);
                    let put = |lane: Arc<Lane>| put_link(lane, says, target);
                    let put = context.on_lane(&source, &Reached::default(), put).await;
                    if put.is_ok() {
                        context.named(target).await;
                    }
                    put
                }
                Ok(Err(error)) | Err(error) => Err(error),
            };
            if let Err(error) = made {
                context.failed(&source, error);
            }
            drop(place);
            branch.leave(&context).await;
        });
    }
}

/// Makes a link again at the server. One that says the same already is fine; one that says something
/// else is replaced.
async fn put_link(lane: Arc<Lane>, says: &[u8], target: &[u8]) -> Result<(), Error> {
    let sftp = &lane.sftp;
    let error = match sftp.symlink(says, target).await {
        Ok(()) => return Ok(()),
        Err(error) if error.ends_channel() => return Err(error),
        Err(error) => error,
    };
    match sftp.read_link(target).await {
        Ok(there) if there == says => Ok(()),
        Ok(_) => {
            sftp.remove(target).await?;
            sftp.symlink(says, target).await
        }
        Err(lost) if lost.ends_channel() => Err(lost),
        Err(_) => Err(error),
    }
}
