//! The sole owner of one SFTP channel's state: input, requests in order, handles, replies.
//!
//! Nothing here blocks and nothing is locked: what may block goes to the I/O pool and comes back
//! through the session's own queue. Every queue is bounded; what does not fit stays unparsed in
//! the backlog, and since its bytes are not reported as consumed, the peer's window bounds that.
//!
//! This file takes input and turns frames into requests. `start.rs` starts them, `finish.rs` takes
//! their results.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::task::Context;
use std::time::Instant;

use sterna_sftp_proto::order::{Class, HandleUse, PathUse, Ticket};
use sterna_sftp_proto::server::{Incoming, PeerError, Refusal, Server};
use sterna_sftp_proto::{Request, StatusCode};
use sterna_sshwire::Reader;
use sterna_storage::Backend;

use super::finish::{Hashing, Running};
use super::gate::{self, Denied};
use super::handle_budget::HandleBudget;
use super::handles::{HandleId, Handles, Open};
use super::input::{Input, SessionError};
use super::outbox::Outbox;
use super::passing_write::PassingWrite;
use super::path;
use super::policy::SessionPolicy;
use super::read::{ReadBatch, ReadQueue};
use super::recording::path_in;
use super::reply::Answer;
use super::requests::Requests;
use super::sink::Sink;
use super::table::{self, Outcome, Recorded, Slices};
use super::write::SpareLists;
use crate::buffers::BufferPool;
use crate::digest_memory::DigestMemory;
use crate::io_pool::IoPool;
use crate::jobs::Jobs;
use crate::limits::{BUFFERS_KEPT_MAX, REPLY_BYTES_MAX};
use crate::observe::{Cause, Observer};

/// Type byte and request id.
pub(super) const HEAD_LEN: usize = 5;

/// What the sessions of a process share.
#[derive(Clone)]
pub struct Resources {
    /// Serves requests.
    pub io: IoPool,
    /// Serves what waits for stable storage, `fsync` and CLOSE after writing: whoever asks for nothing but
    /// that takes no thread away from those who read.
    pub syncs: IoPool,
    /// Serves work without a bound on its time: digests and copies.
    pub long: IoPool,
    pub buffers: BufferPool,
    /// Digests of files that did not change since they were computed.
    pub digests: DigestMemory,
    /// Open files and directories of all sessions.
    pub handles: HandleBudget,
}

impl Resources {
    /// `io_threads` for requests, and half as many, at least one, each for syncs and for long work.
    pub fn new(io_threads: usize) -> Self {
        Self {
            io: IoPool::new(io_threads),
            syncs: IoPool::new((io_threads / 2).max(1)),
            long: IoPool::new((io_threads / 2).max(1)),
            buffers: BufferPool::new(BUFFERS_KEPT_MAX),
            digests: DigestMemory::default(),
            handles: HandleBudget::default(),
        }
    }
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            io: IoPool::with_default_threads(),
            syncs: IoPool::with_default_threads(),
            long: IoPool::with_default_threads(),
            buffers: BufferPool::new(BUFFERS_KEPT_MAX),
            digests: DigestMemory::default(),
            handles: HandleBudget::default(),
        }
    }
}

/// What one [`SftpSession::poll`] brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of input whose credit may go back to the peer now.
    pub consumed: usize,
    /// The exit status, once everything is answered and sent: 0 after the end of input, 1 if the
    /// peer did not speak SFTP.
    pub finished: Option<u32>,
}

/// One SFTP session. Give it input with [`SftpSession::handle_data`], then let it work with
/// [`SftpSession::poll`]: after input, when woken, and when there is room to send again.
pub struct SftpSession {
    pub(super) backend: Arc<dyn Backend>,
    pub(super) policy: SessionPolicy,
    pub(super) buffers: BufferPool,
    pub(super) digests: DigestMemory,
    /// Whose session it is, for the audit log and for whoever lists sessions.
    pub(super) observer: Option<Arc<Observer>>,
    /// Attributes carry the pair of `posix-attrs@sterna-sftp`.
    pub(super) exact_attrs: bool,

    pub(super) input: Input,
    /// A WRITE that is written as it comes.
    pub(super) passing: Option<PassingWrite>,
    server: Server,
    pub(super) requests: Requests,

