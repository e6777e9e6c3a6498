//! One file from server to server: through here with bounded memory, or copied at the server where both
//! are one.
//!
//! Written beside its target, verified by the digests of both servers, renamed into place, as an upload
//! is. It goes on by itself when one of the two connections is lost. A part that is there already is
//! continued as far as both servers prove it by a digest; where they have none in common, as far as this
//! run knows that it had arrived, if the end of that is the same on both sides.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sterna_sftp_proto::extension::Extension;

use super::apply::verify_copy;
use super::entry::Entry;
use super::remote_side::{RemoteSide, is_unsupported};
use crate::limits::{RELAY_REQUESTS_MAX, RESUME_COMPARE_LEN, RESUME_MIN_LEN};
use crate::sftp::{Attrs, File, FileKind, OpenOptions, RenameOutcome, Sftp, Waiting};
use crate::transfer::{Carried, Event, FileReport, Note, Verified, beside, not_kept};
use crate::{Error, Refusal};

/// Copies `source` of one server to `target` of another, or the same.
pub(crate) async fn relay(
    from: &RemoteSide,
    to: &RemoteSide,
    source: &[u8],
    entry: &Entry,
    target: &[u8],
) -> Result<FileReport, Error> {
    let mover = &to.mover;
    mover.event(&Event::Start { path: source, bytes: entry.size });
    let relay = &Relay {
        from,
        to,
        source,
        entry,
        target,
        part: beside(target),
        carried: Carried::default(),
        left: Mutex::default(),
    };
    // Whichever connection is lost, its own lanes bring another.
    let work = mover.carry(source, &relay.carried, |there| async move {
        let attempt = |here| relay.attempt(here, there.clone());
        from.mover.carry(source, &relay.carried, attempt).await
    });
    tokio::select! {
        result = work => result,
        () = mover.cancel().cancelled() => Err(Error::Cancelled),
    }
}

/// One file under way.
struct Relay<'a> {
    from: &'a RemoteSide,
    to: &'a RemoteSide,
    source: &'a [u8],
    entry: &'a Entry,
    target: &'a [u8],
    /// Where it is written.
    part: Vec<u8>,
    carried: Carried,
    left: Mutex<Left>,
}

/// What attempts leave to the next one.
#[derive(Debug, Default)]
struct Left {
    /// How the source looked.
    looks: Option<Looks>,
    /// Bytes from the start that the target said it has.
    arrived: u64,
    /// The part was, perhaps, given its name.
    naming: bool,
}

/// Size, time, and its nanoseconds: what changes when a file is written. Reading it changes the time of
/// access.
type Looks = (Option<u64>, Option<u32>, Option<u32>);

fn looks(attrs: &Attrs) -> Looks {
    (attrs.size, attrs.times.map(|times| times.modified), attrs.modified_nanos())
}

