//! Where uploads are published on close, nobody ever sees a file that is not whole.

use std::io::IoSliceMut;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sterna_storage::{
    Attrs, Backend, Dir, Error, ErrorKind, File, Folder, Local, Memory, OnClose, OpenHow, Result,
    SetAttrs, Space, Time, Uploads, Xattr, XattrAnswer, XattrWhen,
};

const READ: OpenHow = OpenHow {
    read: true,
    write: false,
    append: false,
    create: false,
    truncate: false,
    exclusive: false,
    mode: None,
};
/// As most clients upload.
const UPLOAD: OpenHow = OpenHow { read: false, write: true, create: true, truncate: true, ..READ };
/// As they go on with one.
const RESUME: OpenHow = OpenHow { truncate: false, ..UPLOAD };

/// A tree, and the sessions on it.
struct Server {
    below: Memory,
    uploads: Arc<Uploads>,
}

impl Server {
    fn new() -> Self {
        Self { below: Memory::new(), uploads: Uploads::new() }
    }

    fn session(&self, user: &str) -> OnClose {
        let everywhere = Folder { path: b"/".to_vec(), on_close: true };
        let below = Arc::new(self.below.clone());
        OnClose::new(below, user.as_bytes(), &[everywhere], Arc::clone(&self.uploads))
    }

    /// What is under `path` for everybody.
    fn published(&self, path: &str) -> Option<Vec<u8>> {
        get(&self.below, path)
    }
}

fn open(b: &dyn Backend, path: &str, how: &OpenHow) -> Result<Box<dyn File>> {
    b.open(path.as_bytes(), how)
}

fn get(b: &dyn Backend, path: &str) -> Option<Vec<u8>> {
    Some(read(&*open(b, path, &READ).ok()?))
}

fn read(file: &dyn File) -> Vec<u8> {
    let mut buffer = vec![0; 1 << 16];
    let len = file.read_at(&mut [IoSliceMut::new(&mut buffer)], 0).unwrap();
    buffer.truncate(len);
    buffer
}

fn put(b: &dyn Backend, path: &str, bytes: &[u8]) {
    let file = open(b, path, &UPLOAD).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.close().unwrap();
}

/// An upload that is cut off.
fn put_part(b: &dyn Backend, path: &str, bytes: &[u8]) {
    let file = open(b, path, &UPLOAD).unwrap();
    file.write_at(bytes, 0).unwrap();
}

fn names(b: &dyn Backend, path: &str) -> Vec<String> {
    let (mut dir, mut entries) = (b.open_dir(path.as_bytes()).unwrap(), Vec::new());
    while dir.next_entries(2, &mut entries).unwrap() {}
    let names = entries.into_iter().map(|entry| String::from_utf8(entry.name).unwrap());
    names.filter(|name| name != "." && name != "..").collect()
}

fn size(b: &dyn Backend, path: &str) -> Option<u64> {
    b.stat(path.as_bytes(), true).ok().map(|attrs| attrs.size)
}

#[track_caller]
fn refused<T>(result: Result<T>) -> ErrorKind {
    result.err().expect("it succeeded").kind
}

#[test]
fn a_new_file_is_there_when_it_is_closed_and_not_before() {
    let server = Server::new();
    let (alice, bob) = (server.session("alice"), server.session("bob"));

    let file = open(&alice, "/f", &UPLOAD).unwrap();
    file.write_at(b"whole", 0).unwrap();
    assert_eq!(server.published("/f"), None);
    assert_eq!(size(&bob, "/f"), None);
    assert!(names(&alice, "/").is_empty() && names(&bob, "/").is_empty());
    file.close().unwrap();

    assert_eq!(server.published("/f").unwrap(), b"whole");
    assert_eq!(names(&bob, "/"), ["f"]);
    assert!(names(&server.below, "/.sterna-staging").is_empty(), "nothing is left");
}

