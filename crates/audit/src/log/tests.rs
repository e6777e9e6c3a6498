use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::*;
use crate::settings::{OnFailure, Sync, Targets};
use crate::verify::{Given, Report, verify};
use crate::{head_in, public_key_in, row_of};

fn settings(dir: &Path) -> Settings {
    Settings {
        targets: Targets { file: Some(dir.join("audit.jsonl")), ..Targets::default() },
        state_dir: dir.join("state"),
        rotation: Rotation::default(),
        sync: Sync::Batch,
        on_failure: OnFailure::Stop,
    }
}

fn records(range: std::ops::Range<u64>) -> Vec<Record> {
    range.map(|n| Record::new("test").with("n", n)).collect()
}

fn given(dir: &Path) -> Given {
    let key = PublicKey::from_file(&public_key_in(&dir.join("state"))).unwrap();
    Given { key: Some(key), head: Some(head_in(&dir.join("state"))) }
}

fn verified(dir: &Path) -> Report {
    verify(&row_of(&dir.join("audit.jsonl")).unwrap(), &given(dir)).unwrap()
}

fn lines(path: &PathBuf) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn a_log_goes_on_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    for run in 0..3 {
        let mut log = Log::open(settings(dir.path())).unwrap();
        log.append(&records(0..4)).unwrap();
        assert_eq!(log.last.seq, run * 5 + 4);
        log.checkpoint("end").unwrap();
    }

    let report = verified(dir.path());

    assert!(report.is_intact() && report.notes.is_empty(), "{report:?}");
    assert_eq!((report.records, report.checkpoints, report.signed), (15, 3, 15));
}

#[test]
fn rotation_leaves_no_gap_and_keeps_what_it_should() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    settings.rotation = Rotation { size: Some(1000), age: None, keep: Some(3) };
    let mut log = Log::open(settings).unwrap();

    for n in 0..60 {
        log.append(&records(n..n + 1)).unwrap();
    }

    let row = row_of(&dir.path().join("audit.jsonl")).unwrap();
    assert_eq!(row.len(), 4);
    let report = verified(dir.path());
    assert!(report.is_intact(), "{report:?}");
    assert!(report.first > 1, "the oldest are gone: {report:?}");
    let all: Vec<u64> = row.iter().flat_map(lines).filter_map(|line| line["n"].as_u64()).collect();
    assert_eq!(all, (all[0]..60).collect::<Vec<_>>());

    for missing in 0..row.len() {
        let mut rest = row.clone();
        let gone = rest.remove(missing);
        let report = verify(&rest, &given(dir.path())).unwrap();
        assert!(!report.is_intact(), "without {}: {report:?}", gone.display());
    }
}

#[test]
fn a_file_is_closed_when_it_is_old() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    settings.rotation.age = Some(Duration::ZERO);
    let mut log = Log::open(settings).unwrap();

    log.append(&records(0..1)).unwrap();
    // Times of records are to the microsecond: the first one has to be earlier than now.
    while jiff::Timestamp::now() <= log.file.as_ref().unwrap().first().unwrap().1 {}
    log.append(&records(1..2)).unwrap();

    assert_eq!(row_of(&dir.path().join("audit.jsonl")).unwrap().len(), 2);
    assert!(verified(dir.path()).is_intact());
}

#[test]
fn half_a_line_of_a_crash_is_cut_noted_and_no_tampering() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let mut log = Log::open(settings(dir.path())).unwrap();
    log.append(&records(0..3)).unwrap();
    let whole = fs::read(&path).unwrap();
    log.append(&records(3..4)).unwrap();
    let longer = fs::read(&path).unwrap();
    drop(log);
    let head_of_three = {
        let state = tempfile::tempdir().unwrap();
        let other = settings(state.path());
        fs::create_dir(&other.state_dir).unwrap();
        for name in ["key", "key.pub"] {
            fs::copy(dir.path().join("state").join(name), other.state_dir.join(name)).unwrap();
        }
        let state = StateDir::open(&other.state_dir).unwrap();
        let hash =
            crate::line::place_of(whole[..whole.len() - 1].rsplit(|b| *b == b'\n').next().unwrap());
        state.set_head(&Head { last: hash.unwrap(), oldest: 1 }).unwrap();
        fs::read(head_in(&other.state_dir)).unwrap()
    };

    for len in whole.len() + 1..longer.len() {
        fs::write(&path, &longer[..len]).unwrap();
        fs::write(head_in(&dir.path().join("state")), &head_of_three).unwrap();
        let report = verified(dir.path());
        assert!(report.is_intact() && report.notes.len() == 1, "{len}: {report:?}");
        assert!(report.notes[0].what.contains("a crash"), "{report:?}");

        let mut log = Log::open(settings(dir.path())).unwrap();
        log.append(&records(4..5)).unwrap();

        let lines = lines(&path);
        assert_eq!(lines[3]["event"], "recovered");
        assert_eq!(lines[3]["cut_bytes"], len - whole.len());
        assert_eq!(lines[4]["n"], 4);
        let report = verified(dir.path());
        assert!(report.is_intact() && report.notes.is_empty(), "{report:?}");
    }
}

