//! A layer under which an upload becomes visible when it is complete: at CLOSE, and not before.
//!
//! Opening a file for writing goes to a *staged part* in `.sterna-staging`, a directory of the folder
//! that nobody sees or names. Closing syncs the part, renames it to its name, and syncs the directory; only
//! then it says yes. Until then everybody sees the old file, or none. The one thing a reader must not
//! miss: a file that is *dropped* was not finished. Its part stays, and so does what was there before. A part that could
//! not be synced does not stay: nobody could tell what is in it.
//!
//! What a name means, for the user whose part it is and in this order:
//!
//! - `stat`, `set_attrs`: the upload that this session has open; the file of that name; the part that an
//!   earlier session left.
//! - opening to read: the file of that name; the part.
//! - opening to write with `truncate`, or where nothing is: a new part, over one that was left. As many
//!   as [`STAGED_SLOTS_MAX`] sessions may have one each; the last one that closes wins.
//! - opening to write without `truncate`: the upload that this session has open (then the *last* handle to
//!   close publishes); a copy of the file of that name, made at the first change and no sooner; the part
//!   that was left, which is taken from another session of the same user if that still holds it: its
//!   connection is most likely dead, and if not, it is told.
//! - `remove`: the file of that name; the part, also one that is being written. `rename` of a part is
//!   refused: it has no name yet.
//!
//! Other users see nothing of a part. A file that replaces another keeps its mode, and its owner and extended
//! attributes where that is permitted; other names of the old file keep the old content. Changing the size by path, where
//! nothing is open, happens in place.
//!
//! `folders.rs`: where this holds. `parts.rs`: the parts. `uploads.rs`: who writes which one. `staged.rs`: the open
//! file. `sweep.rs`: parts that nobody came back for.

mod folders;
mod parts;
mod staged;
mod sweep;
mod uploads;

use std::sync::Arc;

pub use self::folders::Folder;
use self::folders::Folders;
use self::staged::StagedFile;
pub use self::uploads::Uploads;
use crate::{
    Attrs, Backend, Dir, DirEntry, Error, ErrorKind, File, FileKind, OpenHow, Result, SetAttrs,
    Space, Xattr, XattrAnswer,
};

/// The directory of a folder that holds its parts.
const STAGING: &[u8] = b".sterna-staging";

/// Shows another backend to one session, with uploads published when they are closed.
pub struct OnClose {
    shared: Arc<Shared>,
}

impl OnClose {
    /// A session of `owner`, whose parts no other owner sees. The folder with the longest path that holds
    /// a file decides about it; where none does, files are written directly.
    ///
    /// All sessions of a process share `uploads`, and are over what gives each file an id of its own.
    pub fn new(
        below: Arc<dyn Backend>,
        owner: &[u8],
        folders: &[Folder],
        uploads: Arc<Uploads>,
    ) -> Self {
        let folders = Folders::new(&*below, folders);
        let session = uploads.new_session();
        Self {
            shared: Arc::new(Shared { below, owner: owner.to_vec(), folders, uploads, session }),
        }
    }
}

/// What the layer and its open files know.
struct Shared {
    below: Arc<dyn Backend>,
    owner: Vec<u8>,
    folders: Folders,
    uploads: Arc<Uploads>,
    session: u64,
}

impl Backend for OnClose {
    fn open(&self, path: &[u8], how: &OpenHow) -> Result<Box<dyn File>> {
        let at = &self.shared;
        at.check_shown("open", path)?;
        if path.ends_with(b"/") || !at.folders.any() {
            return at.below.open(path, how);
        }
        if !(how.write || how.append || how.create || how.truncate) {
            return at.open_to_read(path, how);
        }
        let target = at.below.realpath(path)?;
        at.check_shown("open", &target)?;
        match at.folders.of(&target) {
            None => at.below.open(path, how),
            // Nothing could be sent before it is closed, and nobody does this.
            Some(_) if !(how.write || how.append) => Err(Error::new(ErrorKind::Invalid, "open")),
            Some(folder) => Shared::open_to_write(at, path, target, folder, how),
        }
    }

    fn stat(&self, path: &[u8], follow: bool) -> Result<Attrs> {
        let at = &self.shared;
        at.check_shown("stat", path)?;
        match at.below.stat(path, follow) {
            Ok(attrs) if attrs.kind == FileKind::Regular => match at.uploading(path) {
                Some(part) => at.below.stat(&part, false).or(Ok(attrs)),
                None => Ok(attrs),
            },
            Err(error) if error.kind == ErrorKind::NotFound => {
                at.own_part(path).map(|(_, attrs)| attrs).ok_or(error)
            }
            result => result,
        }
    }

