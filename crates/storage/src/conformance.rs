//! One suite that every backend has to pass, so that what stands above behaves the same over all.
//!
//! Call [`run`] from a test of the backend. It panics at the first promise that is broken.

mod paths;

use std::io::IoSliceMut;
use std::sync::Arc;

use crate::{
    Attrs, Backend, DirEntry, ErrorKind, File, FileKind, OpenHow, Result, SetAttrs, Time, Xattr,
    XattrAnswer, XattrWhen,
};

/// Runs every case, each on a fresh and empty backend from `make`.
///
/// # Panics
/// If the backend breaks the contract; the message says where.
pub fn run(make: &dyn Fn() -> Arc<dyn Backend>) {
    run_replacing(make);
    writing_changes_the_file_of_every_name(&*make());
}

/// Runs every case for a backend whose files are replaced as a whole when they are written: all but
/// that which writes through one of several names.
///
/// # Panics
/// As [`run`].
pub fn run_replacing(make: &dyn Fn() -> Arc<dyn Backend>) {
    let cases: &[fn(&dyn Backend)] = &[
        open_creates_truncates_and_refuses,
        reads_end_at_the_end_of_the_file,
        writes_land_at_their_offsets,
        appending_ignores_the_offset,
        a_removed_file_stays_readable_while_open,
        attributes_are_kept,
        attributes_without_waiting_are_the_same,
        set_id_bits_are_dropped,
        directories_are_made_listed_and_removed,
        large_directories_come_in_batches,
        rename_replaces_only_when_asked,
        rename_moves_directories,
        paths::symlinks_keep_their_text_and_stay_inside,
        paths::link_loops_end,
        hardlinks_are_the_same_file,
        paths::realpath_is_canonical,
        paths::dots_and_slashes_mean_what_posix_says,
        paths::bad_paths_are_errors,
        paths::names_are_bytes,
        holes_are_not_data,
        xattrs_are_kept_where_there_are_any,
    ];
    for case in cases {
        case(&*make());
    }
}

const CREATE: OpenHow = OpenHow {
    read: true,
    write: true,
    append: false,
    create: true,
    truncate: false,
    exclusive: false,
    mode: Some(0o644),
};

const READ: OpenHow = OpenHow { write: false, create: false, mode: None, ..CREATE };

fn put(b: &dyn Backend, path: &str, bytes: &[u8]) {
    let how = OpenHow { truncate: true, ..CREATE };
    let file = b.open(path.as_bytes(), &how).expect("open for writing");
    file.write_at(bytes, 0).expect("write");
    close(file);
}

fn close(file: Box<dyn File>) {
    file.close().expect("close");
}

fn get(b: &dyn Backend, path: &str) -> Vec<u8> {
    read(&*b.open(path.as_bytes(), &READ).expect("open for reading"), 0, 1 << 16)
}

fn read(file: &dyn File, offset: u64, len: usize) -> Vec<u8> {
    let mut buffer = vec![0; len];
    let read = file.read_at(&mut [IoSliceMut::new(&mut buffer)], offset).expect("read");
    buffer.truncate(read);
    buffer
}

fn list(b: &dyn Backend, path: &str, batch: usize) -> Vec<DirEntry> {
    let mut dir = b.open_dir(path.as_bytes()).expect("opendir");
    let mut entries = Vec::new();
    while dir.next_entries(batch, &mut entries).expect("readdir") {}
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries
}

fn stat(b: &dyn Backend, path: &str) -> Attrs {
    b.stat(path.as_bytes(), true).unwrap_or_else(|e| panic!("stat of {path}: {e}"))
}

#[track_caller]
fn refused<T>(result: Result<T>, kinds: &[ErrorKind]) {
    match result {
        Ok(_) => panic!("succeeded, expected {kinds:?}"),
        Err(error) => assert!(kinds.contains(&error.kind), "{:?}, expected {kinds:?}", error.kind),
    }
}