#[test]
fn the_old_file_stays_until_the_new_one_is_whole_and_gives_it_its_mode() {
    let server = Server::new();
    let alice = server.session("alice");
    put(&alice, "/f", b"old");
    let mode = SetAttrs { mode: Some(0o640), ..SetAttrs::default() };
    alice.set_attrs(b"/f", &mode, true).unwrap();
    let (name, value) = (&b"user.kept"[..], &b"1"[..]);
    alice.xattr(b"/f", &Xattr::Set { name, value, when: XattrWhen::Always }).unwrap();

    let file = open(&alice, "/f", &UPLOAD).unwrap();
    file.write_at(b"new and longer", 0).unwrap();
    assert_eq!(get(&server.session("bob"), "/f").unwrap(), b"old");
    assert_eq!(get(&alice, "/f").unwrap(), b"old");
    file.close().unwrap();

    assert_eq!(get(&alice, "/f").unwrap(), b"new and longer");
    assert_eq!(alice.stat(b"/f", true).unwrap().mode, 0o640);
    let kept = alice.xattr(b"/f", &Xattr::Get(name)).unwrap();
    assert_eq!(kept, XattrAnswer::Value(value.to_vec()));
}

#[test]
fn a_cut_upload_never_shows_and_its_user_goes_on_with_it() {
    let server = Server::new();
    put_part(&server.session("alice"), "/f", b"first ");
    let (alice, bob) = (server.session("alice"), server.session("bob"));

    assert_eq!(server.published("/f"), None);
    assert_eq!((size(&alice, "/f"), size(&bob, "/f")), (Some(6), None));
    assert_eq!(get(&alice, "/f").unwrap(), b"first ", "to prove what is there");
    assert_eq!(get(&bob, "/f"), None);
    let file = open(&alice, "/f", &RESUME).unwrap();
    file.write_at(b"second", 6).unwrap();
    file.close().unwrap();

    assert_eq!(server.published("/f").unwrap(), b"first second");
}

#[test]
fn a_cut_upload_over_an_old_file_leaves_the_old_one() {
    let server = Server::new();
    put(&server.session("alice"), "/f", b"old");

    put_part(&server.session("alice"), "/f", b"half of the n");

    let alice = server.session("alice");
    assert_eq!(get(&alice, "/f").unwrap(), b"old");
    assert_eq!(size(&alice, "/f"), Some(3));
    put(&alice, "/f", b"new");
    assert_eq!(server.published("/f").unwrap(), b"new");
    assert!(names(&server.below, "/.sterna-staging").is_empty(), "the cut one was replaced");
}

#[test]
fn beginning_anew_forgets_the_part_that_was_left() {
    let server = Server::new();
    put_part(&server.session("alice"), "/f", b"a long beginning");

    put(&server.session("alice"), "/f", b"short");

    assert_eq!(server.published("/f").unwrap(), b"short");
}

#[test]
fn appending_goes_on_with_a_part_too() {
    let server = Server::new();
    put_part(&server.session("alice"), "/f", b"first ");
    let alice = server.session("alice");

    let append = OpenHow { append: true, write: true, ..READ };
    let file = open(&alice, "/f", &append).unwrap();
    file.write_at(b"second", 0).unwrap();
    file.close().unwrap();

    assert_eq!(server.published("/f").unwrap(), b"first second");
}

#[test]
fn of_two_uploads_of_one_name_the_last_close_wins_whole() {
    for second in ["alice", "bob"] {
        let server = Server::new();
        let (one, two) = (server.session("alice"), server.session(second));
        let first = open(&one, "/f", &UPLOAD).unwrap();
        first.write_at(b"1111", 0).unwrap();
        let other = open(&two, "/f", &UPLOAD).unwrap();
        other.write_at(b"22", 0).unwrap();
        first.write_at(b"11", 4).unwrap();

        other.close().unwrap();
        assert_eq!(server.published("/f").unwrap(), b"22");
        first.close().unwrap();

        assert_eq!(server.published("/f").unwrap(), b"111111");
    }
}

