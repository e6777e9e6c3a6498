//! An in-memory link, one direction: delay, odd chunks, a cut.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::Seed;

/// One direction of a link. Bytes come out in order, each chunk after the delay.
#[derive(Debug)]
pub struct Link {
    delay: Duration,
    chunk_len_max: usize,
    seed: Seed,
    in_flight: VecDeque<(Instant, Vec<u8>)>,
    /// Bytes that still pass before the link is cut, if it will be.
    cut_after: Option<usize>,
    passed: usize,
}

impl Link {
    /// No delay, chunks as they come.
    pub fn fast() -> Self {
        Self::new(Duration::ZERO, usize::MAX, 0)
    }

    /// 50 ms one way, chunks as they come.
    pub fn slow() -> Self {
        Self::new(Duration::from_millis(50), usize::MAX, 0)
    }

    /// Chunks of 1 to `chunk_len_max` bytes, by `seed`.
    pub fn new(delay: Duration, chunk_len_max: usize, seed: u64) -> Self {
        Self {
            delay,
            chunk_len_max,
            seed: Seed::new(seed),
            in_flight: VecDeque::new(),
            cut_after: None,
            passed: 0,
        }
    }

    /// Drops everything behind the next `len` bytes.
    pub fn cut_after(&mut self, len: usize) {
        self.cut_after = Some(self.passed + len);
    }

    /// Bytes that were sent so far.
    pub fn passed(&self) -> usize {
        self.passed
    }

    pub fn send(&mut self, now: Instant, mut bytes: &[u8]) {
        if let Some(cut_after) = self.cut_after {
            bytes = &bytes[..bytes.len().min(cut_after.saturating_sub(self.passed))];
        }
        self.passed += bytes.len();
        while !bytes.is_empty() {
            let len = match self.chunk_len_max {
                usize::MAX => bytes.len(),
                max => (1 + self.seed.below(max)).min(bytes.len()),
            };
            self.in_flight.push_back((now + self.delay, bytes[..len].to_vec()));
            bytes = &bytes[len..];
        }
    }

    /// The next chunk that has arrived by `now`.
    pub fn receive(&mut self, now: Instant) -> Option<Vec<u8>> {
        let arrived = self.in_flight.front().is_some_and(|(at, _)| *at <= now);
        arrived.then(|| self.in_flight.pop_front().expect("there is a front").1)
    }

    /// When the next chunk arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.in_flight.front().map(|(at, _)| *at)
    }
}
