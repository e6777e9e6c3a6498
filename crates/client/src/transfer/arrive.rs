//! One file from beginning to end, over as many connections as it takes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use sterna_sftp_proto::attrs::clamp_seconds;

use super::download::Download;
use super::flock::Place;
use super::lanes::{Lane, Reached};
use super::local::LocalDir;
use super::progress::{Event, FileReport, Note};
use super::upload::Upload;
use super::waits::{Sent, Waits};
use super::{Context, blocking};
use crate::Error;
use crate::limits::TIME_STEP_MAX;
use crate::sftp::Attrs;

impl Download {
    /// A remote file `source` that goes to `name` in `dir`. `attrs` are those of the source.
    pub(super) fn new(source: Vec<u8>, attrs: Attrs, dir: Arc<LocalDir>, name: Vec<u8>) -> Self {
        Self { reached: Reached::default(), source, attrs, dir, name }
    }

    /// Downloads the file; goes on by itself after a lost connection.
    ///
    /// # Errors
    /// Whatever else keeps this file from arriving.
    pub(super) async fn arrive(
        &self,
        context: &Context,
        place: Place,
    ) -> Result<FileReport, Error> {
        let path = &self.source[..];
        context.progress.event(&Event::Start { path, bytes: self.attrs.size });
        let run = |lane: Arc<Lane>| async move {
            match self.run_small(context, &lane).await? {
                Some(sent) => Ok(sent),
                None => self.run(context, &lane).await.map(Sent::Complete),
            }
        };
        // Boxed: who waits afterwards does not keep the room for it.
        let sent = Box::pin(context.file_on_lane(path, &self.reached, run)).await?;
        let waits = match sent {
            Sent::Complete(report) => return Ok(report),
            Sent::Waits(waits) => waits,
        };
        let _waiting = place.step_aside().await;
        if let Some(verified) = waits.verified(context, path, path).await? {
            let notes = self.put_into_place(context, waits.part).await?;
            return Ok(FileReport::whole(path, waits.size, verified, notes));
        }
        // Its part is locked as long as it is there.
        drop(waits);
        let at_length = |lane: Arc<Lane>| async move { self.run(context, &lane).await };
        Box::pin(context.file_on_lane(path, &self.reached, at_length)).await
    }
}

impl Upload {
    /// The local file `name` in `dir` that goes to the remote path `target`. `source` is for messages;
    /// `follow` if the name may be a link.
    pub(super) fn new(
        dir: Arc<LocalDir>,
        name: Vec<u8>,
        source: Vec<u8>,
        follow: bool,
        target: Vec<u8>,
    ) -> Self {
        let (reached, naming) = (Reached::default(), Mutex::default());
        Self { reached, naming, dir, name, source, follow, target, replaces_nothing: false }
    }

    /// Uploads the file; goes on by itself after a lost connection.
    ///
    /// # Errors
    /// Whatever else keeps this file from arriving.
    pub(super) async fn arrive(
        &self,
        context: &Context,
        place: Place,
    ) -> Result<FileReport, Error> {
        let mut report = self.travel(context, place).await?;
        context.named(&self.target).await;
        if context.options.preserve && !context.attrs_looked_at.swap(true, Ordering::Relaxed) {
            for note in self.attrs_not_kept(context).await {
                report.note(note);
            }
        }
        Ok(report)
    }

    /// What the target has otherwise than the source although the server said that it had set it. Nothing
    /// that goes wrong here makes the file wrong.
    async fn attrs_not_kept(&self, context: &Context) -> Vec<Note> {
        let (dir, name, follow) = (self.dir.clone(), self.name.clone(), self.follow);
        let look = move || match follow {
            true => dir.stat_through(&name).map(Some),
            false => dir.stat(&name),
        };
        let Ok(Ok(Some(ours))) = blocking(look).await else { return Vec::new() };
        let target = &self.target[..];
        let look = |lane: Arc<Lane>| async move { lane.sftp.lstat(target).await };
        let looked = context.on_lane(&self.source, &Reached::default(), look).await;
        let Ok(theirs) = looked else { return Vec::new() };
        not_kept(ours.st_mode, clamp_seconds(ours.st_mtime), &theirs)
    }

    async fn travel(&self, context: &Context, place: Place) -> Result<FileReport, Error> {
        let path = &self.source[..];
        let run = |lane: Arc<Lane>| async move { self.run(context, &lane, true).await };
        // Boxed: who waits afterwards does not keep the room for it.
        let sent = Box::pin(context.file_on_lane(path, &self.reached, run)).await?;
        let waits = match sent {
            Sent::Complete(report) => return Ok(report),
            Sent::Waits(waits) => waits,
        };
        let _waiting = place.step_aside().await;
        let part = &waits.part[..];
        if let Some(verified) = waits.verified(context, path, part).await? {
            let asked = AtomicBool::new(false);
            let name = |lane: Arc<Lane>| self.give_name(context, lane, &waits, &asked);
            let note = context.on_lane(path, &Reached::default(), name).await?;
            let notes = waits.notes.iter().copied().chain(note).collect();
            return Ok(FileReport::whole(path, waits.size, verified, notes));
        }
        let at_length = |lane: Arc<Lane>| async move { self.run(context, &lane, false).await };
        match Box::pin(context.file_on_lane(path, &self.reached, at_length)).await? {
            Sent::Complete(report) => Ok(report),
            Sent::Waits(_) => unreachable!("only small files wait"),
        }
    }

    /// Gives a part that is right its name. Asked again after a lost connection, it sees whether the
    /// server had done so before.
    async fn give_name(
        &self,
        context: &Context,
        lane: Arc<Lane>,
        waits: &Waits<Vec<u8>>,
        asked: &AtomicBool,
    ) -> Result<Option<Note>, Error> {
        if asked.swap(true, Ordering::Relaxed)
            && self.has_its_name(&lane, &waits.part, waits.size).await?
            && waits.verified(context, &self.source, &self.target).await?.is_some()
        {
            return Ok(None);
        }
        self.put_into_place(context, &lane, &waits.part).await
    }

    /// Whether the part is gone and the target is as long as it was.
    pub(super) async fn has_its_name(
        &self,
        lane: &Lane,
        part: &[u8],
        size: u64,
    ) -> Result<bool, Error> {
        match lane.sftp.lstat(part).await {
            Err(error) if error.is_not_found() => {}
            Err(error @ Error::Interrupted { .. }) => return Err(error),
            _ => return Ok(false),
        }
        match lane.sftp.lstat(&self.target).await {
            Ok(there) => Ok(there.size == Some(size)),
            Err(error @ Error::Interrupted { .. }) => Err(error),
            Err(_) => Ok(false),
        }
    }
}

/// Which of a mode and a time, in seconds, a server has otherwise. What it does not say is not judged.
pub(crate) fn not_kept(mode: u32, modified: u32, theirs: &Attrs) -> Vec<Note> {
    let mut notes = Vec::new();
    if theirs.permissions.is_some_and(|theirs| theirs & 0o777 != mode & 0o777) {
        notes.push(Note::ModeNotKept);
    }
    if theirs.times.is_some_and(|theirs| theirs.modified.abs_diff(modified) > TIME_STEP_MAX) {
        notes.push(Note::TimesNotKept);
    }
    notes
}