fn open_creates_truncates_and_refuses(b: &dyn Backend) {
    refused(b.open(b"/f", &READ), &[ErrorKind::NotFound]);
    put(b, "/f", b"12345");
    assert_eq!(get(b, "/f"), b"12345");

    close(b.open(b"/f", &CREATE).expect("an existing file is opened, not truncated"));
    assert_eq!(get(b, "/f"), b"12345");
    let exclusive = OpenHow { exclusive: true, ..CREATE };
    refused(b.open(b"/f", &exclusive), &[ErrorKind::AlreadyExists]);
    b.symlink(b"nowhere", b"/dangling").expect("symlink");
    refused(b.open(b"/dangling", &exclusive), &[ErrorKind::AlreadyExists]);
    close(b.open(b"/new", &exclusive).expect("a free name"));
    close(b.open(b"/f", &OpenHow { truncate: true, ..CREATE }).expect("truncate"));
    assert_eq!(stat(b, "/f").size, 0);

    b.mkdir(b"/d", None).expect("mkdir");
    refused(b.open(b"/d", &READ), &[ErrorKind::IsADirectory]);
    refused(b.open(b"/d", &CREATE), &[ErrorKind::IsADirectory]);
    refused(b.open(b"/missing/f", &CREATE), &[ErrorKind::NotFound]);
    refused(b.open(b"/f/x", &CREATE), &[ErrorKind::NotADirectory]);
}

fn reads_end_at_the_end_of_the_file(b: &dyn Backend) {
    put(b, "/f", b"0123456789");
    let file = b.open(b"/f", &READ).expect("open");

    assert_eq!(read(&*file, 4, 3), b"456");
    assert_eq!(read(&*file, 9, 5), b"9");
    assert_eq!(read(&*file, 3, 0), b"");
    for offset in [10, 11, 1 << 40, i64::MAX as u64, 1 << 63, u64::MAX] {
        assert_eq!(read(&*file, offset, 5), b"", "at {offset}");
        if let Some(tried) = file.try_read_at(&mut [IoSliceMut::new(&mut [0; 5])], offset) {
            assert_eq!(tried.expect("try_read"), 0, "at {offset}");
        }
    }
    let (mut first, mut second) = ([0; 4], [0; 4]);
    let mut both = [IoSliceMut::new(&mut first), IoSliceMut::new(&mut second)];
    assert_eq!(file.read_at(&mut both, 4).expect("read"), 6);
    assert_eq!((&first, &second[..2]), (b"4567", &b"89"[..]));
    refused(file.write_at(b"x", 0), &[ErrorKind::PermissionDenied]);
}

fn writes_land_at_their_offsets(b: &dyn Backend) {
    let file = b.open(b"/f", &CREATE).expect("open");

    file.write_at(b"tail", 6).expect("write");
    file.write_at(b"head", 0).expect("write");
    file.write_at(b"", 1 << 20).expect("nothing is written, nothing grows");

    assert_eq!(read(&*file, 0, 99), b"head\0\0tail");
    assert_eq!(file.stat().expect("fstat").size, 10);
    for offset in [i64::MAX as u64, 1 << 63, u64::MAX - 1, u64::MAX] {
        refused(file.write_at(b"xx", offset), &[ErrorKind::NoSpace, ErrorKind::Invalid]);
    }
    assert_eq!(file.stat().expect("fstat").size, 10);
    file.sync().expect("fsync");
    let write_only = OpenHow { read: false, ..CREATE };
    let file = b.open(b"/f", &write_only).expect("open");
    let answer = file.read_at(&mut [IoSliceMut::new(&mut [0; 1])], 0);
    refused(answer, &[ErrorKind::PermissionDenied]);
}

fn appending_ignores_the_offset(b: &dyn Backend) {
    put(b, "/f", b"abc");
    let file = b.open(b"/f", &OpenHow { append: true, ..CREATE }).expect("open");

    file.write_at(b"def", 0).expect("write");
    file.write_at(b"ghi", 1 << 60).expect("write");

    assert_eq!(read(&*file, 0, 99), b"abcdefghi");
}

fn a_removed_file_stays_readable_while_open(b: &dyn Backend) {
    put(b, "/f", b"still here");
    let file = b.open(b"/f", &READ).expect("open");

    b.remove(b"/f").expect("remove");

    refused(b.stat(b"/f", false), &[ErrorKind::NotFound]);
    assert_eq!(read(&*file, 0, 99), b"still here");
}