    pub(super) handles: Handles,
    pub(super) io: Jobs<Outcome>,
    pub(super) syncs: Jobs<Outcome>,
    pub(super) long: Jobs<Outcome>,
    pub(super) long_waiting: VecDeque<(u64, Slices)>,
    /// Digests that are not answered: they are requests without a place in the order.
    pub(super) digests_asked: usize,
    pub(super) hashing: HashMap<HandleId, Hashing>,
    pub(super) running: HashMap<u64, Running>,
    pub(super) next_job: u64,

    pub(super) reads: ReadQueue,
    pub(super) read_batch: Option<(ReadBatch, Vec<Ticket>)>,
    pub(super) spare_lists: SpareLists,
    pub(super) outbox: Outbox,
    /// Bytes of input whose credit goes back to the peer with the next poll.
    pub(super) consumed: usize,
}

impl SftpSession {
    /// A session on `backend` under `policy`.
    pub fn new(backend: Arc<dyn Backend>, policy: SessionPolicy, resources: &Resources) -> Self {
        let requests = Requests::new(policy.requests_max);
        Self {
            server: Server::new(gate::announced(&policy)),
            handles: Handles::new(
                policy.handles_max,
                policy.dir_handles_max,
                resources.handles.clone(),
            ),
            backend,
            policy,
            buffers: resources.buffers.clone(),
            digests: resources.digests.clone(),
            observer: None,
            exact_attrs: false,
            input: Input::new(resources.buffers.clone()),
            passing: None,
            requests,
            io: Jobs::new(resources.io.clone()),
            syncs: Jobs::new(resources.syncs.clone()),
            long: Jobs::new(resources.long.clone()),
            long_waiting: VecDeque::new(),
            digests_asked: 0,
            hashing: HashMap::new(),
            running: HashMap::new(),
            next_job: 0,
            reads: ReadQueue::default(),
            read_batch: None,
            spare_lists: SpareLists::default(),
            outbox: Outbox::default(),
            consumed: 0,
        }
    }

    /// From now on `observer` hears of what is done. Before the first request.
    pub(crate) fn observed_by(mut self, observer: Arc<Observer>, now: Instant) -> Self {
        self.outbox.latency = observer.latency(now);
        self.observer = Some(observer);
        self
    }

    /// The time of what follows, for figures.
    pub(crate) fn set_now(&mut self, now: Instant) {
        if let Some(latency) = &mut self.outbox.latency {
            latency.set_now(now);
        }
    }

    /// What the session waits for.
    fn waits_for(&self) -> Option<Cause> {
        if !self.outbox.is_empty() {
            return Some(Cause::ClientWindow);
        }
        if self.io.running() + self.syncs.running() > 0 {
            return Some(Cause::Disk);
        }
        if self.long.running() > 0 || !self.long_waiting.is_empty() {
            return Some(Cause::LongWork);
        }
        // READs that wait for room for their data.
        if !self.requests.is_empty() {
            return Some(Cause::ClientWindow);
        }
        (!self.input.is_drained() && !self.has_room()).then_some(Cause::Limit)
    }

    /// Takes bytes from the peer. What cannot be looked at yet is copied and waits; its amount is
    /// bounded by the credit that the peer has, see [`Progress::consumed`].
    pub fn handle_data(&mut self, mut data: &[u8]) {
        if self.input.failed().is_some() {
            self.consumed += data.len();
            return;
        }
        if self.input.is_drained() {
            self.accept_from(&mut data);
        }
        self.input.push_backlog(data);
    }

    /// The peer sends no more. What it has asked is still done and answered.
    pub fn handle_eof(&mut self) {
        self.input.end();
    }

    /// Bytes that wait to be looked at. A transport without windows stops reading while there are
    /// any.
    pub fn backlog_len(&self) -> usize {
        self.input.backlog_len()
    }

    /// Whether nothing is open, asked or unsent: ending the session now would lose nothing.
    pub fn is_idle(&self) -> bool {
        self.handles.is_empty() && self.has_nothing_to_do()
    }

    /// Gives memory back that is remade when it is needed; for a session without anything to do.
    pub(crate) fn release(&mut self) {
        self.input.release();
        self.outbox.release();
        self.requests.release();
        self.reads.release();
        self.spare_lists = SpareLists::default();
        self.long_waiting.shrink_to_fit();
        self.hashing.shrink_to_fit();
        self.running.shrink_to_fit();
        self.handles.forget_closed();
        for jobs in [&mut self.io, &mut self.syncs, &mut self.long] {
            jobs.release();
        }
    }

