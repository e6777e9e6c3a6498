//! What judging a login needs from outside: names of hosts, used codes, a place for new passwords.
//!
//! Everything here may block and runs on threads that may. `explain` brings a world of its own in
//! which nothing is used up.

use std::net::IpAddr;

use crate::{PasswordHash, User};

/// The outside, as a login sees it. Errors are for the log; every one refuses the login.
pub trait World: Send + Sync {
    /// The addresses of a host name. Empty if it has none or nobody can tell.
    fn addresses_of(&self, host: &str) -> Vec<IpAddr>;

    /// Whether `password` fits. The cost is the hash's; only so many run at a time.
    fn verify_password(&self, hash: &PasswordHash, password: &[u8]) -> bool;

    /// Notes that `user` used the one-time code of `step`; false if that step, or a later one, was used
    /// before.
    ///
    /// # Errors
    /// It could not be written down: then the code may not count.
    fn claim_totp_step(&self, user: &str, step: u64) -> Result<bool, String>;

    /// Notes that `user` used a recovery code; false if it was used before.
    ///
    /// # Errors
    /// As [`claim_totp_step`](Self::claim_totp_step).
    fn claim_recovery_code(&self, user: &str, code: &[u8; 32]) -> Result<bool, String>;

    /// Notes a security key's counter; false if it went back.
    ///
    /// # Errors
    /// As [`claim_totp_step`](Self::claim_totp_step).
    fn advance_counter(&self, key_fingerprint: &str, counter: u32) -> Result<bool, String>;

    /// Stores a new password of `user` where the settings keep it, and takes the mark off that it must
    /// be changed.
    ///
    /// # Errors
    /// It cannot be stored: the login is refused.
    fn change_password(&self, user: &User, new: &[u8]) -> Result<(), String>;
}

/// A world in which nothing is known, used up or stored: for `explain`, and for users without host
/// names and second factors.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyWorld;

impl World for EmptyWorld {
    fn addresses_of(&self, _: &str) -> Vec<IpAddr> {
        Vec::new()
    }

    fn verify_password(&self, hash: &PasswordHash, password: &[u8]) -> bool {
        hash.verify(password)
    }

    fn claim_totp_step(&self, _: &str, _: u64) -> Result<bool, String> {
        Ok(true)
    }

    fn claim_recovery_code(&self, _: &str, _: &[u8; 32]) -> Result<bool, String> {
        Ok(true)
    }

    fn advance_counter(&self, _: &str, _: u32) -> Result<bool, String> {
        Ok(true)
    }

    fn change_password(&self, _: &User, _: &[u8]) -> Result<(), String> {
        Err("passwords cannot be changed here".to_owned())
    }
}
