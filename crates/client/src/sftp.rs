//! One SFTP channel: every operation of version 3 and of the extensions, as async methods.
//!
//! [`Sftp`] is a cheap handle; clones share the channel, and any number of requests may be in flight.
//! Dropping a future is always safe: what it asked for may still happen, its late reply is dropped.
//! Paths are bytes; relative ones count from where the login starts.

mod buffer;
mod dir;
mod engine;
mod extensions;
mod file;
mod from_file;
mod glob;
mod into_file;
mod over;
mod paths;
mod reader;
#[cfg(test)]
pub(crate) mod script;
#[cfg(test)]
mod tests;
mod timing;
mod unsent;
mod xattr;

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use sterna_sftp_proto::extension::{
    Extended, Extension, Limits as LimitsRequest, LimitsReply, PosixAttrsRequest,
};
use sterna_sftp_proto::limits::REPLY_PACKET_LEN_MAX;
use sterna_sftp_proto::messages::ExtensionPairs;
use sterna_sftp_proto::{Reply, Request, StatusCode};
use sterna_sshwire::Reader;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Duration;

pub use buffer::Buffer;
pub use dir::{Dir, Entry, FileKind};
pub use extensions::{BlockDigests, DataRanges, SpaceAvailable, StatVfs};
pub use file::{File, OpenOptions, ReadData};
pub use paths::RenameOutcome;
pub use reader::FileReader;

pub(crate) use buffer::BufferPool;
pub(crate) use dir::check_name;
pub(crate) use engine::{Ask, Call, Engine, EngineHandle, Frame, ReplyTo};
pub(crate) use from_file::BlockSource;
pub(crate) use glob::joined;
pub(crate) use into_file::BlockTarget;

use engine::Greeting;

use crate::limits::{IO_LEN_MAX, IO_LEN_MIN, IO_LEN_SAFE, SFTP_SILENCE_MAX};
use crate::{Error, Refusal};

/// Attributes of a remote file; see [`sterna_sftp_proto::Attrs`].
pub type Attrs = sterna_sftp_proto::Attrs<'static>;

/// How an SFTP channel is used.
#[derive(Clone, Debug)]
pub struct SftpOptions {
    /// Silence of the server, with requests outstanding, after which the channel is given up;
    /// longer for those that may take long (`limits::SFTP_LONG_SILENCE_MAX`).
    pub silence_max: Duration,
    /// Bytes of one READ or WRITE at most; less if the server says so.
    pub io_len_max: u32,
    /// The server reads SYMLINK in the draft's order, link first, even if it does not say so in
    /// its VERSION. A [`Session`](crate::Session) knows by the server's name.
    pub draft_symlinks: bool,
}

impl Default for SftpOptions {
    fn default() -> Self {
        Self { silence_max: SFTP_SILENCE_MAX, io_len_max: IO_LEN_MAX, draft_symlinks: false }
    }
}

/// What one request may ask for (CLT-2), in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    pub read_len: u32,
    pub write_len: u32,
    /// 0: not said.
    pub open_handles: u64,
}

/// A handle to one SFTP channel.
#[derive(Clone)]
pub struct Sftp {
    inner: Arc<Inner>,
}

struct Inner {
    calls: mpsc::Sender<Call>,
    pool: BufferPool,
    failure: Arc<OnceLock<Error>>,
    window_full: Arc<AtomicU64>,
    round_trip: Arc<AtomicU64>,
    unsent: Arc<AtomicUsize>,
    greeting: Greeting,
    limits: Limits,
    /// Attributes carry what `posix-attrs@sterna-sftp` adds.
    exact_attrs: bool,
}

/// What a server is asked before VERSION has come and says that it may be: one round trip less. Only for
/// servers that are known to answer what they do not know with a refusal.
#[derive(Default)]
pub(crate) struct Questions {
    limits: Option<oneshot::Receiver<Result<Frame, Error>>>,
    exact_attrs: Option<oneshot::Receiver<Result<Frame, Error>>>,
}

