//! How many files and directories all sessions of a process may have open together: what is left of its
//! descriptors belongs to connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::HANDLES_TOTAL_MAX;

/// Handles that exist or are promised, of all sessions.
#[derive(Clone, Debug)]
pub struct HandleBudget(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    used: AtomicUsize,
    max: AtomicUsize,
}

impl Default for HandleBudget {
    fn default() -> Self {
        let counts = Counts { used: AtomicUsize::new(0), max: AtomicUsize::new(HANDLES_TOTAL_MAX) };
        Self(Arc::new(counts))
    }
}

impl HandleBudget {
    /// From now on so many; those that are open stay.
    pub fn set_max(&self, max: usize) {
        self.0.max.store(max, Ordering::Relaxed);
    }

    /// How many there are.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::Relaxed)
    }

    pub(super) fn take(&self) -> bool {
        let max = self.0.max.load(Ordering::Relaxed);
        let one_more = |used| (used < max).then_some(used + 1);
        self.0.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    pub(super) fn give_back(&self, count: usize) {
        self.0.used.fetch_sub(count, Ordering::Relaxed);
    }
}
