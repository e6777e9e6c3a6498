//! The power goes at every call that storage gets during an upload: what was acknowledged is whole afterwards, what
//! was not is absent, old or to be gone on with, and never half under its name.

use std::io::IoSliceMut;
use std::sync::Arc;

use crate::support::{Peer, pattern};
use sterna_server::sftp::{Resources, SessionPolicy};
use sterna_sftp_proto::extension::{Fsync, PosixRename};
use sterna_sftp_proto::messages::{Close, Fsetstat, Open, Write};
use sterna_sftp_proto::{Attrs, OpenFlags, Reply, Request, StatusCode};
use sterna_storage::{Backend, Folder, OnClose, OpenHow, Uploads};
use sterna_testkit::storage::{Disk, Kept};

const LEN: usize = 4 * 10_000;
const OLD: &[u8] = b"what was there before";

/// What may be left of what was not synced.
fn kept() -> impl Iterator<Item = Kept> {
    [Kept::Nothing, Kept::All, Kept::Names].into_iter().chain((0..12).map(Kept::Some))
}

fn on_close(disk: &Disk) -> Arc<dyn Backend> {
    let everywhere = [Folder { path: b"/".to_vec(), on_close: true }];
    Arc::new(OnClose::new(Arc::new(disk.clone()), b"alice", &everywhere, Uploads::new()))
}

fn disk(old: bool) -> Disk {
    let disk = Disk::new();
    if old {
        let how = OpenHow { write: true, create: true, ..OpenHow::default() };
        disk.open(b"/f", &how).unwrap().write_at(OLD, 0).unwrap();
        disk.settle();
    }
    disk
}

fn get(disk: &Disk, path: &[u8]) -> Option<Vec<u8>> {
    let file = disk.open(path, &OpenHow { read: true, ..OpenHow::default() }).ok()?;
    let mut bytes = vec![0; 2 * LEN];
    let len = file.read_at(&mut [IoSliceMut::new(&mut bytes)], 0).unwrap();
    bytes.truncate(len);
    Some(bytes)
}

/// Which of the answers to an upload said yes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Said {
    synced: bool,
    closed: bool,
    renamed: bool,
}

/// Uploads to `path`, all requests at once as most clients do; then renames to `to`, if anything.
fn upload(peer: &mut Peer, path: &[u8], fsync: bool, to: Option<&[u8]>) -> Said {
    let content = pattern(LEN);
    let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
    let opened = peer.ask(Open { path, flags, attrs: Attrs::default() });
    let Reply::Handle(handle) = opened.decode() else { return Said::default() };
    let handle = handle.handle;
    let mut sent = Vec::new();
    for (n, data) in content.chunks(LEN / 4).enumerate() {
        let offset = (n * LEN / 4) as u64;
        sent.push(peer.send(Write { handle, offset, data }));
    }
    let attrs = Attrs { permissions: Some(0o640), ..Attrs::default() };
    sent.push(peer.send(Fsetstat { handle, attrs }));
    let good = |peer: &mut Peer, id| peer.answer(id).status() == StatusCode::Ok;
    let sync = fsync.then(|| peer.send(Request::Extended(Fsync { handle }.into())));
    let close = peer.send(Close { handle });
    let written = sent.into_iter().fold(true, |all, id| good(peer, id) & all);
    let synced = sync.is_some_and(|id| good(peer, id)) && written;
    let closed = good(peer, close) && written;
    let renamed = closed
        && to.is_some_and(|new_path| {
            let rename = PosixRename { old_path: path, new_path };
            peer.ask(Request::Extended(rename.into())).status() == StatusCode::Ok
        });
    Said { synced, closed, renamed }
}

/// A client that goes on: it compares what is there with what it has, and sends what differs.
fn go_on(peer: &mut Peer, path: &[u8]) {
    let content = pattern(LEN);
    let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
    let handle = peer.open(path, flags).handle();
    for (n, data) in content.chunks(LEN / 4).enumerate() {
        let offset = (n * LEN / 4) as u64;
        let there = peer.read(&handle, offset, data.len() as u32);
        if !matches!(there.decode(), Reply::Data(found) if found.data == data) {
            assert_eq!(peer.write(&handle, offset, data), StatusCode::Ok);
        }
    }
    let attrs = Attrs { size: Some(LEN as u64), ..Attrs::default() };
    assert_eq!(peer.ask(Fsetstat { handle: &handle, attrs }).status(), StatusCode::Ok);
    assert_eq!(peer.close(&handle), StatusCode::Ok);
}

