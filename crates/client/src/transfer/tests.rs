//! Transfers against OpenSSH's `sftp-server` on pipes: sizes, trees, odd names, resuming.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};

use tokio::process::Command;

use super::*;
use crate::sftp::SftpOptions;

const SERVER: &str = "/usr/lib/openssh/sftp-server";

/// A place with a server: `here/` is local, `there/` is what the server is asked about.
struct Place {
    root: tempfile::TempDir,
    sftp: Sftp,
}

impl Place {
    /// `None` where OpenSSH is not installed.
    async fn new() -> Option<Self> {
        let sftp = server(&[]).await?;
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("here")).unwrap();
        fs::create_dir(root.path().join("there")).unwrap();
        Some(Self { root, sftp })
    }

    fn here(&self, name: &str) -> PathBuf {
        self.root.path().join("here").join(name)
    }

    fn there(&self, name: &str) -> PathBuf {
        self.root.path().join("there").join(name)
    }

    fn options(&self) -> Options {
        Options {
            state_dir: Some(self.root.path().join("state")),
            fsync: false,
            ..Options::default()
        }
    }

    fn transfer(&self) -> Transfer {
        Transfer::new(&self.sftp).options(self.options())
    }
}

async fn server(arguments: &[&str]) -> Option<Sftp> {
    if !Path::new(SERVER).exists() {
        eprintln!("skipped: {SERVER} is not installed");
        return None;
    }
    let mut child = Command::new(SERVER)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(false)
        .spawn()
        .unwrap();
    let io = tokio::io::join(child.stdout.take().unwrap(), child.stdin.take().unwrap());
    tokio::spawn(async move { child.wait().await });
    Some(Sftp::over(io, SftpOptions::default()).await.unwrap())
}

/// Bytes that no repetition explains.
fn content(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut out = Vec::with_capacity(len + 8);
    while out.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        out.extend_from_slice(&state.to_le_bytes());
    }
    out.truncate(len);
    out
}

/// Keeps the words of the events; may cancel after some progress.
#[derive(Default)]
struct Recorder {
    seen: Mutex<Vec<String>>,
    cancel_at: Option<(u64, Cancel)>,
}

impl Progress for Recorder {
    fn event(&self, event: &Event<'_>) {
        let word = match event {
            Event::Start { .. } => "start".to_owned(),
            Event::Progress { done, .. } => {
                if let Some((at, cancel)) = &self.cancel_at
                    && done >= at
                {
                    cancel.cancel();
                }
                return;
            }
            Event::Comparing { .. } => return,
            Event::Retry { .. } => "retry".to_owned(),
            Event::Done(report) => {
                let resumed = report.resumed_from;
                format!(
                    "done {} sent {} from {resumed} {}",
                    report.bytes,
                    report.bytes_sent,
                    report.verified.as_str()
                )
            }
            Event::Error { error, .. } => format!("error {error}"),
            Event::Skipped { .. } => "skipped".to_owned(),
            Event::Change { action, .. } => action.as_str().to_owned(),
            Event::Summary(summary) => format!("summary {}/{}", summary.files, summary.failed),
        };
        self.seen.lock().unwrap().push(word);
    }
}

#[tokio::test]
async fn files_of_awkward_sizes_arrive_whole_both_ways() {
    let Some(place) = Place::new().await else { return };
    for len in [0, 1, 32 * 1024 + 1, 261_120, 5 << 20] {
        let data = content(len, len as u64);
        fs::write(place.here("up"), &data).unwrap();

        let up = place
            .transfer()
            .put(&[place.here("up")], path_bytes(&place.there("file")))
            .await
            .unwrap();
        let down = place
            .transfer()
            .get(&[path_bytes(&place.there("file"))], &place.here("down"))
            .await
            .unwrap();

        assert_eq!((up.exit_code(), down.exit_code()), (0, 0), "{:?} {:?}", up.errors, down.errors);
        assert_eq!((up.bytes_sent, down.bytes_sent), (len as u64, len as u64));
        assert!(fs::read(place.there("file")).unwrap() == data, "{len} bytes up");
        assert!(fs::read(place.here("down")).unwrap() == data, "{len} bytes down");
    }
    // No temporary files, no journals.
    assert_eq!(fs::read_dir(place.there("")).unwrap().count(), 1);
    assert_eq!(fs::read_dir(place.here("")).unwrap().count(), 2);
    assert_eq!(fs::read_dir(place.root.path().join("state")).unwrap().count(), 0);
}

