//! How many bytes of one file are in flight: half as much again as the path holds (CLT-3).
//!
//! At first the window grows by what is answered, so it doubles in each round trip, until that makes
//! nothing faster. From then on it is the best rate of late, times the round trip, and half as much again
//! so that the path never runs dry; not more, because whatever else is asked on the connection waits
//! behind it, and the server keeps what the path does not take yet. The shortest time in which the server has
//! answered anything stands for the round trip; if nothing is known, the time to the first answer.

use std::time::{Duration, Instant};

use crate::limits::{WINDOW_LEN_MIN, WINDOW_QUEUE_TIME_MIN};

/// Rounds whose best rate counts: a short pause of the server or the disk makes no window smaller.
const ROUNDS: usize = 8;

/// A round that is not faster than the best before by this factor has not gained from a larger window …
const GAIN: f64 = 1.25;

/// … and after so many of them the path is taken to be full.
const ROUNDS_WITHOUT_GAIN: u32 = 2;

/// See the module. All sizes are bytes.
#[derive(Debug)]
pub(super) struct Window {
    len: usize,
    max: usize,
    round_trip: Option<Duration>,
    /// When the window was made, and when the round began.
    born: Instant,
    since: Instant,
    /// The round is over when so much is answered, of which `answered` is.
    round_len: usize,
    answered: usize,
    /// Bytes a second of the last rounds.
    rates: [f64; ROUNDS],
    round: usize,
    /// Rounds in a row without gain; `None` once the path is full.
    without_gain: Option<u32>,
}

impl Window {
    /// `round_trip` of a request, if it is known; else the first answer tells.
    pub(super) fn new(
        start: usize,
        max: usize,
        round_trip: Option<Duration>,
        now: Instant,
    ) -> Self {
        let len = start.min(max);
        Self {
            len,
            max,
            round_trip,
            born: now,
            since: now,
            round_len: len,
            answered: 0,
            rates: [0.0; ROUNDS],
            round: 0,
            without_gain: Some(0),
        }
    }

    /// Bytes that may be in flight now.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether it is the path that takes most of the time, and not what lies at its ends.
    pub(super) fn is_of_long_path(&self) -> bool {
        self.round_trip.is_some_and(|time| time > WINDOW_QUEUE_TIME_MIN)
    }

    /// The server takes less at once.
    pub(super) fn halve(&mut self) {
        self.len = (self.len / 2).max(1);
        self.max = self.len;
    }

    /// `len` bytes were answered.
    pub(super) fn answered(&mut self, len: usize, now: Instant) {
        let round_trip =
            *self.round_trip.get_or_insert_with(|| now.saturating_duration_since(self.born));
        self.answered += len;
        if self.without_gain.is_some() {
            self.len = (self.len + len).min(self.max);
        }
        // The answers of a burst say nothing about a rate.
        let elapsed = now.saturating_duration_since(self.since);
        if self.answered < self.round_len || elapsed < WINDOW_QUEUE_TIME_MIN {
            return;
        }
        let rate = self.answered as f64 / elapsed.as_secs_f64();
        let best = self.best_rate();
        self.rates[self.round % ROUNDS] = rate;
        self.round += 1;
        if let Some(rounds) = &mut self.without_gain {
            *rounds = if rate > best * GAIN { 0 } else { *rounds + 1 };
            if *rounds >= ROUNDS_WITHOUT_GAIN {
                self.without_gain = None;
            }
        }
        if self.without_gain.is_none() {
            let time = round_trip + (round_trip / 2).max(WINDOW_QUEUE_TIME_MIN);
            // `as` saturates.
            let wanted = (self.best_rate() * time.as_secs_f64()) as usize;
            self.len = wanted.max(WINDOW_LEN_MIN).min(self.max);
        }
        (self.answered, self.since, self.round_len) = (0, now, self.len);
    }

    fn best_rate(&self) -> f64 {
        self.rates.iter().copied().fold(0.0, f64::max)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const MIB: usize = 1 << 20;
    const BLOCK: usize = 255 << 10;

    /// A path with a rate and a delay, asked for blocks as far as the window lets it.
    struct Path {
        window: Window,
        now: Instant,
        /// When each block in flight is answered.
        flights: VecDeque<Instant>,
        free_at: Instant,
        delay: f64,
    }

    impl Path {
        fn new(delay: f64) -> Self {
            let now = Instant::now();
            let window = Window::new(2 * MIB, 32 * MIB, None, now);
            Self { window, now, flights: VecDeque::new(), free_at: now, delay }
        }

        /// Runs for `seconds` at `rate` bytes a second. Returns bytes a second that were answered.
        fn run(&mut self, rate: f64, seconds: f64) -> f64 {
            let (end, mut answered) = (self.now + Duration::from_secs_f64(seconds), 0);
            while self.now < end {
                while self.flights.is_empty()
                    || (self.flights.len() + 1) * BLOCK <= self.window.len()
                {
                    let there = self.now + Duration::from_secs_f64(self.delay / 2.0);
                    self.free_at =
                        self.free_at.max(there) + Duration::from_secs_f64(BLOCK as f64 / rate);
                    let back = self.free_at + Duration::from_secs_f64(self.delay / 2.0);
                    self.flights.push_back(back);
                }
                self.now = self.flights.pop_front().unwrap();
                self.window.answered(BLOCK, self.now);
                answered += BLOCK;
            }
            answered as f64 / seconds
        }
    }

    #[test]
    fn a_long_path_is_full_within_a_second_and_holds_about_half_again_what_it_needs() {
        let mut path = Path::new(0.1);
        path.run(125e6, 1.0);

        let rate = path.run(125e6, 5.0);

        assert!(rate > 0.99 * 125e6, "{rate}");
        let len = path.window.len() as f64;
        assert!((1.3 * 12.5e6..1.7 * 12.5e6).contains(&len), "{len}");
    }

    #[test]
    fn what_is_asked_on_a_slow_path_waits_behind_few_blocks() {
        let mut path = Path::new(0.05);
        path.run(1.25e6, 10.0);

        let rate = path.run(1.25e6, 10.0);

        assert!(rate > 0.97 * 1.25e6, "{rate}");
        assert!(path.window.len() <= 1 << 20, "{}", path.window.len());
    }

    #[test]
    fn a_short_path_keeps_a_queue_for_disk_and_processor() {
        let mut path = Path::new(0.0003);
        path.run(700e6, 2.0);
        assert!((5 * MIB..12 * MIB).contains(&path.window.len()), "{}", path.window.len());
    }

    #[test]
    fn the_window_follows_a_path_that_gets_faster_and_one_that_gets_slower() {
        let mut path = Path::new(0.1);
        path.run(10e6, 5.0);
        let slow = path.window.len();
        path.run(100e6, 5.0);
        let fast = path.window.len();
        path.run(10e6, 30.0);

        assert!(slow < 3 * MIB && fast > 12 * MIB && path.window.len() < 4 * MIB);
    }

    #[test]
    fn no_window_grows_beyond_its_maximum() {
        let mut path = Path::new(1.0);
        path.run(1e9, 10.0);
        assert_eq!(path.window.len(), 32 * MIB);
    }
}
