//! A tree from the server: directories as they are listed, files as they are seen.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use sterna_ssh_crypto::{DigestAlgorithm, Digester};

use super::super::branch::{Branch, Late};
use super::super::download::Download;
use super::super::flock::Flock;
use super::super::lanes::Reached;
use super::super::local::LocalDir;
use super::super::{Context, Lane, Links, blocking, is_companion};
use super::names::Names;
use super::{UNFINISHED, not_regular, too_deep};
use crate::Error;
use crate::limits::TREE_DEPTH_MAX;
use crate::sftp::{Attrs, Entry, FileKind, joined};

/// What downloads files and trees. Clones share everything.
#[derive(Clone)]
pub(super) struct Down {
    pub(super) context: Arc<Context>,
    pub(super) flock: Arc<Flock>,
}

/// A directory of the server that is still to be read: where it is and where it goes.
pub(super) struct RemoteDir {
    pub(super) path: Vec<u8>,
    pub(super) attrs: Attrs,
    pub(super) parent: Arc<LocalDir>,
    /// `None`: its content goes into `parent` itself.
    pub(super) name: Option<Vec<u8>>,
    pub(super) depth: usize,
    pub(super) above: Option<Arc<Branch>>,
}

/// A directory whose entries are being looked at.
struct Listed {
    path: Vec<u8>,
    local: Arc<LocalDir>,
    depth: usize,
    branch: Arc<Branch>,
    /// What was begun already, if the listing breaks off and is read again: 16 bytes a name.
    begun: Mutex<HashSet<u128>>,
    reached: Reached,
}

impl Down {
    /// Starts one file when there is a place for it.
    pub(super) async fn file(&self, file: Download, branch: Option<Arc<Branch>>) {
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

    /// Reads a directory to its end and starts what is in it. Boxed, because directories are in
    /// directories.
    pub(super) fn walk(
        self,
        dir: RemoteDir,
    ) -> Pin<Box<dyn Future<Output = Result<(), Error>> + Send>> {
        Box::pin(async move {
            let RemoteDir { path, attrs, parent, name, depth, above } = dir;
            let local = match name {
                Some(name) => blocking(move || parent.make_dir(&name)).await??,
                None => parent,
            };
            let late = match self.context.options.preserve {
                true => Late::Here(local.clone(), attrs),
                false => Late::Nothing,
            };
            let branch = Branch::new(above, &path, late);
            let begun = Mutex::default();
            let listed = Listed { path, local, depth, branch, begun, reached: Reached::default() };
            let list = |lane| self.list(lane, &listed);
            let result = self.context.on_lane(&listed.path, &listed.reached, list).await;
            listed.branch.leave(&self.context).await;
            result
        })
    }

    async fn list(&self, lane: Arc<Lane>, dir: &Listed) -> Result<(), Error> {
        let mut names = Names::open(&self.context, &lane, &dir.path).await?;
        while let Some(entry) = names.next().await? {
            if self.context.is_stopped() {
                return Err(Error::Cancelled);
            }
            let name = short_name(&entry.name);
            if dir.has_begun(name) {
                continue;
            }
            let read = names.read_on_during(self.entry(dir, entry)).await;
            if self.context.lanes.can_be_replaced() {
                dir.note(name);
            }
            read?;
        }
        Ok(())
    }

    async fn entry(&self, dir: &Listed, entry: Entry) {
        let source = joined(&dir.path, &entry.name);
        if let Err(error) = self.start_entry(dir, entry, &source).await {
            self.context.failed(&source, error);
        }
    }

    async fn start_entry(&self, dir: &Listed, entry: Entry, source: &[u8]) -> Result<(), Error> {
        if is_companion(&entry.name) {
            self.context.skipped(source, UNFINISHED);
            return Ok(());
        }
        let links = self.context.options.links;
        let (mut kind, mut attrs) = (entry.kind(), entry.attrs);
        let follows = kind == FileKind::Symlink && links == Links::Follow;
        if kind == FileKind::Unknown || follows {
            let stat = |lane: Arc<Lane>| async move {
                match follows {
                    true => lane.sftp.stat(source).await,
                    false => lane.sftp.lstat(source).await,
                }
            };
            attrs = self.context.on_lane(source, &Reached::default(), stat).await?;
            kind = FileKind::of(&attrs);
        }
        match kind {
            FileKind::File | FileKind::Unknown => {
                let (source, dir_here) = (source.to_vec(), dir.local.clone());
                let file = Download::new(source, attrs, dir_here, entry.name);
                self.file(file, Some(dir.branch.clone())).await;
            }
            FileKind::Dir if dir.depth + 1 >= TREE_DEPTH_MAX => return Err(too_deep(source)),
            FileKind::Dir => {
                let below = RemoteDir {
                    path: source.to_vec(),
                    attrs,
                    parent: dir.local.clone(),
                    name: Some(entry.name),
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
            FileKind::Symlink if links == Links::Keep => {
                let (local, name) = (dir.local.clone(), entry.name);
                self.link(source.to_vec(), local, name, dir.branch.clone()).await;
            }
            FileKind::Symlink => self.context.skipped(source, "a symbolic link"),
            FileKind::Other => return Err(not_regular("get", source)),
        }
        Ok(())
    }

    /// Starts making a link again when there is a place for it.
    async fn link(
        &self,
        source: Vec<u8>,
        local: Arc<LocalDir>,
        name: Vec<u8>,
        branch: Arc<Branch>,
    ) {
        let place = self.flock.place().await;
        let context = self.context.clone();
        self.flock.start(async move {
            let source = &source[..];
            let read = |lane: Arc<Lane>| async move { lane.sftp.read_link(source).await };
            let made = match context.on_lane(source, &Reached::default(), read).await {
                Ok(target) => blocking(move || local.symlink(&target, &name)).await,
                Err(error) => Err(error),
            };
            if let Err(error) = made.and_then(|made| made) {
                context.failed(source, error);
            }
            drop(place);
            branch.leave(&context).await;
        });
    }
}

impl Listed {
    fn has_begun(&self, name: u128) -> bool {
        self.begun.lock().unwrap_or_else(PoisonError::into_inner).contains(&name)
    }

    fn note(&self, name: u128) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        begun.insert(name);
        self.reached.note(begun.len() as u64);
    }
}

/// Stands for a name. Nobody can make two names that stand for the same.
fn short_name(name: &[u8]) -> u128 {
    let mut digester = Digester::new(DigestAlgorithm::Blake3);
    digester.update(name);
    let digest = digester.finish();
    let half = digest.first_chunk().copied().unwrap_or_default();
    u128::from_le_bytes(half)
}
