//! The local file that a download writes, and which ranges of it are still wrong.
//!
//! It is new, or what an earlier attempt left, or (delta) new and filled with what stands under the
//! target's name; `in_place` it is the target.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FileType, OFlags, Stat};

use super::Download;
use crate::Error;
use crate::limits::{DELTA_MIN_LEN, PART_TRIES_MAX, RESUME_MIN_LEN};
use crate::sftp::File;
use crate::transfer::lanes::Lane;
use crate::transfer::local::LocalDir;
use crate::transfer::progress::Event;
use crate::transfer::ranges::Ranges;
use crate::transfer::resume::{Journal, NOT_PROVEN, Noted, Proven, SourceState, proven};
use crate::transfer::verify::check_algorithms;
use crate::transfer::{Context, Sparse, blocking, companion_name, local, sparse};

/// A part on disk, open, and its journal.
pub(in crate::transfer) struct Part {
    pub(in crate::transfer) fd: Arc<OwnedFd>,
    pub(super) name: Vec<u8>,
    /// For messages.
    pub(in crate::transfer) path: PathBuf,
    len: u64,
    /// It was new, and is filled with what it will replace.
    is_copy: bool,
    pub(super) journal: Arc<Mutex<Journal>>,
    noted: Option<Noted>,
    _lock: local::Lock,
}

/// What must be written into a part.
pub(super) struct Plan {
    pub(super) ranges: Ranges,
    /// What is written has nothing behind it that is worth keeping: after a failure it may be cut to
    /// what is there without a gap.
    is_tail: bool,
    /// The first byte that must travel, of what an earlier attempt left; 0 if it left nothing.
    pub(super) resumed_from: u64,
    /// Where the part holds nothing, zeros need not be written.
    pub(super) zeros: Range<u64>,
}

impl Part {
    /// Whether nothing of it is from an earlier attempt.
    pub(super) fn is_nothing(&self) -> bool {
        self.len == 0 || self.is_copy
    }
}

impl Download {
    pub(in crate::transfer) async fn open_part(
        &self,
        context: &Context,
        lane: &Lane,
    ) -> Result<Part, Error> {
        let (dir, name, in_place) = (self.dir.clone(), self.name.clone(), context.options.in_place);
        let source = SourceState::of(&self.attrs);
        let resume = context.options.resume;
        let delta = context.options.delta && !check_algorithms(&lane.sftp).is_empty();
        let size = self.attrs.size.unwrap_or(0);
        let cancel = context.cancel.clone();
        blocking(move || {
            let replaced = dir.stat(&name)?;
            let kind = replaced.as_ref().map(|there| FileType::from_raw_mode(there.st_mode));
            if !matches!(kind, None | Some(FileType::RegularFile | FileType::Symlink)) {
                let error = std::io::Error::other("it exists and is not a regular file");
                return Err(Error::local("replace", dir.path_of(&name), error));
            }
            let part_name =
                if in_place { name.clone() } else { companion_name(&name, ".sterna-part") };
            let path = dir.path_of(&part_name);
            let (fd, lock, stat) = open_locked(&dir, &part_name, &name)?;
            let mut len = u64::try_from(stat.st_size).unwrap_or(0);
            if !resume && len > 0 {
                rustix::fs::ftruncate(&fd, 0).map_err(|e| Error::local("cut", &path, e))?;
                len = 0;
            }
            let old_len = replaced.map_or(0, |there| u64::try_from(there.st_size).unwrap_or(0));
            let wants_copy = delta && len == 0 && kind == Some(FileType::RegularFile);
            let is_copy = wants_copy && old_len.min(size) >= DELTA_MIN_LEN;
            if is_copy {
                let old = dir.open_file(&name, OFlags::RDONLY, 0)?;
                let copied = local::copy(&old, &fd, old_len.min(size), || cancel.is_cancelled());
                len = copied.map_err(|e| Error::local("copy", dir.path_of(&name), e))?;
            }
            // What was noted of a part must not vouch for the target.
            let suffix = if in_place { ".sterna-in-place" } else { ".sterna-journal" };
            let mut journal = Journal::new(dir, companion_name(&name, suffix), source);
            let noted = if len > 0 && !is_copy { journal.read() } else { None };
            let journal = Arc::new(Mutex::new(journal));
            Ok(Part { fd, name: part_name, path, len, is_copy, journal, noted, _lock: lock })
        })
        .await?
    }

