//! Through the read-only layer everything can be read and nothing changes.

use std::io::IoSliceMut;
use std::sync::Arc;

use sterna_storage::{Backend, Error, ErrorKind, Memory, OpenHow, ReadOnly, Result, SetAttrs};

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error: Error| error.kind)
}

#[test]
fn nothing_can_be_changed() {
    let below = Memory::new();
    let create = OpenHow { write: true, create: true, ..OpenHow::default() };
    below.open(b"/f", &create).unwrap().write_at(b"kept", 0).unwrap();
    let before = below.stat(b"/f", true).unwrap();
    let b = ReadOnly::new(Arc::new(below.clone()));
    let no = Some(ErrorKind::ReadOnly);
    let read = OpenHow { read: true, ..OpenHow::default() };

    for how in [
        OpenHow { write: true, ..read },
        OpenHow { append: true, ..read },
        OpenHow { truncate: true, ..read },
        OpenHow { create: true, ..read },
    ] {
        assert_eq!(kind(b.open(b"/f", &how)), no, "{how:?}");
        assert_eq!(kind(b.open(b"/new", &how)), no, "{how:?}");
    }
    assert_eq!(kind(b.set_attrs(b"/f", &SetAttrs::default(), true)), no);
    assert_eq!(kind(b.remove(b"/f")), no);
    assert_eq!(kind(b.mkdir(b"/d", None)), no);
    assert_eq!(kind(b.rmdir(b"/d")), no);
    assert_eq!(kind(b.rename(b"/f", b"/g", true)), no);
    assert_eq!(kind(b.symlink(b"f", b"/l")), no);
    assert_eq!(kind(b.hardlink(b"/f", b"/g")), no);
    let file = b.open(b"/f", &read).unwrap();
    assert_eq!(kind(file.write_at(b"x", 0)), no);
    assert_eq!(kind(file.set_attrs(&SetAttrs { mode: Some(0), ..Default::default() })), no);
    assert_eq!(kind(file.sync()), no);

    let mut buffer = [0; 9];
    assert_eq!(file.read_at(&mut [IoSliceMut::new(&mut buffer)], 0).unwrap(), 4);
    assert_eq!(&buffer[..4], b"kept");
    drop(file);
    assert_eq!(b.stat(b"/f", true).unwrap(), before);
    assert!(b.statvfs(b"/").unwrap().read_only);
    assert_eq!(b.realpath(b"/x/../f").map_err(|e| e.kind), Err(ErrorKind::NotFound));
}