impl Questions {
    /// Adds the question for the limits.
    pub(crate) fn limits(self, handle: &EngineHandle) -> Self {
        Self { limits: ask_early(handle, limits_request()), ..self }
    }

    /// Adds the question for exact attributes.
    pub(crate) fn exact_attrs(self, handle: &EngineHandle) -> Self {
        Self { exact_attrs: ask_early(handle, exact_attrs_request()), ..self }
    }
}

fn limits_request() -> Request<'static> {
    Extended::Limits(LimitsRequest::new()).into()
}

fn exact_attrs_request() -> Request<'static> {
    Extended::from(PosixAttrsRequest::new()).into()
}

fn ask_early(
    handle: &EngineHandle,
    request: Request<'_>,
) -> Option<oneshot::Receiver<Result<Frame, Error>>> {
    let (reply_to, reply) = oneshot::channel();
    // The queue is empty yet.
    handle.calls.try_send(call(request, ReplyTo::One(reply_to))).ok().map(|()| reply)
}

impl Sftp {
    /// Starts SFTP on any byte stream that an SFTP server serves, for example the pipes of
    /// `sftp-server`. Spawns a task on the current tokio runtime; it ends when the last handle is dropped.
    ///
    /// # Errors
    /// [`Error::Peer`] if it is not SFTP version 3 or later, [`Error::Interrupted`] if it ends.
    pub async fn over<IO>(io: IO, options: SftpOptions) -> Result<Self, Error>
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (engine, handle) = Engine::new(options.silence_max);
        tokio::spawn(over::run(io, engine));
        Self::start(handle, Questions::default(), &options).await
    }

    /// Waits for VERSION, then asks for the limits (CLT-1, CLT-2) and for exact attributes, as far as they are
    /// offered, in one round trip.
    pub(crate) async fn start(
        handle: EngineHandle,
        asked: Questions,
        options: &SftpOptions,
    ) -> Result<Self, Error> {
        let lost =
            || Error::Interrupted { doing: "start SFTP", why: "the connection ended".into() };
        let mut greeting = handle.greeting.await.map_err(|_| lost())??;
        greeting.draft_symlinks |= options.draft_symlinks;
        let ours = options.io_len_max.clamp(IO_LEN_MIN as u32, IO_LEN_MAX);
        let safe = ours.min(IO_LEN_SAFE);
        let mut inner = Inner {
            calls: handle.calls,
            pool: handle.pool,
            failure: handle.failure,
            window_full: handle.window_full,
            round_trip: handle.round_trip,
            unsent: handle.unsent,
            greeting,
            limits: Limits { read_len: safe, write_len: safe, open_handles: 0 },
            exact_attrs: false,
        };
        let exact =
            match (inner.greeting.offered.contains(Extension::PosixAttrs), asked.exact_attrs) {
                (true, None) => Some(inner.begin(exact_attrs_request()).await?),
                (true, asked) => asked,
                (false, _) => None,
            };
        if inner.greeting.offered.contains(Extension::Limits) {
            let limits = match asked.limits {
                Some(asked) => asked,
                None => inner.begin(limits_request()).await?,
            };
            let frame = limits.await.unwrap_or_else(|_| Err(inner.ended()))?;
            // A refusal here only means that we stay careful.
            if let Reply::ExtendedReply(reply) = frame.reply()? {
                let theirs =
                    LimitsReply::decode(&mut Reader::new(reply.data)).map_err(unreadable)?;
                inner.limits = Limits {
                    read_len: theirs.usable_read_len().min(ours),
                    write_len: theirs.usable_write_len().min(ours),
                    open_handles: theirs.open_handles_max,
                };
            }
        }
        if let Some(exact) = exact {
            let frame = exact.await.unwrap_or_else(|_| Err(inner.ended()))?;
            inner.exact_attrs =
                matches!(frame.reply()?, Reply::Status(status) if status.code == StatusCode::Ok);
        }
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Whether attributes carry times to the nanosecond, a file id and a link count: see
    /// [`modified_nanos`](sterna_sftp_proto::Attrs::modified_nanos) and its neighbours. Only our own
    /// servers offer it (`posix-attrs@sterna-sftp`).
    pub fn has_exact_attrs(&self) -> bool {
        self.inner.exact_attrs
    }

    /// The attributes that this server can be asked to set.
    fn sendable(&self, attrs: &Attrs) -> Attrs {
        Attrs { posix: attrs.posix.filter(|_| self.has_exact_attrs()), ..*attrs }
    }

    /// Whether the channel has ended: every request fails from now on.
    pub fn is_closed(&self) -> bool {
        self.inner.calls.is_closed()
    }

    /// Whether both are handles to one channel.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// File bytes of WRITEs that wait in this process.
    pub(crate) fn unsent_len(&self) -> usize {
        self.inner.unsent.load(Ordering::Relaxed)
    }

    /// The shortest time in which a request was answered: the path, and what the server did at least.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let nanos = self.inner.round_trip.load(Ordering::Relaxed);
        (nanos != u64::MAX).then(|| Duration::from_nanos(nanos))
    }

    /// For how long in all bytes waited because the window of the SSH channel was full.
    pub(crate) fn window_full_time(&self) -> Duration {
        Duration::from_nanos(self.inner.window_full.load(Ordering::Relaxed))
    }

    /// As if the window of its channel had been full for so long.
    #[cfg(test)]
    pub(crate) fn note_window_full(&self, time: Duration) {
        self.inner.window_full.fetch_add(time.as_nanos() as u64, Ordering::Relaxed);
    }

    pub fn limits(&self) -> Limits {
        self.inner.limits
    }

    /// Whether the server announced this extension in the version that we know (XTN-2), for
    /// example `posix-rename@openssh.com`.
    pub fn offers(&self, name: &str) -> bool {
        let mut rows = sterna_sftp_proto::extension::EXTENSIONS.iter();
        rows.any(|row| row.announced == name && self.inner.greeting.offered.contains(row.extension))
    }

    /// Everything that the server announced: names and values, as bytes, in the order of the announcement.
    pub fn announced(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        // They were read before.
        ExtensionPairs::from_wire(&self.inner.greeting.announced).unwrap_or_default().iter()
    }

    pub(crate) fn has(&self, extension: Extension) -> bool {
        self.inner.greeting.offered.contains(extension)
    }

    pub(crate) fn pool(&self) -> &BufferPool {
        &self.inner.pool
    }

    /// Sends one request; its reply may be waited for later.
    async fn begin(&self, request: Request<'_>) -> Result<Waiting, Error> {
        self.begin_call(|reply_to| call(request, reply_to)).await
    }

    async fn begin_call(&self, call: impl FnOnce(ReplyTo) -> Call) -> Result<Waiting, Error> {
        let (reply_to, reply) = oneshot::channel();
        self.submit(call(ReplyTo::One(reply_to))).await?;
        Ok(Waiting { inner: self.inner.clone(), reply })
    }

    /// Sends one request and waits for its reply.
    async fn ask(&self, request: Request<'_>) -> Result<Frame, Error> {
        self.begin(request).await?.frame().await
    }

    /// Queues a call whose reply goes elsewhere.
    pub(crate) async fn submit(&self, call: Call) -> Result<(), Error> {
        self.inner.submit(call).await
    }

    /// Sends without waiting, for what is dropped. If the queue is full, a task waits instead;
    /// outside of a runtime it is lost, and the channel's end frees it.
    pub(crate) fn send_and_forget(&self, request: Request<'_>) {
        let calls = &self.inner.calls;
        if let Err(TrySendError::Full(call)) = calls.try_send(call(request, ReplyTo::Nobody))
            && let Ok(runtime) = Handle::try_current()
        {
            let calls = calls.clone();
            runtime.spawn(async move { drop(calls.send(call).await) });
        }
    }

    /// A request whose answer is a bare STATUS.
    async fn ask_status(
        &self,
        request: Request<'_>,
        doing: &'static str,
        path: &[u8],
    ) -> Result<(), Error> {
        let frame = self.ask(request).await?;
        match frame.reply()? {
            Reply::Status(status) if status.code == StatusCode::Ok => Ok(()),
            other => Err(refused(other, doing, path)),
        }
    }

    /// A request of an extension; it must be offered.
    async fn ask_extended(
        &self,
        extension: Extension,
        request: Extended<'_>,
        doing: &'static str,
    ) -> Result<Frame, Error> {
        if !self.has(extension) {
            return Err(Error::Unsupported { doing, extension: extension.row().announced });
        }
        self.ask(request.into()).await
    }
}

