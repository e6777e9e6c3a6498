//! Requests to jobs: what may start is served here, or on its way to the I/O pool.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use sterna_sftp_proto::Request;
use sterna_sftp_proto::extension::Extended;
use sterna_sftp_proto::limits::READ_LEN_MAX;
use sterna_sftp_proto::messages::{Data, Read, Write};
use sterna_sftp_proto::order::Ticket;
use sterna_sshwire::Reader;

use super::finish::{Hashing, Opens, Running};
use super::handles::HandleId;
use super::read::{self, ReadBatch, ReadPart, ReadPlan, ReadReply, Tried};
use super::recording::{Meaning, Pending};
use super::reply::Answer;
use super::requests::{Work, WriteRun, as_read};
use super::session::{HEAD_LEN, SftpSession};
use super::sink::Sink;
use super::table::{self, Outcome, Serving, Slices, Start};
use super::write::{WriteBatch, WritePart, WritePlan};
use crate::limits::{
    BATCH_BYTES_MAX, BATCH_REQUESTS_MAX, JOBS_MAX, READ_AHEAD_BYTES, REPLY_BYTES_MAX,
};

impl SftpSession {
    /// Starts what may start, in order, as long as the queues have room. READs wait for room in a line
    /// of their own: whoever looks at a directory during a download does not wait for the download.
    pub(super) fn start_ready(&mut self, sink: &mut dyn Sink) -> bool {
        let mut moved = false;
        loop {
            while let Some(ticket) = self.requests.next_ready() {
                if !self.may_start(&ticket, sink) {
                    self.requests.hold(ticket);
                    break;
                }
                moved = true;
                self.start_ticket(ticket, sink);
            }
            let Some(ticket) = self.requests.next_ready_read() else { break };
            if !self.may_start(&ticket, sink) {
                self.requests.hold_read(ticket);
                break;
            }
            moved = true;
            self.start_ticket(ticket, sink);
        }
        self.send_read_batch();
        moved
    }

    fn start_ticket(&mut self, ticket: Ticket, sink: &mut dyn Sink) {
        match self.requests.take(&ticket) {
            Some(Work::Request { id, frame }) => self.start(id, frame, ticket, sink),
            Some(Work::Writes(run)) => self.start_writes(run, ticket),
            None => self.requests.done(ticket),
        }
    }

    /// Whether the queues have room for what the request will bring.
    fn may_start(&self, ticket: &Ticket, sink: &dyn Sink) -> bool {
        if self.io.running() + self.syncs.running() >= JOBS_MAX {
            return false;
        }
        let Some(frame) = self.requests.frame(ticket) else { return true };
        let promised = self.outbox.len() + self.reads.bytes();
        let Some(read) = as_read(frame) else { return promised < REPLY_BYTES_MAX };
        let reply_len = Data::HEADER_LEN + read.len.min(READ_LEN_MAX) as usize;
        let room = sink.room();
        if room < reply_len && sink.room_when_drained() >= reply_len && self.is_at_hand(&read) {
            // It goes straight into packets a moment later. Reading ahead would be a copy in vain.
            return false;
        }
        let max = REPLY_BYTES_MAX.min(room.saturating_add(READ_AHEAD_BYTES));
        promised == 0 || promised + reply_len <= max
    }

    fn is_at_hand(&self, read: &Read<'_>) -> bool {
        let file = HandleId::from_wire(read.handle).and_then(|id| self.handles.file(id));
        file.is_some_and(|file| file.at_hand.load(Ordering::Relaxed))
    }

