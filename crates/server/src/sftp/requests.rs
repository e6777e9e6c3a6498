//! Requests that were accepted and are not answered: their order, and what is known of each.

use std::collections::{HashMap, VecDeque};

use sterna_sftp_proto::messages::Read;
use sterna_sftp_proto::order::{Class, Order, Ticket};
use sterna_sshwire::Reader;

use super::handles::HandleId;
use super::session::HEAD_LEN;
use crate::limits::{READ_TURN_BYTES, REQUEST_BYTES_MAX};

/// The requests of one session that wait or run.
pub(super) struct Requests {
    order: Order,
    max: usize,
    /// What waits or runs, by its slot in `order`.
    works: Vec<Option<Work>>,
    /// Requests whose turn it is and that nothing but full queues holds up: READs, which wait for room
    /// for their data, and all others, which do not wait behind those.
    ready_reads: ReadLine,
    ready: VecDeque<Ticket>,
    /// The newest WRITEs of a handle, as long as further ones may still join them.
    joinable: HashMap<u64, usize>,
    /// The emptied list of a run, to be used again.
    spare_run: VecDeque<(u32, Vec<u8>)>,
    /// WRITEs that are not answered; `order` knows their runs only.
    writes: usize,
    /// Bytes of the frames that are kept.
    bytes: usize,
    /// Slots of the barriers among them: mostly none.
    barriers: Vec<usize>,
}

/// A request, or a run of WRITEs to one handle, that has a slot in the order.
pub(super) enum Work {
    Request { id: u32, frame: Vec<u8> },
    Writes(WriteRun),
}

/// WRITEs that follow each other: they share one slot, and a job serves several at once.
pub(super) struct WriteRun {
    key: u64,
    /// Request id and frame of those that no job has yet.
    pub(super) waiting: VecDeque<(u32, Vec<u8>)>,
}

impl Requests {
    /// `max` at a time.
    pub(super) fn new(max: usize) -> Self {
        Self {
            max,
            order: Order::new(max),
            works: Vec::new(),
            ready_reads: ReadLine::default(),
            ready: VecDeque::new(),
            joinable: HashMap::new(),
            spare_run: VecDeque::new(),
            writes: 0,
            bytes: 0,
            barriers: Vec::new(),
        }
    }

    /// Whether something waits or runs that may change any name.
    pub(super) fn has_barrier(&self) -> bool {
        !self.barriers.is_empty()
    }

    /// Gives spare memory back, if nothing waits or runs.
    pub(super) fn release(&mut self) {
        if self.is_empty() {
            debug_assert_eq!((self.writes, self.bytes), (0, 0));
            *self = Self::new(self.max);
        }
    }

