//! The log on the disk: batches of records become lines of the chain, under a lock that processes share.
//!
//! Before each batch the head and the file are compared with what this process left: another one, an old
//! server beside its successor for example, may have written since. What a crash left behind is put in order
//! and noted. What cannot have come from a crash is noted as well, and the chain then goes on from the head, so
//! that the place of the damage stays visible for ever.

use std::io::{self, Write as _};
use std::time::{Instant, SystemTime};

use crate::chain::{Hash, Place};
use crate::file::{LogFile, Tail};
use crate::head::Head;
use crate::journald::Journald;
use crate::key::{PublicKey, Purpose};
use crate::limits::{CHECKPOINT_PAUSE, CHECKPOINT_RECORDS};
use crate::line::CHECKPOINT;
use crate::record::Record;
use crate::row;
use crate::settings::{Rotation, Settings};
use crate::state::{StartError, StateDir};

/// A log that is open for writing.
pub(crate) struct Log {
    settings: Settings,
    state: StateDir,
    file: Option<LogFile>,
    journald: Option<Journald>,
    /// The last line.
    last: Place,
    /// As it was read or written last.
    head: Option<Head>,
    /// The first line of the oldest file.
    oldest: u64,
    /// Lines since the last checkpoint, and since when there are any.
    unsigned: u64,
    unsigned_since: Option<Instant>,
    /// What this process knows of the log may not hold any more.
    is_stale: bool,
    /// A target beside the file does not take lines; said once.
    others_fail: bool,
    /// Bytes for which the files have room.
    #[cfg(test)]
    pub(crate) room: Option<std::sync::Arc<std::sync::atomic::AtomicU64>>,
}

/// Why a batch failed.
#[derive(Debug)]
pub(crate) struct AppendError {
    /// The lines are in the log; what failed came behind them.
    pub(crate) is_written: bool,
    pub(crate) source: io::Error,
}

impl From<io::Error> for AppendError {
    fn from(source: io::Error) -> Self {
        Self { is_written: false, source }
    }
}

/// Lines that are written together.
struct Batch {
    lines: Vec<u8>,
    last: Place,
    count: u64,
}

impl Batch {
    fn after(last: Place) -> Self {
        Self { lines: Vec::new(), last, count: 0 }
    }

    fn push(&mut self, record: &Record) {
        let start = self.lines.len();
        record.encode_open(self.last, &mut self.lines);
        self.lines.push(b'}');
        self.end_line(start);
    }

    fn push_checkpoint(&mut self, why: &'static str, state: &StateDir) {
        let record = Record::new(CHECKPOINT).with("why", why);
        let mut line = Vec::new();
        record.encode_open(self.last, &mut line);
        state.key.seal(Purpose::Checkpoint, &mut line);
        let start = self.lines.len();
        self.lines.append(&mut line);
        self.end_line(start);
    }

    fn end_line(&mut self, start: usize) {
        self.last = Place { seq: self.last.seq + 1, hash: Hash::of(&self.lines[start..]) };
        self.lines.push(b'\n');
        self.count += 1;
    }
}

impl Log {
    /// Opens the log and looks at its end.
    pub(crate) fn open(settings: Settings) -> Result<Self, StartError> {
        let state = StateDir::open(&settings.state_dir)?;
        let targets = &settings.targets;
        if targets.file.is_none() && !targets.stdout && targets.journald.is_none() {
            return Err(StartError::NoTarget);
        }
        let journald = match &targets.journald {
            None => None,
            Some(path) => {
                let fail = |source| StartError::Io { path: path.clone(), source };
                Some(Journald::new(path.clone()).map_err(fail)?)
            }
        };
        Ok(Self {
            state,
            file: None,
            journald,
            last: Place::START,
            head: None,
            oldest: 1,
            unsigned: 0,
            unsigned_since: None,
            is_stale: true,
            others_fail: false,
            settings,
            #[cfg(test)]
            room: None,
        })
    }

    pub(crate) fn public_key(&self) -> PublicKey {
        self.state.key.public()
    }

    /// Appends `records`, all of them or none.
    pub(crate) fn append(&mut self, records: &[Record]) -> Result<(), AppendError> {
        self.write(records, None)
    }

