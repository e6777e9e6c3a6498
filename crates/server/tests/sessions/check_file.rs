//! Digests of files: bounded, fair, stopped when nobody waits, remembered and never stale.

use std::io::IoSliceMut;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::support::Peer;
use sterna_server::limits::{DIGESTS_LEN_MAX, LONG_JOBS_MAX, REPLY_BYTES_MAX};
use sterna_server::sftp::{Resources, SessionPolicy};
use sterna_sftp_proto::extension::{
    CheckFileHandle, CheckFileName, Extended, Md5Hash, Md5HashHandle, Md5HashReply,
};
use sterna_sftp_proto::messages::{Close, Remove, Stat};
use sterna_sftp_proto::{OpenFlags, Request, StatusCode as S};
use sterna_ssh_crypto::{DigestAlgorithm, Digester};
use sterna_sshwire::Reader;
use sterna_storage::{
    Attrs, Backend, Error, ErrorKind, File, FileKind, Memory, OpenHow, Result, Time,
};

/// Nobody gets to the end of a file of this size.
const ENDLESS: u64 = 1 << 60;

/// Files of zeros that say how they were used.
#[derive(Default)]
struct Zeros {
    /// Size and time of change of every file.
    state: Mutex<(u64, i64)>,
    reads: AtomicUsize,
    closed: AtomicUsize,
    /// Nothing can be opened any more.
    removed: AtomicBool,
    /// As on a file system in memory.
    changes_unnoticed: AtomicBool,
}

struct ZerosFile {
    size: u64,
    of: Arc<Zeros>,
}

impl Zeros {
    fn endless() -> Arc<Self> {
        Self::of_size(ENDLESS)
    }

    fn of_size(size: u64) -> Arc<Self> {
        let zeros = Self::default();
        *zeros.state.lock().unwrap() = (size, 1000);
        Arc::new(zeros)
    }

    fn attrs(&self, size: u64) -> Attrs {
        let time = Time { seconds: self.state.lock().unwrap().1, nanos: 0 };
        Attrs {
            kind: FileKind::Regular,
            size,
            mode: 0o644,
            uid: 0,
            gid: 0,
            accessed: time,
            modified: time,
            changed: time,
            links: 1,
            id: (77, size),
        }
    }

    /// `/small` has three bytes, every other file as many as were said.
    fn size_of(&self, path: &[u8]) -> u64 {
        if path == b"/small" { 3 } else { self.state.lock().unwrap().0 }
    }
}

/// A session's view: the backend itself must be an owner of the files.
struct View(Arc<Zeros>);

impl Backend for View {
    fn open(&self, path: &[u8], _how: &OpenHow) -> Result<Box<dyn File>> {
        if self.0.removed.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::NotFound, "open"));
        }
        Ok(Box::new(ZerosFile { size: self.0.size_of(path), of: Arc::clone(&self.0) }))
    }

    fn stat(&self, path: &[u8], _follow: bool) -> Result<Attrs> {
        Ok(self.0.attrs(self.0.size_of(path)))
    }

    fn remove(&self, _path: &[u8]) -> Result<()> {
        self.0.removed.store(true, Ordering::Relaxed);
        Ok(())
    }

    fn realpath(&self, path: &[u8]) -> Result<Vec<u8>> {
        Ok(path.to_vec())
    }
}

impl File for ZerosFile {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        self.of.reads.fetch_add(1, Ordering::Relaxed);
        let left = self.size.saturating_sub(offset);
        let len = (buffers[0].len() as u64).min(left) as usize;
        buffers[0][..len].fill(0);
        Ok(len)
    }

    fn write_at(&self, _data: &[u8], _offset: u64) -> Result<()> {
        Ok(())
    }

    fn stat(&self) -> Result<Attrs> {
        Ok(self.of.attrs(self.size))
    }

    fn times_tell_of_changes(&self) -> bool {
        !self.of.changes_unnoticed.load(Ordering::Relaxed)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.of.closed.fetch_add(1, Ordering::Relaxed);
        // What only closing can say.
        Err(Error::new(ErrorKind::NoSpace, "close"))
    }
}

