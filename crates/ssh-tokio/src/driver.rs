//! The one loop: events, service, write, read, timers; and an orderly end.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};
use std::{fmt, io};

use sterna_ssh_crypto::SystemRandom;
use sterna_ssh_proto::limits::INPUT_LEN_MAX;
use sterna_ssh_proto::{ClientConfig, Connection, Error, InputBuffer, OutputBuffer, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use crate::{Link, Service, clock, spare};

/// After the end, this long is given to the peer to take our last words.
const LINGER: Duration = Duration::from_secs(2);

/// An idle connection gives back what it can remake after this long: short enough that ten thousand
/// idle sessions stay small, long enough that a busy one never does.
const IDLE_RELEASE: Duration = Duration::from_secs(1);

/// Up to so many bytes wait for others to join them before they are written: a write costs its reader a
/// wake-up, however little it brings.
const HELD_LEN_MAX: usize = 4 * 1024;

/// They wait until every other task that can run has run once …
const HELD_TURNS: u32 = 1;

/// … and those that answer a stream for so many turns: what comes next will be answered as well.
const HELD_TURNS_IN_STREAM: u32 = 4;

/// A read of so many bytes is part of a stream: more will come at once.
const STREAM_READ_LEN: usize = 64 * 1024;

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
    /// In a place of its own: a task's future holds what it moves around more than once.
    connection: Box<Connection>,
    input: InputBuffer,
    output: OutputBuffer,
    timer: Pin<Box<Sleep>>,
    /// When the timer fires; `None` if it is not armed.
    timer_at: Option<Instant>,
    /// Since when nothing has moved.
    idle_since: Option<Instant>,
    /// What an idle connection can remake was given back.
    released: bool,
    /// The outcome, while our last words are still being written.
    ending: Option<(Instant, Option<Error>)>,
    peer_closed: bool,
    /// The last read was as long as those of a stream are.
    streams_in: bool,
    /// Turns for which output has been held.
    held: u32,
}

impl<IO: AsyncRead + AsyncWrite + Unpin> Driver<IO> {
    /// The server's side of a connection that was just accepted.
    pub fn server(io: IO, config: Arc<ServerConfig>) -> Self {
        let mut output = OutputBuffer::new();
        let connection =
            Connection::server(config, Box::new(SystemRandom), clock::now(), &mut output);
        Self::new(io, connection, output)
    }

    /// The client's side of a connection that was just made.
    pub fn client(io: IO, config: Arc<ClientConfig>) -> Self {
        let mut output = OutputBuffer::new();
        let connection =
            Connection::client(config, Box::new(SystemRandom), clock::now(), &mut output);
        Self::new(io, connection, output)
    }

    fn new(io: IO, connection: Connection, output: OutputBuffer) -> Self {
        Self {
            io,
            connection: Box::new(connection),
            input: InputBuffer::new(),
            output,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            timer_at: None,
            idle_since: None,
            released: false,
            ending: None,
            peer_closed: false,
            streams_in: false,
            held: 0,
        }
    }

    /// Runs until the connection is over.
    ///
    /// # Errors
    /// [`DriveError`]: the socket or the protocol failed.
    ///
    /// # Cancelling
    /// Dropping the future drops the socket; what was not written is lost.
    // An `async fn` would keep two copies of what it is called with.
    #[allow(clippy::manual_async_fn)]
    pub fn run<S: Service>(
        mut self,
        service: &mut S,
    ) -> impl Future<Output = Result<End, DriveError>> {
        async move {
            let result = poll_fn(|cx| self.poll_run(cx, service)).await;
            if !self.peer_closed {
                // Half-close, so that the peer reads our last words before it sees the end.
                let _ = poll_fn(|cx| Pin::new(&mut self.io).poll_shutdown(cx)).await;
            }
            result
        }
    }

    fn poll_run<S: Service>(
        &mut self,
        cx: &mut Context<'_>,
        service: &mut S,
    ) -> Poll<Result<End, DriveError>> {
        let polled = self.poll_turns(cx, service);
        // Who runs next on this thread finds the memory warm.
        spare::keep(self.input.take_memory());
        spare::keep(self.output.take_memory());
        polled
    }

