//! Which bytes of a file are there, when they arrive in any order.

use std::collections::BTreeMap;

/// Ranges that are done. Everything below [`contiguous`](Self::contiguous) is there without a gap.
#[derive(Debug)]
pub(super) struct Done {
    contiguous: u64,
    /// Start to end of what lies above the first gap. Bounded by the requests in flight.
    above: BTreeMap<u64, u64>,
}

impl Done {
    /// The first `from` bytes are there already.
    pub(super) fn new(from: u64) -> Self {
        Self { contiguous: from, above: BTreeMap::new() }
    }

    pub(super) fn contiguous(&self) -> u64 {
        self.contiguous
    }

    pub(super) fn add(&mut self, start: u64, len: u64) {
        self.above.insert(start, start + len);
        while let Some(entry) = self.above.first_entry()
            && *entry.key() <= self.contiguous
        {
            self.contiguous = self.contiguous.max(entry.remove());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gap_holds_back_what_is_above_it() {
        let mut done = Done::new(10);
        done.add(30, 10);
        done.add(20, 10);
        assert_eq!(done.contiguous(), 10);
        done.add(10, 10);
        assert_eq!(done.contiguous(), 40);
        assert!(done.above.is_empty());
    }
}
