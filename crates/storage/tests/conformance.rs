//! Every backend of this crate keeps the one contract.

use std::sync::{Arc, Mutex};

use sterna_storage::{Backend, Folder, Local, Memory, OnClose, Resolver, Uploads, conformance};

fn run_local(resolver: Resolver) {
    // Kept until the end: a backend does not own its directory.
    let dirs = Mutex::new(Vec::new());
    conformance::run(&|| {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::with_resolver(dir.path(), resolver).unwrap();
        dirs.lock().unwrap().push(dir);
        Arc::new(local) as Arc<dyn Backend>
    });
}

#[test]
fn local_by_openat2_keeps_the_contract() {
    run_local(Resolver::Kernel);
}

#[test]
fn local_by_walking_keeps_the_contract() {
    run_local(Resolver::Walk);
}

#[test]
fn memory_keeps_the_contract() {
    conformance::run(&|| Arc::new(Memory::new()));
}

fn on_close(below: Arc<dyn Backend>) -> Arc<dyn Backend> {
    let everywhere = Folder { path: b"/".to_vec(), on_close: true };
    Arc::new(OnClose::new(below, b"alice", &[everywhere], Uploads::new()))
}

#[test]
fn published_on_close_in_memory_keeps_the_contract() {
    conformance::run_replacing(&|| on_close(Arc::new(Memory::new())));
}

#[test]
fn published_on_close_on_disk_keeps_the_contract() {
    let dirs = Mutex::new(Vec::new());
    conformance::run_replacing(&|| {
        let dir = tempfile::tempdir().unwrap();
        let local = Local::open(dir.path()).unwrap();
        dirs.lock().unwrap().push(dir);
        on_close(Arc::new(local))
    });
}

#[test]
fn the_layer_changes_nothing_where_uploads_are_published_directly() {
    conformance::run(&|| {
        Arc::new(OnClose::new(Arc::new(Memory::new()), b"alice", &[], Uploads::new()))
            as Arc<dyn Backend>
    });
}
