//! The engine of one SFTP channel: `sftp-proto`'s client half, fed by a queue of calls.
//!
//! It does no I/O: the task that owns the byte stream (an SSH connection, a pair of pipes) calls
//! [`Engine::poll_calls`], writes what [`Engine::front`] shows, and feeds [`Engine::receive`]. File
//! bytes are never gathered: a WRITE is its header and the caller's buffer; a DATA reply is
//! assembled once, in a buffer that its waiter then owns.
//!
//! A waiter that went away costs nothing: its late reply is read and dropped (CLT-14).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use sterna_sftp_proto::Reply;
use sterna_sftp_proto::client::{Client, Incoming, PeerError, symlinks_as_in_draft};
use sterna_sftp_proto::extension::ExtensionSet;
use sterna_sftp_proto::frame::{Frame as WireFrame, FrameAssembler, FrameError};
use sterna_sftp_proto::messages::{Close, Read, Version};
use sterna_sshwire::Reader;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant};

use super::buffer::{Buffer, BufferPool};
use super::from_file::{BlockSource, FromFile};
use super::into_file::{BlockTarget, IntoFile, PassingData};
use super::timing::Timing;
use super::unsent::Unsent;
use crate::Error;
use crate::limits::{SFTP_QUEUE_LEN, SFTP_UNSENT_LEN_MAX};

/// A reply, complete and known to be one; a packet without its length word.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) bytes: Buffer,
    /// Bytes of DATA that went to a file, and are missing in front of those that are here.
    pub(crate) written: usize,
}

impl Frame {
    /// Decodes the reply behind type and id. The engine has done so before, so it succeeds.
    pub(crate) fn reply(&self) -> Result<Reply<'_>, Error> {
        let mut r = Reader::new(&self.bytes);
        let wire_type = r.u8("type").map_err(super::unreadable)?;
        r.u32("request id").map_err(super::unreadable)?;
        match Reply::decode(wire_type, &mut r) {
            Some(reply) => reply.map_err(super::unreadable),
            None => Err(Error::peer(PeerError::UnknownType(wire_type).to_string())),
        }
    }
}

/// Turns of other threads that a call may take to come once it has its place: a handful of instructions, in
/// the midst of which its thread may have been interrupted.
const COMING_TURNS: usize = 100_000;

/// What VERSION said, in a form that outlives its packet.
pub(crate) struct Greeting {
    pub(crate) offered: ExtensionSet,
    /// The extension pairs in their wire form: hardly anybody asks for them.
    pub(crate) announced: Box<[u8]>,
    /// SYMLINK is read in the draft's order.
    pub(crate) draft_symlinks: bool,
}

impl Greeting {
    fn of(version: &Version<'_>) -> Self {
        Self {
            offered: ExtensionSet::from_announcement(&version.extensions),
            announced: version.extensions.as_wire().into(),
            draft_symlinks: symlinks_as_in_draft(version),
        }
    }
}

/// A request on its way to the engine.
pub(crate) struct Call {
    pub(crate) ask: Ask,
    /// Longest reply that makes sense, in bytes without the length word; longer is the peer's fault.
    pub(crate) reply_len_max: usize,
    /// The server may work on it for long before it says anything.
    pub(crate) is_long: bool,
    pub(crate) reply_to: ReplyTo,
}

/// What is asked. Those that move file bytes are encoded by the engine, where nothing has to be
/// allocated for it.
pub(crate) enum Ask {
    Read {
        handle: Arc<[u8]>,
        offset: u64,
        len: u32,
    },
    /// A READ of what goes to a local file, to the same offset.
    ReadInto {
        handle: Arc<[u8]>,
        offset: u64,
        len: u32,
        target: Arc<dyn BlockTarget>,
    },
    Write {
        handle: Arc<[u8]>,
        offset: u64,
        data: Buffer,
    },
    /// A WRITE of what stands in a local file, from the same offset on.
    WriteFrom {
        handle: Arc<[u8]>,
        offset: u64,
        len: usize,
        source: Arc<dyn BlockSource>,
    },
    /// Any other: an encoded packet, whatever its id.
    Encoded(Vec<u8>),
}