#[test]
fn uploads_of_one_name_at_a_time_are_bounded() {
    let server = Server::new();
    let alice = server.session("alice");
    let open_ones: Vec<_> = (0..4).map(|_| open(&alice, "/f", &UPLOAD).unwrap()).collect();

    assert_eq!(refused(open(&alice, "/f", &UPLOAD)), ErrorKind::Busy);
    drop(open_ones);

    put(&alice, "/f", b"again");
    assert_eq!(server.published("/f").unwrap(), b"again");
}

#[test]
fn a_later_session_takes_an_upload_over_and_the_earlier_one_is_told() {
    let server = Server::new();
    let (dead, alive) = (server.session("alice"), server.session("alice"));
    let stalled = open(&dead, "/f", &UPLOAD).unwrap();
    stalled.write_at(b"first ", 0).unwrap();

    let file = open(&alive, "/f", &RESUME).unwrap();
    file.write_at(b"second", 6).unwrap();
    let late = stalled.write_at(b"late late late", 0);
    assert!(late.unwrap_err().to_string().contains("later session"));
    assert!(stalled.close().is_err());
    assert_eq!(server.published("/f"), None);
    file.close().unwrap();

    assert_eq!(server.published("/f").unwrap(), b"first second");
}

#[test]
fn handles_of_one_session_write_one_file_and_the_last_close_publishes() {
    let server = Server::new();
    let alice = server.session("alice");
    let first = open(&alice, "/f", &UPLOAD).unwrap();
    let second = open(&alice, "/f", &RESUME).unwrap();
    second.write_at(b"two", 3).unwrap();
    second.close().unwrap();
    assert_eq!(server.published("/f"), None);
    first.write_at(b"one", 0).unwrap();
    first.close().unwrap();

    assert_eq!(server.published("/f").unwrap(), b"onetwo");
}

#[test]
fn an_upload_with_a_handle_that_was_cut_is_not_published() {
    let server = Server::new();
    let alice = server.session("alice");
    let first = open(&alice, "/f", &UPLOAD).unwrap();
    let second = open(&alice, "/f", &RESUME).unwrap();
    second.write_at(b"two", 3).unwrap();
    drop(second);
    first.write_at(b"one", 0).unwrap();

    assert!(first.close().unwrap_err().to_string().contains("cut off"));

    assert_eq!(server.published("/f"), None);
    assert_eq!(size(&server.session("alice"), "/f"), Some(6));
}

#[test]
fn writing_in_place_changes_a_copy_until_the_close() {
    let server = Server::new();
    let alice = server.session("alice");
    put(&alice, "/f", b"0123456789");
    let in_place = OpenHow { read: true, write: true, ..READ };

    let file = open(&alice, "/f", &in_place).unwrap();
    file.write_at(b"xx", 4).unwrap();
    assert_eq!(read(&*file), b"0123xx6789");
    assert_eq!(server.published("/f").unwrap(), b"0123456789");
    // A second handle of the same session works on the same copy.
    let other = open(&alice, "/f", &in_place).unwrap();
    other.write_at(b"yy", 0).unwrap();
    other.close().unwrap();
    file.close().unwrap();

    assert_eq!(server.published("/f").unwrap(), b"yy23xx6789");
    assert_eq!(names(&alice, "/"), ["f"]);
}

#[test]
fn a_cut_in_the_middle_of_writing_in_place_changes_nothing() {
    let server = Server::new();
    let alice = server.session("alice");
    put(&alice, "/f", b"0123456789");

    let shorter = SetAttrs { size: Some(2), ..SetAttrs::default() };
    open(&alice, "/f", &RESUME).unwrap().set_attrs(&shorter).unwrap();
    let append = OpenHow { append: true, write: true, ..READ };
    open(&alice, "/f", &append).unwrap().write_at(b"more", 0).unwrap();

    assert_eq!(server.published("/f").unwrap(), b"0123456789");
}

