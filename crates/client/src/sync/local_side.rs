//! A local tree as one end of a sync.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Timespec};

use super::entry::{Entry, Kind, Moment};
use super::plan::sorted;
use super::side::{Dir, Listing, Wanted};
use super::xattrs::At;
use crate::Error;
use crate::transfer::local::{Change, LocalDir};
use crate::transfer::{Links, blocking, companion_name, path_bytes};

/// See the module.
pub(crate) struct LocalSide {
    root: PathBuf,
}

/// A directory of this side.
fn local(dir: &Dir) -> Arc<LocalDir> {
    match dir {
        Dir::Local(dir) => dir.clone(),
        Dir::Remote(_) => unreachable!("directories of one side never reach the other"),
    }
}

impl LocalSide {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    pub(crate) fn root(&self) -> &[u8] {
        path_bytes(&self.root)
    }

    pub(crate) async fn open_root(&self) -> Result<Option<(Dir, Entry)>, Error> {
        let root = self.root.clone();
        blocking(move || match std::fs::symlink_metadata(&root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            _ => {
                let dir = LocalDir::open(&root)?;
                let entry = Entry::local(b".", &dir.own_stat()?, false);
                Ok(Some((Dir::Local(dir), entry)))
            }
        })
        .await?
    }

    pub(crate) async fn make_root(&self) -> Result<Dir, Error> {
        let root = self.root.clone();
        blocking(move || {
            std::fs::create_dir_all(&root).map_err(|e| Error::local("make directory", &root, e))?;
            LocalDir::open(&root).map(Dir::Local)
        })
        .await?
    }

    pub(crate) async fn open(&self, rel: &[u8], links: Links) -> Result<Dir, Error> {
        let (root, rel) = (self.root.clone(), rel.to_vec());
        blocking(move || {
            let dir = match links {
                // Links of the user's own tree, which the user wants followed.
                Links::Follow => LocalDir::open(&root.join(OsStr::from_bytes(&rel))),
                Links::Keep | Links::Skip => beneath(&root, &rel),
            };
            dir.map(Dir::Local)
        })
        .await?
    }

    pub(crate) async fn make_dir(&self, rel: &[u8]) -> Result<Dir, Error> {
        let (root, rel) = (self.root.clone(), rel.to_vec());
        blocking(move || {
            let (above, name) = split(&rel);
            beneath(&root, above)?.make_dir(name).map(Dir::Local)
        })
        .await?
    }

    pub(crate) async fn list(&self, dir: &Dir, links: Links) -> Result<Listing, Error> {
        let dir = local(dir);
        blocking(move || {
            let mut listing = Listing::default();
            let mut reading = dir.listing()?;
            let mut names = reading.next_batch()?;
            while !names.is_empty() {
                for found in names.drain(..) {
                    let followed = found.kind == FileType::Symlink && links == Links::Follow;
                    let stat = match followed {
                        true => dir.stat_through(&found.name).map(Some),
                        false => dir.stat(&found.name),
                    };
                    match stat {
                        Ok(Some(stat)) => {
                            listing.entries.push(Entry::local(&found.name, &stat, followed));
                        }
                        // It went away meanwhile.
                        Ok(None) => {}
                        Err(error) => listing.failed.push((found.name.into(), error)),
                    }
                }
                names = reading.next_batch()?;
            }
            listing.entries = sorted(listing.entries);
            Ok(listing)
        })
        .await?
    }

    pub(crate) async fn look(&self, dir: &Dir, name: &[u8]) -> Result<Option<Entry>, Error> {
        let (dir, name) = (local(dir), name.to_vec());
        blocking(move || Ok(dir.stat(&name)?.map(|stat| Entry::local(&name, &stat, false)))).await?
    }

    pub(crate) async fn look_through(&self, dir: &Dir, name: &[u8]) -> Result<Entry, Error> {
        let (dir, name) = (local(dir), name.to_vec());
        blocking(move || Ok(Entry::local(&name, &dir.stat_through(&name)?, true))).await?
    }

    pub(crate) async fn read_link(&self, dir: &Dir, name: &[u8]) -> Result<Vec<u8>, Error> {
        let (dir, name) = (local(dir), name.to_vec());
        blocking(move || dir.read_link(&name)).await?
    }