    /// Whether another one may be taken in, beside `others` that are not answered and not in here.
    pub(super) fn has_room(&self, others: usize) -> bool {
        self.order.len() + self.writes + others < self.max && self.bytes < REQUEST_BYTES_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// Gives a request its place. [`Requests::has_room`] was asked before.
    pub(super) fn push(&mut self, id: u32, frame: Vec<u8>, class: Class) {
        self.bytes += frame.len();
        match class {
            // A WRITE that arrives later may overtake these anyway.
            Class::Free | Class::Make { .. } | Class::Rename { .. } => {}
            Class::HandleRead { key }
            | Class::HandleStep { key }
            | Class::HandleWrite { key }
            | Class::Close { key, .. } => {
                self.joinable.remove(&key);
            }
            Class::Copy { from, to } => {
                self.joinable.remove(&from);
                self.joinable.remove(&to);
            }
            Class::PathRead | Class::Barrier => self.joinable.clear(),
        }
        let slot = self.admit(class, Work::Request { id, frame });
        if class == Class::Barrier {
            self.barriers.push(slot);
        }
    }

    /// Gives a WRITE to the handle of `key` its place: it joins the WRITEs of its handle that wait
    /// already, if nothing came in between that must not see it too early.
    pub(super) fn push_write(&mut self, id: u32, frame: Vec<u8>, key: u64) {
        self.bytes += frame.len();
        self.writes += 1;
        if let Some(slot) = self.joinable.get(&key)
            && let Some(Some(Work::Writes(run))) = self.works.get_mut(*slot)
        {
            run.waiting.push_back((id, frame));
            return;
        }
        let mut waiting = std::mem::take(&mut self.spare_run);
        waiting.push_back((id, frame));
        let run = WriteRun { key, waiting };
        let slot = self.admit(Class::HandleWrite { key }, Work::Writes(run));
        self.joinable.insert(key, slot);
    }

    fn admit(&mut self, class: Class, work: Work) -> usize {
        // `has_room` was asked before the frame was taken.
        let slot = self.order.admit(class).expect("room for a request was checked");
        if self.works.len() <= slot {
            self.works.resize_with(slot + 1, || None);
        }
        self.works[slot] = Some(work);
        slot
    }

    /// The next request whose turn it is, READs aside.
    pub(super) fn next_ready(&mut self) -> Option<Ticket> {
        while let Some(ticket) = self.order.next_ready() {
            match self.frame(&ticket).and_then(as_read) {
                Some(read) => {
                    let read = ReadyRead { handle: number_of(read.handle), len: read.len, ticket };
                    self.ready_reads.waiting.push_back(read);
                }
                None => self.ready.push_back(ticket),
            }
        }
        self.ready.pop_front()
    }

    /// The next READ whose turn it is: those of one handle in the order of arrival.
    pub(super) fn next_ready_read(&mut self) -> Option<Ticket> {
        self.ready_reads.next()
    }

    /// Takes a ticket back: it is the next one again.
    pub(super) fn hold(&mut self, ticket: Ticket) {
        self.ready.push_front(ticket);
    }

    /// As [`Requests::hold`], for a READ.
    pub(super) fn hold_read(&mut self, ticket: Ticket) {
        self.ready_reads.held = Some(ticket);
    }

    /// The frame behind a ticket; `None` for a run of WRITEs.
    pub(super) fn frame(&self, ticket: &Ticket) -> Option<&[u8]> {
        match self.works.get(ticket.slot()) {
            Some(Some(Work::Request { frame, .. })) => Some(frame),
            Some(_) | None => None,
        }
    }

    /// What is to be done for a ticket. The bytes of a request are not counted any more, those of
    /// WRITEs until [`Requests::end_writes`].
    pub(super) fn take(&mut self, ticket: &Ticket) -> Option<Work> {
        let work = self.works.get_mut(ticket.slot()).and_then(Option::take);
        if let Some(Work::Request { frame, .. }) = &work {
            self.bytes -= frame.len();
        }
        work
    }

    /// Puts the rest of a run back while a job writes its first part: others may join it.
    pub(super) fn put_back(&mut self, ticket: &Ticket, run: WriteRun) {
        self.works[ticket.slot()] = Some(Work::Writes(run));
    }

    /// `count` WRITEs are answered; their frames had `bytes` bytes together.
    pub(super) fn end_writes(&mut self, count: usize, bytes: usize) {
        self.writes -= count;
        self.bytes -= bytes;
    }

    /// A run is empty and over.
    pub(super) fn end_run(&mut self, ticket: Ticket, run: WriteRun) {
        debug_assert!(run.waiting.is_empty());
        self.spare_run = run.waiting;
        if self.joinable.get(&run.key) == Some(&ticket.slot()) {
            self.joinable.remove(&run.key);
        }
        self.done(ticket);
    }

    /// Ends a request, which may make others ready.
    pub(super) fn done(&mut self, ticket: Ticket) {
        self.barriers.retain(|slot| *slot != ticket.slot());
        self.order.done(ticket);
    }
}

/// READs that wait for room. Handles take turns, so that a few bytes of one file do not wait behind all
/// that was asked of another.
#[derive(Default)]
struct ReadLine {
    waiting: VecDeque<ReadyRead>,
    /// The one that comes next in any case.
    held: Option<Ticket>,
    /// Whose turn it is, and the bytes that it has had.
    handle: u64,
    had: usize,
}

struct ReadyRead {
    handle: u64,
    len: u32,
    ticket: Ticket,
}

impl ReadLine {
    fn next(&mut self) -> Option<Ticket> {
        if let Some(ticket) = self.held.take() {
            return Some(ticket);
        }
        let stays = self.had < READ_TURN_BYTES;
        let at = self.waiting.iter().position(|read| (read.handle == self.handle) == stays);
        let ReadyRead { handle, len, ticket } = self.waiting.remove(at.unwrap_or(0))?;
        if handle != self.handle || !stays {
            (self.handle, self.had) = (handle, 0);
        }
        self.had += len as usize;
        Some(ticket)
    }
}

/// The READ in a frame; `None` for every other request.
pub(super) fn as_read(frame: &[u8]) -> Option<Read<'_>> {
    if frame.first() != Some(&Read::TYPE) {
        return None;
    }
    Read::decode(&mut Reader::new(frame.get(HEAD_LEN..)?)).ok()
}

/// Tells handles apart; one that cannot be ours has any number.
fn number_of(handle: &[u8]) -> u64 {
    HandleId::from_wire(handle).map_or(0, |id| u64::from_be_bytes(id.to_wire()))
}
