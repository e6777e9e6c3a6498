//! The sole owner of one SFTP channel's state: input, requests in order, handles, replies.
//!
//! Nothing here blocks and nothing is locked: what may block goes to the I/O pool and comes back
//! through the session's own queue. Every queue is bounded; what does not fit stays unparsed in
//! the backlog, and since its bytes are not reported as consumed, the peer's window bounds that.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::task::Context;

use sterna_sftp_proto::frame::{Frame, FrameAssembler, FrameError};
use sterna_sftp_proto::limits::READ_LEN_MAX;
use sterna_sftp_proto::messages::{Data, Write};
use sterna_sftp_proto::order::{Class, HandleUse, Order, Ticket};
use sterna_sftp_proto::server::{Incoming, PeerError, Refusal, Server};
use sterna_sftp_proto::{Request, StatusCode};
use sterna_sshwire::Reader;
use sterna_storage::{self as storage, Backend};

use super::gate;
use super::handles::{HandleId, Handles, Open};
use super::outbox::Outbox;
use super::policy::SessionPolicy;
use super::read::{self, ReadBatch, ReadDone, ReadPart, ReadPlan, ReadQueue, ReadReply, Tried};
use super::reply::Answer;
use super::sink::Sink;
use super::table::{self, Job, Outcome, Serving, Start};
use super::write::{WriteBatch, WriteDone, WritePart};
use crate::buffers::BufferPool;
use crate::io_pool::IoPool;
use crate::jobs::Jobs;
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_REQUESTS_MAX, BUFFERS_KEPT_MAX, JOBS_MAX, LONG_JOBS_MAX,
    READ_AHEAD_BYTES, REPLY_BYTES_MAX, REQUEST_BYTES_MAX, REQUESTS_MAX,
};

/// Frame buffers kept for reuse by one session, and the largest that is kept.
const SPARE_FRAMES_MAX: usize = 32;
const SPARE_FRAME_LEN_MAX: usize = 40 * 1024;

/// Type byte and request id.
const HEAD_LEN: usize = 5;

/// What the sessions of a process share.
#[derive(Clone)]
pub struct Resources {
    /// Serves requests.
    pub io: IoPool,
    /// Serves work without a bound on its time: digests and copies.
    pub long: IoPool,
    pub buffers: BufferPool,
}

impl Resources {
    /// `io_threads` for requests, and half as many, at least one, for long work.
    pub fn new(io_threads: usize) -> Self {
        Self {
            io: IoPool::new(io_threads),
            long: IoPool::new((io_threads / 2).max(1)),
            buffers: BufferPool::new(BUFFERS_KEPT_MAX),
        }
    }
}

impl Default for Resources {
    fn default() -> Self {
        Self {
            io: IoPool::with_default_threads(),
            long: IoPool::with_default_threads(),
            buffers: BufferPool::new(BUFFERS_KEPT_MAX),
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
    backend: Arc<dyn Backend>,
    policy: SessionPolicy,
    buffers: BufferPool,

    input: Input,
    server: Server,
    order: Order,
    /// What waits or runs, by its slot in `order`.
    requests: Vec<Option<Work>>,
    /// A request that is its turn and that nothing but a full queue holds up.
    held: Option<Ticket>,
    /// The newest WRITEs of a handle, as long as further ones may still join them.
    joinable: HashMap<u64, usize>,
    /// WRITEs in `requests`; `order` knows their runs only.
    writes_waiting: usize,
    /// Bytes of frames in `requests`.
    request_bytes: usize,

    handles: Handles,
    io: Jobs<Outcome>,
    long: Jobs<Outcome>,
    long_waiting: VecDeque<(u64, Job)>,
    running: HashMap<u64, Running>,
    next_job: u64,

    reads: ReadQueue,
    read_batch: Option<(ReadBatch, Vec<Ticket>)>,
    outbox: Outbox,
    consumed: usize,
    spare_frames: Vec<Vec<u8>>,
}

/// Bytes from the peer that are not requests yet.
struct Input {
    assembler: FrameAssembler,
    backlog: Vec<u8>,
    /// Bytes at the front of `backlog` that are used up.
    used: usize,
    eof: bool,
    failed: Option<SessionError>,
}

/// A request, or a run of WRITEs to one handle, that has a slot in the order.
enum Work {
    Request { id: u32, frame: Vec<u8> },
    Writes { key: u64, waiting: VecDeque<(u32, Vec<u8>)> },
}

/// Who waits for a job.
enum Running {
    Request { id: u32, ticket: Option<Ticket>, opens: Option<Opens> },
    Reads { places: Vec<u64>, tickets: Vec<Ticket> },
    Writes { ids: Vec<u32>, bytes: usize, ticket: Ticket },
}

/// What room was promised for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opens {
    File,
    Dir,
}

/// The peer did not speak SFTP; nothing can be answered.
#[derive(Debug)]
enum SessionError {
    Frame(FrameError),
    Peer(PeerError),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Peer(error) => error.fmt(f),
        }
    }
}