fn peer(zeros: &Arc<Zeros>, resources: &Resources) -> Peer {
    let view = Arc::new(View(Arc::clone(zeros)));
    Peer::with(view, SessionPolicy::default(), resources, usize::MAX, 1 << 20)
}

/// A request that is never done.
fn hash_all(handle: &[u8]) -> Request<'_> {
    let request = CheckFileHandle { handle, hash_list: b"blake3", offset: 0, len: 0, block_len: 0 };
    Request::Extended(request.into())
}

fn by_name(path: &[u8]) -> Extended<'_> {
    CheckFileName { path, hash_list: b"md5", offset: 0, len: 0, block_len: 0 }.into()
}

#[test]
fn a_digest_without_end_holds_nothing_up_and_takes_turns_with_others() {
    let zeros = Zeros::endless();
    let resources = Resources::new(1);
    let (mut first, mut second) = (peer(&zeros, &resources), peer(&zeros, &resources));
    let both = OpenFlags::READ | OpenFlags::WRITE;
    let handle = first.open(b"/f", both).handle();
    for _ in 0..5 {
        first.send(hash_all(&handle));
    }

    // The same session, the same handle, and by path.
    assert_eq!(first.write(&handle, 0, b"x"), S::Ok);
    assert_eq!(first.read(&handle, 0, 1).data(), [0]);
    assert_eq!(first.stat(b"/f").attrs().size, Some(ENDLESS));
    // Another session's digest on the one thread for long work.
    assert_eq!(second.ask_extended(by_name(b"/small")).extended().len(), 4 + 3 + 16);
}

#[test]
fn closing_the_handle_stops_its_digests_and_then_really_closes() {
    let zeros = Zeros::endless();
    let resources = Resources::new(2);
    let mut peer = peer(&zeros, &resources);
    let both = OpenFlags::READ | OpenFlags::WRITE;
    let handle = peer.open(b"/f", both).handle();
    let other = peer.open(b"/f", OpenFlags::READ).handle();
    let digests: Vec<_> = (0..7).map(|_| peer.send(hash_all(&handle))).collect();
    let of_other = peer.send(hash_all(&other));

    let closed = peer.send(Close { handle: &handle });

    for digest in digests {
        assert_eq!(peer.answer(digest).status(), S::Failure);
    }
    assert_eq!(peer.answer(closed).status(), S::Failure, "what closing says is passed on");
    assert_eq!(zeros.closed.load(Ordering::Relaxed), 1);
    assert!(peer.answers.iter().all(|answer| answer.id != of_other), "the other one goes on");
    // A handle for reading owes nothing: its CLOSE does not even wait.
    assert_eq!(peer.close(&other), S::Ok);
    assert_eq!(peer.answer(of_other).status(), S::Failure);
}

#[test]
fn digests_that_are_not_answered_are_requests_that_are_not_answered() {
    let zeros = Zeros::endless();
    let resources = Resources::new(1);
    let mut peer = peer(&zeros, &resources);
    let handle = peer.open(b"/f", OpenFlags::READ).handle();

    for _ in 0..1000 {
        peer.send(hash_all(&handle));
        peer.turn();
    }

    assert!(peer.session.backlog_len() > 0, "a thousand are taken in");
    drop(peer);
}

