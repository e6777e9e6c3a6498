//! Credit between us and the peer for one channel, in bytes (RFC 4254 §5.2).
//!
//! The peer may send what we granted. We grant again only when bytes were *consumed*, not when they
//! arrived, so a slow reader slows its own sender and nothing else. How much there is to grant in all
//! says `growth.rs`.

use std::time::{Duration, Instant};

use super::growth::Growth;
use crate::error::PeerError;
use crate::limits::WINDOW_GRANT_LEN;

/// What the peer may still send us.
#[derive(Debug)]
pub(crate) struct ReceiveWindow {
    /// What may be on its way or wait at a time: `left`, `owed` and what nobody has consumed yet.
    len: u32,
    left: u32,
    /// Consumed and not yet given back.
    owed: u32,
    grant_len: u32,
    growth: Growth,
}

impl ReceiveWindow {
    pub fn new(len: u32, growth: Growth) -> Self {
        let grant_len = WINDOW_GRANT_LEN.min(len / 4).max(1);
        Self { len, left: len, owed: 0, grant_len, growth }
    }

    /// Bytes granted in all.
    pub fn len(&self) -> u32 {
        self.len
    }

    /// `len` bytes arrived.
    pub fn receive(&mut self, len: usize, now: Instant) -> Result<(), PeerError> {
        let len = u32::try_from(len).map_err(|_| PeerError::WindowExceeded)?;
        self.left = self.left.checked_sub(len).ok_or(PeerError::WindowExceeded)?;
        self.growth.received(len, now);
        Ok(())
    }

    /// `len` bytes were consumed. Returns what to grant now, once it is worth a message.
    ///
    /// More than was received counts as what was received: a number may be open again when somebody
    /// reports bytes of the channel that had it before, and no window may grow by that.
    ///
    /// `round_trip` is the shortest one that the connection has seen.
    pub fn consume(&mut self, len: usize, round_trip: Duration, now: Instant) -> Option<u32> {
        let unconsumed = self.len - self.left - self.owed;
        let len = u32::try_from(len).unwrap_or(u32::MAX).min(unconsumed);
        let more = self.growth.consumed(len, self.len, round_trip, now);
        self.len += more;
        self.owed += len + more;
        let kept = self.growth.shrink(self.owed);
        self.len -= kept;
        self.owed -= kept;
        if self.owed < self.grant_len {
            return None;
        }
        let grant = std::mem::take(&mut self.owed);
        self.left += grant;
        self.growth.granted(grant, now);
        Some(grant)
    }
}

/// What we may still send.
#[derive(Debug)]
pub(crate) struct SendWindow {
    left: u32,
}

impl SendWindow {
    pub fn new(len: u32) -> Self {
        Self { left: len }
    }

    pub fn left(&self) -> usize {
        self.left as usize
    }

    /// We sent `len` bytes, at most [`left`](Self::left).
    pub fn send(&mut self, len: usize) {
        let len = u32::try_from(len).expect("within the window");
        self.left = self.left.checked_sub(len).expect("within the window");
    }

    /// WINDOW_ADJUST: never over 2^32-1.
    pub fn add(&mut self, len: u32) -> Result<(), PeerError> {
        self.left = self.left.checked_add(len).ok_or(PeerError::WindowOverflow)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::channel::WindowBudget;

    /// A window that does not grow.
    struct Fixed(ReceiveWindow, Instant);

    impl Fixed {
        fn new(len: u32) -> Self {
            let growth = Growth::new(len, len, Arc::new(WindowBudget::new(0)));
            Self(ReceiveWindow::new(len, growth), Instant::now())
        }

        fn receive(&mut self, len: usize) -> Result<(), PeerError> {
            self.0.receive(len, self.1)
        }

        fn consume(&mut self, len: usize) -> Option<u32> {
            self.0.consume(len, Duration::MAX, self.1)
        }
    }

    #[test]
    fn credit_returns_when_bytes_are_consumed_not_when_they_arrive() {
        let mut window = Fixed::new(1000);
        window.receive(1000).unwrap();
        assert_eq!(window.receive(1), Err(PeerError::WindowExceeded));
        assert_eq!(window.consume(249), None);
        assert_eq!(window.consume(1), Some(250));
        window.receive(250).unwrap();
        assert_eq!(window.receive(1), Err(PeerError::WindowExceeded));
    }

    #[test]
    fn bytes_consumed_twice_or_of_another_channel_make_no_window_larger() {
        let mut window = Fixed::new(u32::MAX);
        assert_eq!(window.consume(usize::MAX), None);
        let mut window = Fixed::new(1000);
        window.receive(600).unwrap();
        assert_eq!(window.consume(5000), Some(600));
        assert_eq!(window.consume(5000), None);
        window.receive(1000).unwrap();
        assert_eq!(window.receive(1), Err(PeerError::WindowExceeded));
    }

    #[test]
    fn a_window_becomes_smaller_by_what_it_does_not_grant_again() {
        const FIRST: u32 = 2 << 20;
        let ms = Duration::from_millis;
        let (budget, mut now) = (Arc::new(WindowBudget::new(1 << 30)), Instant::now());
        let growth = Growth::new(FIRST, 16 * FIRST, Arc::clone(&budget));
        let mut window = ReceiveWindow::new(FIRST, growth);
        let mut can_send = FIRST;
        // A second with a lot, then as much as that in small pieces, for a long time.
        for (count, len, pause) in [(100, 1_000_000, 10), (5000, 10_000, 100)] {
            for _ in 0..count {
                window.receive(len as usize, now).unwrap();
                can_send -= len;
                now += ms(pause);
                can_send += window.consume(len as usize, ms(100), now).unwrap_or(0);
                assert!(window.len() >= FIRST && can_send <= window.len());
            }
            assert_eq!(budget.left() + u64::from(window.len() - FIRST), 1 << 30);
            assert_eq!(window.len() > FIRST, count == 100, "{}", window.len());
        }

        window.receive(can_send as usize, now).unwrap();
        assert_eq!(window.receive(1, now), Err(PeerError::WindowExceeded));
    }

    #[test]
    fn a_window_of_one_byte_still_moves() {
        let mut window = Fixed::new(1);
        for _ in 0..5 {
            window.receive(1).unwrap();
            assert_eq!(window.consume(1), Some(1));
        }
    }

    #[test]
    fn credit_over_four_gigabytes_is_the_peers_fault_and_no_panic() {
        let mut window = SendWindow::new(u32::MAX - 5);
        assert_eq!(window.add(5), Ok(()));
        assert_eq!(window.add(u32::MAX), Err(PeerError::WindowOverflow));
    }
}