    fn try_stat(&self, path: &[u8], follow: bool) -> Option<Result<Attrs>> {
        let at = &self.shared;
        if let Err(error) = at.check_shown("stat", path) {
            return Some(Err(error));
        }
        match at.below.try_stat(path, follow)? {
            // There may be a part.
            Ok(attrs) if attrs.kind == FileKind::Regular && at.uploads.has_any(at.session) => None,
            Err(error) if error.kind == ErrorKind::NotFound && at.folders.any() => None,
            result => Some(result),
        }
    }

    fn open_dir(&self, path: &[u8]) -> Result<Box<dyn Dir>> {
        self.shared.check_shown("opendir", path)?;
        self.shared.check_leads_to_shown("opendir", path)?;
        Ok(Box::new(ShownDir { below: self.shared.below.open_dir(path)? }))
    }

    fn set_attrs(&self, path: &[u8], attrs: &SetAttrs, follow: bool) -> Result<()> {
        let at = &self.shared;
        at.check_shown("setstat", path)?;
        if let Some(part) = at.uploading(path) {
            return at.below.set_attrs(&part, attrs, false);
        }
        match at.below.set_attrs(path, attrs, follow) {
            Err(error) if error.kind == ErrorKind::NotFound => match at.own_part(path) {
                Some((part, _)) => at.below.set_attrs(&part, attrs, false),
                None => Err(error),
            },
            result => result,
        }
    }

    fn remove(&self, path: &[u8]) -> Result<()> {
        let at = &self.shared;
        at.check_shown("remove", path)?;
        match at.below.remove(path) {
            Err(error) if error.kind == ErrorKind::NotFound => match at.own_part(path) {
                Some((part, _)) => at.remove_part(&part),
                None => Err(error),
            },
            result => result,
        }
    }

    fn mkdir(&self, path: &[u8], mode: Option<u32>) -> Result<()> {
        self.shared.check_may_be_made("mkdir", path)?;
        self.shared.below.mkdir(path, mode)
    }

    fn rmdir(&self, path: &[u8]) -> Result<()> {
        self.shared.check_shown("rmdir", path)?;
        self.shared.below.rmdir(path)
    }

    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> Result<()> {
        let at = &self.shared;
        at.check_shown("rename", from)?;
        at.check_may_be_made("rename", to)?;
        match at.below.rename(from, to, replace) {
            Err(error) if error.kind == ErrorKind::NotFound && at.own_part(from).is_some() => {
                let why = std::io::Error::other("an unfinished upload has no name yet");
                Err(Error { kind: ErrorKind::Other, doing: "rename", source: Some(why) })
            }
            result => result,
        }
    }

    fn realpath(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.shared.check_shown("realpath", path)?;
        let real = self.shared.below.realpath(path)?;
        self.shared.check_shown("realpath", &real)?;
        Ok(real)
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.shared.check_shown("readlink", path)?;
        self.shared.below.readlink(path)
    }

    /// A link to where the parts are would lead past every check of names.
    fn symlink(&self, target: &[u8], link: &[u8]) -> Result<()> {
        self.shared.check_may_be_made("symlink", target)?;
        self.shared.check_may_be_made("symlink", link)?;
        self.shared.below.symlink(target, link)
    }

    fn hardlink(&self, existing: &[u8], new: &[u8]) -> Result<()> {
        self.shared.check_shown("hardlink", existing)?;
        self.shared.check_may_be_made("hardlink", new)?;
        self.shared.below.hardlink(existing, new)
    }

    fn statvfs(&self, path: &[u8]) -> Result<Space> {
        self.shared.check_shown("statvfs", path)?;
        match self.shared.below.statvfs(path) {
            Err(error) if error.kind == ErrorKind::NotFound => match self.shared.own_part(path) {
                Some((part, _)) => self.shared.below.statvfs(&part),
                None => Err(error),
            },
            result => result,
        }
    }

    fn xattr(&self, path: &[u8], asked: &Xattr<'_>) -> Result<XattrAnswer> {
        let at = &self.shared;
        at.check_shown("xattr", path)?;
        at.check_leads_to_shown("xattr", path)?;
        if let Some(part) = at.uploading(path) {
            return at.below.xattr(&part, asked);
        }
        // "Not found" may also be said of an attribute.
        match at.below.xattr(path, asked) {
            Err(error) if error.kind == ErrorKind::NotFound => match at.below.stat(path, true) {
                Err(_) if let Some((part, _)) = at.own_part(path) => at.below.xattr(&part, asked),
                _ => Err(error),
            },
            result => result,
        }
    }
}

impl Shared {
    /// There is nothing where the parts are.
    fn check_shown(&self, doing: &'static str, path: &[u8]) -> Result<()> {
        match names_staging(path) {
            true => Err(Error::new(ErrorKind::NotFound, doing)),
            false => Ok(()),
        }
    }