impl SftpSession {
    /// A session on `backend` under `policy`.
    pub fn new(backend: Arc<dyn Backend>, policy: SessionPolicy, resources: &Resources) -> Self {
        Self {
            server: Server::new(gate::announced(&policy)),
            handles: Handles::new(policy.handles_max, policy.dir_handles_max),
            backend,
            policy,
            buffers: resources.buffers.clone(),
            input: Input {
                assembler: FrameAssembler::for_server(),
                backlog: Vec::new(),
                used: 0,
                eof: false,
                failed: None,
            },
            order: Order::new(REQUESTS_MAX),
            requests: Vec::new(),
            held: None,
            joinable: HashMap::new(),
            writes_waiting: 0,
            request_bytes: 0,
            io: Jobs::new(resources.io.clone()),
            long: Jobs::new(resources.long.clone()),
            long_waiting: VecDeque::new(),
            running: HashMap::new(),
            next_job: 0,
            reads: ReadQueue::default(),
            read_batch: None,
            outbox: Outbox::default(),
            consumed: 0,
            spare_frames: Vec::new(),
        }
    }

    /// Takes bytes from the peer. What cannot be looked at yet is copied and waits; its amount is
    /// bounded by the credit that the peer has, see [`Progress::consumed`].
    pub fn handle_data(&mut self, mut data: &[u8]) {
        if self.input.failed.is_some() {
            self.consumed += data.len();
            return;
        }
        if self.input.is_drained() {
            self.accept_from(&mut data);
        }
        self.input.backlog.extend_from_slice(data);
    }

    /// The peer sends no more. What it has asked is still done and answered.
    pub fn handle_eof(&mut self) {
        self.input.eof = true;
    }

    /// Bytes that wait to be looked at. A transport without windows stops reading while there are
    /// any.
    pub fn backlog_len(&self) -> usize {
        self.input.backlog.len() - self.input.used
    }

    /// Whether nothing is open, asked or unsent: ending the session now would lose nothing.
    pub fn is_idle(&self) -> bool {
        self.handles.is_empty() && self.has_nothing_to_do()
    }

    /// Does what can be done now: takes results, sends replies, accepts and starts requests.
    pub fn poll(&mut self, cx: &mut Context<'_>, sink: &mut dyn Sink) -> Progress {
        self.io.register(cx.waker());
        self.long.register(cx.waker());
        loop {
            let mut moved = self.take_results();
            self.outbox.flush(sink);
            moved |= self.accept_backlog();
            moved |= self.start_ready(sink);
            if !moved {
                break;
            }
        }
        Progress { consumed: std::mem::take(&mut self.consumed), finished: self.finished() }
    }

