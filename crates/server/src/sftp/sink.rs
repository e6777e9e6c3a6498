//! Where the bytes of replies go: an SSH channel, or a buffer in front of a pipe.

use std::io::IoSliceMut;

/// Takes reply bytes, as much as it has room for at the moment.
pub trait Sink {
    /// Bytes that [`Sink::write`] and [`Sink::fill`] would take now.
    fn room(&self) -> usize;

    /// The room there will be once everything taken so far is on its way, if the peer does nothing.
    fn room_when_drained(&self) -> usize;

    /// Takes the bytes of `parts`, one after the other, as far as there is room. Returns how many.
    fn write(&mut self, parts: &[&[u8]]) -> usize;

    /// Lets `fill` write up to `len` bytes in place, `len` being at most [`Sink::room`]. `fill` gets
    /// the room in pieces and returns how many bytes it used; of 0 nothing is sent. Returns what
    /// `fill` returned.
    fn fill(&mut self, len: usize, fill: &mut dyn FnMut(&mut [IoSliceMut<'_>]) -> usize) -> usize;
}

/// A sink in memory with a bound, for pipes and tests.
#[derive(Debug, Default)]
pub struct VecSink {
    bytes: Vec<u8>,
    len: usize,
}

impl VecSink {
    /// A sink that holds up to `max` bytes.
    pub fn new(max: usize) -> Self {
        Self { bytes: vec![0; max], len: 0 }
    }

    /// What was written and not cleared yet.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl Sink for VecSink {
    fn room(&self) -> usize {
        self.bytes.len() - self.len
    }

    fn room_when_drained(&self) -> usize {
        self.bytes.len()
    }

    fn write(&mut self, parts: &[&[u8]]) -> usize {
        let before = self.len;
        for part in parts {
            let len = part.len().min(self.room());
            self.bytes[self.len..self.len + len].copy_from_slice(&part[..len]);
            self.len += len;
        }
        self.len - before
    }

    fn fill(&mut self, len: usize, fill: &mut dyn FnMut(&mut [IoSliceMut<'_>]) -> usize) -> usize {
        let end = self.len + len.min(self.room());
        let used = fill(&mut [IoSliceMut::new(&mut self.bytes[self.len..end])]);
        self.len = end.min(self.len + used);
        used
    }
}
