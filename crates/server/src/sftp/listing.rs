//! An open directory: which of its entries were sent, and the batch that is read ahead of READDIR.
//!
//! Attributes take longest, one call for each entry. Of a long directory the next batch is read while the
//! last one is written to a packet and on its way: one batch, by one job, whatever the client asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::vec;

use sterna_storage::{Attrs, Dir, DirEntry, Result};

use crate::io_pool::IoPool;
use crate::limits::DIR_BATCH;

/// A directory that a client holds open.
pub(crate) struct OpenDir {
    /// As it was opened.
    pub(crate) path: Vec<u8>,
    /// Entries that did not fit the last packet. Nobody waits for this lock: the order of requests gives
    /// READDIR its handle alone.
    unsent: Mutex<vec::IntoIter<DirEntry>>,
    /// Whoever needs it waits while a batch is read ahead, as it would to read it.
    source: Mutex<Source>,
}

/// Where further entries come from.
struct Source {
    dir: Box<dyn Dir>,
    /// What was read ahead.
    ahead: Option<Vec<DirEntry>>,
    at_end: bool,
    /// It has more than one batch: reading ahead is worth its way to another thread.
    is_long: bool,
    /// A job is going to read ahead.
    is_asked: bool,
}

impl OpenDir {
    pub(crate) fn new(dir: Box<dyn Dir>, path: Vec<u8>) -> Self {
        let source = Source { dir, ahead: None, at_end: false, is_long: false, is_asked: false };
        Self { path, unsent: Mutex::default(), source: Mutex::new(source) }
    }

    pub(crate) fn stat(&self) -> Result<Attrs> {
        self.source().dir.stat()
    }

    pub(crate) fn sync(&self) -> Result<()> {
        self.source().dir.sync()
    }

    /// What is left of the last batch.
    pub(crate) fn unsent(&self) -> MutexGuard<'_, vec::IntoIter<DirEntry>> {
        // A job that panicked inside left a listing that is at worst behind by a batch.
        self.unsent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next entries, which may be none; `None` at the end. A job on `pool` reads those behind them.
    pub(crate) fn next_batch(self: &Arc<Self>, pool: &IoPool) -> Result<Option<Vec<DirEntry>>> {
        let mut source = self.source();
        let batch = match source.ahead.take() {
            Some(batch) => Some(batch),
            None => source.read()?,
        };
        let reads_ahead = source.is_long && !source.at_end && !source.is_asked;
        source.is_asked |= reads_ahead;
        source.is_long = true;
        drop(source);
        if reads_ahead {
            let dir = Arc::clone(self);
            pool.run(move || dir.read_ahead());
        }
        Ok(batch)
    }

    /// Reads a batch for later, unless there is one. Whoever needs it meets an error again.
    fn read_ahead(&self) {
        let mut source = self.source();
        source.is_asked = false;
        if source.ahead.is_none() {
            source.ahead = source.read().ok().flatten();
        }
    }

    fn source(&self) -> MutexGuard<'_, Source> {
        self.source.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Source {
    fn read(&mut self) -> Result<Option<Vec<DirEntry>>> {
        if self.at_end {
            return Ok(None);
        }
        let mut batch = Vec::with_capacity(DIR_BATCH);
        self.at_end = !self.dir.next_entries(DIR_BATCH, &mut batch)?;
        Ok(Some(batch))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use sterna_storage::{Backend, Error, Memory};

    use super::*;

    /// Batches of one entry, named by their number. Says which are read; after the last one fails once.
    struct Numbers {
        next: u8,
        len: u8,
        fails_at: Option<u8>,
        read: mpsc::Sender<u8>,
    }

    impl Dir for Numbers {
        fn next_entries(&mut self, _max: usize, entries: &mut Vec<DirEntry>) -> Result<bool> {
            if self.fails_at.take_if(|at| *at == self.next).is_some() {
                self.read.send(u8::MAX).unwrap();
                return Err(Error::unsupported("readdir"));
            }
            if self.next == self.len {
                return Ok(false);
            }
            entries.push(DirEntry { name: vec![self.next], attrs: attrs() });
            self.read.send(self.next).unwrap();
            self.next += 1;
            Ok(true)
        }

        fn stat(&self) -> Result<Attrs> {
            Ok(attrs())
        }
    }

    fn attrs() -> Attrs {
        Memory::new().stat(b"/", true).unwrap()
    }

    fn numbers(len: u8, fails_at: Option<u8>) -> (Arc<OpenDir>, mpsc::Receiver<u8>) {
        let (read, seen) = mpsc::channel();
        let dir = Numbers { next: 0, len, fails_at, read };
        (Arc::new(OpenDir::new(Box::new(dir), b"/d".to_vec())), seen)
    }

    /// With a pool of one thread.
    fn after_two_batches(fails_at: Option<u8>) -> (IoPool, Arc<OpenDir>, mpsc::Receiver<u8>) {
        let pool = IoPool::new(1);
        let (dir, seen) = numbers(9, fails_at);
        for _ in 0..2 {
            dir.next_batch(&pool).unwrap();
        }
        (pool, dir, seen)
    }

    fn names(batch: Option<Vec<DirEntry>>) -> Option<Vec<u8>> {
        batch.map(|batch| batch.into_iter().flat_map(|entry| entry.name).collect())
    }

    #[test]
    fn one_batch_is_read_ahead_of_the_second_and_all_come_in_order() {
        let pool = IoPool::new(2);
        let (dir, seen) = numbers(5, None);

        assert_eq!(names(dir.next_batch(&pool).unwrap()), Some(vec![0]));
        assert_eq!(seen.recv(), Ok(0));
        assert_eq!(names(dir.next_batch(&pool).unwrap()), Some(vec![1]));
        assert_eq!((seen.recv(), seen.recv()), (Ok(1), Ok(2)), "the third is read by itself");
        for number in 2..5 {
            assert_eq!(names(dir.next_batch(&pool).unwrap()), Some(vec![number]));
        }
        assert_eq!(names(dir.next_batch(&pool).unwrap()), Some(vec![]));

        assert!(dir.next_batch(&pool).unwrap().is_none());
        assert!(dir.next_batch(&pool).unwrap().is_none(), "the end stays the end");
    }

    #[test]
    fn no_more_than_one_batch_is_read_ahead() {
        let (pool, dir, seen) = after_two_batches(None);

        // The pool has one thread: behind this job, what was started is done.
        let (done, is_done) = mpsc::channel();
        pool.run(move || done.send(()).unwrap());
        is_done.recv().unwrap();
        dir.read_ahead();

        assert_eq!(seen.try_iter().collect::<Vec<_>>(), [0, 1, 2]);
    }

    #[test]
    fn a_closed_directory_is_let_go_of_with_what_was_read_ahead() {
        let (_pool, dir, seen) = after_two_batches(None);

        drop(dir);

        // Ends only when the directory is gone, which holds the sender.
        assert!(seen.iter().count() <= 3);
    }

    #[test]
    fn an_error_is_met_by_who_needs_the_batch() {
        let (pool, dir, seen) = after_two_batches(Some(2));
        // Read ahead it fails; it is read again, and then there is no reason to fail.
        assert_eq!(seen.iter().take(3).collect::<Vec<_>>(), [0, 1, u8::MAX]);
        assert_eq!(names(dir.next_batch(&pool).unwrap()), Some(vec![2]));

        let (dir, _seen) = numbers(9, Some(0));
        assert!(dir.next_batch(&pool).is_err());
    }
}
