//! One file to the server: read ahead, many writes in flight, renamed into place when it is right.

use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use rustix::fs::{FileType, OFlags, Stat};
use sterna_sftp_proto::Times;
use sterna_sftp_proto::attrs::clamp_seconds;
use sterna_sftp_proto::extension::Extension;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::lanes::Lane;
use super::local::{self, LocalDir};
use super::progress::{Event, FileReport, Verified};
use super::ranges::Done;
use super::resume::{Journal, SourceState, proven_len};
use super::small::small_len_max;
use super::window::Window;
use super::{Context, blocking, companion_name, short_digest, verify};
use crate::limits::{JOURNAL_STEP_LEN, PROGRESS_STEP_LEN, RESUME_MIN_LEN};
use crate::sftp::{
    Attrs, Buffer, BufferPool, File, FileKind, Frame, OpenOptions, RenameOutcome, ReplyTo,
};
use crate::{Error, Refusal};

/// Bytes that one hop to a thread reads.
const READ_AHEAD_LEN: usize = 1 << 20;

/// A local file and where it goes.
pub(super) struct Upload {
    pub(super) dir: Arc<LocalDir>,
    pub(super) name: Vec<u8>,
    /// For messages and journals.
    pub(super) source: Vec<u8>,
    /// Links are followed only for a file that the user named.
    pub(super) follow: bool,
    pub(super) target: Vec<u8>,
}

/// The source, open, and what it looked like.
pub(super) struct Source {
    pub(super) fd: Arc<OwnedFd>,
    pub(super) stat: Stat,
    pub(super) size: u64,
    /// All of it, if it is small enough to go in one request.
    content: Option<Buffer>,
}

/// The remote part, open for writing from `start` on.
pub(super) struct Part {
    pub(super) file: File,
    pub(super) path: Vec<u8>,
    start: u64,
    /// Mode of the file that it will replace, if that one's is kept.
    replaced_mode: Option<u32>,
}

impl Upload {
    /// Uploads, verifies, puts into place.
    pub(super) async fn run(&self, context: &Context, lane: &Lane) -> Result<FileReport, Error> {
        let mut source = self.open_source(context, lane).await?;
        context.progress.event(&Event::Start { path: &self.source, bytes: Some(source.size) });
        if let Some(content) = source.content.take() {
            return self.run_small(context, lane, &source, content).await;
        }
        let mut journal = self.journal(context, lane, &source);
        let part = self.open_part(context, lane, &source, &journal, false).await?;

        let mut pump = Pump::new(context, &source, &part);
        let result = pump.run(&self.source, &mut journal).await;
        let (sent, contiguous) = (pump.sent, pump.done.contiguous());
        drop(pump);
        let finished = match result {
            Ok(()) => self.finish(context, lane, &source, part).await,
            Err(error) => {
                self.keep_part(part, contiguous, journal.take(), &error).await;
                Err(error)
            }
        };
        let (start, verified, in_two_steps) = finished.inspect_err(|_| context.travelled(sent))?;
        if let Some(mut journal) = journal {
            blocking(move || journal.remove()).await?;
        }
        Ok(FileReport {
            path: self.source.clone(),
            bytes: source.size,
            bytes_sent: sent,
            resumed_from: start,
            verified,
            replaced_in_two_steps: in_two_steps,
        })
    }