fn attributes_are_kept(b: &dyn Backend) {
    put(b, "/f", b"0123456789");
    let times = (
        Time { seconds: 1_000_000_000, nanos: 123_456_789 },
        Time { seconds: -5, nanos: 999_999_999 },
    );
    let change =
        SetAttrs { size: Some(4), mode: Some(0o640), times: Some(times), ..SetAttrs::default() };

    b.set_attrs(b"/f", &change, true).expect("setstat");

    let attrs = stat(b, "/f");
    assert_eq!(attrs.kind, FileKind::Regular);
    assert_eq!((attrs.size, attrs.mode), (4, 0o640));
    assert_eq!((attrs.accessed, attrs.modified), times);
    assert_eq!(get(b, "/f"), b"0123");

    let file = b.open(b"/f", &CREATE).expect("open");
    let owner = crate::Owner { uid: Some(attrs.uid), gid: Some(attrs.gid) };
    let longer =
        SetAttrs { size: Some(6), mode: Some(0o600), owner: Some(owner), ..Default::default() };
    file.set_attrs(&longer).expect("fsetstat");
    assert_eq!(file.stat().expect("fstat").mode, 0o600);
    close(file);
    assert_eq!(get(b, "/f"), b"0123\0\0");

    refused(b.set_attrs(b"/none", &SetAttrs::default(), true), &[ErrorKind::NotFound]);
    let now = Time { seconds: 0, nanos: (1 << 30) - 1 }; // UTIME_NOW of the kernel
    let change = SetAttrs { mode: Some(0o604), times: Some((now, now)), ..Default::default() };
    refused(b.set_attrs(b"/f", &change, true), &[ErrorKind::Invalid]);
    assert_eq!(stat(b, "/f").mode, 0o604, "what can be done is done, whatever fails");
    b.mkdir(b"/d", Some(0o700)).expect("mkdir");
    let resize = SetAttrs { size: Some(0), ..Default::default() };
    refused(b.set_attrs(b"/d", &resize, true), &[ErrorKind::IsADirectory]);
    refused(
        b.set_attrs(b"/f", &SetAttrs { size: Some(u64::MAX), ..Default::default() }, true),
        &[ErrorKind::NoSpace, ErrorKind::Invalid],
    );

    b.symlink(b"f", b"/l").expect("symlink");
    let mode = SetAttrs { mode: Some(0o444), ..Default::default() };
    b.set_attrs(b"/l", &mode, true).expect("setstat through a link");
    assert_eq!(stat(b, "/f").mode, 0o444);
    let own_times = SetAttrs { times: Some(times), ..Default::default() };
    b.set_attrs(b"/l", &own_times, false).expect("lsetstat");
    assert_eq!(b.stat(b"/l", false).expect("lstat").modified, times.1);
    assert_ne!(stat(b, "/f").modified, times.1);
}

fn attributes_without_waiting_are_the_same(b: &dyn Backend) {
    b.mkdir(b"/d", None).expect("mkdir");
    put(b, "/d/f", b"0123456789");
    for (text, link) in
        [("/d/f", "/to-file"), ("../..", "/d/up"), ("none", "/dangling"), ("loop", "/loop")]
    {
        b.symlink(text.as_bytes(), link.as_bytes()).expect("symlink");
    }
    let open = b.open(b"/d/f", &READ).expect("open");
    if let Some(attrs) = open.try_stat() {
        assert_eq!(attrs.expect("fstat"), open.stat().expect("fstat"));
    }
    for path in [
        "/",
        "/d",
        "/d/",
        "/d/f",
        "/d/f/",
        "/d/../d/./f",
        "/../../d/f",
        "/to-file",
        "/to-file/",
        "/d/up",
        "/d/up/d/f",
        "/dangling",
        "/loop",
        "/none",
        "/none/f",
        "/d/f/g",
        "",
        "/d\0f",
    ] {
        for follow in [true, false] {
            let waited = b.stat(path.as_bytes(), follow);
            // What was not looked up lately is not known without waiting.
            let Some(tried) = b.try_stat(path.as_bytes(), follow) else { continue };
            match (waited, tried) {
                (Ok(waited), Ok(tried)) => assert_eq!(tried, waited, "{path:?}"),
                (Err(waited), Err(tried)) => assert_eq!(tried.kind, waited.kind, "{path:?}"),
                (waited, tried) => panic!("{path:?}: {waited:?}, but {tried:?} without waiting"),
            }
        }
    }
}

