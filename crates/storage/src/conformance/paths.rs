//! Where a path leads: links, dots, slashes, names that are no text, and paths that lead nowhere.

use super::{CREATE, READ, close, get, list, put, refused, stat};
use crate::{Backend, ErrorKind, FileKind, SetAttrs};

pub(super) fn symlinks_keep_their_text_and_stay_inside(b: &dyn Backend) {
    b.mkdir(b"/d", None).expect("mkdir");
    put(b, "/d/f", b"inside");
    for (text, link) in [
        ("d/f", "/relative"),
        ("/d/f", "/absolute"),
        ("../../../d/f", "/d/up"),
        ("//d//./f", "/odd"),
    ] {
        b.symlink(text.as_bytes(), link.as_bytes()).expect("symlink");
        assert_eq!(b.readlink(link.as_bytes()).expect("readlink"), text.as_bytes());
        assert_eq!(get(b, link), b"inside", "{link}");
        let own = b.stat(link.as_bytes(), false).expect("lstat");
        assert_eq!((own.kind, own.size), (FileKind::Symlink, text.len() as u64));
    }
    refused(b.symlink(b"x", b"/relative"), &[ErrorKind::AlreadyExists]);
    refused(b.readlink(b"/d/f"), &[ErrorKind::WrongKind]);
    refused(b.readlink(b"/none"), &[ErrorKind::NotFound]);
    b.symlink(b"/d/made-through-link", b"/maker").expect("symlink");
    put(b, "/maker", b"new");
    assert_eq!(get(b, "/d/made-through-link"), b"new");
    refused(b.mkdir(b"/maker", None), &[ErrorKind::AlreadyExists]);
}

pub(super) fn link_loops_end(b: &dyn Backend) {
    b.symlink(b"b", b"/a").expect("symlink");
    b.symlink(b"a", b"/b").expect("symlink");
    refused(b.stat(b"/a", true), &[ErrorKind::LinkLoop]);
    refused(b.open(b"/a", &CREATE), &[ErrorKind::LinkLoop]);
    refused(b.open(b"/a/x", &CREATE), &[ErrorKind::LinkLoop]);
    refused(b.realpath(b"/a"), &[ErrorKind::LinkLoop]);
    b.stat(b"/a", false).expect("the link itself is fine");
}

pub(super) fn realpath_is_canonical(b: &dyn Backend) {
    b.mkdir(b"/d", None).expect("mkdir");
    b.mkdir(b"/d/e", None).expect("mkdir");
    put(b, "/d/f", b"");
    b.symlink(b"/d/e", b"/l").expect("symlink");
    b.symlink(b"d/none", b"/dangling").expect("symlink");
    for (path, canonical) in [
        ("/", "/"),
        ("/..", "/"),
        ("/../../..", "/"),
        ("//", "/"),
        ("/.", "/"),
        ("//d///e/", "/d/e"),
        ("/d/./e/../f", "/d/f"),
        ("/l", "/d/e"),
        ("/l/..", "/d"),
        ("/l/../f", "/d/f"),
        ("/l/missing", "/d/e/missing"),
        ("/missing", "/missing"),
        ("/missing/", "/missing"),
        ("/dangling", "/d/none"),
    ] {
        let answer = b.realpath(path.as_bytes()).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_eq!(String::from_utf8_lossy(&answer), canonical, "realpath of {path}");
    }
    refused(b.realpath(b"/missing/x"), &[ErrorKind::NotFound]);
    refused(b.realpath(b"/dangling/x"), &[ErrorKind::NotFound]);
    refused(b.realpath(b"/d/f/x"), &[ErrorKind::NotADirectory]);
    refused(b.realpath(b"/d/f/"), &[ErrorKind::NotADirectory]);
}

pub(super) fn dots_and_slashes_mean_what_posix_says(b: &dyn Backend) {
    put(b, "/f", b"f");
    b.mkdir(b"/d", None).expect("mkdir");
    b.symlink(b"d", b"/l").expect("symlink");
    refused(b.stat(b"/f/", true), &[ErrorKind::NotADirectory]);
    refused(b.open(b"/f/", &READ), &[ErrorKind::NotADirectory]);
    refused(b.open(b"/new/", &CREATE), &[ErrorKind::IsADirectory]);
    refused(b.remove(b"/f/"), &[ErrorKind::NotADirectory]);
    assert_eq!(b.stat(b"/l/", false).expect("lstat").kind, FileKind::Directory);
    b.mkdir(b"/new/", None).expect("mkdir with a slash");
    b.rmdir(b"/new//").expect("rmdir with slashes");
    refused(b.symlink(b"x", b"/new/"), &[ErrorKind::NotFound]);
    refused(b.hardlink(b"/f", b"/new/"), &[ErrorKind::NotFound]);
    assert_eq!(get(b, "/d/../../f"), b"f");

    for path in [&b"/"[..], b"/.", b"/..", b"/d/.", b"/d/..", b"//"] {
        refused(b.mkdir(path, None), &[ErrorKind::AlreadyExists]);
        refused(b.remove(path), &[ErrorKind::IsADirectory]);
        refused(b.rmdir(path), &[ErrorKind::Invalid]);
        refused(b.symlink(b"x", path), &[ErrorKind::AlreadyExists]);
        refused(b.hardlink(b"/f", path), &[ErrorKind::AlreadyExists]);
        refused(b.rename(path, b"/x", true), &[ErrorKind::Invalid]);
        refused(b.rename(b"/f", path, true), &[ErrorKind::Invalid]);
        refused(b.rename(b"/f", path, false), &[ErrorKind::AlreadyExists]);
        refused(b.open(path, &CREATE), &[ErrorKind::IsADirectory]);
        assert_eq!(stat(b, &String::from_utf8_lossy(path)).kind, FileKind::Directory);
    }
    assert_eq!(get(b, "/f"), b"f");
}

pub(super) fn bad_paths_are_errors(b: &dyn Backend) {
    let long_name = [b"/".as_slice(), &[b'n'; 256]].concat();
    let long_path = b"/.".repeat(2100);
    for (path, kind) in [
        (&b""[..], ErrorKind::NotFound),
        (b"/a\0b", ErrorKind::Invalid),
        (&long_name, ErrorKind::NameTooLong),
        (&long_path, ErrorKind::NameTooLong),
    ] {
        refused(b.open(path, &CREATE), &[kind]);
        refused(b.stat(path, true), &[kind]);
        refused(b.open_dir(path), &[kind]);
        refused(b.set_attrs(path, &SetAttrs::default(), true), &[kind]);
        refused(b.remove(path), &[kind]);
        refused(b.mkdir(path, None), &[kind]);
        refused(b.rmdir(path), &[kind]);
        refused(b.rename(path, b"/x", true), &[kind]);
        refused(b.symlink(b"x", path), &[kind]);
        refused(b.realpath(path), &[kind]);
        refused(b.readlink(path), &[kind]);
        refused(b.hardlink(path, b"/x"), &[kind]);
        refused(b.statvfs(path), &[kind]);
    }
    refused(b.symlink(b"a\0b", b"/l"), &[ErrorKind::Invalid]);
    b.statvfs(b"/").expect("statvfs");
}

pub(super) fn names_are_bytes(b: &dyn Backend) {
    let name = [b'/', 0xff, 0xfe, b'\n', b'\\', 0x80];
    close(b.open(&name, &CREATE).expect("open"));
    let entries = list(b, "/", 10);
    assert!(entries.iter().any(|e| e.name == name[1..]));
    assert_eq!(b.realpath(&name).expect("realpath"), name);
}
