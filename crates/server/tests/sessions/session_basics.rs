//! What single requests are answered with, on the memory backend: `sftp.md` SRV-1 to SRV-19.

use crate::support::{Peer, pattern};
use sterna_sftp_proto::extension::{CopyData, ExpandPath, HomeDirectory, Limits, PosixRename};
use sterna_sftp_proto::messages::{
    Fstat, Lstat, Mkdir, Readdir, Readlink, Realpath, Remove, Rename, Rmdir, Setstat, Symlink,
};
use sterna_sftp_proto::{Attrs, OpenFlags, Reply, StatusCode as S};

#[test]
fn a_file_comes_back_as_it_was_written_however_it_is_cut() {
    use sterna_server::sftp::{Resources, SessionPolicy};
    use sterna_storage::Memory;
    for (piece_len, room) in [(1, 1 << 20), (7, 1), (usize::MAX, 14), (1000, 40_000)] {
        let mut peer = Peer::with(
            std::sync::Arc::new(Memory::new()),
            SessionPolicy::default(),
            &Resources::new(2),
            piece_len,
            room,
        );
        let content = pattern(300_000);

        peer.put(b"/f", &content);
        let handle = peer.open(b"/f", OpenFlags::READ).handle();
        let mut back = Vec::new();
        while back.len() < content.len() {
            back.extend(peer.read(&handle, back.len() as u64, 100_000).data());
        }

        assert!(back == content, "pieces of {piece_len}, room of {room}");
        assert_eq!(peer.read(&handle, 300_000, 1).status(), S::Eof);
        assert_eq!(peer.close(&handle), S::Ok);
    }
}

#[test]
fn reads_at_and_beyond_the_end_and_of_no_length() {
    let mut peer = Peer::on_memory();
    peer.put(b"/f", b"0123456789");
    let handle = peer.open(b"/f", OpenFlags(0)).handle();

    assert_eq!(peer.read(&handle, 9, 100).data(), b"9");
    for offset in [10, 11, 1 << 63, u64::MAX] {
        assert_eq!(peer.read(&handle, offset, 1).status(), S::Eof, "{offset}");
    }
    for offset in [0, 10, 99] {
        assert_eq!(peer.read(&handle, offset, 0).data(), b"");
    }
    for len in [261_120, 261_121, u32::MAX] {
        assert_eq!(peer.read(&handle, 0, len).data(), b"0123456789");
    }
}

#[test]
fn more_than_the_maximum_is_a_short_read() {
    let mut peer = Peer::on_memory();
    let content = pattern(300_000);
    peer.put(b"/f", &content);
    let handle = peer.open(b"/f", OpenFlags::READ).handle();

    assert!(peer.read(&handle, 0, u32::MAX).data() == content[..261_120]);
}

#[test]
fn handles_work_for_what_they_were_opened_for_and_die_with_close() {
    let mut peer = Peer::on_memory();
    peer.put(b"/f", b"x");
    let writer = peer.open(b"/f", OpenFlags::WRITE).handle();
    let reader = peer.open(b"/f", OpenFlags::READ).handle();

    assert_eq!(peer.read(&writer, 0, 1).status(), S::Failure);
    assert_eq!(peer.write(&reader, 0, b"y"), S::Failure);
    assert_eq!(peer.close(&reader), S::Ok);
    assert_eq!(peer.close(&reader), S::Failure);
    let next = peer.open(b"/f", OpenFlags::READ).handle();
    assert_ne!(next, reader);
    assert_eq!(peer.read(&reader, 0, 1).status(), S::Failure);
    for foreign in [&b""[..], b"\0\0\0\0", &[0xff; 8], &[7; 256]] {
        assert_eq!(peer.read(foreign, 0, 1).status(), S::Failure);
        assert_eq!(peer.close(foreign), S::Failure);
        assert_eq!(peer.ask(Fstat { handle: foreign }).status(), S::Failure);
        assert_eq!(peer.ask(Readdir { handle: foreign }).status(), S::Failure);
    }
}

#[test]
fn a_directory_handle_is_not_a_file_and_the_other_way_round() {
    let mut peer = Peer::on_memory();
    peer.put(b"/f", b"x");
    let dir = peer.opendir(b"/").handle();
    let file = peer.open(b"/f", OpenFlags::READ).handle();

    assert_eq!(peer.read(&dir, 0, 1).status(), S::Failure);
    assert_eq!(peer.write(&dir, 0, b"x"), S::Failure);
    assert_eq!(peer.ask(Readdir { handle: &file }).status(), S::Failure);
    let attrs = peer.ask(Fstat { handle: &dir });
    assert_eq!(attrs.attrs().permissions.unwrap() & 0o170_000, 0o040_000);
    assert_eq!(peer.opendir(b"/f").status(), S::NoSuchFile);
    assert_eq!(peer.open(b"/", OpenFlags::READ).status(), S::Failure);
}

