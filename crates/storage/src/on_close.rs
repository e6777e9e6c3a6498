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
//! `folders.rs`: where this holds. `uploads.rs`: who writes which part. `staged.rs`: the open file.
//! `sweep.rs`: parts that nobody came back for.

mod folders;
mod staged;
mod sweep;
mod uploads;

use std::io::IoSliceMut;
use std::sync::Arc;

pub use self::folders::Folder;
use self::folders::Folders;
use self::staged::{Part, StagedFile};
use self::uploads::Claim;
pub use self::uploads::Uploads;
use crate::limits::{COPY_BUFFER_LEN, IN_PLACE_LEN_MAX, STAGED_SLOTS_MAX};
use crate::{
    Attrs, Backend, Dir, DirEntry, Error, ErrorKind, File, FileKind, OpenHow, Owner, Result,
    SetAttrs, Space, Xattr, XattrAnswer, XattrWhen,
};

/// The directory of a folder that holds its parts.
const STAGING: &[u8] = b".sterna-staging";

/// Only the server itself has business there.
const STAGING_MODE: u32 = 0o700;

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

    /// The part of `target` that was written last.
    fn newest_part(&self, target: &[u8]) -> Option<(Vec<u8>, Attrs)> {
        let folder = self.folders.of(target)?;
        let parts = (0..STAGED_SLOTS_MAX).filter_map(|slot| {
            let part = self.part_path(folder, target, slot);
            let attrs = self.below.stat(&part, false).ok()?;
            (attrs.kind == FileKind::Regular).then_some((part, attrs))
        });
        parts.max_by_key(|(_, attrs)| attrs.changed)
    }

    /// Removes a part, and tells who writes it now.
    fn remove_part(&self, part: &[u8]) -> Result<()> {
        let id = self.below.stat(part, false)?.id;
        self.remove_part_of(part, id)
    }

    /// The same if it is still this one.
    fn remove_part_of(&self, part: &[u8], id: (u64, u64)) -> Result<()> {
        self.uploads.discard(id);
        let _alone = self.uploads.alone(part);
        if self.below.stat(part, false)?.id != id || self.uploads.has(id) {
            // Somebody went on with it, or began anew, since.
            return Err(Error::new(ErrorKind::Busy, "remove"));
        }
        self.below.remove(part)
    }

    /// Goes on with a part that is there.
    fn resume(
        self: &Arc<Self>,
        target: &[u8],
        part: Vec<u8>,
        id: (u64, u64),
        how: &OpenHow,
    ) -> Result<Part> {
        let claim = self.uploads.join(id, self.session, target, &part)?;
        let how = OpenHow { write: true, create: false, truncate: false, exclusive: false, ..*how };
        let opened = self.below.open(&part, &how).and_then(|file| Ok((file.stat()?.id, file)));
        match opened {
            Ok((found, file)) if found == id => Ok(Part::new(self, file, part, claim)),
            // It was published, or began anew, between the look and the opening.
            Ok(_) => {
                claim.give_back();
                Err(Error::new(ErrorKind::Busy, "open"))
            }
            Err(error) => {
                claim.give_back();
                Err(error)
            }
        }
    }

    /// A new, empty part for `target`, over one that was left.
    fn stage(
        self: &Arc<Self>,
        folder: &[u8],
        target: &[u8],
        how: &OpenHow,
        mode: Option<u32>,
    ) -> Result<Part> {
        self.make_staging(folder, target)?;
        let how = OpenHow {
            read: how.read,
            write: true,
            append: how.append,
            create: true,
            truncate: false,
            exclusive: true,
            mode,
        };
        for slot in 0..STAGED_SLOTS_MAX {
            let path = self.part_path(folder, target, slot);
            // Whoever finds a part finds out who has it too.
            let _alone = self.uploads.alone(&path);
            let opened = match self.below.open(&path, &how) {
                Err(error) if error.kind == ErrorKind::AlreadyExists => {
                    let Ok(left) = self.below.stat(&path, false) else { continue };
                    if self.uploads.has(left.id) || self.below.remove(&path).is_err() {
                        continue;
                    }
                    self.below.open(&path, &how)
                }
                opened => opened,
            };
            let file = match opened {
                Err(error) if error.kind == ErrorKind::AlreadyExists => continue,
                opened => opened?,
            };
            if let Some(claim) = self.uploads.claim(file.stat()?.id, self.session, target, &path) {
                return Ok(Part::new(self, file, path, claim));
            }
        }
        Err(Error::new(ErrorKind::Busy, "open"))
    }

    /// Makes the staging directory of `folder`, and sees that a part in it can become `target`.
    fn make_staging(&self, folder: &[u8], target: &[u8]) -> Result<()> {
        let staging = join(folder, STAGING);
        let attrs = match self.below.stat(&staging, false) {
            Err(error) if error.kind == ErrorKind::NotFound => {
                match self.below.mkdir(&staging, Some(STAGING_MODE)) {
                    Err(error) if error.kind != ErrorKind::AlreadyExists => return Err(error),
                    _ => self.below.stat(&staging, false)?,
                }
            }
            found => found?,
        };
        if attrs.kind != FileKind::Directory {
            return Err(Error::new(ErrorKind::NotADirectory, "open"));
        }
        // Better now than after everything was sent.
        match self.below.stat(parent(target), true)?.id.0 == attrs.id.0 {
            true => Ok(()),
            false => Err(Error::new(ErrorKind::CrossDevice, "open")),
        }
    }

    /// A part with the content of `published`, the file of the name `target`, to be changed.
    fn copy(self: &Arc<Self>, published: &dyn File, target: &[u8], how: &OpenHow) -> Result<Part> {
        if let Some((part, id)) = self.uploads.part_of(self.session, target) {
            return self.resume(target, part, id, how);
        }
        let attrs = published.stat()?;
        if attrs.size > IN_PLACE_LEN_MAX {
            let why = std::io::Error::other(
                "too large to be changed in place where uploads are \
                                             published on close; write it anew",
            );
            return Err(Error { kind: ErrorKind::Other, doing: "write", source: Some(why) });
        }
        let read = OpenHow { read: true, ..OpenHow::default() };
        let source = self.below.open(target, &read)?;
        if source.stat()?.id != attrs.id {
            // Somebody published another one since it was opened.
            return Err(Error::new(ErrorKind::Busy, "write"));
        }
        let folder = self.folders.of(target).ok_or(Error::new(ErrorKind::Busy, "write"))?;
        // Not for appending yet: the system copies to an offset only.
        let part =
            self.stage(folder, target, &OpenHow { append: false, ..*how }, Some(attrs.mode))?;
        copy_all(&*source, part.file()?)?;
        self.keep_attrs(&part, target, &attrs)?;
        if !how.append {
            return Ok(part);
        }
        let append = OpenHow { read: how.read, append: true, ..OpenHow::default() };
        let file = self.below.open(&part.path, &append)?;
        if file.stat()?.id != part.claim.id() {
            return Err(Error::new(ErrorKind::Busy, "write"));
        }
        Ok(part.with_file(file))
    }

    /// Gives the finished part of `claim` its name, and no other that stands in its place by now.
    fn publish(&self, claim: &Claim, part: &[u8], target: &[u8], replace: bool) -> Result<()> {
        {
            let _alone = self.uploads.alone(part);
            claim.check_current("close")?;
            if self.below.stat(part, false)?.id != claim.id() {
                let why = std::io::Error::other("another upload took the place of this one");
                return Err(Error { kind: ErrorKind::Other, doing: "close", source: Some(why) });
            }
            self.below.rename(part, target, replace)?;
        }
        let synced = self.below.open_dir(parent(target)).and_then(|dir| dir.sync());
        match synced {
            // A directory that may be written and not read cannot be synced by anybody.
            Err(error) if error.kind != ErrorKind::PermissionDenied => Err(error),
            _ => Ok(()),
        }
    }

    /// Mode, owner and extended attributes of the file that is to be replaced. The mode is kept or it is an
    /// error, the rest as far as possible.
    fn keep_attrs(&self, part: &Part, target: &[u8], old: &Attrs) -> Result<()> {
        let file = part.file()?;
        if let Ok(XattrAnswer::Names(names)) = self.below.xattr(target, &Xattr::List) {
            for name in &names {
                if let Ok(XattrAnswer::Value(value)) = self.below.xattr(target, &Xattr::Get(name)) {
                    let (value, when) = (&value[..], XattrWhen::Always);
                    let _ = file.xattr(&Xattr::Set { name, value, when });
                }
            }
        }
        let owner = Owner { uid: Some(old.uid), gid: Some(old.gid) };
        let _ = file.set_attrs(&SetAttrs { owner: Some(owner), ..SetAttrs::default() });
        file.set_attrs(&SetAttrs { mode: Some(old.mode), ..SetAttrs::default() })
    }

    fn part_path(&self, folder: &[u8], target: &[u8], slot: usize) -> Vec<u8> {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&(self.owner.len() as u64).to_be_bytes());
        hasher.update(&self.owner);
        hasher.update(target);
        let key = hasher.finalize().to_hex();
        // 128 bits: nobody can make a name whose parts are those of another.
        let name = format!("{}.{slot}", &key[..32]);
        join(&join(folder, STAGING), name.as_bytes())
    }
}

/// Bytes from the beginning to the end of `source`, by the backend itself where it can.
fn copy_all(source: &dyn File, target: &dyn File) -> Result<()> {
    let mut at = match source.copy_to(0, 0, target, 0) {
        Some(copied) => copied?,
        None => 0,
    };
    let mut buffer = vec![0; COPY_BUFFER_LEN];
    loop {
        let len = source.read_at(&mut [IoSliceMut::new(&mut buffer)], at)?;
        if len == 0 {
            return Ok(());
        }
        target.write_at(&buffer[..len], at)?;
        at += len as u64;
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
