//! Sizes that lie, files that end early, replies that are short or come in another order.

use std::fs;

use sterna_client::Error;
use sterna_client::transfer::{Options, Verify};
use sterna_testkit::sftp::{Node, Odd, OddServer, Request, Tree};

use crate::stage::{Stage, content, failure, write};

const LEN: usize = 300_000;

fn server() -> OddServer {
    OddServer::new(Tree::new().file("/f", content(LEN)))
}

/// A stage where an older file of that name stands.
fn with_old_file() -> Stage {
    let stage = Stage::new();
    write(&stage.here("f"), b"old");
    stage
}

fn assert_old_file_stays(stage: &Stage) {
    assert_eq!(fs::read(stage.here("f")).unwrap(), b"old");
}

fn without_verifying(stage: &Stage) -> Options {
    Options { verify: Verify::Off, ..stage.options() }
}

/// The server always tells the same wrong size.
#[tokio::test(start_paused = true)]
async fn a_size_that_is_wrong_all_the_time_is_a_failed_verification() {
    for told in [LEN as u64 + 1, 2 * LEN as u64, LEN as u64 - 1, 1, u64::MAX] {
        let stage = with_old_file();
        let server = server()
            .on(Request::named("stat"), Odd::Size(told))
            .on(Request::named("fstat"), Odd::Size(told));

        let summary = stage.get(server, "/f").await;

        let (error, status) = failure(&summary);
        assert!(matches!(status, 1 | 6), "{told}: {error}");
        assert_old_file_stays(&stage);
    }
}

/// Nobody compares sizes afterwards; that bytes are missing shows all the same.
#[tokio::test(start_paused = true)]
async fn a_file_that_ends_before_its_size_is_a_failure_even_if_nothing_is_verified() {
    for told in [LEN as u64 + 1, 3 * LEN as u64] {
        let stage = with_old_file();
        let server = server().on(Request::named("stat"), Odd::Size(told));
        let options = without_verifying(&stage);

        let summary = stage.get_with(server, "/f", options).await;

        let (error, status) = failure(&summary);
        assert_eq!(status, 1, "{told}: {error}");
        assert_old_file_stays(&stage);
    }
}

#[tokio::test(start_paused = true)]
async fn an_end_of_file_in_the_middle_is_a_failure() {
    for nth in [1, 2, 5] {
        let stage = with_old_file();
        let server = server().on(Request::named("read").from(nth), Odd::Status(1));
        let options = without_verifying(&stage);

        let summary = stage.get_with(server, "/f", options).await;

        let (error, status) = failure(&summary);
        assert_eq!(status, 1, "{nth}: {error}");
        assert_old_file_stays(&stage);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_grows_or_shrinks_meanwhile_is_never_called_done() {
    for len in [LEN / 2, LEN * 2] {
        let stage = with_old_file();
        let changed = content(len);
        let server = server().on(
            Request::named("read").nth(3),
            Odd::After(Box::new(move |tree| tree.put("/f", Node::File(changed.clone())))),
        );

        let summary = stage.get(server, "/f").await;

        let (error, status) = failure(&summary);
        assert!(matches!(status, 1 | 6), "{len}: {error}");
        assert_old_file_stays(&stage);
    }
}

#[tokio::test(start_paused = true)]
async fn short_reads_are_asked_for_again_until_all_is_there() {
    for max in [1000, 32_767, 20_000] {
        let stage = Stage::new();
        let server = server().on(Request::named("read"), Odd::Short(max));

        let summary = stage.get(server, "/f").await;

        assert_eq!(summary.exit_code(), 0, "{max}: {:?}", summary.errors);
        assert!(fs::read(stage.here("f")).unwrap() == content(LEN), "{max}");
    }
}

#[tokio::test(start_paused = true)]
async fn reads_that_bring_nothing_end_the_channel() {
    let stage = with_old_file();
    let server = server().on(Request::named("read").from(2), Odd::Short(0));

    let summary = stage.get(server, "/f").await;

    assert!(matches!(summary.errors[0].1, Error::Peer { .. }), "{:?}", summary.errors);
    assert_old_file_stays(&stage);
}

#[tokio::test(start_paused = true)]
async fn more_bytes_than_asked_for_end_the_channel() {
    let stage = with_old_file();
    let server = server().on(Request::named("read").nth(2), Odd::Data(content(32_769)));

    let summary = stage.get(server, "/f").await;

    assert!(matches!(summary.errors[0].1, Error::Peer { .. }), "{:?}", summary.errors);
    assert_old_file_stays(&stage);
}

#[tokio::test(start_paused = true)]
async fn answers_in_any_order_make_the_same_file_both_ways() {
    for seed in 0..20 {
        let stage = Stage::new();
        let data = content(2_000_000 + seed as usize);
        write(&stage.here("up"), &data);
        let there = OddServer::new(Tree::new().file("/down", data.clone())).shuffled(seed);

        let down = stage.get(there, "/down").await;
        let there = OddServer::new(Tree::new()).shuffled(seed);
        let tree = there.tree();
        let up = stage.put(there, "up", "/up").await;

        assert_eq!((down.exit_code(), up.exit_code()), (0, 0), "{seed}: {:?}", up.errors);
        assert!(fs::read(stage.here("down")).unwrap() == data, "{seed} down");
        assert!(tree.lock().unwrap().content("/up") == Some(&data[..]), "{seed} up");
    }
}
