//! Each kind of damage at every line of a small log of several files: all of it is found, and the line named.

use std::fs;
use std::sync::OnceLock;

use proptest::prelude::*;

use super::*;
use crate::log::Log;
use crate::record::Record;
use crate::settings::{OnFailure, Rotation, Settings, Sync, Targets};
use crate::{head_in, public_key_in, row_of};

/// A log of three files that ended in good order, with key and head.
struct Sample {
    dir: tempfile::TempDir,
    /// Each file's lines.
    files: Vec<(PathBuf, Vec<Vec<u8>>)>,
    given: Given,
}

fn sample() -> &'static Sample {
    static SAMPLE: OnceLock<Sample> = OnceLock::new();
    SAMPLE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        let state_dir = dir.path().join("state");
        let mut log = Log::open(Settings {
            targets: Targets { file: Some(path.clone()), ..Targets::default() },
            state_dir: state_dir.clone(),
            rotation: Rotation { size: Some(900), ..Rotation::default() },
            sync: Sync::Batch,
            on_failure: OnFailure::Stop,
        })
        .unwrap();
        for n in 0..12_u64 {
            log.append(&[Record::new("test").user("alice").with("n", n)]).unwrap();
        }
        log.checkpoint("end").unwrap();
        let key = PublicKey::from_file(&public_key_in(&state_dir)).unwrap();
        let given = Given { key: Some(key), head: Some(head_in(&state_dir)) };
        let files = row_of(&path).unwrap().into_iter().map(|path| {
            let text = fs::read(&path).unwrap();
            let lines = text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
            (path, lines)
        });
        let files: Vec<_> = files.collect();
        assert!(files.len() >= 3);
        Sample { dir, files, given }
    })
}

/// Every line: file and place in it.
fn all_lines() -> Vec<(usize, usize)> {
    let files = sample().files.iter().enumerate();
    files.flat_map(|(file, (_, lines))| (0..lines.len()).map(move |line| (file, line))).collect()
}

/// Verifies the sample with other lines in its files.
fn verify_with(change: impl Fn(&mut Vec<Vec<Vec<u8>>>)) -> Report {
    let sample = sample();
    let mut files: Vec<_> = sample.files.iter().map(|(_, lines)| lines.clone()).collect();
    change(&mut files);
    let place = tempfile::tempdir_in(sample.dir.path()).unwrap();
    let paths: Vec<PathBuf> = files
        .iter()
        .zip(&sample.files)
        .map(|(lines, (path, _))| {
            let path = place.path().join(path.file_name().unwrap());
            fs::write(&path, lines.concat()).unwrap();
            path
        })
        .collect();
    verify(&paths, &sample.given).unwrap()
}

/// Whether a problem names this line, or one beside it: what is missing is seen at its neighbours.
fn names(report: &Report, place: (usize, usize)) -> bool {
    let all = all_lines();
    let at = all.iter().position(|found| *found == place).unwrap();
    let beside = &all[at.saturating_sub(1)..(at + 2).min(all.len())];
    report.problems.iter().any(|problem| {
        let name = problem.file.file_name();
        beside.iter().any(|(file, line)| {
            let is_line = problem.line.is_none_or(|found| found == *line as u64 + 1);
            sample().files[*file].0.file_name() == name && is_line
        })
    })
}

#[test]
fn the_log_as_it_is_has_nothing_wrong() {
    let report = verify_with(|_| {});

    assert!(report.is_intact() && report.notes.is_empty(), "{report:?}");
    assert_eq!(report.signed, report.last);
    let mut backwards: Vec<PathBuf> = sample().files.iter().map(|(path, _)| path.clone()).collect();
    backwards.reverse();
    assert!(verify(&backwards, &sample().given).unwrap().is_intact());
}

#[test]
fn a_removed_line_is_found_wherever_it_was() {
    for (file, line) in all_lines() {
        let report = verify_with(|files| drop(files[file].remove(line)));

        assert!(!report.is_intact() && names(&report, (file, line)), "{file}:{line}: {report:?}");
    }
}

#[test]
fn swapped_lines_are_found_wherever_they_are() {
    let all = all_lines();
    for (at, one) in all.iter().enumerate() {
        for other in &all[at + 1..] {
            let report = verify_with(|files| {
                let first = files[one.0][one.1].clone();
                let second = std::mem::replace(&mut files[other.0][other.1], first);
                files[one.0][one.1] = second;
            });

            assert!(!report.is_intact(), "{one:?} {other:?}: {report:?}");
            assert!(
                names(&report, *one) || names(&report, *other),
                "{one:?} {other:?}: {report:?}"
            );
        }
    }
}

#[test]
fn a_repeated_line_is_found_wherever_it_is() {
    for (file, line) in all_lines() {
        let report = verify_with(|files| {
            let again = files[file][line].clone();
            files[file].insert(line, again);
        });

        assert!(!report.is_intact(), "{file}:{line}: {report:?}");
    }
}

#[test]
fn a_cut_end_is_found_wherever_it_is_cut() {
    for (file, line) in all_lines() {
        for part in [0, 1, 2] {
            let report = verify_with(|files| {
                let kept = part * files[file][line].len() / 3;
                files[file][line].truncate(kept);
                files[file].truncate(line + 1);
                files.truncate(file + 1);
            });
            let says_cut = report.problems.iter().any(|problem| problem.what.contains("cut"));
            assert!(says_cut, "{file}:{line}+{part}: {report:?}");
        }
    }
    let nothing = verify(&[], &sample().given).unwrap();
    assert!(!nothing.is_intact());
}

#[test]
fn a_chain_made_anew_without_the_key_is_found() {
    let sample = sample();
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("audit.jsonl");
    let mut forged = Log::open(Settings {
        targets: Targets { file: Some(path.clone()), ..Targets::default() },
        state_dir: place.path().join("state"),
        rotation: Rotation::default(),
        sync: Sync::Batch,
        on_failure: OnFailure::Stop,
    })
    .unwrap();
    forged.append(&[Record::new("test")]).unwrap();
    forged.checkpoint("end").unwrap();
    let files = [path];

    let by_key = Given { key: sample.given.key, head: None };
    let report = verify(&files, &by_key).unwrap();
    assert_eq!(report.problems[0].line, Some(2), "{report:?}");
    let forged_head = Given { head: Some(head_in(&place.path().join("state"))), ..by_key };
    let report = verify(&files, &forged_head).unwrap();
    assert!(report.problems[0].what.contains("head"), "{report:?}");
    let report = verify(&files, &Given::default()).unwrap();
    assert!(report.is_intact() && report.notes[0].what.contains("no key"), "{report:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_byte_is_found_wherever_it_is(
        at in 0..all_lines().len(),
        byte in any::<prop::sample::Index>(),
        change in 1..=255_u8,
    ) {
        let (file, line) = all_lines()[at];
        let report = verify_with(|files| {
            let line = &mut files[file][line];
            let byte = byte.index(line.len());
            line[byte] ^= change;
        });

        prop_assert!(!report.is_intact(), "{}:{}", file, line);
        prop_assert!(names(&report, (file, line)), "{}:{}: {:?}", file, line, report);
    }

    #[test]
    fn bytes_of_any_kind_are_judged_and_nothing_else(text in prop::collection::vec(any::<u8>(), 0..2000)) {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("log");
        fs::write(&path, &text).unwrap();

        let report = verify(&[path], &sample().given).unwrap();

        prop_assert!(!report.is_intact());
    }
}
