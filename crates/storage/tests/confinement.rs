//! Nothing outside the root is read, created or changed, whatever paths and links are used, also
//! while somebody swaps directories for links: for both resolvers.
//!
//! The stage: `data/user1` is the root, `data/user10` a neighbour with secrets. After everything
//! that can be asked was asked, the neighbour must be what it was to the last nanosecond, and no
//! answer may have held its secret.

use std::collections::BTreeMap;
use std::fs;
use std::io::IoSliceMut;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use sterna_storage::{
    Backend, ErrorKind, File, FileKind, Local, OpenHow, Resolver, SetAttrs, Time,
};

const SECRET: &[u8] = b"the neighbour's secret";
const SECRET_NAME: &str = "secret.txt";
/// A name that is only outside: a listing that shows it was not ours.
const OUTSIDE_NAME: &str = "only-outside";
/// Mode of the outer directory; nothing inside has it, so attributes tell who was asked.
const OUTSIDE_DIR_MODE: u32 = 0o751;

/// Rounds of every operation against the swapping thread.
const RACE_ROUNDS: usize = 3000;

struct Stage {
    _all: tempfile::TempDir,
    inside: PathBuf,
    outside: PathBuf,
}

impl Stage {
    fn new() -> Self {
        let all = tempfile::tempdir().unwrap();
        let inside = all.path().join("data/user1");
        let outside = all.path().join("data/user10");
        fs::create_dir_all(&inside).unwrap();
        fs::create_dir_all(outside.join("dir")).unwrap();
        fs::write(outside.join(SECRET_NAME), SECRET).unwrap();
        fs::write(outside.join("dir/file"), SECRET).unwrap();
        fs::write(outside.join(OUTSIDE_NAME), SECRET).unwrap();
        set_mode(&outside, OUTSIDE_DIR_MODE);
        Self { _all: all, inside, outside }
    }

