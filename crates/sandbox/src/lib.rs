//! Takes rights away from a running process, for good: its user and capabilities, files, network, system calls.
//!
//! Every wall is put up by one function, none knows what the program is for. All of them hold for the calling thread
//! and what it starts: call them before there are other threads ([`is_single_threaded`] tells).
//!
//! - `privileges.rs`: user, groups, capabilities. `files.rs`: files, TCP ports, signals (Landlock).
//! - `calls.rs`: system calls (seccomp), by groups of `calls/groups.rs`.
//! - `descriptors.rs`: what was left open. `channel.rs`: messages between the processes of one program, which is how
//!   work with other rights is done after the walls stand.

mod calls;
mod channel;
mod descriptors;
mod files;
mod privileges;

pub use calls::{Calls, groups};
pub use channel::{Channel, MESSAGE_DESCRIPTORS_MAX, MESSAGE_LEN_MAX, Received};
pub use descriptors::close_all_but;
pub use files::{Files, Landlock, restrict_files};
pub use privileges::{
    Account, Capability, Privileges, become_account, current, forbid_new_privileges,
    hide_from_others, keep_capabilities,
};

use std::{fmt, fs, io};

/// A wall that does not stand.
#[derive(Debug)]
pub struct Error {
    /// Which one, and what was being done.
    pub doing: String,
    pub source: Option<io::Error>,
}

pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(doing: impl Into<String>) -> Self {
        Self { doing: doing.into(), source: None }
    }

    pub(crate) fn io(doing: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self { doing: doing.into(), source: Some(source.into()) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => write!(f, "{}: {source}", self.doing),
            None => f.write_str(&self.doing),
        }
    }
}

impl std::error::Error for Error {}

/// Whether this process has one thread only. `false` if it cannot be found out.
pub fn is_single_threaded() -> bool {
    fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1)
}
