//! How large a receive window should be: what passes in two round trips, and no more.
//!
//! While the peer uses up its credit and we consume as fast as it sends, what passes in a round trip is
//! the window itself, so the window doubles until it holds what the path holds. A slow consumer passes
//! little, so nothing grows for it.
//!
//! Credit that was given cannot be taken back, but what is consumed need not be given again. So a window
//! becomes smaller again when much less than it passes for a while, as small as it was at first. One through
//! which nothing at all passes stays: its peer may use all of it at any moment.
//!
//! A round trip is the shortest time in which the peer has reacted to anything: it cannot make that
//! shorter than it is, and to make it longer it has to be as slow as a peer that is far away. What all
//! windows have grown by comes out of one budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::limits::{WINDOW_MEASURE_TIME_MIN, WINDOW_QUIET_TIME};

/// Bytes that the windows of many connections together may grow by.
///
/// Each growth gets a quarter of what is left at most, so there is always something for the next one.
#[derive(Debug)]
pub struct WindowBudget {
    left: AtomicU64,
}

impl WindowBudget {
    /// A budget of `len` bytes.
    pub fn new(len: u64) -> Self {
        Self { left: AtomicU64::new(len) }
    }

    /// Bytes that nobody has taken.
    pub fn left(&self) -> u64 {
        self.left.load(Ordering::Relaxed)
    }

    fn take(&self, wanted: u32) -> u32 {
        let mut taken = 0;
        let _ = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            taken = wanted.min(u32::try_from(left / 4).unwrap_or(u32::MAX));
            Some(left - u64::from(taken))
        });
        taken
    }
}

/// What one window has grown by; it goes back when it is not used, or the channel is gone.
#[derive(Debug)]
struct Lease {
    budget: Arc<WindowBudget>,
    len: u32,
}