    /// Appends a signed checkpoint.
    pub(crate) fn checkpoint(&mut self, why: &'static str) -> Result<(), AppendError> {
        self.write(&[], Some(why))
    }

    /// When something is to be done although there are no records; `None`: never.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.unsigned_since.map(|since| since + CHECKPOINT_PAUSE)
    }

    fn write(
        &mut self,
        records: &[Record],
        checkpoint: Option<&'static str>,
    ) -> Result<(), AppendError> {
        let _locked = self.state.lock()?;
        let notes = self.catch_up()?;
        if self.must_rotate() {
            let mut batch = Batch::after(self.last);
            notes.iter().for_each(|note| batch.push(note));
            batch.push_checkpoint("rotation", &self.state);
            self.put(&batch)?;
            self.signed();
            self.rotate()?;
            return self.put_records(&[], records, checkpoint);
        }
        self.put_records(&notes, records, checkpoint)
    }

    fn put_records(
        &mut self,
        notes: &[Record],
        records: &[Record],
        checkpoint: Option<&'static str>,
    ) -> Result<(), AppendError> {
        let mut batch = Batch::after(self.last);
        notes.iter().chain(records).for_each(|record| batch.push(record));
        let is_late = self.unsigned_since.is_some_and(|since| since.elapsed() >= CHECKPOINT_PAUSE);
        let is_full = self.unsigned + batch.count >= CHECKPOINT_RECORDS;
        let why = checkpoint.or((is_late || is_full).then_some("interval"));
        if let Some(why) = why {
            batch.push_checkpoint(why, &self.state);
        }
        if batch.count == 0 {
            return Ok(());
        }
        self.put(&batch)?;
        match why {
            Some(_) => self.signed(),
            None => {
                self.unsigned += batch.count;
                self.unsigned_since.get_or_insert_with(Instant::now);
            }
        }
        Ok(())
    }

    fn signed(&mut self) {
        self.unsigned = 0;
        self.unsigned_since = None;
    }

    /// Brings lines to the disk, then to the other targets, then the head behind them.
    fn put(&mut self, batch: &Batch) -> Result<(), AppendError> {
        let has_file = self.file.is_some();
        if let Some(file) = &mut self.file {
            file.append(&batch.lines).inspect_err(|_| self.is_stale = true)?;
        }
        let others = self.put_to_others(&batch.lines);
        match others {
            Err(source) if !has_file => return Err(source.into()),
            Err(error) if !self.others_fail => {
                tracing::error!(%error, "audit: only the file has all records");
                self.others_fail = true;
            }
            Err(_) => {}
            Ok(()) => self.others_fail = false,
        }
        self.last = batch.last;
        self.put_head().map_err(|source| AppendError { is_written: true, source })
    }

    fn put_to_others(&self, lines: &[u8]) -> io::Result<()> {
        if self.settings.targets.stdout {
            let mut stdout = io::stdout().lock();
            stdout.write_all(lines)?;
            stdout.flush()?;
        }
        self.journald.as_ref().map_or(Ok(()), |journald| journald.write(lines))
    }

    fn put_head(&mut self) -> io::Result<()> {
        let head = Head { last: self.last, oldest: self.oldest };
        // Until it is written nobody knows what it says.
        self.is_stale = true;
        self.state.set_head(&head)?;
        self.head = Some(head);
        self.is_stale = false;
        Ok(())
    }

    /// Learns what others wrote, and what a crash or somebody left behind; what is worth a record of its own.
    fn catch_up(&mut self) -> io::Result<Vec<Record>> {
        let head = self.state.head();
        let is_same = matches!(&head, Ok(head) if *head == self.head)
            && self.file.as_ref().is_none_or(LogFile::is_as_it_was);
        if is_same && !self.is_stale {
            return Ok(Vec::new());
        }
        let mut notes = Vec::new();
        let head = head.or_else(|error| match error.kind() {
            io::ErrorKind::InvalidData => {
                notes.push(Record::new("head-unreadable").result("failure"));
                Ok(None)
            }
            _ => Err(error),
        })?;
        let Some(path) = &self.settings.targets.file else {
            self.last = head.map_or(Place::START, |head| head.last);
            self.oldest = 1;
            self.head = head;
            self.is_stale = false;
            return Ok(notes);
        };
        let mut file = LogFile::open(path)?;
        #[cfg(test)]
        file.room.clone_from(&self.room);
        let tail = file.tail()?;
        self.last = join(head, &mut file, tail, &mut notes)?;
        let first_of_closed = row::closed(path)?.first().map(|(first, _)| *first);
        let first = first_of_closed.or(file.first().map(|(first, _)| first));
        self.oldest = head.map(|head| head.oldest).or(first).unwrap_or(1);
        self.file = Some(file);
        self.head = head;
        self.is_stale = false;
        Ok(notes)
    }

    fn must_rotate(&self) -> bool {
        let Rotation { size, age, .. } = self.settings.rotation;
        let Some((file, (_, began))) = self.file.as_ref().and_then(|f| Some((f, f.first()?)))
        else {
            return false;
        };
        let is_old = age.is_some_and(|age| {
            let now = jiff::Timestamp::try_from(SystemTime::now());
            now.is_ok_and(|now| now.duration_since(began).unsigned_abs() >= age && now > began)
        });
        is_old || size.is_some_and(|size| file.len() >= size)
    }

    /// Closes the file, whose last line is signed, and begins another one.
    fn rotate(&mut self) -> io::Result<()> {
        let Some(file) = self.file.take() else { return Ok(()) };
        self.is_stale = true;
        let path = file.path().to_owned();
        let first = file.first().map_or(self.oldest, |(first, _)| first);
        std::fs::rename(&path, row::closed_name(&path, first))?;
        #[cfg_attr(not(test), allow(unused_mut))]
        let mut fresh = LogFile::open(&path)?;
        #[cfg(test)]
        fresh.room.clone_from(&self.room);
        // Names are on the disk with the directory.
        if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
            std::fs::File::open(dir)?.sync_all()?;
        }
        self.file = Some(fresh);
        self.is_stale = false;
        self.remove_oldest(&path)
    }

    /// The head speaks of the oldest file before others go: after a crash between the two there are more
    /// files than it says, and never fewer.
    fn remove_oldest(&mut self, path: &std::path::Path) -> io::Result<()> {
        let Some(keep) = self.settings.rotation.keep else { return Ok(()) };
        let closed = row::closed(path)?;
        let Some(gone) = closed.len().checked_sub(keep).filter(|gone| *gone > 0) else {
            return Ok(());
        };
        self.oldest = closed.get(gone).map_or(self.last.seq + 1, |(first, _)| *first);
        self.put_head()?;
        closed[..gone].iter().try_for_each(|(_, path)| std::fs::remove_file(path))
    }
}

