//! How and when a connection breaks on purpose.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// What the two ends see.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum How {
    /// Both get a reset.
    Reset,
    /// Both see the other close.
    Close,
    /// Nothing arrives any more, in neither direction, and nobody is told.
    Silence,
}

/// Which bytes count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Counted {
    /// From the client to the server.
    Up,
    /// From the server to the client.
    Down,
    Both,
}

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Up,
    Down,
}

/// Breaks one connection after a number of delivered bytes.
#[derive(Debug)]
pub struct Cut {
    left: AtomicU64,
    counted: Counted,
    pub how: How,
    done: AtomicBool,
}

impl Cut {
    pub fn new(after: u64, counted: Counted, how: How) -> Self {
        Self { left: AtomicU64::new(after), counted, how, done: AtomicBool::new(false) }
    }

    /// Of `len` bytes about to be delivered, those that still pass. Fewer than `len`: cut behind them.
    pub fn pass(&self, direction: Direction, len: usize) -> usize {
        let counts = match self.counted {
            Counted::Both => true,
            Counted::Up => direction == Direction::Up,
            Counted::Down => direction == Direction::Down,
        };
        if self.done.load(Ordering::Acquire) {
            return 0;
        }
        if !counts {
            return len;
        }
        let len = len as u64;
        let before = self
            .left
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| {
                Some(left.saturating_sub(len))
            })
            .expect("the update always has a value");
        if before < len {
            self.done.store(true, Ordering::Release);
        }
        before.min(len) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_so_many_bytes_pass_and_then_none_in_either_direction() {
        let cut = Cut::new(10, Counted::Up, How::Reset);
        assert_eq!(cut.pass(Direction::Down, 100), 100);
        assert_eq!(cut.pass(Direction::Up, 10), 10);
        assert_eq!(cut.pass(Direction::Down, 100), 100);
        assert_eq!(cut.pass(Direction::Up, 7), 0);
        assert_eq!(cut.pass(Direction::Down, 100), 0);
    }

    #[test]
    fn a_chunk_across_the_border_passes_in_part() {
        let cut = Cut::new(10, Counted::Both, How::Close);
        assert_eq!(cut.pass(Direction::Down, 6), 6);
        assert_eq!(cut.pass(Direction::Up, 6), 4);
    }
}