#[test]
fn an_open_that_changes_nothing_publishes_nothing() {
    let server = Server::new();
    let alice = server.session("alice");
    put(&alice, "/f", b"as it was");
    let before = server.below.stat(b"/f", true).unwrap();

    let file = open(&alice, "/f", &RESUME).unwrap();
    let mode = SetAttrs { mode: Some(0o600), ..SetAttrs::default() };
    file.set_attrs(&mode).unwrap();
    file.close().unwrap();

    let after = server.below.stat(b"/f", true).unwrap();
    assert_eq!((after.id, after.modified, after.mode), (before.id, before.modified, 0o600));
}

#[test]
fn attributes_set_by_path_reach_the_upload_of_the_same_session() {
    let server = Server::new();
    let alice = server.session("alice");
    put(&alice, "/f", b"old");
    let old = server.below.stat(b"/f", true).unwrap();
    let file = open(&alice, "/f", &UPLOAD).unwrap();
    file.write_at(b"newer", 0).unwrap();

    let mode = SetAttrs { mode: Some(0o611), ..SetAttrs::default() };
    alice.set_attrs(b"/f", &mode, true).unwrap();
    assert_eq!(size(&alice, "/f"), Some(5));
    assert_eq!(server.session("alice").stat(b"/f", true).unwrap(), old);
    file.close().unwrap();

    assert_eq!(alice.stat(b"/f", true).unwrap().mode, 0o611);
}

#[test]
fn exclusive_is_exclusive_at_the_open_and_at_the_close() {
    let server = Server::new();
    let (alice, bob) = (server.session("alice"), server.session("bob"));
    let exclusive = OpenHow { exclusive: true, ..UPLOAD };
    let file = open(&alice, "/f", &exclusive).unwrap();
    for again in [exclusive, OpenHow { exclusive: true, ..RESUME }] {
        assert_eq!(refused(open(&alice, "/f", &again)), ErrorKind::AlreadyExists);
    }
    file.write_at(b"alice", 0).unwrap();
    put(&bob, "/f", b"bob");

    assert_eq!(refused(file.close()), ErrorKind::AlreadyExists);

    assert_eq!(server.published("/f").unwrap(), b"bob");
    assert_eq!(refused(open(&alice, "/f", &exclusive)), ErrorKind::AlreadyExists);
}

#[test]
fn removing_an_unfinished_upload_ends_it() {
    let server = Server::new();
    put_part(&server.session("alice"), "/left", b"x");
    let (alice, bob) = (server.session("alice"), server.session("bob"));
    let file = open(&alice, "/open", &UPLOAD).unwrap();

    assert_eq!(refused(bob.remove(b"/left")), ErrorKind::NotFound);
    alice.remove(b"/left").unwrap();
    alice.remove(b"/open").unwrap();

    assert_eq!((size(&alice, "/left"), size(&alice, "/open")), (None, None));
    assert!(file.write_at(b"x", 0).is_err());
    assert!(file.close().is_err());
    assert!(names(&server.below, "/.sterna-staging").is_empty());
}

#[test]
fn an_unfinished_upload_has_no_name_to_change() {
    let server = Server::new();
    let alice = server.session("alice");
    put_part(&alice, "/f.filepart", b"x");

    assert!(alice.rename(b"/f.filepart", b"/f", true).is_err());
    open(&alice, "/f.filepart", &RESUME).unwrap().close().unwrap();
    alice.rename(b"/f.filepart", b"/f", true).unwrap();

    assert_eq!(server.published("/f").unwrap(), b"x");
}

