//! Where records go, and what happens when they cannot be written.

use std::path::PathBuf;
use std::time::Duration;

/// Everything that an audit log needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    pub targets: Targets,
    /// A directory of its own for the signing key, the head and the lock; made if it is missing.
    pub state_dir: PathBuf,
    pub rotation: Rotation,
    pub sync: Sync,
    pub on_failure: OnFailure,
}

/// Where lines go. With a file, the others get what the file has got; a failure of theirs is logged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Targets {
    pub file: Option<PathBuf>,
    pub stdout: bool,
    /// The socket of journald.
    pub journald: Option<PathBuf>,
}

impl Targets {
    /// Where journald listens.
    pub const JOURNALD: &str = "/run/systemd/journal/socket";
}

/// When a file is closed and another one begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rotation {
    /// Bytes; a file may grow beyond it by one batch.
    pub size: Option<u64>,
    /// Time since the first record in it.
    pub age: Option<Duration>,
    /// Closed files that stay; older ones are removed. `None`: all.
    pub keep: Option<usize>,
}

/// What one sync brings to the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sync {
    /// What has gathered while the last one ran.
    #[default]
    Batch,
    /// One record.
    Record,
}

/// What a server does that cannot write its records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnFailure {
    /// It serves nobody.
    #[default]
    Stop,
    /// It goes on, counts what it loses, and says so in the log when that works again.
    Continue,
}
