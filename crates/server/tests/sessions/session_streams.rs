//! Streams of requests: order, back-pressure, bounds, and peers that break the protocol.

use std::io::IoSliceMut;
use std::sync::Arc;

use crate::support::{Peer, pattern};
use sterna_server::sftp::{ROWS, Resources, SessionPolicy};
use sterna_sftp_proto::extension::{
    CheckFileHandle, CheckFileName, CopyData, Extended, Fremovexattr, Fsetxattr, Fsync, Hardlink,
    Lsetstat, PosixRename, Removexattr, Setxattr,
};
use sterna_sftp_proto::messages::{
    Close, Fsetstat, Mkdir, Open, Read, Readdir, Remove, Rename, Rmdir, Setstat, Stat, Symlink,
    Write,
};
use sterna_sftp_proto::{Attrs, OpenFlags, Reply, Request, StatusCode as S};
use sterna_storage::{self as storage, Backend, File, Local, Memory, OpenHow};

#[test]
fn pipelined_writes_close_rename_stat_end_in_the_final_state() {
    for piece_len in [5, 1000, usize::MAX] {
        let resources = Resources::new(4);
        let mut peer = Peer::with(
            Arc::new(Memory::new()),
            SessionPolicy::default(),
            &resources,
            piece_len,
            1 << 20,
        );
        let handle = peer.create(b"/a");
        let block = pattern(10_000);

        for n in 0..100 {
            peer.send(Write { handle: &handle, offset: n * 10_000, data: &block });
        }
        let close = peer.send(Close { handle: &handle });
        let times = Attrs { permissions: Some(0o640), ..Attrs::default() };
        let set = peer.send(Setstat { path: b"/a", attrs: times });
        let rename = peer.send(Rename { old_path: b"/a", new_path: b"/b" });
        let stat = peer.send(Stat { path: b"/b" });

        let attrs = peer.answer(stat);
        assert_eq!(attrs.attrs().size, Some(1_000_000));
        assert_eq!(attrs.attrs().permissions, Some(0o100_640));
        for id in [close, set, rename] {
            assert_eq!(peer.answer(id).status(), S::Ok);
        }
        assert_eq!(peer.consumed, peer.sent, "all credit came back");
    }
}

#[test]
fn pipelined_appends_keep_their_order() {
    let mut peer = Peer::on_memory();
    peer.put(b"/f", b"");
    let handle = peer.open(b"/f", OpenFlags::WRITE | OpenFlags::APPEND).handle();

    for n in 0..200u8 {
        peer.send(Write { handle: &handle, offset: 0, data: &[n; 1000] });
    }
    assert_eq!(peer.close(&handle), S::Ok);

    let handle = peer.open(b"/f", OpenFlags::READ).handle();
    let content = peer.read(&handle, 0, 200_000).data();
    assert!(content.chunks(1000).enumerate().all(|(n, block)| block == [n as u8; 1000]));
}

/// Files that can only be read by waiting: everything goes through the pool.
struct Blocking(Local);

struct BlockingFile(Box<dyn File>);

impl Backend for Blocking {
    fn open(&self, path: &[u8], how: &OpenHow) -> storage::Result<Box<dyn File>> {
        Ok(Box::new(BlockingFile(self.0.open(path, how)?)))
    }

    fn stat(&self, path: &[u8], follow: bool) -> storage::Result<storage::Attrs> {
        self.0.stat(path, follow)
    }

    fn realpath(&self, path: &[u8]) -> storage::Result<Vec<u8>> {
        self.0.realpath(path)
    }
}

impl File for BlockingFile {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> storage::Result<usize> {
        self.0.read_at(buffers, offset)
    }

