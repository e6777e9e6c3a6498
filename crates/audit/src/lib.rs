//! The audit log: who did what, as lines of JSON that nobody changes unnoticed.
//!
//! A [`Record`] is plain data. [`Audit`] takes records from any thread without waiting and writes them on
//! one of its own: each line holds the hash of the line before it (`chain.rs`), now and then a line is a
//! signed checkpoint, and a signed head in the state directory says where the log ends (`head.rs`), so that a
//! missing end is seen as well. [`verify()`] reads such files again and names what is wrong with them.
//!
//! What it cannot do: whoever has the signing key, root of the machine for one, can write another log. A copy
//! elsewhere (journald, a collector that reads standard output) is what helps then.
//!
//! Not here: what is worth a record (`server`), where the settings come from (`sterna`).

mod audit;
mod chain;
mod file;
mod head;
mod journald;
mod key;
pub mod limits;
mod line;
mod log;
mod record;
mod row;
mod settings;
mod state;
mod verify;

pub use audit::{Audit, Status};
pub use key::{KeyError, PublicKey};
pub use record::{Record, Value};
pub use row::row_of;
pub use settings::{OnFailure, Rotation, Settings, Sync, Targets};
pub use state::{StartError, head_in, public_key_in};
pub use verify::{Given, Note, Problem, Report, verify};
