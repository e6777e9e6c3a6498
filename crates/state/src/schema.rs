//! The tables, as steps from one version of the file to the next.

use rusqlite::{Connection, TransactionBehavior};

/// Marks the file as ours (`PRAGMA application_id`): "ster".
pub(crate) const APPLICATION_ID: i64 = 0x7374_6572;

/// Step `n` brings a file from version `n` to `n + 1`. A step that was released never changes.
const STEPS: &[&str] = &["
    CREATE TABLE totp_steps (
        user TEXT NOT NULL PRIMARY KEY,
        step INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX totp_steps_by_step ON totp_steps (step);

    CREATE TABLE recovery_codes (
        user TEXT NOT NULL,
        code_id BLOB NOT NULL,
        PRIMARY KEY (user, code_id)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE key_counters (
        key TEXT NOT NULL PRIMARY KEY,
        counter INTEGER NOT NULL,
        used INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX key_counters_by_use ON key_counters (used);

    CREATE TABLE penalties (
        source TEXT NOT NULL PRIMARY KEY,
        until INTEGER NOT NULL,
        offences INTEGER NOT NULL,
        forget_at INTEGER NOT NULL,
        reason TEXT NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX penalties_by_end ON penalties (forget_at);

    -- What other processes ask the server to lift; an empty source stands for all.
    CREATE TABLE unbans (source TEXT NOT NULL PRIMARY KEY) STRICT, WITHOUT ROWID;
"];

/// The version that this release reads and writes.
pub(crate) const VERSION: i64 = STEPS.len() as i64;

/// What [`migrate`] found.
pub(crate) enum Found {
    /// The file has version [`VERSION`] now.
    Known,
    /// The file is newer; it was not changed.
    Newer(i64),
}

/// Brings the file to this release's version. Each step happens whole or not at all, and two
/// processes that start together take turns.
pub(crate) fn migrate(connection: &mut Connection) -> rusqlite::Result<Found> {
    loop {
        // A transaction that means to write, so that no other process can migrate in between.
        let step = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let version: i64 = step.pragma_query_value(None, "user_version", |row| row.get(0))?;
        if version > VERSION {
            return Ok(Found::Newer(version));
        }
        let Some(sql) = usize::try_from(version).ok().and_then(|n| STEPS.get(n)) else {
            return Ok(Found::Known);
        };
        step.execute_batch(sql)?;
        step.pragma_update(None, "user_version", version + 1)?;
        step.commit()?;
    }
}
