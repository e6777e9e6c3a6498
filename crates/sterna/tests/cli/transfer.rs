//! `get` and `put`: what arrives, under which name, and what is said about it.

use std::{
    fs,
    io::{BufRead, BufReader},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    process::{Child, Command, Stdio},
};

use crate::support::{Server, noise, stderr, stdout, tree};

/// Sizes around the edges of packets and requests (bytes).
const SIZES: [usize; 5] = [0, 1, 32 * 1024 + 1, 255 * 1024, 5 * 1024 * 1024 + 3];

#[test]
fn what_was_put_comes_back_equal() {
    let server = Server::start();
    for size in SIZES {
        let name = format!("{size}.bin");
        let original = noise(size, 7 + size as u64);
        fs::write(server.local(&name), &original).unwrap();

        server.ok("put", [name.clone(), server.place("/")]);
        server.ok("get", [server.place(&name), "back.bin".to_owned()]);

        assert_eq!(fs::read(server.shared().join(&name)).unwrap(), original);
        assert_eq!(fs::read(server.local("back.bin")).unwrap(), original);
    }
}

#[test]
fn several_sources_land_in_one_directory() {
    let server = Server::start();
    fs::create_dir(server.local("in")).unwrap();
    for name in ["a", "b"] {
        fs::write(server.shared().join(name), name).unwrap();
    }

    server.ok("get", [server.place("a"), server.place("b"), "in".to_owned()]);

    assert_eq!(tree(&server.local("in")), [("a".into(), b"a".into()), ("b".into(), b"b".into())]);
}

#[test]
fn a_tree_survives_the_way_up_and_down() {
    let server = Server::start();
    let source = server.local("tree");
    for dir in ["", "d", "d/deeper", "empty"] {
        fs::create_dir(source.join(dir)).unwrap();
    }
    for n in 0..40 {
        let dir = ["", "d", "d/deeper"][n % 3];
        fs::write(source.join(dir).join(format!("file {n}")), noise(n * 997, n as u64)).unwrap();
    }

    server.ok("put", ["-r".to_owned(), "tree".to_owned(), server.place("up")]);
    server.ok("get", ["-r".to_owned(), server.place("up"), "down".to_owned()]);

    assert_eq!(tree(&server.shared().join("up")), tree(&source));
    assert_eq!(tree(&server.local("down")), tree(&source));
    assert!(server.local("down/empty").is_dir());
}

#[test]
fn a_directory_without_r_is_refused_and_named() {
    let server = Server::start();
    fs::create_dir(server.shared().join("d")).unwrap();

    let output = server.run("get", [server.place("d"), ".".to_owned()]);

    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert_eq!(said.lines().next(), Some("sterna: get \"d\": is a directory"));
    assert!(said.contains("hint: use -r"), "{said}");
    assert!(!server.local("d").exists());
}

#[test]
fn preserved_means_mode_and_time() {
    let server = Server::start();
    let file = server.local("f");
    fs::write(&file, "x").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let when = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    fs::File::options().append(true).open(&file).unwrap().set_modified(when).unwrap();

    server.ok("put", ["-p".to_owned(), "f".to_owned(), server.place("g")]);
    server.ok("get", ["-p".to_owned(), server.place("g"), "h".to_owned()]);

    for copy in [server.shared().join("g"), server.local("h")] {
        let meta = fs::metadata(copy).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o640);
        assert_eq!(meta.modified().unwrap(), when);
    }
}

#[test]
fn names_are_bytes_all_the_way() {
    let server = Server::start();
    for name in [&b"with space"[..], b"-dash", b"new\nline", "ümlaut".as_bytes(), b"\xff\xfe"] {
        let name = std::ffi::OsStr::from_bytes(name);
        fs::write(server.local("source"), name.as_bytes()).unwrap();
        let mut place = std::ffi::OsString::from(server.place("/"));
        place.push(name);

        server.ok("put", ["source".as_ref(), place.as_os_str()]);
        server.ok("get", [place.as_os_str(), "target".as_ref()]);

        assert_eq!(fs::read(server.shared().join(name)).unwrap(), name.as_bytes());
        assert_eq!(fs::read(server.local("target")).unwrap(), name.as_bytes());
    }
}

