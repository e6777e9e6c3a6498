//! Which of two libraries does the same work faster on this processor.

use std::time::{Duration, Instant};

/// Whether `other` needs less time than `usual` by more than an eighth. Within the noise we stay with
/// the usual library.
///
/// They take turns, so that whatever else the machine does meets both; of each, the shortest of a
/// few rounds counts: everything above it is interruption.
pub(super) fn clearly_faster(mut other: impl FnMut(), mut usual: impl FnMut()) -> bool {
    shorter(|| time(&mut other), || time(&mut usual))
}

/// As [`clearly_faster`], of what takes the times that are returned.
fn shorter(mut other: impl FnMut() -> Duration, mut usual: impl FnMut() -> Duration) -> bool {
    const ROUNDS: usize = 12;
    let (mut other_best, mut usual_best) = (Duration::MAX, Duration::MAX);
    for _ in 0..ROUNDS {
        other_best = other_best.min(other());
        usual_best = usual_best.min(usual());
    }
    other_best < usual_best - usual_best / 8
}

fn time(work: &mut impl FnMut()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Duration = Duration::from_micros(1);

    #[test]
    fn the_other_library_is_taken_only_where_it_is_clearly_faster() {
        assert!(shorter(|| 6 * US, || 10 * US));
        assert!(!shorter(|| 9 * US, || 10 * US));
        assert!(!shorter(|| 10 * US, || 6 * US));
    }

    #[test]
    fn an_interruption_in_most_rounds_does_not_decide() {
        let mut rounds = 0;
        let mut interrupted = || {
            rounds += 1;
            if rounds % 4 == 0 { US } else { 2000 * US }
        };
        assert!(shorter(&mut interrupted, || 2 * US));
        assert!(!shorter(|| US, interrupted));
    }
}
