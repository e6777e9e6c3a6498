//! One tree made equal to another, over our own server: up, down, and from tree to tree on it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use sterna_client::sync::{Basis, DeleteMax, FilterBuilder, Report, SyncOptions, Tree, TreeSync};
use sterna_client::transfer::{Event, Progress};

use crate::stage::{Stage, content};

/// What a name of a tree is, as far as a sync promises it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Dir { mode: u32, modified: i64 },
    File { mode: u32, modified: i64, content: Vec<u8> },
    Link(PathBuf),
}

/// Everything below a directory, by its path.
fn tree(root: &Path) -> BTreeMap<PathBuf, What> {
    let mut found = BTreeMap::new();
    let mut open = vec![root.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let (mode, modified) = (meta.mode() & 0o777, meta.mtime());
            let what = if meta.is_dir() {
                open.push(path.clone());
                What::Dir { mode, modified }
            } else if meta.is_symlink() {
                What::Link(fs::read_link(&path).unwrap())
            } else {
                What::File { mode, modified, content: fs::read(&path).unwrap() }
            };
            found.insert(path.strip_prefix(root).unwrap().to_owned(), what);
        }
    }
    found
}

/// Change times of everything: they tell whether anybody touched it.
fn touched(root: &Path) -> BTreeMap<PathBuf, (i64, i64, u64)> {
    let paths = tree(root).into_keys();
    let stamp = |path: PathBuf| {
        let meta = fs::symlink_metadata(root.join(&path)).unwrap();
        (path, (meta.ctime(), meta.ctime_nsec(), meta.ino()))
    };
    paths.map(stamp).collect()
}

fn set_time(path: &Path, seconds: u64) {
    let when = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::open(path).unwrap().set_modified(when).unwrap();
}

/// A tree with what makes trees difficult: odd names, modes, links, an empty directory and one that
/// cannot be written.
fn odd_tree(root: &Path) {
    for dir in ["", "d", "d/deeper", "empty", "locked"] {
        fs::create_dir_all(root.join(dir)).unwrap();
    }
    let names: [&[u8]; 7] =
        [b"plain", b"with space", b"new\nline", b"-dash", b"\xff\xfe", b"*?[", "ümlaut".as_bytes()];
    for (n, name) in names.into_iter().enumerate() {
        let path = root.join("d").join(OsStr::from_bytes(name));
        fs::write(&path, content(n * 9973, n as u64)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600 + n as u32 % 8)).unwrap();
        set_time(&path, 1_000_000_000 + n as u64);
    }
    fs::write(root.join("d/deeper/big"), content(600_000, 9)).unwrap();
    fs::write(root.join("locked/in"), "x").unwrap();
    symlink("d/plain", root.join("link")).unwrap();
    symlink("nowhere\n", root.join("dangling")).unwrap();
    fs::set_permissions(root.join("locked"), fs::Permissions::from_mode(0o555)).unwrap();
    for dir in ["empty", "locked", "d/deeper", "d", ""] {
        set_time(&root.join(dir), 1_100_000_000);
    }
}