    pub(crate) async fn make_link(
        &self,
        dir: &Dir,
        name: &[u8],
        text: &[u8],
        replaces: bool,
    ) -> Result<(), Error> {
        let (dir, name, text) = (local(dir), name.to_vec(), text.to_vec());
        blocking(move || {
            if !replaces {
                return dir.symlink(&text, &name);
            }
            let aside = companion_name(&name, ".sterna-part");
            dir.remove(&aside)?;
            dir.symlink(&text, &aside)?;
            dir.rename(&aside, &name)
        })
        .await?
    }

    pub(crate) async fn hard_link(
        &self,
        (from_dir, from): (&Dir, &[u8]),
        dir: &Dir,
        name: &[u8],
    ) -> Result<(), Error> {
        let (from_dir, from) = (local(from_dir), from.to_vec());
        let (dir, name) = (local(dir), name.to_vec());
        blocking(move || {
            let aside = companion_name(&name, ".sterna-part");
            dir.hard_link(&from_dir, &from, &name, &aside)
        })
        .await?
    }

    pub(crate) async fn remove(&self, dir: &Dir, name: &[u8], kind: Kind) -> Result<(), Error> {
        let (dir, name) = (local(dir), name.to_vec());
        blocking(move || match kind {
            Kind::Dir => dir.remove_dir(&name),
            _ => dir.remove(&name),
        })
        .await?
    }

    pub(crate) async fn set_attrs(
        &self,
        dir: &Dir,
        name: Option<&[u8]>,
        wanted: &Wanted,
    ) -> Result<(), Error> {
        let (dir, name) = (local(dir), name.map(<[u8]>::to_vec));
        let at = |moment: Moment| Timespec {
            tv_sec: moment.seconds,
            tv_nsec: moment.nanos.unwrap_or(0).into(),
        };
        let change = Change {
            mode: wanted.mode,
            times: wanted.times.map(|(accessed, modified)| (at(accessed), at(modified))),
            uid: wanted.owner.map(|owner| owner.0),
            gid: wanted.owner.map(|owner| owner.1),
        };
        blocking(move || match name {
            Some(name) => dir.change(&name, &change),
            None => dir.change_own(&change),
        })
        .await?
    }
}

/// Extended attributes.
impl LocalSide {
    pub(super) async fn xattrs(&self, at: At<'_>) -> Result<Vec<Vec<u8>>, Error> {
        let (dir, name) = held(at);
        let follow = at.follow;
        blocking(move || dir.xattrs(&name, follow)).await?
    }

    pub(super) async fn xattr(&self, at: At<'_>, attribute: &[u8]) -> Result<Vec<u8>, Error> {
        let (dir, name) = held(at);
        let (follow, attribute) = (at.follow, attribute.to_vec());
        blocking(move || dir.xattr(&name, follow, &attribute)).await?
    }

    pub(super) async fn set_xattr(
        &self,
        at: At<'_>,
        attribute: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        let (dir, name) = held(at);
        let (attribute, value) = (attribute.to_vec(), value.to_vec());
        blocking(move || dir.set_xattr(&name, &attribute, &value)).await?
    }

    pub(super) async fn remove_xattr(&self, at: At<'_>, attribute: &[u8]) -> Result<(), Error> {
        let (dir, name) = held(at);
        let attribute = attribute.to_vec();
        blocking(move || dir.remove_xattr(&name, &attribute)).await?
    }
}

/// A directory and a name in it, `.` for itself.
fn held(at: At<'_>) -> (Arc<LocalDir>, Vec<u8>) {
    (local(at.dir), at.name.unwrap_or(b".").to_vec())
}

/// The directory at `rel` below `root`, reached name by name without following links.
fn beneath(root: &Path, rel: &[u8]) -> Result<Arc<LocalDir>, Error> {
    let mut dir = LocalDir::open(root)?;
    for name in rel.split(|b| *b == b'/').filter(|name| !name.is_empty()) {
        dir = dir.open_dir(name)?;
    }
    Ok(dir)
}

/// What is above the last name of a relative path, and that name.
fn split(rel: &[u8]) -> (&[u8], &[u8]) {
    match rel.iter().rposition(|b| *b == b'/') {
        Some(slash) => (&rel[..slash], &rel[slash + 1..]),
        None => (b"", rel),
    }
}
