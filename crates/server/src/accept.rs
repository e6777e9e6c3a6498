//! Takes connections from all sockets in turn, and goes on when descriptors run out.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::task::Poll;

use tokio::net::TcpStream;

use crate::listening::Listening;
use crate::refuse::Refusals;

/// Accepts connections.
pub(crate) struct Acceptor {
    /// Which socket is asked first: one after the other, so that a flood at one starves no other.
    first: usize,
    /// A descriptor to let go of when there are no others, so that a peer can be told.
    reserve: Option<OwnedFd>,
}

/// A connection, and the number of the place that it came through.
pub(crate) struct Accepted<S = TcpStream> {
    pub(crate) socket: S,
    pub(crate) peer: SocketAddr,
    pub(crate) listening: usize,
}

impl Acceptor {
    pub(crate) fn new() -> Self {
        Self { first: 0, reserve: reserve() }
    }

    /// The next connection of any socket.
    ///
    /// # Errors
    /// What `accept` says: mostly that there are no descriptors left.
    ///
    /// # Cancelling
    /// No connection is lost.
    pub(crate) async fn accept(&mut self, sockets: &[Listening]) -> io::Result<Accepted> {
        std::future::poll_fn(|cx| {
            for step in 0..sockets.len() {
                let listening = (self.first + step) % sockets.len();
                if let Poll::Ready(result) = sockets[listening].poll_accept(cx) {
                    self.first = listening + 1;
                    return Poll::Ready(result.map(|(socket, peer)| Accepted {
                        socket,
                        peer,
                        listening,
                    }));
                }
            }
            Poll::Pending
        })
        .await
    }

    /// After `accept` failed for want of descriptors: takes one connection with the descriptor that was
    /// kept for this, and tells it why it is not served.
    pub(crate) async fn refuse_one(&mut self, sockets: &[Listening], why: &str) {
        self.reserve = None;
        let waits = std::future::poll_fn(|cx| {
            for listening in sockets {
                if let Poll::Ready(Ok((socket, peer))) = listening.poll_accept(cx) {
                    Refusals::refuse_at_once(&socket, listening.software(), why);
                    return Poll::Ready(Some(peer));
                }
            }
            Poll::Ready(None)
        });
        if let Some(peer) = waits.await {
            tracing::debug!(%peer, why, "connection refused");
        }
        self.reserve = reserve();
    }
}

/// Whether an error of `accept` means that there are no descriptors: of this process, or of all.
pub(crate) fn lacks_descriptors(error: &io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// Any descriptor that needs no file.
fn reserve() -> Option<OwnedFd> {
    rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).ok()
}
