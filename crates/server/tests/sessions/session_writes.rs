//! WRITEs that come in pieces: to the file at once where that needs no waiting, whole where it does.

use std::io::IoSliceMut;
use std::sync::{Arc, Mutex, PoisonError};

use crate::support::{Peer, pattern};
use sterna_server::sftp::{Resources, SessionPolicy};
use sterna_sftp_proto::messages::Write;
use sterna_sftp_proto::{OpenFlags, Reply, Request, StatusCode as S};
use sterna_storage::{self as storage, Backend, File, Memory, OpenHow};

/// How a file was written to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    /// By the session itself.
    Session,
    /// By a thread of the pool.
    Thread,
}

/// One call: offset and length of what was written, or was not.
type Call = (By, u64, usize);

/// A storage that notes the calls. What lies behind `waits_from` is written only by who may wait; what
/// touches the byte at `bad` not at all.
struct Noting {
    memory: Memory,
    waits_from: u64,
    bad: Option<u64>,
    calls: Arc<Mutex<Vec<Call>>>,
}

struct NotingFile {
    file: Box<dyn File>,
    waits_from: u64,
    bad: Option<u64>,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Noting {
    fn new() -> Self {
        let calls = Arc::default();
        Self { memory: Memory::new(), waits_from: u64::MAX, bad: None, calls }
    }

    /// A peer that sends pieces of `piece_len` bytes, and the calls that it causes.
    fn peer(self, piece_len: usize) -> (Peer, Arc<Mutex<Vec<Call>>>) {
        let calls = self.calls.clone();
        let (policy, resources) = (SessionPolicy::default(), Resources::new(1));
        (Peer::with(Arc::new(self), policy, &resources, piece_len, 1 << 20), calls)
    }
}

impl Backend for Noting {
    fn open(&self, path: &[u8], how: &OpenHow) -> storage::Result<Box<dyn File>> {
        let file = self.memory.open(path, how)?;
        let Self { waits_from, bad, .. } = *self;
        Ok(Box::new(NotingFile { file, waits_from, bad, calls: self.calls.clone() }))
    }

    fn stat(&self, path: &[u8], follow: bool) -> storage::Result<storage::Attrs> {
        self.memory.stat(path, follow)
    }

    fn realpath(&self, path: &[u8]) -> storage::Result<Vec<u8>> {
        self.memory.realpath(path)
    }
}

impl NotingFile {
    fn note(&self, by: By, data: &[u8], offset: u64) -> storage::Result<()> {
        let call = (by, offset, data.len());
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call);
        match self.bad {
            Some(bad) if (offset..offset + data.len() as u64).contains(&bad) => {
                Err(storage::Error::new(storage::ErrorKind::Other, "write"))
            }
            _ => self.file.write_at(data, offset),
        }
    }
}