    fn start(&mut self, id: u32, frame: Vec<u8>, ticket: Ticket, sink: &mut dyn Sink) {
        let mut r = Reader::new(frame.get(HEAD_LEN..).unwrap_or_default());
        // It was decoded once already, when its place in the order was decided.
        let Some(Ok(request)) = Request::decode(frame[0], &mut r) else {
            return self.end(id, &Answer::failure("internal error"), frame, ticket);
        };
        let opens = match &request {
            Request::Open(_)
            | Request::Extended(Extended::CheckFileName(_) | Extended::Md5Hash(_)) => {
                Some(Opens::File)
            }
            Request::Opendir(_) => Some(Opens::Dir),
            _ => None,
        };
        let pending = self.observer.as_ref().and_then(|observer| {
            let meaning = Meaning { policy: &self.policy, handles: &self.handles };
            Pending::of(&request, table::row(&request), observer, &meaning)
        });
        let started = table::serve(
            &request,
            &mut Serving {
                id,
                backend: &self.backend,
                policy: &self.policy,
                handles: &mut self.handles,
                buffers: &self.buffers,
                pool: self.io.pool(),
                digests: &self.digests,
                observer: self.observer.as_ref(),
                exact_attrs: &mut self.exact_attrs,
            },
        );
        match started {
            Start::Now(answer) => {
                if let Some(pending) = pending {
                    pending.finish(&answer);
                }
                return self.end(id, &answer, frame, ticket);
            }
            Start::NowAndDetach(answer, rest) => {
                self.io.gather_detached(rest);
                return self.end(id, &answer, frame, ticket);
            }
            Start::Job(job) => {
                let ticket = Some(ticket);
                let running = Running::Request { id, ticket, opens, hashes: None, pending };
                let number = self.register(running);
                self.io.gather(number, job);
            }
            Start::Sync(job) => {
                let ticket = Some(ticket);
                let running = Running::Request { id, ticket, opens, hashes: None, pending };
                let number = self.register(running);
                match closes(&request).and_then(|id| self.stop_hashing(id)) {
                    Some(hashing) => hashing.close = Some((number, job)),
                    None => self.syncs.gather(number, job),
                }
            }
            Start::LongJob(job) => self.start_long(id, ticket, &request, job, pending),
            Start::Read(plan) => self.start_read(id, plan, ticket, sink),
            // They have a handle that was open when they came, and are in a run.
            Start::Write(_) => unreachable!("WRITEs are started by start_writes"),
        }
        self.input.keep_frame(frame);
    }

    fn register(&mut self, running: Running) -> u64 {
        let number = self.next_job;
        self.next_job += 1;
        self.running.insert(number, running);
        number
    }

    /// Digests do not hold up what comes later: they change nothing, and may take hours. A copy
    /// does: what follows may build on it.
    fn start_long(
        &mut self,
        id: u32,
        ticket: Ticket,
        request: &Request<'_>,
        work: Slices,
        pending: Option<Box<Pending>>,
    ) {
        if request.changes() {
            let (ticket, opens, hashes) = (Some(ticket), None, None);
            self.wait_for_long(Running::Request { id, ticket, opens, hashes, pending }, work);
            return;
        }
        let hashes = hashed(request);
        if let Some(handle) = hashes {
            self.hashing.entry(handle).or_default().jobs += 1;
        }
        let running = Running::Request { id, ticket: None, opens: None, hashes, pending };
        self.start_digest(ticket, running, work);
    }

    /// Lets go of the place in the order that a digest had; `running` has it no more.
    pub(super) fn start_digest(&mut self, ticket: Ticket, running: Running, work: Slices) {
        self.requests.done(ticket);
        self.digests_asked += 1;
        self.wait_for_long(running, work);
    }

    fn wait_for_long(&mut self, running: Running, work: Slices) {
        let number = self.register(running);
        self.long_waiting.push_back((number, work));
        self.start_long_waiting();
    }

    /// The digests of a handle that is being closed, if some are still computed: they have been told to
    /// stop. Those that have not begun are answered now.
    fn stop_hashing(&mut self, closed: HandleId) -> Option<&mut Hashing> {
        self.hashing.get(&closed)?;
        let waiting = std::mem::take(&mut self.long_waiting);
        for (number, work) in waiting {
            match self.running.get(&number) {
                Some(Running::Request { hashes: Some(handle), .. }) if *handle == closed => {
                    drop(work);
                    if let Some(running) = self.running.remove(&number) {
                        let answer = Answer::failure("the handle was closed");
                        self.finish(running, Some(Outcome::Answer(answer)));
                    }
                }
                _ => self.long_waiting.push_back((number, work)),
            }
        }
        self.hashing.get_mut(&closed)
    }

    /// Starts long work as long as there is room for what it will bring.
    pub(super) fn start_long_waiting(&mut self) {
        while self.long.running() < self.policy.long_jobs_max
            && self.outbox.len() + self.reads.bytes() < REPLY_BYTES_MAX
        {
            let Some((number, work)) = self.long_waiting.pop_front() else { return };
            self.long.start_slices(number, work);
        }
    }