#[test]
fn a_name_that_goes_during_the_upload_is_there_after_it() {
    let server = Server::new();
    let alice = server.session("alice");
    put(&alice, "/f", b"old");
    let file = open(&alice, "/f", &UPLOAD).unwrap();
    file.write_at(b"new", 0).unwrap();

    alice.rename(b"/f", b"/g", false).unwrap();
    file.close().unwrap();

    assert_eq!(server.published("/f").unwrap(), b"new");
    assert_eq!(server.published("/g").unwrap(), b"old");
}

#[test]
fn a_link_leads_the_upload_to_the_file_and_stays_a_link() {
    let server = Server::new();
    let alice = server.session("alice");
    alice.mkdir(b"/d", None).unwrap();
    put(&alice, "/d/f", b"old");
    alice.symlink(b"d/f", b"/link").unwrap();

    put(&alice, "/link", b"new");

    assert_eq!(server.published("/d/f").unwrap(), b"new");
    assert_eq!(alice.readlink(b"/link").unwrap(), b"d/f");
}

#[test]
fn nobody_can_name_the_place_of_the_parts() {
    let server = Server::new();
    server.below.symlink(b"/.sterna-staging", b"/older-link").unwrap();
    let alice = server.session("alice");
    put_part(&alice, "/f", b"secret");
    let part = format!("/.sterna-staging/{}", names(&server.below, "/.sterna-staging")[0]);

    for path in ["/.sterna-staging", "/x/../.sterna-staging/.", &part] {
        let path = path.as_bytes();
        assert_eq!(refused(alice.stat(path, true)), ErrorKind::NotFound);
        assert_eq!(refused(alice.open(path, &READ)), ErrorKind::NotFound);
        assert!(alice.open(path, &UPLOAD).is_err());
        assert_eq!(refused(alice.open_dir(path)), ErrorKind::NotFound);
        assert!(alice.set_attrs(path, &SetAttrs::default(), true).is_err());
        assert!(alice.remove(path).is_err() && alice.rmdir(path).is_err());
        assert!(alice.mkdir(path, None).is_err());
        assert!(alice.rename(path, b"/mine", true).is_err());
        assert!(alice.rename(b"/f", path, true).is_err());
        assert!(alice.hardlink(path, b"/mine").is_err());
        assert!(alice.symlink(path, b"/mine").is_err());
        assert!(alice.realpath(path).is_err() && alice.readlink(path).is_err());
        assert!(alice.statvfs(path).is_err());
    }
    assert!(alice.open_dir(b"/older-link").is_err());
    let through = part.replace("/.sterna-staging", "/older-link");
    assert_eq!(get(&alice, &through), None);
    assert!(open(&alice, &through, &UPLOAD).is_err());
    assert_eq!(names(&alice, "/"), ["older-link"]);
}

#[test]
fn parts_that_nobody_came_back_for_go_and_others_stay() {
    let server = Server::new();
    let alice = server.session("alice");
    put_part(&alice, "/left", b"x");
    let being_written = open(&alice, "/open", &UPLOAD).unwrap();
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64;
    let at = |seconds| Time { seconds, nanos: 0 };
    let sweeper = server.session("");

    assert_eq!(sweeper.sweep(at(since - 3600)).unwrap(), 0);
    assert_eq!(size(&alice, "/left"), Some(1));
    assert_eq!(sweeper.sweep(at(since + 3600)).unwrap(), 1);

    assert_eq!(size(&alice, "/left"), None);
    being_written.close().unwrap();
    assert_eq!(server.published("/open").unwrap(), b"");
    assert_eq!(Server::new().session("").sweep(at(since)).unwrap(), 0, "nothing was ever staged");
}

/// A disk that fails at one kind of call.
struct Failing {
    below: Memory,
    at: &'static str,
}

struct FailingFile {
    below: Box<dyn File>,
    at: &'static str,
}

impl Failing {
    fn call(at: &str, name: &'static str) -> Result<()> {
        if at == name { Err(Error::new(ErrorKind::NoSpace, name)) } else { Ok(()) }
    }
}

