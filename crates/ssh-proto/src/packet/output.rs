//! The send buffer of one connection: packets are built and sealed at its end, in place.
//!
//! What the socket has not taken stays where it is: new packets go behind it, or, when there is no room
//! there, to the front of the memory, where room has become free. Bytes are moved only if neither will do.

/// Up to this many bytes the memory doubles when it is too small; beyond, it grows by as much as is
/// needed and at most this more, because all of it is touched.
const DOUBLING_LEN_MAX: usize = 64 * 1024;

/// Sealed bytes waiting for the socket. The memory stays initialised between uses, so laying out a
/// packet neither allocates nor clears.
#[derive(Default)]
pub struct OutputBuffer {
    bytes: Vec<u8>,
    /// What leaves first.
    start: usize,
    end: usize,
    /// What leaves then is `0..wrapped`, in front of `start`.
    wrapped: usize,
}

impl OutputBuffer {
    pub fn new() -> Self {
        Self::default()
    }

    /// What the socket should get next: everything, or the first of two parts. Empty only if nothing waits.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The socket took `len` bytes of [`pending`](Self::pending).
    pub fn consume(&mut self, len: usize) {
        assert!(len <= self.end - self.start, "more consumed than was pending");
        self.start += len;
        if self.start == self.end {
            (self.start, self.end) = (0, std::mem::take(&mut self.wrapped));
        }
    }

    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.end - self.start + self.wrapped
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The memory, if nothing waits: it may serve others until there is something to send.
    pub fn take_memory(&mut self) -> Vec<u8> {
        if self.is_empty() { std::mem::take(&mut self.bytes) } else { Vec::new() }
    }

    /// Takes what `spare` has, initialised bytes with any content, if there is no memory yet.
    pub fn give_memory_with(&mut self, spare: impl FnOnce() -> Vec<u8>) {
        if self.bytes.is_empty() {
            self.bytes = spare();
        }
    }

    /// Appends `len` bytes of room with undefined content and lends them.
    pub(crate) fn extend(&mut self, len: usize) -> &mut [u8] {
        let behind = self.bytes.len() - self.end;
        let fits = match self.wrapped {
            0 => behind >= len || self.start > len,
            wrapped => self.start - wrapped > len,
        };
        if !fits {
            self.straighten(len);
        }
        let has_wrapped = self.wrapped > 0 || self.bytes.len() - self.end < len;
        let last = if has_wrapped { &mut self.wrapped } else { &mut self.end };
        let at = *last;
        *last += len;
        &mut self.bytes[at..at + len]
    }

    /// Makes one part of two, with room for `len` bytes more behind it.
    fn straighten(&mut self, len: usize) {
        let held = self.len();
        if self.wrapped == 0 && held + len <= self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
        } else {
            let mut straight = vec![0; memory_len(held + len)];
            let first = self.end - self.start;
            straight[..first].copy_from_slice(&self.bytes[self.start..self.end]);
            straight[first..held].copy_from_slice(&self.bytes[..self.wrapped]);
            self.bytes = straight;
        }
        (self.start, self.end, self.wrapped) = (0, held, 0);
    }

    /// Takes back the last `len` bytes of the room that was lent last.
    pub(crate) fn retract(&mut self, len: usize) {
        *self.last() -= len;
    }

    /// The last `len` bytes, of the room that was lent last.
    pub(crate) fn tail_mut(&mut self, len: usize) -> &mut [u8] {
        let end = *self.last();
        &mut self.bytes[end - len..end]
    }

    fn last(&mut self) -> &mut usize {
        if self.wrapped > 0 { &mut self.wrapped } else { &mut self.end }
    }
}

/// Bytes of memory to get where `needed` are.
fn memory_len(needed: usize) -> usize {
    needed.next_multiple_of(needed.next_power_of_two().min(DOUBLING_LEN_MAX))
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// Appends `len` bytes of which `keep` stay, as packets are laid out, and the same to `model`.
    fn append(
        buffer: &mut OutputBuffer,
        model: &mut VecDeque<u8>,
        next: &mut u8,
        len: usize,
        keep: usize,
    ) {
        buffer.extend(len).fill(0xEE);
        for byte in &mut buffer.tail_mut(len)[..keep] {
            *next = next.wrapping_add(1);
            *byte = *next;
            model.push_back(*next);
        }
        buffer.retract(len - keep);
    }

    #[test]
    fn bytes_leave_in_their_order_however_much_is_taken_and_added() {
        for seed in 0..200_u32 {
            let mut random = seed.wrapping_mul(0x9E37_79B9) | 1;
            let mut below = |max: usize| {
                random ^= random << 13;
                random ^= random >> 17;
                random ^= random << 5;
                random as usize % max
            };
            let (mut buffer, mut model, mut next) = (OutputBuffer::new(), VecDeque::new(), 0);
            for _ in 0..300 {
                if model.len() < 2000 {
                    let len = 1 + below(600);
                    append(&mut buffer, &mut model, &mut next, len, len - below(len));
                }
                let taken = below(buffer.pending().len() + 1).min(below(900));
                let expected: Vec<u8> = model.drain(..taken).collect();
                assert_eq!(buffer.pending()[..taken], expected, "seed {seed}");
                buffer.consume(taken);
                assert_eq!(buffer.len(), model.len());
                assert_eq!(buffer.pending().is_empty(), model.is_empty());
            }
        }
    }

    #[test]
    fn what_waits_is_not_moved_while_there_is_room_in_front() {
        let mut buffer = OutputBuffer::new();
        buffer.extend(1000);
        buffer.consume(600);
        let waiting = buffer.pending().as_ptr();

        // No room for it behind: 1024 bytes in all.
        buffer.extend(500).fill(1);

        assert_eq!((buffer.pending().as_ptr(), buffer.pending().len()), (waiting, 400));
        buffer.consume(400);
        assert_eq!(buffer.pending(), [1; 500]);
    }

    #[test]
    fn memory_does_not_grow_when_as_much_is_taken_as_comes() {
        let mut buffer = OutputBuffer::new();
        buffer.extend(700);
        for _ in 0..1000 {
            buffer.extend(300);
            let taken = buffer.pending().len().min(300);
            buffer.consume(taken);
            let rest = buffer.pending().len().min(300 - taken);
            buffer.consume(rest);
        }

        assert!(buffer.bytes.len() <= 2048, "{}", buffer.bytes.len());
    }
}
