//! The send buffer of one connection: packets are built and sealed at its end, in place.

/// Up to this many bytes the memory doubles when it is too small; beyond, it grows by as much as is
/// needed and at most this more, because all of it is touched.
const DOUBLING_LEN_MAX: usize = 64 * 1024;

/// Sealed bytes waiting for the socket. The memory stays initialised between uses, so laying out a
/// packet neither allocates nor clears.
#[derive(Default)]
pub struct OutputBuffer {
    bytes: Vec<u8>,
    start: usize,
    end: usize,
}

impl OutputBuffer {
    pub fn new() -> Self {
        Self::default()
    }

    /// What the socket should get next.
    pub fn pending(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// The socket took `len` bytes.
    pub fn consume(&mut self, len: usize) {
        assert!(len <= self.len(), "more consumed than was pending");
        self.start += len;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Bytes waiting.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    pub fn is_empty(&self) -> bool {
        self.start == self.end
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
        if self.bytes.len() - self.end < len && self.start > 0 {
            self.bytes.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.bytes.len() - self.end < len {
            let wanted = memory_len(self.end + len);
            self.bytes.reserve_exact(wanted - self.bytes.len());
            self.bytes.resize(wanted, 0);
        }
        let at = self.end;
        self.end += len;
        &mut self.bytes[at..self.end]
    }

    /// Takes back the last `len` bytes of room.
    pub(crate) fn retract(&mut self, len: usize) {
        self.end -= len;
    }

    /// The last `len` bytes.
    pub(crate) fn tail_mut(&mut self, len: usize) -> &mut [u8] {
        &mut self.bytes[self.end - len..self.end]
    }
}

/// Bytes of memory to get where `needed` are.
fn memory_len(needed: usize) -> usize {
    needed.next_multiple_of(needed.next_power_of_two().min(DOUBLING_LEN_MAX))
}