impl Relay<'_> {
    fn left(&self) -> MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins, or goes on with what earlier attempts left, and brings the file to its end.
    async fn attempt(&self, from: Sftp, to: Sftp) -> Result<FileReport, Error> {
        let mover = &self.to.mover;
        let may_continue = mover.options().resume || !self.carried.begins();
        let reading = from.open(self.source, OpenOptions::new().read(true)).await?;
        let before = reading.stat().await?;
        let whole = before.size.unwrap_or(0);
        if let Some(verified) = self.has_its_name(&to, whole).await? {
            return Ok(self.report((whole, 0, whole), verified, Vec::new()));
        }
        self.forget_unless(looks(&before));
        let usable = if may_continue { whole } else { 0 };
        let (part, start) = self.open_part(&from, &to, usable).await?;
        let copied = match from.is_same(&to) && start == 0 {
            true => copy_at_server(&reading, &part, whole).await?,
            false => None,
        };
        let (size, sent) = match copied {
            Some(size) => (size, 0),
            None => {
                let reopened = from.open(self.source, OpenOptions::new().read(true)).await?;
                let mut sent = 0;
                let piped = self.pipe(reopened, &part, start, &mut sent, before.size).await;
                (piped.inspect_err(|_| mover.travelled(sent))?, sent)
            }
        };
        let finished = async {
            let after = reading.stat().await?;
            if looks(&before) != looks(&after) || before.size != Some(size) {
                return Err(Error::SourceChanged { path: self.source.to_vec() });
            }
            let mut notes = self.finish_part(&to, part).await?;
            let verified = self.verify(&self.part, size).await;
            if matches!(verified, Err(Error::VerificationFailed { .. })) {
                let _ = to.remove(&self.part).await;
            }
            let verified = verified?;
            self.left().naming = true;
            notes.extend(self.put_into_place(&to).await?);
            mover.named(self.target).await;
            Ok((verified, notes))
        };
        let (verified, notes) = finished.await.inspect_err(|_| mover.travelled(sent))?;
        Ok(self.report((size, sent, start), verified, notes))
    }

    fn report(
        &self,
        (bytes, bytes_sent, resumed_from): (u64, u64, u64),
        verified: Verified,
        notes: Vec<Note>,
    ) -> FileReport {
        let path = self.source.to_vec();
        FileReport { path, bytes, bytes_sent, resumed_from, verified, notes }
    }

    async fn verify(&self, copy: &[u8], size: u64) -> Result<Verified, Error> {
        verify_copy((self.from, self.source), (self.to, copy), size).await
    }

    /// How the target is known to be right, if an attempt of ours that heard nothing more gave it its name.
    async fn has_its_name(&self, to: &Sftp, size: u64) -> Result<Option<Verified>, Error> {
        if !self.left().naming {
            return Ok(None);
        }
        match to.lstat(&self.part).await {
            Err(error) if error.is_not_found() => {}
            Err(error) if error.ends_channel() => return Err(error),
            _ => return Ok(None),
        }
        match to.lstat(self.target).await {
            Ok(there) if there.size == Some(size) => {}
            Err(error) if error.ends_channel() => return Err(error),
            _ => return Ok(None),
        }
        match self.verify(self.target, size).await {
            Ok(verified) => Ok(Some(verified)),
            Err(Error::VerificationFailed { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What had arrived counts only as long as the source looks the same.
    fn forget_unless(&self, looks: Looks) {
        let mut left = self.left();
        if left.looks.replace(looks) != Some(looks) {
            left.arrived = 0;
        }
    }

    /// The part, open for writing, and how much of it is proven; nothing beyond `usable` bytes.
    async fn open_part(&self, from: &Sftp, to: &Sftp, usable: u64) -> Result<(File, u64), Error> {
        // Whatever its mode will be, we must be able to open it again.
        let mode = self.entry.mode.unwrap_or(0o644) & 0o777 | 0o600;
        let fresh = OpenOptions::new().write(true).create(true).exclusive(true).permissions(mode);
        let refused = match to.open(&self.part, fresh).await {
            Ok(file) => return Ok((file, 0)),
            Err(error @ Error::Refused { .. }) => error,
            Err(error) => return Err(error),
        };
        let Ok(there) = to.lstat(&self.part).await else { return Err(refused) };
        if FileKind::of(&there) == FileKind::File {
            let usable = there.size.unwrap_or(0).min(usable);
            let proven = self.proven(from, to, usable).await?;
            if proven > 0 {
                let writing = OpenOptions::new().write(true);
                let file = match to.open(&self.part, writing).await {
                    // It has its final mode already, which may keep us out; it gets it again afterwards.
                    Err(Error::Refused { .. }) => {
                        let writable = Attrs { permissions: Some(0o600), ..Attrs::default() };
                        to.set_attrs(&self.part, &writable).await?;
                        to.open(&self.part, writing).await?
                    }
                    opened => opened?,
                };
                file.set_attrs(&Attrs { size: Some(proven), ..Attrs::default() }).await?;
                return Ok((file, proven));
            }
        }
        to.remove(&self.part).await?;
        Ok((to.open(&self.part, fresh).await?, 0))
    }

    /// How many bytes of the part are right, of the first `usable`.
    async fn proven(&self, from: &Sftp, to: &Sftp, usable: u64) -> Result<u64, Error> {
        let arrived = self.left().arrived.min(usable);
        let mut lens = vec![usable, arrived];
        lens.dedup();
        for len in lens.into_iter().filter(|len| *len >= RESUME_MIN_LEN) {
            match self.prefixes_agree(from, to, len).await? {
                Some(true) => return Ok(len),
                Some(false) => {}
                None if arrived >= RESUME_MIN_LEN => {
                    let agree = self.ends_agree(from, to, arrived).await?;
                    return Ok(if agree { arrived } else { 0 });
                }
                None => return Ok(0),
            }
        }
        Ok(0)
    }

    /// Whether both servers say the same of the first `len` bytes; `None` if they have no digest in common.
    async fn prefixes_agree(
        &self,
        from: &Sftp,
        to: &Sftp,
        len: u64,
    ) -> Result<Option<bool>, Error> {
        let theirs = self.to.mover.check_algorithms().await?;
        let ours = self.from.mover.check_algorithms().await?;
        let Some(algorithm) = ours.into_iter().find(|a| theirs.contains(a)) else {
            return Ok(None);
        };
        let algorithms = [algorithm];
        let both = tokio::join!(
            from.check_file(self.source, &algorithms, 0, len, 0),
            to.check_file(&self.part, &algorithms, 0, len, 0)
        );
        match both {
            (Ok(ours), Ok(theirs)) => Ok(Some(ours.digests == theirs.digests)),
            (Err(error), _) | (_, Err(error)) if error.ends_channel() => Err(error),
            _ => Ok(None),
        }
    }

    /// Whether the last bytes before `len` are the same on both sides.
    async fn ends_agree(&self, from: &Sftp, to: &Sftp, len: u64) -> Result<bool, Error> {
        let start = len.saturating_sub(RESUME_COMPARE_LEN);
        let both = tokio::join!(
            read_range(from, self.source, start, len),
            read_range(to, &self.part, start, len)
        );
        match both {
            (Ok(ours), Ok(theirs)) => Ok(ours == theirs && ours.len() as u64 == len - start),
            (Err(error), _) | (_, Err(error)) if error.ends_channel() => Err(error),
            _ => Ok(false),
        }
    }

    /// Reads ahead and writes behind; returns the size that the part has then.
    async fn pipe(
        &self,
        reading: File,
        part: &File,
        start: u64,
        sent: &mut u64,
        total: Option<u64>,
    ) -> Result<u64, Error> {
        let mover = &self.to.mover;
        let left = total.unwrap_or(0).saturating_sub(start);
        let request = part.sftp().limits().write_len;
        // One more finds the end.
        let ahead =
            left.div_ceil(request.into()).saturating_add(1).min(RELAY_REQUESTS_MAX as u64) as usize;
        let _memory = mover.budget(2 * ahead * request as usize).await?;
        let mut reader = reading.reader_from(start, ahead);
        let mut writes: VecDeque<(u64, Waiting)> = VecDeque::with_capacity(RELAY_REQUESTS_MAX);
        let step = request as usize;
        let mut at = start;
        self.arrived(start);
        while let Some(data) = reader.next().await? {
            for chunk in data.chunks(step) {
                if writes.len() >= RELAY_REQUESTS_MAX
                    && let Some((end, oldest)) = writes.pop_front()
                {
                    part.write_result(&oldest.frame().await?)?;
                    self.arrived(end);
                }
                mover.pace(chunk.len()).await?;
                let mut buffer = part.sftp().pool().take(chunk.len());
                buffer.extend_from_slice(chunk);
                let write = part.begin_write(at, buffer).await?;
                at += chunk.len() as u64;
                *sent += chunk.len() as u64;
                writes.push_back((at, write));
            }
            mover.event(&Event::Progress { path: self.source, done: at, total });
        }
        for (end, write) in writes {
            part.write_result(&write.frame().await?)?;
            self.arrived(end);
        }
        Ok(at)
    }

    /// The target has everything before `end`.
    fn arrived(&self, end: u64) {
        self.left().arrived = end;
        self.carried.note(end);
    }

    async fn finish_part(&self, to: &Sftp, part: File) -> Result<Vec<Note>, Error> {
        let mover = &self.to.mover;
        let mut notes = Vec::new();
        if mover.options().fsync && to.has(Extension::Fsync) {
            match part.sync().await {
                // Announced, but not for this file system: it is as safe as it gets.
                Err(error) if error.refusal_code() == Some(Refusal::OP_UNSUPPORTED) => {
                    notes.push(Note::NotSynced);
                }
                result => result?,
            }
        } else if mover.options().fsync {
            notes.push(Note::NotSynced);
        }
        let mode = self.entry.mode.map(|mode| mode & 0o777);
        let attrs = self.entry.with_times_of(Attrs { permissions: mode, ..Attrs::default() });
        let set = match part.set_attrs(&attrs).await {
            // Servers without FSETSTAT may have SETSTAT.
            Err(error) if is_unsupported(&error) => to.set_attrs(&self.part, &attrs).await,
            result => result,
        };
        let refused = match set {
            Err(Error::Refused { .. }) if mover.options().attrs_may_fail => true,
            set => set.map(|()| false)?,
        };
        part.close().await?;
        if refused {
            notes.extend([Note::ModeNotKept, Note::TimesNotKept]);
        } else if let (Some(mode), Some(times), true) = (mode, attrs.times, mover.looks_at_attrs())
        {
            match to.lstat(&self.part).await {
                Ok(there) => notes.extend(not_kept(mode, times.modified, &there)),
                Err(error) if error.ends_channel() => return Err(error),
                Err(_) => {}
            }
        }
        Ok(notes)
    }

    /// Gives the part its name.
    async fn put_into_place(&self, to: &Sftp) -> Result<Option<Note>, Error> {
        let error = match to.rename(&self.part, self.target).await {
            Ok(RenameOutcome::Atomic | RenameOutcome::Plain) => return Ok(None),
            Err(error @ Error::Refused { .. }) => error,
            Err(error) => return Err(error),
        };
        let may = self.to.mover.options().replace_in_two_steps && !to.has(Extension::PosixRename);
        if !may || to.lstat(self.target).await.is_err() {
            return Err(error);
        }
        to.remove(self.target).await?;
        to.rename_plain(&self.part, self.target).await?;
        Ok(Some(Note::ReplacedInTwoSteps))
    }
}

/// Bytes of a file from `start` to `end`, fewer if it is shorter.
async fn read_range(sftp: &Sftp, path: &[u8], start: u64, end: u64) -> Result<Vec<u8>, Error> {
    let file = sftp.open(path, OpenOptions::new().read(true)).await?;
    let len = usize::try_from(end - start).unwrap_or(usize::MAX);
    let mut reader = file.reader_from(start, RELAY_REQUESTS_MAX);
    let mut bytes = Vec::with_capacity(len);
    while bytes.len() < len
        && let Some(data) = reader.next().await?
    {
        bytes.extend_from_slice(&data);
    }
    bytes.truncate(len);
    Ok(bytes)
}

/// Copies by `copy-data`; `None` if the server cannot.
async fn copy_at_server(source: &File, part: &File, size: u64) -> Result<Option<u64>, Error> {
    if size == 0 {
        return Ok(Some(0));
    }
    match source.copy_data(0, 0, part, 0).await {
        // Some servers answer success although the source ended early.
        Ok(()) => Ok(part.stat().await?.size),
        Err(error) if is_unsupported(&error) => Ok(None),
        Err(error) => Err(error),
    }
}
