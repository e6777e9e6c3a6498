//! The world in which logins of a running server are judged: the system's names, the state directory,
//! and as many password hashes at a time as the machine can spare.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use sterna_identity::{PasswordHash, User, World};
use sterna_state::{CounterVerdict, State};

/// Stores a new password of a user.
pub type ChangePassword = dyn Fn(&User, &[u8]) -> Result<(), String> + Send + Sync;

/// See [`World`].
pub struct SystemWorld {
    state: Option<Arc<State>>,
    change_password: Option<Box<ChangePassword>>,
    hashing: Permits,
}

impl Default for SystemWorld {
    fn default() -> Self {
        let cores = crate::cores();
        // The other half belongs to those who are logged in.
        Self { state: None, change_password: None, hashing: Permits::new((cores / 2).max(1)) }
    }
}

impl SystemWorld {
    /// Nothing can be remembered: one-time codes and security keys are refused.
    pub fn new() -> Self {
        Self::default()
    }

    /// Remembers used codes and counters here.
    #[must_use]
    pub fn state(mut self, state: Arc<State>) -> Self {
        self.state = Some(state);
        self
    }

    /// How a password that its user chose at login is stored.
    #[must_use]
    pub fn change_password<F>(mut self, change: F) -> Self
    where
        F: Fn(&User, &[u8]) -> Result<(), String> + Send + Sync + 'static,
    {
        self.change_password = Some(Box::new(change));
        self
    }

    fn remember<T>(
        &self,
        note: impl FnOnce(&State) -> sterna_state::Result<T>,
    ) -> Result<T, String> {
        let state = self.state.as_ref().ok_or("there is no state directory")?;
        note(state).map_err(|error| error.to_string())
    }
}

impl World for SystemWorld {
    fn addresses_of(&self, host: &str) -> Vec<IpAddr> {
        let found = (host, 0).to_socket_addrs();
        found.map_or_else(|_| Vec::new(), |all| all.map(|address| address.ip()).collect())
    }

    fn verify_password(&self, hash: &PasswordHash, password: &[u8]) -> bool {
        let _permit = self.hashing.take();
        hash.verify(password)
    }

    fn claim_totp_step(&self, user: &str, step: u64) -> Result<bool, String> {
        self.remember(|state| state.claim_totp_step(user, step))
    }

    fn claim_recovery_code(&self, user: &str, code: &[u8; 32]) -> Result<bool, String> {
        self.remember(|state| state.claim_recovery_code(user, code))
    }

    fn advance_counter(&self, key_fingerprint: &str, counter: u32) -> Result<bool, String> {
        let verdict = self.remember(|state| state.advance_counter(key_fingerprint, counter))?;
        Ok(!matches!(verdict, CounterVerdict::NotAdvanced { .. }))
    }

    fn change_password(&self, user: &User, new: &[u8]) -> Result<(), String> {
        let change = self.change_password.as_ref().ok_or("passwords cannot be changed here")?;
        change(user, new)
    }
}

/// So many at a time; the others wait on their threads.
struct Permits {
    free: Mutex<usize>,
    returned: Condvar,
}

struct Permit<'a>(&'a Permits);

impl Permits {
    fn new(count: usize) -> Self {
        Self { free: Mutex::new(count), returned: Condvar::new() }
    }

    fn take(&self) -> Permit<'_> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = self
            .returned
            .wait_while(free, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        *free -= 1;
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.returned.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_state_directory_nothing_that_counts_once_is_taken() {
        let world = SystemWorld::new();

        assert!(world.claim_totp_step("alice", 1).is_err());
        assert!(world.claim_recovery_code("alice", &[0; 32]).is_err());
        assert!(world.advance_counter("SHA256:x", 1).is_err());
        let alice = User::new("alice", "/");
        assert!(World::change_password(&world, &alice, b"long enough").is_err());
    }

    #[test]
    fn what_was_used_stays_used() {
        let world = SystemWorld::new().state(Arc::new(State::in_memory().unwrap()));

        assert_eq!(world.claim_totp_step("alice", 7), Ok(true));
        assert_eq!(world.claim_totp_step("alice", 7), Ok(false));
        assert_eq!(world.advance_counter("SHA256:x", 2), Ok(true));
        assert_eq!(world.advance_counter("SHA256:x", 1), Ok(false));
    }

    #[test]
    fn permits_come_back() {
        let permits = Permits::new(1);
        drop(permits.take());
        let held = permits.take();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| drop(permits.take()));
            drop(held);
            waiting.join().unwrap();
        });
        assert_eq!(*permits.free.lock().unwrap(), 1);
    }
}
