//! What the WRITEs of a file carry: blocks that are read ahead, or blocks that stay in the file until they are
//! laid into packets.

use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::sftp::{BlockSource, Buffer, BufferPool};
use crate::transfer::local::{self, AtHand};
use crate::transfer::passing::Passer;

/// Blocks that follow each other, with their offsets.
pub(super) type Blocks = Vec<(u64, Block)>;

/// What one WRITE carries.
pub(super) enum Block {
    Read(Buffer),
    /// So many bytes, which are in memory and are read when they are sent.
    InFile(usize, Arc<InFile>),
}

impl Block {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Read(data) => data.len(),
            Self::InFile(len, _) => *len,
        }
    }
}

/// The source of an upload, and how it is read.
pub(super) struct SourceBlocks {
    fd: Arc<OwnedFd>,
    passer: Option<Passer>,
    at_hand: AtHand,
    /// The last bytes were in memory, and so are the next ones, most likely.
    in_file: Option<Arc<InFile>>,
}

impl SourceBlocks {
    /// All that is read passes by `passer`.
    pub(super) fn new(fd: Arc<OwnedFd>, passer: Option<Passer>) -> Self {
        Self { fd, passer, at_hand: AtHand::Ask, in_file: None }
    }

    /// Whether what is in memory may be read by the thread of a connection: a digest takes as long as sending, and is
    /// for another thread.
    fn is_quick(&self) -> bool {
        self.passer.as_ref().is_none_or(Passer::is_quick)
    }

    /// `len` bytes from `offset` on in blocks of `step`, to be read when they are sent. `None` if they may not be in
    /// memory.
    pub(super) fn in_file(&self, offset: u64, len: usize, step: usize) -> Option<Blocks> {
        let in_file = self.in_file.as_ref().filter(|file| !file.was_missed())?;
        let block = |at| Block::InFile(step.min(len - at), in_file.clone());
        Some((0..len).step_by(step).map(|at| (offset + at as u64, block(at))).collect())
    }

    /// Reads them now if they are in memory.
    pub(super) fn read_at_once(
        &mut self,
        offset: u64,
        len: usize,
        step: usize,
        pool: &BufferPool,
    ) -> Option<io::Result<Blocks>> {
        self.in_file = None;
        if !self.is_quick() {
            return None;
        }
        let (fd, at_hand) = (&self.fd, &mut self.at_hand);
        let read = hashed(self.passer.as_ref(), |out, at| at_hand.read_into(fd, out, at));
        let blocks = read_blocks(offset, len, step, pool, read)?;
        let (fd, at_hand, passer) = (self.fd.clone(), self.at_hand, self.passer.clone());
        let was_missed = AtomicBool::new(false);
        self.in_file = Some(Arc::new(InFile { fd, at_hand, passer, was_missed }));
        Some(blocks)
    }

    /// What reads them however long it takes, on a thread that may block.
    pub(super) fn reading(
        &self,
        offset: u64,
        len: usize,
        step: usize,
        pool: &BufferPool,
    ) -> impl FnOnce() -> io::Result<Blocks> + Send + use<> {
        let (fd, passer, pool) = (self.fd.clone(), self.passer.clone(), pool.clone());
        move || {
            let read = |out: &mut [u8], at| Some(local::read_into(&fd, out, at));
            let read = hashed(passer.as_ref(), read);
            read_blocks(offset, len, step, &pool, read).unwrap_or_else(|| Ok(Vec::new()))
        }
    }
}

/// A file of which the next bytes are in memory.
pub(super) struct InFile {
    fd: Arc<OwnedFd>,
    at_hand: AtHand,
    passer: Option<Passer>,
    was_missed: AtomicBool,
}

impl InFile {
    /// Whether some bytes were not in memory after all.
    fn was_missed(&self) -> bool {
        self.was_missed.load(Ordering::Relaxed)
    }
}

impl BlockSource for InFile {
    fn try_read(&self, slices: &mut [IoSliceMut<'_>], offset: u64) -> bool {
        if !self.at_hand.fill(&self.fd, slices, offset) {
            self.was_missed.store(true, Ordering::Relaxed);
            return false;
        }
        if let Some(passer) = &self.passer {
            let mut at = offset;
            for slice in slices {
                passer.pass(at, slice);
                at += slice.len() as u64;
            }
        }
        true
    }

    fn read(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = local::read_into(&self.fd, out, offset)?;
        if let Some(passer) = &self.passer {
            passer.pass(offset, &out[..len]);
        }
        Ok(len)
    }
}

/// What `read` reads has passed.
fn hashed(
    passer: Option<&Passer>,
    mut read: impl FnMut(&mut [u8], u64) -> Option<io::Result<usize>>,
) -> impl FnMut(&mut [u8], u64) -> Option<io::Result<usize>> {
    move |out, at| {
        let read = read(out, at);
        if let (Some(passer), Some(Ok(len))) = (passer, &read) {
            passer.pass(at, &out[..*len]);
        }
        read
    }
}

/// Reads `len` bytes into buffers of at most `step`; fewer if the file ends. `None` if `read` says so: then it
/// has to be read by another way.
fn read_blocks(
    offset: u64,
    len: usize,
    step: usize,
    pool: &BufferPool,
    mut read: impl FnMut(&mut [u8], u64) -> Option<io::Result<usize>>,
) -> Option<io::Result<Blocks>> {
    let mut blocks = Vec::with_capacity(len.div_ceil(step));
    let mut at = 0;
    while at < len {
        let wanted = step.min(len - at);
        let mut data = pool.take_filled(wanted);
        let got = match read(&mut data, offset + at as u64)? {
            Ok(got) => got,
            Err(error) => return Some(Err(error)),
        };
        data.truncate(got);
        // Never a WRITE without bytes: some servers refuse it.
        if got > 0 {
            blocks.push((offset + at as u64, Block::Read(data)));
        }
        at += got;
        if got < wanted {
            break;
        }
    }
    Some(Ok(blocks))
}
