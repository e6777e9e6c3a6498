//! A client that drives an [`SftpSession`] in memory: requests in odd pieces, replies through a
//! sink of any size.
#![allow(dead_code)] // each test binary uses a part

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use sterna_server::sftp::{Progress, Resources, SessionPolicy, SftpSession, VecSink};
use sterna_sftp_proto::extension::Extended;
use sterna_sftp_proto::frame::FrameAssembler;
use sterna_sftp_proto::messages::{Close, Open, Opendir, Read, Stat, Write};
use sterna_sftp_proto::{Attrs, OpenFlags, Reply, Request, StatusCode};
use sterna_sshwire::Reader;
use sterna_storage::{Backend, Memory};

/// A test that waits longer than this for one reply has found a lost wake-up.
const PATIENCE: Duration = Duration::from_secs(30);

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker for this thread, which then waits with [`thread::park`].
pub fn thread_waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// One reply, its id taken off: type byte, then body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub id: u32,
    pub wire_type: u8,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn decode(&self) -> Reply<'_> {
        Reply::decode(self.wire_type, &mut Reader::new(&self.body)).unwrap().unwrap()
    }

    /// The status code; panics on any other reply.
    pub fn status(&self) -> StatusCode {
        match self.decode() {
            Reply::Status(status) => status.code,
            other => panic!("not a status: {other:?}"),
        }
    }

    pub fn handle(&self) -> Vec<u8> {
        match self.decode() {
            Reply::Handle(handle) => handle.handle.to_vec(),
            other => panic!("not a handle: {other:?}"),
        }
    }

    pub fn data(&self) -> Vec<u8> {
        match self.decode() {
            Reply::Data(data) => data.data.to_vec(),
            other => panic!("not data: {other:?}"),
        }
    }

    pub fn name(&self) -> Vec<u8> {
        match self.decode() {
            Reply::Name(name) => name.only().unwrap().to_vec(),
            other => panic!("not a name: {other:?}"),
        }
    }

    pub fn attrs(&self) -> Attrs<'_> {
        match self.decode() {
            Reply::Attrs(attrs) => attrs,
            other => panic!("not attributes: {other:?}"),
        }
    }

    pub fn extended(&self) -> Vec<u8> {
        match self.decode() {
            Reply::ExtendedReply(reply) => reply.data.to_vec(),
            other => panic!("not an extended reply: {other:?}"),
        }
    }
}

/// The client's side of one session.
pub struct Peer {
    pub session: SftpSession,
    waker: Waker,
    sink: VecSink,
    /// Bytes of input handed over at a time.
    pub piece_len: usize,
    assembler: FrameAssembler,
    pub answers: VecDeque<Answer>,
    pub version: Option<Vec<u8>>,
    pub next_id: u32,
    pub sent: usize,
    pub consumed: usize,
    pub finished: Option<u32>,
}

impl Peer {
    pub fn new(backend: Arc<dyn Backend>, policy: SessionPolicy) -> Self {
        Self::with(backend, policy, &Resources::new(2), usize::MAX, 1 << 20)
    }

    pub fn on_memory() -> Self {
        Self::new(Arc::new(Memory::new()), SessionPolicy::default())
    }

    /// With input in pieces of `piece_len` bytes and a sink of `room` bytes.
    pub fn with(
        backend: Arc<dyn Backend>,
        policy: SessionPolicy,
        resources: &Resources,
        piece_len: usize,
        room: usize,
    ) -> Self {
        let mut peer = Self {
            session: SftpSession::new(backend, policy, resources),
            waker: thread_waker(),
            sink: VecSink::new(room),
            piece_len,
            assembler: FrameAssembler::for_client(),
            answers: VecDeque::new(),
            version: None,
            next_id: 0,
            sent: 0,
            consumed: 0,
            finished: None,
        };
        peer.give(&[0, 0, 0, 5, 1, 0, 0, 0, 3]);
        while peer.version.is_none() {
            peer.turn();
        }
        peer
    }

    /// Hands bytes over without waiting for anything.
    pub fn give(&mut self, bytes: &[u8]) {
        self.sent += bytes.len();
        for piece in bytes.chunks(self.piece_len) {
            self.session.handle_data(piece);
        }
    }