    fn poll_turns<S: Service>(
        &mut self,
        cx: &mut Context<'_>,
        service: &mut S,
    ) -> Poll<Result<End, DriveError>> {
        loop {
            let now = clock::now();
            if self.ending.is_some() {
                return self.poll_ending(now, cx);
            }
            match self.turn(now, cx, service) {
                Ok(progress) => {
                    if self.connection.is_ended() {
                        self.ending = Some((now + LINGER, None));
                    } else if self.peer_closed {
                        return Poll::Ready(Ok(End::PeerClosed));
                    } else if !progress && self.holds_output() {
                        // Other tasks run and the socket is asked again; then there is another turn.
                        self.held += 1;
                        let _ = pin!(tokio::task::yield_now()).poll(cx);
                        return Poll::Pending;
                    } else if !progress {
                        // Ready means that something fell due: look again.
                        ready!(self.poll_timer(now, cx, service));
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
        let open = self.connection.is_open();
        self.output.give_memory_with(|| spare::take(open));
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

        let holds_output = self.holds_output();
        if !holds_output {
            progress |= self.write_out(cx)?;
        }

        let wants_input = service.wants_input() && self.connection.wants_input(&self.output);
        if wants_input && self.input.len() >= INPUT_LEN_MAX {
            // Whole packets wait, and nothing holds them up any more: first those.
            progress = true;
        } else if wants_input {
            self.input.give_memory_with(|| spare::take(open));
            let mut room = ReadBuf::new(self.input.space());
            match Pin::new(&mut self.io).poll_read(cx, &mut room) {
                Poll::Ready(Ok(())) => {
                    let len = room.filled().len();
                    self.input.commit(len);
                    self.peer_closed = len == 0;
                    self.streams_in = len >= STREAM_READ_LEN;
                    self.held += u32::from(holds_output);
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Err(DriveError::Io(error)),
                Poll::Pending => {}
            }
        }
        if holds_output && self.peer_closed {
            self.write_out(cx)?;
        }
        if progress {
            self.idle_since = None;
            self.released = false;
        }
        Ok(progress)
    }

    /// Writes as much as the socket takes. True if it took anything.
    fn write_out(&mut self, cx: &mut Context<'_>) -> Result<bool, DriveError> {
        let mut progress = false;
        while !self.output.is_empty() {
            match Pin::new(&mut self.io).poll_write(cx, self.output.pending()) {
                Poll::Ready(Ok(0)) => return Err(DriveError::Io(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(len)) => {
                    self.output.consume(len);
                    self.held = 0;
                    progress = true;
                }
                Poll::Ready(Err(error)) => return Err(DriveError::Io(error)),
                Poll::Pending => break,
            }
        }
        Ok(progress)
    }

    /// Whether the little that there is to write waits for more.
    fn holds_output(&self) -> bool {
        let turns = if self.streams_in { HELD_TURNS_IN_STREAM } else { HELD_TURNS };
        self.held < turns && (1..=HELD_LEN_MAX).contains(&self.output.len())
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

    /// Sleeps until the next deadline; an idle connection gives back what it can remake meanwhile.
    fn poll_timer<S: Service>(
        &mut self,
        now: Instant,
        cx: &mut Context<'_>,
        service: &mut S,
    ) -> Poll<()> {
        let mut next = self.connection.next_timeout();
        if !self.released {
            let release_at = *self.idle_since.get_or_insert(now) + IDLE_RELEASE;
            if now >= release_at {
                self.released = true;
                self.input.release();
                self.connection.release();
                service.release();
            } else {
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
    fn a_connection_that_waits_holds_no_memory_for_its_buffers() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let _runtime = runtime.enter();
        let (mut pair, _) = Pair::connected(PairConfig::new(1));
        // Of a kind that nobody knows: the answer is UNIMPLEMENTED.
        pair.client.connection.inject(&[250], &mut pair.client.output);
        let sent = pair.client.output.pending().to_vec();
        let len = sent.len();
        let io = Flood { sent, read: 0, takes: usize::MAX };
        let mut driver = Driver::new(io, pair.server.connection, OutputBuffer::new());

        let mut cx = Context::from_waker(std::task::Waker::noop());
        // The answer waits for others first.
        assert!(driver.poll_run(&mut cx, &mut Nothing).is_pending());
        assert!(driver.poll_run(&mut cx, &mut Nothing).is_pending());

        assert_eq!(driver.io.read, len);
        assert!(driver.io.takes < usize::MAX, "it has answered");
        assert!(driver.input.take_memory().is_empty() && driver.output.take_memory().is_empty());
        assert!(!spare::take(true).is_empty() && !spare::take(true).is_empty());
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

    /// A socket whose reads bring one piece after the other, and then the end.
    struct Pieces {
        pieces: std::collections::VecDeque<Vec<u8>>,
        writes: Vec<usize>,
    }

    impl AsyncRead for Pieces {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            room: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if let Some(mut piece) = self.pieces.pop_front() {
                let rest = piece.split_off(room.remaining().min(piece.len()));
                room.put_slice(&piece);
                if !rest.is_empty() {
                    self.pieces.push_front(rest);
                }
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Pieces {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.writes.push(bytes.len());
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// Feeds `count` pieces, each of `packets` packets of `len` bytes that are answered. Returns how many
    /// writes the answers took, and their bytes.
    fn answers(count: usize, packets: usize, len: usize) -> (usize, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (mut pair, _) = Pair::connected(PairConfig::new(1));
        let mut pieces = std::collections::VecDeque::new();
        for _ in 0..count {
            for _ in 0..packets {
                // Of a kind that nobody knows: the answer is UNIMPLEMENTED.
                pair.client.connection.inject(&vec![250; len], &mut pair.client.output);
            }
            let piece = pair.client.output.pending().to_vec();
            pair.client.output.consume(piece.len());
            pieces.push_back(piece);
        }
        runtime.block_on(async {
            let io = Pieces { pieces, writes: Vec::new() };
            let mut driver = Driver::new(io, pair.server.connection, OutputBuffer::new());
            let end = poll_fn(|cx| driver.poll_run(cx, &mut Nothing)).await.unwrap();
            assert_eq!(end, End::PeerClosed);
            (driver.io.writes.len(), driver.io.writes.iter().sum())
        })
    }

    #[test]
    fn answers_to_a_stream_leave_together_and_all_of_them_leave() {
        let (writes, bytes) = answers(16, 3, 30_000);
        let (_, alone) = answers(1, 1, 100);

        assert!((4..=6).contains(&writes), "{writes}");
        assert_eq!(bytes, 16 * 3 * alone);
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
