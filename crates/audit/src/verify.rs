//! Verification: reads the files of a log in the order of their records and says what is wrong with them.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use crate::chain::{Hash, Place};
use crate::head::Head;
use crate::key::{PublicKey, Purpose};
use crate::limits::PROBLEMS_MAX;
use crate::line::{CHECKPOINT, Members, Read, read_line};

/// What a log is held against.
#[derive(Clone, Debug, Default)]
pub struct Given {
    /// Without it nobody knows who signed the checkpoints.
    pub key: Option<PublicKey>,
    /// Without it a cut end may go unseen.
    pub head: Option<PathBuf>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub file: PathBuf,
    /// From 1; `None`: it concerns the file as a whole.
    pub line: Option<u64>,
    pub what: String,
}

/// Something to know that is no damage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub file: PathBuf,
    pub what: String,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub files: usize,
    pub records: u64,
    pub checkpoints: u64,
    /// Numbers of the first and the last record.
    pub first: u64,
    pub last: u64,
    /// The last record that a signature vouches for, and so for all before it.
    pub signed: u64,
    pub problems: Vec<Problem>,
    /// Problems beyond those that are named.
    pub more_problems: u64,
    pub notes: Vec<Note>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.problems.is_empty()
    }

    fn problem(&mut self, file: &Path, line: Option<u64>, what: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Problem { file: file.to_owned(), line, what: what.into() });
        } else {
            self.more_problems += 1;
        }
    }

    fn note(&mut self, file: &Path, what: impl Into<String>) {
        self.notes.push(Note { file: file.to_owned(), what: what.into() });
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
        }
        write!(f, " {}", self.what)
    }
}

/// Verifies `files`, which may be given in any order.
///
/// # Errors
/// A file cannot be read; with its name.
pub fn verify(files: &[PathBuf], given: &Given) -> Result<Report, (PathBuf, io::Error)> {
    let mut report = Report::default();
    let head = head(given, &mut report)?;
    let mut ordered = Vec::new();
    for path in files {
        let first = first_seq(path).map_err(|error| (path.clone(), error))?;
        ordered.push((first.unwrap_or(u64::MAX), path));
    }
    // Files without records come last: there is one behind each rotation.
    ordered.sort_by_key(|(first, _)| *first);
    let mut walk = Walk { given, head, report, before: None, is_head_met: false };
    for (_, path) in &ordered {
        walk.file(path).map_err(|error| ((*path).clone(), error))?;
    }
    let fallback = PathBuf::from("audit log");
    walk.end(ordered.last().map_or(&fallback, |(_, path)| path));
    Ok(walk.report)
}

fn head(given: &Given, report: &mut Report) -> Result<Option<Head>, (PathBuf, io::Error)> {
    let (Some(path), Some(key)) = (&given.head, &given.key) else { return Ok(None) };
    match Head::read(path, key) {
        Ok(Some(head)) => Ok(Some(head)),
        Ok(None) => {
            report.problem(path, None, "the head is missing: nobody knows where the log ended");
            Ok(None)
        }
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            report.problem(path, None, "the head is not signed by this key");
            Ok(None)
        }
        Err(error) => Err((path.clone(), error)),
    }
}

fn first_seq(path: &Path) -> io::Result<Option<u64>> {
    let mut line = Vec::new();
    read_line(&mut BufReader::new(File::open(path)?), &mut line)?;
    Ok(Members::of(&line).map(|(members, _)| members.seq))
}

struct Walk<'g> {
    given: &'g Given,
    head: Option<Head>,
    report: Report,
    /// The line before, where it stands; the number of its line in its file.
    before: Option<(Place, PathBuf, u64)>,
    /// The line that the head speaks of was seen.
    is_head_met: bool,
}

