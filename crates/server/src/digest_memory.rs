//! Digests of whole files that were computed before, for as long as the files stay as they were.
//!
//! A file is what it was if device, inode, size, time of modification and time of change are. They tell of a
//! change late, or never:
//!
//! - The kernel's times move in steps, so a file that was changed just before might change again and keep them.
//! - A program that writes through a mapping of the file changes its times with the first write to a page,
//!   and not with the next ones until the kernel has written that page back.
//! - On file systems in memory no page is ever written back.
//!
//! So a file must have been left alone for a while before it was hashed, and be where times tell of changes
//! at all; else its digest is not remembered.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sterna_ssh_crypto::DigestAlgorithm;
use sterna_storage::{Attrs, Time};

use crate::limits::DIGESTS_REMEMBERED_MAX;

/// Seconds that a file must have been left alone before it is hashed. Linux writes a page back when it has
/// been dirty for 30 seconds (`vm.dirty_expire_centisecs`) and it comes by, every 5: several times that. The
/// coarsest steps of times in file systems in use are 2 seconds (FAT).
const SETTLED_S: i64 = 120;

/// The digests that were asked for last. Clones share them.
#[derive(Clone, Default)]
pub struct DigestMemory {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    digests: HashMap<Key, Remembered>,
    /// Keys by the turn of their last use, the oldest first.
    by_use: BTreeMap<u64, Key>,
    turn: u64,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    algorithm: DigestAlgorithm,
    id: (u64, u64),
}

struct Remembered {
    state: State,
    digest: Vec<u8>,
    turn: u64,
}

/// What tells whether a file is as it was.
#[derive(Clone, Copy, PartialEq, Eq)]
struct State {
    size: u64,
    modified: Time,
    changed: Time,
}

impl State {
    fn of(attrs: &Attrs) -> Self {
        Self { size: attrs.size, modified: attrs.modified, changed: attrs.changed }
    }
}

impl DigestMemory {
    /// The digest of the file that has these attributes now.
    pub(crate) fn find(&self, algorithm: DigestAlgorithm, now: &Attrs) -> Option<Vec<u8>> {
        let key = Key { algorithm, id: now.id };
        let mut inner = self.inner();
        let inner = &mut *inner;
        let found = inner.digests.get_mut(&key)?;
        if found.state != State::of(now) {
            let turn = found.turn;
            inner.by_use.remove(&turn);
            inner.digests.remove(&key);
            return None;
        }
        inner.by_use.remove(&found.turn);
        inner.turn += 1;
        found.turn = inner.turn;
        inner.by_use.insert(inner.turn, key);
        Some(found.digest.clone())
    }