    /// Does what can be done now: takes results, sends replies, accepts and starts requests.
    pub fn poll(&mut self, cx: &mut Context<'_>, sink: &mut dyn Sink) -> Progress {
        for jobs in [&self.io, &self.syncs, &self.long] {
            jobs.register(cx.waker());
        }
        loop {
            let mut moved = self.take_results();
            self.outbox.flush(sink);
            self.start_long_waiting();
            moved |= self.accept_backlog();
            moved |= self.start_ready(sink);
            if !moved {
                break;
            }
        }
        self.io.send();
        self.syncs.send();
        if self.outbox.latency.is_some() {
            let waits_for = self.waits_for();
            if let Some(latency) = &mut self.outbox.latency {
                latency.end_turn(waits_for);
            }
        }
        Progress { consumed: std::mem::take(&mut self.consumed), finished: self.finished() }
    }

    fn finished(&self) -> Option<u32> {
        if let Some(error) = self.input.failed() {
            tracing::info!(%error, "SFTP session ended: the client broke the protocol");
            return Some(1);
        }
        if !self.input.is_over() || !self.has_nothing_to_do() {
            return None;
        }
        if !self.input.is_between_frames() || self.passing.is_some() {
            tracing::info!("SFTP session ended in the middle of a packet");
        }
        Some(0)
    }

    fn has_nothing_to_do(&self) -> bool {
        self.requests.is_empty()
            && self.running.is_empty()
            && self.outbox.is_empty()
            && self.input.is_drained()
    }

    fn accept_backlog(&mut self) -> bool {
        if self.input.is_drained() {
            return false;
        }
        let (backlog, used) = self.input.take_backlog();
        let mut left = &backlog[used..];
        let before = left.len();
        self.accept_from(&mut left);
        let moved = left.len() != before;
        let used = backlog.len() - left.len();
        self.input.put_backlog_back(backlog, used);
        moved
    }

    /// Accepts requests from `data` as long as there is room.
    fn accept_from(&mut self, data: &mut &[u8]) {
        while self.has_room() && self.input.failed().is_none() {
            if self.passing.is_none() {
                self.begin_passing(data);
            }
            if self.passing.is_some() {
                if data.is_empty() {
                    return;
                }
                self.go_on_passing(data);
                continue;
            }
            let accepted = match self.input.next_frame(data) {
                Ok(Some(frame)) => self.accept(frame).map_err(SessionError::Peer),
                Ok(None) => return,
                Err(error) => Err(error),
            };
            if let Err(error) = accepted {
                return self.fail(error);
            }
        }
    }

    /// Whether another request may be taken in.
    fn has_room(&self) -> bool {
        self.requests.has_room(self.digests_asked) && self.outbox.len() < REPLY_BYTES_MAX
    }

    fn accept(&mut self, frame: Vec<u8>) -> Result<(), PeerError> {
        let credit = frame.len() + 4;
        match self.server.accept(&frame)? {
            Incoming::Init { .. } => {
                let server = &self.server;
                self.outbox.push_with(|out| server.encode_version(out));
            }
            Incoming::Refused { id, refusal } => {
                let answer = refused(&frame, &refusal, &self.policy, self.observer.as_deref());
                self.outbox.push(id, &answer);
            }
            Incoming::Request { id, request } => {
                if let Some(answer) = self.refusal(&request) {
                    self.outbox.push(id, &answer);
                } else if let Some(class) = self.class_of(&request) {
                    self.outbox.note_asked(id, table::row(&request));
                    match (class, &request) {
                        // The bytes of a WRITE count as consumed when they are written.
                        (Class::HandleWrite { key }, Request::Write(_)) => {
                            self.requests.push_write(id, frame, key);
                        }
                        (class, _) => {
                            self.note_names(class);
                            self.consumed += credit;
                            self.requests.push(id, frame, class);
                        }
                    }
                    return Ok(());
                } else {
                    self.outbox.push(id, &Answer::BAD_HANDLE);
                }
            }
        }
        self.consumed += credit;
        self.input.keep_frame(frame);
        Ok(())
    }

