//! One file from the server: many reads in flight, written where they belong as they arrive.

use std::collections::{HashMap, VecDeque};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rustix::fs::{FileType, OFlags};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;

use super::lanes::Lane;
use super::local::{self, LocalDir};
use super::progress::{Event, FileReport};
use super::ranges::Done;
use super::resume::{Journal, SourceState, proven_len};
use super::window::Window;
use super::{Context, blocking, companion_name, verify};
use crate::Error;
use crate::limits::{EMPTY_READS_MAX, JOURNAL_STEP_LEN, PROGRESS_STEP_LEN, RESUME_MIN_LEN};
use crate::sftp::{Attrs, File, Frame, OpenOptions, ReplyTo};

/// A remote file and where it goes.
pub(super) struct Download {
    pub(super) source: Vec<u8>,
    pub(super) attrs: Attrs,
    pub(super) dir: Arc<LocalDir>,
    pub(super) name: Vec<u8>,
}

/// A part on disk, open, and its journal.
struct Part {
    fd: Arc<OwnedFd>,
    name: Vec<u8>,
    /// For messages.
    path: PathBuf,
    len: u64,
    journal: Arc<Mutex<Journal>>,
    noted: Option<u64>,
}

impl Download {
    /// Downloads, verifies, puts into place.
    pub(super) async fn run(&self, context: &Context, lane: &Lane) -> Result<FileReport, Error> {
        let path = &self.source[..];
        context.progress.event(&Event::Start { path, bytes: self.attrs.size });
        let opening = lane.sftp.open(path, OpenOptions::new().read(true));
        let (part, remote) = tokio::join!(self.open_part(context), opening);
        let (part, remote) = (part?, remote?);

        let start = self.resume(context, &part, &remote).await?;
        let mut pump = Pump::new(context, &remote, &part, start, self.attrs.size);
        let result = pump.run(path).await;
        let received = pump.received;
        let contiguous = pump.done.contiguous();
        drop(pump);
        let total = match result {
            Ok(total) => total,
            Err(error) => {
                context.travelled(received);
                self.keep_part(part, contiguous).await;
                return Err(error);
            }
        };
        self.finish(context, lane, part, total)
            .await
            .inspect_err(|_| context.travelled(received))
            .map(|verified| FileReport {
                path: self.source.clone(),
                bytes: total,
                bytes_sent: received,
                resumed_from: start,
                verified,
                replaced_in_two_steps: false,
            })
    }

