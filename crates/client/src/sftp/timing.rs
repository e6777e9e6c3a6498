//! When a server was asked and when it answered: how long its path is, and when it has fallen silent.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::{Duration, Instant};

use crate::limits::SFTP_LONG_SILENCE_MAX;

/// See the module.
pub(super) struct Timing {
    /// When anything was last sent or heard, or asked for when nothing was outstanding.
    last_activity: Instant,
    silence_max: Duration,
    /// Requests without an answer that may take long.
    long_outstanding: usize,
    /// When a request was taken that nothing was outstanding before, if nothing was answered since.
    asked_alone: Option<Instant>,
    /// Nanoseconds of the shortest round trip; `u64::MAX` before the first.
    round_trip: Arc<AtomicU64>,
}

impl Timing {
    pub(super) fn new(silence_max: Duration) -> Self {
        Self {
            last_activity: Instant::now(),
            silence_max,
            long_outstanding: 0,
            asked_alone: None,
            round_trip: Arc::new(AtomicU64::new(u64::MAX)),
        }
    }

    pub(super) fn round_trip(&self) -> Arc<AtomicU64> {
        self.round_trip.clone()
    }

    /// Something was sent or has come.
    pub(super) fn active(&mut self) {
        self.last_activity = Instant::now();
    }

    /// A request was taken. `is_alone`: nothing else was outstanding.
    pub(super) fn asked(&mut self, is_long: bool, is_alone: bool) {
        if is_alone {
            self.active();
            self.asked_alone = Some(self.last_activity);
        }
        self.long_outstanding += usize::from(is_long);
    }

    /// A request was answered, by what came last.
    pub(super) fn answered(&mut self, is_long: bool) {
        self.long_outstanding -= usize::from(is_long);
        if let Some(asked) = self.asked_alone.take() {
            let time = self.last_activity.saturating_duration_since(asked);
            // Centuries fit.
            self.round_trip.fetch_min(time.as_nanos() as u64, Ordering::Relaxed);
        }
    }

    /// Nothing is outstanding any more.
    pub(super) fn ended(&mut self) {
        self.long_outstanding = 0;
    }

    /// When to give up if nothing comes until then.
    pub(super) fn deadline(&self) -> Instant {
        self.last_activity + self.silence_max()
    }

    pub(super) fn silence_max(&self) -> Duration {
        match self.long_outstanding {
            0 => self.silence_max,
            _ => self.silence_max.max(SFTP_LONG_SILENCE_MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_round_trip_is_the_shortest_one_of_a_request_that_was_asked_alone() {
        let mut timing = Timing::new(Duration::from_secs(60));
        let known = timing.round_trip();
        let after = |millis| tokio::time::sleep(Duration::from_millis(millis));
        for (alone, millis) in [(true, 30), (true, 20), (false, 1), (true, 25)] {
            timing.asked(false, alone);
            after(millis).await;
            timing.active();
            timing.answered(false);
        }

        assert_eq!(known.load(Ordering::Relaxed), 20_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_first_answer_after_a_lone_request_counts() {
        let mut timing = Timing::new(Duration::from_secs(60));
        let known = timing.round_trip();
        timing.asked(false, true);
        timing.asked(false, false);
        tokio::time::sleep(Duration::from_millis(10)).await;
        timing.active();
        timing.answered(false);
        timing.answered(false);

        assert_eq!(known.load(Ordering::Relaxed), 10_000_000);
    }
}