    /// What the gate says, and what an audit log that cannot be written says.
    fn refusal(&self, request: &Request<'_>) -> Option<Answer> {
        let observer = self.observer.as_deref();
        if let Some(denied) = gate::refusal(request, &self.policy) {
            note_refusal(observer, request, &denied, &self.policy);
            return Some(denied.answer());
        }
        let needs_record = match table::row(request).recorded {
            Recorded::Always => true,
            Recorded::IfRefused => matches!(request, Request::Open(_)),
            Recorded::Never => false,
        };
        if needs_record && observer.is_some_and(|observer| !observer.may_act()) {
            return Some(Answer::failure("the server cannot record what is done"));
        }
        None
    }

    /// What a request touches. `None` if it names a handle that is not open: such a request is answered at
    /// once, because an OPEN that is under way may make a handle of what its client has guessed.
    fn class_of(&self, request: &Request<'_>) -> Option<Class> {
        let all_open = Cell::new(true);
        let handle_use = |wire: &[u8]| {
            let found = self.handle_use(wire);
            all_open.set(all_open.get() && found.is_some());
            found
        };
        let class = Class::of(request, handle_use, |path| self.path_use(path));
        all_open.get().then_some(class)
    }

    /// What a request that was accepted says about what paths name.
    fn note_names(&mut self, class: Class) {
        match class {
            Class::Barrier => self.handles.names_change(),
            Class::Close { path, .. } => self.handles.note_closed(path),
            Class::Rename { from, .. } => self.handles.note_renamed(from),
            _ => {}
        }
    }

    fn handle_use(&self, wire: &[u8]) -> Option<HandleUse> {
        let id = HandleId::from_wire(wire)?;
        let writes = match self.handles.get(id)? {
            Open::File(file) => file.writes,
            Open::Dir(_) => false,
        };
        let path = self.handles.path_of(id);
        Some(HandleUse { key: u64::from_be_bytes(id.to_wire()), writes, path })
    }

    /// By its names: through a link the same file may have another path, and a client that empties
    /// it that way while its own WRITEs are on their way has to wait for them itself.
    fn path_use(&self, path: &[u8]) -> PathUse {
        let path = path::absolute(&self.policy.start_dir, path);
        let number = self.handles.number_of(&path);
        // Where `..` leads is known only to who follows the links before it.
        if path::components(&path).any(|name| name == b"..") || self.handles.is_open(number) {
            return PathUse::Open;
        }
        if self.handles.names_file(number) {
            return PathUse::File(number);
        }
        PathUse::Unused(number)
    }

    fn fail(&mut self, error: SessionError) {
        self.input.fail(error);
        self.cancel_jobs();
    }

    fn cancel_jobs(&self) {
        for jobs in [&self.io, &self.syncs, &self.long] {
            jobs.cancel();
        }
    }
}

impl Drop for SftpSession {
    /// Stops long work and lets go of open files on the pool for syncs, since that may block.
    fn drop(&mut self) {
        self.cancel_jobs();
        let (open, passing) = (self.handles.drain(), self.passing.take());
        if let Some(passing) = &passing {
            passing.note();
        }
        if let Some(observer) = &self.observer {
            for file in open.iter().filter_map(Open::as_file) {
                let (why, digest) = ("cut: the session ended", file.moves.digest());
                observer.closed(&file.moves, file.writes, why, digest);
            }
        }
        if !open.is_empty() {
            self.syncs.detach(move || drop((open, passing)));
        }
    }
}

/// What a request is told that the codec refused. A known extension that policy forbids is
/// forbidden, not unknown.
fn refused(
    frame: &[u8],
    refusal: &Refusal,
    policy: &SessionPolicy,
    observer: Option<&Observer>,
) -> Answer {
    if *refusal == Refusal::NotAnnounced
        && let Some(body) = frame.get(HEAD_LEN..)
        && let Some(Ok(request @ Request::Extended(extended))) =
            Request::decode(frame[0], &mut Reader::new(body)).as_ref()
        && extended.row().is_some()
        && let Some(denied) = gate::refusal(request, policy)
    {
        note_refusal(observer, request, &denied, policy);
        return denied.answer();
    }
    let code: StatusCode = refusal.status().code;
    Answer::Status(code, refusal.to_string().into())
}

fn note_refusal(
    observer: Option<&Observer>,
    request: &Request<'_>,
    denied: &Denied,
    policy: &SessionPolicy,
) {
    let Some(observer) = observer else { return };
    let path = path_in(request).map(|path| path::absolute(&policy.start_dir, path));
    observer.refused(table::row(request).name, denied.rule(), path.as_deref());
}