    async fn open_part(&self, context: &Context) -> Result<Part, Error> {
        let (dir, name, direct) = (self.dir.clone(), self.name.clone(), context.options.direct);
        let source = source_state(&self.attrs);
        let resume = context.options.resume;
        blocking(move || {
            if let Some(there) = dir.stat(&name)? {
                let kind = FileType::from_raw_mode(there.st_mode);
                if !matches!(kind, FileType::RegularFile | FileType::Symlink) {
                    let error = std::io::Error::other("it exists and is not a regular file");
                    return Err(Error::local("replace", dir.path_of(&name), error));
                }
            }
            let part_name =
                if direct { name.clone() } else { companion_name(&name, ".sterna-part") };
            let mut flags = OFlags::RDWR | OFlags::CREATE;
            if direct || !resume {
                flags |= OFlags::TRUNC;
            }
            let fd = dir.open_file(&part_name, flags, 0o600)?;
            let stat = rustix::fs::fstat(&fd)
                .map_err(|e| Error::local("stat", dir.path_of(&part_name), e))?;
            if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
                let error = std::io::Error::other("it is not a regular file");
                return Err(Error::local("write to", dir.path_of(&part_name), error));
            }
            let len = u64::try_from(stat.st_size).unwrap_or(0);
            let path = dir.path_of(&part_name);
            let journal = Journal::new(dir, companion_name(&name, ".sterna-journal"), source);
            let noted = if len > 0 { journal.read() } else { None };
            Ok(Part {
                fd: Arc::new(fd),
                name: part_name,
                path,
                len,
                journal: Arc::new(Mutex::new(journal)),
                noted,
            })
        })
        .await?
    }

    /// The byte to go on from; the part is cut to it.
    async fn resume(&self, context: &Context, part: &Part, remote: &File) -> Result<u64, Error> {
        if part.len == 0 {
            return Ok(0);
        }
        let size = self.attrs.size.unwrap_or(0);
        let usable = part.len.min(size);
        let start = if usable < RESUME_MIN_LEN {
            0
        } else {
            proven_len(&part.fd, remote, usable, part.noted).await?
        };
        if start == 0 && usable >= RESUME_MIN_LEN {
            let why = "what an earlier attempt left could not be proven to be right";
            context.progress.event(&Event::Retry { path: &self.source, why });
        }
        let (fd, dir, name) = (part.fd.clone(), self.dir.clone(), part.name.clone());
        let cut = blocking(move || {
            rustix::fs::ftruncate(&fd, start)
                .map_err(|e| Error::local("cut", dir.path_of(&name), e))
        });
        cut.await??;
        Ok(start)
    }

    /// After a failure: nothing behind the first gap stays, and the journal says where it is.
    async fn keep_part(&self, part: Part, contiguous: u64) {
        let (dir, direct) = (self.dir.clone(), part.name == self.name);
        let work = move || {
            let _ = rustix::fs::ftruncate(&part.fd, contiguous);
            let mut journal = part.journal.lock().unwrap_or_else(PoisonError::into_inner);
            if direct {
                return;
            }
            if contiguous == 0 {
                let _ = dir.remove(&part.name);
                journal.remove();
            } else {
                journal.write(contiguous);
            }
        };
        let _ = blocking(work).await;
    }

    async fn finish(
        &self,
        context: &Context,
        lane: &Lane,
        part: Part,
        total: u64,
    ) -> Result<super::Verified, Error> {
        let verified = match verify::verify(
            context,
            lane,
            &part.fd,
            &self.source,
            total,
            &self.source,
        )
        .await
        {
            Err(error @ Error::VerificationFailed { .. }) => {
                // Wrong bytes must not be continued next time.
                let (dir, name, journal) = (self.dir.clone(), part.name, part.journal);
                let clean = move || {
                    journal.lock().unwrap_or_else(PoisonError::into_inner).remove();
                    let _ = dir.remove(&name);
                };
                blocking(clean).await?;
                return Err(error);
            }
            result => result?,
        };
        let (dir, name) = (self.dir.clone(), self.name.clone());
        let (preserve, fsync) = (context.options.preserve, context.options.fsync);
        let attrs = self.attrs;
        let work = move || {
            let failed = |doing| {
                let path = dir.path_of(&name);
                move |e: std::io::Error| Error::local(doing, path, e)
            };
            // Set-id bits of a server are never taken over (CLT-9).
            let mode = attrs.permissions.map_or(0o666, |mode| mode & 0o777);
            // Who replaces a file leaves to it who may read it.
            let replaced = dir
                .stat(&name)?
                .filter(|_| !preserve)
                .filter(|there| FileType::from_raw_mode(there.st_mode) == FileType::RegularFile);
            let mode = match replaced {
                Some(there) => there.st_mode & 0o777,
                None if preserve => mode,
                None => mode & !umask(),
            };
            let times = attrs.times.filter(|_| preserve).map(|t| (t.accessed, t.modified));
            local::set_attrs(&part.fd, Some(mode), times).map_err(failed("set attributes of"))?;
            if fsync {
                rustix::fs::fsync(&part.fd).map_err(|e| failed("sync")(e.into()))?;
            }
            if part.name != name {
                dir.rename(&part.name, &name)?;
                if fsync {
                    dir.sync();
                }
            }
            part.journal.lock().unwrap_or_else(PoisonError::into_inner).remove();
            Ok(())
        };
        blocking(work).await??;
        Ok(verified)
    }
}