#[tokio::test]
async fn events_follow_the_contract() {
    let Some(place) = Place::new().await else { return };
    fs::write(place.there("a"), b"12345").unwrap();
    let recorder = Arc::new(Recorder::default());

    let transfer = place.transfer().progress(recorder.clone());
    let missing = place.there("missing");
    transfer
        .get(&[path_bytes(&place.there("a")), path_bytes(&missing)], &place.here(""))
        .await
        .unwrap();

    let seen = recorder.seen.lock().unwrap();
    assert!(seen.contains(&"start".to_owned()));
    assert!(seen.contains(&"done 5 sent 5 from 0 size".to_owned()), "{seen:?}");
    assert!(
        seen.iter().any(|s| s.starts_with("error stat") && s.contains("no such file")),
        "{seen:?}"
    );
    assert_eq!(seen.last().unwrap(), "summary 1/1");
}

#[tokio::test]
async fn an_interrupted_download_goes_on_where_it_stopped() {
    let Some(place) = Place::new().await else { return };
    let data = content(24 << 20, 3);
    fs::write(place.there("big"), &data).unwrap();
    let source = path_bytes(&place.there("big")).to_vec();
    for stop_at in [1 << 20, 9 << 20, 20 << 20] {
        let cancel = Cancel::new();
        let recorder = Arc::new(Recorder {
            cancel_at: Some((stop_at, cancel.clone())),
            ..Recorder::default()
        });
        let stopped = place.transfer().progress(recorder).cancel(cancel);
        let first = stopped.get(&[&source], &place.here("big")).await.unwrap();
        assert_eq!(first.exit_code(), 7);
        assert!(!place.here("big").exists());

        let recorder = Arc::new(Recorder::default());
        let second = place
            .transfer()
            .progress(recorder.clone())
            .get(&[&source], &place.here("big"))
            .await
            .unwrap();

        assert_eq!(second.exit_code(), 0, "{:?}", second.errors);
        assert!(
            second.bytes_sent <= data.len() as u64 - stop_at,
            "{stop_at}: sent {}",
            second.bytes_sent
        );
        assert!(fs::read(place.here("big")).unwrap() == data);
        fs::remove_file(place.here("big")).unwrap();
    }
}

#[tokio::test]
async fn an_interrupted_upload_goes_on_where_it_stopped() {
    let Some(place) = Place::new().await else { return };
    let data = content(24 << 20, 4);
    fs::write(place.here("big"), &data).unwrap();
    let target = path_bytes(&place.there("big")).to_vec();
    for stop_at in [1 << 20, 9 << 20, 20 << 20] {
        let cancel = Cancel::new();
        let recorder = Arc::new(Recorder {
            cancel_at: Some((stop_at, cancel.clone())),
            ..Recorder::default()
        });
        let stopped = place.transfer().progress(recorder).cancel(cancel);
        let first = stopped.put(&[place.here("big")], &target).await.unwrap();
        assert_eq!(first.exit_code(), 7);
        assert!(!place.there("big").exists());

        let second = place.transfer().put(&[place.here("big")], &target).await.unwrap();

        assert_eq!(second.exit_code(), 0, "{:?}", second.errors);
        assert!(
            second.bytes_sent <= data.len() as u64 - stop_at,
            "{stop_at}: sent {}",
            second.bytes_sent
        );
        assert!(fs::read(place.there("big")).unwrap() == data);
        fs::remove_file(place.there("big")).unwrap();
    }
}

