//! Signature counters of security keys, which tell a cloned key from the first one.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior, params};

use crate::database::{State, check_name};
use crate::error::Result;
use crate::limits::COUNTERS_MAX;

/// What a counter says about a key (WebAuthn Level 2 §6.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CounterVerdict {
    /// This key was never seen.
    First,
    /// The counter went on, or the key does not count: it says 0 and always said 0.
    Advanced,
    /// The counter stood still or went back: two devices hold this key, or one that counted says
    /// 0. The counter that was kept stays.
    NotAdvanced { kept: u32 },
}

impl State {
    /// Compares and keeps the counter of a signature that was found to be right.
    ///
    /// # Errors
    /// Any of [`Error`](crate::Error).
    pub fn advance_counter(&self, key_fingerprint: &str, counter: u32) -> Result<CounterVerdict> {
        check_name(key_fingerprint, "key fingerprint")?;
        self.write("advance a key's counter", |connection| {
            let all = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let kept: Option<u32> = all
                .query_row(
                    "SELECT counter FROM key_counters WHERE key = ?1",
                    [key_fingerprint],
                    |row| row.get(0),
                )
                .optional()?;
            let verdict = match kept {
                None => CounterVerdict::First,
                Some(kept) if counter > kept || (counter, kept) == (0, 0) => {
                    CounterVerdict::Advanced
                }
                Some(kept) => return Ok(CounterVerdict::NotAdvanced { kept }),
            };
            all.execute(
                "INSERT INTO key_counters (key, counter, used)
                 VALUES (?1, ?2, (SELECT coalesce(max(used), 0) + 1 FROM key_counters))
                 ON CONFLICT (key) DO UPDATE SET counter = excluded.counter, used = excluded.used",
                params![key_fingerprint, counter],
            )?;
            if verdict == CounterVerdict::First {
                forget_unused(&all, COUNTERS_MAX)?;
            }
            all.commit()?;
            Ok(verdict)
        })
    }
}

/// Keeps the `max` keys that were used last.
pub(crate) fn forget_unused(connection: &Connection, max: u32) -> rusqlite::Result<()> {
    let keys: u32 =
        connection.query_row("SELECT count(*) FROM key_counters", [], |row| row.get(0))?;
    if keys > max {
        connection.execute(
            "DELETE FROM key_counters WHERE key IN
             (SELECT key FROM key_counters ORDER BY used LIMIT ?1)",
            [keys - max],
        )?;
    }
    Ok(())
}
