//! The hash of a file while its bytes pass, so that nothing is read again at the end.
//!
//! Bytes that come in their order are hashed where they are, by whichever thread has them. What did
//! not come by (parts that are kept, bytes that overtook others) is read from the file: it is in the
//! page cache then. One hash is computed by one thread at a time; nobody waits for it but
//! [`Passing::finish`].

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::hash::{HashAlgorithm, Hasher};
use super::local;
use crate::Error;
use crate::limits::{HASH_LAG_LEN, HASH_MARKS_MAX, HASH_STEP_LEN, JOURNAL_STEP_LEN};

/// See the module. Dropping it ends what still runs for it.
pub(super) struct Passing {
    shared: Arc<Shared>,
}

/// What the threads that move bytes hold of it.
#[derive(Clone)]
pub(super) struct Passer(Arc<Shared>);

struct Shared {
    algorithm: HashAlgorithm,
    file: Arc<OwnedFd>,
    state: Mutex<State>,
    /// The hasher is back, or there was an error.
    returned: Notify,
    stopped: AtomicBool,
}

/// The hash of the first `len` bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) len: u64,
    pub(super) algorithm: HashAlgorithm,
    pub(super) hash: Vec<u8>,
}

struct State {
    /// `None` while a thread works with it.
    hasher: Option<Hasher>,
    /// Bytes that are hashed.
    at: u64,
    /// What the hash was on the way, every [`JOURNAL_STEP_LEN`] bytes; the oldest go first.
    marks: VecDeque<Mark>,
    marked_at: u64,
    /// Bytes that may be read from the file.
    readable: u64,
    error: Option<io::Error>,
}

impl Passing {
    /// The hash of all of `file`, which is open for reading.
    pub(super) fn new(algorithm: impl Into<HashAlgorithm>, file: Arc<OwnedFd>) -> Self {
        let algorithm = algorithm.into();
        let hasher = Some(Hasher::new(algorithm));
        let state =
            State { hasher, at: 0, marks: VecDeque::new(), marked_at: 0, readable: 0, error: None };
        let state = Mutex::new(state);
        let stopped = AtomicBool::new(false);
        let shared = Shared { algorithm, file, state, returned: Notify::new(), stopped };
        Self { shared: Arc::new(shared) }
    }

    pub(super) fn algorithm(&self) -> HashAlgorithm {
        self.shared.algorithm
    }

    pub(super) fn passer(&self) -> Passer {
        Passer(self.shared.clone())
    }

    /// The first `readable` bytes of the file are what they will be. If the hash is far behind them,
    /// it is brought on in the background.
    pub(super) fn follow(&self, readable: u64) {
        let mut state = self.shared.state();
        state.readable = state.readable.max(readable);
        if state.readable.saturating_sub(state.at) >= HASH_LAG_LEN {
            self.shared.catch_up(&mut state);
        }
    }

    /// The last hash on the way that covers no more than the first `len` bytes; each is given once.
    pub(super) fn mark_within(&self, len: u64) -> Option<Mark> {
        let mut state = self.shared.state();
        let mut last = None;
        while state.marks.front().is_some_and(|mark| mark.len <= len) {
            last = state.marks.pop_front();
        }
        last
    }

    /// The hash of the first `len` bytes, which are all there is.
    ///
    /// # Errors
    /// [`Error::Local`] if the file cannot be read.
    pub(super) async fn finish(self, len: u64) -> Result<Vec<u8>, Error> {
        Ok(self.at(len).await?.finish())
    }

    /// Waits until the first `len` bytes, which are what they will be, are hashed.
    ///
    /// # Errors
    /// As [`finish`](Self::finish).
    pub(super) async fn reach(&mut self, len: u64) -> Result<(), Error> {
        let hasher = self.at(len).await?;
        self.shared.state().hasher = Some(hasher);
        Ok(())
    }

    /// Takes the hasher when it has come to `len`.
    async fn at(&self, len: u64) -> Result<Hasher, Error> {
        loop {
            let returned = self.shared.returned.notified();
            {
                let mut state = self.shared.state();
                if let Some(error) = state.error.take() {
                    return Err(Error::local("read back", "", error));
                }
                state.readable = len;
                if state.at >= len
                    && let Some(hasher) = state.hasher.take()
                {
                    return Ok(hasher);
                }
                self.shared.catch_up(&mut state);
            }
            returned.await;
        }
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }
}

impl Passer {
    /// Whether hashing takes so little time that the thread of a connection may do it.
    pub(super) fn is_quick(&self) -> bool {
        self.0.algorithm == HashAlgorithm::Xxh3
    }