    /// Whether no digest is known at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.inner().digests.is_empty()
    }

    /// A digest of the file that has these attributes now, by any algorithm.
    pub(crate) fn find_any(&self, now: &Attrs) -> Option<(DigestAlgorithm, Vec<u8>)> {
        let all = DigestAlgorithm::ALL.iter();
        all.filter_map(|one| Some((*one, self.find(*one, now)?))).next()
    }

    /// Remembers the digest of a file that had the attributes `before` and `after` hashing it, which
    /// began at `began`; unless it may have changed without a trace.
    pub(crate) fn remember(
        &self,
        algorithm: DigestAlgorithm,
        before: &Attrs,
        after: &Attrs,
        began: Time,
        digest: &[u8],
    ) {
        let settled = |time: Time| time.seconds.saturating_add(SETTLED_S) < began.seconds;
        let same = before.id == after.id && State::of(before) == State::of(after);
        if !same || after.id == (0, 0) || !settled(after.modified) || !settled(after.changed) {
            return;
        }
        let key = Key { algorithm, id: after.id };
        let mut inner = self.inner();
        inner.turn += 1;
        let turn = inner.turn;
        let new = Remembered { state: State::of(after), digest: digest.to_vec(), turn };
        if let Some(old) = inner.digests.insert(key.clone(), new) {
            inner.by_use.remove(&old.turn);
        }
        inner.by_use.insert(turn, key);
        if inner.digests.len() > DIGESTS_REMEMBERED_MAX
            && let Some((_, oldest)) = inner.by_use.pop_first()
        {
            inner.digests.remove(&oldest);
        }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // Both maps change together or not at all.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sterna_storage::FileKind;

    const NOW: Time = Time { seconds: 1021, nanos: 0 };

    fn file(inode: u64) -> Attrs {
        let time = Time { seconds: 900, nanos: 5 };
        Attrs {
            kind: FileKind::Regular,
            size: 10,
            mode: 0o644,
            uid: 0,
            gid: 0,
            accessed: time,
            modified: time,
            changed: time,
            links: 1,
            id: (1, inode),
        }
    }

    fn remembering(before: &Attrs, after: &Attrs) -> DigestMemory {
        let memory = DigestMemory::default();
        memory.remember(DigestAlgorithm::Md5, before, after, NOW, b"digest");
        memory
    }

    #[test]
    fn a_file_that_is_as_it_was_has_the_digest_that_it_had() {
        let file = file(1);
        let memory = remembering(&file, &file);

        assert_eq!(memory.find(DigestAlgorithm::Md5, &file).as_deref(), Some(&b"digest"[..]));
        assert_eq!(memory.find(DigestAlgorithm::Sha256, &file), None);
        let read = Attrs { accessed: NOW, ..file };
        assert!(memory.find(DigestAlgorithm::Md5, &read).is_some(), "reading changes nothing");
    }

    #[test]
    fn any_change_makes_it_another_file() {
        let old = file(1);
        let later = Time { seconds: 900, nanos: 6 };
        for new in [
            Attrs { size: 11, ..old },
            Attrs { modified: later, ..old },
            // Content written and the old time of modification set again.
            Attrs { changed: later, ..old },
            Attrs { id: (1, 2), ..old },
            Attrs { id: (2, 1), ..old },
        ] {
            assert_eq!(remembering(&old, &old).find(DigestAlgorithm::Md5, &new), None, "{new:?}");
            assert_eq!(remembering(&old, &new).find(DigestAlgorithm::Md5, &new), None, "{new:?}");
        }
    }

    #[test]
    fn what_changed_just_before_is_not_remembered() {
        for seconds in [901, 1000, 1021, 5000] {
            let time = Time { seconds, nanos: 0 };
            for fresh in [Attrs { modified: time, ..file(1) }, Attrs { changed: time, ..file(1) }] {
                let memory = remembering(&fresh, &fresh);
                assert_eq!(memory.find(DigestAlgorithm::Md5, &fresh), None, "{seconds}");
            }
        }
        let unknown = Attrs { id: (0, 0), ..file(1) };
        assert_eq!(remembering(&unknown, &unknown).find(DigestAlgorithm::Md5, &unknown), None);
    }

    #[test]
    fn the_memory_is_bounded_and_forgets_what_was_not_asked_for_longest() {
        let memory = DigestMemory::default();
        let all = DIGESTS_REMEMBERED_MAX as u64;
        for inode in 1..=all {
            let file = file(inode);
            memory.remember(DigestAlgorithm::Md5, &file, &file, NOW, b"digest");
        }
        assert!(memory.find(DigestAlgorithm::Md5, &file(1)).is_some());

        let one_more = file(all + 1);
        memory.remember(DigestAlgorithm::Md5, &one_more, &one_more, NOW, b"digest");

        assert!(memory.find(DigestAlgorithm::Md5, &file(1)).is_some());
        assert!(memory.find(DigestAlgorithm::Md5, &file(2)).is_none());
        assert!(memory.find(DigestAlgorithm::Md5, &one_more).is_some());
        let inner = memory.inner();
        assert_eq!((inner.digests.len(), inner.by_use.len()), (all as usize, all as usize));
    }
}
