//! What must survive a restart: used one-time codes, counters of security keys, penalties.
//!
//! One SQLite file, `state.db`, in the server's state directory. The one thing a reader must not
//! miss: what is claimed here is on the disk before the call returns, so a code that opened a door
//! once stays used when the machine loses power a moment later.
//!
//! Every call blocks: on the disk, and on other calls. They belong on threads that may block, never
//! into an async task. No clock is read here: times are the caller's, in seconds since 1970 (UTC).
//!
//! Not here: whether a code is right, whether a login passes (`sterna-identity`), and how long a
//! penalty lasts (`sterna-server`).

mod counters;
mod database;
mod error;
pub mod limits;
mod one_time;
mod penalties;
mod schema;
#[cfg(test)]
mod tests;

pub use counters::CounterVerdict;
pub use database::{FILE_NAME, State};
pub use error::{Error, Result};
pub use penalties::{StoredPenalty, Unban};
