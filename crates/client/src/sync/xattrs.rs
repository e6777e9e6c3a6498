//! Extended attributes (`user.*`) of files and directories: the target gets those of the source and no others.
//!
//! One attribute of a file is in memory at a time, from each side.

use super::shared::Shared;
use super::side::{Dir, Side, Wanted};
use crate::Error;
use crate::limits::XATTRS_MAX;

/// In the report: of how many files and directories the target did not get all.
const NOT_KEPT: &str = "extended attributes";

/// A file in a directory of a side, or the directory itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct At<'a> {
    pub(crate) dir: &'a Dir,
    pub(crate) name: Option<&'a [u8]>,
    /// The name may be a link of the user's own.
    pub(crate) follow: bool,
}

/// What is being compared.
struct Pair<'a> {
    shared: &'a Shared,
    source: At<'a>,
    target: At<'a>,
    /// Mode of the target, if it keeps its owner from changing attributes.
    locked: Option<u32>,
    /// It was made writable.
    is_open: bool,
    changed: bool,
    lacks: bool,
}

/// Makes the extended attributes of `target` those of `source`; `mode` is the one that the target has. Returns
/// whether anything was changed, or would be in a dry run. What cannot be kept is counted in the report.
///
/// # Errors
/// Only if a server's channel ends.
pub(crate) async fn bring(
    shared: &Shared,
    source: At<'_>,
    target: At<'_>,
    mode: Option<u32>,
) -> Result<bool, Error> {
    let locked = mode.map(|mode| mode & 0o777).filter(|mode| mode & 0o200 == 0);
    let mut pair =
        Pair { shared, source, target, locked, is_open: false, changed: false, lacks: false };
    pair.run().await?;
    if pair.lacks {
        shared.not_kept(NOT_KEPT);
    }
    Ok(pair.changed)
}

impl Pair<'_> {
    async fn run(&mut self) -> Result<(), Error> {
        let (of, to) = (&self.shared.source, &self.shared.target);
        let (ours, theirs) = tokio::join!(of.xattrs(self.source), to.xattrs(self.target));
        let Some(mut ours) = self.got(ours)? else { return Ok(()) };
        let theirs = match theirs {
            Err(error) if error.ends_channel() => return Err(error),
            // Nothing is to be kept where nothing is.
            Err(_) if ours.is_empty() => return Ok(()),
            theirs => match self.got(theirs)? {
                Some(theirs) => theirs,
                None => return Ok(()),
            },
        };
        let (source, target, dry_run) = (self.source, self.target, self.shared.options.dry_run);
        for name in theirs.iter().filter(|name| !ours.contains(name)) {
            self.open_up().await?;
            let removed = if dry_run { Ok(()) } else { to.remove_xattr(target, name).await };
            self.changed |= self.got(removed)?.is_some();
        }
        self.lacks |= ours.len() > XATTRS_MAX;
        ours.truncate(XATTRS_MAX);
        for name in &ours {
            let there = theirs.contains(name);
            let (value, old) = tokio::join!(of.xattr(source, name), async {
                match there {
                    true => to.xattr(target, name).await.map(Some),
                    false => Ok(None),
                }
            });
            let (value, old) = (self.got(value)?, self.got(old)?);
            let (Some(value), Some(old)) = (value, old) else { continue };
            if old.as_ref() != Some(&value) {
                self.open_up().await?;
                let set = if dry_run { Ok(()) } else { to.set_xattr(target, name, &value).await };
                self.changed |= self.got(set)?.is_some();
            }
        }
        match self.locked.filter(|_| self.is_open) {
            Some(mode) => self.set_mode(mode).await,
            None => Ok(()),
        }
    }

    /// What was asked for; `None` if it cannot be had, which is noted.
    fn got<T>(&mut self, asked: Result<T, Error>) -> Result<Option<T>, Error> {
        match asked {
            Ok(got) => Ok(Some(got)),
            Err(error) if error.ends_channel() => Err(error),
            Err(_) => {
                self.lacks = true;
                Ok(None)
            }
        }
    }

    /// A file that its owner cannot write is made writable before its first change.
    async fn open_up(&mut self) -> Result<(), Error> {
        let Some(mode) = self.locked.filter(|_| !self.is_open) else { return Ok(()) };
        if self.shared.options.dry_run {
            return Ok(());
        }
        self.is_open = true;
        self.set_mode(mode | 0o200).await
    }

    async fn set_mode(&self, mode: u32) -> Result<(), Error> {
        let wanted = Wanted { mode: Some(mode), ..Wanted::default() };
        let At { dir, name, .. } = self.target;
        match self.shared.target.set_attrs(dir, name, &wanted).await {
            Err(error) if error.ends_channel() => Err(error),
            // Whether it was needed shows at the change.
            _ => Ok(()),
        }
    }
}

impl Side {
    /// Names of the extended attributes of a file or directory.
    async fn xattrs(&self, at: At<'_>) -> Result<Vec<Vec<u8>>, Error> {
        match self {
            Self::Local(side) => side.xattrs(at).await,
            Self::Remote(side) => side.xattrs(at).await,
        }
    }

    /// The value of one.
    async fn xattr(&self, at: At<'_>, attribute: &[u8]) -> Result<Vec<u8>, Error> {
        match self {
            Self::Local(side) => side.xattr(at, attribute).await,
            Self::Remote(side) => side.xattr(at, attribute).await,
        }
    }

    async fn set_xattr(&self, at: At<'_>, attribute: &[u8], value: &[u8]) -> Result<(), Error> {
        match self {
            Self::Local(side) => side.set_xattr(at, attribute, value).await,
            Self::Remote(side) => side.set_xattr(at, attribute, value).await,
        }
    }

    async fn remove_xattr(&self, at: At<'_>, attribute: &[u8]) -> Result<(), Error> {
        match self {
            Self::Local(side) => side.remove_xattr(at, attribute).await,
            Self::Remote(side) => side.remove_xattr(at, attribute).await,
        }
    }
}