#[test]
fn attributes_always_hold_all_four_groups() {
    let mut peer = Peer::on_memory();
    peer.put(b"/f", b"12345");
    assert_eq!(peer.ask(Symlink { target: b"f", link: b"/l" }).status(), S::Ok);

    let file = peer.stat(b"/l");
    let link = peer.ask(Lstat { path: b"/l" });

    for attrs in [file.attrs(), link.attrs()] {
        assert!(attrs.size.is_some() && attrs.owner.is_some() && attrs.times.is_some());
    }
    assert_eq!(file.attrs().size, Some(5));
    assert_eq!(file.attrs().permissions.unwrap() & 0o170_000, 0o100_000);
    assert_eq!(link.attrs().permissions.unwrap() & 0o170_000, 0o120_000);
    assert_eq!(peer.ask(Readlink { path: b"/l" }).name(), b"f");
    assert_eq!(peer.ask(Readlink { path: b"/f" }).status(), S::Failure);
    assert_eq!(peer.ask(Readlink { path: b"/none" }).status(), S::NoSuchFile);
}

#[test]
fn plain_rename_never_overwrites_and_posix_rename_does() {
    let mut peer = Peer::on_memory();
    peer.put(b"/a", b"a");
    peer.put(b"/b", b"b");

    let plain = peer.ask(Rename { old_path: b"/a", new_path: b"/b" }).status();
    let posix = peer.ask_extended(PosixRename { old_path: b"/a", new_path: b"/b" }).status();

    assert_eq!((plain, posix), (S::Failure, S::Ok));
    assert_eq!(peer.stat(b"/a").status(), S::NoSuchFile);
    let handle = peer.open(b"/b", OpenFlags::READ).handle();
    assert_eq!(peer.read(&handle, 0, 9).data(), b"a");
}

#[test]
fn directories_are_made_once_and_removed_when_empty() {
    let mut peer = Peer::on_memory();
    let mkdir = |peer: &mut Peer, path| peer.ask(Mkdir { path, attrs: Attrs::default() }).status();

    assert_eq!(mkdir(&mut peer, b"/d/e"), S::NoSuchFile);
    assert_eq!(mkdir(&mut peer, b"/d"), S::Ok);
    assert_eq!(mkdir(&mut peer, b"/d"), S::Failure);
    peer.put(b"/d/f", b"");
    assert_eq!(peer.ask(Rmdir { path: b"/d" }).status(), S::Failure);
    assert_eq!(peer.ask(Rmdir { path: b"/d/f" }).status(), S::NoSuchFile);
    assert_eq!(peer.ask(Remove { path: b"/d" }).status(), S::Failure);
    assert_eq!(peer.ask(Remove { path: b"/d/f" }).status(), S::Ok);
    assert_eq!(peer.ask(Rmdir { path: b"/d" }).status(), S::Ok);
}

#[test]
fn opening_with_exclusive_truncate_and_append_means_what_it_says() {
    let mut peer = Peer::on_memory();
    peer.put(b"/f", b"12345");
    let exclusive = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::EXCLUSIVE;

    assert_eq!(peer.open(b"/f", exclusive).status(), S::Failure);
    assert_eq!(peer.open(b"/none", OpenFlags::READ).status(), S::NoSuchFile);
    let append = peer.open(b"/f", OpenFlags::WRITE | OpenFlags::APPEND).handle();
    assert_eq!(peer.write(&append, 0, b"67"), S::Ok);
    assert_eq!(peer.stat(b"/f").attrs().size, Some(7));
    let truncate = peer.open(b"/f", OpenFlags::WRITE | OpenFlags::TRUNCATE).handle();
    assert_eq!(peer.stat(b"/f").attrs().size, Some(0));
    for offset in [i64::MAX as u64, u64::MAX] {
        assert_eq!(peer.write(&truncate, offset, b"x"), S::Failure, "{offset}");
    }
    assert_eq!(peer.write(&truncate, 3, b"x"), S::Ok);
    assert_eq!(peer.stat(b"/f").attrs().size, Some(4));
}

#[test]
fn paths_are_resolved_from_the_start_directory() {
    let mut peer = Peer::on_memory();
    for (asked, answer) in
        [(&b""[..], &b"/"[..]), (b".", b"/"), (b"../..", b"/"), (b"//a///", b"/a"), (b"x", b"/x")]
    {
        assert_eq!(peer.ask(Realpath { path: asked }).name(), answer);
    }
    assert_eq!(peer.ask(Realpath { path: b"/no/x" }).status(), S::NoSuchFile);
    assert_eq!(peer.ask_extended(ExpandPath { path: b"~/x" }).name(), b"/x");
    assert_eq!(peer.ask_extended(ExpandPath { path: b"~eve/x" }).status(), S::NoSuchFile);
    assert_eq!(peer.ask_extended(HomeDirectory { user: b"" }).name(), b"/");
}