struct Flight {
    offset: u64,
    len: u32,
    permit: Option<OwnedSemaphorePermit>,
}

/// The reads and writes of one file.
struct Pump<'p> {
    context: &'p Context,
    remote: &'p File,
    part: &'p Part,
    window: Window,
    flights: HashMap<u64, Flight>,
    next_tag: u64,
    replies_in: mpsc::UnboundedSender<(u64, Result<Frame, Error>)>,
    replies: mpsc::UnboundedReceiver<(u64, Result<Frame, Error>)>,
    writes: JoinSet<std::io::Result<(u64, usize)>>,
    /// Asked or being written, in bytes.
    in_flight: usize,
    /// Rests of short replies.
    again: VecDeque<(u64, u32)>,
    next: u64,
    /// Up to here the file is believed to go; behind it one request at a time looks for more.
    believed: u64,
    probing: bool,
    end: Option<u64>,
    empty_reads: u32,
    done: Done,
    received: u64,
    noted_at: u64,
    told_at: u64,
}

impl<'p> Pump<'p> {
    fn new(
        context: &'p Context,
        remote: &'p File,
        part: &'p Part,
        start: u64,
        size: Option<u64>,
    ) -> Self {
        let (replies_in, replies) = mpsc::unbounded_channel();
        let options = &context.options;
        Self {
            context,
            remote,
            part,
            window: Window::new(options.window_start, options.window_max, Instant::now()),
            flights: HashMap::new(),
            next_tag: 0,
            replies_in,
            replies,
            writes: JoinSet::new(),
            in_flight: 0,
            again: VecDeque::new(),
            next: start,
            believed: size.unwrap_or(0),
            probing: false,
            end: None,
            empty_reads: 0,
            done: Done::new(start),
            received: 0,
            noted_at: start,
            told_at: start,
        }
    }

    /// Runs to the end of the file and returns its length. After an error, what is written is on disk
    /// and counted in `done`.
    async fn run(&mut self, path: &[u8]) -> Result<u64, Error> {
        let result = self.transfer(path).await;
        // Late replies go nowhere; writes that were begun are waited for, so that `done` is true.
        while let Some(written) = self.writes.join_next().await {
            if let Ok(Ok((offset, len))) = written {
                self.done.add(offset, len as u64);
            }
        }
        result
    }

    async fn transfer(&mut self, path: &[u8]) -> Result<u64, Error> {
        loop {
            self.ask_more().await?;
            if self.flights.is_empty() && self.writes.is_empty() && self.again.is_empty() {
                // Everything that was asked for is written, and the server has said where the end is.
                let end = self.end.unwrap_or(self.next);
                return if self.done.contiguous() == end {
                    Ok(end)
                } else {
                    Err(self.changed(path))
                };
            }
            tokio::select! {
                Some((tag, reply)) = self.replies.recv() => self.take_reply(tag, reply, path)?,
                Some(written) = self.writes.join_next(), if !self.writes.is_empty() => {
                    let written = written.map_err(|_| Error::Cancelled)?;
                    let (offset, len) = written.map_err(|e| Error::local("write", &self.part.path, e))?;
                    self.written(offset, len, path);
                }
                () = self.context.cancel.cancelled() => return Err(Error::Cancelled),
            }
        }
    }

