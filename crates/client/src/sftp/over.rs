//! Runs an engine over any byte stream: pipes to a server program, a socket, a test.

use std::future::Future;
use std::io::IoSlice;
use std::pin::Pin;
use std::task::{Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep};

use super::engine::Engine;
use crate::Error;
use crate::limits::SILENCE_CHECK_PERIOD;

/// Bytes read at once; larger buffers fall out of the level 2 cache.
const READ_LEN: usize = 128 << 10;

/// Serves `engine` until every handle is gone or the stream ends.
pub(super) async fn run<IO: AsyncRead + AsyncWrite + Unpin>(mut io: IO, mut engine: Engine) {
    let mut input = vec![0; READ_LEN];
    let mut check = Box::pin(sleep(SILENCE_CHECK_PERIOD));
    let mut must_flush = false;
    let result = std::future::poll_fn(|cx| {
        loop {
            engine.poll_calls(cx);
            if engine.in_file_len().is_some() {
                engine.gather_from_file();
                continue;
            }
            if engine.is_finished() {
                return Poll::Ready(Ok(()));
            }
            let mut progress = false;
            if let Some([head, body]) = engine.front() {
                let parts = [IoSlice::new(head), IoSlice::new(body)];
                match Pin::new(&mut io).poll_write_vectored(cx, &parts) {
                    Poll::Ready(Ok(0)) => {
                        return Poll::Ready(Err(interrupted("it takes no more bytes")));
                    }
                    Poll::Ready(Ok(len)) => {
                        engine.advance(len);
                        (progress, must_flush) = (true, true);
                    }
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(interrupted(&error.to_string())));
                    }
                    Poll::Pending => {}
                }
            } else if must_flush {
                match Pin::new(&mut io).poll_flush(cx) {
                    Poll::Ready(Ok(())) => must_flush = false,
                    Poll::Ready(Err(error)) => {
                        return Poll::Ready(Err(interrupted(&error.to_string())));
                    }
                    Poll::Pending => {}
                }
            }
            let mut buffer = ReadBuf::new(&mut input);
            match Pin::new(&mut io).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if buffer.filled().is_empty() => {
                    return Poll::Ready(Err(interrupted("it ended the session")));
                }
                Poll::Ready(Ok(())) => {
                    if let Err(error) = engine.receive(buffer.filled()) {
                        return Poll::Ready(Err(error));
                    }
                    progress = true;
                }
                Poll::Ready(Err(error)) => {
                    return Poll::Ready(Err(interrupted(&error.to_string())));
                }
                Poll::Pending => {}
            }
            if !progress {
                ready!(check.as_mut().poll(cx));
                if engine.silence_deadline().is_some_and(|deadline| deadline <= Instant::now()) {
                    return Poll::Ready(Err(engine.silence_error()));
                }
                check.as_mut().reset(Instant::now() + SILENCE_CHECK_PERIOD);
            }
        }
    })
    .await;
    if let Err(error) = result {
        engine.fail(&error);
    }
}

fn interrupted(why: &str) -> Error {
    Error::Interrupted { doing: "talk to the server", why: why.to_owned() }
}
