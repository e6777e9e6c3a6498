//! SFTP on one channel: frames in, replies out. [`SftpSession`] owns all of its state; the SSH
//! channel and standard input and output drive it in the same way.
//!
//! A request's way: `input.rs` finds its frame, `session.rs` asks `gate.rs` whether it may pass,
//! `requests.rs` keeps it until it is its turn, `start.rs` starts it: `table.rs` finds who serves it, a
//! handler file decides what to do, a job does it on the I/O pool. `finish.rs` takes the result,
//! `reply.rs` says it, `outbox.rs` holds it until there is room.

mod attributes;
mod check_file;
mod copy_data;
mod directory;
mod finish;
mod gate;
mod handle_budget;
mod handles;
mod input;
mod links;
mod listing;
mod names;
mod open;
mod outbox;
mod passing_write;
mod path;
mod policy;
mod ranges;
mod read;
mod recording;
mod rename;
mod reply;
mod requests;
mod session;
mod sink;
mod space;
mod start;
mod table;
mod write;
mod xattr;

pub(crate) use path::absolute;

pub use handle_budget::HandleBudget;
pub use names::{Names, NoNames, SystemNames};
pub use policy::SessionPolicy;
pub use session::{Progress, Resources, SftpSession};
pub use sink::{Sink, VecSink};
pub use table::{ROWS, Recorded, Row, Writes};
