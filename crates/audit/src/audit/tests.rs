use std::fs;
use std::path::Path;
use std::sync::mpsc;

use super::*;
use crate::settings::{Rotation, Targets};
use crate::verify::{Given, verify};
use crate::{head_in, public_key_in};

fn settings(dir: &Path, on_failure: OnFailure) -> Settings {
    Settings {
        targets: Targets { file: Some(dir.join("audit.jsonl")), ..Targets::default() },
        state_dir: dir.join("state"),
        rotation: Rotation::default(),
        sync: Sync::Batch,
        on_failure,
    }
}

fn lines(dir: &Path) -> Vec<serde_json::Value> {
    let text = fs::read_to_string(dir.join("audit.jsonl")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn is_intact(dir: &Path) -> bool {
    let state = dir.join("state");
    let key = PublicKey::from_file(&public_key_in(&state)).unwrap();
    let given = Given { key: Some(key), head: Some(head_in(&state)) };
    verify(&[dir.join("audit.jsonl")], &given).unwrap().is_intact()
}

#[test]
fn what_was_recorded_is_there_after_the_end_with_a_checkpoint() {
    for sync in [Sync::Batch, Sync::Record] {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { sync, ..settings(dir.path(), OnFailure::Stop) };
        let audit = Audit::start(settings, Record::new("start")).unwrap();

        for n in 0..100_u64 {
            audit.record(Record::new("test").with("n", n));
        }
        audit.close();

        let lines = lines(dir.path());
        assert_eq!(lines.len(), 102);
        assert_eq!(lines[100]["n"], 99);
        assert_eq!(
            (&lines[101]["event"], &lines[101]["why"]),
            (&"checkpoint".into(), &"end".into())
        );
        assert!(is_intact(dir.path()));
        assert_eq!(audit.status().written, 101);
        audit.record(Record::new("late"));
        assert_eq!(audit.status().lost, 1);
    }
}

/// An audit log whose disk is full until the result's second part is dropped, and what its listener was told.
fn full(dir: &Path, on_failure: OnFailure) -> (Audit, mpsc::Receiver<bool>) {
    let audit = Audit::start(settings(dir, on_failure), Record::new("start")).unwrap();
    let (tell, told) = mpsc::channel();
    audit.on_stop(move |stopped| tell.send(stopped).unwrap_or_default());
    // A directory in place of the file cannot be opened: what a disk does that fails for a while.
    fs::rename(dir.join("audit.jsonl"), dir.join("kept")).unwrap();
    fs::create_dir(dir.join("audit.jsonl")).unwrap();
    audit.record(Record::new("test").with("n", 0_u64));
    while !audit.status().is_failing {
        std::thread::yield_now();
    }
    (audit, told)
}

fn repair(dir: &Path) {
    fs::remove_dir(dir.join("audit.jsonl")).unwrap();
    fs::rename(dir.join("kept"), dir.join("audit.jsonl")).unwrap();
}

#[test]
fn with_stop_nobody_is_served_until_records_are_written_again() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, told) = full(dir.path(), OnFailure::Stop);

    assert!(told.recv().unwrap() && audit.is_stopped() && !audit.may_act());
    repair(dir.path());
    assert!(!told.recv().unwrap());
    assert!(!audit.is_stopped() && audit.may_act());
    audit.close();

    let lines = lines(dir.path());
    let events: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["start", "resumed", "test", "checkpoint"]);
    assert!(is_intact(dir.path()));
}

#[test]
fn with_continue_losses_are_counted_and_noted() {
    let dir = tempfile::tempdir().unwrap();
    let (audit, _) = full(dir.path(), OnFailure::Continue);

    let more = 3;
    while audit.status().lost < more {
        audit.record(Record::new("test"));
    }
    assert!(audit.may_act() && !audit.is_stopped());
    repair(dir.path());
    while audit.status().is_failing {
        std::thread::yield_now();
    }
    audit.close();

    let lines = lines(dir.path());
    assert_eq!(lines[1]["event"], "resumed");
    assert_eq!((&lines[2]["event"], &lines[2]["records"]), (&"lost".into(), &more.into()));
    assert!(is_intact(dir.path()));
}

#[test]
fn a_log_that_cannot_be_opened_is_said_at_the_start() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("audit.jsonl")).unwrap();

    let error = Audit::start(settings(dir.path(), OnFailure::Continue), Record::new("start"));

    assert!(error.err().unwrap().to_string().contains("audit.jsonl"));
    let nowhere = Settings { targets: Targets::default(), ..settings(dir.path(), OnFailure::Stop) };
    assert!(matches!(Audit::start(nowhere, Record::new("start")), Err(StartError::NoTarget)));
}
