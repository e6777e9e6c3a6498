//! Parts in the staging directory: where they are, how one is begun, found again, gone on with, and published.

use std::io::IoSliceMut;
use std::sync::Arc;

use super::staged::Part;
use super::uploads::Claim;
use super::{STAGING, Shared, join, parent};
use crate::limits::{COPY_BUFFER_LEN, IN_PLACE_LEN_MAX, STAGED_SLOTS_MAX};
use crate::{
    Attrs, Error, ErrorKind, File, FileKind, OpenHow, Owner, Result, SetAttrs, Xattr, XattrAnswer,
    XattrWhen,
};

/// Only the server itself has business there.
const STAGING_MODE: u32 = 0o700;

impl Shared {
    /// The part of `target` that was written last.
    pub(super) fn newest_part(&self, target: &[u8]) -> Option<(Vec<u8>, Attrs)> {
        let folder = self.folders.of(target)?;
        let parts = (0..STAGED_SLOTS_MAX).filter_map(|slot| {
            let part = self.part_path(folder, target, slot);
            let attrs = self.below.stat(&part, false).ok()?;
            (attrs.kind == FileKind::Regular).then_some((part, attrs))
        });
        parts.max_by_key(|(_, attrs)| attrs.changed)
    }

    /// Removes a part, and tells who writes it now.
    pub(super) fn remove_part(&self, part: &[u8]) -> Result<()> {
        let id = self.below.stat(part, false)?.id;
        self.remove_part_of(part, id)
    }

    /// The same if it is still this one.
    pub(super) fn remove_part_of(&self, part: &[u8], id: (u64, u64)) -> Result<()> {
        self.uploads.discard(id);
        let _alone = self.uploads.alone(part);
        if self.below.stat(part, false)?.id != id || self.uploads.has(id) {
            // Somebody went on with it, or began anew, since.
            return Err(Error::new(ErrorKind::Busy, "remove"));
        }
        self.below.remove(part)
    }

    /// Goes on with a part that is there.
    pub(super) fn resume(
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
    pub(super) fn stage(
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
    pub(super) fn copy(
        self: &Arc<Self>,
        published: &dyn File,
        target: &[u8],
        how: &OpenHow,
    ) -> Result<Part> {
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
    pub(super) fn publish(
        &self,
        claim: &Claim,
        part: &[u8],
        target: &[u8],
        replace: bool,
    ) -> Result<()> {
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
    pub(super) fn keep_attrs(&self, part: &Part, target: &[u8], old: &Attrs) -> Result<()> {
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
