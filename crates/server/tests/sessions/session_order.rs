//! What goes on while something slow runs: a copy or an OPEN holds up only what depends on it.

use std::io::IoSliceMut;
use std::sync::{Arc, Condvar, Mutex};

use crate::support::Peer;
use sterna_server::limits::JOBS_MAX;
use sterna_server::sftp::{Resources, SessionPolicy};
use sterna_sftp_proto::extension::{CopyData, Extended, Fsync};
use sterna_sftp_proto::messages::{Open, Stat, Write};
use sterna_sftp_proto::{Attrs, OpenFlags, Request, StatusCode as S};
use sterna_storage::{self as storage, Backend, File, Memory, OpenHow};

/// Holds up whoever passes while it is closed.
#[derive(Default)]
struct Gate {
    closed: Mutex<bool>,
    opened: Condvar,
}

impl Gate {
    fn close(&self) {
        *self.closed.lock().unwrap() = true;
    }

    fn open(&self) {
        *self.closed.lock().unwrap() = false;
        self.opened.notify_all();
    }

    fn pass(&self) {
        let closed = self.closed.lock().unwrap();
        drop(self.opened.wait_while(closed, |closed| *closed).unwrap());
    }
}

/// Memory whose copies and syncs, and OPENs of names that begin with `/slow`, wait at a gate.
struct Slow {
    memory: Memory,
    gate: Arc<Gate>,
}

struct SlowFile {
    file: Box<dyn File>,
    gate: Arc<Gate>,
}

impl Backend for Slow {
    fn open(&self, path: &[u8], how: &OpenHow) -> storage::Result<Box<dyn File>> {
        if path.starts_with(b"/slow") {
            self.gate.pass();
        }
        let file = self.memory.open(path, how)?;
        Ok(Box::new(SlowFile { file, gate: Arc::clone(&self.gate) }))
    }

    fn stat(&self, path: &[u8], follow: bool) -> storage::Result<storage::Attrs> {
        self.memory.stat(path, follow)
    }

    fn realpath(&self, path: &[u8]) -> storage::Result<Vec<u8>> {
        self.memory.realpath(path)
    }
}

impl File for SlowFile {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> storage::Result<usize> {
        self.file.read_at(buffers, offset)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> storage::Result<()> {
        self.file.write_at(data, offset)
    }

    fn copy_to(
        &self,
        _from: u64,
        _len: u64,
        _target: &dyn File,
        _to: u64,
    ) -> Option<storage::Result<u64>> {
        self.gate.pass();
        None
    }

    fn stat(&self) -> storage::Result<storage::Attrs> {
        self.file.stat()
    }

    fn sync(&self) -> storage::Result<()> {
        self.gate.pass();
        Ok(())
    }

    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
}

fn peer() -> (Peer, Arc<Gate>) {
    peer_with(&Resources::new(2))
}

fn peer_with(resources: &Resources) -> (Peer, Arc<Gate>) {
    let gate = Arc::new(Gate::default());
    let backend = Arc::new(Slow { memory: Memory::new(), gate: Arc::clone(&gate) });
    (Peer::with(backend, SessionPolicy::default(), resources, usize::MAX, 1 << 20), gate)
}

fn create<'p>(path: &'p [u8]) -> Open<'p> {
    let flags = OpenFlags::WRITE | OpenFlags::CREATE | OpenFlags::TRUNCATE;
    Open { path, flags, attrs: Attrs::default() }
}

fn is_answered(peer: &Peer, id: u32) -> bool {
    peer.answers.iter().any(|answer| answer.id == id)
}

#[test]
fn a_long_copy_holds_up_its_own_handles_and_looks_by_path_and_nothing_else() {
    let (mut peer, gate) = peer();
    peer.put(b"/from", &[7; 5000]);
    let from = peer.open(b"/from", OpenFlags::READ).handle();
    let to = peer.create(b"/to");
    let other = peer.create(b"/other");
    gate.close();

    let copy =
        CopyData { read_handle: &from, read_offset: 0, len: 0, write_handle: &to, write_offset: 0 };
    let copied = peer.send(Request::Extended(Extended::from(copy)));
    assert_eq!(peer.write(&other, 0, b"other"), S::Ok);
    assert_eq!(peer.read(&other, 0, 10).data(), b"other");
    assert_eq!(peer.read(&from, 0, 3).data(), [7; 3]);
    let beside = peer.ask(create(b"/beside")).handle();
    assert_eq!(peer.close(&beside), S::Ok);
    let own_write = peer.send(Write { handle: &to, offset: 0, data: b"after the copy" });
    let stat = peer.send(Stat { path: b"/to" });
    assert_eq!(peer.read(&other, 0, 10).data(), b"other");
    assert!(![copied, own_write, stat].iter().any(|id| is_answered(&peer, *id)));
    gate.open();

    assert_eq!(peer.answer(copied).status(), S::Ok);
    assert_eq!(peer.answer(own_write).status(), S::Ok);
    assert_eq!(peer.answer(stat).attrs().size, Some(5000));
    assert_eq!(peer.read(&to, 0, 16).data(), b"after the copy\x07\x07");
}