/// Who waits for a reply.
pub(crate) enum ReplyTo {
    One(oneshot::Sender<Result<Frame, Error>>),
    /// One of many replies to the same receiver, told apart by the number. The receiver's queue is
    /// bounded by what it has asked for.
    Tagged(u64, mpsc::UnboundedSender<(u64, Result<Frame, Error>)>),
    /// Nobody: a CLOSE of something dropped.
    Nobody,
}

impl ReplyTo {
    /// Gives the result back if its receiver is gone.
    pub(super) fn send(self, result: Result<Frame, Error>) -> Option<Result<Frame, Error>> {
        match self {
            Self::One(sender) => sender.send(result).err(),
            Self::Tagged(tag, sender) => sender.send((tag, result)).err().map(|error| error.0.1),
            Self::Nobody => Some(result),
        }
    }
}

pub(super) struct Pending {
    pub(super) reply_to: ReplyTo,
    reply_len_max: usize,
    pub(super) is_long: bool,
    pub(super) into: Option<IntoFile>,
}

/// What the handle side keeps of an engine.
pub(crate) struct EngineHandle {
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) greeting: oneshot::Receiver<Result<Greeting, Error>>,
    pub(crate) pool: BufferPool,
    /// Why the channel ended, once it has.
    pub(crate) failure: Arc<OnceLock<Error>>,
    /// Nanoseconds for which bytes waited because the channel's window was full.
    pub(crate) window_full: Arc<AtomicU64>,
    /// Nanoseconds of the shortest round trip that was seen; `u64::MAX` before the first.
    pub(crate) round_trip: Arc<AtomicU64>,
    /// File bytes of WRITEs that were submitted and are not on their way. Submitting adds to it.
    pub(crate) unsent: Arc<AtomicUsize>,
}

/// See the module.
pub(crate) struct Engine {
    calls: mpsc::Receiver<Call>,
    calls_ended: bool,
    pub(super) client: Client<Pending>,
    pub(super) unsent: Unsent,
    /// What goes behind `unsent`. No call is taken meanwhile.
    pub(super) from_file: Option<FromFile>,
    greeting: Option<oneshot::Sender<Result<Greeting, Error>>>,
    pub(super) assembler: FrameAssembler,
    /// A reply that is written to a file as it comes.
    pub(super) passing: Option<PassingData>,
    pub(super) pool: BufferPool,
    failure: Arc<OnceLock<Error>>,
    pub(super) timing: Timing,
    window_full: Arc<AtomicU64>,
    pub(super) unsent_len: Arc<AtomicUsize>,
    /// The most credit that was seen.
    credit_max: usize,
    /// Since when that is to be added.
    window_full_since: Option<Instant>,
}

impl Engine {
    /// An engine whose first packet, INIT, is ready to be sent.
    pub(crate) fn new(silence_max: Duration) -> (Self, EngineHandle) {
        let (calls_in, calls) = mpsc::channel(SFTP_QUEUE_LEN);
        let (greeting_in, greeting) = oneshot::channel();
        let pool = BufferPool::default();
        let failure = Arc::new(OnceLock::new());
        let window_full = Arc::new(AtomicU64::new(0));
        let timing = Timing::new(silence_max);
        let round_trip = timing.round_trip();
        let unsent_len = Arc::new(AtomicUsize::new(0));
        let (client, mut unsent) = (Client::new(), Unsent::default());
        client.encode_init(unsent.heads());
        let engine = Self {
            calls,
            calls_ended: false,
            client,
            unsent,
            from_file: None,
            greeting: Some(greeting_in),
            assembler: FrameAssembler::for_client(),
            passing: None,
            pool: pool.clone(),
            failure: failure.clone(),
            timing,
            window_full: window_full.clone(),
            unsent_len: unsent_len.clone(),
            credit_max: 0,
            window_full_since: None,
        };
        let (calls, unsent) = (calls_in, unsent_len);
        let handle =
            EngineHandle { calls, greeting, pool, failure, window_full, round_trip, unsent };
        (engine, handle)
    }

    /// Takes waiting requests as far as there is room for them.
    pub(crate) fn poll_calls(&mut self, cx: &mut Context<'_>) {
        self.poll_from_file(cx);
        while self.has_room() {
            match self.calls.poll_recv(cx) {
                Poll::Ready(Some(call)) => self.take(call),
                Poll::Ready(None) => {
                    self.calls_ended = true;
                    return;
                }
                Poll::Pending => return,
            }
        }
    }

