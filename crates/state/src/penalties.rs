//! Penalties of source networks, as the server's defence saves and loads them; and requests of
//! other processes to lift them.

use ipnet::IpNet;
use rusqlite::{Connection, Row, TransactionBehavior, params};

use crate::database::State;
use crate::error::{Error, Result};
use crate::limits::{PENALTIES_MAX, REASON_LEN_MAX, UNBANS_MAX};

/// One source network and what it has done. Times are seconds since 1970 (UTC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPenalty {
    pub source: IpNet,
    /// Refused until then; may be in the past, while the offences are still remembered.
    pub until: u64,
    /// How often it was refused before, as far as that is remembered: each doubles the next penalty.
    pub offences: u32,
    /// When nothing of this matters any more.
    pub forget_at: u64,
    /// The last offence, in words.
    pub reason: String,
}

/// Whose penalty is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unban {
    /// Every source that this network contains or is contained in.
    Source(IpNet),
    All,
}

impl Unban {
    /// Whether the penalty of this network is lifted.
    pub fn lifts(&self, source: &IpNet) -> bool {
        match self {
            Self::Source(target) => target.contains(source) || source.contains(target),
            Self::All => true,
        }
    }
}

impl State {
    /// All that are kept, the worst first.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn penalties(&self) -> Result<Vec<StoredPenalty>> {
        self.write("read penalties", |connection| {
            let mut all = connection.prepare_cached(
                "SELECT source, until, offences, forget_at, reason FROM penalties
                 ORDER BY forget_at DESC LIMIT ?1",
            )?;
            all.query_map([PENALTIES_MAX], stored)?.collect()
        })
    }

    /// Keeps these, in place of earlier ones of the same sources: all of them or none. Beyond
    /// [`PENALTIES_MAX`] those that would be forgotten first are forgotten.
    ///
    /// # Errors
    /// Any of [`Error`]; nothing is then changed.
    pub fn save_penalties(&self, penalties: &[StoredPenalty]) -> Result<()> {
        if penalties.iter().any(|penalty| penalty.reason.len() > REASON_LEN_MAX) {
            return Err(Error::TooLong { what: "reason of a penalty" });
        }
        self.write("save penalties", |connection| {
            let all = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            for penalty in penalties {
                all.prepare_cached(
                    "INSERT OR REPLACE INTO penalties (source, until, offences, forget_at, reason)
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![
                    penalty.source.trunc().to_string(),
                    seconds(penalty.until),
                    penalty.offences,
                    seconds(penalty.forget_at),
                    penalty.reason,
                ])?;
            }
            forget_first(&all, PENALTIES_MAX)?;
            all.commit()
        })
    }

    /// Forgets these penalties and returns how many there were.
    ///
    /// A server that uses this state keeps its own list meanwhile: it has to be asked as well
    /// ([`State::request_unban`]).
    ///
    /// # Errors
    /// Any of [`Error`]; none is then forgotten.
    pub fn remove_penalties(&self, unban: Unban) -> Result<usize> {
        self.write("remove penalties", |connection| {
            let all = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let removed = match unban {
                Unban::All => all.execute("DELETE FROM penalties", [])?,
                Unban::Source(_) => {
                    let sources: Vec<IpNet> = all
                        .prepare_cached("SELECT source FROM penalties")?
                        .query_map([], |row| network(row, 0))?
                        .collect::<rusqlite::Result<_>>()?;
                    let mut remove =
                        all.prepare_cached("DELETE FROM penalties WHERE source = ?1")?;
                    let mut removed = 0;
                    for source in sources.into_iter().filter(|source| unban.lifts(source)) {
                        removed += remove.execute([source.to_string()])?;
                    }
                    removed
                }
            };
            all.commit()?;
            Ok(removed)
        })
    }

    /// Forgets the penalties that do not matter any more at `now`.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn remove_expired_penalties(&self, now: u64) -> Result<()> {
        self.write("remove old penalties", |connection| {
            connection
                .execute("DELETE FROM penalties WHERE forget_at <= ?1", [seconds(now)])
                .map(drop)
        })
    }

    /// Asks the server that uses this state to lift penalties: for another process, a command.
    /// The server finds it the next time it looks.
    ///
    /// # Errors
    /// [`Error::Full`] if [`UNBANS_MAX`] requests wait and none was taken; any other of [`Error`].
    pub fn request_unban(&self, unban: Unban) -> Result<()> {
        let source = match unban {
            Unban::Source(source) => source.trunc().to_string(),
            Unban::All => String::new(),
        };
        let asked = self.write("ask for an unban", |connection| {
            let all = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let waiting: u32 =
                all.query_row("SELECT count(*) FROM unbans", [], |row| row.get(0))?;
            if waiting >= UNBANS_MAX {
                return Ok(false);
            }
            all.execute("INSERT OR IGNORE INTO unbans (source) VALUES (?1)", [source])?;
            all.commit()?;
            Ok(true)
        })?;
        if asked { Ok(()) } else { Err(Error::Full { what: "waiting requests to unban" }) }
    }

    /// The requests since the last call, and forgets them.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn take_unban_requests(&self) -> Result<Vec<Unban>> {
        self.write("read requests to unban", |connection| {
            // Mostly there are none, and then nothing is written.
            let any: bool =
                connection
                    .query_row("SELECT EXISTS (SELECT 1 FROM unbans)", [], |row| row.get(0))?;
            if !any {
                return Ok(Vec::new());
            }
            let all = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let taken = all
                .prepare_cached("DELETE FROM unbans RETURNING source")?
                .query_map([], |row| match row.get_ref(0)?.as_str()? {
                    "" => Ok(Unban::All),
                    _ => network(row, 0).map(Unban::Source),
                })?
                .collect::<rusqlite::Result<_>>()?;
            all.commit()?;
            Ok(taken)
        })
    }
}

fn stored(row: &Row<'_>) -> rusqlite::Result<StoredPenalty> {
    Ok(StoredPenalty {
        source: network(row, 0)?,
        until: row.get::<_, i64>(1)?.try_into().unwrap_or(0),
        offences: row.get(2)?,
        forget_at: row.get::<_, i64>(3)?.try_into().unwrap_or(0),
        reason: row.get(4)?,
    })
}

fn network(row: &Row<'_>, column: usize) -> rusqlite::Result<IpNet> {
    let cell = row.get_ref(column)?;
    cell.as_str()?.parse().map_err(|error: ipnet::AddrParseError| {
        rusqlite::Error::FromSqlConversionFailure(column, cell.data_type(), error.into())
    })
}

/// SQLite has signed numbers only; no time in use comes near the bound.
fn seconds(time: u64) -> i64 {
    i64::try_from(time).unwrap_or(i64::MAX)
}

/// Keeps the `max` penalties that last longest.
pub(crate) fn forget_first(connection: &Connection, max: u32) -> rusqlite::Result<()> {
    let kept: u32 = connection.query_row("SELECT count(*) FROM penalties", [], |row| row.get(0))?;
    if kept > max {
        connection.execute(
            "DELETE FROM penalties WHERE source IN
             (SELECT source FROM penalties ORDER BY forget_at LIMIT ?1)",
            [kept - max],
        )?;
    }
    Ok(())
}