#[test]
fn json_tells_start_done_and_summary_with_the_keys_of_the_contract() {
    let server = Server::start();
    fs::write(server.local("f"), noise(100_000, 3)).unwrap();

    let lines = server.ok("put", ["--json".to_owned(), "f".to_owned(), server.place("/")]);

    let events: Vec<serde_json::Value> =
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.first().unwrap()["event"], "start");
    let done = events.iter().find(|event| event["event"] == "done").unwrap();
    assert_eq!(done["path"], "f");
    assert_eq!(done["bytes"], 100_000);
    assert_eq!(done["bytes_sent"], 100_000);
    assert_eq!(done["resumed_from"], 0);
    assert!(["blake3", "sha256"].contains(&done["verified"].as_str().unwrap()), "{done}");
    let summary = events.last().unwrap();
    assert_eq!(summary["event"], "summary");
    assert_eq!(summary["files"], 1);
    assert_eq!(summary["failed"], 0);
    assert_eq!(summary["skipped"], 0);
    assert_eq!(summary["bytes"], 100_000);
    assert!(summary["seconds"].is_number());
}

#[test]
fn one_missing_file_does_not_stop_the_others_and_is_named() {
    let server = Server::start();
    fs::write(server.shared().join("there"), "x").unwrap();
    fs::create_dir(server.local("in")).unwrap();

    let output =
        server.run("get", [server.place("missing"), server.place("there"), "in".to_owned()]);

    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("missing"), "{}", stderr(&output));
    assert_eq!(fs::read(server.local("in/there")).unwrap(), b"x");
}

#[test]
fn a_pattern_names_remote_files_unless_a_file_has_that_very_name() {
    let server = Server::start();
    for name in ["a.txt", "b.txt", "c.bin", "[x]"] {
        fs::write(server.shared().join(name), name).unwrap();
    }
    fs::create_dir(server.local("in")).unwrap();

    server.ok("get", [server.place("*.txt"), server.place("[x]"), "in".to_owned()]);

    let names: Vec<_> = tree(&server.local("in")).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["[x]", "a.txt", "b.txt"].map(std::path::PathBuf::from));
}

/// Goal: an interrupted upload ends with 7, and the same command goes on where it stopped.
/// Method: interrupt after the first sign of progress; the file takes far longer than that.
#[test]
fn an_interrupted_upload_is_resumed_by_the_same_command() {
    let server = Server::start();
    fs::write(server.local("big"), noise(128 << 20, 2)).unwrap();
    let put = || {
        let mut command = server.client("put");
        command.args(["--json", "big"]).arg(server.place("/"));
        command
    };
    let mut first = put().stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut events = BufReader::new(first.stdout.take().unwrap()).lines();
    events.find(|line| line.as_ref().unwrap().contains("\"progress\"")).unwrap().unwrap();
    let pid = first.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
    events.for_each(drop);
    assert_eq!(first.wait().unwrap().code(), Some(7));
    assert!(!server.shared().join("big").exists(), "no half file under the final name");

    let output = put().output().unwrap();

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    let done = said.lines().find(|line| line.contains("\"done\"")).unwrap();
    let done: serde_json::Value = serde_json::from_str(done).unwrap();
    let (resumed, sent) = (done["resumed_from"].as_u64().unwrap(), done["bytes_sent"].as_u64());
    assert!(resumed > 0, "{done}");
    assert_eq!(sent, Some((128 << 20) - resumed));
    assert_eq!(fs::metadata(server.shared().join("big")).unwrap().len(), 128 << 20);
}

/// Starts an upload of several large files and waits until some of it has arrived.
fn put_under_way(server: &Server) -> (Child, impl Iterator<Item = String>) {
    let many = server.local("many");
    fs::create_dir(&many).unwrap();
    fs::write(many.join("a"), noise(128 << 20, 3)).unwrap();
    for name in ["b", "c", "d"] {
        fs::hard_link(many.join("a"), many.join(name)).unwrap();
    }
    let mut command = server.client("put");
    command.args(["-r", "--json", "many"]).arg(server.place("/"));
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    events.find(|line| line.contains("\"progress\"")).unwrap();
    (child, events)
}

fn interrupt(child: &Child) {
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-s", "INT", &pid]).status().unwrap().success());
}

