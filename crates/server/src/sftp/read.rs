//! READ: straight into outgoing packets where the bytes are at hand, else by a job for several
//! READs of one file.

use std::collections::VecDeque;
use std::io::IoSliceMut;
use std::ops::Range;
use std::sync::Arc;

use sterna_sftp_proto::limits::READ_LEN_MAX;
use sterna_sftp_proto::messages::{Data, Read};
use sterna_storage as storage;

use super::handles::{HandleId, OpenFile};
use super::reply::Answer;
use super::sink::Sink;
use super::table::{Serving, Start};
use crate::buffers::{Buffer, BufferPool};

/// Pieces that one reply can be spread over on the fast path: 256 KiB in packets of 32 KiB, and
/// some to spare. A peer with smaller packets takes the way through a buffer.
const PIECES_MAX: usize = 12;

/// A READ that may be served: the file is open for it, and `len` is within bounds, not 0.
pub(super) struct ReadPlan {
    pub(super) file: Arc<OpenFile>,
    pub(super) offset: u64,
    pub(super) len: usize,
}

/// Finds the file. More than the announced maximum is a short read, not an error (SRV-2).
pub(super) fn read(request: &Read<'_>, at: &mut Serving<'_>) -> Start {
    let Some(file) = HandleId::from_wire(request.handle).and_then(|id| at.handles.file(id)) else {
        return Start::Now(Answer::BAD_HANDLE);
    };
    if !file.reads {
        return Start::Now(Answer::failure("read: not opened for reading"));
    }
    if request.len == 0 {
        return Start::Now(Answer::Packet(Data::header(at.id, 0).to_vec()));
    }
    // No file reaches beyond what a signed offset can say.
    if request.offset > i64::MAX as u64 {
        return Start::Now(Answer::EOF);
    }
    Start::Read(ReadPlan {
        file: Arc::clone(file),
        offset: request.offset,
        len: request.len.min(READ_LEN_MAX) as usize,
    })
}

/// What became of a try without blocking.
pub(super) enum Tried {
    /// The reply is in the sink, with so many bytes of the file.
    Sent(usize),
    Refused(Answer),
    /// Blocking would be needed, or there is no room for all of it: nothing was sent.
    NotNow,
}