#[test]
fn a_line_that_is_whole_and_not_in_the_head_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let head = head_in(&dir.path().join("state"));
    let mut log = Log::open(settings(dir.path())).unwrap();
    log.append(&records(0..3)).unwrap();
    let old = fs::read(&head).unwrap();
    log.append(&records(3..5)).unwrap();
    // The process ended between the lines and the head.
    fs::write(&head, old).unwrap();

    let report = verified(dir.path());
    assert!(report.is_intact() && report.notes[0].what.contains("4 to 5"), "{report:?}");

    let mut log = Log::open(settings(dir.path())).unwrap();
    log.append(&records(5..6)).unwrap();
    assert_eq!(log.last.seq, 6);
    assert!(verified(dir.path()).is_intact());
}

#[test]
fn a_cut_end_stays_visible_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let mut log = Log::open(settings(dir.path())).unwrap();
    log.append(&records(0..5)).unwrap();
    drop(log);
    let text = fs::read_to_string(&path).unwrap();
    let three: String = text.split_inclusive('\n').take(3).collect();

    // At the end of a line, within one, everything, and the file itself.
    for left in [three.len(), three.len() - 9, 0] {
        fs::write(&path, &text[..left]).unwrap();
        let state = dir.path().join("state");
        let head = fs::read(head_in(&state)).unwrap();
        let report = verified(dir.path());
        assert!(report.problems.iter().any(|p| p.what.contains("cut")), "{left}: {report:?}");

        let mut log = Log::open(settings(dir.path())).unwrap();
        log.append(&records(5..6)).unwrap();
        log.checkpoint("end").unwrap();
        let report = verified(dir.path());
        assert!(!report.is_intact(), "{left}: {report:?}");
        fs::write(head_in(&state), head).unwrap();
    }
    fs::remove_file(&path).unwrap();
    let mut log = Log::open(settings(dir.path())).unwrap();
    log.append(&records(5..6)).unwrap();
    let report = verified(dir.path());
    assert!(report.problems[0].what.contains("1 to 5 are missing"), "{report:?}");
}

#[test]
fn a_full_disk_leaves_whole_lines_and_the_batch_comes_later() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("audit.jsonl");
    let room = Arc::new(AtomicU64::new(u64::MAX));
    let mut log = Log::open(settings(dir.path())).unwrap();
    log.room = Some(Arc::clone(&room));
    log.append(&records(0..2)).unwrap();
    let before = fs::read(&path).unwrap();

    for left in [0, 1, 100, 300] {
        room.store(left, Ordering::Relaxed);
        let error = log.append(&records(2..4)).unwrap_err();
        assert_eq!(error.source.kind(), io::ErrorKind::StorageFull);
        assert!(!error.is_written);
        assert_eq!(fs::read(&path).unwrap(), before, "{left}");
    }
    room.store(u64::MAX, Ordering::Relaxed);
    log.append(&records(2..4)).unwrap();

    assert_eq!(lines(&path).len(), 4);
    assert!(verified(dir.path()).is_intact());
}

#[test]
fn two_writers_share_one_chain() {
    let dir = tempfile::tempdir().unwrap();
    let mut settings = settings(dir.path());
    settings.rotation.size = Some(4000);
    std::thread::scope(|scope| {
        for writer in 0..2_u64 {
            let mut log = Log::open(settings.clone()).unwrap();
            scope.spawn(move || {
                for n in 0..100 {
                    log.append(&[Record::new("test").with("n", n).with("writer", writer)]).unwrap();
                }
                log.checkpoint("end").unwrap();
            });
        }
    });

    let report = verified(dir.path());
    assert!(report.is_intact(), "{report:?}");
    let row = row_of(&dir.path().join("audit.jsonl")).unwrap();
    assert!(row.len() > 2);
    let all: Vec<_> = row.iter().flat_map(lines).collect();
    for writer in 0..2 {
        let of_writer = all.iter().filter(|line| line["writer"] == writer);
        let numbers: Vec<u64> = of_writer.filter_map(|line| line["n"].as_u64()).collect();
        assert_eq!(numbers, (0..100).collect::<Vec<_>>());
    }
}

#[test]
fn a_checkpoint_comes_after_many_lines() {
    let dir = tempfile::tempdir().unwrap();
    let mut log = Log::open(settings(dir.path())).unwrap();

    for n in 0..25 {
        log.append(&records(n * 100..(n + 1) * 100)).unwrap();
    }

    let report = verified(dir.path());
    assert_eq!(report.checkpoints, 2, "{report:?}");
    assert!(report.is_intact());
}

#[test]
fn a_head_that_was_removed_or_changed_is_noted() {
    for change in [None, Some("{}\n")] {
        let dir = tempfile::tempdir().unwrap();
        let head = head_in(&dir.path().join("state"));
        let mut log = Log::open(settings(dir.path())).unwrap();
        log.append(&records(0..2)).unwrap();
        match change {
            None => fs::remove_file(&head).unwrap(),
            Some(text) => fs::write(&head, text).unwrap(),
        }
        assert!(!verified(dir.path()).is_intact());

        log.append(&records(2..3)).unwrap();

        let lines = lines(&dir.path().join("audit.jsonl"));
        let event = lines[2]["event"].as_str().unwrap();
        assert!(["head-missing", "head-unreadable"].contains(&event), "{event}");
        assert!(verified(dir.path()).is_intact());
    }
}
