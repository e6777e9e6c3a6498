//! The power of the server goes at every call that its storage gets during `put`: its target is the old file or the new
//! one, what was called done is whole, and putting it again completes it.

use std::io::IoSliceMut;
use std::sync::Arc;

use sterna_client::transfer::{Options, Transfer};
use sterna_storage::{Backend, Folder, OnClose, OpenHow, Uploads};
use sterna_testkit::storage::{Disk, Kept};

use crate::relay::{IO_LEN, Server, Wish};
use crate::stage::content;

const LEN: usize = 3 * IO_LEN as usize + 7;
const OLD: &[u8] = b"what was there before";

/// What stands between the session and the disk.
type Layer = fn(&Disk) -> Arc<dyn Backend>;

fn direct(disk: &Disk) -> Arc<dyn Backend> {
    Arc::new(disk.clone())
}

fn on_close(disk: &Disk) -> Arc<dyn Backend> {
    let everywhere = [Folder { path: b"/".to_vec(), on_close: true }];
    Arc::new(OnClose::new(Arc::new(disk.clone()), b"alice", &everywhere, Uploads::new()))
}

fn get(disk: &Disk, path: &[u8]) -> Option<Vec<u8>> {
    let file = disk.open(path, &OpenHow { read: true, ..OpenHow::default() }).ok()?;
    let mut bytes = vec![0; 2 * LEN];
    let len = file.read_at(&mut [IoSliceMut::new(&mut bytes)], 0).unwrap();
    bytes.truncate(len);
    Some(bytes)
}

/// Puts `here/f` on the disk, with a session of its own.
async fn put(disk: &Disk, layer: Layer, dir: &std::path::Path) -> Result<(), String> {
    let server = Server::on(layer(disk), Wish::default()).await.map_err(|e| e.to_string())?;
    let options = Options { state_dir: Some(dir.join("state")), retries: 0, ..Options::default() };
    let transfer = Transfer::new(&server.sftp).options(options);
    let summary = transfer.put(&[dir.join("f")], b"/f").await;
    server.end().await;
    let summary = summary.map_err(|error| error.to_string())?;
    if summary.exit_code() == 0 { Ok(()) } else { Err(format!("{:?}", summary.errors)) }
}

async fn cut_everywhere(layer: Layer) {
    let dir = tempfile::tempdir().unwrap();
    let new = content(LEN, 1);
    std::fs::write(dir.path().join("f"), &new).unwrap();
    let fresh = || {
        let disk = Disk::with_journal();
        let how = OpenHow { write: true, create: true, ..OpenHow::default() };
        disk.open(b"/f", &how).unwrap().write_at(OLD, 0).unwrap();
        disk.settle();
        disk
    };
    let undisturbed = fresh();
    assert_eq!(put(&undisturbed, layer, dir.path()).await, Ok(()));
    assert!(get(&undisturbed, b"/f").as_ref() == Some(&new));
    let calls = undisturbed.calls();
    assert!(calls > 10, "{calls}");

    for at in 0..=calls {
        let disk = fresh();
        disk.cut_at(at);
        let done = put(&disk, layer, dir.path()).await.is_ok();
        for kept in [Kept::Nothing, Kept::All, Kept::Names, Kept::Some(at), Kept::Some(at + 1000)] {
            let after = disk.after_cut(kept);
            let what = format!("call {at} of {calls}, {kept:?}, done {done}");
            let found = get(&after, b"/f").expect("there is always a file");
            assert!(found == new || found == OLD, "{what}: a file of {} bytes", found.len());
            assert!(!done || found == new, "{what}: called done and not whole under its name");

            assert_eq!(put(&after, layer, dir.path()).await, Ok(()), "{what}: once more");
            assert!(get(&after, b"/f").as_ref() == Some(&new), "{what}: once more");
        }
    }
}

#[tokio::test]
async fn a_put_survives_a_power_cut_of_the_server_at_any_call() {
    cut_everywhere(direct).await;
}

#[tokio::test]
async fn a_put_to_a_server_that_publishes_on_close_survives_one_too() {
    cut_everywhere(on_close).await;
}

#[tokio::test]
async fn what_a_tree_was_made_of_is_there_after_a_power_cut_behind_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let files = ["a", "below/b", "below/deeper/c", "below/deeper/d"];
    for (seed, name) in files.into_iter().enumerate() {
        let path = dir.path().join("tree").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content(1000 + seed, seed as u64)).unwrap();
    }
    let disk = Disk::new();
    let server = Server::on(direct(&disk), Wish::default()).await.unwrap();
    let options = Options { recursive: true, state_dir: None, ..Options::default() };
    let transfer = Transfer::new(&server.sftp).options(options);

    let summary = transfer.put(&[dir.path().join("tree")], b"/new").await.unwrap();

    assert_eq!(summary.exit_code(), 0, "{:?}", summary.errors);
    server.end().await;
    let after = disk.after_cut(Kept::Nothing);
    for (seed, name) in files.into_iter().enumerate() {
        let found = get(&after, format!("/new/{name}").as_bytes());
        assert!(found == Some(content(1000 + seed, seed as u64)), "{name}");
    }
}