#[tokio::test]
async fn a_part_of_another_content_is_not_continued() {
    let Some(place) = Place::new().await else { return };
    let (old, new) = (content(8 << 20, 5), content(9 << 20, 6));
    fs::write(place.there("f"), &old).unwrap();
    let source = path_bytes(&place.there("f")).to_vec();
    let cancel = Cancel::new();
    let recorder =
        Arc::new(Recorder { cancel_at: Some((4 << 20, cancel.clone())), ..Recorder::default() });
    place
        .transfer()
        .progress(recorder)
        .cancel(cancel)
        .get(&[&source], &place.here("f"))
        .await
        .unwrap();
    fs::write(place.there("f"), &new).unwrap();

    let summary = place.transfer().get(&[&source], &place.here("f")).await.unwrap();

    assert_eq!(summary.bytes_sent, new.len() as u64);
    assert!(fs::read(place.here("f")).unwrap() == new);
}

#[tokio::test]
async fn a_part_that_nobody_vouches_for_is_begun_again() {
    let Some(place) = Place::new().await else { return };
    let data = content(1 << 20, 7);
    fs::write(place.there("f"), &data).unwrap();
    fs::write(place.here(".f.sterna-part"), vec![0; 700_000]).unwrap();

    let summary =
        place.transfer().get(&[path_bytes(&place.there("f"))], &place.here("f")).await.unwrap();

    assert_eq!(summary.bytes_sent, data.len() as u64);
    assert!(fs::read(place.here("f")).unwrap() == data);
}

#[tokio::test]
async fn trees_with_odd_names_survive_both_ways() {
    let Some(place) = Place::new().await else { return };
    let names: [&[u8]; 8] = [
        b"plain",
        b"with space",
        b"-leading",
        b"new\nline",
        b"\xff\xfe raw",
        "naïve".as_bytes(),
        b"'quoted'\"",
        b"*glob?[x]",
    ];
    let tree = place.here("tree");
    for directory in names {
        let directory = tree.join(OsStr::from_bytes(directory)).join("sub");
        fs::create_dir_all(&directory).unwrap();
        for (n, name) in names.iter().enumerate() {
            fs::write(directory.join(OsStr::from_bytes(name)), content(n * 1000, n as u64))
                .unwrap();
        }
    }
    fs::create_dir(tree.join("empty")).unwrap();
    symlink("plain/sub", tree.join("link")).unwrap();
    let options = Options { recursive: true, ..place.options() };

    let up = place
        .transfer()
        .options(options.clone())
        .put(&[&tree], path_bytes(&place.there("copy")))
        .await
        .unwrap();
    let down = place
        .transfer()
        .options(options)
        .get(&[path_bytes(&place.there("copy"))], &place.here("back"))
        .await
        .unwrap();

    assert_eq!(
        (up.files, up.failed, down.files, down.failed),
        (64, 0, 64, 0),
        "{:?} {:?}",
        up.errors,
        down.errors
    );
    assert_eq!(listing(&tree), listing(&place.here("back")));
    // Twice in a row is fine (CLT-10).
    let again = Options { recursive: true, ..place.options() };
    let again = place
        .transfer()
        .options(again)
        .put(&[tree.join(".")], path_bytes(&place.there("copy")))
        .await
        .unwrap();
    assert_eq!((again.files, again.failed), (64, 0), "{:?}", again.errors);
    assert_eq!(listing(&tree), listing(&place.there("copy")));
}

