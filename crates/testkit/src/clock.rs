//! Virtual time: it moves only when a test says so.

use std::time::{Duration, Instant};

/// A clock that starts at an arbitrary instant.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    now: Instant,
}

impl Clock {
    pub fn new() -> Self {
        Self { now: Instant::now() }
    }

    /// A clock that starts at `now`.
    pub fn at(now: Instant) -> Self {
        Self { now }
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    pub fn advance(&mut self, by: Duration) {
        self.now += by;
    }

    /// Moves to `at`, if that lies ahead.
    pub fn advance_to(&mut self, at: Instant) {
        self.now = self.now.max(at);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self::new()
    }
}
