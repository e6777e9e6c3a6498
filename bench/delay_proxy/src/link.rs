//! One direction of the path: when a byte that enters now comes out (rate, delay, router buffer).
//!
//! All connections share it, as they share a cable. It only computes; nobody waits here.

use std::time::{Duration, Instant};

/// How a path behaves, the same in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Path {
    /// From one end to the other, for the last bit of a packet that finds the cable free.
    pub one_way: Duration,
    /// Bytes a second; infinite if the path has no limit.
    pub bytes_per_s: f64,
    /// Bytes that the router in front of the cable holds before it takes no more.
    pub router_len: usize,
}

impl Path {
    /// Bytes that are on the cable at full rate, in one direction.
    pub fn cable_len(&self) -> usize {
        /// An unlimited path is taken for one of 10 Gbit/s.
        const FAST: f64 = 1.25e9;
        (self.bytes_per_s.min(FAST) * self.one_way.as_secs_f64()) as usize
    }
}

/// See the module.
#[derive(Debug)]
pub struct Link {
    path: Path,
    /// When the last byte that entered leaves the router.
    free_at: Instant,
}

impl Link {
    pub fn new(path: Path, now: Instant) -> Self {
        Self { path, free_at: now }
    }

    /// When the router has room again, if it has none now.
    pub fn full_until(&self, now: Instant) -> Option<Instant> {
        let room_at = self.free_at.checked_sub(self.travel(self.path.router_len))?;
        (room_at > now).then_some(room_at)
    }

    /// `len` bytes enter at `now`. Returns when they come out at the far end.
    pub fn enter(&mut self, len: usize, now: Instant) -> Instant {
        self.free_at = self.free_at.max(now) + self.travel(len);
        self.free_at + self.path.one_way
    }

    fn travel(&self, len: usize) -> Duration {
        Duration::from_secs_f64(len as f64 / self.path.bytes_per_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn link() -> (Link, Instant) {
        let now = Instant::now();
        let path = Path { one_way: 50 * MS, bytes_per_s: 1e6, router_len: 10_000 };
        (Link::new(path, now), now)
    }

    #[test]
    fn a_packet_on_a_free_cable_takes_its_own_length_and_the_delay() {
        let (mut link, now) = link();
        assert_eq!(link.enter(1000, now) - now, 51 * MS);
        assert_eq!(link.enter(1000, now + 20 * MS) - now, 71 * MS);
    }

    #[test]
    fn packets_at_the_same_time_leave_one_after_the_other() {
        let (mut link, now) = link();
        link.enter(1000, now);
        assert_eq!(link.enter(1000, now) - now, 52 * MS);
    }

    #[test]
    fn the_router_is_full_until_all_but_its_buffer_has_left() {
        let (mut link, now) = link();
        link.enter(10_000, now);
        assert_eq!(link.full_until(now), None);
        link.enter(1000, now);
        assert_eq!(link.full_until(now), Some(now + MS));
        assert_eq!(link.full_until(now + MS), None);
    }

    #[test]
    fn a_path_without_a_limit_only_delays() {
        let now = Instant::now();
        let path = Path { one_way: 50 * MS, bytes_per_s: f64::INFINITY, router_len: 1 };
        let mut link = Link::new(path, now);
        assert_eq!(link.enter(1 << 30, now) - now, 50 * MS);
        assert_eq!(link.full_until(now), None);
    }
}
