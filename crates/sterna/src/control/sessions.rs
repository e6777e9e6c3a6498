//! Sessions on their way from a server to a command.

use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use sterna_server::{Moving, SessionInfo};

/// Which sessions are meant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Which {
    Id(String),
    User(String),
    /// A network or an address.
    Source(String),
    All,
}

/// One session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SessionRow {
    pub id: String,
    /// The process that serves it.
    pub pid: u32,
    pub user: String,
    pub source: String,
    /// Methods and keys, a step each.
    pub login: Vec<String>,
    /// The client's version, as text.
    pub client: String,
    /// Seconds since 1970.
    pub since: u64,
    pub lasts_s: u64,
    pub idle_s: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub open_files: usize,
    pub moving: Vec<MovingRow>,
}

/// One file that is open and moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovingRow {
    /// As text.
    pub path: String,
    /// `upload`, `download` or `both`.
    pub direction: String,
    pub bytes: u64,
    /// Since it was opened.
    pub bytes_per_s: u64,
}

impl From<SessionInfo> for SessionRow {
    fn from(info: SessionInfo) -> Self {
        let since = info.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            id: info.id,
            pid: std::process::id(),
            user: info.user,
            source: info.source.to_string(),
            login: info.login,
            client: String::from_utf8_lossy(&info.client).into_owned(),
            since: since.as_secs(),
            lasts_s: info.lasts.as_secs(),
            idle_s: info.idle.as_secs(),
            bytes_in: info.bytes_in,
            bytes_out: info.bytes_out,
            open_files: info.open_files,
            moving: info.moving.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<Moving> for MovingRow {
    fn from(file: Moving) -> Self {
        let direction = match (file.bytes_in > 0, file.bytes_out > 0) {
            (true, true) => "both",
            (true, false) => "upload",
            (false, _) => "download",
        };
        let bytes = file.bytes_in + file.bytes_out;
        let micros = file.lasts.max(Duration::from_millis(1)).as_micros();
        let rate = u128::from(bytes) * 1_000_000 / micros;
        Self {
            path: String::from_utf8_lossy(&file.path).into_owned(),
            direction: direction.to_owned(),
            bytes,
            bytes_per_s: rate.try_into().unwrap_or(u64::MAX),
        }
    }
}