    /// What must travel; the part is cut to what is worth keeping.
    pub(super) async fn plan(
        &self,
        context: &Context,
        part: &Part,
        remote: &File,
    ) -> Result<Plan, Error> {
        let size = self.attrs.size.unwrap_or(0);
        let usable = part.len.min(size);
        let tell = |done| context.comparing(&self.source, done, usable);
        let found = match usable >= RESUME_MIN_LEN {
            false => Proven::NONE,
            true => tokio::select! {
                found = proven(&part.fd, remote, usable, part.noted.clone(), &tell) => found?,
                () = context.cancel.cancelled() => return Err(Error::Cancelled),
            },
        };
        let nothing = usable == 0 || found.is_nothing_of(usable);
        let is_news = !part.is_copy && !context.options.in_place && !self.reached.is_again();
        if nothing && usable >= RESUME_MIN_LEN && is_news {
            context.progress.event(&Event::Retry { path: &self.source, why: NOT_PROVEN });
        }
        let ranges = if nothing { Ranges::of(0..size) } else { found.missing(usable, size) };
        let is_tail =
            ranges.iter().count() <= 1 && (nothing || ranges.first().is_none_or(|at| at >= usable));
        let keep = match is_tail {
            true => ranges.first().unwrap_or(size),
            false => size,
        };
        let resumed_from = if nothing || part.is_copy { 0 } else { ranges.first().unwrap_or(size) };
        let fresh = keep.min(part.len)..size;
        let data = match context.options.sparse {
            Sparse::Never => None,
            Sparse::Auto | Sparse::Always => sparse::remote_data(remote, fresh.start, size).await?,
        };
        let is_whole = data.is_none();
        let ranges = match data {
            Some(data) => ranges.only_data_from(fresh.start, &data),
            None => ranges,
        };
        let zeros = match context.options.sparse {
            Sparse::Always => fresh,
            Sparse::Auto | Sparse::Never => 0..0,
        };
        let has_holes = !zeros.is_empty() || !is_whole;
        let begin = ranges.first().unwrap_or(size);
        let (fd, path, journal) = (part.fd.clone(), part.path.clone(), part.journal.clone());
        let (len, new) = (part.len, part.len == 0 || nothing);
        blocking(move || {
            if len > keep {
                rustix::fs::ftruncate(&fd, keep).map_err(|e| Error::local("cut", &path, e))?;
            }
            if has_holes {
                // What is never written must be there to be read.
                rustix::fs::ftruncate(&fd, size).map_err(|e| Error::local("extend", &path, e))?;
            }
            let mut journal = journal.lock().unwrap_or_else(PoisonError::into_inner);
            journal.begin(if new { 0 } else { begin });
            Ok(Plan { ranges, is_tail, zeros, resumed_from })
        })
        .await?
    }

    /// After a failure: nothing behind the first gap stays unless it was right before, and the journal
    /// says where the gap is.
    pub(super) async fn keep_part(
        &self,
        context: &Context,
        part: Part,
        plan: &Plan,
        contiguous: u64,
    ) {
        let (dir, in_place, is_tail) = (self.dir.clone(), context.options.in_place, plan.is_tail);
        let work = move || {
            let mut journal = part.journal.lock().unwrap_or_else(PoisonError::into_inner);
            if is_tail {
                let _ = rustix::fs::ftruncate(&part.fd, contiguous);
            }
            if contiguous == 0 && is_tail && !in_place {
                let _ = dir.remove(&part.name);
                journal.remove();
            } else {
                journal.begin(contiguous);
            }
        };
        let _ = blocking(work).await;
    }
}

/// Opens the file `part` in `dir` for a transfer to `target`, which nobody else writes then.
fn open_locked(
    dir: &Arc<LocalDir>,
    part: &[u8],
    target: &[u8],
) -> Result<(Arc<OwnedFd>, local::Lock, Stat), Error> {
    let failed = |error: std::io::Error| Error::local("write to", dir.path_of(target), error);
    for _ in 0..PART_TRIES_MAX {
        let fd = Arc::new(dir.open_file(part, OFlags::RDWR | OFlags::CREATE, 0o600)?);
        let stat = rustix::fs::fstat(&fd).map_err(|e| failed(e.into()))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(failed(std::io::Error::other("it is not a regular file")));
        }
        let lock = local::Lock::take(&fd).map_err(failed)?;
        // Who had it until now may have given it its name: then it is no part any more.
        if dir.is_at(part, &stat)? {
            let stat = rustix::fs::fstat(&fd).map_err(|e| failed(e.into()))?;
            return Ok((fd, lock, stat));
        }
    }
    Err(failed(std::io::Error::other("another transfer is writing it")))
}
