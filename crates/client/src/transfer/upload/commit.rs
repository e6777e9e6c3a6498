//! From a complete part to the target: stable, with its attributes, verified, repaired once if it
//! must be, and then renamed. What could not be done so is a note in the report.

use std::sync::PoisonError;

use sterna_sftp_proto::Times;
use sterna_sftp_proto::attrs::{Owner, clamp_seconds};
use sterna_sftp_proto::extension::Extension;

use super::pump::Pump;
use super::{Naming, Part, Source, Tally, Upload, changed};
use crate::sftp::{Attrs, FileKind, OpenOptions, RenameOutcome};
use crate::transfer::lanes::Lane;
use crate::transfer::passing::Passing;
use crate::transfer::progress::{Event, Note};
use crate::transfer::ranges::Ranges;
use crate::transfer::verify::{Found, Sides, failed};
use crate::transfer::{Context, Verified, blocking};
use crate::{Error, Refusal};

impl Upload {
    /// Verifies the part, repairs it if it must be, and gives it its name.
    pub(super) async fn commit(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        part: Part,
        passing: Option<Passing>,
        tally: &mut Tally,
    ) -> Result<Verified, Error> {
        let (path, replaced) = (part.path.clone(), part.replaced);
        self.settle(context, lane, source, part, tally).await?;
        let sides = Sides {
            context,
            lane,
            local: &source.fd,
            remote_path: &path,
            source: &self.source,
            len: source.size,
        };
        let found = match sides.compare(passing).await? {
            Found::Same(verified) => Ok(verified),
            Found::Differs(why) => self.repair(source, &sides, replaced, why, tally).await,
        };
        let verified = match found {
            Err(error @ Error::VerificationFailed { .. }) => {
                if !context.options.in_place {
                    let _ = lane.sftp.remove(&path).await;
                }
                return Err(error);
            }
            found => found?,
        };
        if !context.options.in_place {
            let naming = Naming { part: path.clone(), source: source.state() };
            *self.naming.lock().unwrap_or_else(PoisonError::into_inner) = Some(naming);
            tally.notes.extend(self.put_into_place(context, lane, &path).await?);
        }
        Ok(verified)
    }

    /// Brings a part that is all written to stable storage, gives it its attributes and closes it.
    async fn settle(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        mut part: Part,
        tally: &mut Tally,
    ) -> Result<(), Error> {
        let fd = source.fd.clone();
        let now = blocking(move || rustix::fs::fstat(&fd))
            .await?
            .map_err(|e| Error::local("stat", "", e))?;
        if changed(&source.stat, &now) {
            return Err(Error::SourceChanged { path: self.source.clone() });
        }
        // All of it leaves at once; a server treats requests for one file in their order.
        let attrs = final_attrs(context, source, &part);
        let owner = part.replaced.and_then(|replaced| replaced.owner);
        let sync = match context.options.fsync && lane.sftp.has(Extension::Fsync) {
            true => Some(part.file.begin_sync().await?),
            false => None,
        };
        let stat = match owner {
            Some(_) => Some(part.file.begin_stat().await?),
            None => None,
        };
        let set = match &attrs {
            Some(attrs) => Some(part.file.begin_set_attrs(attrs).await?),
            None => None,
        };
        let close = part.file.begin_close().await?;

        let synced = match sync {
            Some(sync) => unless_unsupported(part.file.done(&sync.frame().await?, "sync"))?,
            None => !context.options.fsync,
        };
        let stat = match stat {
            Some(stat) => part.file.stat_result(&stat.frame().await?).ok(),
            None => None,
        };
        let set = match set {
            Some(set) => part.file.done(&set.frame().await?, "set attributes of"),
            None => Ok(()),
        };
        part.file.done(&close.frame().await?, "close")?;
        if !synced {
            tally.note(Note::NotSynced);
        }
        if let Some(attrs) = attrs {
            tally.notes.extend(self.judge_attrs(context, lane, &part.path, &attrs, set).await?);
        }
        if let Some(note) = keep_owner(lane, &part.path, owner, stat).await? {
            tally.note(note);
        }
        Ok(())
    }

    /// What became of setting attributes by handle; it is tried by path where the server cannot.
    pub(in crate::transfer) async fn judge_attrs(
        &self,
        context: &Context,
        lane: &Lane,
        path: &[u8],
        attrs: &Attrs,
        set: Result<(), Error>,
    ) -> Result<Vec<Note>, Error> {
        let set = match set {
            // Servers without FSETSTAT may have SETSTAT.
            Err(error) if error.refusal_code() == Some(Refusal::OP_UNSUPPORTED) => {
                lane.sftp.set_attrs(path, attrs).await
            }
            set => set,
        };
        match set {
            Err(Error::Refused { .. }) if context.attrs_may_fail() => {
                let times = attrs.times.map(|_| Note::TimesNotKept);
                Ok([Some(Note::ModeNotKept), times].into_iter().flatten().collect())
            }
            set => set.map(|()| Vec::new()),
        }
    }

