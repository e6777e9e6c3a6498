//! The verification of an audit log: it judges any bytes, and no change of a log that was written goes unseen.

use std::fs;
use std::sync::OnceLock;

use sterna_audit::{
    Audit, Given, OnFailure, PublicKey, Record, Report, Rotation, Settings, Sync, Targets, head_in,
    verify,
};

use crate::changes::changed;

/// Input: a byte. If it is even, the rest is a log. If it is odd, the rest are changes of a log that was written
/// (`changes.rs`).
pub fn run(data: &[u8]) {
    let Some((kind, rest)) = data.split_first() else { return };
    let genuine = genuine();
    let log = match kind % 2 {
        0 => rest.to_vec(),
        _ => changed(&genuine.log, rest),
    };
    let report = genuine.judge(&log);
    // Half a line at the end is what a crash leaves: it never was a record.
    let whole = log.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let is_genuine = log[..whole] == genuine.log;
    assert_eq!(report.is_intact(), is_genuine, "{report:?}");
    if is_genuine {
        assert_eq!(report.notes.is_empty(), whole == log.len(), "{report:?}");
    }
}

/// A log that ended in good order.
struct Genuine {
    log: Vec<u8>,
    key: PublicKey,
    head: Vec<u8>,
}

fn genuine() -> &'static Genuine {
    static GENUINE: OnceLock<Genuine> = OnceLock::new();
    GENUINE.get_or_init(|| {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, state_dir) = (dir.path().join("log"), dir.path().join("state"));
        let settings = Settings {
            targets: Targets { file: Some(path.clone()), ..Targets::default() },
            state_dir: state_dir.clone(),
            rotation: Rotation::default(),
            sync: Sync::Batch,
            on_failure: OnFailure::Stop,
        };
        let audit = Audit::start(settings, Record::new("start")).expect("a log");
        for n in 0..4_u64 {
            audit.record(Record::new("login").user("ann").source("192.0.2.7").with("n", n));
        }
        audit.close();
        let read = |path| fs::read(path).expect("what was written");
        Genuine { log: read(path), key: audit.public_key(), head: read(head_in(&state_dir)) }
    })
}

impl Genuine {
    /// What is said of this log with the key and the head at hand; without them it is judged as well.
    fn judge(&self, log: &[u8]) -> Report {
        let dir = tempfile::tempdir().expect("a directory");
        let (path, head) = (dir.path().join("log"), dir.path().join("head"));
        fs::write(&path, log).and_then(|()| fs::write(&head, &self.head)).expect("files");
        let files = [path];
        for key in [None, Some(self.key)] {
            verify(&files, &Given { key, head: None }).expect("files can be read");
        }
        let given = Given { key: Some(self.key), head: Some(head) };
        verify(&files, &given).expect("files can be read")
    }
}