impl Lease {
    fn give_back(&mut self, len: u32) {
        self.len -= len;
        self.budget.left.fetch_add(u64::from(len), Ordering::Relaxed);
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.give_back(self.len);
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Growth {
    lease: Lease,
    window_len_max: u32,
    /// The shortest time between a grant and the first byte that could not have come without it.
    round_trip: Duration,
    /// When credit was granted, and how many bytes the peer could send before that, counted from the
    /// opening of the channel.
    awaited: Option<(Instant, u64)>,
    /// Bytes granted and received since the opening.
    granted: u64,
    received: u64,
    measure: Option<Measure>,
    /// Since when little has passed.
    quiet_since: Option<Instant>,
    /// Little has passed for so long that the window becomes smaller.
    shrinks: bool,
}

/// What has passed since a moment.
#[derive(Debug)]
struct Measure {
    since: Instant,
    received: u64,
    consumed: u64,
}

impl Growth {
    /// For a window of `window_len` bytes that may grow to `window_len_max`.
    pub fn new(window_len: u32, window_len_max: u32, budget: Arc<WindowBudget>) -> Self {
        Self {
            lease: Lease { budget, len: 0 },
            window_len_max,
            round_trip: Duration::MAX,
            awaited: None,
            granted: u64::from(window_len),
            received: 0,
            measure: None,
            quiet_since: None,
            shrinks: false,
        }
    }

    /// `len` bytes arrived.
    pub fn received(&mut self, len: u32, now: Instant) {
        self.received += u64::from(len);
        if let Some((at, could_send)) = self.awaited
            && self.received > could_send
        {
            self.round_trip = self.round_trip.min(now.saturating_duration_since(at));
            self.awaited = None;
        }
        let measure = self.measure.get_or_insert(Measure { since: now, received: 0, consumed: 0 });
        measure.received += u64::from(len);
    }

    /// `len` bytes of credit went out.
    pub fn granted(&mut self, len: u32, now: Instant) {
        self.awaited.get_or_insert((now, self.granted));
        self.granted += u64::from(len);
    }

    /// `len` bytes were consumed. Returns by how much a window of `window_len` should grow.
    /// `round_trip` is the connection's; the shorter one counts.
    pub fn consumed(
        &mut self,
        len: u32,
        window_len: u32,
        round_trip: Duration,
        now: Instant,
    ) -> u32 {
        let Some(measure) = &mut self.measure else { return 0 };
        measure.consumed += u64::from(len);
        let round_trip = self.round_trip.min(round_trip);
        let elapsed = now.saturating_duration_since(measure.since);
        if round_trip == Duration::MAX || elapsed < WINDOW_MEASURE_TIME_MIN.max(round_trip / 10) {
            return 0;
        }
        // Neither a burst out of our own buffers counts, nor what nobody takes.
        let passed = measure.received.min(measure.consumed);
        let since = measure.since;
        self.measure = Some(Measure { since: now, received: 0, consumed: 0 });
        let in_round_trip = passed as f64 * round_trip.as_secs_f64() / elapsed.as_secs_f64();
        // `as` saturates.
        let wanted = (2.0 * in_round_trip) as u32;
        self.quiet_since = (wanted < window_len / 4).then(|| self.quiet_since.unwrap_or(since));
        self.shrinks = self
            .quiet_since
            .is_some_and(|since| now.saturating_duration_since(since) >= WINDOW_QUIET_TIME);
        let allowed = window_len.saturating_mul(2).min(self.window_len_max);
        let more = wanted.min(allowed).saturating_sub(window_len);
        // A few bytes are not worth a message.
        if more < window_len / 4 {
            return 0;
        }
        let taken = self.lease.budget.take(more);
        self.lease.len += taken;
        taken
    }

    /// How many of `owed` bytes, consumed and not granted again, the window becomes smaller by.
    pub fn shrink(&mut self, owed: u32) -> u32 {
        let kept = if self.shrinks { owed.min(self.lease.len) } else { 0 };
        self.lease.give_back(kept);
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u32 = 1 << 20;
    const MS: Duration = Duration::from_millis(1);

    fn growth(budget: u64) -> Growth {
        Growth::new(2 * MIB, 32 * MIB, Arc::new(WindowBudget::new(budget)))
    }

    /// Lets `rate` bytes pass each 10 ms, for two seconds. Returns the window's length.
    fn run(growth: &mut Growth, rate: u32, round_trip: Duration) -> u32 {
        run_from(Instant::now(), growth, rate, round_trip)
    }

    fn run_from(mut now: Instant, growth: &mut Growth, rate: u32, round_trip: Duration) -> u32 {
        let mut len = 2 * MIB;
        for _ in 0..200 {
            growth.received(rate, now);
            now += 10 * MS;
            len += growth.consumed(rate, len, round_trip, now);
        }
        len
    }

    #[test]
    fn a_window_grows_to_two_round_trips_of_what_passes() {
        let len = run(&mut growth(1 << 30), 1_000_000, 100 * MS);
        assert!((15_000_000..=20_000_000).contains(&len), "{len}");
    }

    #[test]
    fn a_short_path_and_a_slow_consumer_need_no_more() {
        assert_eq!(run(&mut growth(1 << 30), 8_000_000, MS), 2 * MIB);
        assert_eq!(run(&mut growth(1 << 30), 50_000, 100 * MS), 2 * MIB);
    }

    #[test]
    fn bytes_that_are_only_received_or_only_consumed_make_nothing_grow() {
        let (mut growth, now) = (growth(1 << 30), Instant::now());
        growth.received(2 * MIB, now);
        assert_eq!(growth.consumed(1000, 2 * MIB, 100 * MS, now + 10 * MS), 0);
        assert_eq!(growth.consumed(2 * MIB - 1000, 2 * MIB, 100 * MS, now + 20 * MS), 0);
    }

    #[test]
    fn without_a_known_round_trip_nothing_grows_until_a_grant_is_answered() {
        let mut growth = growth(1 << 30);
        assert_eq!(run(&mut growth, MIB, Duration::MAX), 2 * MIB);

        let now = Instant::now();
        growth.granted(MIB, now);
        growth.received(2 * MIB, now + 80 * MS);

        assert_eq!(growth.round_trip, 80 * MS);
    }

    #[test]
    fn windows_together_never_grow_beyond_the_budget_and_give_it_back() {
        let budget = Arc::new(WindowBudget::new(u64::from(40 * MIB)));
        let mut windows = Vec::new();
        for _ in 0..20 {
            let mut growth = Growth::new(2 * MIB, 32 * MIB, Arc::clone(&budget));
            let grown = run(&mut growth, 10_000_000, 100 * MS) - 2 * MIB;
            windows.push((growth, grown));
        }
        let grown: u64 = windows.iter().map(|(_, grown)| u64::from(*grown)).sum();
        assert_eq!(grown + budget.left(), u64::from(40 * MIB));

        drop(windows);
        assert_eq!(budget.left(), u64::from(40 * MIB));
    }

    #[test]
    fn what_is_consumed_makes_a_window_smaller_once_little_has_passed_for_a_while() {
        let budget = Arc::new(WindowBudget::new(1 << 30));
        let mut growth = Growth::new(2 * MIB, 32 * MIB, Arc::clone(&budget));
        let started = Instant::now();
        let mut len = run_from(started, &mut growth, 1_000_000, 100 * MS);
        let grown = len - 2 * MIB;
        assert!(grown > 10 * MIB && growth.shrink(MIB) == 0, "{grown}");
        assert_eq!(budget.left() + u64::from(grown), 1 << 30);

        // 100 kB a second: two round trips of it fit the first window many times.
        let mut now = started + Duration::from_secs(2);
        let mut first_shrink = None;
        for _ in 0..3000 {
            growth.received(10_000, now);
            now += 100 * MS;
            assert_eq!(growth.consumed(10_000, len, 100 * MS, now), 0);
            let kept = growth.shrink(10_000);
            len -= kept;
            if kept > 0 {
                first_shrink.get_or_insert(now);
            }
        }
        assert_eq!((len, budget.left()), (2 * MIB, 1 << 30), "as at first, and not smaller");
        let quiet = first_shrink.unwrap() - started;
        assert!((WINDOW_QUIET_TIME..WINDOW_QUIET_TIME * 2).contains(&quiet), "{quiet:?}");

        // When more passes again, it grows as before.
        assert!(run_from(now, &mut growth, 1_000_000, 100 * MS) > 10 * MIB);
        assert_eq!(growth.shrink(MIB), 0);
    }
}
