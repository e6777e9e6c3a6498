//! Servers that lack an operation, take little at once, or break off.

use std::fs;

use sterna_client::Error;
use sterna_client::transfer::{Options, Summary};
use sterna_testkit::sftp::{Odd, OddServer, Request, Tree};

use crate::stage::{Stage, client, content, failure, write};

const POSIX_RENAME: (&str, &str) = ("posix-rename@openssh.com", "1");
const LEN: usize = 400_000;

/// Uploads a file onto an older one; returns what stands under its name then, and the paths there are.
async fn put_onto_old(
    stage: &Stage,
    server: OddServer,
    options: Options,
) -> (Summary, Vec<u8>, Vec<String>) {
    write(&stage.here("f"), &content(LEN));
    let tree = server.tree();
    let summary = stage.put_with(server, "f", "/f", options).await;
    let tree = tree.lock().unwrap();
    (summary, tree.content("/f").unwrap_or_default().to_vec(), tree.paths())
}

fn old() -> OddServer {
    OddServer::new(Tree::new().file("/f", "old"))
}

fn modern() -> OddServer {
    old().offering(POSIX_RENAME.0, POSIX_RENAME.1)
}

#[tokio::test(start_paused = true)]
async fn a_server_that_cannot_replace_keeps_the_old_file_unless_two_steps_are_allowed() {
    let stage = Stage::new();
    let options = |replace_in_two_steps| Options { replace_in_two_steps, ..stage.options() };

    let (refused, kept, _) = put_onto_old(&stage, old(), options(false)).await;
    let (done, new, paths) = put_onto_old(&stage, old(), options(true)).await;

    let (error, status) = failure(&refused);
    assert_eq!((status, &kept[..]), (1, &b"old"[..]), "{error}");
    assert_eq!(done.exit_code(), 0, "{:?}", done.errors);
    assert!(new == content(LEN) && paths == ["/f"], "{paths:?}");
}