    fn stat(&self) -> storage::Result<storage::Attrs> {
        self.0.stat()
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[test]
fn two_thousand_reads_in_flight_are_answered_in_order_whole_and_with_bounded_memory() {
    let dir = tempfile::tempdir().unwrap();
    let content = pattern(2048 * 32_768);
    std::fs::write(dir.path().join("f"), &content).unwrap();
    let backends: [Arc<dyn Backend>; 2] = [
        Arc::new(Local::open(dir.path()).unwrap()),
        Arc::new(Blocking(Local::open(dir.path()).unwrap())),
    ];
    for backend in backends {
        let resources = Resources::new(3);
        let mut peer =
            Peer::with(backend, SessionPolicy::default(), &resources, usize::MAX, 100_000);
        let handle = peer.open(b"/f", OpenFlags::READ).handle();

        let ids: Vec<_> = (0..2048)
            .map(|n| peer.send(Read { handle: &handle, offset: n * 32_768, len: 32_768 }))
            .collect();
        // The peer does not read yet: what is read ahead stays small.
        for _ in 0..1000 {
            peer.work();
            assert!(resources.buffers.in_use() <= 20);
        }
        peer.wait_until(|peer| peer.answers.len() == 2048);

        for (n, (answer, id)) in peer.answers.iter().zip(ids).enumerate() {
            assert_eq!(answer.id, id);
            assert!(answer.data() == content[n * 32_768..][..32_768], "block {n}");
        }
        assert_eq!(peer.consumed, peer.sent);
        assert_eq!(resources.buffers.in_use(), 0);
    }
}

/// A file of 100 000 bytes on a disk that cannot read those from `BAD` on, up to `GOOD_AGAIN`.
struct BadSector;

const BAD: u64 = 25_000;
const GOOD_AGAIN: u64 = 40_000;

impl Backend for BadSector {
    fn open(&self, _path: &[u8], _how: &OpenHow) -> storage::Result<Box<dyn File>> {
        Ok(Box::new(Self))
    }

    fn stat(&self, path: &[u8], follow: bool) -> storage::Result<storage::Attrs> {
        Memory::new().stat(path, follow)
    }

    fn realpath(&self, path: &[u8]) -> storage::Result<Vec<u8>> {
        Ok(path.to_vec())
    }
}

impl File for BadSector {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> storage::Result<usize> {
        if (BAD..GOOD_AGAIN).contains(&offset) {
            return Err(storage::Error::new(storage::ErrorKind::Other, "read"));
        }
        let end = if offset < BAD { BAD } else { 100_000 };
        let len = buffers[0].len().min(end.saturating_sub(offset) as usize);
        buffers[0][..len].fill(7);
        Ok(len)
    }

    fn stat(&self) -> storage::Result<storage::Attrs> {
        Memory::new().stat(b"/", true)
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

#[test]
fn a_disk_error_between_pipelined_reads_is_an_error_and_no_end_of_file() {
    let mut peer = Peer::new(Arc::new(BadSector), SessionPolicy::default());
    let handle = peer.open(b"/f", OpenFlags::READ).handle();

    let ids: Vec<u32> = (0..12)
        .map(|n| peer.send(Read { handle: &handle, offset: n * 10_000, len: 10_000 }))
        .collect();

    for (n, id) in ids.into_iter().enumerate() {
        let answer = peer.answer(id);
        match n {
            2 => assert_eq!(answer.data().len(), 5000, "as far as the disk goes"),
            3 => assert_eq!(answer.status(), S::Failure),
            10.. => assert_eq!(answer.status(), S::Eof),
            _ => assert_eq!(answer.data().len(), 10_000, "{n}"),
        }
    }
}

#[test]
fn a_peer_that_asks_and_never_reads_stays_bounded() {
    let resources = Resources::new(2);
    let mut peer =
        Peer::with(Arc::new(Memory::new()), SessionPolicy::default(), &resources, usize::MAX, 1000);
    peer.put(b"/f", &pattern(200_000));
    let handle = peer.open(b"/f", OpenFlags::READ).handle();
    let before = (peer.sent, peer.consumed);

    for _ in 0..20_000 {
        peer.send(Read { handle: &handle, offset: 0, len: 200_000 });
    }
    for _ in 0..2000 {
        peer.work();
    }

    // Accepted requests give their credit back; the others wait, and hold the peer's window.
    let taken = (peer.consumed - before.1) as f64 / (peer.sent - before.0) as f64;
    assert!(taken < 0.05, "{taken}");
    assert!(resources.buffers.in_use() < 20);
}

/// Goal: a small request during a download does not wait for all that the download has asked for.
/// Method: 200 READs of 200 kB are asked before a request that is answered without the pool, so that
/// threads have no say in when; the peer takes 300 kB at a time.
#[test]
fn a_small_request_overtakes_reads_that_wait_for_room() {
    let resources = Resources::new(2);
    let backend = Arc::new(Memory::new());
    let mut peer = Peer::with(backend, SessionPolicy::default(), &resources, usize::MAX, 300_000);
    peer.put(b"/f", &pattern(200_000));
    let handle = peer.open(b"/f", OpenFlags::READ).handle();
    let reads: Vec<_> =
        (0..200).map(|_| peer.send(Read { handle: &handle, offset: 0, len: 200_000 })).collect();
    let small = peer.send(Close { handle: b"nobody's" });

    peer.wait_until(|peer| peer.answers.len() == 201);

    let at = peer.answers.iter().position(|answer| answer.id == small).unwrap();
    assert!(at <= 10, "behind {at} blocks");
    let order: Vec<_> = peer.answers.iter().map(|a| a.id).filter(|id| *id != small).collect();
    assert_eq!(order, reads, "the blocks themselves stay in order");
}

/// Goal: neither do a few bytes of one file wait for all that was asked of another.
#[test]
fn a_small_read_overtakes_reads_of_another_handle_and_none_of_its_own() {
    let resources = Resources::new(2);
    let backend = Arc::new(Memory::new());
    let mut peer = Peer::with(backend, SessionPolicy::default(), &resources, usize::MAX, 300_000);
    peer.put(b"/large", &pattern(200_000));
    peer.put(b"/small", &pattern(100));
    let large = peer.open(b"/large", OpenFlags::READ).handle();
    let small = peer.open(b"/small", OpenFlags::READ).handle();
    for _ in 0..100 {
        peer.send(Read { handle: &large, offset: 0, len: 200_000 });
    }
    let looks: Vec<_> =
        (0..5).map(|n| peer.send(Read { handle: &small, offset: n * 10, len: 10 })).collect();

    peer.wait_until(|peer| peer.answers.len() == 105);

    let place = |id: &u32| peer.answers.iter().position(|answer| answer.id == *id).unwrap();
    let places: Vec<_> = looks.iter().map(place).collect();
    assert!(places[4] <= 15, "{places:?}");
    assert!(places.is_sorted(), "{places:?}");
}

#[test]
fn the_end_of_input_lets_everything_finish_and_then_reports_zero() {
    let mut peer = Peer::on_memory();
    let handle = peer.create(b"/f");
    for n in 0..50 {
        peer.send(Write { handle: &handle, offset: n * 1000, data: &[7; 1000] });
    }
    let stat = peer.send(Stat { path: b"/f" });

    peer.session.handle_eof();
    peer.wait_until(|peer| peer.finished.is_some());

    assert_eq!(peer.finished, Some(0));
    assert_eq!(peer.answer(stat).attrs().size, Some(50_000));
}

#[test]
fn what_is_not_sftp_ends_the_session_with_one() {
    for bytes in [
        &[0, 0, 0, 0][..],
        &[0, 0, 0, 4, 9, 9, 9, 9],
        &[0, 4, 0, 1],
        &[0xff, 0xff, 0xff, 0xff, 1],
        b"GET / HTTP/1.1\r\n",
    ] {
        let mut peer = Peer::on_memory();

        peer.give(bytes);
        peer.wait_until(|peer| peer.finished.is_some());

        assert_eq!(peer.finished, Some(1), "{bytes:?}");
    }
}

#[test]
fn bad_requests_are_answered_and_the_next_one_works() {
    let mut peer = Peer::on_memory();
    let unknown_type = [0, 0, 0, 5, 99, 0, 0, 1, 0];
    let short = [0, 0, 0, 10, 17, 0, 0, 1, 1, 0, 0, 0, 9, b'/'];
    let unknown_extension = [0, 0, 0, 10, 200, 0, 0, 1, 2, 0, 0, 0, 1, b'x'];
    let junk_behind = [0, 0, 0, 14, 17, 0, 0, 1, 3, 0, 0, 0, 1, b'/', 1, 2, 3, 4];
    for bytes in [&unknown_type[..], &short, &unknown_extension, &junk_behind] {
        peer.give(bytes);
    }

    assert_eq!(peer.answer(0x100).status(), S::OpUnsupported);
    assert_eq!(peer.answer(0x101).status(), S::BadMessage);
    assert_eq!(peer.answer(0x102).status(), S::OpUnsupported);
    assert!(matches!(peer.answer(0x103).decode(), Reply::Attrs(_)));
}

#[test]
fn a_read_only_session_refuses_every_change_and_announces_none() {
    let backend = Arc::new(Memory::new());
    let mut writer = Peer::new(backend.clone(), SessionPolicy::default());
    writer.put(b"/f", b"content");
    writer.put(b"/g", b"other");
    let before = listing(&mut writer);
    let policy = SessionPolicy { read_only: true, ..SessionPolicy::default() };
    let mut peer = Peer::new(backend, policy);
    let handle = peer.open(b"/f", OpenFlags::READ).handle();
    let other = peer.open(b"/g", OpenFlags::READ).handle();
    let attrs = Attrs { size: Some(0), permissions: Some(0), ..Attrs::default() };
    let mode = Attrs { permissions: Some(0), ..Attrs::default() };
    let name = b"user.a";

    let changes: Vec<Request<'_>> = vec![
        Write { handle: &handle, offset: 0, data: b"x" }.into(),
        Setstat { path: b"/f", attrs }.into(),
        Fsetstat { handle: &handle, attrs }.into(),
        Remove { path: b"/f" }.into(),
        Mkdir { path: b"/d", attrs: mode }.into(),
        Rmdir { path: b"/" }.into(),
        Rename { old_path: b"/f", new_path: b"/h" }.into(),
        Symlink { target: b"f", link: b"/l" }.into(),
        Request::Extended(PosixRename { old_path: b"/f", new_path: b"/g" }.into()),
        Request::Extended(Hardlink { existing: b"/f", new: b"/h" }.into()),
        Request::Extended(Fsync { handle: &handle }.into()),
        Request::Extended(Lsetstat { path: b"/f", attrs: mode }.into()),
        Request::Extended(
            CopyData {
                read_handle: &handle,
                read_offset: 0,
                len: 0,
                write_handle: &other,
                write_offset: 0,
            }
            .into(),
        ),
        Request::Extended(Setxattr { path: b"/f", name, value: b"", flags: 0 }.into()),
        Request::Extended(Fsetxattr { handle: &handle, name, value: b"", flags: 0 }.into()),
        Request::Extended(Removexattr { path: b"/f", name }.into()),
        Request::Extended(Fremovexattr { handle: &handle, name }.into()),
    ];
    let writing = ROWS.iter().filter(|row| row.writes == sterna_server::sftp::Writes::Yes);
    assert_eq!(changes.len(), writing.count() - 1, "all but the unknown extension");
    for request in changes {
        assert_eq!(peer.ask(request).status(), S::PermissionDenied, "{request:?}");
    }
    for bits in 0..64 {
        let flags = OpenFlags(bits);
        let id = peer.send(Open { path: b"/f", flags, attrs: Attrs::default() });
        let answer = peer.answer(id);
        if flags.changes() {
            assert_eq!(answer.status(), S::PermissionDenied, "{bits:#x}");
        } else {
            assert_eq!(peer.close(&answer.handle()), S::Ok, "{bits:#x}");
        }
    }
    assert_eq!(peer.read(&handle, 0, 100).data(), b"content");
    let version = peer.version.clone().unwrap();
    let announces = |name: &[u8]| version.windows(name.len()).any(|window| window == name);
    assert!(announces(b"statvfs@openssh.com"));
    assert!(!announces(b"posix-rename@openssh.com") && !announces(b"copy-data"));
    assert_eq!(listing(&mut writer), before);
}

fn listing(peer: &mut Peer) -> Vec<(Vec<u8>, Option<u64>, Option<u32>)> {
    let handle = peer.opendir(b"/").handle();
    let answer = peer.ask(Readdir { handle: &handle });
    let Reply::Name(names) = answer.decode() else { panic!("no names") };
    let mut rows: Vec<_> = names
        .iter()
        .map(|entry| (entry.filename.to_vec(), entry.attrs.size, entry.attrs.permissions))
        .collect();
    rows.sort();
    rows
}

#[test]
fn a_denied_operation_is_refused_and_a_denied_extension_not_announced() {
    let denied = ["setstat", "posix-rename@openssh.com"].map(str::to_owned).into();
    let policy = SessionPolicy { denied, ..SessionPolicy::default() };
    let mut peer = Peer::new(Arc::new(Memory::new()), policy);
    peer.put(b"/f", b"x");

    let set = peer.ask(Setstat { path: b"/f", attrs: Attrs::default() });
    let rename = peer.ask_extended(PosixRename { old_path: b"/f", new_path: b"/g" });

    assert_eq!(set.status(), S::PermissionDenied);
    assert_eq!(rename.status(), S::PermissionDenied);
    let version = peer.version.clone().unwrap();
    assert!(!version.windows(12).any(|window| window == b"posix-rename"));
}

#[test]
fn check_file_hashes_ranges_and_blocks_and_refuses_what_does_not_fit() {
    let mut peer = Peer::on_memory();
    peer.put(b"/f", b"The quick brown fox jumps over the lazy dog");
    let ask = |peer: &mut Peer, hash_list: &[u8], offset, len, block_len| {
        peer.ask_extended(CheckFileName { path: b"/f", hash_list, offset, len, block_len })
    };

    let answer = ask(&mut peer, b"unknown,sha256,md5", 0, 0, 0).extended();
    assert_eq!(answer[..10], *b"\0\0\0\x06sha256");
    assert_eq!(answer[10..14], [0xd7, 0xa8, 0xfb, 0xb3]);
    assert_eq!(answer.len(), 10 + 32);
    let md5 = ask(&mut peer, b"md5", 4, 5, 0).extended();
    assert_eq!(md5[7..11], [0x1d, 0xf3, 0x74, 0x6a][..].to_vec(), "md5 of quick");
    assert_eq!(ask(&mut peer, b"unknown", 0, 0, 0).status(), S::OpUnsupported);
    assert_eq!(ask(&mut peer, b"md5", 0, 0, 255).status(), S::Failure);
    assert_eq!(ask(&mut peer, b"md5", u64::MAX, 2, 0).status(), S::Failure);
    peer.put(b"/f", &pattern(5_000_000));
    assert_eq!(ask(&mut peer, b"md5", 0, 0, 256).status(), S::Failure);
    let blocks = ask(&mut peer, b"md5", 1, 0, 1_000_000).extended();
    assert_eq!(blocks.len(), 4 + 3 + 5 * 16);
    let handle = peer.open(b"/f", OpenFlags::READ).handle();
    let by_handle =
        CheckFileHandle { handle: &handle, hash_list: b"blake3", offset: 0, len: 0, block_len: 0 };
    assert_eq!(peer.ask_extended(Extended::from(by_handle)).extended().len(), 4 + 6 + 32);
}

#[test]
fn a_hundred_thousand_entries_are_listed_once_each() {
    let dir = tempfile::tempdir().unwrap();
    for n in 0..100_000 {
        std::fs::File::create(dir.path().join(format!("{n:06}"))).unwrap();
    }
    let resources = Resources::new(2);
    let backend = Arc::new(Local::open(dir.path()).unwrap());
    let mut peer = Peer::with(backend, SessionPolicy::default(), &resources, usize::MAX, 64 * 1024);
    let handle = peer.opendir(b"/").handle();

    let mut names = Vec::new();
    loop {
        // Several at a time: they must not interleave.
        let ids: Vec<_> = (0..4).map(|_| peer.send(Readdir { handle: &handle })).collect();
        let answers: Vec<_> = ids.into_iter().map(|id| peer.answer(id)).collect();
        for answer in &answers {
            if let Reply::Name(batch) = answer.decode() {
                names.extend(batch.iter().map(|entry| entry.filename.to_vec()));
            }
        }
        if answers.iter().any(|answer| matches!(answer.decode(), Reply::Status(_))) {
            break;
        }
    }

    assert_eq!(names.len(), 100_002);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 100_002);
}

#[test]
fn reads_of_a_file_in_memory_wait_for_room_instead_of_being_copied() {
    let resources = Resources::new(1);
    let reply_len = 4 + 1 + 4 + 4 + 32_768;
    // Room for two replies and a half.
    let room = 2 * reply_len + reply_len / 2;
    let backend = Arc::new(Memory::new());
    let mut peer = Peer::with(backend, SessionPolicy::default(), &resources, usize::MAX, room);
    let content = pattern(20 * 32_768);
    peer.put(b"/f", &content);
    let handle = peer.open(b"/f", OpenFlags::READ).handle();
    let first = peer.read(&handle, 0, 10).data();

    let ids: Vec<_> = (0..20)
        .map(|n| peer.send(Read { handle: &handle, offset: n * 32_768, len: 32_768 }))
        .collect();
    peer.work();

    assert_eq!(resources.buffers.in_use(), 0);
    assert_eq!(first, content[..10]);
    for (n, id) in ids.into_iter().enumerate() {
        assert!(peer.answer(id).data() == content[n * 32_768..][..32_768], "block {n}");
    }
}

#[test]
fn a_reply_that_never_fits_in_one_piece_still_leaves() {
    let resources = Resources::new(1);
    let mut peer =
        Peer::with(Arc::new(Memory::new()), SessionPolicy::default(), &resources, usize::MAX, 1000);
    let content = pattern(20_000);
    peer.put(b"/f", &content);
    let handle = peer.open(b"/f", OpenFlags::READ).handle();

    for len in [10, 20_000, 900, 20_000] {
        assert_eq!(peer.read(&handle, 0, len).data(), content[..len as usize]);
    }
}