    fn backend(&self, resolver: Resolver) -> Local {
        Local::with_resolver(&self.inside, resolver).unwrap()
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Everything that a change outside would change: names, contents, owners, modes, times, links.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, (Vec<i64>, Vec<u8>)> {
    let mut all = BTreeMap::new();
    let mut ahead = vec![dir.to_owned()];
    while let Some(path) = ahead.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        // No access time: this very function reads.
        let numbers = vec![
            meta.ino() as i64,
            meta.mode().into(),
            meta.uid().into(),
            meta.gid().into(),
            meta.nlink() as i64,
            meta.mtime(),
            meta.mtime_nsec(),
            meta.ctime(),
            meta.ctime_nsec(),
        ];
        let mut content = Vec::new();
        if meta.is_dir() {
            ahead.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if meta.is_file() {
            content = fs::read(&path).unwrap();
        }
        all.insert(path, (numbers, content));
    }
    all
}

fn read_all(file: &dyn File) -> Vec<u8> {
    let mut buffer = [0; 256];
    let len = file.read_at(&mut [IoSliceMut::new(&mut buffer)], 0).unwrap_or(0);
    buffer[..len].to_vec()
}

/// Asks everything there is to ask about `path`, then tries everything that would change it.
fn ask_everything(b: &Local, path: &[u8], stage: &Stage) {
    let shown = String::from_utf8_lossy(path).into_owned();
    let prefix = stage.inside.as_os_str().as_encoded_bytes();
    let read = OpenHow { read: true, ..OpenHow::default() };
    let create =
        OpenHow { read: true, write: true, create: true, truncate: true, ..OpenHow::default() };

    for how in [read, OpenHow { truncate: false, create: false, ..create }] {
        if let Ok(file) = b.open(path, &how) {
            assert_ne!(read_all(&*file), SECRET, "read outside by {shown}");
        }
    }
    for follow in [true, false] {
        // The second of them finds in memory what the first has looked up.
        let found = [Some(b.stat(path, follow)), b.try_stat(path, follow)];
        for attrs in found.into_iter().flatten().flatten() {
            let outer = attrs.kind == FileKind::Directory && attrs.mode == OUTSIDE_DIR_MODE;
            assert!(!outer, "stat outside by {shown}");
            assert_ne!(attrs.size, SECRET.len() as u64, "stat outside by {shown}");
        }
    }
    if let Ok(mut dir) = b.open_dir(path) {
        let mut entries = Vec::new();
        while dir.next_entries(100, &mut entries).unwrap() {}
        for entry in entries {
            assert_ne!(entry.name, OUTSIDE_NAME.as_bytes(), "listed outside by {shown}");
            let outer =
                entry.attrs.kind == FileKind::Directory && entry.attrs.mode == OUTSIDE_DIR_MODE;
            assert!(!outer, "{:?} of {shown} shows outside", entry.name);
        }
    }
    if let Ok(real) = b.realpath(path) {
        assert!(!real.windows(prefix.len()).any(|w| w == prefix), "realpath of {shown}");
    }
    let _ = b.readlink(path);
    let _ = b.statvfs(path);

    // Now everything that changes; the caller compares the outside afterwards.
    let time = Time { seconds: 1, nanos: 1 };
    for follow in [true, false] {
        let change =
            SetAttrs { size: Some(0), mode: Some(0o777), times: Some((time, time)), owner: None };
        let _ = b.set_attrs(path, &change, follow);
    }
    let under = |name: &str| [path, b"/", name.as_bytes()].concat();
    let made = under("made");
    if let Ok(file) = b.open(&made, &create) {
        let _ = file.write_at(b"made", 0);
    }
    let _ = b.rename(&made, &under("renamed"), false);
    let _ = b.rename(&under(SECRET_NAME), b"/stolen", true);
    let _ = b.rename(b"/own", &under("own"), true);
    let _ = b.hardlink(&under(SECRET_NAME), b"/linked");
    let _ = b.hardlink(b"/own", &under("own-linked"));
    let _ = b.symlink(b"x", &under("link"));
    let _ = b.mkdir(&under("made-dir"), None);
    let _ = b.rmdir(&under("dir"));
    let _ = b.rmdir(&under("made-dir"));
    let _ = b.remove(&under(SECRET_NAME));
    let _ = b.remove(&under("dir/file"));
    for leftover in [&b"/stolen"[..], b"/linked"] {
        if let Ok(file) = b.open(leftover, &read) {
            assert_ne!(read_all(&*file), SECRET, "taken from outside by {shown}");
        }
        let _ = b.remove(leftover);
    }
    if let Ok(file) = b.open(path, &create) {
        let _ = file.write_at(b"overwritten", 0);
    }
    let _ = b.remove(path);
    let _ = b.rmdir(path);
}

fn hostile_paths_reach_nothing(resolver: Resolver) {
    let stage = Stage::new();
    let outside = stage.outside.to_str().unwrap().to_owned();
    let before = snapshot(&stage.outside);
    let links = [
        ("root", "/".to_owned()),
        ("up", "..".to_owned()),
        ("up-many", "../".repeat(40)),
        ("up-sibling", "../user10".to_owned()),
        ("up-sibling-file", format!("../user10/{SECRET_NAME}")),
        ("absolute", outside.clone()),
        ("absolute-file", format!("{outside}/{SECRET_NAME}")),
        ("proc-root", format!("/proc/self/root{outside}")),
        ("via", "absolute/dir".to_owned()),
    ];
    let mut paths: Vec<String> = vec![
        "/..".into(),
        "/../user10".into(),
        format!("/../user10/{SECRET_NAME}"),
        format!("{}{outside}", "/..".repeat(40)),
        format!("{}{outside}/{SECRET_NAME}", "/..".repeat(40)),
        format!("/sub/../../user10/{SECRET_NAME}"),
        "/../user10/dir/file".into(),
        "../user10".into(),
        "0".into(),
        outside.clone(),
        format!("{outside}/{SECRET_NAME}"),
        format!("/proc/self/root{outside}/{SECRET_NAME}"),
        "/proc/self/cwd".into(),
    ];
    for (name, _) in &links {
        paths.extend(["", "/", "/.", "/..", "/../user10"].map(|end| format!("/{name}{end}")));
        paths.extend([format!("/{name}/{SECRET_NAME}"), format!("/{name}{outside}")]);
    }
    let b = stage.backend(resolver);
    assert_eq!(b.resolver(), resolver);

    for path in &paths {
        // The operations may remove what lies inside: the scene is set again for each path.
        for entry in fs::read_dir(&stage.inside).unwrap() {
            let entry = entry.unwrap();
            match entry.file_type().unwrap().is_dir() {
                true => fs::remove_dir_all(entry.path()).unwrap(),
                false => fs::remove_file(entry.path()).unwrap(),
            }
        }
        fs::create_dir(stage.inside.join("sub")).unwrap();
        fs::write(stage.inside.join("own"), b"own").unwrap();
        for (name, target) in &links {
            symlink(target, stage.inside.join(name)).unwrap();
        }
        ask_everything(&b, path.as_bytes(), &stage);
        assert!(before == snapshot(&stage.outside), "outside changed by {path}");
    }
    let data = stage.inside.parent().unwrap();
    let names = fs::read_dir(data).unwrap().count();
    assert_eq!(names, 2, "something was made or lost beside the root");
}

#[test]
fn hostile_paths_reach_nothing_by_openat2() {
    hostile_paths_reach_nothing(Resolver::Kernel);
}

#[test]
fn hostile_paths_reach_nothing_by_walking() {
    hostile_paths_reach_nothing(Resolver::Walk);
}

/// Swaps `inside/swap`, a directory, for a link to the outside and back until told to stop.
fn swap_until(stop: &AtomicBool, stage: &Stage) {
    let (swap, parked) = (stage.inside.join("swap"), stage.inside.join("parked"));
    let link = stage.inside.join("link-parked");
    let mut targets = ["/".to_owned(), "../user10".into(), "..".into()].to_vec();
    targets.push(stage.outside.to_str().unwrap().to_owned());
    for target in targets.iter().cycle() {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        // The other side removes and renames things too: each step may find nothing to do.
        let _ = fs::create_dir(&swap);
        let _ = fs::write(swap.join(SECRET_NAME), b"own file of that name");
        let _ = fs::remove_file(&link);
        let _ = symlink(target, &link);
        let _ = fs::rename(&swap, &parked);
        let _ = fs::rename(&link, &swap);
        thread::yield_now();
        let _ = fs::remove_file(&swap);
        let _ = fs::rename(&parked, &swap);
        let _ = fs::remove_dir_all(&parked);
    }
}

fn a_swapped_directory_reaches_nothing(resolver: Resolver) {
    let stage = Stage::new();
    fs::create_dir_all(stage.inside.join("swap/deep")).unwrap();
    let before = snapshot(&stage.outside);
    let b = stage.backend(resolver);
    let stop = AtomicBool::new(false);

    thread::scope(|scope| {
        let swapper = scope.spawn(|| swap_until(&stop, &stage));
        // Also stops the other thread if an assertion fails here.
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            for round in 0..RACE_ROUNDS {
                let path: &[u8] = [
                    &b"/swap"[..],
                    b"/swap/secret.txt",
                    b"/swap/dir",
                    b"/swap/deep/..",
                    b"/swap/deep/../../../user10",
                    b"/swap/../swap/dir/..",
                ][round % 6];
                let _ = fs::write(stage.inside.join("own"), b"own");
                ask_everything(&b, path, &stage);
            }
        }));
        stop.store(true, Ordering::Relaxed);
        swapper.join().unwrap();
        if let Err(panic) = outcome {
            std::panic::resume_unwind(panic);
        }
    });

    assert!(before == snapshot(&stage.outside), "outside changed");
    assert_eq!(fs::read_dir(stage.inside.parent().unwrap()).unwrap().count(), 2);
}

