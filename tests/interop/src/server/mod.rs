//! Servers of every make on a loopback port, their files seen from behind.
//!
//! Each test starts its own: they come up in milliseconds, and no test can then spoil another.

mod asyncssh;
mod dropbear;
mod openssh;
mod proftpd;
mod rclone;
mod sterna;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use sterna_testkit::openssh::{KeyFile, Login};
use sterna_testkit::processes::Process;

use crate::place::Place;

pub use asyncssh::asyncssh;
pub use dropbear::dropbear;
pub use openssh::{openssh, openssh_with, openssh_with_our_sftp_server, openssh_with_pam};
pub use proftpd::proftpd;
pub use rclone::rclone;
pub use sterna::{
    listening_port, restart, sterna, sterna_publishing_on_close, sterna_with, sterna_with_audit,
};

/// Something that a server cannot do, whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ability {
    Chmod,
    Times,
    SymbolicLinks,
    /// Says of a link that it is one, and where it points.
    ShowsLinks,
    HardLinks,
    /// A rename onto an existing file, for clients that ask for it.
    Replace,
    /// Names that are not UTF-8.
    AnyBytes,
    /// Names with a newline.
    Newlines,
    /// `:`, `*`, quotes and the like arrive as they are.
    Punctuation,
}

/// A running server. It ends, and its files vanish, when this is dropped.
#[derive(Debug)]
pub struct Server {
    pub name: &'static str,
    pub login: Login,
    pub host_keys: Vec<KeyFile>,
    /// The directory behind it, on this machine's disk.
    pub root: PathBuf,
    /// How clients call `root`: `/` where the server shows nothing else, its real path elsewhere.
    pub remote_root: PathBuf,
    /// What it lacks, and how that shows.
    pub lacks: Vec<(Ability, &'static str)>,
    pub process: Process,
    pub place: Place,
}

impl Server {
    /// The path by which clients call `name`, which is relative to the shared directory.
    pub fn remote(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.remote_root.join(Path::new(name.as_ref()))
    }

    /// The same file on this machine's disk.
    pub fn local(&self, name: impl AsRef<OsStr>) -> PathBuf {
        self.root.join(Path::new(name.as_ref()))
    }

    /// Why this server cannot do that, or `None` when it can.
    pub fn lacks(&self, ability: Ability) -> Option<&'static str> {
        self.lacks.iter().find(|(lacking, _)| *lacking == ability).map(|(_, why)| *why)
    }
}
