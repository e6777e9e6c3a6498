//! Takes connections from all sockets in turn, and goes on when descriptors run out.

use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::task::{Context, Poll};
use std::time::Instant;

use sterna_ssh_tokio::{now, prepare_socket};
use tokio::time::sleep_until;

use crate::door::Stream;
use crate::flood::Flood;
use crate::limits::FLOOD_ACCEPT_PAUSE;
use crate::listening::Listening;
use crate::refuse::Refusals;

/// Accepts connections.
pub(crate) struct Acceptor {
    /// Which socket is asked first: one after the other, so that a flood at one starves no other.
    first: usize,
    /// Nothing is taken before.
    resume_at: Option<Instant>,
    /// A descriptor to let go of when there are no others, so that a peer can be told.
    reserve: Option<OwnedFd>,
}

/// Something that becomes a stream once it is clear that it is needed: most of a flood is not.
pub(crate) trait Raw {
    type Stream: Stream;

    /// Gets it ready for a task that waits for it.
    ///
    /// # Errors
    /// The system refuses it.
    fn begin(self) -> io::Result<Self::Stream>;
}

impl Raw for TcpStream {
    type Stream = tokio::net::TcpStream;

    fn begin(self) -> io::Result<Self::Stream> {
        let stream = Self::Stream::from_std(self)?;
        if let Err(error) = prepare_socket(&stream) {
            tracing::debug!(%error, "socket option refused");
        }
        Ok(stream)
    }
}

impl Raw for tokio::net::TcpStream {
    type Stream = Self;

    fn begin(self) -> io::Result<Self> {
        Ok(self)
    }
}

impl Raw for Box<dyn Stream> {
    type Stream = Self;

    fn begin(self) -> io::Result<Self> {
        Ok(self)
    }
}

/// A connection, and the number of the place that it came through.
pub(crate) struct Accepted<S = TcpStream> {
    pub(crate) socket: S,
    pub(crate) peer: SocketAddr,
    pub(crate) listening: usize,
}

impl Acceptor {
    pub(crate) fn new() -> Self {
        Self { first: 0, resume_at: None, reserve: reserve() }
    }

    /// The next connection of any socket; while there is a flood not before some more may have come.
    ///
    /// # Errors
    /// What `accept` says: mostly that there are no descriptors left.
    ///
    /// # Cancelling
    /// No connection is lost.
    pub(crate) async fn accept(
        &mut self,
        sockets: &[Listening],
        flood: &Flood,
    ) -> io::Result<Accepted> {
        loop {
            if let Some(at) = self.resume_at {
                sleep_until(at.into()).await;
                self.resume_at = None;
            }
            let accepted = poll_fn(|cx| match self.poll_accept(cx, sockets) {
                Poll::Pending if flood.is_on(now()) => Poll::Ready(None),
                polled => polled.map(Some),
            });
            match accepted.await {
                Some(accepted) => return accepted,
                None => self.resume_at = Some(now() + FLOOD_ACCEPT_PAUSE),
            }
        }
    }

    fn poll_accept(
        &mut self,
        cx: &mut Context<'_>,
        sockets: &[Listening],
    ) -> Poll<io::Result<Accepted>> {
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
    }

    /// After `accept` failed for want of descriptors: takes one connection with the descriptor that was
    /// kept for this, and tells it why it is not served.
    pub(crate) async fn refuse_one(&mut self, sockets: &[Listening], why: &str) {
        self.reserve = None;
        let waits = poll_fn(|cx| {
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
