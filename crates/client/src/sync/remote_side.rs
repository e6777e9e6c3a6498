//! A server's tree as one end of a sync.

use std::sync::Arc;

use sterna_sftp_proto::attrs::Owner;

use super::entry::{Entry, Kind, with_times};
use super::plan::sorted;
use super::side::{Dir, Listing, Wanted};
use super::xattrs::At;
use crate::limits::LIST_ENTRIES_MAX;
use crate::sftp::{Attrs, FileKind, RenameOutcome, Sftp, joined};
use crate::transfer::{Links, Mover, beside};
use crate::{Error, Refusal};

/// See the module.
pub(crate) struct RemoteSide {
    pub(crate) mover: Mover,
    root: Vec<u8>,
}

/// The path of a directory of this side.
pub(crate) fn remote(dir: &Dir) -> &[u8] {
    match dir {
        Dir::Remote(path) => path,
        Dir::Local(_) => unreachable!("directories of one side never reach the other"),
    }
}

impl RemoteSide {
    pub(crate) fn new(mover: Mover, root: &[u8]) -> Self {
        Self { mover, root: root.to_vec() }
    }

    /// Asks for something that may be asked for again when the connection is lost.
    pub(super) async fn ask<T, F>(
        &self,
        path: &[u8],
        work: impl FnMut(Sftp) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.mover.ask(path, work).await
    }

    pub(crate) fn root(&self) -> &[u8] {
        &self.root
    }

    pub(crate) fn open(&self, rel: &[u8]) -> Dir {
        Dir::Remote(self.path(rel).into())
    }

    /// The path of what is at `rel` below the root.
    fn path(&self, rel: &[u8]) -> Vec<u8> {
        if rel.is_empty() { self.root.clone() } else { joined(&self.root, rel) }
    }

    pub(crate) async fn open_root(&self) -> Result<Option<(Dir, Entry)>, Error> {
        let root = &self.root[..];
        let attrs = match self.ask(root, |sftp| async move { sftp.stat(root).await }).await {
            Ok(attrs) => attrs,
            Err(error) if error.is_not_found() => return Ok(None),
            Err(error) => return Err(error),
        };
        let entry = Entry::remote(b".", FileKind::of(&attrs), &attrs, false);
        if entry.kind != Kind::Dir {
            return Err(Error::unsuitable("sync", &self.root, "is not a directory"));
        }
        Ok(Some((Dir::Remote(self.root.clone().into()), entry)))
    }

    pub(crate) async fn make_root(&self) -> Result<Dir, Error> {
        let root = &self.root[..];
        self.ask(root, |sftp| async move { sftp.mkdir_all(root).await }).await?;
        self.mover.named(root).await;
        Ok(Dir::Remote(self.root.clone().into()))
    }

    pub(crate) async fn make_dir(&self, rel: &[u8], mode: u32) -> Result<Dir, Error> {
        let path = self.path(rel);
        let made = &path[..];
        let make = |sftp: Sftp| async move { sftp.ensure_dir(made, Some(mode)).await };
        if self.ask(made, make).await? {
            self.mover.named(made).await;
        }
        Ok(Dir::Remote(path.into()))
    }

    pub(crate) async fn list(&self, dir: &Dir, links: Links) -> Result<Listing, Error> {
        let path = remote(dir);
        self.ask(path, |sftp| async move { list(&sftp, path, links).await }).await
    }

