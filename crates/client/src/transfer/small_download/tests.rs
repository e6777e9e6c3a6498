//! Small downloads against a scripted server: what leaves together, and what is not as it was listed.

use std::sync::{Arc, Mutex};

use sterna_sshwire::{put_string, put_u32, put_u64};

use super::super::{Options, Summary, Transfer, Verify};
use crate::sftp::script::{Script, against_offering};

const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const READ: u8 = 5;
const FSTAT: u8 = 8;
const STAT: u8 = 17;
const EXTENDED: u8 = 200;

const CONTENT: &[u8] = b"seventeen letters";

/// What a server has and says.
#[derive(Clone, Copy, Default)]
struct Odd {
    /// Bytes that it lists more (or less) than there are.
    listed_more: i64,
    /// Longest READ that it answers whole.
    read_max: Option<usize>,
    has_digests: bool,
}

/// Plays a server that answers nothing between OPEN and CLOSE before it has CLOSE, until a file is opened
/// for the second time. Types of requests go to `seen`, those that arrived in one go together.
async fn play(mut script: Script, odd: Odd, seen: Arc<Mutex<Vec<Vec<u8>>>>) {
    let (mut is_open, mut opened) = (false, 0);
    let mut held = Vec::new();
    loop {
        let (wire_type, id, fields) = script.request().await;
        opened += u32::from(wire_type == OPEN);
        held.push((wire_type, id, fields));
        if is_open && wire_type != CLOSE && opened == 1 {
            continue;
        }
        is_open = wire_type == OPEN;
        seen.lock().unwrap().push(held.iter().map(|(t, ..)| *t).collect());
        for (wire_type, id, fields) in held.drain(..) {
            answer(&mut script, wire_type, id, &fields, odd).await;
        }
    }
}

async fn answer(script: &mut Script, wire_type: u8, id: u32, fields: &[u8], odd: Odd) {
    match wire_type {
        OPEN => script.reply(102, id, &[0, 0, 0, 1, b'h']).await,
        STAT | FSTAT => {
            let more = if wire_type == STAT { odd.listed_more } else { 0 };
            let mut attrs = Vec::new();
            put_u32(&mut attrs, 1);
            put_u64(&mut attrs, CONTENT.len().saturating_add_signed(more as isize) as u64);
            script.reply(105, id, &attrs).await;
        }
        READ => {
            // handle "h", offset, length
            let offset = u64::from_be_bytes(fields[5..13].try_into().unwrap()) as usize;
            let len = u32::from_be_bytes(fields[13..17].try_into().unwrap()) as usize;
            let rest = CONTENT.get(offset..).unwrap_or_default();
            let len = len.min(rest.len()).min(odd.read_max.unwrap_or(usize::MAX));
            if len == 0 {
                return script.status(id, 1).await;
            }
            let mut data = Vec::new();
            put_string(&mut data, &rest[..len]);
            script.reply(103, id, &data).await;
        }
        _ => script.status(id, if wire_type == EXTENDED { 4 } else { 0 }).await,
    }
}

/// Downloads one small file; how it ended, what arrived, and the requests behind the look at the source.
async fn download(odd: Odd, verify: Verify) -> (Summary, Option<Vec<u8>>, Vec<Vec<u8>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let offered: &[_] = if odd.has_digests { &[("check-file", "1")] } else { &[] };
    let sftp = against_offering(offered, move |script| play(script, odd, noted)).await;
    let here = tempfile::tempdir().unwrap();
    let options = Options { verify, fsync: false, ..Options::default() };

    let transfer = Transfer::new(&sftp).options(options);
    let summary = transfer.get(&[b"/f"], here.path()).await.unwrap();

    let arrived = std::fs::read(here.path().join("f")).ok();
    let left = std::fs::read_dir(here.path()).unwrap().count();
    assert!(arrived.is_none() || left == 1, "parts and journals");
    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.remove(0), [STAT], "of the source");
    (summary, arrived, seen)
}

/// Paused time ends a client that waits for an answer in between after its 120 seconds of patience.
#[tokio::test(start_paused = true)]
async fn everything_behind_open_leaves_without_waiting() {
    let together = [READ, READ, FSTAT, CLOSE];
    for (verify, together) in [(Verify::Auto, &together[..]), (Verify::Off, &[READ, READ, CLOSE])] {
        let (summary, arrived, seen) = download(Odd::default(), verify).await;

        assert_eq!(summary.files, 1, "{:?}", summary.errors);
        assert_eq!(arrived.as_deref(), Some(CONTENT));
        assert_eq!(seen, [&[OPEN], together]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_not_as_it_was_listed_goes_the_long_way() {
    let longer = Odd { listed_more: -5, ..Odd::default() };
    let in_pieces = Odd { read_max: Some(4), ..Odd::default() };
    let shorter = Odd { listed_more: 5, ..Odd::default() };
    for (odd, arrives) in [(longer, true), (in_pieces, true), (shorter, false)] {
        let (summary, arrived, seen) = download(odd, Verify::Off).await;

        assert_eq!(arrived.as_deref(), arrives.then_some(CONTENT), "{:?}", summary.errors);
        assert_eq!((summary.files, summary.failed), (u64::from(arrives), u64::from(!arrives)));
        assert!(seen.concat().iter().filter(|t| **t == OPEN).count() == 2, "{seen:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_digest_that_the_server_refuses_makes_no_bad_file_and_no_false_word() {
    let odd = Odd { has_digests: true, ..Odd::default() };

    let (auto, arrived, _) = download(odd, Verify::Auto).await;
    assert_eq!((auto.files, auto.verified_by_digest), (1, 0), "{:?}", auto.errors);
    assert_eq!(arrived.as_deref(), Some(CONTENT));
}
