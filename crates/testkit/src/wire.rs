//! An in-memory socket: one end is a stream for a server, the other is moved byte by byte by a test.
//!
//! Both directions hold so many bytes and no more, as a socket's buffers do; either can end, and the whole can break.
//! Nothing here moves by itself, so that the order of things is the test's.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Two ends of a connection whose directions hold `room` bytes each.
pub fn wire(room: usize) -> (ServerEnd, ClientEnd) {
    let pipe = || Pipe { room, ..Pipe::default() };
    let state = State { to_server: pipe(), to_client: pipe(), ..State::default() };
    let state = Arc::new(Mutex::new(state));
    (ServerEnd(Arc::clone(&state)), ClientEnd { state, seen: 0 })
}

/// The server's end: what a socket would be.
pub struct ServerEnd(Arc<Mutex<State>>);

/// The test's end.
pub struct ClientEnd {
    state: Arc<Mutex<State>>,
    /// Deeds of the server that were seen.
    seen: u64,
}

#[derive(Default)]
struct State {
    to_server: Pipe,
    to_client: Pipe,
    broken: bool,
    /// Deeds of the server: it has read, written or gone.
    deeds: u64,
    server: [Option<Waker>; 2],
    client: Option<Waker>,
}

#[derive(Default)]
struct Pipe {
    bytes: VecDeque<u8>,
    room: usize,
    ended: bool,
}

impl Pipe {
    fn write(&mut self, bytes: &[u8]) -> usize {
        let len = bytes.len().min(self.room - self.bytes.len());
        self.bytes.extend(&bytes[..len]);
        len
    }

    fn read(&mut self, max: usize) -> Vec<u8> {
        let len = max.min(self.bytes.len());
        self.bytes.drain(..len).collect()
    }
}

impl State {
    fn server_did(&mut self) {
        self.deeds += 1;
        if let Some(client) = self.client.take() {
            client.wake();
        }
    }

    fn client_did(&mut self) {
        for waker in &mut self.server {
            if let Some(waker) = waker.take() {
                waker.wake();
            }
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ClientEnd {
    /// Sends of `bytes` what there is room for, and returns how much that was.
    pub fn send(&mut self, bytes: &[u8]) -> usize {
        let mut state = lock(&self.state);
        if state.broken || state.to_server.ended {
            return 0;
        }
        let len = state.to_server.write(bytes);
        if len > 0 {
            state.client_did();
        }
        len
    }

    /// Up to `max` bytes of what has come.
    pub fn receive(&mut self, max: usize) -> Vec<u8> {
        let mut state = lock(&self.state);
        let bytes = state.to_client.read(max);
        if !bytes.is_empty() {
            state.client_did();
        }
        bytes
    }

    /// Whether nothing will come any more.
    pub fn is_over(&self) -> bool {
        let state = lock(&self.state);
        state.broken || state.to_client.ended && state.to_client.bytes.is_empty()
    }

    /// Sends no more. What comes can still be received.
    pub fn end(&mut self) {
        let mut state = lock(&self.state);
        state.to_server.ended = true;
        state.client_did();
    }

    /// Breaks the connection: what is on its way is lost in both directions.
    pub fn cut(&mut self) {
        let mut state = lock(&self.state);
        state.broken = true;
        state.client_did();
    }

    /// Waits until the server has read, written or gone since the last call.
    pub async fn changed(&mut self) {
        poll_fn(|cx| {
            let mut state = lock(&self.state);
            if self.seen == state.deeds {
                state.client = Some(cx.waker().clone());
                return Poll::Pending;
            }
            self.seen = state.deeds;
            Poll::Ready(())
        })
        .await;
    }
}

impl Drop for ClientEnd {
    /// As when a process ends: the server sees the end behind what was sent.
    fn drop(&mut self) {
        self.end();
    }
}

impl AsyncRead for ServerEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0);
        if state.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let bytes = state.to_server.read(room.remaining());
        if bytes.is_empty() && !state.to_server.ended {
            state.server[0] = Some(cx.waker().clone());
            return Poll::Pending;
        }
        room.put_slice(&bytes);
        state.server_did();
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ServerEnd {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = lock(&self.0);
        if state.broken {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let len = state.to_client.write(bytes);
        if len == 0 && !bytes.is_empty() {
            state.server[1] = Some(cx.waker().clone());
            return Poll::Pending;
        }
        state.server_did();
        Poll::Ready(Ok(len))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut state = lock(&self.0);
        state.to_client.ended = true;
        state.server_did();
        Poll::Ready(Ok(()))
    }
}

impl Drop for ServerEnd {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.to_client.ended = true;
        state.to_server.ended = true;
        state.server_did();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn bytes_pass_as_there_is_room_and_both_ends_see_the_end() {
        let (mut server, mut client) = wire(4);
        assert_eq!(client.send(b"123456"), 4);
        let mut read = [0; 3];
        server.read_exact(&mut read).await.unwrap();
        client.changed().await;
        assert_eq!((&read, client.send(b"56")), (b"123", 2));
        client.end();
        let mut rest = Vec::new();
        server.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest, b"456");

        server.write_all(b"ab").await.unwrap();
        assert_eq!((client.receive(1), client.is_over()), (b"a".to_vec(), false));
        drop(server);
        assert_eq!((client.receive(9), client.is_over()), (b"b".to_vec(), true));
    }

    #[tokio::test]
    async fn a_cut_is_an_error_for_the_server_and_nothing_more_comes() {
        let (mut server, mut client) = wire(4);
        client.send(b"1");
        client.cut();
        assert!(server.read_u8().await.is_err() && server.write_all(b"x").await.is_err());
        assert!(client.is_over() && client.send(b"2") == 0);
    }
}
