//! Fetches ranges of a file: many reads in flight, on as many lanes as make it faster, each written where
//! it belongs as it arrives, and hashed as it passes.

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::PoisonError;
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::arrived::{Arrived, Writing, Written};
use super::into_part::IntoPart;
use super::part::Part;
use crate::Error;
use crate::limits::{EMPTY_READS_MAX, JOURNAL_STEP_LEN, PROGRESS_STEP_LEN};
use crate::sftp::{File, Frame, ReplyTo};
use crate::transfer::Context;
use crate::transfer::local::AtHand;
use crate::transfer::passing::Passing;
use crate::transfer::progress::Event;
use crate::transfer::ranges::{Done, Ranges};
use crate::transfer::refusals::Refusals;
use crate::transfer::resume::SourceState;
use crate::transfer::stripes::Stripes;
use crate::transfer::window::Window;

struct Flight {
    offset: u64,
    len: u32,
    /// Number of its lane.
    lane: usize,
    permit: Option<OwnedSemaphorePermit>,
    /// Nothing else of this file was in flight when it was sent.
    alone: bool,
}

/// The reads and writes of one file.
pub(super) struct Pump<'p> {
    context: &'p Context,
    remote: &'p File,
    part: &'p Part,
    stripes: Stripes<'p>,
    /// Source path, for messages.
    path: &'p [u8],
    window: Window,
    flights: HashMap<u64, Flight>,
    next_tag: u64,
    replies_in: mpsc::UnboundedSender<(u64, Result<Frame, Error>)>,
    replies: mpsc::UnboundedReceiver<(u64, Result<Frame, Error>)>,
    /// The part, once it is known that bytes may be written as they come.
    into_part: Option<IntoPart>,
    /// What came and is not being written yet.
    arrived: Vec<Arrived>,
    at_hand: AtHand,
    /// One thread writes at a time: two would wait for each other at the file.
    writing: Option<JoinHandle<Written>>,
    /// Asked or being written, in bytes.
    in_flight: usize,
    /// What is still to be asked for.
    ranges: Ranges,
    refusals: Refusals,
    /// Rests of short replies, and what was refused because of others.
    again: VecDeque<(u64, u32)>,
    /// Up to here the file is believed to go; behind it one request at a time looks for more.
    believed: u64,
    probing: bool,
    end: Option<u64>,
    empty_reads: u32,
    zeros: Range<u64>,
    passing: Option<Passing>,
    done: Done,
    /// Bytes that travelled.
    pub(super) received: u64,
    noted_at: u64,
    told_at: u64,
}

impl<'p> Pump<'p> {
    /// Everything but `ranges` is there already, of a file that was seen in this `state`.
    pub(super) fn new(
        context: &'p Context,
        remote: &'p File,
        part: &'p Part,
        ranges: Ranges,
        state: SourceState,
        passing: Option<Passing>,
        path: &'p [u8],
    ) -> Self {
        let (replies_in, replies) = mpsc::unbounded_channel();
        let options = &context.options;
        let believed = state.size;
        let done = Done::except(&ranges, believed);
        let start = done.contiguous();
        Self {
            context,
            remote,
            part,
            stripes: Stripes::reading(context, remote, state),
            path,
            window: Window::new(
                options.window_start,
                options.window_max,
                remote.sftp().round_trip(),
                Instant::now(),
            ),
            flights: HashMap::new(),
            next_tag: 0,
            replies_in,
            replies,
            into_part: None,
            arrived: Vec::new(),
            at_hand: AtHand::Ask,
            writing: None,
            in_flight: 0,
            ranges,
            refusals: Refusals::default(),
            again: VecDeque::new(),
            believed,
            probing: false,
            end: None,
            empty_reads: 0,
            zeros: 0..0,
            passing,
            done,
            received: 0,
            noted_at: start,
            told_at: start,
        }
    }

    /// Zeros between these bytes are not written: the part has nothing but a hole there.
    pub(super) fn over_zeros(mut self, zeros: Range<u64>) -> Self {
        self.zeros = zeros;
        self
    }

