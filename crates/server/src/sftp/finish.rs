//! Results to replies: what jobs bring back is answered here, and opens the way for what waits.

use std::ops::Range;
use std::sync::Arc;

use sterna_sftp_proto::order::Ticket;
use sterna_storage as storage;

use super::handles::{HandleId, Open};
use super::read::{ReadDone, ReadReply};
use super::recording::Pending;
use super::reply::Answer;
use super::requests::Work;
use super::session::SftpSession;
use super::table::{Job, Outcome};
use super::write::WritePart;
use crate::buffers::Buffer;

const INTERNAL_ERROR: Answer = Answer::failure("internal error");

/// Who waits for a job.
pub(super) enum Running {
    Request {
        id: u32,
        ticket: Option<Ticket>,
        opens: Option<Opens>,
        /// The handle whose file is hashed.
        hashes: Option<HandleId>,
        /// Its record in the audit log.
        pending: Option<Box<Pending>>,
    },
    Reads {
        places: Vec<u64>,
        tickets: Vec<Ticket>,
    },
    Writes {
        ids: Vec<u32>,
        bytes: usize,
        ticket: Ticket,
    },
}

/// Digests of one open file that are computed or wait.
#[derive(Default)]
pub(super) struct Hashing {
    pub(super) jobs: usize,
    /// A CLOSE that waits for them to stop, by its job's number.
    pub(super) close: Option<(u64, Job)>,
}

/// What room was promised for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Opens {
    File,
    Dir,
}

impl SftpSession {
    pub(super) fn take_results(&mut self) -> bool {
        let mut moved = false;
        while let Some((number, outcome)) = self.take_done() {
            moved = true;
            if let Some(running) = self.running.remove(&number) {
                self.finish(running, outcome);
            }
        }
        moved
    }

    fn take_done(&mut self) -> Option<(u64, Option<Outcome>)> {
        let done = self.io.take_done().or_else(|| self.syncs.take_done());
        done.or_else(|| self.long.take_done())
    }

    /// Takes the result of one job; `None` if it panicked.
    pub(super) fn finish(&mut self, running: Running, outcome: Option<Outcome>) {
        match running {
            Running::Request { id, ticket, opens, hashes, pending } => {
                let (ticket, outcome) = match (ticket, outcome) {
                    (Some(ticket), Some(Outcome::Hashes(work))) => {
                        // The room of a handle stays taken until the file is hashed.
                        let running = Running::Request { id, ticket: None, opens, hashes, pending };
                        return self.start_digest(ticket, running, work);
                    }
                    other => other,
                };
                let answer = self.answer_of(opens, outcome);
                if let Some(pending) = pending {
                    pending.finish(&answer);
                }
                self.outbox.push(id, &answer);
                if let Some(handle) = hashes {
                    self.end_hashing(handle);
                }
                match ticket {
                    Some(ticket) => self.requests.done(ticket),
                    None => self.digests_asked -= 1,
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
                tickets.into_iter().for_each(|ticket| self.requests.done(ticket));
                self.send_reads();
            }
            Running::Writes { ids, bytes, ticket } => {
                match outcome {
                    Some(Outcome::Writes(done)) => self.finish_writes(done),
                    _ => {
                        self.consumed += bytes + 4 * ids.len();
                        self.requests.end_writes(ids.len(), bytes);
                        ids.iter().for_each(|id| self.outbox.push(*id, &INTERNAL_ERROR));
                    }
                }
                self.spare_lists.keep_ids(ids);
                match self.requests.take(&ticket) {
                    Some(Work::Writes(run)) if run.waiting.is_empty() => {
                        self.requests.end_run(ticket, run);
                    }
                    Some(Work::Writes(run)) => self.start_writes(run, ticket),
                    Some(Work::Request { .. }) | None => self.requests.done(ticket),
                }
            }
        }
    }

    /// One digest of this handle is done.
    fn end_hashing(&mut self, handle: HandleId) {
        let Some(hashing) = self.hashing.get_mut(&handle) else { return };
        hashing.jobs -= 1;
        if hashing.jobs == 0
            && let Some(Hashing { close: Some((number, job)), .. }) = self.hashing.remove(&handle)
        {
            self.syncs.gather(number, job);
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
            Some(Outcome::Reads(_) | Outcome::Writes(_) | Outcome::Hashes(_)) | None => {
                Err(INTERNAL_ERROR)
            }
        };
        match opened {
            Ok(open) => {
                if let (Open::File(file), Some(observer)) = (&open, &self.observer) {
                    observer.opened(&file.moves);
                }
                Answer::Handle(self.handles.insert(open, self.requests.has_barrier()).to_wire())
            }
            Err(answer) => {
                if let Some(opens) = opens {
                    self.handles.release(opens == Opens::Dir);
                }
                answer
            }
        }
    }

    /// Moves the READ replies whose turn it is to the outbox.
    pub(super) fn send_reads(&mut self) {
        while let Some((id, reply)) = self.reads.pop_ready() {
            match reply {
                ReadReply::Data(_, range) if range.is_empty() => self.outbox.push(id, &Answer::EOF),
                ReadReply::Data(buffer, range) => self.outbox.push_data(id, buffer, range),
                ReadReply::Answer(answer) => self.outbox.push(id, &answer),
            }
        }
    }

    fn finish_writes(&mut self, mut done: Vec<WritePart>) {
        for WritePart { id, frame, answer, .. } in done.drain(..) {
            self.end_write(id, &answer, frame);
        }
        self.spare_lists.keep_parts(done);
    }

    pub(super) fn end_write(&mut self, id: u32, answer: &Answer, frame: Vec<u8>) {
        self.requests.end_writes(1, frame.len());
        self.consumed += frame.len() + 4;
        self.outbox.push(id, answer);
        self.input.keep_frame(frame);
    }

    /// Answers a request that needed no job.
    pub(super) fn end(&mut self, id: u32, answer: &Answer, frame: Vec<u8>, ticket: Ticket) {
        self.outbox.push(id, answer);
        self.requests.done(ticket);
        self.input.keep_frame(frame);
    }
}

fn read_reply(buffer: &Arc<Buffer>, part: storage::Result<Range<usize>>) -> ReadReply {
    match part {
        Ok(range) => ReadReply::Data(Arc::clone(buffer), range),
        Err(error) => ReadReply::Answer(error.into()),
    }
}
