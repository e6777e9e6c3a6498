//! Passwords by the shadow file, with what it says about the age of password and account.
//!
//! `unsafe`: `getspnam` gives a pointer to memory of the C library, which stays what it is until the next such call of
//! any thread. Helpers have one thread, and everything is copied out here before anything else is called.
#![allow(unsafe_code)]

use std::ffi::{CStr, CString};
use std::time::{SystemTime, UNIX_EPOCH};

use sterna_identity::PasswordHash;
use zeroize::Zeroizing;

const SECONDS_A_DAY: u64 = 24 * 3600;

/// What is checked for names that have no hash: of a password that was thrown away, as expensive as those that the
/// tools of most systems made for years.
const DECOY: &str = "$6$sternadecoy$PMfOI1Jg8tV0kG3p3O5d2Y3cI0vFqX3mXc0GqJp1zWn2uYkq7oS8dV4hZ5wA6eT1rB9xL0iU7yC2fH3jK4lM5.";

/// A line of the file. Times are in days since 1970; negative: none.
#[derive(Clone, Debug)]
struct Entry {
    hash: Zeroizing<String>,
    changed: i64,
    max: i64,
    inactive: i64,
    expires: i64,
}

/// Checks a password, and whether account and password are still good today.
///
/// # Errors
/// Why not, for the log.
pub(crate) fn check(name: &str, password: &[u8]) -> Result<(), String> {
    let entry = entry(name);
    let hash = entry.as_ref().and_then(|entry| entry.hash.parse::<PasswordHash>().ok());
    match (&entry, hash) {
        (Some(entry), Some(hash)) => {
            if !hash.verify(password) {
                return Err("wrong password".to_owned());
            }
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let today = i64::try_from(now.as_secs() / SECONDS_A_DAY).unwrap_or(i64::MAX);
            judge(entry, today).map_err(str::to_owned)
        }
        (entry, _) => {
            check_decoy(password);
            Err(match entry {
                None => "no entry in the shadow file",
                Some(entry) if entry.hash.starts_with(['!', '*']) || entry.hash.is_empty() => {
                    "locked, or without a password"
                }
                Some(_) => "the hash is of a kind that is not known here",
            }
            .to_owned())
        }
    }
}

/// Takes as long as a check.
pub(crate) fn check_decoy(password: &[u8]) {
    let decoy = DECOY.parse::<PasswordHash>();
    std::hint::black_box(decoy.is_ok_and(|decoy| decoy.verify(password)));
}

/// Whether the account is open without a password: for those who log in by a key.
///
/// # Errors
/// Why not.
pub(crate) fn check_account(name: &str) -> Result<(), String> {
    // Where there is no entry, nothing is said about an end.
    let Some(entry) = entry(name) else { return Ok(()) };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let today = i64::try_from(now.as_secs() / SECONDS_A_DAY).unwrap_or(i64::MAX);
    match entry.expires > 0 && today >= entry.expires {
        true => Err("the account has expired".to_owned()),
        false => Ok(()),
    }
}

fn judge(entry: &Entry, today: i64) -> Result<(), &'static str> {
    if entry.expires > 0 && today >= entry.expires {
        return Err("the account has expired");
    }
    if entry.changed == 0 {
        return Err("the password must be changed, which cannot be done here");
    }
    // As the C library has it: without a date of change there is no age.
    if entry.changed > 0 && entry.max >= 0 {
        let end = entry.changed.saturating_add(entry.max);
        if today > end {
            return Err(match entry.inactive >= 0 && today > end.saturating_add(entry.inactive) {
                true => "the password has expired, and the account with it",
                false => "the password has expired",
            });
        }
    }
    Ok(())
}

fn entry(name: &str) -> Option<Entry> {
    let name = CString::new(name).ok()?;
    // SAFETY: the name ends with a NUL; the result is null or points to an entry (see the head of this file).
    let found = unsafe { libc::getspnam(name.as_ptr()).as_ref()? };
    if found.sp_pwdp.is_null() {
        return None;
    }
    // SAFETY: not null, and the library's text ends with a NUL.
    let hash = unsafe { CStr::from_ptr(found.sp_pwdp) }.to_str().ok()?.to_owned();
    Some(Entry {
        hash: Zeroizing::new(hash),
        changed: found.sp_lstchg,
        max: found.sp_max,
        inactive: found.sp_inact,
        expires: found.sp_expire,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_judged_as_the_file_says() {
        let of = |changed, max, inactive, expires| Entry {
            hash: Zeroizing::default(),
            changed,
            max,
            inactive,
            expires,
        };
        for (entry, good) in [
            (of(100, 99_999, -1, -1), true),
            (of(-1, -1, -1, -1), true),
            (of(-1, 5, -1, -1), true),
            (of(0, 99_999, -1, -1), false),
            (of(990, 10, -1, -1), true),
            (of(989, 10, -1, -1), false),
            (of(989, 10, 5, -1), false),
            (of(100, 99_999, -1, 1000), false),
            (of(100, 99_999, -1, 1001), true),
        ] {
            assert_eq!(judge(&entry, 1000).is_ok(), good, "{entry:?}");
        }
    }

    #[test]
    fn the_decoy_is_a_hash() {
        assert!(DECOY.parse::<PasswordHash>().is_ok());
    }
}