    fn check_may_be_made(&self, doing: &'static str, path: &[u8]) -> Result<()> {
        match names_staging(path) {
            true => Err(Error::new(ErrorKind::PermissionDenied, doing)),
            false => Ok(()),
        }
    }

    /// As [`Shared::check_shown`] behind the links of `path`, which may be older than this layer. What
    /// else is wrong with the path is said by who uses it.
    fn check_leads_to_shown(&self, doing: &'static str, path: &[u8]) -> Result<()> {
        if !self.folders.any() {
            return Ok(());
        }
        self.below.realpath(path).map_or(Ok(()), |real| self.check_shown(doing, &real))
    }

    fn open_to_read(&self, path: &[u8], how: &OpenHow) -> Result<Box<dyn File>> {
        self.check_leads_to_shown("open", path)?;
        match self.below.open(path, how) {
            Err(error) if error.kind == ErrorKind::NotFound => match self.own_part(path) {
                Some((part, _)) => self.below.open(&part, how),
                None => Err(error),
            },
            result => result,
        }
    }

    fn open_to_write(
        self: &Arc<Self>,
        path: &[u8],
        target: Vec<u8>,
        folder: &[u8],
        how: &OpenHow,
    ) -> Result<Box<dyn File>> {
        let fail = |kind| Error::new(kind, "open");
        let exclusive = how.create && how.exclusive;
        if exclusive && self.below.stat(path, false).is_ok() {
            return Err(fail(ErrorKind::AlreadyExists));
        }
        let published = match self.below.stat(&target, true) {
            Ok(attrs) => Some(attrs),
            Err(error) if error.kind == ErrorKind::NotFound => None,
            Err(error) => return Err(error),
        };
        // Who may not write the file may not replace it either, and a directory is no file.
        let in_place = OpenHow { create: false, truncate: false, exclusive: false, ..*how };
        let opened = match &published {
            Some(_) => Some(self.below.open(&target, &in_place)?),
            None => None,
        };
        let staged = |part| StagedFile::staged(self, target.clone(), how, part);
        if !how.truncate {
            if let Some((part, id)) = self.uploads.part_of(self.session, &target) {
                if exclusive {
                    return Err(fail(ErrorKind::AlreadyExists));
                }
                return Ok(Box::new(staged(self.resume(&target, part, id, how)?)));
            }
            if let Some(opened) = opened {
                return Ok(Box::new(StagedFile::published(self, target, how, opened)));
            }
        }
        if published.is_none()
            && (!how.truncate || !how.create || exclusive)
            && let Some((part, attrs)) = self.newest_part(&target)
        {
            if exclusive {
                return Err(fail(ErrorKind::AlreadyExists));
            }
            if !how.truncate {
                return Ok(Box::new(staged(self.resume(&target, part, attrs.id, how)?)));
            }
        } else if published.is_none() && !how.create {
            return Err(fail(ErrorKind::NotFound));
        }
        let part = self.stage(folder, &target, how, how.mode)?;
        if let Some(old) = &published {
            self.keep_attrs(&part, &target, old)?;
        }
        Ok(Box::new(staged(part)))
    }

    /// The part that this session is writing for what `path` leads to.
    fn uploading(&self, path: &[u8]) -> Option<Vec<u8>> {
        if !self.uploads.has_any(self.session) {
            return None;
        }
        let target = self.below.realpath(path).ok()?;
        self.uploads.part_of(self.session, &target).map(|(part, _)| part)
    }

    /// The part for `path`, where no file is.
    fn own_part(&self, path: &[u8]) -> Option<(Vec<u8>, Attrs)> {
        if path.ends_with(b"/") || !self.folders.any() {
            return None;
        }
        self.newest_part(&self.below.realpath(path).ok()?)
    }
}

/// A listing without the staging directory.
struct ShownDir {
    below: Box<dyn Dir>,
}

impl Dir for ShownDir {
    fn next_entries(&mut self, max: usize, entries: &mut Vec<DirEntry>) -> Result<bool> {
        let before = entries.len();
        let more = self.below.next_entries(max, entries)?;
        if let Some(at) = entries[before..].iter().position(|entry| entry.name == STAGING) {
            entries.remove(before + at);
        }
        Ok(more)
    }

    fn stat(&self) -> Result<Attrs> {
        self.below.stat()
    }

    fn sync(&self) -> Result<()> {
        self.below.sync()
    }
}

/// Whether one of the names in `path` is that of a staging directory.
fn names_staging(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').any(|name| name == STAGING)
}

fn join(dir: &[u8], name: &[u8]) -> Vec<u8> {
    match dir {
        b"/" => [b"/", name].concat(),
        _ => [dir, b"/", name].concat(),
    }
}

/// The directory of a canonical path.
fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        None | Some(0) => b"/",
        Some(at) => &path[..at],
    }
}
