//! The engine of one SFTP channel: requests in, numbered frames out, replies to whoever waits.
//!
//! It does no I/O: the task that owns the byte stream (an SSH connection, a pair of pipes) calls
//! [`Engine::poll_calls`], writes what [`Engine::front`] shows, and feeds [`Engine::receive`]. File
//! bytes are never gathered: a WRITE is its header and the caller's buffer; a DATA reply is
//! assembled once, in a buffer that its waiter then owns.
//!
//! A waiter that went away costs nothing: its late reply is read and dropped (CLT-14).

use std::collections::{HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use sterna_sftp_proto::Reply;
use sterna_sftp_proto::frame::put_frame;
use sterna_sftp_proto::messages::{ExtensionPairs, Init, VERSION};
use sterna_sshwire::Reader;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Duration, Instant};

use super::buffer::{Buffer, BufferPool};
use crate::Error;
use crate::limits::{PACKET_LEN_MAX, SFTP_OUTSTANDING_MAX, SFTP_QUEUE_LEN, SFTP_UNSENT_LEN_MAX};

/// Where the request id stands in an encoded request: behind length and type.
const ID_AT: Range<usize> = 5..9;
/// A reply holds at least a type and an id; VERSION a type and a number.
const FRAME_LEN_MIN: usize = 5;

/// A complete packet without its length word.
#[derive(Debug)]
pub(crate) struct Frame(pub(crate) Buffer);

impl Frame {
    /// Decodes the reply behind type and id.
    pub(crate) fn reply(&self) -> Result<Reply<'_>, Error> {
        let (wire_type, body) = self.split();
        match Reply::decode(wire_type, &mut Reader::new(body)) {
            Some(Ok(reply)) => Ok(reply),
            Some(Err(error)) => Err(Error::peer(format!("a reply that cannot be read: {error}"))),
            None => Err(Error::peer(format!("a reply of unknown type {wire_type}"))),
        }
    }

    /// The type and what is behind the id.
    pub(crate) fn split(&self) -> (u8, &[u8]) {
        (self.0.first().copied().unwrap_or(0), self.0.get(FRAME_LEN_MIN..).unwrap_or_default())
    }
}

/// A request on its way to the engine.
pub(crate) struct Call {
    /// The encoded packet, its id still zero; with a body, everything before the body.
    pub(crate) head: Vec<u8>,
    /// File bytes that follow the head.
    pub(crate) body: Option<Buffer>,
    /// Longest reply that makes sense, in bytes without the length word; longer is the peer's fault.
    pub(crate) reply_len_max: usize,
    pub(crate) reply_to: ReplyTo,
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
    fn send(self, result: Result<Frame, Error>) {
        // A receiver that is gone has given up; its reply is dropped.
        match self {
            Self::One(sender) => drop(sender.send(result)),
            Self::Tagged(tag, sender) => drop(sender.send((tag, result))),
            Self::Nobody => {}
        }
    }
}

struct Unsent {
    head: Vec<u8>,
    body: Option<Buffer>,
    sent: usize,
}

impl Unsent {
    fn len(&self) -> usize {
        self.head.len() + self.body.as_ref().map_or(0, |b| b.len())
    }
}

struct Pending {
    reply_to: ReplyTo,
    reply_len_max: usize,
}

/// What the handle side keeps of an engine.
pub(crate) struct EngineHandle {
    pub(crate) calls: mpsc::Sender<Call>,
    pub(crate) version: oneshot::Receiver<Result<Frame, Error>>,
    pub(crate) pool: BufferPool,
    /// Why the channel ended, once it has.
    pub(crate) failure: Arc<OnceLock<Error>>,
}

/// See the module.
pub(crate) struct Engine {
    calls: mpsc::Receiver<Call>,
    calls_ended: bool,
    unsent: VecDeque<Unsent>,
    unsent_len: usize,
    pending: HashMap<u32, Pending>,
    next_id: u32,
    version: Option<oneshot::Sender<Result<Frame, Error>>>,
    incoming: Incoming,
    pool: BufferPool,
    failure: Arc<OnceLock<Error>>,
    last_activity: Instant,
    silence_max: Duration,
}