#[test]
fn one_line_says_that_a_transfer_was_interrupted_however_many_files_were_under_way() {
    let server = Server::start();
    let (child, events) = put_under_way(&server);

    interrupt(&child);

    let last = events.last().unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(7));
    assert_eq!(
        stderr(&output),
        "sterna: interrupted with 0 files done: run the same command again to go on where it stopped\n"
    );
    let summary: serde_json::Value = serde_json::from_str(&last).unwrap();
    assert_eq!((&summary["event"], &summary["files"]), (&"summary".into(), &0.into()));
    assert!(summary["failed"].as_u64().unwrap() >= 1, "{summary}");
}

/// Goal: an orderly end is not waited for when the server does not answer.
/// Method: the server stands still when the signal comes, so nothing can end in order.
#[test]
fn an_interrupted_transfer_ends_though_the_server_stands_still() {
    let server = Server::start();
    let (child, events) = put_under_way(&server);
    server.signal("STOP");

    interrupt(&child);

    let last = events.last().unwrap();
    let output = child.wait_with_output().unwrap();
    server.signal("CONT");
    assert_eq!(output.status.code(), Some(7), "{}", stderr(&output));
    assert!(stderr(&output).contains("interrupted with 0 files done"), "{}", stderr(&output));
    assert!(last.contains("\"event\":\"summary\""), "{last}");
}

#[test]
fn progress_in_a_pipe_comes_only_if_it_was_asked_for() {
    let server = Server::start();
    fs::write(server.local("f"), noise(3 << 20, 1)).unwrap();

    let said = |flags: &[&str]| {
        let mut args = vec!["f".to_owned(), server.place("/")];
        args.extend(flags.iter().map(|flag| (*flag).to_owned()));
        stderr(&server.run("put", args))
    };

    let asked = said(&["--progress"]);
    assert!(asked.contains("of 3.0M"), "{asked}");
    assert!(asked.lines().last().unwrap().starts_with("1 file, 3.0M in "), "{asked}");
    for silent in [&[][..], &["--no-progress"], &["--progress", "--no-progress"], &["-q"]] {
        assert_eq!(said(silent), "", "{silent:?}");
    }
}

#[test]
fn a_quiet_pipe_gets_no_words() {
    let server = Server::start();
    fs::write(server.local("f"), "x").unwrap();

    let output = server.run("put", ["f".to_owned(), server.place("/")]);

    assert_eq!(stdout(&output), "");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn who_may_read_a_replaced_file_stays_as_it_was() {
    let server = Server::start();
    let mode_of = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let set_mode = |path: &std::path::Path, mode: u32| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    for (size, name) in [(10, "small"), (1 << 20, "large")] {
        let (here, there) = (server.local(name), server.shared().join(name));
        fs::write(&here, noise(size, 1)).unwrap();
        fs::write(&there, "private").unwrap();
        set_mode(&here, 0o644);
        set_mode(&there, 0o600);

        server.ok("put", [name.to_owned(), server.place("/")]);
        assert_eq!((mode_of(&there), fs::metadata(&there).unwrap().len()), (0o600, size as u64));

        set_mode(&there, 0o644);
        set_mode(&here, 0o600);
        server.ok("get", [server.place(name), ".".to_owned()]);
        assert_eq!(mode_of(&here), 0o600);

        server.ok("get", ["-p".to_owned(), server.place(name), ".".to_owned()]);
        assert_eq!(mode_of(&here), 0o644);
    }
}

/// Never 0 when something is missing: neither for a pipe in a tree nor for a file that hides its size.
#[test]
fn what_cannot_be_transferred_is_named_and_counts_as_failed() {
    let server = Server::start();
    fs::create_dir(server.local("tree")).unwrap();
    fs::write(server.local("tree/f"), "x").unwrap();
    let made = Command::new("mkfifo").arg(server.local("tree/pipe")).status().unwrap();
    assert!(made.success());

    let output = server.run("put", ["-r", "tree", "/proc/self/status", &server.place("/")]);

    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(said.contains("put \"tree/pipe\": is not a regular file"), "{said}");
    assert!(said.contains("read \"/proc/self/status\": its size is not known"), "{said}");
    assert!(server.shared().join("tree/f").exists());
    assert!(!server.shared().join("status").exists());
}
