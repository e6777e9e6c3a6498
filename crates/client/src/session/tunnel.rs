//! A `direct-tcpip` channel as a stream: what a connection through another server runs on.
//!
//! The stream and the connection's task share a small buffer. Bytes of the channel that do not fit
//! wait in the task with their credit withheld, so a slow reader stops its own sender only.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use sterna_ssh_proto::ChannelId;
use sterna_ssh_tokio::Link;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, DuplexStream, ReadBuf, duplex};
use tokio::sync::oneshot;

use crate::limits::{TUNNEL_BUFFER_LEN, TUNNEL_CHUNK_LEN};

/// The end that is read and written. Dropping it closes the channel.
pub(crate) struct TunnelStream {
    io: DuplexStream,
    _held: oneshot::Sender<Infallible>,
}

/// The end in the connection's task.
pub(super) struct Tunnel {
    io: DuplexStream,
    /// Ready once the stream has been dropped.
    dropped: oneshot::Receiver<Infallible>,
    /// From the server, not yet taken by the stream: at most the channel's window.
    incoming: Unsent,
    /// The server will send no more.
    incoming_ended: bool,
    /// From the stream, not yet taken by the channel.
    outgoing: Unsent,
    outgoing_ended: bool,
}

#[derive(Default)]
struct Unsent {
    bytes: Vec<u8>,
    /// How many of them are gone.
    start: usize,
}

impl Unsent {
    fn pending(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    fn advance(&mut self, len: usize) {
        self.start += len;
        if self.start == self.bytes.len() {
            self.bytes.clear();
            self.start = 0;
        }
    }
}

impl Tunnel {
    /// Both ends of a tunnel.
    pub(super) fn new() -> (Self, TunnelStream) {
        let (here, there) = duplex(TUNNEL_BUFFER_LEN);
        let (held, dropped) = oneshot::channel();
        let tunnel = Self {
            io: here,
            dropped,
            incoming: Unsent::default(),
            incoming_ended: false,
            outgoing: Unsent::default(),
            outgoing_ended: false,
        };
        (tunnel, TunnelStream { io: there, _held: held })
    }

    /// Takes bytes of the channel. Their credit goes back when the stream has taken them.
    pub(super) fn receive(&mut self, data: &[u8]) {
        self.incoming.bytes.extend_from_slice(data);
    }

    /// The server has said all.
    pub(super) fn end(&mut self) {
        self.incoming_ended = true;
    }

    /// Moves what can be moved, both ways. True once nobody holds the stream any more.
    pub(super) fn pump(
        &mut self,
        id: ChannelId,
        cx: &mut Context<'_>,
        link: &mut Link<'_>,
    ) -> bool {
        while !self.incoming.pending().is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, self.incoming.pending()) {
                Poll::Ready(Ok(len)) => {
                    self.incoming.advance(len);
                    link.connection.consume(id, len, link.output);
                }
                // The stream is gone: see below.
                Poll::Ready(Err(_)) => break,
                Poll::Pending => break,
            }
        }
        if self.incoming_ended && self.incoming.pending().is_empty() {
            let _ = Pin::new(&mut self.io).poll_shutdown(cx);
        }
        loop {
            if self.outgoing.pending().is_empty() && !self.fill(cx) {
                break;
            }
            let pending = self.outgoing.pending();
            let len = link.connection.send_data(id, &[pending], link.output);
            if len == 0 && !pending.is_empty() {
                break;
            }
            self.outgoing.advance(len);
            if self.outgoing_ended {
                link.connection.send_eof(id, link.output);
                break;
            }
        }
        Pin::new(&mut self.dropped).poll(cx).is_ready()
    }

    /// Reads from the stream. False if there is nothing to do now.
    fn fill(&mut self, cx: &mut Context<'_>) -> bool {
        if self.outgoing_ended {
            return false;
        }
        self.outgoing.bytes.resize(TUNNEL_CHUNK_LEN, 0);
        let mut buffer = ReadBuf::new(&mut self.outgoing.bytes);
        let read = Pin::new(&mut self.io).poll_read(cx, &mut buffer);
        let len = buffer.filled().len();
        self.outgoing.bytes.truncate(len);
        match read {
            Poll::Ready(_) => {
                self.outgoing_ended = len == 0;
                true
            }
            Poll::Pending => false,
        }
    }

    /// The channel is closed: its last bytes still reach the stream, then the stream ends.
    pub(super) fn finish(mut self) {
        if !self.incoming.pending().is_empty() {
            tokio::spawn(async move {
                let _ = self.io.write_all(self.incoming.pending()).await;
            });
        }
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
