//! Users of the machine: their logins are judged and their files are opened by processes with the rights for it, while
//! the process that faces the network has none.
//!
//! ```text
//! network process --(start one)--> monitor (root) --(starts)--> helper of one login (root)
//!        |                                                            |  look up, password, keys: one answer, and it ends
//!        +------------------- a channel of their own -----------------+  or: becomes the user and serves its files
//! ```
//!
//! - `monitor.rs` starts helpers and does nothing else; `helper.rs` is one: it answers one question about an account
//!   (`account.rs`, `shadow.rs`, `pam.rs`, `keys_file.rs`), or becomes the user's worker. What it may say yes to it knows
//!   from its own [`Policy`], whatever it is asked.
//! - `files.rs` is the worker's work: operations on a backend, asked in messages (`messages.rs`). [`RemoteBackend`] asks.
//!   An open file comes back as a descriptor, so that its data takes no detour.
//! - `questions.rs` is what the network process asks about logins, in messages as well (`login_messages.rs`).

mod account;
mod files;
mod helper;
mod keys_file;
pub mod limits;
pub mod login_messages;
pub mod messages;
mod monitor;
mod pam;
mod policy;
mod questions;
mod remote;
mod shadow;

pub use files::serve_files;
pub use helper::run_helper;
pub use monitor::run_monitor;
pub use policy::{PasswordSource, Policy};
pub use questions::{Monitor, SystemIdentity};
pub use remote::RemoteBackend;