    fn finished(&mut self) -> Option<u32> {
        if let Some(error) = &self.input.failed {
            tracing::info!(%error, "SFTP session ended: the client broke the protocol");
            return Some(1);
        }
        if !self.input.eof || !self.has_nothing_to_do() {
            return None;
        }
        if !self.input.assembler.is_between_frames() {
            tracing::info!("SFTP session ended in the middle of a packet");
        }
        Some(0)
    }

    fn has_nothing_to_do(&self) -> bool {
        self.order.is_empty()
            && self.running.is_empty()
            && self.outbox.is_empty()
            && self.input.is_drained()
    }

    // ---- input to requests ----

    /// Whether another request may be taken in.
    fn has_room(&self) -> bool {
        self.order.len() + self.writes_waiting < REQUESTS_MAX
            && self.request_bytes < REQUEST_BYTES_MAX
            && self.outbox.len() < REPLY_BYTES_MAX
    }

    fn accept_backlog(&mut self) -> bool {
        if self.input.is_drained() {
            return false;
        }
        let backlog = std::mem::take(&mut self.input.backlog);
        let mut left = &backlog[self.input.used..];
        let before = left.len();
        self.accept_from(&mut left);
        let moved = left.len() != before;
        self.input.used = backlog.len() - left.len();
        self.input.backlog = backlog;
        self.input.forget_used();
        moved
    }

    /// Accepts requests from `data` as long as there is room.
    fn accept_from(&mut self, data: &mut &[u8]) {
        while self.has_room() && self.input.failed.is_none() {
            let frame = match self.input.assembler.next(data) {
                Ok(Some(Frame::Lent(bytes))) => {
                    let mut frame = self.spare_frames.pop().unwrap_or_default();
                    frame.extend_from_slice(bytes);
                    frame
                }
                Ok(Some(Frame::Assembled(bytes))) => {
                    std::mem::replace(bytes, self.spare_frames.pop().unwrap_or_default())
                }
                Ok(None) => return,
                Err(error) => return self.fail(SessionError::Frame(error)),
            };
            if let Err(error) = self.accept(frame) {
                return self.fail(SessionError::Peer(error));
            }
        }
    }

    fn accept(&mut self, frame: Vec<u8>) -> Result<(), PeerError> {
        let credit = frame.len() + 4;
        match self.server.accept(&frame)? {
            Incoming::Init { .. } => {
                let server = &self.server;
                self.outbox.push_with(|out| server.encode_version(out));
            }
            Incoming::Refused { id, refusal } => {
                self.outbox.push(id, &refused(&frame, &refusal, &self.policy));
            }
            Incoming::Request { id, request } => {
                if let Some(answer) = gate::refusal(&request, &self.policy) {
                    self.outbox.push(id, &answer);
                } else {
                    let class = Class::of(&request, |handle| self.handle_use(handle));
                    let is_write = matches!(request, Request::Write(_));
                    self.enqueue(id, frame, class, is_write);
                    // The bytes of a WRITE count as consumed when they are written.
                    self.consumed += if is_write { 0 } else { credit };
                    return Ok(());
                }
            }
        }
        self.consumed += credit;
        self.keep_frame(frame);
        Ok(())
    }

    fn handle_use(&self, wire: &[u8]) -> Option<HandleUse> {
        let id = HandleId::from_wire(wire)?;
        let writes = match self.handles.get(id)? {
            Open::File(file) => file.writes,
            Open::Dir(_) => false,
        };
        Some(HandleUse { key: u64::from_be_bytes(id.to_wire()), writes })
    }

    /// Gives the request its place. A WRITE joins the WRITEs of its handle that wait already, if
    /// nothing came in between that must not see it too early.
    fn enqueue(&mut self, id: u32, frame: Vec<u8>, class: Class, is_write: bool) {
        self.request_bytes += frame.len();
        if let (true, Class::HandleWrite { key }) = (is_write, class) {
            self.writes_waiting += 1;
            if let Some(slot) = self.joinable.get(&key)
                && let Some(Some(Work::Writes { waiting, .. })) = self.requests.get_mut(*slot)
            {
                waiting.push_back((id, frame));
                return;
            }
            let waiting = VecDeque::from([(id, frame)]);
            let slot = self.admit(class, Work::Writes { key, waiting });
            self.joinable.insert(key, slot);
            return;
        }
        match class {
            Class::Free => {}
            Class::HandleRead { key } | Class::HandleStep { key } | Class::HandleWrite { key } => {
                self.joinable.remove(&key);
            }
            Class::PathRead | Class::Barrier => self.joinable.clear(),
        }
        self.admit(class, Work::Request { id, frame });
    }