/// What a sync said of names: action and whether it was only planned.
#[derive(Default)]
struct Heard(Mutex<Vec<(String, &'static str, bool)>>);

impl Progress for Heard {
    fn event(&self, event: &Event<'_>) {
        let name = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        let mut heard = self.0.lock().unwrap();
        match event {
            Event::Change { path, action, planned, .. } => {
                heard.push((name(path), action.as_str(), *planned));
            }
            Event::Error { path, error } => {
                heard.push((format!("{}: {error}", name(path)), "error", false));
            }
            _ => {}
        }
    }
}

/// A direction of syncs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Up,
    Down,
    /// From tree to tree on one server.
    There,
}

const WAYS: [Way; 3] = [Way::Up, Way::Down, Way::There];

impl Way {
    fn source(self, stage: &Stage) -> PathBuf {
        match self {
            Self::Up => stage.here("source"),
            Self::Down | Self::There => stage.there("source"),
        }
    }

    fn target(self, stage: &Stage) -> PathBuf {
        match self {
            Self::Down => stage.here("target"),
            Self::Up | Self::There => stage.there("target"),
        }
    }

    async fn describe(self, stage: &Stage) -> TreeSync {
        let session = stage.session().await;
        let sftp = session.sftp().await.unwrap();
        let remote = |path: &[u8]| Tree::Remote {
            sftp: sftp.clone(),
            session: None,
            reconnect: None,
            path: path.to_vec(),
        };
        let source = match self {
            Self::Up => Tree::Local(self.source(stage)),
            Self::Down | Self::There => remote(b"/source"),
        };
        let target = match self {
            Self::Down => Tree::Local(self.target(stage)),
            Self::Up | Self::There => remote(b"/target"),
        };
        TreeSync::new(source, target).transfer(stage.options())
    }

    async fn sync(self, stage: &Stage, options: SyncOptions) -> Report {
        self.describe(stage).await.options(options).run().await.unwrap()
    }
}

fn deleting() -> SyncOptions {
    SyncOptions { delete: true, ..SyncOptions::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tree_arrives_whole_and_a_second_sync_does_nothing() {
    for way in WAYS {
        let stage = Stage::new();
        odd_tree(&way.source(&stage));

        let first = way.sync(&stage, deleting()).await;
        let before = touched(&way.target(&stage));
        let second = way.sync(&stage, deleting()).await;

        assert_eq!(first.summary.failed, 0, "{way:?}: {:?}", first.summary.errors);
        assert_eq!(tree(&way.target(&stage)), tree(&way.source(&stage)), "{way:?}");
        assert_eq!(first.summary.files, 9, "{way:?}");
        assert_eq!(first.summary.verified_by_digest, 9, "{way:?}");
        assert_eq!((second.summary.files, second.summary.bytes_sent), (0, 0), "{way:?}");
        assert_eq!((second.unchanged, second.summary.failed), (11, 0), "{way:?}");
        assert_eq!(touched(&way.target(&stage)), before, "{way:?}: something was touched");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_changed_is_made_equal_again() {
    for way in WAYS {
        let stage = Stage::new();
        let (source, target) = (way.source(&stage), way.target(&stage));
        odd_tree(&source);
        way.sync(&stage, deleting()).await;
        fs::write(source.join("d/plain"), "other content").unwrap();
        fs::remove_file(source.join("d/-dash")).unwrap();
        fs::remove_file(source.join("link")).unwrap();
        symlink("elsewhere", source.join("link")).unwrap();
        fs::set_permissions(source.join("d/*?["), fs::Permissions::from_mode(0o640)).unwrap();
        fs::write(target.join("extra"), "x").unwrap();
        fs::create_dir_all(target.join("extra dir/deep")).unwrap();
        fs::write(target.join("extra dir/deep/file"), "x").unwrap();

        let report = way.sync(&stage, deleting()).await;

        assert_eq!(report.summary.failed, 0, "{way:?}: {:?}", report.summary.errors);
        assert_eq!(tree(&target), tree(&source), "{way:?}");
        assert_eq!(report.summary.files, 1, "{way:?}: only the file whose content changed");
        assert_eq!((report.attributes_set, report.links_made), (1, 1), "{way:?}");
        assert_eq!(report.deleted, 5, "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_delete_what_only_the_target_has_stays() {
    for way in WAYS {
        let stage = Stage::new();
        fs::create_dir(way.source(&stage)).unwrap();
        fs::create_dir(way.target(&stage)).unwrap();
        fs::write(way.source(&stage).join("a"), "a").unwrap();
        fs::write(way.target(&stage).join("b"), "b").unwrap();

        let report = way.sync(&stage, SyncOptions::default()).await;

        assert_eq!(report.summary.failed, 0);
        assert_eq!(fs::read(way.target(&stage).join("a")).unwrap(), b"a");
        assert_eq!(fs::read(way.target(&stage).join("b")).unwrap(), b"b");
    }
}

/// Goal: files become directories and the reverse; links too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_change_their_kind() {
    for way in WAYS {
        let stage = Stage::new();
        let (source, target) = (way.source(&stage), way.target(&stage));
        for dir in [&source, &target] {
            fs::create_dir(dir).unwrap();
        }
        fs::create_dir(source.join("was file")).unwrap();
        fs::write(source.join("was file/in"), "1").unwrap();
        fs::write(target.join("was file"), "x").unwrap();
        fs::write(source.join("was dir"), "2").unwrap();
        fs::create_dir_all(target.join("was dir/deep")).unwrap();
        fs::write(target.join("was dir/deep/file"), "x").unwrap();
        symlink("a", source.join("was dir too")).unwrap();
        fs::create_dir(target.join("was dir too")).unwrap();
        fs::write(source.join("was link"), "3").unwrap();
        symlink("was dir/deep/file", target.join("was link")).unwrap();
        symlink("b", source.join("is link")).unwrap();
        fs::write(target.join("is link"), "x").unwrap();
        fs::create_dir(source.join("was link to dir")).unwrap();
        fs::write(source.join("was link to dir/in"), "4").unwrap();
        symlink("/", target.join("was link to dir")).unwrap();

        let kept = way.sync(&stage, SyncOptions::default()).await;
        let still = fs::read(target.join("was dir/deep/file"));
        let report = way.sync(&stage, deleting()).await;

        assert_eq!(kept.summary.failed, 2, "{way:?}: two directories are in the way");
        assert_eq!(still.unwrap(), b"x", "{way:?}");
        assert_eq!(report.summary.failed, 0, "{way:?}: {:?}", report.summary.errors);
        assert_eq!(tree(&target), tree(&source), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dry_run_tells_everything_and_changes_nothing() {
    for way in WAYS {
        let stage = Stage::new();
        let (source, target) = (way.source(&stage), way.target(&stage));
        odd_tree(&source);
        fs::create_dir_all(target.join("extra dir")).unwrap();
        fs::write(target.join("extra dir/file"), "x").unwrap();
        fs::create_dir(target.join("d")).unwrap();
        fs::write(target.join("d/plain"), "old").unwrap();
        let before = (tree(&target), touched(&target));
        let heard = Arc::new(Heard::default());

        let options = SyncOptions { dry_run: true, ..deleting() };
        let sync = way.describe(&stage).await.options(options).progress(heard.clone());
        let report = sync.run().await.unwrap();

        assert_eq!((tree(&target), touched(&target)), before, "{way:?}");
        assert_eq!((report.summary.failed, report.summary.files), (0, 0), "{way:?}");
        let heard = heard.0.lock().unwrap();
        assert!(heard.iter().all(|(_, _, planned)| *planned), "{way:?}: {heard:?}");
        let count = |action| heard.iter().filter(|(_, said, _)| *said == action).count();
        assert_eq!((count("create"), count("update"), count("mkdir")), (8, 1, 3), "{way:?}");
        assert_eq!((count("symlink"), count("delete")), (2, 2), "{way:?}: {heard:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_guard_keeps_an_empty_source_from_emptying_the_target() {
    for way in WAYS {
        let stage = Stage::new();
        fs::create_dir(way.source(&stage)).unwrap();
        odd_tree(&way.target(&stage));
        let before = tree(&way.target(&stage));

        let refused = way.sync(&stage, deleting()).await;
        let after = tree(&way.target(&stage));
        let forced = way.sync(&stage, SyncOptions { force_delete: true, ..deleting() }).await;

        assert_eq!((refused.summary.failed, refused.summary.exit_code()), (1, 1), "{way:?}");
        assert_eq!(after, before, "{way:?}");
        assert_eq!(forced.summary.failed, 0, "{way:?}: {:?}", forced.summary.errors);
        assert!(tree(&way.target(&stage)).is_empty(), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_max_delete_deletes_nothing() {
    let stage = Stage::new();
    let (source, target) = (Way::Up.source(&stage), Way::Up.target(&stage));
    fs::create_dir(&source).unwrap();
    fs::create_dir(&target).unwrap();
    fs::write(source.join("new"), "n").unwrap();
    for n in 0..4 {
        fs::write(target.join(format!("extra {n}")), "x").unwrap();
    }

    let max = |max| SyncOptions { delete_max: Some(DeleteMax::Count(max)), ..deleting() };
    let refused = Way::Up.sync(&stage, max(3)).await;
    let names_then = tree(&target).len();
    let done = Way::Up.sync(&stage, max(4)).await;

    assert_eq!(refused.summary.failed, 1);
    assert_eq!(names_then, 5, "what is new arrives all the same");
    assert_eq!((done.summary.failed, done.deleted), (0, 4));
    assert_eq!(tree(&target), tree(&source));
}

/// Goal: a file that cannot be read keeps everything beside it, and a directory that cannot be read
/// keeps everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_named_and_keeps_what_might_be_its_copy() {
    let stage = Stage::new();
    let (source, target) = (Way::Up.source(&stage), Way::Up.target(&stage));
    for dir in ["with socket", "good"] {
        fs::create_dir_all(source.join(dir)).unwrap();
        fs::create_dir_all(target.join(dir)).unwrap();
        fs::write(target.join(dir).join("extra"), "x").unwrap();
    }
    fs::write(source.join("good/file"), "f").unwrap();
    let socket = std::os::unix::net::UnixListener::bind(source.join("with socket/s")).unwrap();

    let report = Way::Up.sync(&stage, deleting()).await;
    drop(socket);

    assert_eq!(report.summary.failed, 1);
    let (path, error) = &report.summary.errors[0];
    assert!(path.ends_with(b"with socket/s"), "{error}");
    assert!(!target.join("good/extra").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_excluded_stays_on_both_sides() {
    for way in WAYS {
        let stage = Stage::new();
        let (source, target) = (way.source(&stage), way.target(&stage));
        fs::create_dir_all(source.join("cache")).unwrap();
        fs::create_dir_all(target.join("gone/cache")).unwrap();
        for path in ["a.txt", "b.tmp", "cache/c"] {
            fs::write(source.join(path), path).unwrap();
        }
        for path in ["keep.tmp", "gone/cache/c", "gone/x"] {
            fs::write(target.join(path), path).unwrap();
        }
        let mut filter = FilterBuilder::new();
        filter.exclude("*.tmp").unwrap();
        filter.exclude("cache/").unwrap();
        let filter = filter.build().unwrap();

        let report = way.sync(&stage, SyncOptions { filter, ..deleting() }).await;

        assert_eq!(report.summary.failed, 0, "{way:?}: {:?}", report.summary.errors);
        let names: Vec<_> = tree(&target).into_keys().collect();
        let expected = ["a.txt", "gone", "gone/cache", "gone/cache/c", "keep.tmp"];
        assert_eq!(names, expected.map(PathBuf::from), "{way:?}");
        assert_eq!(report.deleted, 1, "{way:?}");
    }
}

/// Goal: `--checksum` finds what size and time hide, and moves nothing where only the time differs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn checksums_decide_by_content() {
    for way in WAYS {
        let stage = Stage::new();
        let (source, target) = (way.source(&stage), way.target(&stage));
        fs::create_dir(&source).unwrap();
        for name in ["flipped", "touched"] {
            fs::write(source.join(name), content(100_000, 1)).unwrap();
        }
        way.sync(&stage, SyncOptions::default()).await;
        crate::stage::flip(&target.join("flipped"), 5000);
        let modified = fs::metadata(source.join("flipped")).unwrap().modified().unwrap();
        fs::File::open(target.join("flipped")).unwrap().set_modified(modified).unwrap();
        set_time(&source.join("touched"), 1_200_000_000);

        let options = SyncOptions { basis: Basis::Checksum, ..SyncOptions::default() };
        let report = way.sync(&stage, options).await;

        assert_eq!(report.summary.files, 1, "{way:?}");
        assert_eq!(report.attributes_set, 1, "{way:?}");
        assert_eq!(tree(&target), tree(&source), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn names_of_one_file_stay_names_of_one_file() {
    let stage = Stage::new();
    let (source, target) = (Way::Up.source(&stage), Way::Up.target(&stage));
    fs::create_dir_all(source.join("d")).unwrap();
    fs::write(source.join("a"), content(50_000, 4)).unwrap();
    fs::hard_link(source.join("a"), source.join("b")).unwrap();
    fs::hard_link(source.join("a"), source.join("d/c")).unwrap();
    fs::write(source.join("alone"), "x").unwrap();
    let options = || SyncOptions { hard_links: true, ..SyncOptions::default() };

    let first = Way::Up.sync(&stage, options()).await;
    let second = Way::Up.sync(&stage, options()).await;
    let inode = |name: &str| fs::metadata(target.join(name)).unwrap().ino();

    assert_eq!((first.summary.files, first.hard_links_made), (2, 2), "{:?}", first.summary.errors);
    assert_eq!((inode("a"), inode("a")), (inode("b"), inode("d/c")));
    assert_ne!(inode("a"), inode("alone"));
    assert_eq!((second.summary.files, second.hard_links_made), (0, 0));
    assert_eq!(tree(&target), tree(&source));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_that_is_missing_is_an_error_and_makes_nothing() {
    for way in WAYS {
        let stage = Stage::new();

        let result = way.describe(&stage).await.options(deleting()).run().await;

        assert!(result.is_err(), "{way:?}");
        assert!(!way.target(&stage).exists(), "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trees_that_lie_in_each_other_are_refused() {
    let stage = Stage::new();
    fs::create_dir_all(stage.there("a/b")).unwrap();
    let sftp = stage.session().await.sftp().await.unwrap();
    let at = |path: &[u8]| Tree::Remote {
        sftp: sftp.clone(),
        session: None,
        reconnect: None,
        path: path.to_vec(),
    };

    for (from, to) in
        [(&b"/a"[..], &b"/a/b"[..]), (b"/a/b", b"/a"), (b"/a", b"/a/."), (b"/a", b"/a/new")]
    {
        let result = TreeSync::new(at(from), at(to)).options(deleting()).run().await;

        assert!(result.is_err(), "{from:?} {to:?}");
    }
}

/// Goal: between two servers content passes through here, and both servers' digests agree.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_server_to_server_it_passes_through_here() {
    let (from, to) = (Stage::new(), Stage::new());
    odd_tree(&from.there("source"));
    fs::write(from.there("source/large"), content(9_000_000, 3)).unwrap();
    let at = async |stage: &Stage, path: &[u8]| {
        let sftp = stage.session().await.sftp().await.unwrap();
        Tree::Remote { sftp, session: None, reconnect: None, path: path.to_vec() }
    };
    let sync = async || {
        TreeSync::new(at(&from, b"/source").await, at(&to, b"/target").await)
            .transfer(from.options())
            .options(deleting())
            .run()
            .await
            .unwrap()
    };

    let first = sync().await;
    let second = sync().await;

    assert_eq!(first.summary.failed, 0, "{:?}", first.summary.errors);
    assert_eq!(tree(&to.there("target")), tree(&from.there("source")));
    assert_eq!((first.summary.files, first.summary.verified_by_digest), (10, 10));
    assert_eq!((second.summary.files, second.summary.bytes_sent), (0, 0));
}

/// Goal: a part between two servers is continued only if both say that it is right.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_part_between_servers_is_proven_before_it_is_used() {
    for flipped in [false, true] {
        let (from, to) = (Stage::new(), Stage::new());
        let whole = content(5_000_000, 6);
        fs::create_dir(from.there("source")).unwrap();
        fs::write(from.there("source/f"), &whole).unwrap();
        fs::create_dir(to.there("target")).unwrap();
        let part = to.there("target/.f.sterna-part");
        fs::write(&part, &whole[..3_000_000]).unwrap();
        if flipped {
            crate::stage::flip(&part, 1_000_000);
        }
        let at = async |stage: &Stage, path: &[u8]| {
            let sftp = stage.session().await.sftp().await.unwrap();
            Tree::Remote { sftp, session: None, reconnect: None, path: path.to_vec() }
        };

        let sync = TreeSync::new(at(&from, b"/source").await, at(&to, b"/target").await)
            .transfer(from.options());
        let report = sync.run().await.unwrap();

        let sent = if flipped { 5_000_000 } else { 2_000_000 };
        assert_eq!((report.summary.failed, report.summary.bytes_sent), (0, sent));
        assert_eq!(fs::read(to.there("target/f")).unwrap(), whole);
        assert!(!part.exists());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn verifying_names_what_differs_what_is_missing_and_what_is_too_much() {
    for way in WAYS {
        let stage = Stage::new();
        let (source, target) = (way.source(&stage), way.target(&stage));
        odd_tree(&source);
        way.sync(&stage, SyncOptions::default()).await;

        let equal = way.describe(&stage).await.verify(false).await.unwrap();
        crate::stage::flip(&target.join("d/deeper/big"), 70_000);
        let differing = way.describe(&stage).await.verify(false).await.unwrap();
        fs::remove_file(target.join("d/with space")).unwrap();
        fs::write(target.join("extra"), "x").unwrap();
        let all = way.describe(&stage).await.verify(false).await.unwrap();
        let one_way = way.describe(&stage).await.verify(true).await.unwrap();

        assert_eq!((equal.summary.failed, equal.summary.exit_code()), (0, 0), "{way:?}");
        assert_eq!(equal.summary.verified_by_digest, 9, "{way:?}");
        assert_eq!((differing.differing, differing.summary.exit_code()), (1, 6), "{way:?}");
        assert_eq!((all.differing, all.missing, all.extra), (1, 1, 1), "{way:?}");
        assert_eq!((one_way.missing, one_way.extra), (1, 0), "{way:?}");
        assert_eq!(equal.read_back, 0, "{way:?}: the server computes digests");
    }
}

/// Extended attributes of a file or directory, by name.
fn xattrs(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut list = vec![0; 4096];
    let len = rustix::fs::listxattr(path, &mut list[..]).unwrap();
    let names = list[..len].split(|b| *b == 0).filter(|name| name.starts_with(b"user."));
    let value = |name: &[u8]| {
        let mut value = vec![0; 64 << 10];
        let len = rustix::fs::getxattr(path, name, &mut value[..]).unwrap();
        value.truncate(len);
        value
    };
    names.map(|name| (String::from_utf8(name.to_vec()).unwrap(), value(name))).collect()
}

fn set_xattr(path: &Path, name: &str, value: &[u8]) {
    let none = rustix::fs::XattrFlags::empty();
    rustix::fs::setxattr(path, name, value, none).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn extended_attributes_are_kept_on_request_and_then_compared() {
    let with = SyncOptions { xattrs: true, ..SyncOptions::default() };
    for way in WAYS {
        let stage = Stage::new();
        let (source, target) = (way.source(&stage), way.target(&stage));
        odd_tree(&source);
        let names = ["d/plain", "d/-dash", "locked/in", "d", "locked", "empty", ""];
        for name in names {
            set_xattr(&source.join(name), "user.name", name.as_bytes());
        }
        set_xattr(&source.join("d/plain"), "user.large", &content(3000, 1));
        // Whoever may not write a file may not change its attributes either.
        fs::set_permissions(source.join("locked/in"), fs::Permissions::from_mode(0o400)).unwrap();
        let all = |root: &Path| names.map(|name| xattrs(&root.join(name)));

        let without = way.sync(&stage, SyncOptions::default()).await;
        let before = touched(&target);
        assert!(all(&target).iter().all(BTreeMap::is_empty), "{way:?}");
        let planned = way.sync(&stage, SyncOptions { dry_run: true, ..with.clone() }).await;
        assert_eq!(touched(&target), before, "{way:?}: a dry run changes nothing");
        let first = way.sync(&stage, with.clone()).await;
        let kept = (tree(&target), touched(&target));
        let second = way.sync(&stage, with.clone()).await;

        assert_eq!(without.summary.failed + first.summary.failed, 0, "{way:?}");
        assert_eq!(planned.planned, 3, "{way:?}: the files");
        assert_eq!(all(&target), all(&source), "{way:?}");
        assert_eq!((first.attributes_set, first.summary.bytes_sent), (3, 0), "{way:?}");
        assert!(first.not_kept.is_empty(), "{way:?}: {:?}", first.not_kept);
        assert_eq!(kept.0, tree(&source), "{way:?}: modes and times are as before");
        assert_eq!((second.attributes_set, touched(&target)), (0, kept.1), "{way:?}");

        // One changes, one goes, and a file that is sent anew brings its own.
        set_xattr(&source.join("d/plain"), "user.name", b"other");
        rustix::fs::removexattr(source.join("d/plain"), "user.large").unwrap();
        fs::write(source.join("d/-dash"), "other content").unwrap();
        set_xattr(&target.join("d/-dash"), "user.stray", b"");
        let third = way.sync(&stage, with.clone()).await;

        assert_eq!(all(&target), all(&source), "{way:?}");
        assert_eq!((third.summary.files, third.attributes_set), (1, 1), "{way:?}");
    }
}
