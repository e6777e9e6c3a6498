//! What moved through one open file: counted by whoever moves it, read by whoever asks.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use sterna_ssh_tokio::now;

/// One open file of a client.
pub(crate) struct FileMoves {
    /// As it was opened; the name may have gone since.
    pub(crate) path: Vec<u8>,
    pub(crate) began: Instant,
    /// By the client, from the file.
    pub(crate) read: Span,
    /// By the client, to the file.
    pub(crate) written: Span,
    /// A READ or a WRITE was answered with an error.
    failed: AtomicBool,
    digest: Mutex<Option<Digest>>,
}

/// A digest of the whole file that was computed through its handle.
struct Digest {
    algorithm: &'static str,
    digest: Vec<u8>,
    /// Bytes that had been written when it was computed.
    written: u64,
}

/// Bytes that moved in one direction, and the range of the file that they touched.
#[derive(Debug)]
pub(crate) struct Span {
    bytes: AtomicU64,
    from: AtomicU64,
    to: AtomicU64,
}

impl Default for Span {
    fn default() -> Self {
        Self { bytes: AtomicU64::new(0), from: AtomicU64::new(u64::MAX), to: AtomicU64::new(0) }
    }
}

impl Span {
    /// `len` bytes at `offset` moved.
    pub(crate) fn add(&self, offset: u64, len: usize) {
        let end = offset.saturating_add(len as u64);
        self.bytes.fetch_add(len as u64, Ordering::Relaxed);
        // Mostly it has been there already, and a look costs less than a change.
        if offset < self.from.load(Ordering::Relaxed) {
            self.from.fetch_min(offset, Ordering::Relaxed);
        }
        if end > self.to.load(Ordering::Relaxed) {
            self.to.fetch_max(end, Ordering::Relaxed);
        }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The first byte that was touched and the one behind the last; `None` if nothing moved.
    pub(crate) fn range(&self) -> Option<(u64, u64)> {
        let (from, to) = (self.from.load(Ordering::Relaxed), self.to.load(Ordering::Relaxed));
        (self.bytes() > 0).then_some((from, to))
    }
}

impl FileMoves {
    pub(crate) fn new(path: Vec<u8>) -> Self {
        Self {
            path,
            began: now(),
            read: Span::default(),
            written: Span::default(),
            failed: AtomicBool::new(false),
            digest: Mutex::new(None),
        }
    }

    /// The client was told that a READ or a WRITE failed.
    pub(crate) fn fail(&self) {
        self.failed.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.failed.load(Ordering::Relaxed)
    }

    /// Keeps a digest of the whole file as it is now.
    pub(crate) fn keep_digest(&self, algorithm: &'static str, digest: &[u8]) {
        let written = self.written.bytes();
        let kept = Digest { algorithm, digest: digest.to_vec(), written };
        *self.digest.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
    }

    /// `ALGORITHM:HEX` of the whole file, if it was computed after the last byte was written.
    pub(crate) fn digest(&self) -> Option<String> {
        let kept = self.digest.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = kept.as_ref().filter(|kept| kept.written == self.written.bytes())?;
        Some(digest_text(kept.algorithm, &kept.digest))
    }
}

/// `ALGORITHM:HEX`.
pub(crate) fn digest_text(algorithm: &str, digest: &[u8]) -> String {
    format!("{algorithm}:{}", hex::encode(digest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_holds_everything_that_moved() {
        let span = Span::default();
        assert_eq!(span.range(), None);

        for (offset, len) in [(100, 50), (0, 10), (120, 10), (u64::MAX - 1, 0)] {
            span.add(offset, len);
        }

        assert_eq!((span.bytes(), span.range()), (70, Some((0, u64::MAX - 1))));
    }

    #[test]
    fn a_digest_is_of_what_was_written_before_it() {
        let moves = FileMoves::new(b"/f".to_vec());
        moves.written.add(0, 3);
        moves.keep_digest("sha256", &[0xab, 0x01]);
        assert_eq!(moves.digest().as_deref(), Some("sha256:ab01"));

        moves.written.add(3, 1);

        assert_eq!(moves.digest(), None);
    }
}
