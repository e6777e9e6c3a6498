//! How long a refused login takes at least (`ssh.md` ENU-2), so that the time of an answer does not
//! tell why it is a refusal, or whether the name exists.

use std::time::{Duration, Instant};

use sterna_ssh_crypto::{HashAlgorithm, Random};

/// Least time from attempt to refusal, as OpenSSH has it.
const DELAY_MIN: Duration = Duration::from_millis(5);

/// What is added at most, different for each name, as OpenSSH has it.
const SPREAD: Duration = Duration::from_micros(4200);

/// No refusal is held back longer, whatever it took to find.
const DELAY_MAX: Duration = Duration::from_secs(5);

/// Knows the delay of every name. A name always has the same one, and nobody outside can compute
/// it: repeated attempts average nothing out.
pub(crate) struct LoginDelay {
    pub(crate) secret: [u8; 32],
}

impl LoginDelay {
    pub(crate) fn new(random: &mut dyn Random) -> Self {
        let mut secret = [0; 32];
        random.fill(&mut secret);
        Self { secret }
    }

    /// When an attempt in the name of `user` that came at `began` and was judged at `judged` may be
    /// refused. The delay of the name is doubled until it covers the time that was spent.
    pub(crate) fn due(&self, user: &[u8], began: Instant, judged: Instant) -> Instant {
        let digest = HashAlgorithm::Sha256.digest(&[&self.secret, user]);
        let share = digest.iter().take(2).fold(0, |share, byte| share << 8 | u32::from(*byte));
        let mut delay = DELAY_MIN + SPREAD * share / (1 << 16);
        let spent = judged.saturating_duration_since(began);
        while delay < spent && delay < DELAY_MAX {
            delay *= 2;
        }
        began + delay.min(DELAY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A secret of one repeated byte.
    struct Fixed(u8);

    impl Random for Fixed {
        fn fill(&mut self, out: &mut [u8]) {
            out.fill(self.0);
        }
    }

    fn delay(secret: u8, user: &[u8], spent: Duration) -> Duration {
        let began = Instant::now();
        LoginDelay::new(&mut Fixed(secret)).due(user, began, began + spent) - began
    }

    #[test]
    fn every_name_has_its_own_delay_within_bounds_that_only_the_secret_tells() {
        let mut delays: Vec<_> =
            (0..200u32).map(|n| delay(1, &n.to_be_bytes(), Duration::ZERO)).collect();
        delays.sort_unstable();

        assert!(delays[0] >= DELAY_MIN && delays[199] <= DELAY_MIN + SPREAD);
        assert!(delays[199] - delays[0] > SPREAD / 2, "they are spread");
        assert_eq!(delay(1, b"alice", Duration::ZERO), delay(1, b"alice", Duration::ZERO));
        assert_ne!(delay(1, b"alice", Duration::ZERO), delay(2, b"alice", Duration::ZERO));
    }

    #[test]
    fn the_delay_covers_what_the_judgement_took_in_steps_of_the_name() {
        let first = delay(1, b"alice", Duration::ZERO);

        for (spent_ms, times) in [(1, 1), (4, 1), (10, 2), (15, 4), (100, 16)] {
            let spent = Duration::from_millis(spent_ms);
            let all = delay(1, b"alice", spent);

            assert!(all >= spent);
            assert!(all == first * times || all == first * times / 2, "{spent_ms} ms: {all:?}");
        }
    }

    #[test]
    fn nobody_waits_longer_than_the_bound() {
        for spent in [4_900, 5_100, 60_000] {
            assert!(delay(1, b"alice", Duration::from_millis(spent)) <= DELAY_MAX);
        }
    }
}