    async fn open_source(&self, context: &Context, lane: &Lane) -> Result<Source, Error> {
        let (dir, name, follow) = (self.dir.clone(), self.name.clone(), self.follow);
        let small_max = if context.options.direct { 0 } else { small_len_max(lane) };
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

    /// The journal of this source and target; small files need none.
    fn journal(&self, context: &Context, lane: &Lane, source: &Source) -> Option<Journal> {
        let dir = context
            .journals
            .clone()
            .filter(|_| !context.options.direct && source.size >= RESUME_MIN_LEN)?;
        let host =
            lane.session.as_ref().map(|s| format!("{}@{}", s.user(), s.host())).unwrap_or_default();
        let key = [host.as_bytes(), &self.source, &self.target].join(&0);
        let name = format!("{}.sterna-journal", short_digest(&key)).into_bytes();
        let state = SourceState { size: source.size, modified: source.stat.st_mtime };
        Some(Journal::new(dir, name, state))
    }

    /// Opens the part, new or to go on with. `reads`: the server may be asked to read through it.
    pub(super) async fn open_part(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        journal: &Option<Journal>,
        reads: bool,
    ) -> Result<Part, Error> {
        // Side by side: no round trip more.
        let (part, replaced_mode) = tokio::join!(
            self.open_new_or_old(context, lane, source, journal, reads),
            self.mode_to_keep(context, lane)
        );
        Ok(Part { replaced_mode, ..part? })
    }

    /// Who replaces a file leaves to it who may read it, unless modes are to be those of the source.
    async fn mode_to_keep(&self, context: &Context, lane: &Lane) -> Option<u32> {
        if context.options.preserve || context.options.direct {
            return None;
        }
        let there = lane.sftp.lstat(&self.target).await.ok()?;
        let mode = there.permissions.filter(|_| FileKind::of(&there) == FileKind::File)?;
        Some(mode & 0o777)
    }

    async fn open_new_or_old(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        journal: &Option<Journal>,
        reads: bool,
    ) -> Result<Part, Error> {
        let sftp = &lane.sftp;
        // Whatever its mode will be, we must be able to open it again.
        let mode = (source.stat.st_mode & 0o777) | 0o600;
        let options = OpenOptions::new().read(reads).write(true).create(true).permissions(mode);
        if context.options.direct {
            let file = sftp.open(&self.target, options.truncate(true)).await?;
            return Ok(Part { file, path: self.target.clone(), start: 0, replaced_mode: None });
        }
        let path = part_path(&self.target);
        // EXCL: a link that somebody left under this name must not be written through.
        let refused = match sftp.open(&path, options.exclusive(true)).await {
            Ok(file) => return Ok(Part { file, path, start: 0, replaced_mode: None }),
            Err(error @ Error::Refused { .. }) => error,
            Err(error) => return Err(error),
        };
        let there = match sftp.lstat(&path).await {
            Ok(attrs) => attrs,
            Err(_) => return Err(refused),
        };
        if FileKind::of(&there) == FileKind::File {
            let start = match context.options.resume {
                true => self.proven(context, lane, source, &path, &there, journal).await?,
                false => 0,
            };
            if start > 0 {
                let file = sftp.open(&path, OpenOptions::new().write(true)).await?;
                file.set_attrs(&Attrs { size: Some(start), ..Attrs::default() }).await?;
                return Ok(Part { file, path, start, replaced_mode: None });
            }
        }
        sftp.remove(&path).await?;
        let file = sftp.open(&path, options.exclusive(true)).await?;
        Ok(Part { file, path, start: 0, replaced_mode: None })
    }

    async fn proven(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        path: &[u8],
        there: &Attrs,
        journal: &Option<Journal>,
    ) -> Result<u64, Error> {
        let usable = there.size.unwrap_or(0).min(source.size);
        if usable < RESUME_MIN_LEN {
            return Ok(0);
        }
        let noted = journal.as_ref().and_then(Journal::read);
        let proven = match lane.sftp.open(path, OpenOptions::new().read(true)).await {
            Ok(file) => proven_len(&source.fd, &file, usable, noted).await?,
            Err(error) if error.ends_channel() => return Err(error),
            Err(_) => 0,
        };
        if proven == 0 {
            let why = "what an earlier attempt left could not be proven to be right";
            context.progress.event(&Event::Retry { path: &self.source, why });
        }
        Ok(proven)
    }

    /// After a failure: what is behind the first gap is cut off as well as that is still possible.
    async fn keep_part(
        &self,
        part: Part,
        contiguous: u64,
        journal: Option<Journal>,
        error: &Error,
    ) {
        if !matches!(error, Error::Interrupted { .. } | Error::Peer { .. }) {
            let _ =
                part.file.set_attrs(&Attrs { size: Some(contiguous), ..Attrs::default() }).await;
        }
        if let Some(mut journal) = journal {
            let _ = blocking(move || journal.write(contiguous)).await;
        }
    }

    async fn finish(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        part: Part,
    ) -> Result<(u64, Verified, bool), Error> {
        let fd = source.fd.clone();
        let now = blocking(move || rustix::fs::fstat(&fd))
            .await?
            .map_err(|e| Error::local("stat", "", e))?;
        if changed(&source.stat, &now) {
            return Err(Error::SourceChanged { path: self.source.clone() });
        }
        let options = &context.options;
        if options.fsync && lane.sftp.has(Extension::Fsync) {
            match part.file.sync().await {
                // Announced, but not for this file system: it is as safe as it gets.
                Err(error) if error.refusal_code() == Some(Refusal::OP_UNSUPPORTED) => {}
                result => result?,
            }
        }
        self.set_attrs(context, lane, source, &part).await?;
        part.file.close().await?;
        let verified =
            match verify::verify(context, lane, &source.fd, &part.path, source.size, &self.source)
                .await
            {
                Err(error @ Error::VerificationFailed { .. }) => {
                    if !options.direct {
                        let _ = lane.sftp.remove(&part.path).await;
                    }
                    return Err(error);
                }
                result => result?,
            };
        let in_two_steps = if options.direct {
            false
        } else {
            self.put_into_place(context, lane, &part.path).await?
        };
        Ok((part.start, verified, in_two_steps))
    }

    async fn set_attrs(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        part: &Part,
    ) -> Result<(), Error> {
        let Some(attrs) = final_attrs(context, source, part) else { return Ok(()) };
        let set = match part.file.set_attrs(&attrs).await {
            // Servers without FSETSTAT may have SETSTAT.
            Err(error) if error.refusal_code() == Some(Refusal::OP_UNSUPPORTED) => {
                lane.sftp.set_attrs(&part.path, &attrs).await
            }
            result => result,
        };
        match set {
            // Nobody asked for it; stores without modes refuse it.
            Err(Error::Refused { .. }) if !context.options.preserve => Ok(()),
            result => result,
        }
    }

    /// Gives the part its name. True if the old target had to be removed first.
    pub(super) async fn put_into_place(
        &self,
        context: &Context,
        lane: &Lane,
        part_path: &[u8],
    ) -> Result<bool, Error> {
        let error = match lane.sftp.rename(part_path, &self.target).await {
            Ok(RenameOutcome::Atomic | RenameOutcome::Plain) => return Ok(false),
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
        Ok(true)
    }
}

/// What the part gets after its content, if it differs from what it was made with.
pub(super) fn final_attrs(context: &Context, source: &Source, part: &Part) -> Option<Attrs> {
    let made_with = source.stat.st_mode & 0o777;
    let mode = part.replaced_mode.unwrap_or(made_with);
    let preserve = context.options.preserve;
    let attrs = Attrs {
        permissions: (preserve || mode != made_with || mode & 0o600 != 0o600).then_some(mode),
        times: preserve.then(|| Times {
            accessed: clamp_seconds(source.stat.st_atime),
            modified: clamp_seconds(source.stat.st_mtime),
        }),
        ..Attrs::default()
    };
    (attrs.flags() != 0).then_some(attrs)
}

fn changed(before: &Stat, after: &Stat) -> bool {
    let look = |stat: &Stat| (stat.st_size, stat.st_mtime, stat.st_mtime_nsec);
    look(before) != look(after)
}

/// The part's path: its name beside the target.
fn part_path(target: &[u8]) -> Vec<u8> {
    let at = target.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
    [&target[..at], &companion_name(&target[at..], ".sterna-part")].concat()
}

type Chunks = Vec<(u64, Buffer)>;

/// The reads and writes of one file.
struct Pump<'p> {
    context: &'p Context,
    source: &'p Source,
    part: &'p Part,
    window: Window,
    /// Start, length and budget of each WRITE without an answer.
    flights: HashMap<u64, (u64, usize, Option<OwnedSemaphorePermit>)>,
    next_tag: u64,
    replies_in: mpsc::UnboundedSender<(u64, Result<Frame, Error>)>,
    replies: mpsc::UnboundedReceiver<(u64, Result<Frame, Error>)>,
    reading: Option<JoinHandle<std::io::Result<Chunks>>>,
    in_flight: usize,
    next_read: u64,
    done: Done,
    sent: u64,
    noted_at: u64,
    told_at: u64,
}

impl<'p> Pump<'p> {
    fn new(context: &'p Context, source: &'p Source, part: &'p Part) -> Self {
        let (replies_in, replies) = mpsc::unbounded_channel();
        let options = &context.options;
        Self {
            context,
            source,
            part,
            window: Window::new(options.window_start, options.window_max, Instant::now()),
            flights: HashMap::new(),
            next_tag: 0,
            replies_in,
            replies,
            reading: None,
            in_flight: 0,
            next_read: part.start,
            done: Done::new(part.start),
            sent: 0,
            noted_at: part.start,
            told_at: part.start,
        }
    }