    fn admit(&mut self, class: Class, work: Work) -> usize {
        // `has_room` was asked before the frame was taken.
        let slot = self.order.admit(class).expect("room for a request was checked");
        if self.requests.len() <= slot {
            self.requests.resize_with(slot + 1, || None);
        }
        self.requests[slot] = Some(work);
        slot
    }

    fn fail(&mut self, error: SessionError) {
        self.input.failed = Some(error);
        self.input.backlog = Vec::new();
        self.input.used = 0;
        self.io.cancel();
        self.long.cancel();
    }

    // ---- requests to jobs ----

    /// Starts what may start, in order, as long as the queues have room.
    fn start_ready(&mut self, sink: &mut dyn Sink) -> bool {
        let mut moved = false;
        while let Some(ticket) = self.held.take().or_else(|| self.order.next_ready()) {
            if !self.may_start(&ticket, sink.room()) {
                self.held = Some(ticket);
                break;
            }
            moved = true;
            match self.requests.get_mut(ticket.slot()).and_then(Option::take) {
                Some(Work::Request { id, frame }) => self.start(id, frame, ticket, sink),
                Some(Work::Writes { key, waiting }) => self.start_writes(key, waiting, ticket),
                None => self.order.done(ticket),
            }
        }
        self.send_read_batch();
        moved
    }

    /// Whether the queues have room for what the request will bring.
    fn may_start(&self, ticket: &Ticket, room: usize) -> bool {
        if self.io.running() >= JOBS_MAX {
            return false;
        }
        let promised = self.outbox.len() + self.reads.bytes();
        match self.requests.get(ticket.slot()) {
            Some(Some(Work::Request { frame, .. })) => match read_len(frame) {
                Some(len) => {
                    let max = REPLY_BYTES_MAX.min(room.saturating_add(READ_AHEAD_BYTES));
                    promised == 0 || promised + Data::HEADER_LEN + len <= max
                }
                None => promised < REPLY_BYTES_MAX,
            },
            Some(_) | None => true,
        }
    }

    fn start(&mut self, id: u32, frame: Vec<u8>, ticket: Ticket, sink: &mut dyn Sink) {
        self.request_bytes -= frame.len();
        let mut r = Reader::new(frame.get(HEAD_LEN..).unwrap_or_default());
        // It was decoded once already, when its place in the order was decided.
        let Some(Ok(request)) = Request::decode(frame[0], &mut r) else {
            return self.end(id, &Answer::failure("internal error"), frame, ticket);
        };
        let opens = match &request {
            Request::Open(_) => Some(Opens::File),
            Request::Opendir(_) => Some(Opens::Dir),
            _ => None,
        };
        let started = table::serve(
            &request,
            &mut Serving {
                id,
                backend: &self.backend,
                policy: &self.policy,
                handles: &mut self.handles,
                buffers: &self.buffers,
            },
        );
        match started {
            Start::Now(answer) => return self.end(id, &answer, frame, ticket),
            Start::NowAndDetach(answer, rest) => {
                self.io.detach(rest);
                return self.end(id, &answer, frame, ticket);
            }
            Start::Job(job) => {
                let running = Running::Request { id, ticket: Some(ticket), opens };
                let number = self.register(running);
                self.io.start(number, job);
            }
            Start::LongJob(job) => self.start_long(id, ticket, &request, job),
            Start::Read(plan) => self.start_read(id, plan, ticket, sink),
            Start::Write(_) => unreachable!("WRITEs are started by start_writes"),
        }
        self.keep_frame(frame);
    }

