//! The one loop: events, service, write, read, timers; and an orderly end.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use std::{fmt, io};

use sterna_ssh_crypto::SystemRandom;
use sterna_ssh_proto::limits::INPUT_LEN_MAX;
use sterna_ssh_proto::{ClientConfig, Connection, Error, InputBuffer, OutputBuffer, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::{Link, Service};

/// After the end, this long is given to the peer to take our last words.
const LINGER: Duration = Duration::from_secs(2);

/// An idle connection gives its buffers back after this long: short enough that ten thousand idle
/// sessions stay small, long enough that a busy one never does.
const IDLE_RELEASE: Duration = Duration::from_secs(1);

/// How a connection ended without an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// One side said goodbye.
    Disconnected,
    /// The peer just closed the socket.
    PeerClosed,
}

/// Why a connection ended.
#[derive(Debug)]
pub enum DriveError {
    /// The socket failed.
    Io(io::Error),
    /// The protocol did.
    Protocol(Error),
}

impl fmt::Display for DriveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "connection lost: {error}"),
            Self::Protocol(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for DriveError {}

/// Owns a connection and its socket until the end.
pub struct Driver<IO> {
    io: IO,
    connection: Connection,
    input: InputBuffer,
    output: OutputBuffer,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires; `None` if it is not armed.
    timer_at: Option<Instant>,
    /// Since when nothing has been in the buffers.
    idle_since: Option<Instant>,
    /// The outcome, while our last words are still being written.
    ending: Option<(Instant, Option<Error>)>,
    peer_closed: bool,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    /// The server's side of a connection that was just accepted.
    pub fn server(io: IO, config: Arc<ServerConfig>) -> Self {
        let mut output = OutputBuffer::new();
        let connection =
            Connection::server(config, Box::new(SystemRandom), Instant::now(), &mut output);
        Self::new(io, connection, output)
    }

    /// The client's side of a connection that was just made.
    pub fn client(io: IO, config: Arc<ClientConfig>) -> Self {
        let mut output = OutputBuffer::new();
        let connection =
            Connection::client(config, Box::new(SystemRandom), Instant::now(), &mut output);
        Self::new(io, connection, output)
    }

    fn new(io: IO, connection: Connection, output: OutputBuffer) -> Self {
        Self {
            io,
            connection,
            input: InputBuffer::new(),
            output,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            timer_at: None,
            idle_since: None,
            ending: None,
            peer_closed: false,
        }
    }

    /// Runs until the connection is over.
    ///
    /// # Errors
    /// [`DriveError`]: the socket or the protocol failed.
    ///
    /// # Cancelling
    /// Dropping the future drops the socket; what was not written is lost.
    pub async fn run<S: Service>(mut self, service: &mut S) -> Result<End, DriveError> {
        let result = poll_fn(|cx| self.poll_run(cx, service)).await;
        if !self.peer_closed {
            // Half-close, so that the peer reads our last words before it sees the end.
            let _ = poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx)).await;
        }
        result
    }

    fn poll_run<S: Service>(
        &mut self,
        cx: &mut Context<'_>,
        service: &mut S,
    ) -> Poll<Result<End, DriveError>> {
        loop {
            let now = Instant::now();
            if self.ending.is_some() {
                return self.poll_ending(now, cx);
            }
            match self.turn(now, cx, service) {
                Ok(progress) => {
                    if self.connection.is_ended() {
                        self.ending = Some((now + LINGER, None));
                    } else if self.peer_closed {
                        return Poll::Ready(Ok(End::PeerClosed));
                    } else if !progress {
                        // Ready means that something fell due: look again.
                        ready!(self.poll_timer(now, cx));
                    }
                }
                Err(DriveError::Protocol(error)) => {
                    self.ending = Some((now + LINGER, Some(error)));
                }
                Err(error @ DriveError::Io(_)) => return Poll::Ready(Err(error)),
            }
        }
    }

    /// One turn: events, service, write, read. True if anything moved.
    fn turn<S: Service>(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        service: &mut S,
    ) -> Result<bool, DriveError> {
        let mut progress = false;
        self.connection.handle_timeout(now, &mut self.output).map_err(DriveError::Protocol)?;
        loop {
            while service.wants_input()
                && let Some(event) = self
                    .connection
                    .poll_event(now, &mut self.input, &mut self.output)
                    .map_err(DriveError::Protocol)?
            {
                progress = true;
                let mut link =
                    Link { connection: &mut self.connection, output: &mut self.output, now };
                service.handle_event(event, &mut link).map_err(DriveError::Protocol)?;
            }
            let waited = !self.connection.wants_input(&self.output);
            let mut link = Link { connection: &mut self.connection, output: &mut self.output, now };
            service.poll(cx, &mut link).map_err(DriveError::Protocol)?;
            // What it answered lets packets through that are here already: what these bring about
            // leaves in the same write.
            if !(waited && self.connection.wants_input(&self.output)) {
                break;
            }
            progress = true;
        }
        if service.answers_soon() {
            cx.waker().wake_by_ref();
            return Ok(false);
        }

        while !self.output.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, self.output.pending()) {
                Poll::Ready(Ok(0)) => return Err(DriveError::Io(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(len)) => {
                    self.output.consume(len);
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Err(DriveError::Io(error)),
                Poll::Pending => break,
            }
        }

        let wants_input = service.wants_input() && self.connection.wants_input(&self.output);
        if wants_input && self.input.len() >= INPUT_LEN_MAX {
            // Whole packets wait, and nothing holds them up any more: first those.
            progress = true;
        } else if wants_input {
            let mut room = ReadBuf::new(self.input.space());
            match Pin::new(&mut self.io).poll_read(cx, &mut room) {
                Poll::Ready(Ok(())) => {
                    let len = room.filled().len();
                    self.input.commit(len);
                    self.peer_closed = len == 0;
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Err(DriveError::Io(error)),
                Poll::Pending => {}
            }
        }
        if progress {
            self.idle_since = None;
        }
        Ok(progress)
    }

    /// Writes our last words until they are out, the peer is gone, or the time is up.
    fn poll_ending(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<Result<End, DriveError>> {
        let deadline = self.ending.as_ref().map_or(now, |(deadline, _)| *deadline);
        while !self.output.is_empty() && now < deadline {
            match Pin::new(&mut self.io).poll_write(cx, self.output.pending()) {
                Poll::Ready(Ok(len)) if len > 0 => self.output.consume(len),
                Poll::Ready(_) => break,
                Poll::Pending => {
                    self.arm(deadline);
                    ready!(self.timer.as_mut().poll(cx));
                    self.timer_at = None;
                    break;
                }
            }
        }
        match self.ending.take() {
            Some((_, Some(error))) => Poll::Ready(Err(DriveError::Protocol(error))),
            Some((_, None)) | None => Poll::Ready(Ok(End::Disconnected)),
        }
    }

    /// Sleeps until the next deadline; buffers of an idle connection go back meanwhile.
    fn poll_timer(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let mut next = self.connection.next_timeout();
        if self.input.is_empty() && self.output.is_empty() {
            let since = *self.idle_since.get_or_insert(now);
            if now >= since + IDLE_RELEASE {
                self.input.release();
                self.output.release();
            } else {
                let release_at = since + IDLE_RELEASE;
                next = Some(next.map_or(release_at, |at| at.min(release_at)));
            }
        }
        let Some(next) = next else { return Poll::Pending };
        self.arm(next);
        ready!(self.timer.as_mut().poll(cx));
        self.timer_at = None;
        Poll::Ready(())
    }

    /// Arms the timer for `at`, unless it fires earlier anyway: deadlines mostly move away, and an
    /// early look costs less than moving the timer at each packet.
    fn arm(&mut self, at: Instant) {
        if self.timer_at.is_none_or(|armed| at < armed) {
            self.timer.as_mut().reset(at.into());
            self.timer_at = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use sterna_ssh_crypto::OfferedKey;
    use sterna_ssh_proto::Event;
    use sterna_testkit::{Pair, PairConfig};

    use super::*;

    /// The socket of a peer that has sent a lot, and takes as much as it is told to.
    struct Flood {
        sent: Vec<u8>,
        read: usize,
        takes: usize,
    }

    impl AsyncRead for Flood {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            room: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            let len = room.remaining().min(self.sent.len() - self.read);
            if len == 0 {
                return Poll::Pending;
            }
            room.put_slice(&self.sent[self.read..self.read + len]);
            self.read += len;
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Flood {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let len = self.takes.min(bytes.len());
            self.takes -= len;
            if len == 0 { Poll::Pending } else { Poll::Ready(Ok(len)) }
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    struct Nothing;

    impl Service for Nothing {
        fn handle_event(&mut self, _: Event<'_>, _: &mut Link<'_>) -> Result<(), Error> {
            Ok(())
        }
        fn poll(&mut self, _: &mut Context<'_>, _: &mut Link<'_>) -> Result<(), Error> {
            Ok(())
        }
    }

    #[test]
    fn input_stays_bounded_when_each_packet_is_answered_and_the_answers_are_taken_slowly() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _runtime = runtime.enter();
        let (mut pair, _) = Pair::connected(PairConfig::new(1));
        // Of a kind that nobody knows: the answer is UNIMPLEMENTED.
        for _ in 0..200_000 {
            pair.client.connection.inject(&[250], &mut pair.client.output);
        }
        let sent = pair.client.output.pending().to_vec();
        let (now, all) = (pair.clock.now(), sent.len());
        let mut driver = Driver::new(
            Flood { sent, read: 0, takes: 0 },
            pair.server.connection,
            OutputBuffer::new(),
        );
        let mut turn = |takes| {
            driver.io.takes = takes;
            let mut cx = Context::from_waker(std::task::Waker::noop());
            let progress = driver.turn(now, &mut cx, &mut Nothing).unwrap();
            (progress, driver.input.len(), driver.io.read, driver.output.len())
        };

        // Each time a little room for answers appears.
        let peak = (0..1000).map(|_| turn(1000).1).max().unwrap();
        assert!(peak < 2 * INPUT_LEN_MAX && 2 * INPUT_LEN_MAX < all, "{peak} of {all}");

        // Nothing is lost, and nothing stalls.
        let mut turns = 0;
        while turn(usize::MAX).0 {
            turns += 1;
            assert!(turns < 100_000, "it moves for ever");
        }
        assert_eq!(turn(usize::MAX), (false, 0, all, 0));
    }

    /// Says that an answer is on its way, as often as it is told.
    struct Answers(u32);

    impl Service for Answers {
        fn handle_event(&mut self, _: Event<'_>, _: &mut Link<'_>) -> Result<(), Error> {
            Ok(())
        }
        fn poll(&mut self, _: &mut Context<'_>, _: &mut Link<'_>) -> Result<(), Error> {
            Ok(())
        }
        fn answers_soon(&mut self) -> bool {
            let soon = self.0 > 0;
            self.0 = self.0.saturating_sub(1);
            soon
        }
    }

    #[test]
    fn what_is_to_be_sent_waits_for_an_answer_that_comes_soon_and_the_task_runs_again() {
        struct Woken(std::sync::atomic::AtomicBool);
        impl std::task::Wake for Woken {
            fn wake(self: Arc<Self>) {
                self.0.store(true, std::sync::atomic::Ordering::Relaxed);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _runtime = runtime.enter();
        let io = Flood { sent: Vec::new(), read: 0, takes: usize::MAX };
        let mut driver = Driver::server(io, Arc::new(ServerConfig::new(Vec::<OfferedKey>::new())));
        let woken = Arc::new(Woken(false.into()));
        let waker = std::task::Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut service = Answers(1);
        let waiting = driver.output.len();

        assert!(driver.poll_run(&mut cx, &mut service).is_pending());
        assert_eq!(driver.output.len(), waiting);
        assert!(woken.0.load(std::sync::atomic::Ordering::Relaxed));

        assert!(driver.poll_run(&mut cx, &mut service).is_pending());
        assert!(waiting > 0 && driver.output.is_empty());
    }
}
