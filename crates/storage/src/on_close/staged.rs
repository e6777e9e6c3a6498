//! An open file whose changes go to a part, which closing publishes.

use std::any::Any;
use std::io::IoSliceMut;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::Shared;
use super::uploads::Claim;
use crate::{Attrs, Error, ErrorKind, File, OpenHow, Result, SetAttrs, Xattr, XattrAnswer};

/// See [`OnClose`](super::OnClose).
pub(super) struct StagedFile {
    layer: Arc<Shared>,
    /// The canonical path that the part will have.
    target: Vec<u8>,
    how: OpenHow,
    /// The file of that name, until the first change of it.
    published: Option<Box<dyn File>>,
    staged: OnceLock<Part>,
    /// Held while the part is made.
    staging: Mutex<()>,
}

/// A part that is open for writing.
pub(super) struct Part {
    file: SyncedOnDrop,
    pub path: Vec<u8>,
    pub claim: Claim,
}

/// Syncs a file that is dropped: whoever goes on with it reads its size and believes it, also after a
/// power cut. A part that could not be synced is removed for the same reason: systems say yes to the next sync, though
/// the data is gone.
struct SyncedOnDrop {
    layer: Arc<Shared>,
    path: Vec<u8>,
    id: (u64, u64),
    file: Option<Box<dyn File>>,
    /// A sync failed.
    is_lost: AtomicBool,
}

impl Part {
    pub fn new(layer: &Arc<Shared>, file: Box<dyn File>, path: Vec<u8>, claim: Claim) -> Self {
        let file = SyncedOnDrop {
            layer: Arc::clone(layer),
            path: path.clone(),
            id: claim.id(),
            file: Some(file),
            is_lost: AtomicBool::new(false),
        };
        Self { file, path, claim }
    }

    /// The same part through another handle.
    pub fn with_file(mut self, file: Box<dyn File>) -> Self {
        if let Some(old) = self.file.file.replace(file) {
            // One that fails is remembered.
            let _ = self.file.sync(&*old);
        }
        self
    }

    pub fn file(&self) -> Result<&dyn File> {
        self.file.file.as_deref().ok_or(Error::new(ErrorKind::Other, "closed"))
    }

    fn sync(&self) -> Result<()> {
        self.file.sync(self.file()?)
    }
}

impl SyncedOnDrop {
    fn sync(&self, file: &dyn File) -> Result<()> {
        if self.is_lost.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::Other, "fsync"));
        }
        let synced = file.sync();
        if synced.as_ref().is_err_and(|error| error.kind != ErrorKind::Unsupported) {
            self.is_lost.store(true, Ordering::Relaxed);
        }
        synced
    }

    /// Brings it to stable storage and closes it.
    fn close(mut self) -> Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        match self.sync(&*file) {
            Err(error) if error.kind != ErrorKind::Unsupported => Err(error),
            _ => file.close(),
        }
    }
}

impl Drop for SyncedOnDrop {
    fn drop(&mut self) {
        if let Some(file) = self.file.take() {
            let _ = self.sync(&*file);
        }
        if *self.is_lost.get_mut() {
            let _ = self.layer.remove_part_of(&self.path, self.id);
        }
    }
}

impl StagedFile {
    /// Writes go to `part`.
    pub fn staged(layer: &Arc<Shared>, target: Vec<u8>, how: &OpenHow, part: Part) -> Self {
        Self {
            layer: Arc::clone(layer),
            target,
            how: *how,
            published: None,
            staged: OnceLock::from(part),
            staging: Mutex::new(()),
        }
    }

    /// `file` has the name `target`; the first change makes a part of it.
    pub fn published(
        layer: &Arc<Shared>,
        target: Vec<u8>,
        how: &OpenHow,
        file: Box<dyn File>,
    ) -> Self {
        Self {
            layer: Arc::clone(layer),
            target,
            how: *how,
            published: Some(file),
            staged: OnceLock::new(),
            staging: Mutex::new(()),
        }
    }