/// Lays the whole reply into `sink`, if that needs no waiting.
pub(super) fn try_into_sink(plan: &ReadPlan, id: u32, sink: &mut dyn Sink) -> Tried {
    let whole = Data::HEADER_LEN + plan.len;
    if sink.room() < whole {
        return Tried::NotNow;
    }
    let mut tried = Tried::NotNow;
    sink.fill(whole, &mut |pieces| {
        let Some((first, others)) = pieces.split_first_mut() else { return 0 };
        if first.len() < Data::HEADER_LEN || others.len() >= PIECES_MAX {
            return 0;
        }
        let (header, first) = first.split_at_mut(Data::HEADER_LEN);
        let mut rest = others.iter_mut();
        let mut views: [IoSliceMut<'_>; PIECES_MAX] =
            std::array::from_fn(|_| rest.next().map_or_else(empty, |piece| reborrow(piece)));
        views.rotate_right(1);
        views[0] = IoSliceMut::new(first);
        match try_fill(&plan.file, plan.offset, plan.len, &mut views) {
            Some(Ok(0)) => {
                tried = Tried::Refused(Answer::EOF);
                0
            }
            Some(Ok(len)) => {
                header.copy_from_slice(&Data::header(id, len as u32));
                tried = Tried::Sent(len);
                Data::HEADER_LEN + len
            }
            Some(Err(error)) => {
                tried = Tried::Refused(error.into());
                0
            }
            None => 0,
        }
    });
    tried
}

/// Reads into a buffer if that needs no waiting.
pub(super) fn try_into_buffer(
    plan: &ReadPlan,
    buffers: &BufferPool,
) -> Option<storage::Result<(Buffer, usize)>> {
    let mut buffer = buffers.take(plan.len);
    let filled = {
        let mut views = [IoSliceMut::new(&mut buffer[..plan.len])];
        try_fill(&plan.file, plan.offset, plan.len, &mut views)?
    };
    Some(filled.map(|len| (buffer, len)))
}

fn empty<'e>() -> IoSliceMut<'e> {
    IoSliceMut::new(&mut [])
}

fn reborrow<'s>(piece: &'s mut IoSliceMut<'_>) -> IoSliceMut<'s> {
    IoSliceMut::new(piece)
}

/// Fills `views` as far as the file goes, or says `None`. A part that is at hand before a part that
/// is not is no answer: clients take a short block for the end of the file.
fn try_fill(
    file: &OpenFile,
    offset: u64,
    len: usize,
    mut views: &mut [IoSliceMut<'_>],
) -> Option<storage::Result<usize>> {
    let mut filled = 0;
    while filled < len {
        match file.file.try_read_at(views, offset.saturating_add(filled as u64))? {
            Ok(0) => break,
            Ok(n) => {
                let n = n.min(len - filled);
                filled += n;
                IoSliceMut::advance_slices(&mut views, n);
            }
            Err(error) => return Some(Err(error)),
        }
    }
    Some(Ok(filled))
}

/// READs of one file that one job serves.
pub(super) struct ReadBatch {
    pub(super) file: Arc<OpenFile>,
    pub(super) parts: Vec<ReadPart>,
    pub(super) len: usize,
}

/// One READ of a batch.
pub(super) struct ReadPart {
    /// Its place in the [`ReadQueue`].
    pub(super) place: u64,
    pub(super) offset: u64,
    pub(super) len: usize,
}

/// What a batch brought: one buffer, and for each READ its part of it.
pub(super) struct ReadDone {
    pub(super) buffer: Arc<Buffer>,
    pub(super) parts: Vec<(u64, storage::Result<Range<usize>>)>,
}

impl ReadBatch {
    /// Reads everything; neighbouring parts in one go.
    pub(super) fn run(self, buffers: &BufferPool) -> ReadDone {
        let mut buffer = buffers.take(self.len);
        let mut done = Vec::with_capacity(self.parts.len());
        let mut at = 0;
        for run in self.parts.chunk_by(|a, b| a.offset.checked_add(a.len as u64) == Some(b.offset))
        {
            let run_len: usize = run.iter().map(|part| part.len).sum();
            let mut view = [IoSliceMut::new(&mut buffer[at..at + run_len])];
            match self.file.file.read_at(&mut view, run[0].offset) {
                Ok(filled) => {
                    let mut left = filled.min(run_len);
                    let mut ended = left == 0;
                    for part in run {
                        let n = left.min(part.len);
                        left -= n;
                        // A disk error in the middle ends a run as the end of the file does. The first
                        // part that got nothing says which it was.
                        let read = match n == 0 && !ended {
                            true => self.read_part(part, &mut buffer[at..]),
                            false => Ok(n),
                        };
                        ended |= matches!(read, Ok(0));
                        self.note(part, &read);
                        done.push((part.place, read.map(|n| at..at + n)));
                        at += part.len;
                    }
                }
                // Which part is to blame is known only one by one.
                Err(_) => {
                    for part in run {
                        let read = self.read_part(part, &mut buffer[at..]);
                        self.note(part, &read);
                        done.push((part.place, read.map(|n| at..at + n)));
                        at += part.len;
                    }
                }
            }
        }
        ReadDone { buffer: Arc::new(buffer), parts: done }
    }

    fn note(&self, part: &ReadPart, read: &storage::Result<usize>) {
        if let Ok(len @ 1..) = read {
            self.file.moves.read.add(part.offset, *len);
        }
    }

    /// Reads one part by itself into the beginning of `buffer`.
    fn read_part(&self, part: &ReadPart, buffer: &mut [u8]) -> storage::Result<usize> {
        let mut view = [IoSliceMut::new(&mut buffer[..part.len])];
        let filled = self.file.file.read_at(&mut view, part.offset)?;
        Ok(filled.min(part.len))
    }
}

/// READs that were started and are not answered yet. They are answered in the order in which they
/// were asked: old clients count on it, and no client minds.
#[derive(Default)]
pub(super) struct ReadQueue {
    waiting: VecDeque<Waiting>,
    /// The place of the first one.
    first: u64,
    /// Bytes of the replies that are promised, headers included.
    bytes: usize,
}

struct Waiting {
    id: u32,
    cost: usize,
    reply: Option<ReadReply>,
}

/// What a READ is answered with.
pub(super) enum ReadReply {
    Data(Arc<Buffer>, Range<usize>),
    Answer(Answer),
}

impl ReadQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Gives spare memory back.
    pub(super) fn release(&mut self) {
        self.waiting.shrink_to_fit();
    }

    /// Bytes of replies that are promised.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes the next place.
    pub(super) fn push(&mut self, id: u32, len: usize) -> u64 {
        let cost = Data::HEADER_LEN + len;
        self.bytes += cost;
        self.waiting.push_back(Waiting { id, cost, reply: None });
        self.first + self.waiting.len() as u64 - 1
    }

    pub(super) fn answer(&mut self, place: u64, reply: ReadReply) {
        let index = place.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let waiting = index.and_then(|index| self.waiting.get_mut(index));
        debug_assert!(waiting.is_some(), "a place is answered once");
        if let Some(waiting) = waiting {
            waiting.reply = Some(reply);
        }
    }

    /// The next reply that may leave, with its request id.
    pub(super) fn pop_ready(&mut self) -> Option<(u32, ReadReply)> {
        let front = self.waiting.front_mut()?;
        let reply = front.reply.take()?;
        let (id, cost) = (front.id, front.cost);
        self.waiting.pop_front();
        self.first += 1;
        self.bytes -= cost;
        Some((id, reply))
    }
}