    /// Runs to the end of the file and returns its length. After an error, what is written is on disk
    /// and counted.
    pub(super) async fn run(&mut self) -> Result<u64, Error> {
        let result = self.transfer().await;
        self.into_part = None;
        // Late replies go nowhere. What has come is written, so that it need not travel again, and all writes
        // are waited for, so that `done` is true.
        loop {
            if let Some(writing) = self.writing.take() {
                let Ok(Written { done, result }) = writing.await else { break };
                done.into_iter().for_each(|(offset, len)| self.done.add(offset, len as u64));
                if result.is_err() {
                    break;
                }
            }
            if self.arrived.is_empty() || self.write_arrived().is_err() {
                break;
            }
        }
        result
    }

    /// How many bytes are there without a gap, and the digest of what has passed.
    pub(super) fn end(self) -> (u64, Option<Passing>) {
        (self.done.contiguous(), self.passing)
    }

    async fn transfer(&mut self) -> Result<u64, Error> {
        self.follow();
        loop {
            if let Some(pause) = self.refusals.pause() {
                tokio::time::sleep(pause).await;
            }
            self.ask_more().await?;
            if self.write_arrived()? {
                // There is room again.
                continue;
            }
            if self.flights.is_empty() && self.writing.is_none() && self.again.is_empty() {
                // Everything that was asked for is written, and the server has said where the end is.
                let end = self.end.unwrap_or(self.believed);
                return if self.done.contiguous() == end { Ok(end) } else { Err(self.changed()) };
            }
            tokio::select! {
                Some((tag, reply)) = self.replies.recv() => {
                    self.take_reply(tag, reply)?;
                    while let Ok((tag, reply)) = self.replies.try_recv() {
                        self.take_reply(tag, reply)?;
                    }
                }
                written = joined(&mut self.writing), if self.writing.is_some() => {
                    self.writing = None;
                    self.written(written?)?;
                }
                () = self.stripes.widened() => {}
                () = self.context.cancel.cancelled() => return Err(Error::Cancelled),
            }
        }
    }

    async fn ask_more(&mut self) -> Result<(), Error> {
        let read_len = self.remote.sftp().limits().read_len;
        loop {
            let (offset, len) = match (self.again.front(), self.ranges.front()) {
                (Some((offset, len)), _) => (*offset, *len),
                (None, Some(next)) => {
                    let left = u32::try_from(next.end - next.start).unwrap_or(u32::MAX);
                    (next.start, read_len.min(left))
                }
                // Virtual files say size 0 and growing ones too little: one more read looks (CLT-4).
                (None, None) if !self.probing && self.end.is_none() => (self.believed, read_len),
                (None, None) => return Ok(()),
            };
            if self.in_flight > 0 && self.in_flight + len as usize > self.window.len() {
                return Ok(());
            }
            let (is_long, left) = (self.window.is_of_long_path(), &self.ranges);
            if is_long && !self.stripes.may_read(len as usize, left) {
                return Ok(());
            }
            let permit = match self.context.try_budget(len as usize) {
                Some(permit) => permit,
                None if self.in_flight > 0 => return Ok(()),
                None => self.context.budget(len as usize).await?,
            };
            self.context.pace(len as usize).await?;
            if self.again.pop_front().is_none() && self.ranges.take(u64::from(len)).is_none() {
                self.probing = true;
            }
            let tag = self.next_tag;
            self.next_tag += 1;
            self.in_flight += len as usize;
            let alone = self.flights.is_empty();
            // What comes on several lanes does not come in its order, as a digest wants it.
            let into_part = self.into_part.as_ref().filter(|_| self.stripes.is_one());
            let target = into_part.and_then(IntoPart::target);
            let (lane, file) = self.stripes.begin(len as usize);
            self.flights.insert(tag, Flight { offset, len, lane, permit: Some(permit), alone });
            let reply_to = ReplyTo::Tagged(tag, self.replies_in.clone());
            let call = match target {
                Some(target) => file.read_call_into(offset, len, target, reply_to),
                None => file.read_call(offset, len, reply_to),
            };
            file.sftp().submit(call).await?;
        }
    }

