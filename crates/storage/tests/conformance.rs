//! Every backend of this crate keeps the one contract.

use std::sync::{Arc, Mutex};

use sterna_storage::{Backend, Local, Memory, Resolver, conformance};

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