    fn has_room(&self) -> bool {
        !self.calls_ended
            && self.from_file.is_none()
            && self.unsent.len() < SFTP_UNSENT_LEN_MAX
            && self.client.room() > 0
    }

    fn take(&mut self, call: Call) {
        let Call { ask, reply_len_max, is_long, reply_to } = call;
        self.timing.asked(is_long, self.client.outstanding() == 0);
        let mut token = Pending { reply_to, reply_len_max, is_long, into: None };
        let heads = self.unsent.heads();
        let taken = match ask {
            Ask::Read { handle, offset, len } => {
                self.client.request(Read { handle: &handle, offset, len }, token, heads)
            }
            Ask::ReadInto { handle, offset, len, target } => {
                token.into = Some(IntoFile::new(target, offset, len));
                self.client.request(Read { handle: &handle, offset, len }, token, heads)
            }
            Ask::Write { handle, offset, data } => {
                // A buffer holds one block, far below 4 GiB.
                let len = data.len() as u32;
                let taken = self.client.write_head(&handle, offset, len, token, heads);
                match taken {
                    Ok(_) => self.unsent.push_body(data),
                    Err(_) => drop(self.unsent_len.fetch_sub(data.len(), Ordering::Relaxed)),
                }
                taken
            }
            Ask::WriteFrom { handle, offset, len, source } => {
                self.from_file = Some(FromFile::new(handle, offset, len, source, token));
                return;
            }
            Ask::Encoded(packet) => self.client.request_encoded(&packet, token, heads),
        };
        if let Err(refused) = taken {
            self.timing.answered(is_long);
            refuse(refused.0);
        }
    }

    /// What is to be written next: encoded requests, then file bytes. `None`: everything is sent.
    pub(crate) fn front(&self) -> Option<[&[u8]; 2]> {
        self.unsent.front()
    }

    /// `len` bytes of [`front`](Self::front) are written.
    pub(crate) fn advance(&mut self, len: usize) {
        let before = self.unsent.bodies_len();
        self.unsent.advance(len);
        self.unsent_len.fetch_sub(before - self.unsent.bodies_len(), Ordering::Relaxed);
        self.timing.active();
    }

    /// How many bytes must be sent at once next.
    pub(crate) fn next_len(&self) -> Option<usize> {
        self.in_file_len().or_else(|| self.front().map(|_| 1))
    }

    /// The peer has given this much credit that is not used.
    pub(crate) fn note_credit(&mut self, credit: usize) {
        self.credit_max = self.credit_max.max(credit);
    }

    /// Whether credit for `len` bytes at once will come although there is less: so much was there, and the peer
    /// works on what was sent. Twice as much, because many give credit only when half of it is used.
    pub(crate) fn expects_credit(&self, len: usize) -> bool {
        self.credit_max >= 2 * len && self.client.outstanding() > 0
    }

    /// Says whether the peer must give credit before anything can be written.
    pub(crate) fn note_window(&mut self, is_full: bool) {
        let now = Instant::now();
        if let Some(since) = self.window_full_since.take() {
            let nanos = now.saturating_duration_since(since).as_nanos();
            // Centuries fit.
            self.window_full.fetch_add(nanos as u64, Ordering::Relaxed);
        }
        self.window_full_since = is_full.then_some(now);
    }