/// The reply to a request that is under way. Requests reach the server in the order in which they
/// were begun; it treats those for one file in that order (draft-02 §6.1).
pub(crate) struct Waiting {
    inner: Arc<Inner>,
    reply: oneshot::Receiver<Result<Frame, Error>>,
}

impl Waiting {
    pub(crate) async fn frame(self) -> Result<Frame, Error> {
        self.reply.await.unwrap_or_else(|_| Err(self.inner.ended()))
    }
}

impl Inner {
    async fn begin(
        &self,
        request: Request<'_>,
    ) -> Result<oneshot::Receiver<Result<Frame, Error>>, Error> {
        let (reply_to, reply) = oneshot::channel();
        self.submit(call(request, ReplyTo::One(reply_to))).await?;
        Ok(reply)
    }

    async fn submit(&self, call: Call) -> Result<(), Error> {
        let len = match &call.ask {
            Ask::Write { data, .. } => data.len(),
            Ask::WriteFrom { len, .. } => *len,
            _ => 0,
        };
        if len > 0 {
            self.unsent.fetch_add(len, Ordering::Relaxed);
        }
        self.calls.send(call).await.map_err(|_| self.ended())
    }

    fn ended(&self) -> Error {
        let closed =
            || Error::Interrupted { doing: "use SFTP", why: "the connection is closed".into() };
        self.failure.get().cloned().unwrap_or_else(closed)
    }
}