    fn register(&mut self, running: Running) -> u64 {
        let number = self.next_job;
        self.next_job += 1;
        self.running.insert(number, running);
        number
    }

    /// Digests do not hold up what comes later: they change nothing, and may take hours. A copy
    /// does: what follows may build on it.
    fn start_long(&mut self, id: u32, ticket: Ticket, request: &Request<'_>, job: Job) {
        let ticket = if request.changes() {
            Some(ticket)
        } else {
            self.order.done(ticket);
            None
        };
        let number = self.register(Running::Request { id, ticket, opens: None });
        self.long_waiting.push_back((number, job));
        self.start_long_waiting();
    }

    fn start_long_waiting(&mut self) {
        while self.long.running() < LONG_JOBS_MAX {
            let Some((number, job)) = self.long_waiting.pop_front() else { return };
            self.long.start(number, job);
        }
    }

    fn start_read(&mut self, id: u32, plan: ReadPlan, ticket: Ticket, sink: &mut dyn Sink) {
        let first_in_line = self.reads.is_empty() && self.read_batch.is_none();
        if first_in_line && self.outbox.is_empty() {
            match read::try_into_sink(&plan, id, sink) {
                Tried::Sent => return self.order.done(ticket),
                Tried::Refused(answer) => {
                    self.outbox.push(id, &answer);
                    return self.order.done(ticket);
                }
                Tried::NotNow => {}
            }
        }
        let place = self.reads.push(id, plan.len);
        if self.read_batch.is_none()
            && let Some(filled) = read::try_into_buffer(&plan, &self.buffers)
        {
            let reply = match filled {
                Ok((buffer, len)) => ReadReply::Data(Arc::new(buffer), 0..len),
                Err(error) => ReadReply::Answer(error.into()),
            };
            self.order.done(ticket);
            self.reads.answer(place, reply);
            return self.send_reads();
        }
        let fits = self.read_batch.as_ref().is_some_and(|(batch, _)| {
            Arc::ptr_eq(&batch.file, &plan.file)
                && batch.len + plan.len <= BATCH_BYTES_MAX
                && batch.parts.len() < BATCH_REQUESTS_MAX
        });
        if !fits {
            self.send_read_batch();
        }
        let (batch, tickets) = self.read_batch.get_or_insert_with(|| {
            (ReadBatch { file: plan.file, parts: Vec::new(), len: 0 }, Vec::new())
        });
        batch.parts.push(ReadPart { place, offset: plan.offset, len: plan.len });
        batch.len += plan.len;
        tickets.push(ticket);
    }

    fn send_read_batch(&mut self) {
        let Some((batch, tickets)) = self.read_batch.take() else { return };
        let places = batch.parts.iter().map(|part| part.place).collect();
        let number = self.register(Running::Reads { places, tickets });
        let buffers = self.buffers.clone();
        self.io.start(number, move |_| Outcome::Reads(batch.run(&buffers)));
    }

