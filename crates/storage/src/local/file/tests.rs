//! What only local files do: special files, kernel copies, reads without blocking.

use std::fs;
use std::path::Path;

use super::*;
use crate::{Backend, ErrorKind, Local};

const READ: OpenHow = OpenHow {
    read: true,
    write: false,
    append: false,
    create: false,
    truncate: false,
    exclusive: false,
    mode: None,
};
const CREATE: OpenHow = OpenHow { write: true, create: true, ..READ };

fn stage() -> (tempfile::TempDir, Local) {
    let dir = tempfile::tempdir().unwrap();
    let local = Local::open(dir.path()).unwrap();
    (dir, local)
}

fn try_read(file: &dyn File, len: usize, offset: u64) -> Option<Vec<u8>> {
    let mut buffer = vec![0; len];
    let read = file.try_read_at(&mut [IoSliceMut::new(&mut buffer)], offset)?.unwrap();
    buffer.truncate(read);
    Some(buffer)
}

/// A FIFO without a writer would hold a plain `open` for ever; so would a tape or a modem.
#[test]
fn fifos_sockets_and_devices_are_refused_at_once() {
    let (dir, local) = stage();
    let fifo = dir.path().join("fifo");
    rustix::fs::mkfifoat(rustix::fs::CWD, &fifo, Mode::from_raw_mode(0o666)).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();

    for path in [&b"/fifo"[..], b"/socket"] {
        for how in [READ, OpenHow { read: false, write: true, ..READ }, CREATE] {
            let error = local.open(path, &how).err().unwrap();
            assert_eq!(error.kind, ErrorKind::WrongKind, "{} {how:?}", path.escape_ascii());
        }
        let resize = SetAttrs { size: Some(0), ..SetAttrs::default() };
        let error = local.set_attrs(path, &resize, true).unwrap_err();
        assert_eq!(error.kind, ErrorKind::WrongKind);
    }
    let devices = Local::open("/dev").unwrap();
    assert_eq!(devices.open(b"/null", &READ).err().unwrap().kind, ErrorKind::WrongKind);
    assert!(devices.open(b"/zero", &READ).is_err());
}

#[test]
fn a_cached_file_is_read_without_blocking() {
    for place in [std::env::temp_dir().as_path(), Path::new("/dev/shm")] {
        let Ok(dir) = tempfile::tempdir_in(place) else { continue };
        let local = Local::open(dir.path()).unwrap();
        fs::write(dir.path().join("f"), [7; 10_000]).unwrap();
        let file = local.open(b"/f", &READ).unwrap();
        // Where the kernel cannot, the answer is "not without blocking", and never a wrong one.
        let Some(first) = try_read(&*file, 4096, 0) else { continue };

        assert_eq!(first, [7; 4096]);
        assert_eq!(try_read(&*file, 9999, 9_000).unwrap(), [7; 1000], "short at the end");
        assert_eq!(try_read(&*file, 10, 10_000).unwrap(), b"", "nothing after it");
    }
}

#[test]
fn what_a_read_without_blocking_depends_on_is_known_when_the_file_is_open() {
    let (dir, local) = stage();
    let shm = Path::new("/dev/shm");
    let in_shm = tempfile::tempdir_in(shm).ok();
    for (dir, local) in [
        Some((dir, local)),
        in_shm.map(|dir| {
            let l = Local::open(dir.path()).unwrap();
            (dir, l)
        }),
    ]
    .into_iter()
    .flatten()
    {
        fs::write(dir.path().join("f"), b"x").unwrap();
        let file = local.open(b"/f", &READ).unwrap();
        let file = file.as_any().downcast_ref::<LocalFile>().unwrap();

        let fs = rustix::fs::statfs(dir.path()).unwrap();
        let expected = [0x0102_1994, 0x8584_58F6].contains(&u64::try_from(fs.f_type).unwrap());
        assert_eq!(file.kind == Kind::InMemory, expected, "{}", dir.path().display());
    }
}

#[test]
fn copy_moves_ranges_and_stops_at_the_end() {
    let (dir, local) = stage();
    let bytes: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    fs::write(dir.path().join("from"), &bytes).unwrap();
    let from = local.open(b"/from", &READ).unwrap();
    let to = local.open(b"/to", &CREATE).unwrap();
    let Some(copied) = from.copy_to(10, 1000, &*to, 5) else {
        return; // This file system cannot: the caller reads and writes.
    };

    assert_eq!(copied.unwrap(), 1000);
    assert_eq!(fs::read(dir.path().join("to")).unwrap()[5..], bytes[10..1010]);
    assert_eq!(from.copy_to(99_990, 1000, &*to, 0).unwrap().unwrap(), 10);
    assert_eq!(from.copy_to(0, 0, &*to, 0).unwrap().unwrap(), 100_000);
    assert_eq!(fs::read(dir.path().join("to")).unwrap(), bytes);
}

#[test]
fn a_file_of_another_backend_or_for_appending_is_not_copied_into() {
    let (dir, local) = stage();
    fs::write(dir.path().join("from"), b"x").unwrap();
    let from = local.open(b"/from", &READ).unwrap();
    let appending = local.open(b"/to", &OpenHow { append: true, ..CREATE }).unwrap();
    let foreign = crate::Memory::new().open(b"/to", &CREATE).unwrap();

    assert!(from.copy_to(0, 0, &*appending, 0).is_none());
    assert!(from.copy_to(0, 0, &*foreign, 0).is_none());
}

#[test]
fn a_file_without_any_rights_can_be_given_some_by_its_owner() {
    let (dir, local) = stage();
    fs::write(dir.path().join("f"), b"x").unwrap();
    let mode = |mode| SetAttrs { mode: Some(mode), ..SetAttrs::default() };

    local.set_attrs(b"/f", &mode(0), true).unwrap();
    local.set_attrs(b"/f", &mode(0o640), true).unwrap();

    assert_eq!(local.stat(b"/f", true).unwrap().mode, 0o640);
}

#[test]
fn errors_name_no_path_of_the_machine() {
    let (dir, local) = stage();
    let error = local.open(b"/missing", &READ).err().unwrap();
    let shown = format!("{error} {error:?}");
    assert!(!shown.contains(dir.path().to_str().unwrap()), "{shown}");
}