fn set_id_bits_are_dropped(b: &dyn Backend) {
    close(b.open(b"/f", &OpenHow { mode: Some(0o6755), ..CREATE }).expect("open"));
    b.mkdir(b"/d", Some(0o6755)).expect("mkdir");
    assert_eq!(stat(b, "/f").mode & 0o6000, 0);
    assert_eq!(stat(b, "/d").mode & 0o6000, 0);

    let change = SetAttrs { mode: Some(0o7711), ..Default::default() };
    b.set_attrs(b"/f", &change, true).expect("setstat");
    assert_eq!(stat(b, "/f").mode, 0o1711);
    b.open(b"/f", &CREATE).expect("open").set_attrs(&change).expect("fsetstat");
    assert_eq!(stat(b, "/f").mode, 0o1711);
}

fn directories_are_made_listed_and_removed(b: &dyn Backend) {
    b.mkdir(b"/d", Some(0o750)).expect("mkdir");
    refused(b.mkdir(b"/d", None), &[ErrorKind::AlreadyExists]);
    refused(b.mkdir(b"/x/y", None), &[ErrorKind::NotFound]);
    put(b, "/d/file", b"123");
    b.mkdir(b"/d/sub", None).expect("mkdir");
    b.symlink(b"file", b"/d/link").expect("symlink");

    let entries = list(b, "/d", 100);
    let names: Vec<&[u8]> = entries.iter().map(|e| e.name.as_slice()).collect();
    assert_eq!(names, [&b"."[..], b"..", b"file", b"link", b"sub"]);
    let kinds: Vec<FileKind> = entries.iter().map(|e| e.attrs.kind).collect();
    use FileKind::{Directory, Regular, Symlink};
    assert_eq!(kinds, [Directory, Directory, Regular, Symlink, Directory]);
    assert_eq!(entries[0].attrs.id, stat(b, "/d").id);
    assert_eq!(entries[1].attrs.id, stat(b, "/").id);
    assert_eq!(entries[2].attrs.size, 3);
    let root = list(b, "/", 100);
    assert_eq!(root[1].name, b"..");
    assert_eq!(root[1].attrs.id, stat(b, "/").id, "above the root is the root");

    refused(b.rmdir(b"/d"), &[ErrorKind::DirectoryNotEmpty]);
    refused(b.rmdir(b"/d/file"), &[ErrorKind::NotADirectory]);
    refused(b.rmdir(b"/d/link"), &[ErrorKind::NotADirectory]);
    refused(b.remove(b"/d/sub"), &[ErrorKind::IsADirectory]);
    refused(b.remove(b"/d/none"), &[ErrorKind::NotFound]);
    refused(b.open_dir(b"/d/file"), &[ErrorKind::NotADirectory]);
    refused(b.open_dir(b"/d/none"), &[ErrorKind::NotFound]);
    b.remove(b"/d/link").expect("remove a link");
    assert_eq!(get(b, "/d/file"), b"123", "the link went, not the file");
    b.remove(b"/d/file").expect("remove");
    let mut open = b.open_dir(b"/d/sub").expect("opendir");
    b.rmdir(b"/d/sub").expect("rmdir");
    let mut left = Vec::new();
    assert!(!open.next_entries(10, &mut left).expect("readdir") && left.is_empty(), "{left:?}");
    b.rmdir(b"/d").expect("rmdir");
    refused(b.stat(b"/d", true), &[ErrorKind::NotFound]);
}

fn large_directories_come_in_batches(b: &dyn Backend) {
    for i in 0..300 {
        put(b, &format!("/file-{i:03}"), b"");
    }
    let mut dir = b.open_dir(b"/").expect("opendir");
    let mut entries = Vec::new();

    assert!(dir.next_entries(100, &mut entries).expect("readdir"));
    let first = entries.len();
    while dir.next_entries(100, &mut entries).expect("readdir") {}

    assert!((1..=110).contains(&first), "{first} entries for 100");
    assert_eq!(entries.len(), 302);
    assert!(!dir.next_entries(100, &mut entries).expect("readdir"), "the end stays the end");
    assert_eq!(list(b, "/", 1).len(), 302);
    assert_eq!(dir.stat().expect("fstat").id, stat(b, "/").id);
    dir.sync().expect("sync");
}