    /// Starts a job for the WRITEs at the front of a run; the others wait for it.
    fn start_writes(&mut self, key: u64, mut waiting: VecDeque<(u32, Vec<u8>)>, ticket: Ticket) {
        let mut batch: Option<WriteBatch> = None;
        let (mut ids, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES_MAX && ids.len() < BATCH_REQUESTS_MAX {
            let Some((id, frame)) = waiting.pop_front() else { break };
            let mut serving = Serving {
                id,
                backend: &self.backend,
                policy: &self.policy,
                handles: &mut self.handles,
                buffers: &self.buffers,
            };
            let mut r = Reader::new(frame.get(HEAD_LEN..).unwrap_or_default());
            let started = Write::decode(&mut r).map_or_else(
                |error| Start::Now(error.into()),
                |m| table::serve(&m.into(), &mut serving),
            );
            match started {
                Start::Write(plan) => {
                    ids.push(id);
                    bytes += frame.len();
                    let part = WritePart { id, frame, data: plan.data, offset: plan.offset };
                    let batch = batch
                        .get_or_insert_with(|| WriteBatch { file: plan.file, parts: Vec::new() });
                    batch.parts.push(part);
                }
                Start::Now(answer) => self.end_write(id, &answer, frame),
                _ => unreachable!("the handler of WRITE answers or writes"),
            }
        }
        match batch {
            Some(batch) => {
                self.requests[ticket.slot()] = Some(Work::Writes { key, waiting });
                let number = self.register(Running::Writes { ids, bytes, ticket });
                self.io.start(number, move |_| Outcome::Writes(batch.run()));
            }
            None if waiting.is_empty() => {
                self.forget_run(key, ticket.slot());
                self.order.done(ticket);
            }
            None => self.start_writes(key, waiting, ticket),
        }
    }

    // ---- results to replies ----

    fn take_results(&mut self) -> bool {
        let mut moved = false;
        while let Some((number, outcome)) = self.io.take_done().or_else(|| self.long.take_done()) {
            moved = true;
            if let Some(running) = self.running.remove(&number) {
                self.finish(running, outcome);
            }
        }
        self.start_long_waiting();
        moved
    }

    /// Takes the result of one job; `None` if it panicked.
    fn finish(&mut self, running: Running, outcome: Option<Outcome>) {
        match running {
            Running::Request { id, ticket, opens } => {
                let answer = self.answer_of(opens, outcome);
                self.outbox.push(id, &answer);
                if let Some(ticket) = ticket {
                    self.order.done(ticket);
                }
            }
            Running::Reads { places, tickets } => {
                match outcome {
                    Some(Outcome::Reads(ReadDone { buffer, parts })) => {
                        for (place, part) in parts {
                            self.reads.answer(place, read_reply(&buffer, part));
                        }
                    }
                    _ => places.into_iter().for_each(|place| {
                        self.reads.answer(place, ReadReply::Answer(INTERNAL_ERROR));
                    }),
                }
                tickets.into_iter().for_each(|ticket| self.order.done(ticket));
                self.send_reads();
            }
            Running::Writes { ids, bytes, ticket } => {
                match outcome {
                    Some(Outcome::Writes(done)) => self.end_writes(done),
                    _ => {
                        self.consumed += bytes + 4 * ids.len();
                        self.request_bytes -= bytes;
                        self.writes_waiting -= ids.len();
                        ids.into_iter().for_each(|id| self.outbox.push(id, &INTERNAL_ERROR));
                    }
                }
                match self.requests.get_mut(ticket.slot()).and_then(Option::take) {
                    Some(Work::Writes { key, waiting }) if waiting.is_empty() => {
                        self.forget_run(key, ticket.slot());
                        self.order.done(ticket);
                    }
                    Some(Work::Writes { key, waiting }) => self.start_writes(key, waiting, ticket),
                    Some(Work::Request { .. }) | None => self.order.done(ticket),
                }
            }
        }
    }

    fn answer_of(&mut self, opens: Option<Opens>, outcome: Option<Outcome>) -> Answer {
        let opened = match outcome {
            Some(Outcome::OpenedFile(Ok(file))) => Ok(Open::File(Arc::new(file))),
            Some(Outcome::OpenedDir(Ok(dir))) => Ok(Open::Dir(Arc::new(dir))),
            Some(Outcome::OpenedFile(Err(error)) | Outcome::OpenedDir(Err(error))) => {
                Err(Answer::from(error))
            }
            Some(Outcome::Answer(answer)) => Err(answer),
            Some(Outcome::Reads(_) | Outcome::Writes(_)) | None => Err(INTERNAL_ERROR),
        };
        match opened {
            Ok(open) => Answer::Handle(self.handles.insert(open).to_wire()),
            Err(answer) => {
                if let Some(opens) = opens {
                    self.handles.release(opens == Opens::Dir);
                }
                answer
            }
        }
    }

    /// Moves the READ replies whose turn it is to the outbox.
    fn send_reads(&mut self) {
        while let Some((id, reply)) = self.reads.pop_ready() {
            match reply {
                ReadReply::Data(_, range) if range.is_empty() => self.outbox.push(id, &Answer::EOF),
                ReadReply::Data(buffer, range) => self.outbox.push_data(id, buffer, range),
                ReadReply::Answer(answer) => self.outbox.push(id, &answer),
            }
        }
    }

    fn end_writes(&mut self, done: WriteDone) {
        for (id, frame, answer) in done {
            self.end_write(id, &answer, frame);
        }
    }

    fn end_write(&mut self, id: u32, answer: &Answer, frame: Vec<u8>) {
        self.writes_waiting -= 1;
        self.request_bytes -= frame.len();
        self.consumed += frame.len() + 4;
        self.outbox.push(id, answer);
        self.keep_frame(frame);
    }

    fn forget_run(&mut self, key: u64, slot: usize) {
        if self.joinable.get(&key) == Some(&slot) {
            self.joinable.remove(&key);
        }
    }

    fn end(&mut self, id: u32, answer: &Answer, frame: Vec<u8>, ticket: Ticket) {
        self.outbox.push(id, answer);
        self.order.done(ticket);
        self.keep_frame(frame);
    }

    fn keep_frame(&mut self, mut frame: Vec<u8>) {
        if self.spare_frames.len() < SPARE_FRAMES_MAX && frame.capacity() <= SPARE_FRAME_LEN_MAX {
            frame.clear();
            self.spare_frames.push(frame);
        }
    }
}

const INTERNAL_ERROR: Answer = Answer::failure("internal error");

impl Input {
    fn is_drained(&self) -> bool {
        self.used == self.backlog.len()
    }

