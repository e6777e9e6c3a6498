//! One end of a sync: a local tree or a server's, behind one small interface.
//!
//! A [`Dir`] stands for a directory of a side. A local one is held open and never left by a link
//! (`transfer/local.rs`); a remote one is a path. All operations take one component in a directory.

use std::sync::Arc;

use super::entry::{Entry, Kind};
use super::local_side::LocalSide;
use super::remote_side::RemoteSide;
use crate::Error;
use crate::transfer::Links;
use crate::transfer::local::LocalDir;

/// One end of a sync.
pub(crate) enum Side {
    Local(LocalSide),
    Remote(RemoteSide),
}

/// A directory of one side.
#[derive(Clone, Debug)]
pub(crate) enum Dir {
    Local(Arc<LocalDir>),
    Remote(Arc<[u8]>),
}

/// What a directory holds.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    /// In the order of the bytes of their names, each name once.
    pub(crate) entries: Vec<Entry>,
    /// Names that could not be looked at: what they are is not known.
    pub(crate) failed: Vec<(Box<[u8]>, Error)>,
}

/// Attributes that the target should get; `None` leaves one as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) mode: Option<u32>,
    /// Access and modification.
    pub(crate) times: Option<(super::entry::Moment, super::entry::Moment)>,
    /// Version 3 sets both or none.
    pub(crate) owner: Option<(u32, u32)>,
}

impl Side {
    /// The root directory and its attributes; `None` if nothing has that name.
    ///
    /// # Errors
    /// Also if it is not a directory.
    pub(crate) async fn open_root(&self) -> Result<Option<(Dir, Entry)>, Error> {
        match self {
            Self::Local(side) => side.open_root().await,
            Self::Remote(side) => side.open_root().await,
        }
    }

    /// Makes the root directory and what is missing above it.
    pub(crate) async fn make_root(&self) -> Result<Dir, Error> {
        match self {
            Self::Local(side) => side.make_root().await,
            Self::Remote(side) => side.make_root().await,
        }
    }

    /// Opens the directory at `rel` below the root; links on the way lead on only if they are followed.
    pub(crate) async fn open(&self, rel: &[u8], links: Links) -> Result<Dir, Error> {
        match self {
            Self::Local(side) => side.open(rel, links).await,
            Self::Remote(side) => Ok(side.open(rel)),
        }
    }

    /// Makes the directory at `rel` unless it is there; the one above is. `mode` is subject to the umask.
    pub(crate) async fn make_dir(&self, rel: &[u8], mode: u32) -> Result<Dir, Error> {
        match self {
            Self::Local(side) => side.make_dir(rel).await,
            Self::Remote(side) => side.make_dir(rel, mode).await,
        }
    }

    /// Everything in a directory.
    pub(crate) async fn list(&self, dir: &Dir, links: Links) -> Result<Listing, Error> {
        match self {
            Self::Local(side) => side.list(dir, links).await,
            Self::Remote(side) => side.list(dir, links).await,
        }
    }

    /// What a symbolic link says.
    pub(crate) async fn read_link(&self, dir: &Dir, name: &[u8]) -> Result<Vec<u8>, Error> {
        match self {
            Self::Local(side) => side.read_link(dir, name).await,
            Self::Remote(side) => side.read_link(dir, name).await,
        }
    }

    /// Makes a symbolic link; a file or link that is there is replaced.
    pub(crate) async fn make_link(
        &self,
        dir: &Dir,
        name: &[u8],
        text: &[u8],
        replaces: bool,
    ) -> Result<(), Error> {
        match self {
            Self::Local(side) => side.make_link(dir, name, text, replaces).await,
            Self::Remote(side) => side.make_link(dir, name, text, replaces).await,
        }
    }

    /// Gives the file `from` a second name; a file or link that is there is replaced.
    pub(crate) async fn hard_link(
        &self,
        from: (&Dir, &[u8]),
        dir: &Dir,
        name: &[u8],
        replaces: bool,
    ) -> Result<(), Error> {
        match self {
            Self::Local(side) => side.hard_link(from, dir, name).await,
            Self::Remote(side) => side.hard_link(from, dir, name, replaces).await,
        }
    }

    /// Removes a file, a link or an empty directory; that it is not there is fine.
    pub(crate) async fn remove(&self, dir: &Dir, name: &[u8], kind: Kind) -> Result<(), Error> {
        match self {
            Self::Local(side) => side.remove(dir, name, kind).await,
            Self::Remote(side) => side.remove(dir, name, kind).await,
        }
    }

    /// Sets attributes of a file in `dir`, or of `dir` itself.
    pub(crate) async fn set_attrs(
        &self,
        dir: &Dir,
        name: Option<&[u8]>,
        wanted: &Wanted,
    ) -> Result<(), Error> {
        match self {
            Self::Local(side) => side.set_attrs(dir, name, wanted).await,
            Self::Remote(side) => side.set_attrs(dir, name, wanted).await,
        }
    }

    /// Attributes of one name, a link not followed; `None` if it is not there.
    pub(crate) async fn look(&self, dir: &Dir, name: &[u8]) -> Result<Option<Entry>, Error> {
        match self {
            Self::Local(side) => side.look(dir, name).await,
            Self::Remote(side) => side.look(dir, name).await,
        }
    }

    /// Attributes of what a name leads to.
    pub(crate) async fn look_through(&self, dir: &Dir, name: &[u8]) -> Result<Entry, Error> {
        match self {
            Self::Local(side) => side.look_through(dir, name).await,
            Self::Remote(side) => side.look_through(dir, name).await,
        }
    }

    /// The path of a name for messages, `rel` below the root.
    pub(crate) fn shown(&self, rel: &[u8]) -> Vec<u8> {
        let root = match self {
            Self::Local(side) => side.root(),
            Self::Remote(side) => side.root(),
        };
        if rel.is_empty() { root.to_vec() } else { crate::sftp::joined(root, rel) }
    }
}
