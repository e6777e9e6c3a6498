//! Names, links and listings of a hostile server.

use std::fs;

use sterna_client::Error;
use sterna_testkit::sftp::{Named, Odd, OddServer, Request, Tree};

use crate::stage::{Stage, write};

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
