//! How fast bytes travel now: over the last seconds, so that a stall shows and a burst does not mislead.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What is looked back on.
const SPAN: Duration = Duration::from_secs(5);
/// Time between two samples; with [`SPAN`] it bounds their number.
const STEP: Duration = Duration::from_millis(200);
/// Before that nothing is said: one reply more or less would change it too much.
const SETTLED: Duration = Duration::from_millis(500);

/// See the module.
#[derive(Debug, Default)]
pub struct Rate {
    /// Bytes that have travelled.
    moved: u64,
    /// `moved` at earlier times, oldest first.
    samples: VecDeque<(Instant, u64)>,
}

impl Rate {
    /// `bytes` more have travelled.
    pub fn add(&mut self, bytes: u64, now: Instant) {
        self.sample(now);
        self.moved += bytes;
    }

    /// Bytes a second; `None` as long as that cannot be said.
    pub fn per_second(&mut self, now: Instant) -> Option<f64> {
        self.sample(now);
        let (since, before) = *self.samples.front()?;
        let span = now.saturating_duration_since(since);
        (span >= SETTLED).then(|| (self.moved - before) as f64 / span.as_secs_f64())
    }

    fn sample(&mut self, now: Instant) {
        let due = |(at, _): &(Instant, u64)| now.saturating_duration_since(*at) >= STEP;
        if self.samples.back().is_none_or(due) {
            self.samples.push_back((now, self.moved));
        }
        while self.samples.len() > 1
            && self.samples.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > SPAN)
        {
            self.samples.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_stream_has_its_rate_and_a_stall_shows_within_the_span() {
        let mut now = Instant::now();
        let mut rate = Rate::default();
        assert_eq!(rate.per_second(now), None);
        for _ in 0..100 {
            rate.add(1_000_000, now);
            now += Duration::from_millis(100);
        }

        let steady = rate.per_second(now).unwrap();
        assert!((9e6..11e6).contains(&steady), "{steady}");
        for _ in 0..60 {
            now += Duration::from_millis(100);
            rate.per_second(now);
        }
        assert_eq!(rate.per_second(now), Some(0.0));
        assert!(rate.samples.len() <= 27, "{}", rate.samples.len());
    }
}
