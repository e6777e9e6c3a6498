//! The send buffer of one connection: packets are built and sealed at its end, in place.

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

    /// Gives the memory back if nothing waits: idle connections cost little.
    pub fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
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
            let wanted = (self.end + len).next_power_of_two();
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
