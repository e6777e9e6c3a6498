//! `ranges@asyncssh.com` and `xattr@proftpd.org` through a session.

use std::os::unix::fs::FileExt;
use std::sync::Arc;

use crate::support::Peer;
use sterna_server::sftp::SessionPolicy;
use sterna_sftp_proto::extension::{
    Extended, Fgetxattr, Fremovexattr, Fsetxattr, Getxattr, GetxattrReply, Listxattr,
    ListxattrReply, Ranges, RangesReply, Removexattr, Setxattr, XATTR_CREATE, XATTR_REPLACE,
};
use sterna_sftp_proto::limits::RANGES_MAX;
use sterna_sftp_proto::{OpenFlags, StatusCode as S};
use sterna_sshwire::Reader;
use sterna_storage::{Local, Memory};

/// Bytes between two pieces of data: more than any file system puts into one block.
const STEP: u64 = 256 * 1024;

/// A file with `count` pieces of data, and whether this file system has kept the holes between them.
fn sparse(dir: &tempfile::TempDir, count: u64) -> bool {
    let file = std::fs::File::create(dir.path().join("f")).unwrap();
    for n in 0..count {
        file.write_all_at(b"data", n * STEP).unwrap();
    }
    file.set_len(count * STEP).unwrap();
    file.sync_all().unwrap();
    use std::os::unix::fs::MetadataExt;
    file.metadata().unwrap().blocks() * 512 < count * STEP / 2
}

fn ask_ranges(peer: &mut Peer, handle: &[u8], offset: u64, len: u64) -> (Vec<(u64, u64)>, bool) {
    let data = peer.ask_extended(Ranges { handle, offset, len }).extended();
    let reply = RangesReply::decode(&mut Reader::new(&data)).unwrap();
    (reply.iter().collect(), reply.at_end)
}

#[test]
fn the_parts_with_data_are_told_reply_by_reply() {
    let dir = tempfile::tempdir().unwrap();
    let count = RANGES_MAX as u64 + 10;
    if !sparse(&dir, count) {
        eprintln!("skipped: this file system keeps no holes");
        return;
    }
    let local = Arc::new(Local::open(dir.path()).unwrap());
    let mut peer = Peer::new(local, SessionPolicy::default());
    let handle = peer.open(b"/f", OpenFlags::READ).handle();

    let (mut all, at_end) = ask_ranges(&mut peer, &handle, 0, u64::MAX);
    assert_eq!((all.len(), at_end), (RANGES_MAX, false));
    let (offset, len) = *all.last().unwrap();
    let (rest, at_end) = ask_ranges(&mut peer, &handle, offset + len, u64::MAX);
    assert!(at_end);
    all.extend(rest);

    assert_eq!(all.pop(), Some((count * STEP - 1, 1)), "the last byte, so that no copy is short");
    assert_eq!(all.len() as u64, count);
    for (n, (offset, len)) in all.into_iter().enumerate() {
        let data = n as u64 * STEP;
        assert!(offset <= data && data + 4 <= offset + len && len < STEP, "{offset} {len}");
    }
    let nothing = Ranges { handle: &handle, offset: count * STEP, len: 1 };
    assert_eq!(peer.ask_extended(nothing).status(), S::Eof);
    let hole = Ranges { handle: &handle, offset: STEP / 2, len: 10 };
    assert_eq!(peer.ask_extended(hole).status(), S::Eof);
}

#[test]
fn a_file_of_a_backend_without_holes_is_one_part() {
    let mut peer = Peer::on_memory();
    peer.put(b"/f", &[0; 1000]);
    let handle = peer.open(b"/f", OpenFlags::READ).handle();

    assert_eq!(ask_ranges(&mut peer, &handle, 0, 1 << 40), (vec![(0, 1000)], true));
    assert_eq!(ask_ranges(&mut peer, &handle, 990, 5), (vec![(990, 5)], true));
    assert_eq!(
        peer.ask_extended(Ranges { handle: b"none", offset: 0, len: 1 }).status(),
        S::Failure
    );
    let writer = peer.open(b"/f", OpenFlags::WRITE).handle();
    assert_eq!(
        peer.ask_extended(Ranges { handle: &writer, offset: 0, len: 1 }).status(),
        S::Failure
    );
}