/// Runs `upload` with the power going at each of its calls, and lets `check` see what is left.
fn cut_everywhere(
    old: bool,
    backend: fn(&Disk) -> Arc<dyn Backend>,
    upload: impl Fn(&mut Peer) -> Said,
    check: impl Fn(&Disk, Said, &str),
) {
    let resources = Resources::new(1);
    let start = |disk: &Disk| {
        let policy = SessionPolicy::default();
        Peer::with(backend(disk), policy, &resources, usize::MAX, 1 << 20)
    };
    let undisturbed = disk(old);
    let said = upload(&mut start(&undisturbed));
    assert!(said.closed);
    let calls = undisturbed.calls();
    assert!(calls > 8, "{calls}");
    for at in 0..=calls {
        let disk = disk(old);
        let mut peer = start(&disk);
        disk.cut_at(at);
        let said = upload(&mut peer);
        drop(peer);
        for kept in kept() {
            check(&disk.after_cut(kept), said, &format!("call {at}, {kept:?}, {said:?}"));
        }
    }
}

#[test]
fn an_upload_published_on_close_survives_a_power_cut_at_any_call() {
    for old in [false, true] {
        let check = |after: &Disk, said: Said, what: &str| {
            let (found, before) = (get(after, b"/f"), old.then(|| OLD.to_vec()));
            let whole = Some(pattern(LEN));
            if said.closed {
                assert!(found == whole, "{what}: acknowledged and gone");
            }
            let len = found.as_ref().map(Vec::len);
            assert!(found == whole || found == before, "{what}: {len:?} bytes have the name");

            // Beginning anew works, and so does going on.
            for anew in [true, false] {
                let after = after.after_cut(Kept::All);
                let mut peer = Peer::new(on_close(&after), SessionPolicy::default());
                if anew {
                    assert!(upload(&mut peer, b"/f", false, None).closed, "{what}");
                } else {
                    go_on(&mut peer, b"/f");
                }
                assert!(get(&after, b"/f") == whole, "{what}: anew {anew}");
            }
        };
        cut_everywhere(old, on_close, |peer| upload(peer, b"/f", false, None), check);
    }
}

/// What a client does that brings its own part: fsync before the name.
#[test]
fn an_upload_to_a_part_that_is_synced_and_renamed_survives_a_power_cut_at_any_call() {
    for old in [false, true] {
        let check = |after: &Disk, said: Said, what: &str| {
            let (found, before) = (get(after, b"/f"), old.then(|| OLD.to_vec()));
            let (part, whole) = (get(after, b"/.f.part"), Some(pattern(LEN)));
            let len = found.as_ref().map(Vec::len);
            assert!(found == whole || found == before, "{what}: {len:?} bytes have the name");
            // Names become stable when the directory is synced, which SFTP's own requests do not ask for: the file may
            // have its part's name again, or if that was never synced, none. What is there is whole.
            if said.synced {
                assert!(part.is_none() || part == whole, "{what}: acknowledged and not whole");
            }
        };
        let upload = |peer: &mut Peer| upload(peer, b"/.f.part", true, Some(b"/f"));
        cut_everywhere(old, |disk| Arc::new(disk.clone()), upload, check);
    }
}

#[test]
fn a_client_that_syncs_the_directory_too_finds_the_name_after_a_power_cut() {
    let upload = |peer: &mut Peer| {
        let said = upload(peer, b"/.f.part", true, Some(b"/f"));
        let opened = peer.opendir(b"/");
        let Reply::Handle(handle) = opened.decode() else { return Said { closed: false, ..said } };
        let handle = handle.handle;
        let synced = peer.ask(Request::Extended(Fsync { handle }.into())).status();
        Said { closed: said.renamed && synced == StatusCode::Ok, ..said }
    };
    let check = |after: &Disk, said: Said, what: &str| {
        if said.closed {
            assert!(get(after, b"/f") == Some(pattern(LEN)), "{what}");
        }
    };
    cut_everywhere(true, |disk| Arc::new(disk.clone()), upload, check);
}