#[test]
fn a_swapped_directory_reaches_nothing_by_openat2() {
    a_swapped_directory_reaches_nothing(Resolver::Kernel);
}

#[test]
fn a_swapped_directory_reaches_nothing_by_walking() {
    a_swapped_directory_reaches_nothing(Resolver::Walk);
}

/// Magic links of the process file system jump wherever the kernel keeps an object, whatever text
/// they show: none may be followed.
#[test]
fn magic_links_are_not_followed() {
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let b = Local::with_resolver("/proc/self", resolver).unwrap();
        let read = OpenHow { read: true, ..OpenHow::default() };
        for path in [&b"/root/etc/passwd"[..], b"/cwd/Cargo.toml", b"/exe", b"/fd/0"] {
            assert!(b.open(path, &read).is_err(), "{resolver:?} {}", path.escape_ascii());
            assert!(b.stat(path, true).is_err(), "{resolver:?} {}", path.escape_ascii());
        }
        assert!(b.stat(b"/root/etc", true).is_err());
    }
}

#[test]
fn missing_and_forbidden_outside_look_the_same() {
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let stage = Stage::new();
        let b = stage.backend(resolver);
        let exists = b.stat(format!("/../user10/{SECRET_NAME}").as_bytes(), true).unwrap_err();
        let missing = b.stat(b"/../user10/no-such-file", true).unwrap_err();
        assert_eq!((exists.kind, missing.kind), (ErrorKind::NotFound, ErrorKind::NotFound));
        assert_eq!(exists.to_string(), missing.to_string());
    }
}

/// A path much deeper than the descriptors that a walk keeps open, and back up again.
#[test]
fn deep_paths_are_walked_with_few_descriptors() {
    let stage = Stage::new();
    let down = "/d".repeat(200);
    fs::create_dir_all(stage.inside.join(&down[1..])).unwrap();
    fs::write(stage.inside.join("d/d/near-the-top"), b"x").unwrap();
    for resolver in [Resolver::Kernel, Resolver::Walk] {
        let b = stage.backend(resolver);
        let back = format!("{down}{}/near-the-top", "/..".repeat(198));
        assert_eq!(b.stat(back.as_bytes(), true).unwrap().size, 1);
        assert_eq!(b.realpath(back.as_bytes()).unwrap(), b"/d/d/near-the-top");
        assert_eq!(b.realpath(down.as_bytes()).unwrap(), down.as_bytes());
        let above = format!("{down}{}", "/..".repeat(500));
        assert_eq!(b.realpath(above.as_bytes()).unwrap(), b"/");
    }
}