    /// `data` stands at `offset`. It is hashed now if its turn is now; else it will be read later.
    /// Blocks as long as that takes.
    pub(super) fn pass(&self, offset: u64, data: &[u8]) {
        let mut hasher = {
            let mut state = self.0.state();
            if state.at != offset {
                return;
            }
            match state.hasher.take() {
                Some(hasher) => hasher,
                None => return,
            }
        };
        hasher.update(data);
        self.0.give_back(hasher, offset + data.len() as u64, None);
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads and hashes what is readable, unless somebody is at work already.
    fn catch_up(self: &Arc<Self>, state: &mut State) {
        let Some(mut hasher) = state.hasher.take() else { return };
        let (shared, mut at) = (self.clone(), state.at);
        tokio::task::spawn_blocking(move || {
            let mut buffer = Vec::new();
            let mut error = None;
            while !shared.stopped.load(Ordering::Relaxed) {
                let left = shared.state().readable.saturating_sub(at);
                if left == 0 {
                    break;
                }
                buffer.clear();
                let len = HASH_STEP_LEN.min(usize::try_from(left).unwrap_or(usize::MAX));
                if let Err(failed) = local::read_at(&shared.file, &mut buffer, at, len) {
                    error = Some(failed);
                    break;
                }
                if buffer.is_empty() {
                    // It became shorter: said as an error, or `finish` would wait for ever.
                    error = Some(io::ErrorKind::UnexpectedEof.into());
                    break;
                }
                hasher.update(&buffer);
                at += buffer.len() as u64;
                shared.state().mark(shared.algorithm, &hasher, at);
            }
            shared.give_back(hasher, at, error);
        });
    }

    fn give_back(&self, hasher: Hasher, at: u64, error: Option<io::Error>) {
        {
            let mut state = self.state();
            state.mark(self.algorithm, &hasher, at);
            state.hasher = Some(hasher);
            state.at = at;
            state.error = state.error.take().or(error);
        }
        self.returned.notify_waiters();
    }
}

impl State {
    /// Notes what the hash is at `at`, if the last note is far enough behind.
    fn mark(&mut self, algorithm: HashAlgorithm, hasher: &Hasher, at: u64) {
        if at < self.marked_at + JOURNAL_STEP_LEN {
            return;
        }
        self.marked_at = at;
        if self.marks.len() == HASH_MARKS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back(Mark { len: at, algorithm, hash: hasher.clone().finish() });
    }
}

#[cfg(test)]
mod tests {
    use sterna_ssh_crypto::{DigestAlgorithm, Digester};

    use super::*;
    use std::io::Write;

    fn file(content: &[u8]) -> Arc<OwnedFd> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        Arc::new(file.into())
    }

    fn digest(content: &[u8]) -> Vec<u8> {
        let mut digester = Digester::new(DigestAlgorithm::Blake3);
        digester.update(content);
        digester.finish()
    }

    fn content(len: usize) -> Vec<u8> {
        (0..len).map(|n| (n / 251 + n) as u8).collect()
    }

    #[tokio::test]
    async fn bytes_in_order_are_never_read() {
        let content = content(1_000_000);
        // Nothing could be read from it.
        let passing = Passing::new(DigestAlgorithm::Blake3, file(b""));
        let passer = passing.passer();
        for (n, chunk) in content.chunks(1000).enumerate() {
            passer.pass(n as u64 * 1000, chunk);
            passing.follow(n as u64 * 1000);
        }

        assert_eq!(passing.finish(1_000_000).await.unwrap(), digest(&content));
    }

    #[tokio::test]
    async fn bytes_that_did_not_pass_in_order_are_read() {
        let content = content(3 * HASH_LAG_LEN as usize);
        let passing = Passing::new(DigestAlgorithm::Blake3, file(&content));
        let passer = passing.passer();
        passer.pass(0, &content[..5]);
        passer.pass(500, &content[500..900]);
        passing.follow(2 * HASH_LAG_LEN);
        passer.pass(5, &content[5..70]);

        assert_eq!(passing.finish(content.len() as u64).await.unwrap(), digest(&content));
    }

    #[tokio::test]
    async fn the_digest_on_the_way_is_that_of_the_bytes_before_it() {
        let step = JOURNAL_STEP_LEN as usize;
        let content = content(3 * step);
        let passing = Passing::new(DigestAlgorithm::Blake3, file(&content));
        let passer = passing.passer();
        for (n, chunk) in content.chunks(step / 2).enumerate() {
            passer.pass((n * step / 2) as u64, chunk);
        }

        assert_eq!(passing.mark_within(JOURNAL_STEP_LEN - 1), None);
        let mark = passing.mark_within(3 * JOURNAL_STEP_LEN - 1).unwrap();
        assert_eq!((mark.len, mark.hash), (2 * JOURNAL_STEP_LEN, digest(&content[..2 * step])));
        assert_eq!(passing.mark_within(2 * JOURNAL_STEP_LEN), None, "each is given once");
    }

    #[tokio::test]
    async fn a_file_that_became_shorter_is_an_error_and_not_a_wait() {
        let passing = Passing::new(DigestAlgorithm::Blake3, file(b"short"));

        let error = passing.finish(6).await.unwrap_err();

        assert!(matches!(error, Error::Local { .. }), "{error}");
    }

    #[tokio::test]
    async fn nothing_at_all_has_a_digest_too() {
        let passing = Passing::new(DigestAlgorithm::Blake3, file(b""));

        assert_eq!(passing.finish(0).await.unwrap(), digest(b""));
    }
}