impl Walk<'_> {
    fn file(&mut self, path: &Path) -> io::Result<()> {
        self.report.files += 1;
        let mut from = BufReader::new(File::open(path)?);
        let mut line = Vec::new();
        let mut number = 0;
        loop {
            number += 1;
            match read_line(&mut from, &mut line)? {
                Read::End => return Ok(()),
                Read::Line => self.line(path, number, &line),
                Read::TooLong => {
                    self.report.problem(path, Some(number), "longer than any line of a log");
                }
                Read::Half => self.half(path, number),
            }
        }
    }

    fn line(&mut self, path: &Path, number: u64, line: &[u8]) {
        let Some((members, hash_before)) = Members::of(line) else {
            self.report.problem(path, Some(number), "not a record: it was changed");
            return;
        };
        let seq = members.seq;
        match self.before.take() {
            None => self.begin(path, number, seq, hash_before),
            Some((before, file, line_before)) => {
                let expected = before.seq + 1;
                if seq == expected {
                    if hash_before != before.hash {
                        let what = format!("record {} or this link to it was changed", before.seq);
                        self.report.problem(&file, Some(line_before), what);
                    }
                } else if seq > expected {
                    let what = match seq - expected {
                        1 => format!("record {expected} is missing before this line"),
                        _ => format!(
                            "records {expected} to {} are missing before this line",
                            seq - 1
                        ),
                    };
                    self.report.problem(path, Some(number), what);
                } else {
                    let what =
                        format!("record {seq} stands behind record {}: out of order", before.seq);
                    self.report.problem(path, Some(number), what);
                }
            }
        }
        if members.event == CHECKPOINT {
            self.checkpoint(path, number, line, seq);
        }
        let place = Place { seq, hash: Hash::of(line) };
        if let Some(head) = self.head.filter(|head| head.last.seq == seq) {
            self.is_head_met = true;
            if head.last.hash != place.hash {
                let what = format!("record {seq} was changed: the signed head knows another one");
                self.report.problem(path, Some(number), what);
            }
        }
        self.report.records += 1;
        self.report.last = seq;
        self.before = Some((place, path.to_owned(), number));
    }

    fn begin(&mut self, path: &Path, number: u64, seq: u64, hash_before: Hash) {
        self.report.first = seq;
        let oldest = self.head.map(|head| head.oldest);
        if seq == 1 {
            if hash_before != Hash::NONE {
                self.report.problem(path, Some(number), "the first record follows another one");
            }
        } else if let Some(oldest) = oldest {
            if seq > oldest {
                let what = format!("records {oldest} to {} are missing before this line", seq - 1);
                self.report.problem(path, Some(number), what);
            }
        } else {
            let what = format!("begins with record {seq}: what came before was not given");
            self.report.note(path, what);
        }
    }

    fn checkpoint(&mut self, path: &Path, number: u64, line: &[u8], seq: u64) {
        self.report.checkpoints += 1;
        match &self.given.key {
            Some(key) if key.has_sealed(Purpose::Checkpoint, line) => self.report.signed = seq,
            Some(_) => {
                self.report.problem(path, Some(number), "the checkpoint is not signed by this key");
            }
            None => {}
        }
    }

    /// The file ends within a line.
    fn half(&mut self, path: &Path, number: u64) {
        let last = self.before.as_ref().map_or(0, |(place, ..)| place.seq);
        match self.head {
            Some(head) if head.last.seq > last => {
                let what = "the line is cut, and the signed head says that it was written";
                self.report.problem(path, Some(number), what);
            }
            Some(_) => self.report.note(
                path,
                format!("line {number} is half a line: a crash while it was written, no tampering"),
            ),
            None => self.report.problem(path, Some(number), "the line is cut"),
        }
    }

    fn end(&mut self, last_file: &Path) {
        let (last, file, line) = match self.before.take() {
            Some((place, file, line)) => (place.seq, file, Some(line)),
            None => (0, last_file.to_owned(), None),
        };
        match self.head {
            Some(Head { last: head, .. }) if head.seq > last => {
                let what = format!(
                    "the log ends with record {last}, and the signed head says {}: the end was cut off",
                    head.seq
                );
                self.report.problem(&file, line, what);
            }
            Some(Head { last: head, .. }) => {
                if !self.is_head_met && head.seq > 0 {
                    let what =
                        format!("record {}, of which the signed head speaks, is missing", head.seq);
                    self.report.problem(&file, line, what);
                }
                self.report.signed = self.report.signed.max(head.seq);
                if head.seq < last {
                    let what = format!(
                        "records {} to {last} are not signed yet: written just now, or before a crash",
                        head.seq + 1
                    );
                    self.report.note(&file, what);
                }
            }
            None if self.given.key.is_none() => {
                self.report.note(&file, "no key was given: signatures were not verified");
            }
            None if self.report.signed < last => {
                let what = format!(
                    "there is no head to compare with: nobody can say whether records behind {} are missing",
                    self.report.signed
                );
                self.report.note(&file, what);
            }
            None => {}
        }
    }
}

#[cfg(test)]
mod tests;
