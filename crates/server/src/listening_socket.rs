//! A listening socket whose connections nothing waits for yet: to register each with the reactor costs a sixth of all
//! that is spent on one, and of a flood most are closed again at once.
#![allow(unsafe_code)]

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, OwnedFd};
use std::task::{Context, Poll, ready};

use rustix::net::SocketFlags;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// See the module.
pub(crate) struct ListeningSocket(AsyncFd<TcpListener>);

impl ListeningSocket {
    /// Takes a socket that listens.
    ///
    /// # Errors
    /// The system refuses it.
    pub(crate) fn new(socket: TcpListener) -> io::Result<Self> {
        socket.set_nonblocking(true)?;
        // SAFETY: a `TcpListener` owns one descriptor, says that one for as long as it lives, and is owned by the
        // `AsyncFd`, which lends it here only.
        let registered = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) };
        Ok(Self(registered?))
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.get_ref().local_addr()
    }

    /// Another descriptor of the socket.
    pub(crate) fn copy(&self) -> io::Result<OwnedFd> {
        self.0.get_ref().as_fd().try_clone_to_owned()
    }

    /// The next connection, which does not block.
    ///
    /// # Errors
    /// What `accept` says.
    pub(crate) fn poll_accept(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<(TcpStream, SocketAddr)>> {
        loop {
            let mut ready = ready!(self.0.poll_read_ready(cx))?;
            if let Ok(accepted) = ready.try_io(|socket| accept(socket.get_ref())) {
                return Poll::Ready(accepted);
            }
        }
    }
}

fn accept(socket: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (accepted, peer) = rustix::net::acceptfrom_with(socket, flags)?;
    let peer = peer.ok_or(io::ErrorKind::ConnectionAborted)?;
    Ok((accepted.into(), peer.try_into()?))
}