    fn take_reply(&mut self, tag: u64, reply: Result<Frame, Error>) -> Result<(), Error> {
        let Some(mut flight) = self.flights.remove(&tag) else { return Ok(()) };
        self.stripes.end(flight.lane, flight.len as usize);
        let data = match self.remote.read_result(reply?, flight.len) {
            Ok(data) => data,
            Err(error) if self.refusals.may_go_again(&error, flight.alone, &mut self.window) => {
                self.in_flight -= flight.len as usize;
                match flight.offset >= self.believed {
                    true => self.probing = false,
                    false => self.again.push_back((flight.offset, flight.len)),
                }
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        self.refusals.succeeded();
        let (offset, written) = (flight.offset, data.written());
        let len = written + data.len();
        self.in_flight -= flight.len as usize - len;
        let was_probe = offset >= self.believed;
        if data.is_end() {
            let end = self.end.map_or(offset, |end| end.min(offset));
            self.end = Some(end);
            self.ranges.cut(end);
            return Ok(());
        }
        if self.end.is_some_and(|end| offset >= end) {
            return Err(self.changed());
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
        } else if len < flight.len as usize {
            self.again.push_back((offset + len as u64, flight.len - len as u32));
        }
        if len == 0 {
            return Ok(());
        }
        self.received += len as u64;
        if !data.is_empty() {
            let offset = offset + written as u64;
            self.arrived.push(Arrived { offset, data, _permit: flight.permit.take() });
        }
        match written {
            0 => Ok(()),
            _ => self.written(Written { done: vec![(offset, written)], result: Ok(()) }),
        }
    }

    /// Writes what has arrived, or lets a thread begin to where that takes long, unless one writes still. Returns
    /// whether something is written now.
    fn write_arrived(&mut self) -> Result<bool, Error> {
        if self.arrived.is_empty() || self.writing.is_some() {
            return Ok(false);
        }
        let writing = Writing {
            fd: self.part.fd.clone(),
            arrived: std::mem::take(&mut self.arrived),
            zeros: self.zeros.clone(),
            passer: self.passing.as_ref().map(Passing::passer),
        };
        match writing.run_at_once(&mut self.at_hand) {
            Ok(written) => {
                if self.into_part.is_none() {
                    let passer = self.passing.as_ref().map(Passing::passer);
                    let (fd, zeros) = (self.part.fd.clone(), self.zeros.clone());
                    self.into_part = IntoPart::new(fd, zeros, passer, self.at_hand);
                }
                self.written(written).map(|()| true)
            }
            Err(writing) => {
                self.writing = Some(tokio::task::spawn_blocking(|| writing.run()));
                Ok(false)
            }
        }
    }

    fn written(&mut self, written: Written) -> Result<(), Error> {
        for (offset, len) in written.done {
            self.in_flight -= len;
            self.done.add(offset, len as u64);
            self.window.answered(len, Instant::now());
        }
        written.result.map_err(|e| Error::local("write", &self.part.path, e))?;
        self.follow();
        let done = self.done.contiguous();
        if done >= self.noted_at + JOURNAL_STEP_LEN {
            self.noted_at = done;
            let mark = self.passing.as_ref().and_then(|passing| passing.mark_within(done));
            // A hundred bytes into the page cache: shorter than a hop to another thread.
            self.part.journal.lock().unwrap_or_else(PoisonError::into_inner).write(done, mark);
        }
        if done >= self.told_at + PROGRESS_STEP_LEN {
            self.told_at = done;
            let total = Some(self.believed.max(done));
            self.context.progress.event(&Event::Progress { path: self.path, done, total });
        }
        Ok(())
    }

    fn follow(&self) {
        if let Some(passing) = &self.passing {
            passing.follow(self.done.contiguous());
        }
    }

    fn changed(&self) -> Error {
        Error::SourceChanged { path: self.path.to_vec() }
    }
}

async fn joined(writing: &mut Option<JoinHandle<Written>>) -> Result<Written, Error> {
    match writing {
        Some(handle) => handle.await.map_err(|_| Error::Cancelled),
        None => std::future::pending().await,
    }
}