/// The line after which the log goes on.
fn join(
    head: Option<Head>,
    file: &mut LogFile,
    tail: Tail,
    notes: &mut Vec<Record>,
) -> io::Result<Place> {
    let is_empty = file.len() == 0;
    let mut is_broken = false;
    let last = match (head.map(|head| head.last), tail.last) {
        // A file is behind its head only if somebody cut it, or put another one in its place.
        (Some(head), Some(last)) if last.seq < head.seq || last.seq == head.seq && last != head => {
            is_broken = true;
            notes.push(
                Record::new("discontinuity")
                    .result("failure")
                    .with("head_seq", head.seq)
                    .with("file_seq", last.seq),
            );
            head
        }
        (None, Some(last)) => {
            notes.push(Record::new("head-missing").result("failure"));
            last
        }
        (Some(_), Some(last)) => last,
        // Closed a moment ago, or the log has no records yet.
        (head, None) if is_empty || tail.half == file.len() => head.unwrap_or(Place::START),
        (head, None) => {
            is_broken = true;
            notes.push(
                Record::new("discontinuity").result("failure").with("why", "not a line of a log"),
            );
            head.unwrap_or(Place::START)
        }
    };
    if tail.half > 0 {
        if !is_broken {
            // It never was a record: nobody was told that it was written.
            file.cut(tail.half)?;
            notes.push(Record::new("recovered").with("cut_bytes", tail.half));
        } else {
            // It stays as it is, as a line of its own.
            file.append(b"\n")?;
        }
    }
    Ok(last)
}

#[cfg(test)]
mod tests;
