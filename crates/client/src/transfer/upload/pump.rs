//! Sends ranges of a file: read ahead, hashed as they pass, many writes in flight, on as many lanes as
//! make it faster.

use std::collections::{HashMap, VecDeque};
use std::time::Instant;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::Source;
use super::source_blocks::{Block, Blocks, SourceBlocks};
use crate::Error;
use crate::limits::{JOURNAL_STEP_LEN, PROGRESS_STEP_LEN};
use crate::sftp::{File, Frame, ReplyTo};
use crate::transfer::Context;
use crate::transfer::passing::Passing;
use crate::transfer::progress::Event;
use crate::transfer::ranges::{Done, Ranges};
use crate::transfer::refusals::Refusals;
use crate::transfer::resume::Journal;
use crate::transfer::stripes::Stripes;
use crate::transfer::window::Window;

/// Bytes that one hop to a thread reads.
const READ_AHEAD_LEN: u64 = 512 << 10;

/// Bytes that may wait in this process before more is read, where the answers come quickly: what waits
/// longer leaves the processor's cache, and is fetched from memory once more.
const UNSENT_LEN_MAX: usize = 512 << 10;

/// A WRITE without an answer.
struct Flight {
    offset: u64,
    len: usize,
    /// Number of its lane.
    lane: usize,
    /// Nothing else of this file was in flight when it was sent.
    alone: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

/// The reads and writes of one file.
pub(super) struct Pump<'p> {
    context: &'p Context,
    source: &'p Source,
    part: &'p File,
    stripes: Stripes<'p>,
    /// Source path, for messages.
    path: &'p [u8],
    window: Window,
    flights: HashMap<u64, Flight>,
    next_tag: u64,
    replies_in: mpsc::UnboundedSender<(u64, Result<Frame, Error>)>,
    replies: mpsc::UnboundedReceiver<(u64, Result<Frame, Error>)>,
    blocks: SourceBlocks,
    reading: Option<JoinHandle<std::io::Result<Blocks>>>,
    in_flight: usize,
    /// What is still to be read.
    ranges: Ranges,
    /// What was refused because of others, and is read once more.
    again: VecDeque<(u64, u64)>,
    refusals: Refusals,
    passing: Option<Passing>,
    done: Done,
    /// Bytes that travelled.
    pub(super) sent: u64,
    noted_at: u64,
    told_at: u64,
}

impl<'p> Pump<'p> {
    /// Everything but `ranges` is there already.
    pub(super) fn new(
        context: &'p Context,
        source: &'p Source,
        part: &'p File,
        ranges: Ranges,
        passing: Option<Passing>,
        path: &'p [u8],
    ) -> Self {
        let (replies_in, replies) = mpsc::unbounded_channel();
        let options = &context.options;
        let done = Done::except(&ranges, source.size);
        let start = done.contiguous();
        Self {
            context,
            source,
            part,
            stripes: Stripes::writing(context, part),
            path,
            window: Window::new(
                options.window_start,
                options.window_max,
                part.sftp().round_trip(),
                Instant::now(),
            ),
            flights: HashMap::new(),
            next_tag: 0,
            replies_in,
            replies,
            blocks: SourceBlocks::new(source.fd.clone(), passing.as_ref().map(Passing::passer)),
            reading: None,
            in_flight: 0,
            ranges,
            again: VecDeque::new(),
            refusals: Refusals::default(),
            passing,
            done,
            sent: 0,
            noted_at: start,
            told_at: start,
        }
    }

    /// Sends everything and waits for every answer. The *first* refusal is the result, even if later
    /// writes succeed (CLT-5).
    pub(super) async fn run(&mut self, journal: &mut Option<Journal>) -> Result<(), Error> {
        let mut first_error = None;
        loop {
            if first_error.is_none() {
                if let Some(pause) = self.refusals.pause() {
                    tokio::time::sleep(pause).await;
                }
                while let Some(blocks) = self.read_ahead() {
                    let blocks = blocks.map_err(|e| Error::local("read", "", e))?;
                    self.send(blocks).await?;
                }
            }
            let is_reading = self.reading.is_some();
            if !is_reading && self.flights.is_empty() {
                break;
            }
            tokio::select! {
                Some((tag, reply)) = self.replies.recv() => {
                    let mut next = Some((tag, reply));
                    while let Some((tag, reply)) = next {
                        match self.take_reply(tag, reply, journal) {
                            Ok(()) => {}
                            Err(error) if error.ends_channel() => {
                                return Err(first_error.unwrap_or(error));
                            }
                            Err(error) => drop(first_error.get_or_insert(error)),
                        }
                        next = self.replies.try_recv().ok();
                    }
                }
                blocks = joined(&mut self.reading), if is_reading => {
                    self.reading = None;
                    if first_error.is_none() {
                        self.send(blocks?).await?;
                    }
                }
                () = self.stripes.widened() => {}
                () = self.context.cancel.cancelled() => return Err(Error::Cancelled),
            }
        }
        let closed = self.stripes.close().await;
        match first_error.or(closed.err()) {
            Some(error) => Err(error),
            None if self.done.contiguous() == self.source.size => Ok(()),
            None => Err(Error::SourceChanged { path: self.path.to_vec() }),
        }
    }

