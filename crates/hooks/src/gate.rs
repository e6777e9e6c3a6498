//! How many are asked at once: logins come from anybody, and each question may be a process.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Instant;

use crate::HookError;

#[derive(Debug)]
pub(crate) struct Gate {
    free: Mutex<usize>,
    freed: Condvar,
}

/// A place inside; dropping it lets the next one in.
#[derive(Debug)]
pub(crate) struct Permit(Arc<Gate>);

impl Gate {
    pub(crate) fn new(places: usize) -> Arc<Self> {
        Arc::new(Self { free: Mutex::new(places), freed: Condvar::new() })
    }

    /// Waits for a place until `deadline`.
    ///
    /// # Errors
    /// [`HookError::Busy`] if none came free.
    pub(crate) fn enter(self: &Arc<Self>, deadline: Instant) -> Result<Permit, HookError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut free, _) = self
            .freed
            .wait_timeout_while(free, left, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free = free.checked_sub(1).ok_or(HookError::Busy)?;
        Ok(Permit(Arc::clone(self)))
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_finds_no_place_is_turned_away_until_one_leaves() {
        let gate = Gate::new(2);
        let at_once = Instant::now();

        let first = gate.enter(at_once).unwrap();
        let _second = gate.enter(at_once).unwrap();
        assert_eq!(gate.enter(at_once).unwrap_err(), HookError::Busy);

        drop(first);
        assert!(gate.enter(at_once).is_ok());
    }
}
