//! Whether sources that are refused connect so often that it costs something: then connections are taken at intervals,
//! all that wait at once, as network cards hold back their interrupts.

use std::time::Instant;

use crate::limits::{FLOOD_DROPS, FLOOD_WINDOW};

/// Counts connections of refused sources.
pub(crate) struct Flood {
    dropped: u32,
    /// When that count began.
    since: Instant,
}

impl Flood {
    pub(crate) fn new(now: Instant) -> Self {
        Self { dropped: 0, since: now }
    }

    /// A connection was dropped because its source is refused.
    pub(crate) fn note(&mut self, now: Instant) {
        if now - self.since >= FLOOD_WINDOW {
            (self.dropped, self.since) = (0, now);
        }
        self.dropped += 1;
    }

    pub(crate) fn is_on(&self, now: Instant) -> bool {
        self.dropped >= FLOOD_DROPS && now - self.since < FLOOD_WINDOW
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_within_the_window_are_a_flood_until_it_is_over() {
        let start = Instant::now();
        let mut flood = Flood::new(start);
        for _ in 1..FLOOD_DROPS {
            flood.note(start);
        }
        assert!(!flood.is_on(start));
        flood.note(start);
        assert!(flood.is_on(start));
        assert!(!flood.is_on(start + FLOOD_WINDOW));

        flood.note(start + FLOOD_WINDOW);
        assert!(!flood.is_on(start + FLOOD_WINDOW), "a new count");
    }
}