/// Paths below `root` with what they hold.
fn listing(root: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut out = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let metadata = fs::symlink_metadata(&path).unwrap();
            let name = path.strip_prefix(root).unwrap().to_owned();
            if metadata.is_symlink() {
                out.push((name, fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()));
            } else if metadata.is_dir() {
                out.push((name, b"directory".to_vec()));
                waiting.push(path);
            } else {
                out.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    out.sort();
    out
}

#[tokio::test]
async fn modes_and_times_are_kept_on_request_and_set_id_bits_never() {
    let Some(place) = Place::new().await else { return };
    let tree = place.here("t");
    fs::create_dir(&tree).unwrap();
    fs::write(tree.join("f"), b"x").unwrap();
    fs::set_permissions(tree.join("f"), fs::Permissions::from_mode(0o4755)).unwrap();
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o750)).unwrap();
    let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    for path in [tree.join("f"), tree.clone()] {
        fs::File::open(path).unwrap().set_modified(past).unwrap();
    }
    let options = Options { recursive: true, preserve: true, ..place.options() };

    place
        .transfer()
        .options(options.clone())
        .put(&[&tree], path_bytes(&place.there("t")))
        .await
        .unwrap();
    place
        .transfer()
        .options(options)
        .get(&[path_bytes(&place.there("t"))], &place.here("back"))
        .await
        .unwrap();

    for root in [place.there("t"), place.here("back")] {
        let (dir, file) = (fs::metadata(&root).unwrap(), fs::metadata(root.join("f")).unwrap());
        assert_eq!((dir.mode() & 0o7777, dir.mtime()), (0o750, 1_000_000_000), "{root:?}");
        assert_eq!((file.mode() & 0o7777, file.mtime()), (0o755, 1_000_000_000), "{root:?}");
    }
}

#[tokio::test]
async fn two_sources_of_one_name_do_not_replace_each_other() {
    let Some(place) = Place::new().await else { return };
    for (dir, text) in [("a", "first"), ("b", "second")] {
        for root in [place.here(dir), place.there(dir)] {
            fs::create_dir(&root).unwrap();
            fs::write(root.join("f"), text).unwrap();
        }
    }
    for root in [place.here("into"), place.there("into")] {
        fs::create_dir(root).unwrap();
    }
    let there = |name: &str| path_bytes(&place.there(name)).to_vec();

    let sources = [there("a/f"), there("b/f"), there("a/f")];
    let down = place.transfer().get(&sources, &place.here("into")).await.unwrap();
    let sources = [place.here("a/f"), place.here("b/f")];
    let up = place.transfer().put(&sources, &there("into")).await.unwrap();

    assert_eq!((down.files, down.failed, down.skipped), (1, 1, 1), "{:?}", down.errors);
    assert_eq!((up.files, up.failed), (1, 1), "{:?}", up.errors);
    for root in [place.here("into"), place.there("into")] {
        assert_eq!(fs::read_to_string(root.join("f")).unwrap(), "first");
    }
}

/// A tree may hold a part of an interrupted transfer, whose name the copy of its file uses.
#[tokio::test]
async fn a_part_in_a_tree_stays_where_it_is() {
    let Some(place) = Place::new().await else { return };
    for root in [place.here("t"), place.there("t")] {
        fs::create_dir(&root).unwrap();
        fs::write(root.join("f"), "whole").unwrap();
        fs::write(root.join(".f.sterna-part"), "half").unwrap();
    }
    let options = Options { recursive: true, ..place.options() };
    let run = || place.transfer().options(options.clone());

    let down = run().get(&[path_bytes(&place.there("t"))], &place.here("down")).await.unwrap();
    let up = run().put(&[place.here("t")], path_bytes(&place.there("up"))).await.unwrap();

    for (summary, root) in [(down, place.here("down")), (up, place.there("up"))] {
        let counts = (summary.files, summary.skipped, summary.failed);
        assert_eq!(counts, (1, 1, 0), "{:?}", summary.errors);
        assert_eq!(fs::read_dir(root).unwrap().count(), 1);
    }
}

