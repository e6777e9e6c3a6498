//! The channels that a transfer runs on: each file takes one lane and does all its requests there.

use std::sync::Arc;

use crate::Session;
use crate::sftp::Sftp;

/// One SFTP channel and the connection that it belongs to.
pub(super) struct Lane {
    pub(super) sftp: Sftp,
    /// `None`: the channel runs on something that is no SSH connection of ours.
    pub(super) session: Option<Session>,
}

/// All lanes of one transfer.
pub(super) struct Lanes {
    first: Arc<Lane>,
}

impl Lanes {
    pub(super) fn new(sftp: Sftp, session: Option<Session>) -> Self {
        Self { first: Arc::new(Lane { sftp, session }) }
    }

    /// A lane for one file or one request.
    pub(super) fn pick(&self) -> Arc<Lane> {
        self.first.clone()
    }
}