    /// How many bytes are there without a gap, and the digest of what has passed.
    pub(super) fn end(self) -> (u64, Option<Passing>) {
        (self.done.contiguous(), self.passing)
    }

    /// Reads the next bytes if the window has room for them and they are at hand, else begins to.
    fn read_ahead(&mut self) -> Option<std::io::Result<Blocks>> {
        if let Some(passing) = &self.passing {
            // What is kept between ranges does not come by; it can be hashed at once.
            passing.follow(self.ranges.first().unwrap_or(self.source.size));
        }
        let next = self.ranges.front().map(|next| next.end - next.start);
        let left = self.again.front().map(|(_, len)| *len).or(next)?;
        let room = self.window.len().saturating_sub(self.in_flight) as u64;
        let step = self.part.sftp().limits().write_len;
        let worth = u64::from(step).min(left);
        if self.reading.is_some() || (room < worth && self.in_flight > 0) {
            return None;
        }
        // With something in flight an answer comes and brings us here again. On a long path that would be too
        // late.
        if self.in_flight > 0
            && !self.window.is_of_long_path()
            && self.part.sftp().unsent_len() >= UNSENT_LEN_MAX
        {
            return None;
        }
        let again = self.again.pop_front();
        // Whole blocks: a rest between two of them would be a request of its own.
        let most = READ_AHEAD_LEN.min(room.max(worth));
        let blocks = (most / u64::from(step)).max(1) * u64::from(step);
        let next = again.or_else(|| self.ranges.take(blocks));
        let (offset, len) = next?;
        // At most READ_AHEAD_LEN, or what one request carries.
        let (len, step) = (len as usize, step as usize);
        // What leaves on several lanes is not read in its order, as the digest wants it.
        if self.stripes.is_one()
            && let Some(blocks) = self.blocks.in_file(offset, len, step)
        {
            return Some(Ok(blocks));
        }
        let pool = self.part.sftp().pool();
        if let Some(blocks) = self.blocks.read_at_once(offset, len, step, pool) {
            return Some(blocks);
        }
        let reading = self.blocks.reading(offset, len, step, pool);
        self.reading = Some(tokio::task::spawn_blocking(reading));
        None
    }

    async fn send(&mut self, blocks: Blocks) -> Result<(), Error> {
        for (offset, block) in blocks {
            let len = block.len();
            self.context.pace(len).await?;
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
            let reply_to = ReplyTo::Tagged(tag, self.replies_in.clone());
            let (lane, file) = self.stripes.begin(len);
            let alone = self.flights.is_empty();
            self.flights.insert(tag, Flight { offset, len, lane, alone, _permit: permit });
            let call = match block {
                Block::Read(data) => file.write_call(offset, data, reply_to),
                Block::InFile(len, source) => file.write_call_from(offset, len, source, reply_to),
            };
            file.sftp().submit(call).await?;
        }
        Ok(())
    }

    fn take_reply(
        &mut self,
        tag: u64,
        reply: Result<Frame, Error>,
        journal: &mut Option<Journal>,
    ) -> Result<(), Error> {
        let Some(flight) = self.flights.remove(&tag) else { return Ok(()) };
        let Flight { offset, len, lane, alone, .. } = flight;
        self.in_flight -= len;
        self.stripes.end(lane, len);
        let reply = reply.map_err(|error| self.named(error))?;
        match self.part.write_result(&reply) {
            Ok(()) => self.refusals.succeeded(),
            Err(error) if self.refusals.may_go_again(&error, alone, &mut self.window) => {
                self.again.push_back((offset, len as u64));
                return Ok(());
            }
            Err(error) => return Err(error),
        }
        self.done.add(offset, len as u64);
        self.window.answered(len, Instant::now());
        if self.window.is_of_long_path() {
            self.stripes.look();
        }
        let done = self.done.contiguous();
        if done >= self.noted_at + JOURNAL_STEP_LEN {
            self.noted_at = done;
            if let Some(journal) = journal {
                // A hundred bytes into the page cache: shorter than a hop to another thread.
                let mark = self.passing.as_ref().and_then(|passing| passing.mark_within(done));
                journal.write(done, mark);
            }
        }
        if done >= self.told_at + PROGRESS_STEP_LEN {
            self.told_at = done;
            let total = Some(self.source.size);
            self.context.progress.event(&Event::Progress { path: self.path, done, total });
        }
        Ok(())
    }
}

impl Pump<'_> {
    /// Who reads blocks for packets does not know what file they are of.
    fn named(&self, error: Error) -> Error {
        match error {
            Error::SourceChanged { .. } => Error::SourceChanged { path: self.path.to_vec() },
            error => error,
        }
    }
}

async fn joined(
    reading: &mut Option<JoinHandle<std::io::Result<Blocks>>>,
) -> Result<Blocks, Error> {
    match reading {
        Some(handle) => match handle.await {
            Ok(blocks) => blocks.map_err(|e| Error::local("read", "", e)),
            Err(_) => Err(Error::Cancelled),
        },
        None => std::future::pending().await,
    }
}