    fn start_read(&mut self, id: u32, plan: ReadPlan, ticket: Ticket, sink: &mut dyn Sink) {
        let first_in_line = self.reads.is_empty() && self.read_batch.is_none();
        if first_in_line && self.outbox.is_empty() {
            match read::try_into_sink(&plan, id, sink) {
                Tried::Sent(len) => {
                    plan.file.moves.read.add(plan.offset, len);
                    self.outbox.note_answered(id);
                    plan.file.at_hand.store(true, Ordering::Relaxed);
                    return self.requests.done(ticket);
                }
                Tried::Refused(answer) => {
                    self.outbox.push(id, &answer);
                    return self.requests.done(ticket);
                }
                Tried::NotNow => {}
            }
        }
        let place = self.reads.push(id, plan.len);
        if self.read_batch.is_none()
            && let Some(filled) = read::try_into_buffer(&plan, &self.buffers)
        {
            plan.file.at_hand.store(true, Ordering::Relaxed);
            let reply = match filled {
                Ok((buffer, len)) => {
                    if len > 0 {
                        plan.file.moves.read.add(plan.offset, len);
                    }
                    ReadReply::Data(Arc::new(buffer), 0..len)
                }
                Err(error) => ReadReply::Answer(error.into()),
            };
            self.requests.done(ticket);
            self.reads.answer(place, reply);
            return self.send_reads();
        }
        plan.file.at_hand.store(false, Ordering::Relaxed);
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
        self.io.gather(number, move |_| Outcome::Reads(batch.run(&buffers)));
    }

    /// Writes what needs no waiting, and starts a job for the WRITEs at the front of a run that do; the others
    /// wait for it.
    pub(super) fn start_writes(&mut self, mut run: WriteRun, ticket: Ticket) {
        let mut file = None;
        let (mut parts, mut ids) = self.spare_lists.take();
        let mut bytes = 0;
        while bytes < BATCH_BYTES_MAX && ids.len() < BATCH_REQUESTS_MAX {
            let Some((id, frame)) = run.waiting.pop_front() else { break };
            let mut serving = Serving {
                id,
                backend: &self.backend,
                policy: &self.policy,
                handles: &mut self.handles,
                buffers: &self.buffers,
                pool: self.io.pool(),
                digests: &self.digests,
                observer: None,
                exact_attrs: &mut self.exact_attrs,
            };
            let mut r = Reader::new(frame.get(HEAD_LEN..).unwrap_or_default());
            let started = Write::decode(&mut r).map_or_else(
                |error| Start::Now(error.into()),
                |m| table::serve(&m.into(), &mut serving),
            );
            match started {
                Start::Write(WritePlan { file: of_plan, offset, data }) => {
                    // Nothing of this run is under way, so it may overtake nothing.
                    if ids.is_empty()
                        && let Some(written) =
                            of_plan.file.try_write_at(&frame[data.clone()], offset)
                    {
                        if written.is_ok() {
                            of_plan.moves.written.add(offset, data.len());
                        }
                        self.end_write(id, &Answer::of(written), frame);
                        continue;
                    }
                    ids.push(id);
                    bytes += frame.len();
                    parts.push(WritePart { id, frame, data, offset, answer: Answer::OK });
                    file = Some(of_plan);
                }
                Start::Now(answer) => self.end_write(id, &answer, frame),
                _ => unreachable!("the handler of WRITE answers or writes"),
            }
        }
        match file {
            // One run writes through one handle.
            Some(file) => {
                self.requests.put_back(&ticket, run);
                let number = self.register(Running::Writes { ids, bytes, ticket });
                let batch = WriteBatch { file, parts };
                self.io.gather(number, move |_| Outcome::Writes(batch.run()));
            }
            None if run.waiting.is_empty() => self.requests.end_run(ticket, run),
            None => self.start_writes(run, ticket),
        }
    }
}

/// The handle that a request ends.
fn closes(request: &Request<'_>) -> Option<HandleId> {
    match request {
        Request::Close(close) => HandleId::from_wire(close.handle),
        _ => None,
    }
}

/// The handle whose file a request hashes.
fn hashed(request: &Request<'_>) -> Option<HandleId> {
    let Request::Extended(extended) = request else { return None };
    match extended {
        Extended::CheckFileHandle(message) => HandleId::from_wire(message.handle),
        Extended::Md5HashHandle(message) => HandleId::from_wire(message.handle),
        _ => None,
    }
}