#[tokio::test]
async fn a_bad_file_does_not_stop_the_others_and_is_named() {
    let Some(place) = Place::new().await else { return };
    fs::create_dir(place.there("t")).unwrap();
    for name in ["a", "b", "c"] {
        fs::write(place.there("t").join(name), name).unwrap();
    }
    // The local name of "b" is taken by a directory.
    fs::create_dir_all(place.here("back/b")).unwrap();
    let options = Options { recursive: true, ..place.options() };

    let target = place.here("back");
    let source = joined_dot(&place.there("t"));
    let summary = place.transfer().options(options).get(&[source], &target).await.unwrap();

    assert_eq!(
        (summary.files, summary.failed, summary.exit_code()),
        (2, 1, 1),
        "{:?}",
        summary.errors
    );
    assert!(summary.errors[0].0.ends_with(b"/b"));
}

/// `path/.`: its content rather than itself.
fn joined_dot(path: &Path) -> Vec<u8> {
    [path_bytes(path), b"/."].concat()
}

#[tokio::test]
async fn a_link_planted_in_the_target_is_not_followed() {
    let Some(place) = Place::new().await else { return };
    fs::create_dir_all(place.there("t/dir")).unwrap();
    fs::write(place.there("t/dir/f"), b"evil").unwrap();
    fs::create_dir_all(place.here("back/t")).unwrap();
    fs::create_dir(place.here("outside")).unwrap();
    symlink(place.here("outside"), place.here("back/t/dir")).unwrap();
    let options = Options { recursive: true, ..place.options() };

    let summary = place
        .transfer()
        .options(options)
        .get(&[path_bytes(&place.there("t"))], &place.here("back"))
        .await
        .unwrap();

    assert_eq!(summary.exit_code(), 1);
    assert_eq!(fs::read_dir(place.here("outside")).unwrap().count(), 0);
}

#[tokio::test]
async fn verification_can_be_required_or_switched_off() {
    let Some(place) = Place::new().await else { return };
    fs::write(place.there("f"), b"x").unwrap();
    let source = path_bytes(&place.there("f")).to_vec();
    // OpenSSH's server has no digests and there is no session to run commands on.
    let require = Options { verify: Verify::Require, ..place.options() };
    let off = Options { verify: Verify::Off, ..place.options() };

    let required =
        place.transfer().options(require).get(&[&source], &place.here("a")).await.unwrap();
    let unchecked = place.transfer().options(off).get(&[&source], &place.here("b")).await.unwrap();

    // It is read once more then.
    assert_eq!((required.exit_code(), required.verified_by_digest), (0, 1));
    assert_eq!((unchecked.exit_code(), unchecked.unverified), (0, 1));
}

#[tokio::test]
async fn a_read_only_server_refuses_and_nothing_is_called_done() {
    let Some(sftp) = server(&["-R"]).await else { return };
    let root = tempfile::tempdir().unwrap();
    fs::write(root.path().join("f"), b"x").unwrap();

    let summary = Transfer::new(&sftp)
        .put(&[root.path().join("f")], path_bytes(&root.path().join("g")))
        .await
        .unwrap();

    assert_eq!((summary.files, summary.failed, summary.exit_code()), (0, 1, 1));
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
}

/// As after a kill: nothing gets a chance to clean up, only the journal vouches for the part.
#[tokio::test]
async fn a_download_whose_future_is_dropped_goes_on_from_its_journal() {
    let Some(place) = Place::new().await else { return };
    let data = content(40 << 20, 8);
    fs::write(place.there("big"), &data).unwrap();
    let source = path_bytes(&place.there("big")).to_vec();
    let sources = [source.clone()];
    let reached = Cancel::new();
    let recorder =
        Arc::new(Recorder { cancel_at: Some((20 << 20, reached.clone())), ..Recorder::default() });
    let transfer = place.transfer().progress(recorder);
    let target = place.here("big");
    tokio::select! {
        _ = transfer.get(&sources, &target) => panic!("it ended before it was dropped"),
        () = reached.cancelled() => {}
    }

    let again = place.transfer().get(&[&source], &target).await.unwrap();

    assert_eq!(again.exit_code(), 0, "{:?}", again.errors);
    assert!(again.bytes_sent < data.len() as u64, "sent {}", again.bytes_sent);
    assert!(fs::read(&target).unwrap() == data);
}