    fn forget_used(&mut self) {
        if self.is_drained() {
            self.backlog.clear();
            self.used = 0;
        } else if self.used > self.backlog.len() / 2 {
            self.backlog.drain(..self.used);
            self.used = 0;
        }
    }
}

impl Drop for SftpSession {
    /// Stops long work and lets go of open files on the pool, since that may block.
    fn drop(&mut self) {
        self.io.cancel();
        self.long.cancel();
        let open = self.handles.drain();
        if !open.is_empty() {
            self.io.detach(move || drop(open));
        }
    }
}

/// The length that a READ asks for, within bounds; `None` for every other request.
fn read_len(frame: &[u8]) -> Option<usize> {
    if frame.first() != Some(&sterna_sftp_proto::messages::Read::TYPE) {
        return None;
    }
    let read = sterna_sftp_proto::messages::Read::decode(&mut Reader::new(frame.get(HEAD_LEN..)?));
    Some(read.ok()?.len.min(READ_LEN_MAX) as usize)
}

fn read_reply(
    buffer: &Arc<crate::buffers::Buffer>,
    part: storage::Result<std::ops::Range<usize>>,
) -> ReadReply {
    match part {
        Ok(range) => ReadReply::Data(Arc::clone(buffer), range),
        Err(error) => ReadReply::Answer(error.into()),
    }
}

/// What a request is told that the codec refused. A known extension that policy forbids is
/// forbidden, not unknown.
fn refused(frame: &[u8], refusal: &Refusal, policy: &SessionPolicy) -> Answer {
    if *refusal == Refusal::NotAnnounced
        && let Some(body) = frame.get(HEAD_LEN..)
        && let Some(Ok(request @ Request::Extended(extended))) =
            Request::decode(frame[0], &mut Reader::new(body)).as_ref()
        && extended.row().is_some()
        && let Some(answer) = gate::refusal(request, policy)
    {
        return answer;
    }
    let code: StatusCode = refusal.status().code;
    Answer::Status(code, refusal.to_string().into())
}