impl Engine {
    /// An engine whose first packet, INIT, is ready to be sent.
    pub(crate) fn new(silence_max: Duration) -> (Self, EngineHandle) {
        let (calls_in, calls) = mpsc::channel(SFTP_QUEUE_LEN);
        let (version_in, version) = oneshot::channel();
        let pool = BufferPool::default();
        let failure = Arc::new(OnceLock::new());
        let mut head = Vec::new();
        let init = Init { version: VERSION, extensions: ExtensionPairs::default() };
        put_frame(&mut head, Init::TYPE, None, |out| init.encode(out));
        let engine = Self {
            calls,
            calls_ended: false,
            unsent_len: head.len(),
            unsent: VecDeque::from([Unsent { head, body: None, sent: 0 }]),
            pending: HashMap::new(),
            next_id: 1,
            version: Some(version_in),
            incoming: Incoming::default(),
            pool: pool.clone(),
            failure: failure.clone(),
            last_activity: Instant::now(),
            silence_max,
        };
        (engine, EngineHandle { calls: calls_in, version, pool, failure })
    }

    /// Takes waiting requests as far as there is room for them.
    pub(crate) fn poll_calls(&mut self, cx: &mut Context<'_>) {
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
            && self.unsent_len < SFTP_UNSENT_LEN_MAX
            && self.pending.len() < SFTP_OUTSTANDING_MAX
    }

    fn take(&mut self, mut call: Call) {
        let mut id = self.next_id;
        // An id may be used again only after its reply (FRM-4); the table is far smaller than 2^32.
        while self.pending.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        self.next_id = id.wrapping_add(1);
        call.head[ID_AT].copy_from_slice(&id.to_be_bytes());
        if self.pending.is_empty() {
            self.last_activity = Instant::now();
        }
        self.pending
            .insert(id, Pending { reply_to: call.reply_to, reply_len_max: call.reply_len_max });
        let unsent = Unsent { head: call.head, body: call.body, sent: 0 };
        self.unsent_len += unsent.len();
        self.unsent.push_back(unsent);
    }

    /// What is to be written next: the rest of a head and of its body.
    pub(crate) fn front(&self) -> Option<[&[u8]; 2]> {
        let unsent = self.unsent.front()?;
        let body = unsent.body.as_ref().map_or(&[][..], |b| b.as_slice());
        Some(match unsent.head.get(unsent.sent..) {
            Some(head) => [head, body],
            None => [&[], &body[unsent.sent - unsent.head.len()..]],
        })
    }

    /// `len` bytes of [`front`](Self::front) are written.
    pub(crate) fn advance(&mut self, len: usize) {
        let Some(unsent) = self.unsent.front_mut() else { return };
        unsent.sent += len;
        self.unsent_len -= len;
        self.last_activity = Instant::now();
        if unsent.sent >= unsent.len() {
            self.unsent.pop_front();
        }
    }

    /// Takes bytes of the stream, in pieces of any size, and hands complete replies on.
    ///
    /// # Errors
    /// [`Error::Peer`]: lengths that cannot be, replies that nobody asked for. The channel is over.
    pub(crate) fn receive(&mut self, mut bytes: &[u8]) -> Result<(), Error> {
        self.last_activity = Instant::now();
        while !bytes.is_empty() {
            let waiting = self.version.is_some();
            if let Some(frame) = self.incoming.take(&mut bytes, &self.pool, waiting)? {
                self.deliver(frame)?;
            }
        }
        Ok(())
    }