fn rename_replaces_only_when_asked(b: &dyn Backend) {
    put(b, "/a", b"a");
    put(b, "/b", b"b");
    b.symlink(b"nowhere", b"/l").expect("symlink");

    refused(b.rename(b"/a", b"/b", false), &[ErrorKind::AlreadyExists]);
    refused(b.rename(b"/a", b"/l", false), &[ErrorKind::AlreadyExists]);
    refused(b.rename(b"/none", b"/c", false), &[ErrorKind::NotFound]);
    refused(b.rename(b"/a", b"/a", false), &[ErrorKind::AlreadyExists]);
    b.rename(b"/a", b"/a", true).expect("onto itself");
    assert_eq!(get(b, "/a"), b"a");
    b.rename(b"/a", b"/b", true).expect("replace");
    assert_eq!(get(b, "/b"), b"a");
    refused(b.stat(b"/a", false), &[ErrorKind::NotFound]);
    b.rename(b"/b", b"/c", false).expect("a free name");
    assert_eq!(get(b, "/c"), b"a");
    b.rename(b"/l", b"/m", false).expect("the link itself moves");
    assert_eq!(b.readlink(b"/m").expect("readlink"), b"nowhere");
}

fn rename_moves_directories(b: &dyn Backend) {
    b.mkdir(b"/d", None).expect("mkdir");
    b.mkdir(b"/e", None).expect("mkdir");
    put(b, "/d/f", b"f");

    refused(b.rename(b"/d", b"/d/inside", false), &[ErrorKind::Invalid]);
    refused(
        b.rename(b"/e", b"/d", true),
        &[ErrorKind::DirectoryNotEmpty, ErrorKind::AlreadyExists],
    );
    b.rename(b"/d", b"/e/d", false).expect("rename");
    assert_eq!(get(b, "/e/d/f"), b"f");
    assert_eq!(b.realpath(b"/e/d/..").expect("realpath"), b"/e");
    put(b, "/g", b"");
    refused(b.rename(b"/g", b"/e", true), &[ErrorKind::IsADirectory]);
    refused(b.rename(b"/e", b"/g", true), &[ErrorKind::NotADirectory]);
    refused(b.rename(b"/g", b"/h/", false), &[ErrorKind::NotADirectory, ErrorKind::NotFound]);
    b.rename(b"/e/", b"/h/", false).expect("slashes behind a directory");
    assert_eq!(get(b, "/h/d/f"), b"f");
}

fn hardlinks_are_the_same_file(b: &dyn Backend) {
    put(b, "/f", b"one");
    b.hardlink(b"/f", b"/g").expect("hardlink");
    assert_eq!(get(b, "/g"), b"one");
    assert_eq!(stat(b, "/f").id, stat(b, "/g").id);
    assert_eq!(stat(b, "/f").links, 2);
    refused(b.hardlink(b"/f", b"/g"), &[ErrorKind::AlreadyExists]);
    refused(b.hardlink(b"/none", b"/h"), &[ErrorKind::NotFound]);
    refused(b.hardlink(b"/", b"/h"), &[ErrorKind::PermissionDenied]);
    b.symlink(b"f", b"/l").expect("symlink");
    b.hardlink(b"/l", b"/m").expect("hardlink of a link");
    assert_eq!(b.readlink(b"/m").expect("readlink"), b"f", "the link was not followed");
}

fn writing_changes_the_file_of_every_name(b: &dyn Backend) {
    put(b, "/f", b"one");
    b.hardlink(b"/f", b"/g").expect("hardlink");
    put(b, "/g", b"two");
    assert_eq!(get(b, "/f"), b"two");
}