    pub(crate) async fn look(&self, dir: &Dir, name: &[u8]) -> Result<Option<Entry>, Error> {
        let path = &joined(remote(dir), name)[..];
        match self.ask(path, |sftp| async move { sftp.lstat(path).await }).await {
            Ok(attrs) => Ok(Some(Entry::remote(name, FileKind::of(&attrs), &attrs, false))),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(crate) async fn look_through(&self, dir: &Dir, name: &[u8]) -> Result<Entry, Error> {
        let path = &joined(remote(dir), name)[..];
        let attrs = self.ask(path, |sftp| async move { sftp.stat(path).await }).await?;
        Ok(Entry::remote(name, FileKind::of(&attrs), &attrs, true))
    }

    pub(crate) async fn read_link(&self, dir: &Dir, name: &[u8]) -> Result<Vec<u8>, Error> {
        let path = &joined(remote(dir), name)[..];
        self.ask(path, |sftp| async move { sftp.read_link(path).await }).await
    }

    pub(crate) async fn make_link(
        &self,
        dir: &Dir,
        name: &[u8],
        text: &[u8],
        replaces: bool,
    ) -> Result<(), Error> {
        let path = &joined(remote(dir), name)[..];
        let mut replaces = replaces;
        self.ask(path, |sftp| {
            // Asked again, it may be there already.
            let replace = std::mem::replace(&mut replaces, true);
            async move {
                if !replace {
                    return sftp.symlink(text, path).await;
                }
                let aside = beside(path);
                remove_if_there(&sftp, &aside).await?;
                sftp.symlink(text, &aside).await?;
                give_name(&sftp, &aside, path).await
            }
        })
        .await
    }

    pub(crate) async fn hard_link(
        &self,
        (from_dir, from): (&Dir, &[u8]),
        dir: &Dir,
        name: &[u8],
        replaces: bool,
    ) -> Result<(), Error> {
        let (from, path) = (&joined(remote(from_dir), from)[..], &joined(remote(dir), name)[..]);
        let mut replaces = replaces;
        self.ask(path, |sftp| {
            // Asked again, it may be there already.
            let replace = std::mem::replace(&mut replaces, true);
            async move {
                if !replace {
                    return sftp.hardlink(from, path).await;
                }
                let aside = beside(path);
                remove_if_there(&sftp, &aside).await?;
                sftp.hardlink(from, &aside).await?;
                give_name(&sftp, &aside, path).await?;
                // Two names of one file are left as they are by a rename.
                remove_if_there(&sftp, &aside).await
            }
        })
        .await
    }

    pub(crate) async fn remove(&self, dir: &Dir, name: &[u8], kind: Kind) -> Result<(), Error> {
        let path = &joined(remote(dir), name)[..];
        self.ask(path, |sftp| async move {
            match kind {
                Kind::Dir => match sftp.rmdir(path).await {
                    Err(error) if error.is_not_found() => Ok(()),
                    result => result,
                },
                _ => remove_if_there(&sftp, path).await,
            }
        })
        .await
    }

    pub(crate) async fn set_attrs(
        &self,
        dir: &Dir,
        name: Option<&[u8]>,
        wanted: &Wanted,
    ) -> Result<(), Error> {
        let path: Arc<[u8]> = match name {
            Some(name) => joined(remote(dir), name).into(),
            None => remote(dir).into(),
        };
        let attrs = Attrs {
            permissions: wanted.mode,
            owner: wanted.owner.map(|(uid, gid)| Owner { uid, gid }),
            ..Attrs::default()
        };
        let attrs = match wanted.times {
            Some((accessed, modified)) => with_times(attrs, accessed, modified),
            None => attrs,
        };
        let (path, attrs) = (&path[..], &attrs);
        self.ask(path, |sftp| async move { sftp.set_attrs(path, attrs).await }).await
    }
}

/// Extended attributes: those of the user.
impl RemoteSide {
    pub(super) async fn xattrs(&self, at: At<'_>) -> Result<Vec<Vec<u8>>, Error> {
        let path = &path_of(at)[..];
        let mut names = self.ask(path, |sftp| async move { sftp.xattrs(path).await }).await?;
        names.retain(|name| name.starts_with(b"user."));
        names.sort();
        names.dedup();
        Ok(names)
    }

    pub(super) async fn xattr(&self, at: At<'_>, attribute: &[u8]) -> Result<Vec<u8>, Error> {
        let path = &path_of(at)[..];
        self.ask(path, |sftp| async move { sftp.xattr(path, attribute).await }).await
    }

    pub(super) async fn set_xattr(
        &self,
        at: At<'_>,
        attribute: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        let path = &path_of(at)[..];
        self.ask(path, |sftp| async move { sftp.set_xattr(path, attribute, value).await }).await
    }

    pub(super) async fn remove_xattr(&self, at: At<'_>, attribute: &[u8]) -> Result<(), Error> {
        let path = &path_of(at)[..];
        let remove = |sftp: Sftp| async move { sftp.remove_xattr(path, attribute).await };
        match self.ask(path, remove).await {
            // Asked again after a lost connection, it may be gone already.
            Err(error) if error.is_not_found() => Ok(()),
            result => result,
        }
    }
}

fn path_of(at: At<'_>) -> Vec<u8> {
    match at.name {
        Some(name) => joined(remote(at.dir), name),
        None => remote(at.dir).to_vec(),
    }
}

async fn list(sftp: &Sftp, path: &[u8], links: Links) -> Result<Listing, Error> {
    let mut listing = Listing::default();
    let mut open = sftp.open_dir(path).await?;
    while let Some(batch) = open.next_batch().await? {
        if listing.entries.len() + batch.len() > LIST_ENTRIES_MAX {
            return Err(Error::peer("a directory without end"));
        }
        for entry in batch {
            let (kind, attrs) = (entry.kind(), entry.attrs);
            let followed = kind == FileKind::Symlink && links == Links::Follow;
            if kind != FileKind::Unknown && !followed {
                listing.entries.push(Entry::remote(&entry.name, kind, &attrs, false));
                continue;
            }
            let path = joined(path, &entry.name);
            let looked = match followed {
                true => sftp.stat(&path).await,
                false => sftp.lstat(&path).await,
            };
            match looked {
                Ok(attrs) => {
                    let kind = FileKind::of(&attrs);
                    listing.entries.push(Entry::remote(&entry.name, kind, &attrs, followed));
                }
                Err(error) if error.ends_channel() => return Err(error),
                Err(error) => listing.failed.push((entry.name.into(), error)),
            }
        }
    }
    listing.entries = sorted(listing.entries);
    Ok(listing)
}

/// Gives `aside` the name `path`; where the server cannot replace, the old one is removed first: these are
/// links, which are quickly made again.
async fn give_name(sftp: &Sftp, aside: &[u8], path: &[u8]) -> Result<(), Error> {
    match sftp.rename(aside, path).await {
        Ok(RenameOutcome::Atomic | RenameOutcome::Plain) => Ok(()),
        Err(error) if error.ends_channel() => Err(error),
        Err(_) => {
            remove_if_there(sftp, path).await?;
            sftp.rename_plain(aside, path).await
        }
    }
}

async fn remove_if_there(sftp: &Sftp, path: &[u8]) -> Result<(), Error> {
    match sftp.remove(path).await {
        Err(error) if error.is_not_found() => Ok(()),
        result => result,
    }
}

/// Whether a server said that it lacks the operation.
pub(crate) fn is_unsupported(error: &Error) -> bool {
    matches!(error, Error::Unsupported { .. })
        || error.refusal_code() == Some(Refusal::OP_UNSUPPORTED)
}