    /// Takes bytes of the stream, in pieces of any size, and hands complete replies on.
    ///
    /// # Errors
    /// [`Error::Peer`]: lengths that cannot be, replies that nobody asked for or that make no sense;
    /// [`Error::NotSftp`]: text before VERSION. The channel is over.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.timing.active();
        loop {
            while self.pass_data(&mut bytes)? {
                if bytes.is_empty() {
                    return Ok(());
                }
            }
            let Some(frame) = self.assembler.next(&mut bytes).map_err(not_a_frame)? else {
                return Ok(());
            };
            match self.client.accept(&frame).map_err(|e| Error::peer(e.to_string()))? {
                Incoming::Version(version) => {
                    if let Some(waiting) = self.greeting.take() {
                        drop(waiting.send(Ok(Greeting::of(&version))));
                    }
                }
                Incoming::Reply { token, .. } => {
                    self.timing.answered(token.is_long);
                    if let Some(undelivered) = deliver(token, frame, &self.pool)?
                        && let Reply::Handle(reply) = undelivered.reply()?
                    {
                        // Whoever opened it went away meanwhile, and nobody else knows the handle.
                        let close = Close { handle: reply.handle };
                        self.take(super::call(close.into(), ReplyTo::Nobody));
                    }
                }
            }
        }
    }

    /// When to give up if nothing comes from the server until then.
    pub(crate) fn silence_deadline(&self) -> Option<Instant> {
        let waits = self.greeting.is_some() || self.client.outstanding() > 0;
        waits.then(|| self.timing.deadline())
    }

    /// Whether nobody can ask any more and everything is answered.
    pub(crate) fn is_finished(&self) -> bool {
        self.calls_ended
            && self.from_file.is_none()
            && self.unsent.len() == 0
            && self.client.outstanding() == 0
    }

    /// Ends everything with `error`: whoever waits or asks later gets it.
    pub(crate) fn fail(&mut self, error: &Error) {
        let _ = self.failure.set(error.clone());
        self.refuse_calls(error);
        self.timing.ended();
        if let Some(write) = self.from_file.take() {
            write.fail(error.clone());
        }
        for pending in self.client.drain() {
            pending.reply_to.send(Err(error.clone()));
        }
        if let Some(greeting) = self.greeting.take() {
            drop(greeting.send(Err(error.clone())));
        }
        self.calls_ended = true;
        self.unsent = Unsent::default();
    }

    /// Nobody gets into the queue any more, and whoever is in it gets `error`. Who has a place in it already and
    /// not yet come (two steps of one call, on another thread) is waited for: it would wait for ever.
    fn refuse_calls(&mut self, error: &Error) {
        self.calls.close();
        for _ in 0..COMING_TURNS {
            while let Ok(call) = self.calls.try_recv() {
                call.reply_to.send(Err(error.clone()));
            }
            if self.calls.capacity() == self.calls.max_capacity() {
                return;
            }
            std::thread::yield_now();
        }
    }

    /// The error of a server that fell silent.
    pub(crate) fn silence_error(&self) -> Error {
        let seconds = self.timing.silence_max().as_secs();
        Error::Interrupted {
            doing: "wait for the server",
            why: format!("no answer for {seconds} seconds"),
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.fail(&Error::Interrupted {
            doing: "use SFTP",
            why: "the connection is closed".into(),
        });
    }
}

/// `has_room` was asked before, so this does not happen; if it did, nobody would wait for ever.
pub(super) fn refuse(pending: Pending) {
    let why = "too many requests at once".into();
    pending.reply_to.send(Err(Error::Interrupted { doing: "use SFTP", why }));
}

fn not_a_frame(error: FrameError) -> Error {
    match error {
        FrameError::Text(printed) => Error::NotSftp { printed },
        error => Error::peer(error.to_string()),
    }
}

/// Hands a reply to whoever waits, in a buffer of its own. It comes back if the waiter is gone.
pub(super) fn deliver(
    pending: Pending,
    frame: WireFrame<'_>,
    pool: &BufferPool,
) -> Result<Option<Frame>, Error> {
    if frame.len() > pending.reply_len_max {
        let (len, max) = (frame.len(), pending.reply_len_max);
        let error =
            Error::peer(format!("a reply of {len} bytes where {max} were expected at most"));
        pending.reply_to.send(Err(error.clone()));
        return Err(error);
    }
    let written = pending.into.as_ref().map_or(0, IntoFile::written);
    let bytes = match frame {
        _ if matches!(pending.reply_to, ReplyTo::Nobody) => return Ok(None),
        WireFrame::Assembled(bytes) => pool.take_content(bytes),
        WireFrame::Lent(bytes) => {
            let mut buffer = pool.take(bytes.len());
            buffer.extend_from_slice(bytes);
            buffer
        }
    };
    Ok(pending.reply_to.send(Ok(Frame { bytes, written })).and_then(Result::ok))
}