#[tokio::test(start_paused = true)]
async fn attributes_that_nobody_asked_for_may_be_refused() {
    for (lacking, code) in [
        (&["fsetstat"][..], 8),
        (&["setstat"], 8),
        (&["fsetstat", "setstat"], 8),
        (&["fsetstat", "setstat"], 3),
    ] {
        let stage = Stage::new();
        let server = lacking
            .iter()
            .fold(modern(), |server, name| server.on(Request::named(name), Odd::Status(code)));

        let (summary, new, paths) = put_onto_old(&stage, server, stage.options()).await;

        assert_eq!(summary.exit_code(), 0, "{lacking:?} {code}: {:?}", summary.errors);
        assert!(new == content(LEN) && paths == ["/f"], "{lacking:?} {code}: {paths:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn attributes_that_were_asked_for_are_not_lost_in_silence() {
    let stage = Stage::new();
    let server = modern()
        .on(Request::named("fsetstat"), Odd::Status(8))
        .on(Request::named("setstat"), Odd::Status(8));
    let options = Options { preserve: true, ..stage.options() };

    let (summary, now, _) = put_onto_old(&stage, server, options).await;

    assert_eq!((summary.failed, summary.exit_code(), &now[..]), (1, 1, &b"old"[..]));
}

#[tokio::test(start_paused = true)]
async fn a_status_without_its_strings_is_understood() {
    let stage = Stage::new();
    let everything = modern().on(Request::any(), Odd::NoStrings);
    let (done, new, _) = put_onto_old(&stage, everything, stage.options()).await;
    let denied = modern().on(Request::named("open").from(1), Odd::BareStatus(3));
    let (refused, kept, _) = put_onto_old(&stage, denied, stage.options()).await;

    assert_eq!(done.exit_code(), 0, "{:?}", done.errors);
    assert!(new == content(LEN));
    let (error, status) = failure(&refused);
    assert_eq!((status, &kept[..]), (1, &b"old"[..]));
    assert!(error.contains("permission denied"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_fails_in_the_middle_fails_the_file_though_later_ones_succeed() {
    for nth in [1, 4, 12] {
        let stage = Stage::new();
        // A FAILURE once may mean that it was too much at once; this cannot.
        let server = modern().on(Request::named("write").nth(nth), Odd::Status(3));

        let (summary, now, _) = put_onto_old(&stage, server, stage.options()).await;

        assert_eq!((summary.files, &now[..]), (0, &b"old"[..]), "{nth}: {:?}", summary.errors);
    }
}

/// As a full disk does.
#[tokio::test(start_paused = true)]
async fn a_server_that_refuses_every_write_from_some_point_on_is_believed() {
    for nth in [1, 4, 12] {
        let stage = Stage::new();
        let server = modern().on(Request::named("write").from(nth), Odd::Status(4));

        let (summary, now, _) = put_onto_old(&stage, server, stage.options()).await;

        let (error, status) = failure(&summary);
        assert_eq!((status, &now[..]), (1, &b"old"[..]), "{nth}: {error}");
        assert!(error.starts_with("write"), "{nth}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_few_requests_at_once_gets_few() {
    for max in [1, 3, 16] {
        let stage = Stage::new();
        let data = content(2_000_000);
        write(&stage.here("up"), &data);
        let server = OddServer::new(Tree::new().file("/down", data.clone())).outstanding_max(max);
        let down = stage.get(server, "/down").await;
        let server = OddServer::new(Tree::new()).outstanding_max(max);
        let tree = server.tree();
        let up = stage.put(server, "up", "/up").await;

        assert_eq!(down.exit_code(), 0, "{max}: {:?}", down.errors);
        assert_eq!(up.exit_code(), 0, "{max}: {:?}", up.errors);
        assert!(fs::read(stage.here("down")).unwrap() == data, "{max} down");
        assert!(tree.lock().unwrap().content("/up") == Some(&data[..]), "{max} up");
    }
}

/// Directories in directories, 30 files of several lengths; the last one takes several reads.
fn many_files() -> Vec<(String, Vec<u8>)> {
    let dirs = ["", "a/", "a/b/", "a/b/c/", "d/"];
    let len = |n: usize| if n == 29 { 200_000 } else { 70 * n };
    (0..30).map(|n| (format!("{}f{n}", dirs[n % dirs.len()]), content(len(n)))).collect()
}

#[tokio::test(start_paused = true)]
async fn a_server_that_lets_few_files_be_open_gets_every_file_through() {
    for max in [1, 2, 3, 5] {
        let stage = Stage::new();
        let files = many_files();
        let tree = files
            .iter()
            .fold(Tree::new(), |tree, (name, data)| tree.file(&format!("/t/{name}"), data.clone()));
        let down = stage.get(OddServer::new(tree).handles_max(max), "/t").await;
        for (name, data) in &files {
            write(&stage.here("up").join(name), data);
        }
        let server = OddServer::new(Tree::new().dir("/up")).handles_max(max);
        let tree = server.tree();
        let up = stage.put(server, "up", "/").await;

        assert_eq!((down.exit_code(), down.files), (0, 30), "{max}: {:?}", down.errors);
        assert_eq!((up.exit_code(), up.files), (0, 30), "{max}: {:?}", up.errors);
        let tree = tree.lock().unwrap();
        for (name, data) in &files {
            assert!(fs::read(stage.here("t").join(name)).unwrap() == *data, "{max} {name}");
            assert!(tree.content(&format!("/up/{name}")) == Some(&data[..]), "{max} {name}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn files_that_cannot_be_opened_at_all_fail_and_the_others_arrive() {
    for (code, opens) in [(4, 5..60), (3, 5..6)] {
        let stage = Stage::new();
        let tree = many_files()
            .iter()
            .fold(Tree::new(), |tree, (name, data)| tree.file(&format!("/t/{name}"), data.clone()));
        let bad = ["/t/f5", "/t/a/f1", "/t/a/f6", "/t/a/b/f2", "/t/d/f4"];
        let server = bad.iter().fold(OddServer::new(tree), |server, path| {
            server.on(Request::named("open").path(path), Odd::Status(code))
        });
        let requests = server.requests();

        let summary = stage.get(server, "/t").await;

        assert_eq!((summary.files, summary.failed), (25, 5), "{code}: {:?}", summary.errors);
        let requests = requests.lock().unwrap();
        let tried = requests.iter().filter(|r| bad.iter().any(|b| **r == format!("open {b}")));
        let tried = tried.count();
        assert!(opens.contains(&tried), "{code}: {tried}");
        assert!(!stage.here("t/.f5.sterna-part").exists());
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_nobody_asked_for_ends_the_channel_and_the_old_file_stays() {
    for odd in [|| Odd::OtherId, || Odd::Twice] {
        for request in ["open", "write", "close"] {
            let stage = Stage::new();
            let server = modern().on(Request::named(request).nth(1), odd());

            let (summary, now, _) = put_onto_old(&stage, server, stage.options()).await;

            assert_eq!(summary.files, 0, "{request}");
            assert!(matches!(summary.errors[0].1, Error::Peer { .. }), "{:?}", summary.errors);
            assert_eq!((summary.exit_code(), &now[..]), (1, &b"old"[..]), "{request}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_at_any_request_leaves_the_old_file_and_says_that_it_can_be_resumed() {
    for odd in [|| Odd::Cut, || Odd::CutInside, || Odd::Stall] {
        for (request, nth) in [("open", 1), ("write", 1), ("write", 9), ("close", 1), ("lstat", 1)]
        {
            let stage = Stage::new();
            let server = modern().on(Request::named(request).nth(nth), odd());

            let (summary, now, _) = put_onto_old(&stage, server, stage.options()).await;

            let (error, status) = failure(&summary);
            assert_eq!((status, &now[..]), (7, &b"old"[..]), "{request} {nth}: {error}");
            let hint = summary.errors[0].1.hint().unwrap();
            assert!(hint.contains("run the same command again"), "{hint}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_during_a_download_leaves_the_old_file_here() {
    for (request, nth) in [("open", 1), ("read", 1), ("read", 7), ("stat", 2)] {
        let stage = Stage::new();
        write(&stage.here("f"), b"old");
        let server = OddServer::new(Tree::new().file("/f", content(LEN)))
            .on(Request::named(request).nth(nth), Odd::Cut);

        let summary = stage.get(server, "/f").await;

        let (error, status) = failure(&summary);
        assert_eq!(status, 7, "{request} {nth}: {error}");
        assert_eq!(fs::read(stage.here("f")).unwrap(), b"old", "{request} {nth}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_announced_limit_of_nonsense_is_ignored() {
    for block_len in [0, 1, 63, u64::MAX] {
        let stage = Stage::new();
        let server = OddServer::new(Tree::new().file("/f", content(LEN))).with_limits(block_len);
        let sftp = client(server).await.unwrap();
        let limits = sftp.limits();

        assert!(limits.read_len >= 64 && limits.write_len >= 64, "{block_len}: {limits:?}");
        let server = OddServer::new(Tree::new().file("/f", content(LEN))).with_limits(block_len);
        assert_eq!(stage.get(server, "/f").await.exit_code(), 0, "{block_len}");
    }
}
