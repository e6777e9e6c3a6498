//! Codes that open once: time-based ones (RFC 6238 §5.2) and recovery codes.

use rusqlite::{Connection, TransactionBehavior, params};

use crate::database::{State, check_name};
use crate::error::{Error, Result};
use crate::limits::{RECOVERY_CODES_PER_USER_MAX, TOTP_USERS_MAX};

impl State {
    /// Uses up the one-time code of time step `step` for this user: true if `step` is greater than
    /// every step that this user used before. A replayed code and an older one give false; of
    /// several callers with the same step, one gets true.
    ///
    /// To be called after the code was found to be right, and before the login passes.
    ///
    /// # Errors
    /// Any of [`Error`]; the code must then count as refused.
    pub fn claim_totp_step(&self, user: &str, step: u64) -> Result<bool> {
        check_name(user, "user name")?;
        // No clock reaches such a step.
        let Ok(step) = i64::try_from(step) else { return Ok(false) };
        self.write("claim a one-time code", |connection| {
            let claim = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let changed = claim.execute(
                "INSERT INTO totp_steps (user, step) VALUES (?1, ?2)
                 ON CONFLICT (user) DO UPDATE SET step = excluded.step
                 WHERE excluded.step > totp_steps.step",
                params![user, step],
            )?;
            if changed == 1 {
                forget_old_steps(&claim, TOTP_USERS_MAX)?;
            }
            claim.commit()?;
            Ok(changed == 1)
        })
    }

    /// Uses up a recovery code: true once for each user and code. `code_id` is a digest of the code,
    /// so that codes cannot be read from the file.
    ///
    /// # Errors
    /// [`Error::Full`] if the user has used up [`RECOVERY_CODES_PER_USER_MAX`] codes; any other of
    /// [`Error`]. The code must then count as refused.
    pub fn claim_recovery_code(&self, user: &str, code_id: &[u8; 32]) -> Result<bool> {
        check_name(user, "user name")?;
        let claimed = self.write("claim a recovery code", |connection| {
            let claim = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let changed = claim.execute(
                "INSERT INTO recovery_codes (user, code_id) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                params![user, &code_id[..]],
            )?;
            let used: u32 = claim.query_row(
                "SELECT count(*) FROM recovery_codes WHERE user = ?1",
                [user],
                |row| row.get(0),
            )?;
            if used > RECOVERY_CODES_PER_USER_MAX {
                // Rolled back.
                return Ok(None);
            }
            claim.commit()?;
            Ok(Some(changed == 1))
        })?;
        claimed.ok_or(Error::Full { what: "used recovery codes" })
    }

    /// Forgets what is kept of a user: for one who was removed, or who gets a new secret and new
    /// recovery codes. While the old secret is in force, its last code would be good again.
    ///
    /// # Errors
    /// Any of [`Error`]; nothing is then forgotten.
    pub fn forget(&self, user: &str) -> Result<()> {
        self.write("forget a user", |connection| {
            let all = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            all.execute("DELETE FROM totp_steps WHERE user = ?1", [user])?;
            all.execute("DELETE FROM recovery_codes WHERE user = ?1", [user])?;
            all.commit()
        })
    }
}

/// Keeps the `max` highest steps.
pub(crate) fn forget_old_steps(connection: &Connection, max: u32) -> rusqlite::Result<()> {
    let users: u32 =
        connection.query_row("SELECT count(*) FROM totp_steps", [], |row| row.get(0))?;
    if users > max {
        connection.execute(
            "DELETE FROM totp_steps WHERE user IN
             (SELECT user FROM totp_steps ORDER BY step LIMIT ?1)",
            [users - max],
        )?;
    }
    Ok(())
}
