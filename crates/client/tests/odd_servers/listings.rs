//! Names, links and listings of a hostile server.

use std::fs;
use std::time::Duration;

use sterna_client::limits::READDIR_AHEAD_MAX;
use sterna_client::{Error, Sftp, SftpOptions};
use sterna_testkit::sftp::{Named, Odd, OddServer, Request, Tree};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};

use crate::stage::{Stage, client, write};

/// One way to the server, in virtual time.
const ONE_WAY: Duration = Duration::from_millis(50);

fn listing(names: Vec<Named>) -> OddServer {
    let tree = Tree::new().file("/t/fine", "fine").file("/t/f", "evil").file("/t/d/f", "evil");
    OddServer::new(tree)
        .on(Request::named("readdir").path("/t").nth(1), Odd::Names(names))
        .on(Request::named("readdir").path("/t"), Odd::Status(1))
}

#[tokio::test(start_paused = true)]
async fn a_name_that_leads_elsewhere_ends_the_transfer_and_writes_nothing() {
    for bad in [&b"../outside"[..], b"/abs", b"a/b", b"d/../../outside", b"", b"x\0y", b"/"] {
        let stage = Stage::new();

        let summary = stage.get(listing(vec![Named::file(bad, 4)]), "/t").await;

        let (_, error) = &summary.errors[0];
        assert!(matches!(error, Error::Peer { .. }), "{bad:?}: {error}");
        assert_eq!(summary.exit_code(), 1, "{bad:?}");
        assert_eq!(stage.names(), ["t"], "{bad:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_directory_itself_and_the_one_above_are_no_entries() {
    let stage = Stage::new();
    let names = vec![Named::dir("."), Named::dir(".."), Named::file("fine", 4)];

    let summary = stage.get(listing(names), "/t").await;

    assert_eq!((summary.files, summary.exit_code()), (1, 0), "{:?}", summary.errors);
    assert_eq!(stage.names(), ["t", "t/fine"]);
}

/// A link first, then a directory or file of the same name: what is written must not go through it.
#[tokio::test(start_paused = true)]
async fn nothing_is_written_through_a_link_that_the_same_server_sent() {
    for (second, way_out) in [
        (Named::dir("d"), ".."),
        (Named::dir("d"), "/tmp"),
        (Named::file("d", 4), "../../outside"),
        (Named::file("d", 4), "/dev/null"),
    ] {
        let stage = Stage::new();
        let server = listing(vec![Named::link("d"), second, Named::file("fine", 4)])
            .on(Request::named("readlink"), Odd::Path(way_out.into()));

        let summary = stage.get(server, "/t").await;

        assert!(fs::read(stage.here("t/fine")).is_ok(), "the others arrive: {:?}", summary.errors);
        assert!(!stage.here("f").exists(), "{way_out}");
    }
}

/// The name under which a download begins is known, so a link may wait there.
#[tokio::test(start_paused = true)]
async fn a_link_under_the_temporary_name_is_not_followed() {
    let stage = Stage::new();
    let server = listing(vec![Named::link(".f.sterna-part"), Named::file("f", 4)])
        .on(Request::named("readlink"), Odd::Path(b"../../outside".to_vec()));

    let summary = stage.get(server, "/t").await;

    // Whichever of the two came first: the file is what it should be, or is not there and said to be missing.
    assert!(!stage.here("outside").exists());
    match fs::symlink_metadata(stage.here("t/f")) {
        Ok(there) => assert!(there.is_file() && there.len() == 4, "{there:?}"),
        Err(_) => assert_eq!(summary.exit_code(), 1, "{:?}", summary.errors),
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_listed_twice_is_never_a_mixture() {
    let stage = Stage::new();
    let (one, other) = (vec![1; 300_000], vec![2; 300_000]);
    let changed = other.clone();
    let tree = Tree::new().file("/t/f", one.clone());
    let server = OddServer::new(tree)
        .on(
            Request::named("readdir").nth(1),
            Odd::Names(vec![Named::file("f", 300_000), Named::file("f", 300_000)]),
        )
        .on(
            Request::named("read").nth(9),
            Odd::After(Box::new(move |tree| {
                tree.put("/t/f", sterna_testkit::sftp::Node::File(changed.clone()));
            })),
        )
        .shuffled(3);

    let summary = stage.get(server, "/t").await;

    if let Ok(got) = fs::read(stage.here("t/f")) {
        assert!(got == one || got == other, "{:?}", summary.errors);
    }
}

#[tokio::test(start_paused = true)]
async fn a_directory_without_end_that_brings_nothing_is_given_up() {
    for batch in [vec![], vec![Named::dir("."), Named::dir("..")]] {
        let stage = Stage::new();
        let server =
            OddServer::new(Tree::new().dir("/t")).on(Request::named("readdir"), Odd::Names(batch));

        let summary = stage.get(server, "/t").await;

        assert_eq!(summary.exit_code(), 1);
        let error = summary.errors[0].1.to_string();
        assert!(error.contains("neither ends nor brings names"), "{error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_tree_that_goes_down_too_far_is_a_failure_and_the_rest_arrives() {
    let stage = Stage::new();
    let deep = format!("/t{}/f", "/d".repeat(100));
    let server = OddServer::new(Tree::new().file(&deep, "far").file("/t/fine", "fine"));

    let summary = stage.get(server, "/t").await;

    assert_eq!((summary.files, summary.failed, summary.exit_code()), (1, 1, 1));
    let error = summary.errors[0].1.to_string();
    assert!(error.contains("nested too deep"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_stood_at_the_target_stays_when_the_server_says_that_it_is_a_directory_now() {
    let stage = Stage::new();
    write(&stage.here("t/d"), b"a file of ours");

    let summary = stage.get(listing(vec![Named::dir("d"), Named::file("fine", 4)]), "/t").await;

    assert_eq!((summary.files, summary.failed, summary.exit_code()), (1, 1, 1));
    assert_eq!(fs::read(stage.here("t/d")).unwrap(), b"a file of ours");
}

/// A client far from its server.
async fn far_client(server: OddServer) -> Sftp {
    let (ours, theirs) = tokio::io::duplex(1 << 20);
    let (from_client, to_client) = tokio::io::split(theirs);
    let (from_server, to_server) = tokio::io::split(server.start());
    tokio::spawn(carry(from_client, to_server));
    tokio::spawn(carry(from_server, to_client));
    Sftp::over(ours, SftpOptions::default()).await.unwrap()
}

/// Passes bytes on, each [`ONE_WAY`] later.
async fn carry(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin + Send + 'static) {
    let (on_the_way, mut arriving) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, bytes)) = arriving.recv().await {
            sleep_until(at).await;
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 64 << 10];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        let _ = on_the_way.send((Instant::now() + ONE_WAY, buffer[..len].to_vec()));
    }
}

/// `/t` with so many files, of which an honest server names 100 at a time.
fn files(count: usize) -> Tree {
    (0..count).fold(Tree::new().dir("/t"), |tree, n| tree.file(&format!("/t/{n:05}"), ""))
}

/// Names of `/t`, as they come, and how long that took.
async fn listed(sftp: &Sftp) -> (Vec<String>, Duration) {
    let started = Instant::now();
    let mut dir = sftp.open_dir("/t").await.unwrap();
    let mut names = Vec::new();
    while let Some(batch) = dir.next_batch().await.unwrap() {
        names.extend(batch.into_iter().map(|entry| String::from_utf8(entry.name).unwrap()));
    }
    (names, started.elapsed())
}

fn count_of(requests: &std::sync::Mutex<Vec<String>>, word: &str) -> usize {
    requests.lock().unwrap().iter().filter(|request| request.starts_with(word)).count()
}

#[tokio::test(start_paused = true)]
async fn a_long_directory_takes_a_part_of_the_round_trips_that_it_has_batches() {
    let batches = 100;
    // Two of the names are "." and "..".
    let server = OddServer::new(files(batches * 100 - 2));
    let requests = server.requests();
    let sftp = far_client(server).await;

    let (names, took) = listed(&sftp).await;

    let round_trips = took.as_millis() / (2 * ONE_WAY).as_millis();
    assert_eq!(names.len(), batches * 100 - 2);
    assert!(names.is_sorted(), "in the order of the server");
    let fewest = batches / READDIR_AHEAD_MAX;
    assert!((fewest..fewest + 8).contains(&(round_trips as usize)), "{round_trips} round trips");
    let asked = count_of(&requests, "readdir");
    assert!((batches + 1..=batches + 1 + READDIR_AHEAD_MAX).contains(&asked), "{asked} requests");
}

#[tokio::test(start_paused = true)]
async fn a_short_directory_takes_one_round_trip_and_no_request_in_vain() {
    let server = OddServer::new(files(50));
    let requests = server.requests();
    let sftp = far_client(server).await;

    let (names, took) = listed(&sftp).await;

    assert_eq!(names.len(), 50);
    // OPENDIR is the other one.
    assert!(took < 5 * ONE_WAY, "{took:?}");
    assert_eq!(count_of(&requests, "readdir"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_in_another_order_is_listed_completely_and_each_name_once() {
    for seed in 0..8 {
        let sftp = client(OddServer::new(files(3000)).shuffled(seed)).await.unwrap();

        let (names, _) = listed(&sftp).await;

        assert_eq!(names.len(), 3000, "{seed}");
        assert!(names.is_sorted_by(|a, b| a < b), "{seed}");
    }
}

/// Requests that were under way together may be worked on together.
#[tokio::test(start_paused = true)]
async fn names_behind_the_end_are_taken_too() {
    let server = OddServer::new(files(298)).on(Request::named("readdir").nth(3), Odd::Status(1));
    let sftp = client(server).await.unwrap();

    let (names, _) = listed(&sftp).await;

    assert_eq!(names.len(), 298);
}

#[tokio::test(start_paused = true)]
async fn a_listing_that_fails_on_the_way_is_an_error_and_not_a_short_listing() {
    for nth in 1..=6 {
        let server =
            OddServer::new(files(998)).on(Request::named("readdir").nth(nth), Odd::Status(4));
        let sftp = client(server).await.unwrap();

        let error = sftp.list("/t").await.unwrap_err();

        assert!(matches!(error, Error::Refused { .. }), "{nth}: {error}");
    }
}