#[test]
fn whoever_reads_no_digests_makes_few_computed() {
    // As many blocks as fit one reply.
    const BLOCKS: u64 = (DIGESTS_LEN_MAX / 32) as u64;
    let zeros = Zeros::of_size(BLOCKS * 256);
    let resources = Resources::new(1);
    let (mut deaf, mut other) = (peer(&zeros, &resources), peer(&zeros, &resources));
    let handle = deaf.open(b"/f", OpenFlags::READ).handle();
    let request = CheckFileHandle {
        handle: &handle,
        hash_list: b"blake3",
        offset: 0,
        len: 0,
        block_len: 256,
    };
    let ids: Vec<u32> = (0..100).map(|_| deaf.send(Request::Extended(request.into()))).collect();
    let reads = || zeros.reads.load(Ordering::Relaxed);

    // What the deaf one has started is over when the other one, behind it on the one thread, is served.
    let mut before = usize::MAX;
    while before != reads() {
        before = reads();
        deaf.work();
        other.ask_extended(by_name(b"/small"));
    }

    let computed = before / BLOCKS as usize;
    // The sink has room for a MiB too.
    let expected = 2 * REPLY_BYTES_MAX / DIGESTS_LEN_MAX + LONG_JOBS_MAX;
    assert!((1..=expected + 1).contains(&computed), "{computed} digests");
    for id in ids {
        assert_eq!(deaf.answer(id).extended().len(), 4 + 6 + BLOCKS as usize * 32);
    }
}

#[test]
fn a_digest_by_path_is_of_the_file_that_was_there_when_it_was_asked() {
    let zeros = Zeros::endless();
    let resources = Resources::new(1);
    let mut peer = peer(&zeros, &resources);
    let handle = peer.open(b"/f", OpenFlags::READ).handle();
    for _ in 0..LONG_JOBS_MAX {
        peer.send(hash_all(&handle));
    }

    // It waits behind the endless ones.
    let digest = peer.send(Request::Extended(by_name(b"/small")));
    assert_eq!(peer.ask(Remove { path: b"/small" }).status(), S::Ok);
    assert_eq!(peer.ask_extended(by_name(b"/small")).status(), S::NoSuchFile);
    peer.close(&handle);

    assert_eq!(peer.answer(digest).extended().len(), 4 + 3 + 16);
}

#[test]
fn files_that_wait_to_be_hashed_take_the_room_of_handles_and_give_it_back() {
    let zeros = Zeros::endless();
    let resources = Resources::new(1);
    let view = Arc::new(View(Arc::clone(&zeros)));
    let policy = SessionPolicy { handles_max: 3, ..SessionPolicy::default() };
    let mut peer = Peer::with(view, policy, &resources, usize::MAX, 1 << 20);
    let handle = peer.open(b"/f", OpenFlags::READ).handle();
    for _ in 0..LONG_JOBS_MAX {
        peer.send(hash_all(&handle));
    }

    let digests = [(); 2].map(|()| peer.send(Request::Extended(by_name(b"/small"))));
    assert_eq!(peer.ask_extended(by_name(b"/small")).status(), S::Failure, "no room for a third");
    assert_eq!(peer.open(b"/f", OpenFlags::READ).status(), S::Failure);
    peer.close(&handle);
    for digest in digests {
        peer.answer(digest).extended();
    }

    let handles = [(); 3].map(|()| peer.open(b"/f", OpenFlags::READ).handle());
    assert_eq!(handles.len(), 3);
}

#[test]
fn the_end_of_the_session_stops_its_digests() {
    let zeros = Zeros::endless();
    let resources = Resources::new(1);
    let mut gone = peer(&zeros, &resources);
    let handle = gone.open(b"/f", OpenFlags::READ).handle();
    gone.send(hash_all(&handle));
    gone.send(Request::Extended(by_name(b"/f")));
    gone.ask(Stat { path: b"/f" });

    drop(gone);

    // On the one thread, this comes behind what is left of the others.
    let mut next = peer(&zeros, &resources);
    next.ask_extended(by_name(b"/small"));
    let reads = zeros.reads.load(Ordering::Relaxed);
    next.ask_extended(by_name(b"/small"));
    assert!(zeros.reads.load(Ordering::Relaxed) <= reads + 1, "somebody still reads");
}