    /// Sends the blocks that differ once more, and compares again.
    pub(in crate::transfer) async fn repair(
        &self,
        source: &Source,
        sides: &Sides<'_>,
        replaced: Option<Attrs>,
        why: String,
        tally: &mut Tally,
    ) -> Result<Verified, Error> {
        let (context, lane, path) = (sides.context, sides.lane, sides.remote_path);
        let Some(ranges) = self.differing(sides).await? else {
            return Err(failed(&self.source, &why, None));
        };
        let Some(first) = ranges.first() else {
            // Block for block it is the same now: the length may differ, or it changes all the time.
            return Err(failed(&self.source, &why, None));
        };
        let text = repair_text(&ranges, first);
        context.progress.event(&Event::Retry { path: &self.source, why: &text });
        let writing = OpenOptions::new().write(true);
        let file = match lane.sftp.open(path, writing).await {
            // It has its final mode already, which may keep us out; it gets it again afterwards.
            Err(Error::Refused { .. }) if !context.options.in_place => {
                let writable = Attrs { permissions: Some(0o600), ..Attrs::default() };
                lane.sftp.set_attrs(path, &writable).await?;
                lane.sftp.open(path, writing).await?
            }
            opened => opened?,
        };
        let mut pump = Pump::new(context, source, &file, ranges, None, &self.source);
        let result = pump.run(&mut None).await;
        tally.sent += pump.sent;
        drop(pump);
        result?;
        let part = Part { file, path: path.to_vec(), replaced };
        self.settle(context, lane, source, part, tally).await?;
        match sides.compare(None).await? {
            Found::Same(verified) => Ok(verified),
            Found::Differs(why) => {
                let still = self.differing(sides).await?;
                let still = still.and_then(|ranges| ranges.first()).unwrap_or(first);
                Err(failed(&self.source, &why, Some(still)))
            }
        }
    }

    async fn differing(&self, sides: &Sides<'_>) -> Result<Option<Ranges>, Error> {
        if !sides.can_tell_blocks() {
            return Ok(None);
        }
        match sides.lane.sftp.open(sides.remote_path, OpenOptions::new().read(true)).await {
            Ok(remote) => sides.differing(&remote).await,
            Err(error @ Error::Refused { .. }) if !sides.context.is_too_much_at_once(&error) => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Gives the part its name. The old target may have to be removed first, which is noted.
    pub(in crate::transfer) async fn put_into_place(
        &self,
        context: &Context,
        lane: &Lane,
        part_path: &[u8],
    ) -> Result<Option<Note>, Error> {
        self.remove_left(lane, part_path).await?;
        let error = match lane.sftp.rename(part_path, &self.target).await {
            Ok(RenameOutcome::Atomic | RenameOutcome::Plain) => return Ok(None),
            Err(error @ Error::Refused { .. }) => error,
            Err(error) => return Err(error),
        };
        if lane.sftp.has(Extension::PosixRename) || !context.options.replace_in_two_steps {
            return Err(error);
        }
        let there = lane.sftp.lstat(&self.target).await;
        if !there
            .is_ok_and(|attrs| matches!(FileKind::of(&attrs), FileKind::File | FileKind::Symlink))
        {
            return Err(error);
        }
        lane.sftp.remove(&self.target).await?;
        lane.sftp.rename_plain(part_path, &self.target).await?;
        Ok(Some(Note::ReplacedInTwoSteps))
    }
}

impl Tally {
    pub(in crate::transfer) fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// Gives the file at `path` the owner of the one that it replaces, if it has another one.
pub(in crate::transfer) async fn keep_owner(
    lane: &Lane,
    path: &[u8],
    wanted: Option<Owner>,
    now: Option<Attrs>,
) -> Result<Option<Note>, Error> {
    let (Some(wanted), Some(now)) = (wanted, now.and_then(|now| now.owner)) else {
        return Ok(None);
    };
    if wanted == now {
        return Ok(None);
    }
    match lane.sftp.set_attrs(path, &Attrs { owner: Some(wanted), ..Attrs::default() }).await {
        Ok(()) => Ok(None),
        Err(Error::Refused { .. }) => Ok(Some(Note::OwnerNotKept)),
        Err(error) => Err(error),
    }
}

/// What the part gets after its content, if it differs from what it was made with.
pub(in crate::transfer) fn final_attrs(
    context: &Context,
    source: &Source,
    part: &Part,
) -> Option<Attrs> {
    let preserve = context.options.preserve;
    if context.options.in_place && !preserve {
        // It may have been there before, with a mode of its own.
        return None;
    }
    let made_with = source.stat.st_mode & 0o777;
    // Who replaces a file leaves to it who may read it, unless modes are to be those of the source.
    let replaced = part.replaced.filter(|_| !preserve).and_then(|there| there.permissions);
    let mode = replaced.map_or(made_with, |mode| mode & 0o777);
    let attrs = Attrs {
        permissions: (preserve || mode != made_with || mode & 0o600 != 0o600).then_some(mode),
        times: preserve.then(|| Times {
            accessed: clamp_seconds(source.stat.st_atime),
            modified: clamp_seconds(source.stat.st_mtime),
        }),
        ..Attrs::default()
    };
    let nanos = |nanos| u32::try_from(nanos).unwrap_or(0);
    let attrs = match preserve {
        true => {
            attrs.with_nanos(nanos(source.stat.st_atime_nsec), nanos(source.stat.st_mtime_nsec))
        }
        false => attrs,
    };
    (attrs.flags() != 0).then_some(attrs)
}

/// Whether it was done; a server that lacks the operation is no error.
pub(in crate::transfer) fn unless_unsupported(result: Result<(), Error>) -> Result<bool, Error> {
    match result {
        Ok(()) => Ok(true),
        // Announced, but not for this file system: it is as safe as it gets.
        Err(error) if error.refusal_code() == Some(Refusal::OP_UNSUPPORTED) => Ok(false),
        Err(error) => Err(error),
    }
}

/// What is said when blocks are transferred once more.
pub(in crate::transfer) fn repair_text(ranges: &Ranges, first: u64) -> String {
    format!(
        "what arrived differs from byte {first} on; {} bytes are transferred once more",
        ranges.len()
    )
}
