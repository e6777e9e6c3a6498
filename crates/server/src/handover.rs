//! Hands the listening sockets to a successor: from then on nobody new comes here, and those who are here
//! stay as long as they like.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;

use crate::listening::Listening;

/// What a server's successor needs of it.
#[derive(Clone)]
pub struct Handover(Arc<Shared>);

struct Shared {
    /// Copies of the listening sockets, until they were handed over.
    sockets: Mutex<Vec<OwnedFd>>,
    left: watch::Sender<bool>,
}

impl Handover {
    pub(crate) fn new(sockets: &[Listening]) -> io::Result<Self> {
        let mut copies = Vec::new();
        for listening in sockets {
            copies.extend(listening.copy()?);
        }
        let shared = Shared { sockets: Mutex::new(copies), left: watch::Sender::new(false) };
        Ok(Self(Arc::new(shared)))
    }

    /// Copies of the listening sockets. Connections that wait in them are served by whoever asks first:
    /// none is refused while both do.
    ///
    /// # Errors
    /// There are no descriptors left for them.
    pub fn sockets(&self) -> io::Result<Vec<OwnedFd>> {
        let sockets = self.0.sockets.lock().unwrap_or_else(PoisonError::into_inner);
        sockets.iter().map(OwnedFd::try_clone).collect()
    }

    /// The successor serves: no further connection is taken here, and the server ends with its last
    /// session.
    pub fn leave(&self) {
        self.close();
        self.0.left.send_replace(true);
    }

    /// There is nothing to hand over any more.
    pub(crate) fn close(&self) {
        self.0.sockets.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Whether [`leave`](Self::leave) was called.
    pub fn has_left(&self) -> bool {
        *self.0.left.borrow()
    }

    /// Done when [`leave`](Self::leave) was called.
    pub(crate) async fn left(&self) {
        let mut left = self.0.left.subscribe();
        // The sender is in `self`.
        let _ = left.wait_for(|left| *left).await;
    }
}
