//! From a complete part to the target: verified, repaired once if it must be, with its attributes,
//! stable, and then renamed. What could not be done so is a note in the report.

use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock, PoisonError};

use rustix::fs::{FileType, Gid, Stat, Uid};

use super::Download;
use super::part::Part;
use super::pump::Pump;
use crate::Error;
use crate::sftp::{Attrs, File};
use crate::transfer::lanes::Lane;
use crate::transfer::local::LocalDir;
use crate::transfer::passing::Passing;
use crate::transfer::progress::{Event, Note};
use crate::transfer::resume::SourceState;
use crate::transfer::upload::repair_text;
use crate::transfer::verify::{Found, Sides, failed};
use crate::transfer::{Context, Verified, blocking, local};

/// What the pump brought.
pub(super) struct Fetched {
    /// Bytes of the whole file.
    pub(super) total: u64,
    pub(super) passing: Option<Passing>,
}

impl Download {
    /// Verifies the part, repairs it if it must be, and gives it its name.
    pub(super) async fn commit(
        &self,
        context: &Context,
        lane: &Lane,
        part: Part,
        remote: &File,
        fetched: Fetched,
        received: &mut u64,
    ) -> Result<(Verified, Vec<Note>), Error> {
        let Fetched { total, passing } = fetched;
        let (fd, path, journal) = (part.fd.clone(), part.path.clone(), part.journal.clone());
        blocking(move || {
            journal.lock().unwrap_or_else(PoisonError::into_inner).write(total, None);
            // Behind it may be the rest of something longer, or zeros that were not written.
            rustix::fs::ftruncate(&fd, total).map_err(|e| Error::local("cut", path, e))
        })
        .await??;
        let sides = Sides {
            context,
            lane,
            local: &part.fd,
            remote_path: &self.source,
            source: &self.source,
            len: total,
        };
        let found = match sides.compare(passing).await? {
            Found::Same(verified) => Ok(verified),
            Found::Differs(why) => self.repair(&part, remote, &sides, why, received).await,
        };
        let verified = match found {
            Err(error @ Error::VerificationFailed { .. }) => {
                self.discard(context, part).await?;
                return Err(error);
            }
            found => found?,
        };
        Ok((verified, self.put_into_place(context, part).await?))
    }

    /// Fetches the blocks that differ once more, and compares again.
    async fn repair(
        &self,
        part: &Part,
        remote: &File,
        sides: &Sides<'_>,
        why: String,
        received: &mut u64,
    ) -> Result<Verified, Error> {
        let context = sides.context;
        let ranges = match sides.can_tell_blocks() {
            true => sides.differing(remote).await?,
            false => None,
        };
        let Some((ranges, first)) = ranges.and_then(|r| r.first().map(|first| (r, first))) else {
            // No means to tell; or block for block it is the same now: the length may differ, or it
            // changes all the time.
            return Err(failed(&self.source, &why, None));
        };
        let text = repair_text(&ranges, first);
        context.progress.event(&Event::Retry { path: &self.source, why: &text });
        let state = SourceState { size: sides.len, ..SourceState::of(&self.attrs) };
        let mut pump = Pump::new(context, remote, part, ranges, state, None, &self.source);
        let result = pump.run().await;
        *received += pump.received;
        drop(pump);
        result?;
        match sides.compare(None).await? {
            Found::Same(verified) => Ok(verified),
            Found::Differs(why) => {
                let still = sides.differing(remote).await?;
                let still = still.and_then(|ranges| ranges.first()).unwrap_or(first);
                Err(failed(&self.source, &why, Some(still)))
            }
        }
    }

    /// Wrong bytes must not be continued next time.
    pub(in crate::transfer) async fn discard(
        &self,
        context: &Context,
        part: Part,
    ) -> Result<(), Error> {
        let (dir, in_place) = (self.dir.clone(), context.options.in_place);
        blocking(move || {
            part.journal.lock().unwrap_or_else(PoisonError::into_inner).remove();
            if !in_place {
                let _ = dir.remove(&part.name);
            }
        })
        .await
    }