    /// What this handle reads.
    fn current(&self) -> Result<&dyn File> {
        match (self.staged.get(), &self.published) {
            (Some(part), _) => part.file(),
            (None, Some(file)) => Ok(&**file),
            (None, None) => Err(Error::new(ErrorKind::Other, "closed")),
        }
    }

    /// What this handle changes.
    fn part(&self) -> Result<&Part> {
        if let Some(part) = self.staged.get() {
            return Ok(part);
        }
        let _alone = self.staging.lock().unwrap_or_else(PoisonError::into_inner);
        match (self.staged.get(), &self.published) {
            (Some(part), _) => Ok(part),
            (None, None) => Err(Error::new(ErrorKind::Other, "closed")),
            (None, Some(file)) => {
                let part = self.layer.copy(&**file, &self.target, &self.how)?;
                Ok(self.staged.get_or_init(|| part))
            }
        }
    }
}

impl File for StagedFile {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        self.current()?.read_at(buffers, offset)
    }

    fn try_read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Option<Result<usize>> {
        self.current().ok()?.try_read_at(buffers, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let part = self.part()?;
        let _turn = part.claim.turn("write")?;
        part.file()?.write_at(data, offset)
    }

    /// Once there is a part that is written by nobody else at this moment.
    fn try_write_at(&self, data: &[u8], offset: u64) -> Option<Result<()>> {
        let part = self.staged.get().filter(|_| !data.is_empty())?;
        let _turn = part.claim.try_turn()?;
        part.file().ok()?.try_write_at(data, offset)
    }

    fn stat(&self) -> Result<Attrs> {
        self.current()?.stat()
    }

    fn try_stat(&self) -> Option<Result<Attrs>> {
        self.current().ok()?.try_stat()
    }

    /// Mode and times of a file that was not changed are set where they are: it has no part.
    fn set_attrs(&self, attrs: &SetAttrs) -> Result<()> {
        if attrs.size.is_none() && self.staged.get().is_none() {
            return self.current()?.set_attrs(attrs);
        }
        let part = self.part()?;
        let _turn = part.claim.turn("fsetstat")?;
        part.file()?.set_attrs(attrs)
    }

    fn sync(&self) -> Result<()> {
        match self.staged.get() {
            Some(part) => part.sync(),
            None => self.current()?.sync(),
        }
    }

    fn times_tell_of_changes(&self) -> bool {
        self.current().is_ok_and(|file| file.times_tell_of_changes())
    }

    fn data_ranges(&self, asked: Range<u64>, max: usize) -> Result<(Vec<Range<u64>>, bool)> {
        self.current()?.data_ranges(asked, max)
    }

    /// As [`File::set_attrs`]: those of a file that was not changed are set where they are.
    fn xattr(&self, asked: &Xattr<'_>) -> Result<XattrAnswer> {
        let _turn = match self.staged.get() {
            Some(part) if asked.changes() => Some(part.claim.turn("xattr")?),
            _ => None,
        };
        self.current()?.xattr(asked)
    }

    fn copy_to(&self, from: u64, len: u64, target: &dyn File, to: u64) -> Option<Result<u64>> {
        self.current().ok()?.copy_to(from, len, target, to)
    }

    /// The part's own type, so that the backend below copies into it by itself; this one's while there is
    /// no part, or not for this handle any more, so that it does not.
    fn as_any(&self) -> &dyn Any {
        match self.staged.get() {
            Some(part) if part.claim.is_held() => part.file().map_or(self, |file| file.as_any()),
            _ => self,
        }
    }

    fn close(self: Box<Self>) -> Result<()> {
        let Self { layer, target, how, published, staged, .. } = *self;
        let Some(Part { file, path, claim }) = staged.into_inner() else {
            return published.map_or(Ok(()), |file| file.close());
        };
        drop(claim.turn("close")?);
        // On stable storage before anybody sees it.
        file.close()?;
        let replace = !(how.create && how.exclusive);
        claim.close(|claim| layer.publish(claim, &path, &target, replace))
    }
}
