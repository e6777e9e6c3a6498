//! SFTP on one channel: frames in, replies out. [`SftpSession`] owns all of its state; the SSH
//! channel and standard input and output drive it in the same way.
//!
//! A request's way: `session.rs` takes the frame and puts it in order, `gate.rs` asks whether it may
//! pass, `table.rs` finds who serves it, a handler file decides what to do, a job does it on the I/O
//! pool, `reply.rs` says the result, `outbox.rs` holds it until there is room.

mod attributes;
mod check_file;
mod copy_data;
mod directory;
mod gate;
mod handles;
mod links;
mod names;
mod open;
mod outbox;
mod path;
mod policy;
mod read;
mod rename;
mod reply;
mod session;
mod sink;
mod space;
mod table;
mod write;

pub(crate) use path::absolute;

pub use names::{Names, NoNames, SystemNames};
pub use policy::SessionPolicy;
pub use session::{Progress, Resources, SftpSession};
pub use sink::{Sink, VecSink};
pub use table::{ROWS, Row, Writes};