#[test]
fn a_slow_open_that_makes_a_file_holds_up_neither_writes_nor_other_opens() {
    let (mut peer, gate) = peer();
    let other = peer.create(b"/other");
    gate.close();

    let slow = peer.send(create(b"/slow"));
    assert_eq!(peer.write(&other, 0, b"goes on"), S::Ok);
    let second = peer.ask(create(b"/second")).handle();
    assert_eq!(peer.write(&second, 0, b"goes on too"), S::Ok);
    let stat = peer.send(Stat { path: b"/slow" });
    assert_eq!(peer.read(&other, 0, 10).data(), b"goes on");
    assert!(!is_answered(&peer, slow) && !is_answered(&peer, stat));
    gate.open();

    peer.answer(slow).handle();
    assert_eq!(peer.answer(stat).attrs().size, Some(0));
}

#[test]
fn a_handle_that_is_guessed_before_its_open_is_answered_is_none() {
    let (mut twin, _) = peer();
    let guessed = twin.create(b"/first");
    let (mut peer, gate) = peer();
    gate.close();
    let names: Vec<String> = (0..JOBS_MAX).map(|n| format!("/slow{n}")).collect();
    let opens: Vec<u32> = names.iter().map(|name| peer.send(create(name.as_bytes()))).collect();
    peer.turn();

    let write = peer.send(Write { handle: &guessed, offset: 0, data: b"early" });
    let copy = CopyData {
        read_handle: &guessed,
        read_offset: 0,
        len: 0,
        write_handle: &guessed,
        write_offset: 0,
    };
    let copied = peer.send(Request::Extended(Extended::from(copy)));
    peer.turn();
    gate.open();

    let handles: Vec<Vec<u8>> = opens.iter().map(|id| peer.answer(*id).handle()).collect();
    assert!(handles.contains(&guessed), "the guess was good");
    assert_eq!(peer.answer(write).status(), S::Failure);
    assert_eq!(peer.answer(copied).status(), S::Failure);
    assert_eq!(peer.write(&guessed, 0, b"now"), S::Ok);
}

#[test]
fn syncs_of_one_session_hold_up_nobody_who_reads() {
    let resources = Resources::new(4);
    let (mut syncing, gate) = peer_with(&resources);
    let (mut reading, _) = peer_with(&resources);
    let names: Vec<String> = (0..JOBS_MAX).map(|n| format!("/{n}")).collect();
    let handles: Vec<Vec<u8>> = names.iter().map(|name| syncing.create(name.as_bytes())).collect();
    gate.close();
    let syncs: Vec<u32> = handles
        .iter()
        .map(|handle| syncing.send(Request::Extended(Extended::from(Fsync { handle }))))
        .collect();
    syncing.turn();

    let handle = reading.create(b"/f");
    assert_eq!(reading.write(&handle, 0, b"content"), S::Ok);
    assert_eq!(reading.read(&handle, 0, 10).data(), b"content");
    assert!(!syncs.iter().any(|id| is_answered(&syncing, *id)));
    gate.open();

    assert!(syncs.into_iter().all(|id| syncing.answer(id).status() == S::Ok));
}

#[test]
fn an_open_that_empties_a_file_comes_after_the_writes_to_it() {
    let (mut peer, _) = peer();
    let handle = peer.create(b"/f");
    let writes: Vec<u32> = (0..100)
        .map(|n| peer.send(Write { handle: &handle, offset: n * 1000, data: &[1; 1000] }))
        .collect();

    let emptied = peer.send(create(b"//./f"));
    let stat = peer.send(Stat { path: b"/f" });

    assert_eq!(peer.answer(stat).attrs().size, Some(0));
    assert!(writes.into_iter().all(|id| peer.answer(id).status() == S::Ok));
    peer.answer(emptied).handle();
}