    /// Sends everything and waits for every answer. The *first* refusal is the result, even if later
    /// writes succeed (CLT-5).
    async fn run(&mut self, path: &[u8], journal: &mut Option<Journal>) -> Result<(), Error> {
        let mut first_error = None;
        loop {
            if first_error.is_none() {
                self.read_ahead();
            }
            let is_reading = self.reading.is_some();
            if !is_reading && self.flights.is_empty() {
                break;
            }
            tokio::select! {
                Some((tag, reply)) = self.replies.recv() => {
                    match self.take_reply(tag, reply, path, journal) {
                        Ok(()) => {}
                        Err(error) if error.ends_channel() => return Err(first_error.unwrap_or(error)),
                        Err(error) => drop(first_error.get_or_insert(error)),
                    }
                }
                chunks = joined(&mut self.reading), if is_reading => {
                    self.reading = None;
                    if first_error.is_none() {
                        self.send(chunks?).await?;
                    }
                }
                () = self.context.cancel.cancelled() => return Err(Error::Cancelled),
            }
        }
        match first_error {
            Some(error) => Err(error),
            None if self.done.contiguous() == self.source.size => Ok(()),
            None => Err(Error::SourceChanged { path: path.to_vec() }),
        }
    }

    /// Begins to read the next bytes if the window has room for them.
    fn read_ahead(&mut self) {
        let left = self.source.size - self.next_read;
        let room = self.window.len().saturating_sub(self.in_flight);
        let step = self.part.file.sftp().limits().write_len as usize;
        let worth = step.min(usize::try_from(left).unwrap_or(usize::MAX));
        if left == 0 || self.reading.is_some() || (room < worth && self.in_flight > 0) {
            return;
        }
        let len =
            READ_AHEAD_LEN.min(room.max(worth)).min(usize::try_from(left).unwrap_or(usize::MAX));
        let (fd, offset, pool) =
            (self.source.fd.clone(), self.next_read, self.part.file.sftp().pool().clone());
        self.next_read += len as u64;
        self.reading =
            Some(tokio::task::spawn_blocking(move || read_chunks(&fd, offset, len, step, &pool)));
    }