/// A backend may take a hole for data, never data for a hole.
fn holes_are_not_data(b: &dyn Backend) {
    const STEP: u64 = 1 << 20;
    let file = b.open(b"/f", &CREATE).expect("open");
    for n in [0, 3, 6] {
        file.write_at(b"data", n * STEP).expect("write");
    }
    file.set_attrs(&SetAttrs { size: Some(8 * STEP), ..SetAttrs::default() }).expect("longer");
    close(file);
    let file = b.open(b"/f", &READ).expect("open");

    let (parts, at_end) = file.data_ranges(0..u64::MAX, 100).expect("ranges");
    assert!(at_end);
    let mut after = 0;
    for part in &parts {
        assert!(after <= part.start && part.start < part.end && part.end <= 8 * STEP, "{parts:?}");
        after = part.end;
    }
    for n in [0, 3, 6] {
        assert!(parts.iter().any(|part| part.start <= n * STEP && n * STEP + 4 <= part.end));
    }
    let (first, at_end) = file.data_ranges(0..u64::MAX, 1).expect("ranges");
    assert_eq!((&first[..], at_end), (&parts[..1], parts.len() == 1));
    let (inside, _) = file.data_ranges(1..3, 100).expect("ranges");
    assert_eq!(&inside[..], std::slice::from_ref(&(1..3)));
    for nothing in [8 * STEP..9 * STEP, u64::MAX - 1..u64::MAX, 5..5] {
        assert_eq!(file.data_ranges(nothing, 100).expect("ranges"), (vec![], true));
    }

    put(b, "/dense", &[1; 9000]);
    let dense = b.open(b"/dense", &READ).expect("open");
    for (asked, whole) in [(0..u64::MAX, 0..9000), (8000..20_000, 8000..9000)] {
        assert_eq!(dense.data_ranges(asked, 1).expect("ranges"), (vec![whole], true));
    }
    assert_eq!(dense.data_ranges(9000..9001, 1).expect("ranges"), (vec![], true));
}

fn xattrs_are_kept_where_there_are_any(b: &dyn Backend) {
    put(b, "/f", b"x");
    let set = |name: &'static [u8], value: &'static [u8], when| Xattr::Set { name, value, when };
    match b.xattr(b"/f", &set(b"user.a", b"1", XattrWhen::Always)) {
        Err(error) if error.kind == ErrorKind::Unsupported => return,
        answer => assert_eq!(answer.expect("set"), XattrAnswer::Done),
    }
    refused(b.xattr(b"/f", &set(b"user.a", b"2", XattrWhen::Missing)), &[ErrorKind::AlreadyExists]);
    refused(b.xattr(b"/f", &set(b"user.b", b"2", XattrWhen::There)), &[ErrorKind::NotFound]);
    refused(b.xattr(b"/f", &Xattr::Get(b"user.b")), &[ErrorKind::NotFound]);
    refused(b.xattr(b"/f", &Xattr::Remove(b"user.b")), &[ErrorKind::NotFound]);
    refused(b.xattr(b"/none", &Xattr::List), &[ErrorKind::NotFound]);
    let file = b.open(b"/f", &CREATE).expect("open");
    file.xattr(&set(b"user.b", b"\0\xff", XattrWhen::Missing)).expect("set by handle");
    assert_eq!(file.xattr(&Xattr::Get(b"user.a")).expect("get"), XattrAnswer::Value(b"1".to_vec()));
    close(file);

    let value = b.xattr(b"/f", &Xattr::Get(b"user.b")).expect("get");
    assert_eq!(value, XattrAnswer::Value(b"\0\xff".to_vec()));
    let Ok(XattrAnswer::Names(mut names)) = b.xattr(b"/f", &Xattr::List) else { panic!("list") };
    names.sort();
    assert_eq!(names, [b"user.a", b"user.b"]);
    b.xattr(b"/f", &Xattr::Remove(b"user.a")).expect("remove");
    assert_eq!(
        b.xattr(b"/f", &Xattr::List).expect("list"),
        XattrAnswer::Names(vec![b"user.b".to_vec()])
    );
    for name in [&b"security.x"[..], b"system.posix_acl_access", b"trusted.x", b"x", b""] {
        refused(b.xattr(b"/f", &Xattr::Get(name)), &[ErrorKind::PermissionDenied]);
        refused(b.xattr(b"/f", &Xattr::Remove(name)), &[ErrorKind::PermissionDenied]);
        let value = Xattr::Set { name, value: b"", when: XattrWhen::Always };
        refused(b.xattr(b"/f", &value), &[ErrorKind::PermissionDenied]);
    }
    let long = [&b"user."[..], &[b'n'; 251]].concat();
    refused(b.xattr(b"/f", &Xattr::Get(&long)), &[ErrorKind::NameTooLong, ErrorKind::Invalid]);
    let big = vec![7; (64 << 10) + 1];
    let value = Xattr::Set { name: b"user.big", value: &big, when: XattrWhen::Always };
    refused(b.xattr(b"/f", &value), &[ErrorKind::NoSpace, ErrorKind::Invalid]);
}
