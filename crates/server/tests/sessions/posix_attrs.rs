//! `posix-attrs@sterna-sftp`: exact attributes for who asks, and nothing new for who does not.

use std::sync::Arc;

use crate::support::Peer;
use sterna_server::sftp::SessionPolicy;
use sterna_sftp_proto::extension::{Hardlink, Lsetstat, PosixAttrs, PosixAttrsRequest};
use sterna_sftp_proto::messages::{Fsetstat, Fstat, Lstat, Readdir, Setstat};
use sterna_sftp_proto::{Attrs, OpenFlags, Reply, StatusCode as S, Times};
use sterna_storage::{Backend, Local, Memory};

fn exactly(modified: u32, nanos: u32) -> Attrs<'static> {
    let times = Times { accessed: 1_000_000_000, modified };
    Attrs { times: Some(times), ..Attrs::default() }.with_nanos(7, nanos)
}

fn backends() -> (tempfile::TempDir, [Arc<dyn Backend>; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(dir.path()).unwrap();
    (dir, [Arc::new(local), Arc::new(Memory::new())])
}

fn listed(peer: &mut Peer, name: &[u8]) -> Option<PosixAttrs> {
    let dir = peer.opendir(b"/").handle();
    let answer = peer.ask(Readdir { handle: &dir });
    let Reply::Name(names) = answer.decode() else { panic!("no names") };
    let entry = names.iter().find(|entry| entry.filename == name).unwrap();
    entry.attrs.posix
}

#[test]
fn who_has_asked_reads_and_sets_nanoseconds_everywhere() {
    let (_dir, backends) = backends();
    for backend in backends {
        let mut peer = Peer::new(backend, SessionPolicy::default());
        peer.put(b"/f", b"x");

        assert_eq!(peer.ask_extended(PosixAttrsRequest::new()).status(), S::Ok);
        let attrs = exactly(1_500_000_000, 123_456_789);
        assert_eq!(peer.ask(Setstat { path: b"/f", attrs }).status(), S::Ok);
        let answer = peer.stat(b"/f");
        assert_eq!(answer.attrs().modified_nanos(), Some(123_456_789));
        assert_eq!(answer.attrs().times.unwrap().modified, 1_500_000_000);
        let handle = peer.open(b"/f", OpenFlags::WRITE).handle();
        let attrs = exactly(1_500_000_001, 999_999_999);
        assert_eq!(peer.ask(Fsetstat { handle: &handle, attrs }).status(), S::Ok);
        let answer = peer.ask(Fstat { handle: &handle });
        assert_eq!(answer.attrs().modified_nanos(), Some(999_999_999));
        let attrs = exactly(1_500_000_002, 1);
        assert_eq!(peer.ask_extended(Lsetstat { path: b"/f", attrs }).status(), S::Ok);
        assert_eq!(peer.ask(Lstat { path: b"/f" }).attrs().modified_nanos(), Some(1));
        assert_eq!(listed(&mut peer, b"f").unwrap().modified_nanos, 1);
    }
}

#[test]
fn file_ids_tell_which_names_are_one_file() {
    let (_dir, backends) = backends();
    for backend in backends {
        let mut peer = Peer::new(backend, SessionPolicy::default());
        peer.ask_extended(PosixAttrsRequest::new());
        peer.put(b"/f", b"same");
        peer.put(b"/g", b"same");
        peer.ask_extended(Hardlink { existing: b"/f", new: b"/h" });

        let posix =
            ["/f", "/g", "/h"].map(|path| peer.stat(path.as_bytes()).attrs().posix.unwrap());

        assert_eq!(posix.map(|posix| posix.links), [2, 1, 2]);
        assert_eq!(posix[0].file_id, posix[2].file_id);
        assert_ne!(posix[0].file_id, posix[1].file_id);
        assert_eq!(listed(&mut peer, b"h").unwrap().file_id, posix[0].file_id);
    }
}

#[test]
fn who_has_not_asked_sees_version_3_and_sets_seconds() {
    let mut peer = Peer::on_memory();
    peer.put(b"/f", b"x");

    let attrs = exactly(1_500_000_000, 123_456_789);
    assert_eq!(peer.ask(Setstat { path: b"/f", attrs }).status(), S::Ok);

    let answer = peer.stat(b"/f");
    assert_eq!((answer.attrs().posix, answer.attrs().extended.len()), (None, 0));
    assert_eq!(listed(&mut peer, b"f"), None);
    peer.ask_extended(PosixAttrsRequest::new());
    assert_eq!(peer.stat(b"/f").attrs().modified_nanos(), Some(0));
}

#[test]
fn a_read_only_session_may_ask_too() {
    let policy = SessionPolicy { read_only: true, ..SessionPolicy::default() };
    let mut peer = Peer::new(Arc::new(Memory::new()), policy);

    assert_eq!(peer.ask_extended(PosixAttrsRequest::new()).status(), S::Ok);
    assert!(peer.stat(b"/").attrs().file_id().is_some());
}