    /// Gives a complete part its attributes and its name.
    pub(in crate::transfer) async fn put_into_place(
        &self,
        context: &Context,
        part: Part,
    ) -> Result<Vec<Note>, Error> {
        let placing = Placing::new(self, context);
        blocking(move || placing.run(part)).await?
    }
}

/// What is needed to make a part the target, on a thread that may block.
pub(in crate::transfer) struct Placing {
    dir: Arc<LocalDir>,
    name: Vec<u8>,
    attrs: Attrs,
    preserve: bool,
    fsync: bool,
    attrs_may_fail: bool,
}

impl Placing {
    pub(in crate::transfer) fn new(download: &Download, context: &Context) -> Self {
        Self {
            dir: download.dir.clone(),
            name: download.name.clone(),
            attrs: download.attrs,
            preserve: context.options.preserve,
            fsync: context.options.fsync,
            attrs_may_fail: context.attrs_may_fail(),
        }
    }

    /// Blocks.
    pub(in crate::transfer) fn run(self, part: Part) -> Result<Vec<Note>, Error> {
        let Self { dir, name, attrs, preserve, fsync, attrs_may_fail } = self;
        let failed = |doing| {
            let path = dir.path_of(&name);
            move |e: std::io::Error| Error::local(doing, path, e)
        };
        let replaced = dir
            .stat(&name)?
            .filter(|there| FileType::from_raw_mode(there.st_mode) == FileType::RegularFile);
        let mut notes = Vec::new();
        if let Some(replaced) = &replaced
            && !keep_owner(&part.fd, replaced).map_err(failed("stat"))?
        {
            notes.push(Note::OwnerNotKept);
        }
        // Set-id bits of a server are never taken over (CLT-9).
        let mode = attrs.permissions.map_or(0o666, |mode| mode & 0o777);
        // Who replaces a file leaves to it who may read it.
        let mode = match replaced.filter(|_| !preserve) {
            Some(there) => there.st_mode & 0o777,
            None if preserve => mode,
            None => mode & !umask(),
        };
        let times = local::timestamps(&attrs).filter(|_| preserve);
        let has_times = times.is_some();
        if let Err(error) = local::set_attrs(&part.fd, Some(mode), times) {
            // File systems without them refuse it.
            if !attrs_may_fail {
                return Err(failed("set attributes of")(error));
            }
            notes.push(Note::ModeNotKept);
            notes.extend(has_times.then_some(Note::TimesNotKept));
        }
        if fsync {
            rustix::fs::fsync(&part.fd).map_err(|e| failed("sync")(e.into()))?;
        }
        if part.name != name {
            let ours = rustix::fs::fstat(&part.fd).map_err(|e| failed("stat")(e.into()))?;
            if !dir.is_at(&part.name, &ours)? {
                let why = "something else stands where it was written";
                return Err(failed("rename")(std::io::Error::other(why)));
            }
            dir.rename(&part.name, &name)?;
            if fsync {
                dir.sync();
            }
        }
        part.journal.lock().unwrap_or_else(PoisonError::into_inner).remove();
        Ok(notes)
    }
}

/// Gives a file the owner and group of the one that it replaces; whether it has them then.
fn keep_owner(file: &OwnedFd, replaced: &Stat) -> std::io::Result<bool> {
    let now = rustix::fs::fstat(file)?;
    if (now.st_uid, now.st_gid) == (replaced.st_uid, replaced.st_gid) {
        return Ok(true);
    }
    let (owner, group) = (Uid::from_raw(replaced.st_uid), Gid::from_raw(replaced.st_gid));
    Ok(rustix::fs::fchown(file, Some(owner), Some(group)).is_ok())
}

/// The umask of this process, read where it can be without changing it; else the usual one. Nothing here
/// changes it, so it is read once.
pub(in crate::transfer) fn umask() -> u32 {
    static UMASK: OnceLock<u32> = OnceLock::new();
    *UMASK.get_or_init(|| {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
        line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o022)
    })
}