    async fn ask_more(&mut self) -> Result<(), Error> {
        let read_len = self.remote.sftp().limits().read_len;
        loop {
            let (offset, len, is_new) = match self.again.front() {
                Some((offset, len)) => (*offset, *len, false),
                None if self.end.is_some_and(|end| self.next >= end) => return Ok(()),
                None if self.next < self.believed => {
                    let left = self.believed - self.next;
                    (self.next, read_len.min(u32::try_from(left).unwrap_or(u32::MAX)), true)
                }
                // Virtual files say size 0 and growing ones too little: one more read looks (CLT-4).
                None if !self.probing && self.end.is_none() => (self.next, read_len, true),
                None => return Ok(()),
            };
            if self.in_flight > 0 && self.in_flight + len as usize > self.window.len() {
                return Ok(());
            }
            let permit = match self.context.try_budget(len as usize) {
                Some(permit) => permit,
                None if self.in_flight > 0 => return Ok(()),
                None => self.context.budget(len as usize).await?,
            };
            if is_new {
                self.probing |= self.next >= self.believed;
                self.next += u64::from(len);
            } else {
                self.again.pop_front();
            }
            let tag = self.next_tag;
            self.next_tag += 1;
            self.in_flight += len as usize;
            self.flights.insert(tag, Flight { offset, len, permit: Some(permit) });
            let reply_to = ReplyTo::Tagged(tag, self.replies_in.clone());
            self.remote.sftp().submit(self.remote.read_call(offset, len, reply_to)).await?;
        }
    }

    fn take_reply(
        &mut self,
        tag: u64,
        reply: Result<Frame, Error>,
        path: &[u8],
    ) -> Result<(), Error> {
        let Some(mut flight) = self.flights.remove(&tag) else { return Ok(()) };
        let data = self.remote.read_result(reply?, flight.len)?;
        let (offset, len) = (flight.offset, data.len());
        self.in_flight -= flight.len as usize - len;
        let was_probe = offset >= self.believed;
        if data.is_end() {
            self.end = Some(self.end.map_or(offset, |end| end.min(offset)));
            return Ok(());
        }
        if self.end.is_some_and(|end| offset >= end) {
            return Err(self.changed(path));
        }
        if len == 0 {
            // No progress and no end: once may happen, more is a loop (CLT-4).
            self.empty_reads += 1;
            if self.empty_reads >= EMPTY_READS_MAX {
                return Err(Error::peer("reads that bring neither bytes nor the end"));
            }
        }
        if was_probe {
            self.probing = false;
            self.believed = offset + len as u64;
            self.next = self.believed;
        } else if len < flight.len as usize {
            self.again.push_back((offset + len as u64, flight.len - len as u32));
        }
        if len == 0 {
            return Ok(());
        }
        self.received += len as u64;
        let (fd, permit) = (self.part.fd.clone(), flight.permit.take());
        let contiguous = self.done.contiguous();
        let note =
            (contiguous >= self.noted_at + JOURNAL_STEP_LEN).then(|| self.part.journal.clone());
        if note.is_some() {
            self.noted_at = contiguous;
        }
        self.writes.spawn_blocking(move || {
            local::write_all_at(&fd, &data, offset)?;
            if let Some(journal) = note {
                journal.lock().unwrap_or_else(PoisonError::into_inner).write(contiguous);
            }
            drop(permit);
            Ok((offset, data.len()))
        });
        Ok(())
    }

    fn written(&mut self, offset: u64, len: usize, path: &[u8]) {
        self.in_flight -= len;
        self.done.add(offset, len as u64);
        self.window.answered(len, Instant::now());
        let done = self.done.contiguous();
        if done >= self.told_at + PROGRESS_STEP_LEN {
            self.told_at = done;
            let total = Some(self.believed.max(done));
            self.context.progress.event(&Event::Progress { path, done, total });
        }
    }

    fn changed(&self, path: &[u8]) -> Error {
        Error::SourceChanged { path: path.to_vec() }
    }
}

pub(super) fn source_state(attrs: &Attrs) -> SourceState {
    SourceState {
        size: attrs.size.unwrap_or(0),
        modified: attrs.times.map_or(0, |times| i64::from(times.modified)),
    }
}

/// The umask of this process, read where it can be without changing it; else the usual one.
pub(super) fn umask() -> u32 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("Umask:"));
    line.and_then(|mask| u32::from_str_radix(mask.trim(), 8).ok()).unwrap_or(0o022)
}