    fn deliver(&mut self, frame: Frame) -> Result<(), Error> {
        if let Some(version) = self.version.take() {
            drop(version.send(Ok(frame)));
            return Ok(());
        }
        let id = frame.0.get(1..5).and_then(|b| b.try_into().ok()).map(u32::from_be_bytes);
        let pending = id.and_then(|id| self.pending.remove(&id));
        let Some(pending) = pending else {
            return Err(Error::peer(format!(
                "a reply to request {}, which was not asked",
                id.unwrap_or(0)
            )));
        };
        if frame.0.len() > pending.reply_len_max {
            let error = Error::peer(format!(
                "a reply of {} bytes where {} were expected at most",
                frame.0.len(),
                pending.reply_len_max
            ));
            pending.reply_to.send(Err(error.clone()));
            return Err(error);
        }
        pending.reply_to.send(Ok(frame));
        Ok(())
    }

    /// When to give up if nothing comes from the server until then.
    pub(crate) fn silence_deadline(&self) -> Option<Instant> {
        let waits = self.version.is_some() || !self.pending.is_empty();
        waits.then(|| self.last_activity + self.silence_max)
    }

    /// Whether nobody can ask any more and everything is answered.
    pub(crate) fn is_finished(&self) -> bool {
        self.calls_ended && self.unsent.is_empty() && self.pending.is_empty()
    }

    /// Ends everything with `error`: whoever waits or asks later gets it.
    pub(crate) fn fail(&mut self, error: &Error) {
        let _ = self.failure.set(error.clone());
        self.calls.close();
        while let Ok(call) = self.calls.try_recv() {
            call.reply_to.send(Err(error.clone()));
        }
        for (_, pending) in self.pending.drain() {
            pending.reply_to.send(Err(error.clone()));
        }
        if let Some(version) = self.version.take() {
            drop(version.send(Err(error.clone())));
        }
        self.calls_ended = true;
        self.unsent.clear();
        self.unsent_len = 0;
    }

    /// The error of a server that fell silent.
    pub(crate) fn silence_error(&self) -> Error {
        let seconds = self.silence_max.as_secs();
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

/// The packet that is being put together.
#[derive(Default)]
struct Incoming {
    /// The length word, as far as it is there.
    length: [u8; 4],
    length_len: usize,
    frame: Option<(Buffer, usize)>,
}

impl Incoming {
    fn take(
        &mut self,
        bytes: &mut &[u8],
        pool: &BufferPool,
        first: bool,
    ) -> Result<Option<Frame>, Error> {
        while self.length_len < self.length.len() {
            let Some((byte, rest)) = bytes.split_first() else { return Ok(None) };
            self.length[self.length_len] = *byte;
            self.length_len += 1;
            *bytes = rest;
        }
        if self.frame.is_none() {
            let len = u32::from_be_bytes(self.length) as usize;
            if !(FRAME_LEN_MIN..=PACKET_LEN_MAX).contains(&len) {
                return Err(self.bad_length(len, bytes, first));
            }
            self.frame = Some((pool.take(len), len));
        }
        let Some((frame, len)) = &mut self.frame else { return Ok(None) };
        let (now, later) = bytes.split_at(bytes.len().min(*len - frame.len()));
        frame.extend_from_slice(now);
        *bytes = later;
        if frame.len() < *len {
            return Ok(None);
        }
        self.length_len = 0;
        Ok(self.frame.take().map(|(frame, _)| Frame(frame)))
    }

    /// A start-up file that prints text is the usual cause of an impossible first length (FRM-10).
    fn bad_length(&self, len: usize, rest: &[u8], first: bool) -> Error {
        let printable = |b: &u8| b.is_ascii_graphic() || matches!(b, b' ' | b'\t' | b'\r' | b'\n');
        if first && self.length.iter().all(printable) {
            let text = [&self.length[..], rest].concat();
            let line = text.split(|b| *b == b'\n').next().unwrap_or_default();
            let line = crate::display_name(&line[..line.len().min(200)]);
            return Error::peer(format!("before SFTP began, the server printed \"{line}\""));
        }
        Error::peer(format!("a packet of {len} bytes"))
    }
}
