//! How the bytes of a connection reach the server: a socket, a channel through another server
//! (`ProxyJump`), or a command (`ProxyCommand`).

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::process::Stdio;
use std::task::{Context, Poll};

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use crate::error::io_reason;
use crate::session::TunnelStream;
use crate::ssh_config::shell;

/// A stream to a server.
pub(crate) enum Transport {
    Tcp(TcpStream),
    Tunnel(TunnelStream),
    Command(Box<ProxyProcess>),
}

impl Transport {
    /// Runs a `ProxyCommand`, whose tokens are filled in already, in place of a shell.
    ///
    /// # Errors
    /// Why the shell cannot be started. A command that does not exist shows itself by saying nothing.
    pub(crate) fn run(command: &str) -> Result<Self, String> {
        let mut child = Command::new(shell())
            .arg("-c")
            .arg(format!("exec {command}"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("ProxyCommand: {}", io_reason(&error)))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("ProxyCommand: no pipes to it".into());
        };
        Ok(Self::Command(Box::new(ProxyProcess { child, input: Some(input), output })))
    }

    /// The server's address, where we see it ourselves.
    pub(crate) fn peer_address(&self) -> Option<IpAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok().map(|address| address.ip().to_canonical()),
            Self::Tunnel(_) | Self::Command(_) => None,
        }
    }

    /// Another handle to the socket, where there is one.
    pub(crate) fn socket(&self) -> Option<OwnedFd> {
        match self {
            Self::Tcp(stream) => stream.as_fd().try_clone_to_owned().ok(),
            Self::Tunnel(_) | Self::Command(_) => None,
        }
    }

    fn stream(&mut self) -> Pin<&mut dyn Stream> {
        match self {
            Self::Tcp(stream) => Pin::new(stream),
            Self::Tunnel(stream) => Pin::new(stream),
            Self::Command(process) => Pin::new(&mut **process),
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

impl AsyncRead for Transport {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buffer)
    }
}

impl AsyncWrite for Transport {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}

/// A `ProxyCommand` that runs. It is told to hang up when this is dropped.
pub(crate) struct ProxyProcess {
    child: Child,
    /// Gone once we have said all.
    input: Option<ChildStdin>,
    output: ChildStdout,
}

impl Drop for ProxyProcess {
    fn drop(&mut self) {
        // As OpenSSH does. No number: it has ended and was waited for.
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid {
            let _ = kill_process(pid, Signal::HUP);
        }
    }
}

impl AsyncRead for ProxyProcess {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.output).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ProxyProcess {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_write(cx, bytes),
            None => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.input {
            Some(input) => Pin::new(input).poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    /// Closes the pipe: the command reads the end.
    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.input = None;
        Poll::Ready(Ok(()))
    }
}
