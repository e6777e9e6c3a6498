//! The receive buffer of one connection: filled by the driver, opened in place by the core.
//!
//! Packets are decrypted where the socket put them; events lend slices of this buffer. Bytes that
//! were taken stay readable until the next [`InputBuffer::space`].

use std::ops::Range;

/// First size of the buffer and the least room offered to the socket, in bytes.
const LEN_MIN: usize = 16 * 1024;
/// Largest read, in bytes: more in one system call gains nothing and leaves the cache.
const LEN_MAX: usize = 256 * 1024;

/// Bytes from the peer that were not opened yet.
#[derive(Default)]
pub struct InputBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// Bytes that the next packet needs in all.
    needed: usize,
    /// The last read filled all room: offer more next time.
    grow: bool,
    /// The payload of a compressed packet, after inflating.
    inflated: Vec<u8>,
}

/// Where the payload of an opened packet lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Payload {
    pub inflated: bool,
    pub range: Range<usize>,
}

impl InputBuffer {
    pub fn new() -> Self {
        Self::default()
    }

    /// Room for the socket to read into; never empty. Ends the life of everything lent before.
    pub fn space(&mut self) -> &mut [u8] {
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
        let held = self.end - self.start;
        let wanted = self.needed.max(held + LEN_MIN);
        if self.bytes.len() < wanted || (self.grow && self.bytes.len() < LEN_MAX) {
            let doubled = (self.bytes.len() * 2).clamp(LEN_MIN, LEN_MAX);
            let len = wanted.max(doubled);
            self.bytes.reserve_exact(len - self.bytes.len());
            self.bytes.resize(len, 0);
        }
        if self.start > 0 && self.bytes.len() - self.start < wanted {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, held);
        }
        self.grow = false;
        &mut self.bytes[self.end..]
    }

    /// The socket wrote `len` bytes into [`space`](Self::space).
    pub fn commit(&mut self, len: usize) {
        assert!(len <= self.bytes.len() - self.end, "more committed than there was room for");
        self.end += len;
        self.grow = self.end == self.bytes.len();
    }

    /// Bytes that were received and not opened yet.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// The memory, if no byte is held: it may serve others until there is something to read. Ends the
    /// life of everything lent before.
    pub fn take_memory(&mut self) -> Vec<u8> {
        if !self.is_empty() {
            return Vec::new();
        }
        (self.start, self.end) = (0, 0);
        std::mem::take(&mut self.bytes)
    }

    /// Takes what `spare` has, initialised bytes with any content, if there is no memory yet.
    pub fn give_memory_with(&mut self, spare: impl FnOnce() -> Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = spare();
        }
    }

    /// Keeps no more memory than what is held needs: idle connections cost little. Ends the life of
    /// everything lent before.
    pub fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
            return;
        }
        self.inflated = Vec::new();
        let held = self.end - self.start;
        if self.bytes.len() > held + LEN_MIN {
            self.bytes = self.bytes[self.start..self.end].to_vec();
            (self.start, self.end) = (0, held);
        }
    }

    pub(crate) fn unread(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.end]
    }

    /// Takes `len` bytes off the front; they stay where they are. Returns their place.
    pub(crate) fn take(&mut self, len: usize) -> Range<usize> {
        let range = self.start..self.start + len;
        self.start = range.end;
        self.needed = 0;
        range
    }

    /// The next packet has `len` bytes in all.
    pub(crate) fn need(&mut self, len: usize) {
        self.needed = len;
    }

    pub(crate) fn payload(&self, payload: &Payload) -> &[u8] {
        let bytes = if payload.inflated { &self.inflated } else { &self.bytes };
        &bytes[payload.range.clone()]
    }

    /// The bytes of a compressed payload and the place to inflate them to.
    pub(crate) fn for_inflating(&mut self, range: &Range<usize>) -> (&[u8], &mut Vec<u8>) {
        (&self.bytes[range.clone()], &mut self.inflated)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_bytes_that_wait_hold_no_large_memory() {
        let mut input = InputBuffer::new();
        input.give_memory_with(|| vec![7; LEN_MAX]);
        input.space()[..5].copy_from_slice(b"abcde");
        input.commit(5);
        input.take(2);
        assert!(input.take_memory().is_empty(), "bytes wait in it");

        input.release();

        assert_eq!(input.bytes, b"cde");
        input.space()[..2].copy_from_slice(b"fg");
        input.commit(2);
        assert_eq!(input.unread(), b"cdefg");
        input.take(5);
        assert_eq!(input.take_memory().len(), 3 + LEN_MIN);
        assert!(input.is_empty() && !input.space().is_empty());
    }
}
