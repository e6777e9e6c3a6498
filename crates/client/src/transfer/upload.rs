//! One file to the server: into a part beside its target, verified, renamed into place.
//!
//! `upload/part.rs` says what must travel, `upload/pump.rs` sends it, `upload/commit.rs` makes it the
//! target; a small file goes a shorter way (`small.rs`).

mod commit;
mod part;
mod pump;
mod source_blocks;
mod take_over;

use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{FileType, OFlags, Stat};

use super::lanes::{Lane, Reached};
use super::local::{self, LocalDir};
use super::passing::Passing;
use super::progress::{Event, FileReport, Note};
use super::resume::{Journal, SourceState};
use super::small::small_len_max;
use super::verify::{Found, Sides, passing_algorithm};
use super::waits::Sent;
use super::{Context, blocking, short_digest};
use crate::Error;
use crate::limits::RESUME_MIN_LEN;
use crate::sftp::Buffer;

pub(super) use commit::{final_attrs, keep_owner, repair_text, unless_unsupported};
pub(super) use part::Part;
use pump::Pump;
pub(crate) use take_over::beside;

/// A local file and where it goes.
pub(super) struct Upload {
    /// Bytes from the start that are in place for good.
    pub(super) reached: Reached,
    /// What the server was asked to give its name.
    pub(super) naming: Mutex<Option<Naming>>,
    pub(super) dir: Arc<LocalDir>,
    pub(super) name: Vec<u8>,
    /// For messages and journals.
    pub(super) source: Vec<u8>,
    /// Links are followed only for a file that the user named.
    pub(super) follow: bool,
    pub(super) target: Vec<u8>,
    /// The directory of the target was made for it: the server need not be asked what was there before.
    pub(super) replaces_nothing: bool,
}

/// A part that the server was asked to give its name, and the source as it was then.
pub(super) struct Naming {
    part: Vec<u8>,
    source: SourceState,
}

/// The source, open, and what it looked like.
pub(super) struct Source {
    pub(super) fd: Arc<OwnedFd>,
    pub(super) stat: Stat,
    pub(super) size: u64,
    /// All of it, if it is small enough to go in one request.
    content: Option<Buffer>,
}

/// What a file's upload has done so far.
#[derive(Default)]
pub(super) struct Tally {
    /// Bytes of content that travelled.
    pub(super) sent: u64,
    pub(super) notes: Vec<Note>,
}

impl Upload {
    /// Uploads, verifies, puts into place. A small file may go the short way, if `may_be_short`, and then
    /// may wait for a digest.
    pub(super) async fn run(
        &self,
        context: &Context,
        lane: &Lane,
        may_be_short: bool,
    ) -> Result<Sent<Vec<u8>>, Error> {
        let mut source = self.open_source(context, lane, may_be_short).await?;
        if self.reached.begins() {
            let bytes = Some(source.size);
            context.progress.event(&Event::Start { path: &self.source, bytes });
        }
        if let Some(content) = source.content.take() {
            return self.run_small(context, lane, &source, content).await;
        }
        let mut tally = Tally::default();
        let mut journal = self.journal(context, lane, &source);
        let result = self.run_large(context, lane, &source, &mut journal, &mut tally).await;
        let (resumed_from, verified) = result.inspect_err(|_| context.travelled(tally.sent))?;
        if let Some(mut journal) = journal {
            blocking(move || journal.remove()).await?;
        }
        Ok(Sent::Complete(FileReport {
            path: self.source.clone(),
            bytes: source.size,
            bytes_sent: tally.sent,
            resumed_from,
            verified,
            notes: tally.notes,
        }))
    }

    /// Returns the first byte that travelled, and how the content was verified.
    async fn run_large(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        journal: &mut Option<Journal>,
        tally: &mut Tally,
    ) -> Result<(u64, super::Verified), Error> {
        if let Some(verified) = self.was_named(context, lane, source).await? {
            return Ok((source.size, verified));
        }
        let (part, plan) = self.open_part(context, lane, source, journal).await?;
        let passing = passing_algorithm(context, lane, journal.is_some())
            .map(|algorithm| Passing::new(algorithm, source.fd.clone()));
        let mut pump =
            Pump::new(context, source, &part.file, plan.ranges.clone(), passing, &self.source);
        let result = pump.run(journal).await;
        tally.sent += pump.sent;
        let (contiguous, passing) = pump.end();
        self.reached.note(contiguous);
        if let Some(journal) = journal {
            // A hundred bytes into the page cache.
            journal.write(contiguous, passing.as_ref().and_then(|p| p.mark_within(contiguous)));
        }
        if let Err(error) = result {
            self.keep_part(&part, &plan, contiguous, &error).await;
            return Err(error);
        }
        let verified = self.commit(context, lane, source, part, passing, tally).await?;
        Ok((plan.resumed_from, verified))
    }

