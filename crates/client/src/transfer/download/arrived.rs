//! Bytes of a file that have arrived, and one turn of writing them where they belong.

use std::io::{self, IoSlice};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::OwnedSemaphorePermit;

use crate::limits::WRITE_SLICES_MAX;
use crate::sftp::ReadData;
use crate::transfer::local::{self, AtHand};
use crate::transfer::passing::Passer;
use crate::transfer::sparse::is_zero;

/// One reply, not empty.
pub(super) struct Arrived {
    pub(super) offset: u64,
    pub(super) data: ReadData,
    /// Goes back when the bytes are written.
    pub(super) _permit: Option<OwnedSemaphorePermit>,
}

impl Arrived {
    fn end(&self) -> u64 {
        self.offset + self.data.len() as u64
    }
}

/// What is written in one turn.
pub(super) struct Writing {
    pub(super) fd: Arc<OwnedFd>,
    pub(super) arrived: Vec<Arrived>,
    /// Between these bytes the file has nothing but a hole: zeros need not be written.
    pub(super) zeros: Range<u64>,
    pub(super) passer: Option<Passer>,
}

/// What became of it.
pub(super) struct Written {
    /// Offsets and lengths of what is in the file.
    pub(super) done: Vec<(u64, usize)>,
    pub(super) result: io::Result<()>,
}

impl Writing {
    /// Writes everything, neighbours in one call. Stops at the first error. Blocks.
    pub(super) fn run(mut self) -> Written {
        let written = self
            .run_with(|fd, slices, start| Some(local::write_all_vectored_at(fd, slices, start)));
        written.expect("who may block writes everything")
    }

    /// As [`run`](Self::run) if nothing of it takes long; else everything comes back, for one who may block.
    pub(super) fn run_at_once(mut self, at_hand: &mut AtHand) -> Result<Written, Self> {
        if self.passer.as_ref().is_some_and(|passer| !passer.is_quick()) {
            return Err(self);
        }
        self.run_with(|fd, slices, start| at_hand.write_all_vectored_at(fd, slices, start))
            .ok_or(self)
    }

    /// `None` as soon as `write` says so.
    fn run_with(&mut self, mut write: impl Write) -> Option<Written> {
        // Replies of several channels overtake each other.
        self.arrived.sort_by_key(|arrived| arrived.offset);
        let mut written = Written { done: Vec::with_capacity(self.arrived.len()), result: Ok(()) };
        let neighbours = |a: &Arrived, b: &Arrived| a.end() == b.offset;
        for run in self.arrived.chunk_by(neighbours).flat_map(|run| run.chunks(WRITE_SLICES_MAX)) {
            written.result = self.write(run, &mut write)?;
            if written.result.is_err() {
                break;
            }
            for arrived in run {
                if let Some(passer) = &self.passer {
                    passer.pass(arrived.offset, &arrived.data);
                }
                written.done.push((arrived.offset, arrived.data.len()));
            }
        }
        Some(written)
    }

    /// Writes neighbours, at most [`WRITE_SLICES_MAX`]; not those that a hole reads as.
    fn write(&self, run: &[Arrived], mut write: impl Write) -> Option<io::Result<()>> {
        let (mut slices, mut count) = ([IoSlice::new(&[]); WRITE_SLICES_MAX], 0);
        let mut start = run[0].offset;
        for arrived in run {
            let is_within = arrived.offset >= self.zeros.start && arrived.end() <= self.zeros.end;
            if is_within && is_zero(&arrived.data) {
                if let Err(error) = write(&self.fd, &mut slices[..count], start)? {
                    return Some(Err(error));
                }
                (start, count) = (arrived.end(), 0);
            } else {
                slices[count] = IoSlice::new(&arrived.data);
                count += 1;
            }
        }
        write(&self.fd, &mut slices[..count], start)
    }
}

/// Writes slices one after the other from an offset on; `None` if it will not.
trait Write: FnMut(&OwnedFd, &mut [IoSlice<'_>], u64) -> Option<io::Result<()>> {}

impl<T: FnMut(&OwnedFd, &mut [IoSlice<'_>], u64) -> Option<io::Result<()>>> Write for T {}

#[cfg(test)]
mod tests;
