//! WRITEs whose bytes still stand in a local file: they are read straight into outgoing packets.
//!
//! Such a WRITE is encoded when its bytes are there: until then no other request is taken. If they are not in
//! memory, or the channel will not have room for all of them at once, they are read into a buffer.

use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use sterna_sftp_proto::messages::WriteHead;
use tokio::task::JoinHandle;

use super::buffer::Buffer;
use super::engine::{Engine, Pending, refuse};
use crate::Error;

/// Slices that the bytes of one request are read into at most: 255 KiB in packets of 32 KiB, and some to spare.
const SLICES_MAX: usize = 12;

/// A local file that is read, perhaps without waiting.
pub(crate) trait BlockSource: Send + Sync {
    /// Fills `slices` with what stands from `offset` on. False if there is not so much, or if it would wait.
    fn try_read(&self, slices: &mut [IoSliceMut<'_>], offset: u64) -> bool;

    /// Fills `out` as far as the file goes, however long that takes.
    ///
    /// # Errors
    /// The file's.
    fn read(&self, out: &mut [u8], offset: u64) -> io::Result<usize>;
}

/// A WRITE that was asked for and is not encoded.
pub(super) struct FromFile {
    handle: Arc<[u8]>,
    offset: u64,
    len: usize,
    source: Arc<dyn BlockSource>,
    pending: Pending,
    /// The thread that reads it.
    reading: Option<JoinHandle<io::Result<Buffer>>>,
}

impl FromFile {
    pub(super) fn new(
        handle: Arc<[u8]>,
        offset: u64,
        len: usize,
        source: Arc<dyn BlockSource>,
        pending: Pending,
    ) -> Self {
        Self { handle, offset, len, source, pending, reading: None }
    }

    /// Tells whoever waits for it that it was not sent.
    pub(super) fn fail(self, error: Error) {
        self.pending.reply_to.send(Err(error));
    }

    /// Reads all bytes into `slices` behind the first `head_len` bytes, if that needs no waiting.
    fn lay(&self, slices: &mut [IoSliceMut<'_>], head_len: usize) -> bool {
        let Some((first, others)) = slices.split_first_mut() else { return false };
        if first.len() < head_len || others.len() >= SLICES_MAX {
            return false;
        }
        let count = 1 + others.len();
        let mut pieces =
            std::iter::once(&mut first[head_len..]).chain(others.iter_mut().map(|s| &mut **s));
        let mut views: [IoSliceMut<'_>; SLICES_MAX] =
            std::array::from_fn(|_| IoSliceMut::new(pieces.next().unwrap_or_default()));
        self.source.try_read(&mut views[..count], self.offset)
    }
}

impl Engine {
    /// Bytes of the WRITE that is next, if they stand in a file and nothing is in front of it.
    pub(crate) fn in_file_len(&self) -> Option<usize> {
        let write = self.from_file.as_ref().filter(|write| write.reading.is_none())?;
        (self.unsent.len() == 0).then(|| WriteHead::len_with(&write.handle) + write.len)
    }

    /// Lays that WRITE into `slices`, which are as long as it, and returns how long it is. 0 if its bytes are
    /// not at hand: then they are gathered.
    pub(crate) fn lay_from_file(&mut self, slices: &mut [IoSliceMut<'_>]) -> usize {
        let Some(write) = self.from_file.take() else { return 0 };
        let head_len = WriteHead::len_with(&write.handle);
        if !write.lay(slices, head_len) {
            self.from_file = Some(write);
            self.begin_reading();
            return 0;
        }
        let len = write.len;
        if !self.encode(write) {
            return 0;
        }
        slices[0][..head_len].copy_from_slice(self.unsent.heads());
        self.unsent.advance(head_len);
        self.unsent_len.fetch_sub(len, Ordering::Relaxed);
        self.timing.active();
        head_len + len
    }

    /// The bytes of that WRITE go into a buffer: now if they are at hand, else when a thread has read them.
    pub(crate) fn gather_from_file(&mut self) {
        let Some(write) = self.from_file.take() else { return };
        let mut data = self.pool.take_filled(write.len);
        if write.source.try_read(&mut [IoSliceMut::new(&mut data)], write.offset) {
            self.push(write, data);
        } else {
            self.from_file = Some(write);
            self.begin_reading();
        }
    }

    fn begin_reading(&mut self) {
        let Some(write) = &mut self.from_file else { return };
        let (source, pool) = (write.source.clone(), self.pool.clone());
        let (offset, len) = (write.offset, write.len);
        write.reading = Some(tokio::task::spawn_blocking(move || {
            let mut data = pool.take_filled(len);
            let len = source.read(&mut data, offset)?;
            data.truncate(len);
            Ok(data)
        }));
    }

    /// Takes what a thread has read, if it has.
    pub(super) fn poll_from_file(&mut self, cx: &mut Context<'_>) {
        let Some(FromFile { reading: Some(reading), .. }) = &mut self.from_file else { return };
        let Poll::Ready(read) = Pin::new(reading).poll(cx) else { return };
        let Some(write) = self.from_file.take() else { return };
        let error = match read {
            Ok(Ok(data)) if data.len() == write.len => return self.push(write, data),
            Ok(Ok(_)) => Error::SourceChanged { path: Vec::new() },
            Ok(Err(error)) => Error::local("read", "", error),
            Err(_) => Error::Cancelled,
        };
        self.unsent_len.fetch_sub(write.len, Ordering::Relaxed);
        write.fail(error);
    }

    fn push(&mut self, write: FromFile, data: Buffer) {
        if self.encode(write) {
            self.unsent.push_body(data);
        }
    }

    /// Appends the head of a WRITE to what is unsent.
    fn encode(&mut self, write: FromFile) -> bool {
        let FromFile { handle, offset, len, pending, .. } = write;
        // A request has less than 4 GiB.
        let encoded =
            self.client.write_head(&handle, offset, len as u32, pending, self.unsent.heads());
        match encoded {
            Ok(_) => true,
            Err(refused) => {
                self.unsent_len.fetch_sub(len, Ordering::Relaxed);
                refuse(refused.0);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