    /// Lets the session work once and takes what it sends.
    pub fn turn(&mut self) -> Progress {
        let progress = self.work();
        self.take_sent();
        progress
    }

    /// Lets the session work once; what it sends stays in the sink, as with a peer that does not
    /// read.
    pub fn work(&mut self) -> Progress {
        let mut cx = Context::from_waker(&self.waker);
        let progress = self.session.poll(&mut cx, &mut self.sink);
        self.consumed += progress.consumed;
        self.finished = self.finished.or(progress.finished);
        progress
    }

    fn take_sent(&mut self) {
        let mut bytes = self.sink.bytes();
        while let Some(frame) = self.assembler.next(&mut bytes).unwrap() {
            if frame[0] == 2 {
                self.version = Some(frame[1..].to_vec());
                continue;
            }
            let id = u32::from_be_bytes(frame[1..5].try_into().unwrap());
            let (wire_type, body) = (frame[0], frame[5..].to_vec());
            self.answers.push_back(Answer { id, wire_type, body });
        }
        self.sink.clear();
    }

    /// Waits until `done` says so.
    pub fn wait_until(&mut self, done: impl Fn(&Self) -> bool) {
        loop {
            let before = self.answers.len();
            self.turn();
            if done(self) {
                return;
            }
            if self.answers.len() == before && self.session_is_quiet() {
                let since = Instant::now();
                thread::park_timeout(PATIENCE);
                assert!(since.elapsed() < PATIENCE, "nobody woke the session");
            }
        }
    }

    /// Nothing came out of the last turn that would make another one useful.
    fn session_is_quiet(&mut self) -> bool {
        let before = self.answers.len();
        let progress = self.work();
        let quiet = self.sink.bytes().is_empty() && progress == Progress::default();
        self.take_sent();
        quiet && self.answers.len() == before
    }

    /// Sends a request without waiting. Returns its id.
    pub fn send<'r>(&mut self, request: impl Into<Request<'r>>) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        let mut wire = Vec::new();
        request.into().encode(id, &mut wire);
        self.give(&wire);
        id
    }

    /// Waits for the answer to `id`.
    pub fn answer(&mut self, id: u32) -> Answer {
        self.wait_until(|peer| peer.answers.iter().any(|answer| answer.id == id));
        let at = self.answers.iter().position(|answer| answer.id == id).unwrap();
        self.answers.remove(at).unwrap()
    }

    pub fn ask<'r>(&mut self, request: impl Into<Request<'r>>) -> Answer {
        let id = self.send(request);
        self.answer(id)
    }

    pub fn ask_extended<'r>(&mut self, request: impl Into<Extended<'r>>) -> Answer {
        self.ask(Request::Extended(request.into()))
    }

    pub fn open(&mut self, path: &[u8], flags: OpenFlags) -> Answer {
        self.ask(Open { path, flags, attrs: Attrs::default() })
    }

    /// Opens for reading and writing, makes and empties the file.
    pub fn create(&mut self, path: &[u8]) -> Vec<u8> {
        let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
        self.open(path, flags).handle()
    }

    pub fn write(&mut self, handle: &[u8], offset: u64, data: &[u8]) -> StatusCode {
        self.ask(Write { handle, offset, data }).status()
    }

    pub fn read(&mut self, handle: &[u8], offset: u64, len: u32) -> Answer {
        self.ask(Read { handle, offset, len })
    }

    pub fn close(&mut self, handle: &[u8]) -> StatusCode {
        self.ask(Close { handle }).status()
    }

    pub fn stat(&mut self, path: &[u8]) -> Answer {
        self.ask(Stat { path })
    }

    pub fn opendir(&mut self, path: &[u8]) -> Answer {
        self.ask(Opendir { path })
    }

    /// Makes a file with this content.
    pub fn put(&mut self, path: &[u8], content: &[u8]) {
        let handle = self.create(path);
        for (n, piece) in content.chunks(200_000).enumerate() {
            assert_eq!(self.write(&handle, n as u64 * 200_000, piece), StatusCode::Ok);
        }
        assert_eq!(self.close(&handle), StatusCode::Ok);
    }
}

/// Bytes that differ everywhere.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n ^ (n >> 8) ^ (n >> 16).wrapping_mul(7)) as u8).collect()
}