    /// How a file is verified of which a lost connection did not tell whether it got its name, if it did.
    async fn was_named(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
    ) -> Result<Option<super::Verified>, Error> {
        let part = {
            // Without digests only the source's looks tell that its content is still the same.
            let naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
            let naming = naming.as_ref().filter(|naming| naming.source == source.state());
            naming.map(|naming| naming.part.clone())
        };
        let Some(part) = part else { return Ok(None) };
        if !self.has_its_name(lane, &part, source.size).await? {
            return Ok(None);
        }
        let sides = Sides {
            context,
            lane,
            local: &source.fd,
            remote_path: &self.target,
            source: &self.source,
            len: source.size,
        };
        match sides.compare(None).await? {
            Found::Same(verified) => Ok(Some(verified)),
            Found::Differs(_) => Ok(None),
        }
    }

    async fn open_source(
        &self,
        context: &Context,
        lane: &Lane,
        may_be_short: bool,
    ) -> Result<Source, Error> {
        let (dir, name, follow) = (self.dir.clone(), self.name.clone(), self.follow);
        let is_short = may_be_short && !context.options.in_place;
        let small_max = if is_short { small_len_max(lane) } else { 0 };
        let (pool, source) = (lane.sftp.pool().clone(), self.source.clone());
        blocking(move || {
            let failed = |e: rustix::io::Errno| Error::local("open", dir.path_of(&name), e);
            let fd = if follow {
                let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
                rustix::fs::openat(
                    rustix::fs::CWD,
                    dir.path_of(&name),
                    flags,
                    rustix::fs::Mode::empty(),
                )
                .map_err(failed)?
            } else {
                dir.open_file(&name, OFlags::RDONLY, 0)?
            };
            let stat = rustix::fs::fstat(&fd).map_err(failed)?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                let error = std::io::Error::other("it is not a regular file");
                return Err(Error::local("read", dir.path_of(&name), error));
            }
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            // Files of /proc call themselves empty; an empty copy would be a silent loss.
            let mut first = Vec::new();
            if size == 0 && local::read_at(&fd, &mut first, 0, 1).is_ok() && !first.is_empty() {
                let why = "its size is not known before it is read";
                return Err(Error::unsuitable("read", &source, why));
            }
            let content = if size < small_max {
                let mut content = pool.take(size as usize);
                local::read_at(&fd, &mut content, 0, size as usize)
                    .map_err(|e| Error::local("read", dir.path_of(&name), e))?;
                let after = rustix::fs::fstat(&fd).map_err(failed)?;
                if content.len() as u64 != size || changed(&stat, &after) {
                    return Err(Error::SourceChanged { path: source });
                }
                Some(content)
            } else {
                None
            };
            Ok(Source { fd: Arc::new(fd), stat, size, content })
        })
        .await?
    }

    /// The journal of this source and of where it is written; small files need none.
    fn journal(&self, context: &Context, lane: &Lane, source: &Source) -> Option<Journal> {
        let dir = context.journals.clone().filter(|_| source.size >= RESUME_MIN_LEN)?;
        let host =
            lane.session.as_ref().map(|s| format!("{}@{}", s.user(), s.host())).unwrap_or_default();
        let written = self.part_path(context);
        let key = [host.as_bytes(), &self.source, &written].join(&0);
        let name = format!("{}.sterna-journal", short_digest(&key)).into_bytes();
        Some(Journal::new(dir, name, source.state()))
    }
}

impl Source {
    fn state(&self) -> SourceState {
        SourceState {
            size: self.size,
            modified: self.stat.st_mtime,
            nanos: u32::try_from(self.stat.st_mtime_nsec).unwrap_or(0),
        }
    }
}

fn changed(before: &Stat, after: &Stat) -> bool {
    let look = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    look(before) != look(after)
}
