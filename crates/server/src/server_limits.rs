//! The bounds that whoever runs a server may set, and their defaults; all others are in `limits.rs`.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use crate::limits::{
    CONNECTIONS_MAX, DIR_HANDLES_MAX, HANDLES_MAX, HANDLES_TOTAL_MAX, IDLE_TIME, LONG_JOBS_MAX,
    REQUESTS_MAX, SESSIONS_MAX,
};

/// What one server allows. The numbers of a session are those of its login; the others hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerLimits {
    /// Connections at a time.
    pub connections: usize,
    /// The same of one source, logged in or not.
    pub connections_per_source: usize,
    /// Connections of one user at a time; a user's own number goes before it.
    pub sessions_per_user: usize,
    /// Channels of one connection on which something runs.
    pub channels: usize,
    /// Open files and directories of one channel.
    pub handles: usize,
    /// Open directories among them.
    pub dir_handles: usize,
    /// Open files and directories of all sessions together, so that descriptors remain for connections.
    pub handles_total: usize,
    /// Requests of one channel that are taken in and not answered.
    pub requests: usize,
    /// Digests and copies of one channel that are computed at a time.
    pub long_jobs: usize,
    /// A session on which nothing moves for so long ends; `None`: never.
    pub idle: Option<Duration>,
    /// Memory of the process, in bytes, above which nobody new is taken; `None`: as much as there is.
    pub memory: Option<u64>,
}

/// One user or one source takes three quarters of all connections at most: others always find a place.
pub fn share_of(connections: usize) -> usize {
    (connections - connections / 4).max(1)
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS_MAX,
            connections_per_source: share_of(CONNECTIONS_MAX),
            sessions_per_user: share_of(CONNECTIONS_MAX),
            channels: SESSIONS_MAX,
            handles: HANDLES_MAX,
            dir_handles: DIR_HANDLES_MAX,
            handles_total: HANDLES_TOTAL_MAX,
            requests: REQUESTS_MAX,
            long_jobs: LONG_JOBS_MAX,
            idle: Some(IDLE_TIME),
            memory: None,
        }
    }
}

/// The limits of a running server, which may be replaced.
#[derive(Debug, Default)]
pub struct LiveLimits(RwLock<Arc<ServerLimits>>);

impl LiveLimits {
    pub fn new(limits: ServerLimits) -> Self {
        Self(RwLock::new(Arc::new(limits)))
    }

    /// Those of this moment.
    pub fn now(&self) -> Arc<ServerLimits> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// From now on these. Nobody is cut who is beyond them already.
    pub fn replace(&self, limits: ServerLimits) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(limits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_can_take_every_place() {
        assert_eq!(share_of(1), 1);
        assert_eq!(share_of(4), 3);
        assert_eq!(share_of(10_000), 7_500);
    }
}
