//! How many bytes of one file are in flight: grows while that makes the transfer faster (CLT-3).
//!
//! Each time a whole window has been answered, the rate over that time is compared with the one
//! before; as long as it grew by a tenth, the window doubles. A path that is full does not get faster
//! by more requests, so the window stays at about what the path's delay needs.

use std::time::{Duration, Instant};

/// See the module. All sizes are bytes.
#[derive(Debug)]
pub(super) struct Window {
    len: usize,
    max: usize,
    /// Bytes answered since `since`.
    answered: usize,
    since: Instant,
    last_rate: f64,
}

impl Window {
    pub(super) fn new(start: usize, max: usize, now: Instant) -> Self {
        Self { len: start.min(max), max, answered: 0, since: now, last_rate: 0.0 }
    }

    /// Bytes that may be in flight now.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// `len` bytes were answered.
    pub(super) fn answered(&mut self, len: usize, now: Instant) {
        self.answered += len;
        if self.answered < self.len {
            return;
        }
        let seconds =
            now.saturating_duration_since(self.since).max(Duration::from_micros(1)).as_secs_f64();
        let rate = self.answered as f64 / seconds;
        if rate > self.last_rate * 1.1 {
            self.len = (self.len * 2).min(self.max);
            self.last_rate = rate;
        }
        (self.answered, self.since) = (0, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers a full window each round trip, at most `rate` bytes a second.
    fn run(rate: f64, delay: f64, rounds: usize) -> usize {
        let mut now = Instant::now();
        let mut window = Window::new(1 << 20, 16 << 20, now);
        for _ in 0..rounds {
            let len = window.len();
            now += Duration::from_secs_f64(delay.max(len as f64 / rate));
            window.answered(len, now);
        }
        window.len()
    }

    #[test]
    fn a_long_path_gets_a_large_window_and_a_short_one_does_not() {
        assert_eq!(run(100e6, 0.2, 20), 16 << 20);
        assert!(run(100e6, 0.001, 20) <= 4 << 20);
    }
}
