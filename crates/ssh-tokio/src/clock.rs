//! The clock of all connections: tokio's. A test may stop it and move it; else it is the system's own, at no cost.

use std::time::Instant;

/// The time, for everything that timers of connections are compared with.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