fn value_of(peer: &mut Peer, request: impl Into<Extended<'static>>) -> Vec<u8> {
    let data = peer.ask_extended(request).extended();
    GetxattrReply::decode(&mut Reader::new(&data)).unwrap().value.to_vec()
}

#[test]
fn attributes_are_set_read_listed_and_removed() {
    let mut peer = Peer::on_memory();
    peer.put(b"/f", b"x");
    let set = |name: &'static [u8], flags| Setxattr { path: b"/f", name, value: b"value", flags };
    let get = Getxattr { path: b"/f", name: b"user.a", len_max: 100 };

    assert_eq!(peer.ask_extended(set(b"user.a", 0)).status(), S::Ok);
    assert_eq!(peer.ask_extended(set(b"user.a", XATTR_CREATE)).status(), S::Failure);
    assert_eq!(peer.ask_extended(set(b"user.a", XATTR_REPLACE)).status(), S::Ok);
    assert_eq!(peer.ask_extended(set(b"user.b", XATTR_REPLACE)).status(), S::NoSuchFile);
    assert_eq!(peer.ask_extended(set(b"user.b", 3)).status(), S::Failure);
    assert_eq!(value_of(&mut peer, get), b"value");
    assert_eq!(peer.ask_extended(Getxattr { len_max: 4, ..get }).status(), S::Failure);
    let handle = peer.open(b"/f", OpenFlags::READ | OpenFlags::WRITE).handle();
    let by_handle = Fsetxattr { handle: &handle, name: b"user.b", value: b"", flags: 0 };
    assert_eq!(peer.ask_extended(by_handle).status(), S::Ok);
    let by_handle = Fgetxattr { handle: &handle, name: b"user.a", len_max: 5 };
    let answer = peer.ask_extended(by_handle).extended();
    assert_eq!(answer, b"\0\0\0\x05value");
    let names = peer.ask_extended(Listxattr { path: b"/f" }).extended();
    let names = ListxattrReply::decode(&mut Reader::new(&names)).unwrap();
    assert!(names.iter().eq([b"user.a", b"user.b"]));
    let remove = Removexattr { path: b"/f", name: b"user.a" };
    assert_eq!(peer.ask_extended(remove).status(), S::Ok);
    assert_eq!(peer.ask_extended(remove).status(), S::NoSuchFile);
    let by_handle = Fremovexattr { handle: &handle, name: b"user.b" };
    assert_eq!(peer.ask_extended(by_handle).status(), S::Ok);
    let none = peer.ask_extended(Listxattr { path: b"/f" }).extended();
    assert_eq!(none, [0; 4]);
}

#[test]
fn names_outside_user_are_not_for_clients_and_a_read_only_session_only_reads() {
    let memory = Memory::new();
    let mut writer = Peer::new(Arc::new(memory.clone()), SessionPolicy::default());
    writer.put(b"/f", b"x");
    let name = b"user.a";
    writer.ask_extended(Setxattr { path: b"/f", name, value: b"1", flags: 0 });
    for name in [&b"security.capability"[..], b"system.posix_acl_access", b"trusted.x"] {
        let set = Setxattr { path: b"/f", name, value: b"1", flags: 0 };
        assert_eq!(writer.ask_extended(set).status(), S::PermissionDenied);
        let get = Getxattr { path: b"/f", name, len_max: 9 };
        assert_eq!(writer.ask_extended(get).status(), S::PermissionDenied);
    }
    let policy = SessionPolicy { read_only: true, ..SessionPolicy::default() };
    let mut reader = Peer::new(Arc::new(memory), policy);
    let handle = reader.open(b"/f", OpenFlags::READ).handle();

    let refused: [Extended<'_>; 4] = [
        Setxattr { path: b"/f", name, value: b"2", flags: 0 }.into(),
        Fsetxattr { handle: &handle, name, value: b"2", flags: 0 }.into(),
        Removexattr { path: b"/f", name }.into(),
        Fremovexattr { handle: &handle, name }.into(),
    ];
    for request in refused {
        assert_eq!(reader.ask_extended(request).status(), S::PermissionDenied);
    }
    assert_eq!(value_of(&mut reader, Getxattr { path: b"/f", name, len_max: 9 }), b"1");
}