#[test]
fn a_digest_is_computed_once_until_the_file_changes() {
    const SIZE: u64 = 40 << 20;
    let zeros = Zeros::of_size(SIZE);
    let resources = Resources::new(1);
    let mut peer = peer(&zeros, &resources);
    let reads = |peer: &mut Peer, request: Extended<'_>| {
        let before = zeros.reads.load(Ordering::Relaxed);
        let answer = peer.ask_extended(request).extended();
        (zeros.reads.load(Ordering::Relaxed) - before, answer)
    };

    let (first, digest) = reads(&mut peer, by_name(b"/f"));
    assert!(first >= 160, "{first} reads");
    assert_eq!(reads(&mut peer, by_name(b"/f")), (0, digest.clone()));
    let by_handle = peer.open(b"/f", OpenFlags::READ).handle();
    let whole = Md5HashHandle { handle: &by_handle, offset: 0, len: SIZE, quick_hash: b"" };
    assert_eq!(reads(&mut peer, whole.into()).0, 0, "the same by md5-hash");
    let part = Md5HashHandle { handle: &by_handle, offset: 1, len: 0, quick_hash: b"" };
    assert!(reads(&mut peer, part.into()).0 >= 160, "a part is another question");

    zeros.state.lock().unwrap().1 += 1;
    assert_eq!(reads(&mut peer, by_name(b"/f")), (first, digest));
}

#[test]
fn a_file_whose_times_do_not_tell_of_changes_is_read_again() {
    let zeros = Zeros::of_size(1000);
    zeros.changes_unnoticed.store(true, Ordering::Relaxed);
    let mut peer = peer(&zeros, &Resources::new(1));

    for reads in 1..=3 {
        peer.ask_extended(by_name(b"/f")).extended();
        assert_eq!(zeros.reads.load(Ordering::Relaxed), reads);
    }
}

#[test]
fn a_file_that_was_just_changed_is_read_again() {
    // Memory's files are changed now.
    let backend = Arc::new(Memory::new());
    let mut peer = Peer::new(backend, SessionPolicy::default());
    peer.put(b"/f", b"one");
    let first = peer.ask_extended(by_name(b"/f")).extended();

    peer.put(b"/f", b"two");

    assert_ne!(peer.ask_extended(by_name(b"/f")).extended(), first);
}

#[test]
fn md5_hash_looks_at_the_beginning_first() {
    let mut peer = Peer::on_memory();
    let content = crate::support::pattern(100_000);
    peer.put(b"/f", &content);
    let md5 = |bytes: &[u8]| {
        let mut digester = Digester::new(DigestAlgorithm::Md5);
        digester.update(bytes);
        digester.finish()
    };
    let ask = |peer: &mut Peer, offset, len, quick_hash: &[u8]| {
        let answer = peer.ask_extended(Md5Hash { path: b"/f", offset, len, quick_hash }).extended();
        Md5HashReply::decode(&mut Reader::new(&answer)).unwrap().digest.to_vec()
    };

    assert_eq!(ask(&mut peer, 0, 0, b""), md5(&content));
    assert_eq!(ask(&mut peer, 10, 50_000, &md5(&content[10..2058])), md5(&content[10..50_010]));
    assert_eq!(ask(&mut peer, 99_000, 0, &md5(&content[99_000..])), md5(&content[99_000..]));
    assert_eq!(ask(&mut peer, 0, 0, &md5(b"something else")), b"");
    assert_eq!(ask(&mut peer, 0, 0, b"no digest"), b"");
    assert_eq!(ask(&mut peer, 200_000, 0, b""), md5(b""));
    let beyond = Md5Hash { path: b"/f", offset: u64::MAX, len: 2, quick_hash: b"" };
    assert_eq!(peer.ask_extended(beyond).status(), S::Failure);
    let write_only = peer.open(b"/f", OpenFlags::WRITE).handle();
    let refused = Md5HashHandle { handle: &write_only, offset: 0, len: 0, quick_hash: b"" };
    assert_eq!(peer.ask_extended(refused).status(), S::Failure);
}