/// A call of any request but those that move file bytes.
fn call(request: Request<'_>, reply_to: ReplyTo) -> Call {
    let mut packet = Vec::with_capacity(64);
    request.encode(0, &mut packet);
    let (ask, is_long) = (Ask::Encoded(packet), may_take_long(&request));
    Call { ask, reply_len_max: REPLY_PACKET_LEN_MAX, is_long, reply_to }
}

/// Requests that move or read a whole file at the server. CLOSE and RENAME do so where files are
/// objects of a remote store.
fn may_take_long(request: &Request<'_>) -> bool {
    match request {
        Request::Close(_) | Request::Rename(_) => true,
        Request::Extended(extended) => matches!(
            extended,
            Extended::Fsync(_)
                | Extended::CopyData(_)
                | Extended::CheckFileHandle(_)
                | Extended::CheckFileName(_)
                | Extended::Md5Hash(_)
                | Extended::Md5HashHandle(_)
                | Extended::PosixRename(_)
        ),
        _ => false,
    }
}

/// A reply that is not what was asked for: a refusal, or nonsense.
pub(crate) fn refused(reply: Reply<'_>, doing: &'static str, path: &[u8]) -> Error {
    match reply {
        Reply::Status(status) if status.code != StatusCode::Ok => Error::Refused {
            doing,
            path: path.to_vec(),
            refusal: Refusal {
                code: status.code.number(),
                text: String::from_utf8_lossy(&status.message[..status.message.len().min(4096)])
                    .into_owned(),
            },
        },
        Reply::Status(_) => Error::peer(format!("{doing}: success without a result")),
        _ => Error::peer(format!("{doing}: a reply of another kind")),
    }
}

pub(crate) fn unreadable(error: sterna_sshwire::DecodeError) -> Error {
    Error::peer(format!("a reply that cannot be read: {error}"))
}
