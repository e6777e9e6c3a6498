//! Small uploads against a scripted server: what leaves together, and what a bad answer does.

use std::sync::{Arc, Mutex};

use sterna_sshwire::{put_u32, put_u64};

use super::super::{Options, Summary, Transfer};
use crate::sftp::script::{Script, against_offering};

const OPEN: u8 = 3;
const CLOSE: u8 = 4;
const WRITE: u8 = 6;
const FSTAT: u8 = 8;
const FSETSTAT: u8 = 10;
const REMOVE: u8 = 13;
const STAT: u8 = 17;
const RENAME: u8 = 18;
const LSTAT: u8 = 7;
const EXTENDED: u8 = 200;
/// The only extension that is asked for in between, unless digests are offered.
const FSYNC: u8 = EXTENDED;

const CONTENT: &[u8] = b"seventeen letters";

/// What a server answers to some request, in place of what is right.
#[derive(Clone, Copy)]
enum Wrong {
    Nothing,
    /// The status code of the answer to this type of request.
    Status(u8, u32),
    /// The size that FSTAT and STAT tell.
    Size(u64),
    /// Digests are offered, but nothing may be opened for reading.
    DropBox,
}

/// Plays a server that answers nothing between OPEN and CLOSE before it has CLOSE. Types of requests go
/// to `seen`, those that arrived in one go together.
async fn play(mut script: Script, wrong: Wrong, seen: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut open = false;
    let mut held = Vec::new();
    loop {
        let (wire_type, id, fields) = script.request().await;
        if wire_type == LSTAT && fields.ends_with(b"\0\0\0\x02/f") {
            // Goes out beside OPEN: is there something to be replaced?
            script.status(id, 2).await;
            continue;
        }
        held.push((wire_type, id));
        if open && wire_type != CLOSE {
            continue;
        }
        // The flags stand before the 8 bytes of the attributes; bit 0 is READ.
        let reads = wire_type == OPEN && fields[fields.len() - 9] & 1 != 0;
        if matches!(wrong, Wrong::DropBox) && (reads || wire_type == EXTENDED) {
            seen.lock().unwrap().push(vec![wire_type]);
            held.clear();
            script.status(id, 3).await;
            continue;
        }
        open = wire_type == OPEN;
        seen.lock().unwrap().push(held.iter().map(|(t, _)| *t).collect());
        for (wire_type, id) in held.drain(..) {
            answer(&mut script, wire_type, id, wrong).await;
        }
    }
}

async fn answer(script: &mut Script, wire_type: u8, id: u32, wrong: Wrong) {
    match (wire_type, wrong) {
        (wire_type, Wrong::Status(bad, code)) if wire_type == bad => script.status(id, code).await,
        (OPEN, _) => script.reply(102, id, &[0, 0, 0, 1, b'h']).await,
        (LSTAT, Wrong::DropBox) => script.status(id, 2).await,
        (FSTAT | STAT, wrong) => {
            let size = if let Wrong::Size(size) = wrong { size } else { CONTENT.len() as u64 };
            let mut fields = Vec::new();
            put_u32(&mut fields, 1);
            put_u64(&mut fields, size);
            script.reply(105, id, &fields).await;
        }
        _ => script.status(id, 0).await,
    }
}

/// Uploads one small file; returns how it ended and the requests, without those that look at the target.
async fn upload(wrong: Wrong) -> (Summary, Vec<Vec<u8>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let extension = match wrong {
        Wrong::DropBox => ("check-file", "1"),
        _ => ("fsync@openssh.com", "1"),
    };
    let sftp = against_offering(&[extension], move |script| play(script, wrong, noted)).await;
    let here = tempfile::tempdir().unwrap();
    std::fs::write(here.path().join("f"), CONTENT).unwrap();
    let options = Options { preserve: true, state_dir: None, ..Options::default() };

    let transfer = Transfer::new(&sftp).options(options);
    let summary = transfer.put(&[here.path().join("f")], b"/f").await.unwrap();

    let mut seen = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(seen.remove(0), [STAT], "of the target");
    (summary, seen)
}

/// Paused time ends a client that waits for an answer in between after its 120 seconds of patience.
#[tokio::test(start_paused = true)]
async fn everything_between_open_and_rename_leaves_without_waiting() {
    let (summary, seen) = upload(Wrong::Nothing).await;

    assert_eq!((summary.files, summary.verified_by_size), (1, 1), "{:?}", summary.errors);
    let together = vec![WRITE, FSYNC, FSETSTAT, FSTAT, CLOSE];
    assert_eq!(seen, [vec![OPEN], together, vec![RENAME]]);
}

#[tokio::test(start_paused = true)]
async fn a_bad_answer_to_any_step_is_the_files_error_and_it_never_gets_its_name() {
    let cases =
        [(WRITE, "write"), (FSYNC, "sync"), (FSETSTAT, "set attributes of"), (CLOSE, "close")];
    for (step, doing) in cases {
        let (summary, seen) = upload(Wrong::Status(step, 4)).await;

        assert_eq!((summary.files, summary.failed), (0, 1), "{doing}");
        let error = summary.errors[0].1.to_string();
        assert!(error.starts_with(doing), "{doing}: {error}");
        assert_eq!(seen.last().unwrap(), &[REMOVE], "{doing}");
        assert!(!seen.concat().contains(&RENAME), "{doing}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_rename_leaves_no_part() {
    let (summary, seen) = upload(Wrong::Status(RENAME, 3)).await;

    assert_eq!((summary.failed, summary.exit_code()), (1, 1));
    assert_eq!(seen.last().unwrap(), &[REMOVE]);
}

#[tokio::test(start_paused = true)]
async fn a_size_that_differs_is_looked_at_again_and_then_the_file_is_bad() {
    let (summary, seen) = upload(Wrong::Size(3)).await;

    assert_eq!((summary.failed, summary.exit_code()), (1, 6), "{:?}", summary.errors);
    assert_eq!(seen[2..], [[STAT], [REMOVE]]);
}

#[tokio::test(start_paused = true)]
async fn servers_that_lack_fsync_on_a_file_or_fsetstat_still_take_it() {
    for (lacking, more) in [(FSYNC, None), (FSETSTAT, Some(vec![9]))] {
        let (summary, seen) = upload(Wrong::Status(lacking, 8)).await;

        assert_eq!(summary.files, 1, "{:?}", summary.errors);
        let after: Vec<_> = more.into_iter().chain([vec![RENAME]]).collect();
        assert_eq!(seen[2..], after);
    }
}

#[tokio::test(start_paused = true)]
async fn a_drop_box_that_lets_nobody_read_still_takes_it() {
    let (summary, seen) = upload(Wrong::DropBox).await;

    assert_eq!((summary.files, summary.verified_by_size), (1, 1), "{:?}", summary.errors);
    let opening = [vec![OPEN], vec![LSTAT], vec![OPEN]];
    let filling = [vec![WRITE, FSETSTAT, CLOSE], vec![EXTENDED], vec![STAT], vec![RENAME]];
    assert_eq!(seen, [&opening[..], &filling[..]].concat());
}