impl File for NotingFile {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> storage::Result<usize> {
        self.file.read_at(buffers, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> storage::Result<()> {
        self.note(By::Thread, data, offset)
    }

    fn try_write_at(&self, data: &[u8], offset: u64) -> Option<storage::Result<()>> {
        let is_before = offset + data.len() as u64 <= self.waits_from;
        is_before.then(|| self.note(By::Session, data, offset))
    }

    fn stat(&self) -> storage::Result<storage::Attrs> {
        self.file.stat()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

/// Length, type, id, handle of 8 bytes, offset, length of the data.
const HEAD_LEN: usize = 4 + 1 + 4 + 4 + 8 + 8 + 4;

#[test]
fn the_file_is_the_same_in_pieces_of_any_size_and_all_credit_comes_back() {
    for piece_len in [1, 7, HEAD_LEN - 1, HEAD_LEN, HEAD_LEN + 1, 1000, 33_000, usize::MAX] {
        // The memory of short ones is never used again.
        let len = if piece_len < 1000 { 5_000 } else { 150_000 };
        let block = pattern(len);
        for waits_from in [0, len as u64 / 3, len as u64 * 5 / 2, u64::MAX] {
            let noting = Noting { waits_from, ..Noting::new() };
            let (mut peer, _) = noting.peer(piece_len);
            let handle = peer.create(b"/f");

            let what = format!("pieces of {piece_len}, waits from {waits_from}");
            // Again, because the second time memory is used again.
            for first_id in [100, 200] {
                let mut wire = Vec::new();
                for n in 0..5 {
                    let offset = u64::from(n) * len as u64;
                    let write = Write { handle: &handle, offset, data: &block };
                    Request::from(write).encode(first_id + n, &mut wire);
                }
                peer.give(&wire);
                for n in 0..5 {
                    assert_eq!(peer.answer(first_id + n).status(), S::Ok, "{what}");
                }
                assert!(read_all(&mut peer, &handle) == block.repeat(5), "{what}");
            }
            assert_eq!(peer.close(&handle), S::Ok, "{what}");
            assert_eq!(peer.consumed, peer.sent, "{what}");
        }
    }
}

fn read_all(peer: &mut Peer, handle: &[u8]) -> Vec<u8> {
    let mut content = Vec::new();
    loop {
        let answer = peer.read(handle, content.len() as u64, 200_000);
        match answer.decode() {
            Reply::Data(data) => content.extend_from_slice(data.data),
            _ => return content,
        }
    }
}

#[test]
fn what_needs_no_waiting_is_written_as_it_comes() {
    let (mut peer, calls) = Noting::new().peer(HEAD_LEN + 400);
    let handle = peer.create(b"/f");

    assert_eq!(peer.write(&handle, 50, &pattern(1000)), S::Ok);

    let expected = [(By::Session, 50, 400), (By::Session, 450, 433), (By::Session, 883, 167)];
    assert_eq!(*calls.lock().unwrap(), expected);
}

#[test]
fn what_would_wait_in_the_middle_is_written_by_a_thread_from_there_on() {
    let noting = Noting { waits_from: 500, ..Noting::new() };
    let (mut peer, calls) = noting.peer(HEAD_LEN + 400);
    let handle = peer.create(b"/f");
    let content = pattern(1000);

    assert_eq!(peer.write(&handle, 50, &content), S::Ok);

    assert_eq!(*calls.lock().unwrap(), [(By::Session, 50, 400), (By::Thread, 450, 600)]);
    assert_eq!(peer.read(&handle, 50, 2000).data(), content);
}

#[test]
fn a_piece_that_cannot_be_written_fails_its_write_and_the_next_one_works() {
    for waits_from in [0, u64::MAX] {
        let noting = Noting { bad: Some(600), waits_from, ..Noting::new() };
        let (mut peer, calls) = noting.peer(HEAD_LEN + 400);
        let handle = peer.create(b"/f");

        let bad = peer.send(Write { handle: &handle, offset: 50, data: &pattern(1000) });
        let good = peer.send(Write { handle: &handle, offset: 2000, data: b"next" });

        assert_eq!(peer.answer(bad).status(), S::Failure);
        assert_eq!(peer.answer(good).status(), S::Ok);
        assert_eq!(peer.read(&handle, 2000, 100).data(), b"next");
        let behind = calls.lock().unwrap().iter().any(|(_, offset, _)| *offset == 883);
        assert!(!behind, "nothing behind the piece that failed");
        assert_eq!(peer.consumed, peer.sent);
    }
}

#[test]
fn what_is_appended_is_appended_whole() {
    let (mut peer, calls) = Noting::new().peer(HEAD_LEN + 400);
    peer.put(b"/f", b"before ");
    calls.lock().unwrap().clear();
    let handle = peer.open(b"/f", OpenFlags::WRITE | OpenFlags::APPEND).handle();

    assert_eq!(peer.write(&handle, 0, &pattern(1000)), S::Ok);

    let calls = calls.lock().unwrap();
    assert!(matches!(calls[..], [(_, 0, 1000)]), "{calls:?}");
}

#[test]
fn nothing_overtakes_what_waits() {
    let noting = Noting { waits_from: 500, ..Noting::new() };
    let (mut peer, calls) = noting.peer(usize::MAX);
    let handle = peer.create(b"/f");

    // The first one waits; the second one could be written at once.
    let first = peer.send(Write { handle: &handle, offset: 0, data: &[1; 1000] });
    let second = peer.send(Write { handle: &handle, offset: 0, data: &[2; 10] });

    assert_eq!(peer.answer(first).status(), S::Ok);
    assert_eq!(peer.answer(second).status(), S::Ok);
    let order: Vec<_> = calls.lock().unwrap().iter().map(|call| call.2).collect();
    assert_eq!(order, [1000, 10]);
    assert_eq!(peer.read(&handle, 0, 11).data()[9..], [2, 1]);
}

#[test]
fn writes_that_may_not_be_are_refused_whole() {
    let (mut peer, calls) = Noting::new().peer(HEAD_LEN + 400);
    peer.put(b"/f", b"content");
    calls.lock().unwrap().clear();
    let reading = peer.open(b"/f", OpenFlags::READ).handle();
    let writing = peer.open(b"/f", OpenFlags::WRITE).handle();

    assert_eq!(peer.write(&reading, 0, &pattern(1000)), S::Failure);
    assert_eq!(peer.write(&writing, u64::MAX - 5, &pattern(1000)), S::Failure);
    assert_eq!(peer.write(b"nobody's", 0, &pattern(1000)), S::Failure);
    assert_eq!(peer.write(&writing, 0, b""), S::Ok);
    assert_eq!(peer.close(&writing), S::Ok);
    assert_eq!(peer.write(&writing, 0, &pattern(1000)), S::Failure);

    assert!(calls.lock().unwrap().is_empty());
}

#[test]
fn a_session_that_ends_in_the_middle_of_a_write_is_over() {
    let (mut peer, calls) = Noting::new().peer(usize::MAX);
    let handle = peer.create(b"/f");
    let mut wire = Vec::new();
    let write = Write { handle: &handle, offset: 0, data: &pattern(1000) };
    Request::from(write).encode(7, &mut wire);

    peer.give(&wire[..HEAD_LEN + 300]);
    peer.session.handle_eof();
    peer.wait_until(|peer| peer.finished.is_some());

    assert_eq!(peer.finished, Some(0));
    assert!(peer.answers.is_empty());
    assert_eq!(*calls.lock().unwrap(), [(By::Session, 0, 300)]);
}
