//! Which of two libraries does the same work faster on this processor.

use std::time::{Duration, Instant};

/// Whether `other` needs less time than `usual` by more than an eighth. Within the noise we stay with
/// the usual library.
///
/// They take turns, so that whatever else the machine does meets both; of each, the shortest of a
/// few rounds counts: everything above it is interruption.
pub(super) fn clearly_faster(mut other: impl FnMut(), mut usual: impl FnMut()) -> bool {
    const ROUNDS: usize = 12;
    let (mut other_best, mut usual_best) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        other_best = other_best.min(time(&mut other));
        usual_best = usual_best.min(time(&mut usual));
    }
    wins(other_best, usual_best)
}

fn time(work: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn wins(other: Duration, usual: Duration) -> bool {
    other < usual - usual / 8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_library_is_taken_only_where_it_is_clearly_faster() {
        let us = Duration::from_micros;
        assert!(wins(us(6), us(10)));
        assert!(!wins(us(9), us(10)));
        assert!(!wins(us(10), us(6)));
    }

    #[test]
    fn an_interruption_in_most_rounds_does_not_decide() {
        let wait = || {
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(2) {}
        };
        let mut rounds = 0;
        let interrupted = || {
            rounds += 1;
            if rounds % 4 != 0 {
                wait();
            }
        };
        assert!(clearly_faster(interrupted, wait));
        assert!(!clearly_faster(wait, || {}));
    }
}
