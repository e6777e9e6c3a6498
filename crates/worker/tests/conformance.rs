//! A backend over a worker keeps every promise of a backend, alone and below uploads that are published on close.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use sterna_sandbox::Channel;
use sterna_storage::{Backend, Folder, Local, OnClose, OpenHow, Uploads, conformance};
use sterna_worker::{RemoteBackend, serve_files};
use tempfile::TempDir;

/// A worker on a thread, with the rights of this test.
fn worker(dir: &TempDir) -> RemoteBackend {
    let (own, other) = Channel::pair().unwrap();
    let local = Local::open(dir.path()).unwrap();
    thread::spawn(move || serve_files(&other, &local).unwrap());
    RemoteBackend::new(own, "tester", || ())
}

#[test]
fn a_worker_keeps_every_promise() {
    let dirs = std::cell::RefCell::new(Vec::new());
    conformance::run(&|| {
        let dir = tempfile::tempdir().unwrap();
        let backend = worker(&dir);
        dirs.borrow_mut().push(dir);
        Arc::new(backend)
    });
}

#[test]
fn uploads_are_published_on_close_above_a_worker() {
    let dirs = std::cell::RefCell::new(Vec::new());
    let everywhere = [Folder { path: b"/".to_vec(), on_close: true }];
    conformance::run_replacing(&|| {
        let dir = tempfile::tempdir().unwrap();
        let below: Arc<dyn Backend> = Arc::new(worker(&dir));
        dirs.borrow_mut().push(dir);
        Arc::new(OnClose::new(below, b"tester", &everywhere, Arc::new(Uploads::default())))
    });
    let dir = tempfile::tempdir().unwrap();
    let layer =
        OnClose::new(Arc::new(worker(&dir)), b"tester", &everywhere, Arc::new(Uploads::default()));
    let how = OpenHow { write: true, create: true, ..OpenHow::default() };
    let file = layer.open(b"/f", &how).unwrap();
    file.write_at(b"content", 0).unwrap();
    assert!(!dir.path().join("f").exists());
    file.close().unwrap();
    assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), b"content");
}

#[test]
fn a_worker_that_is_gone_fails_every_call_and_hangs_none() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("f"), b"0123").unwrap();
    let (own, other) = Channel::pair().unwrap();
    let lost = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lost);
    let backend = RemoteBackend::new(own, "tester", move || {
        count.fetch_add(1, Ordering::Relaxed);
    });
    let local = Local::open(dir.path()).unwrap();
    let one = thread::spawn(move || {
        // It answers one request and ends.
        let message = other.receive().unwrap().unwrap();
        let (again, theirs) = Channel::pair().unwrap();
        again.send(&message.bytes, &[]).unwrap();
        let answered = thread::spawn(move || serve_files(&theirs, &local));
        let reply = again.receive().unwrap().unwrap();
        let files: Vec<_> = reply.descriptors.iter().map(std::os::fd::AsFd::as_fd).collect();
        other.send(&reply.bytes, &files).unwrap();
        drop(again);
        answered.join().unwrap().unwrap();
    });
    let file = backend.open(b"/f", &OpenHow { read: true, ..OpenHow::default() }).unwrap();
    one.join().unwrap();

    assert!(backend.stat(b"/f", true).is_err());
    assert!(backend.open_dir(b"/").is_err());
    assert!(file.set_attrs(&sterna_storage::SetAttrs::default()).is_err());
    assert_eq!(lost.load(Ordering::Relaxed), 1, "said once");
    // What is open stays readable: the kernel has judged it.
    let mut bytes = [0; 4];
    let read = file.read_at(&mut [std::io::IoSliceMut::new(&mut bytes)], 0).unwrap();
    assert_eq!((read, &bytes), (4, b"0123"));
}

#[test]
fn a_worker_that_lies_is_not_asked_again() {
    let (own, other) = Channel::pair().unwrap();
    let backend = RemoteBackend::new(own, "tester", || ());
    let liar = thread::spawn(move || {
        other.receive().unwrap().unwrap();
        // A path, where attributes were asked for.
        other.send(&[4, 0, 0, 0, 1, b'/'], &[]).unwrap();
        other
    });

    assert!(backend.stat(b"/f", true).is_err());
    let other = liar.join().unwrap();
    assert!(backend.stat(b"/f", true).is_err());
    assert!(other.receive().unwrap().is_none(), "the channel is closed");
}