#[test]
fn a_listing_holds_everything_once_in_packets_of_bounded_size() {
    let mut peer = Peer::on_memory();
    for n in 0..1000 {
        let path = format!("/{}{n}", "n".repeat(n % 200));
        peer.put(path.as_bytes(), b"");
    }
    let handle = peer.opendir(b"/").handle();

    let mut names = Vec::new();
    let end = loop {
        let answer = peer.ask(Readdir { handle: &handle });
        assert!(answer.body.len() <= 34_000);
        let Reply::Name(batch) = answer.decode() else { break answer.status() };
        assert!(!batch.is_empty());
        names.extend(batch.iter().map(|entry| entry.filename.to_vec()));
    };

    assert_eq!(end, S::Eof);
    assert_eq!(names.len(), 1002);
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 1002);
    assert!(names.contains(&b".".to_vec()) && names.contains(&b"..".to_vec()));
}

#[test]
fn the_limit_of_handles_is_announced_and_kept_and_creates_nothing_beyond() {
    use std::sync::Arc;
    use sterna_server::sftp::SessionPolicy;
    use sterna_storage::Memory;
    let policy = SessionPolicy { handles_max: 3, dir_handles_max: 1, ..SessionPolicy::default() };
    let mut peer = Peer::new(Arc::new(Memory::new()), policy);
    let limits = peer.ask_extended(Limits::new()).extended();
    assert_eq!(limits[24..], 3u64.to_be_bytes());
    let first = peer.create(b"/1");
    peer.create(b"/2");
    let dir = peer.opendir(b"/").handle();

    let create = OpenFlags::WRITE | OpenFlags::CREATE;
    assert_eq!(peer.open(b"/3", create).status(), S::Failure);
    assert_eq!(peer.stat(b"/3").status(), S::NoSuchFile);
    assert_eq!(peer.close(&first), S::Ok);
    assert_eq!(peer.opendir(b"/").status(), S::Failure);
    assert_eq!(peer.open(b"/none", OpenFlags::READ).status(), S::NoSuchFile);
    assert_eq!(peer.close(&dir), S::Ok);
    assert_eq!(peer.opendir(b"/none").status(), S::NoSuchFile);
    peer.create(b"/3");
    peer.opendir(b"/").handle();
}

#[test]
fn copy_data_copies_says_when_the_source_was_short_and_never_into_itself() {
    let mut peer = Peer::on_memory();
    let content = pattern(700_000);
    peer.put(b"/a", &content);
    let from = peer.open(b"/a", OpenFlags::READ).handle();
    let to = peer.create(b"/b");
    let copy = |peer: &mut Peer, len, from: &[u8], to: &[u8]| {
        let ask =
            CopyData { read_handle: from, read_offset: 1, len, write_handle: to, write_offset: 0 };
        peer.ask_extended(ask).status()
    };

    assert_eq!(copy(&mut peer, 0, &from, &to), S::Ok);
    assert_eq!(peer.read(&to, 600_000, 200_000).data(), content[600_001..]);
    assert_eq!(copy(&mut peer, 699_999, &from, &to), S::Ok);
    assert_eq!(copy(&mut peer, 700_000, &from, &to), S::Eof);
    assert_eq!(copy(&mut peer, u64::MAX, &from, &to), S::Failure);
    assert_eq!(copy(&mut peer, 0, &to, &to), S::Failure);
    let again = peer.open(b"/b", OpenFlags::READ).handle();
    assert_eq!(copy(&mut peer, 0, &again, &to), S::Failure);
    assert_eq!(copy(&mut peer, 0, &from, &again), S::Failure);
}

#[test]
fn empty_attributes_change_nothing_but_the_file_must_exist() {
    let mut peer = Peer::on_memory();
    peer.put(b"/f", b"123");

    let set = |peer: &mut Peer, path, attrs| peer.ask(Setstat { path, attrs }).status();

    assert_eq!(set(&mut peer, b"/f", Attrs::default()), S::Ok);
    assert_eq!(set(&mut peer, b"/none", Attrs::default()), S::NoSuchFile);
    let shrink = Attrs { size: Some(1), permissions: Some(0o600), ..Attrs::default() };
    assert_eq!(set(&mut peer, b"/f", shrink), S::Ok);
    let attrs = peer.stat(b"/f");
    assert_eq!(attrs.attrs().size, Some(1));
    assert_eq!(attrs.attrs().permissions, Some(0o100_600));
}