impl Backend for Failing {
    fn open(&self, path: &[u8], how: &OpenHow) -> Result<Box<dyn File>> {
        Ok(Box::new(FailingFile { below: self.below.open(path, how)?, at: self.at }))
    }
    fn stat(&self, path: &[u8], follow: bool) -> Result<Attrs> {
        self.below.stat(path, follow)
    }
    fn open_dir(&self, path: &[u8]) -> Result<Box<dyn Dir>> {
        self.below.open_dir(path)
    }
    fn mkdir(&self, path: &[u8], mode: Option<u32>) -> Result<()> {
        self.below.mkdir(path, mode)
    }
    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> Result<()> {
        Self::call(self.at, "rename")?;
        self.below.rename(from, to, replace)
    }
    fn realpath(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.below.realpath(path)
    }
    fn remove(&self, path: &[u8]) -> Result<()> {
        self.below.remove(path)
    }
    fn statvfs(&self, path: &[u8]) -> Result<Space> {
        self.below.statvfs(path)
    }
}

impl File for FailingFile {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        self.below.read_at(buffers, offset)
    }
    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        self.below.write_at(data, offset)
    }
    fn stat(&self) -> Result<Attrs> {
        self.below.stat()
    }
    fn set_attrs(&self, attrs: &SetAttrs) -> Result<()> {
        self.below.set_attrs(attrs)
    }
    fn sync(&self) -> Result<()> {
        Failing::call(self.at, "sync")
    }
    fn as_any(&self) -> &dyn std::any::Any {
        self
    }
    fn close(self: Box<Self>) -> Result<()> {
        Failing::call(self.at, "close")
    }
}

#[test]
fn a_close_that_fails_says_so_and_leaves_the_part_unless_it_cannot_be_relied_on() {
    for (at, parts) in [("sync", 0), ("close", 1), ("rename", 1)] {
        let below = Memory::new();
        put(&below, "/f", b"old");
        let everywhere = [Folder { path: b"/".to_vec(), on_close: true }];
        let failing = Arc::new(Failing { below: below.clone(), at });
        let alice = OnClose::new(failing, b"alice", &everywhere, Uploads::new());
        let file = open(&alice, "/f", &UPLOAD).unwrap();
        file.write_at(b"new", 0).unwrap();

        assert_eq!(refused(file.close()), ErrorKind::NoSpace, "{at}");

        assert_eq!(get(&below, "/f").unwrap(), b"old", "{at}");
        assert_eq!(names(&below, "/.sterna-staging").len(), parts, "{at}");

        // The same for one that is cut off.
        let file = open(&alice, "/f", &UPLOAD).unwrap();
        file.write_at(b"new", 0).unwrap();
        drop(file);
        assert_eq!(names(&below, "/.sterna-staging").len(), parts, "{at}");
    }
}

#[test]
fn on_disk_the_backend_copies_into_a_part_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let everywhere = [Folder { path: b"/".to_vec(), on_close: true }];
    let below = Arc::new(Local::open(dir.path()).unwrap());
    let alice = OnClose::new(below, b"alice", &everywhere, Uploads::new());
    put(&alice, "/f", &[7; 100_000]);
    let source = open(&alice, "/f", &READ).unwrap();
    let target = open(&alice, "/g", &UPLOAD).unwrap();

    let copied = source.copy_to(0, 0, &*target, 0).map(|copied| copied.unwrap());
    target.close().unwrap();

    if let Some(copied) = copied {
        assert_eq!(copied, 100_000);
        assert_eq!(std::fs::read(dir.path().join("g")).unwrap(), [7; 100_000]);
    }
    // In place, with the copy that comes first made by the system as well.
    let file = open(&alice, "/f", &OpenHow { write: true, ..READ }).unwrap();
    file.write_at(b"changed", 50_000).unwrap();
    file.close().unwrap();
    let mut expected = vec![7; 100_000];
    expected[50_000..50_007].copy_from_slice(b"changed");
    assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), expected);
}