    async fn send(&mut self, chunks: Chunks) -> Result<(), Error> {
        for (offset, data) in chunks {
            let len = data.len();
            // What is read is sent in any case; the budget only slows the next reads of all files.
            let permit = match self.context.try_budget(len) {
                Some(permit) => Some(permit),
                None if self.in_flight == 0 => Some(self.context.budget(len).await?),
                None => None,
            };
            let tag = self.next_tag;
            self.next_tag += 1;
            self.in_flight += len;
            self.sent += len as u64;
            self.flights.insert(tag, (offset, len, permit));
            let reply_to = ReplyTo::Tagged(tag, self.replies_in.clone());
            self.part.file.sftp().submit(self.part.file.write_call(offset, data, reply_to)).await?;
        }
        Ok(())
    }

    fn take_reply(
        &mut self,
        tag: u64,
        reply: Result<Frame, Error>,
        path: &[u8],
        journal: &mut Option<Journal>,
    ) -> Result<(), Error> {
        let Some((offset, len, _permit)) = self.flights.remove(&tag) else { return Ok(()) };
        self.in_flight -= len;
        self.part.file.write_result(&reply?)?;
        self.done.add(offset, len as u64);
        self.window.answered(len, Instant::now());
        let done = self.done.contiguous();
        if done >= self.noted_at + JOURNAL_STEP_LEN {
            self.noted_at = done;
            if let Some(journal) = journal {
                // A hundred bytes into the page cache: shorter than a hop to another thread.
                journal.write(done);
            }
        }
        if done >= self.told_at + PROGRESS_STEP_LEN {
            self.told_at = done;
            self.context.progress.event(&Event::Progress {
                path,
                done,
                total: Some(self.source.size),
            });
        }
        Ok(())
    }
}

async fn joined(
    reading: &mut Option<JoinHandle<std::io::Result<Chunks>>>,
) -> Result<Chunks, Error> {
    match reading {
        Some(handle) => match handle.await {
            Ok(chunks) => chunks.map_err(|e| Error::local("read", "", e)),
            Err(_) => Err(Error::Cancelled),
        },
        None => std::future::pending().await,
    }
}

/// Reads `len` bytes into buffers of at most `step`; fewer if the file ends.
fn read_chunks(
    fd: &OwnedFd,
    offset: u64,
    len: usize,
    step: usize,
    pool: &BufferPool,
) -> std::io::Result<Chunks> {
    let mut chunks = Vec::with_capacity(len.div_ceil(step));
    let mut at = 0;
    while at < len {
        let wanted = step.min(len - at);
        let mut data = pool.take(wanted);
        local::read_at(fd, &mut data, offset + at as u64, wanted)?;
        let got = data.len();
        // Never a WRITE without bytes: some servers refuse it.
        if got > 0 {
            chunks.push((offset + at as u64, data));
        }
        at += got;
        if got < wanted {
            break;
        }
    }
    Ok(chunks)
}
