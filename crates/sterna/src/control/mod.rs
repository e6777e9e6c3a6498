//! How commands talk to a running server: one request and one reply, a line of JSON each, over a Unix
//! socket in the server's state directory.
//!
//! Whoever may ask is the user that the server runs as, and root: the socket is theirs alone, and the
//! kernel says who is at the other end. What a reply holds is no secret to them, but secrets of users
//! are never in it.

mod client;
mod handover;
mod server;
mod sessions;

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use sterna_server::defence::Penalty;

pub use client::{ask, ask_all};
pub use handover::{HandoverFrom, TakenOver};
pub use server::{Control, Other, SocketFile};
pub use sessions::{MovingRow, SessionRow, Which};

use crate::settings::{Change, SettingsError};

/// The name in the state directory under which commands find the server: a link to the socket of the one that
/// takes connections.
const SOCKET_NAME: &str = "control";

/// What the name of each server's own socket begins with; its process number follows. A server that
/// finishes its sessions beside a successor is reached there.
const OWN_SOCKET_PREFIX: &str = "control-";

/// Servers with one state directory that are looked at: each upgrade may leave one that finishes its sessions.
const SERVERS_MAX: usize = 64;

/// Bytes of a request: a command and a path or two.
const REQUEST_LEN_MAX: u64 = 16 * 1024;

/// Bytes of a reply: every penalty that a server can have, 150 bytes each, takes a tenth of it.
const REPLY_LEN_MAX: u64 = 256 * 1024 * 1024;

/// Connections that are served at a time; others wait.
const CONNECTIONS_MAX: usize = 4;

/// How long a request may take to arrive, and a reply to leave.
const PEER_WAIT: Duration = Duration::from_secs(10);

/// How long a command waits for the reply: a hundred thousand users are read in some seconds.
const REPLY_WAIT: Duration = Duration::from_secs(120);

/// What a running server can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "command", rename_all = "kebab-case")]
pub enum Request {
    /// Read the settings again. `file`: only if it is this one.
    Reload {
        file: Option<String>,
    },
    /// What a reload from this file would change.
    Diff {
        file: String,
    },
    Penalties,
    /// A network, an address, or `all`.
    Lift {
        sources: String,
    },
    /// The listening sockets, for a successor. The connection stays until it says that it is
    /// [`Serving`](Request::Serving), or ends.
    HandOver,
    /// The successor takes connections: nobody new is to be taken here any more.
    Serving {
        pid: u32,
    },
    Sessions,
    /// End sessions; their clients are told `why`.
    Kick {
        which: Which,
        why: String,
    },
}

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "kebab-case")]
pub enum Reply {
    Reloaded {
        summary: String,
        warnings: Vec<String>,
    },
    /// The settings cannot be used; nothing was changed.
    Mistakes {
        mistakes: Vec<Mistake>,
    },
    Differences {
        changes: Vec<Change>,
    },
    Penalties {
        sources: Vec<PenaltyRow>,
    },
    Lifted {
        sources: usize,
    },
    /// With the descriptors of its standard output and error, and then of the listening sockets.
    HandOver {
        pid: u32,
    },
    /// It takes no connections any more, and ends with the last of these.
    Left {
        sessions: usize,
    },
    Sessions {
        sessions: Vec<SessionRow>,
    },
    Kicked {
        sessions: Vec<SessionRow>,
    },
    /// It cannot be done.
    Refused {
        why: String,
    },
}

/// A [`SettingsError`] on its way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mistake {
    pub file: String,
    pub line: Option<usize>,
    pub key: String,
    pub why: String,
}

/// A penalty, in seconds from this moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PenaltyRow {
    pub source: String,
    /// Zero: only remembered.
    pub refused_for_s: u64,
    pub forgotten_in_s: u64,
    pub repeats: u32,
    pub reason: String,
}

/// Where the server with this state directory is reached that takes connections.
pub fn socket_in(state_dir: &Path) -> PathBuf {
    state_dir.join(SOCKET_NAME)
}

/// The socket of one process.
fn own_socket_in(state_dir: &Path, pid: u32) -> PathBuf {
    state_dir.join(format!("{OWN_SOCKET_PREFIX}{pid}"))
}

/// The sockets of all servers with this state directory: the one that takes connections, and those that only
/// finish their sessions.
fn own_sockets_in(state_dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(state_dir).into_iter().flatten().flatten();
    let is_own = |name: &str| {
        let pid = name.strip_prefix(OWN_SOCKET_PREFIX);
        pid.is_some_and(|pid| pid.parse::<u32>().is_ok())
    };
    let own = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_own));
    own.map(|entry| entry.path()).take(SERVERS_MAX).collect()
}

impl From<&SettingsError> for Mistake {
    fn from(error: &SettingsError) -> Self {
        let SettingsError { file, line, key, why } = error;
        let file = file.to_string_lossy().into_owned();
        Self { file, line: *line, key: key.clone(), why: why.clone() }
    }
}

impl From<Mistake> for SettingsError {
    fn from(mistake: Mistake) -> Self {
        let Mistake { file, line, key, why } = mistake;
        Self { file: file.into(), line, key, why }
    }
}

impl From<&Penalty> for PenaltyRow {
    fn from(penalty: &Penalty) -> Self {
        // Less than a second is still a refusal.
        let seconds = |length: Duration| length.as_millis().div_ceil(1000) as u64;
        Self {
            source: penalty.source.to_string(),
            refused_for_s: seconds(penalty.refused_for),
            forgotten_in_s: seconds(penalty.forgotten_in),
            repeats: penalty.repeats,
            reason: penalty.offence.name().to_owned(),
        }
    }
}
