//! A bound on bytes a second, shared by all files of a transfer: a bucket that fills with time.
//!
//! Each piece takes its bytes at once and waits until the debt is paid, so pieces of any size keep the
//! rate exactly on average, in the order in which they asked.

use std::sync::{Mutex, PoisonError};

use tokio::time::{Duration, Instant};

use crate::limits::RATE_BURST;

/// See the module.
#[derive(Debug)]
pub(super) struct Rate {
    bytes_per_s: f64,
    /// When everything that was taken so far is paid.
    paid: Mutex<Instant>,
}

impl Rate {
    /// At least one byte a second.
    pub(super) fn new(bytes_per_s: u64) -> Self {
        Self { bytes_per_s: bytes_per_s.max(1) as f64, paid: Mutex::new(Instant::now()) }
    }

    /// Takes `len` bytes and waits for their turn.
    pub(super) async fn take(&self, len: usize) {
        tokio::time::sleep_until(self.turn(len, Instant::now())).await;
    }

    /// When `len` bytes may go, if they are asked for at `now`.
    fn turn(&self, len: usize, now: Instant) -> Instant {
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        // A pause is not saved up beyond the burst.
        let earliest = now.checked_sub(Duration::from_secs_f64(RATE_BURST)).unwrap_or(now);
        let begins = (*paid).max(earliest);
        // A rate of 1 byte a second and a large piece: years, but no overflow.
        let seconds = (len as f64 / self.bytes_per_s).min(1e9);
        *paid = begins + Duration::from_secs_f64(seconds);
        *paid
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_pieces_take_as_long_as_their_bytes_need() {
        let rate = Rate::new(1_000_000);
        let began = Instant::now();

        for len in [1, 99_999, 400_000, 500_000, 1_000_000] {
            rate.take(len).await;
        }

        let took = began.elapsed().as_secs_f64();
        assert!((2.0 - RATE_BURST..2.01).contains(&took), "{took}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_is_not_made_up_for() {
        let rate = Rate::new(1_000_000);
        rate.take(1).await;
        tokio::time::sleep(Duration::from_secs(60)).await;
        let began = Instant::now();

        rate.take(1_000_000).await;

        assert!(began.elapsed().as_secs_f64() > 0.99 - RATE_BURST);
    }
}
