//! Positive answers, kept for a short time.
//!
//! What was asked is kept as a hash under a key of this process only: a password cannot be read here,
//! nor tried out on a copy of our memory's hashes by whoever lacks the key. Denials and failures are not
//! kept: whoever was added comes in at once.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use sterna_identity::hook::ExternalAnswer;
use sterna_ssh_crypto::{Random, SystemRandom};
use zeroize::Zeroizing;

use crate::limits::CACHE_ENTRIES_MAX;

/// What was asked, as a hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; blake3::OUT_LEN]);

pub(crate) struct Cache {
    life: Duration,
    secret: Zeroizing<[u8; blake3::KEY_LEN]>,
    entries: Mutex<HashMap<Key, Entry>>,
}

struct Entry {
    until: Instant,
    answer: ExternalAnswer,
}

impl Cache {
    /// A `life` of zero keeps nothing.
    pub(crate) fn new(life: Duration) -> Self {
        let mut secret = Zeroizing::new([0; blake3::KEY_LEN]);
        SystemRandom.fill(&mut *secret);
        Self { life, secret, entries: Mutex::default() }
    }

    /// The key for a question made of these parts; a part that is missing is not an empty one.
    pub(crate) fn key(&self, parts: &[Option<&[u8]>]) -> Key {
        let mut hasher = blake3::Hasher::new_keyed(&self.secret);
        for part in parts {
            // The length in front: no two lists of parts run together to the same bytes.
            hasher.update(&part.map_or(u64::MAX, |part| part.len() as u64).to_le_bytes());
            hasher.update(part.unwrap_or_default());
        }
        Key(*hasher.finalize().as_bytes())
    }

    pub(crate) fn get(&self, key: &Key, now: Instant) -> Option<ExternalAnswer> {
        let entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(key).filter(|entry| now < entry.until).map(|entry| entry.answer.clone())
    }

    /// Keeps `answer` unless it is a denial.
    pub(crate) fn put(&self, key: Key, answer: &ExternalAnswer, now: Instant) {
        if self.life.is_zero() || matches!(answer, ExternalAnswer::Deny) {
            return;
        }
        let Some(until) = now.checked_add(self.life) else { return };
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= CACHE_ENTRIES_MAX && !entries.contains_key(&key) {
            entries.retain(|_, entry| now < entry.until);
        }
        if entries.len() >= CACHE_ENTRIES_MAX && !entries.contains_key(&key) {
            // All live equally long: the one that ends first is the oldest.
            let oldest = entries.iter().min_by_key(|(_, entry)| entry.until).map(|(key, _)| *key);
            oldest.and_then(|oldest| entries.remove(&oldest));
        }
        entries.insert(key, Entry { until, answer: answer.clone() });
    }
}

/// Shows no key and no answer.
impl std::fmt::Debug for Cache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cache").field("life", &self.life).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use sterna_identity::User;

    use super::*;

    const LIFE: Duration = Duration::from_secs(30);

    fn allow() -> ExternalAnswer {
        ExternalAnswer::Allow(Arc::new(User::new("alice", "/srv")))
    }

    #[test]
    fn an_answer_holds_for_its_life_and_no_longer() {
        let (cache, now) = (Cache::new(LIFE), Instant::now());
        let key = cache.key(&[Some(b"alice")]);

        cache.put(key, &allow(), now);

        assert!(cache.get(&key, now + LIFE - Duration::from_nanos(1)).is_some());
        assert!(cache.get(&key, now + LIFE).is_none());
        assert!(cache.get(&cache.key(&[Some(b"bob")]), now).is_none());
    }

    #[test]
    fn denials_and_a_life_of_zero_are_not_kept() {
        let now = Instant::now();

        let cache = Cache::new(LIFE);
        let key = cache.key(&[]);
        cache.put(key, &ExternalAnswer::Deny, now);
        assert!(cache.get(&key, now).is_none());

        let cache = Cache::new(Duration::ZERO);
        let key = cache.key(&[]);
        cache.put(key, &allow(), now);
        assert!(cache.get(&key, now).is_none());
        assert_eq!(cache.entries.lock().unwrap().len(), 0);
    }

    #[test]
    fn a_full_cache_drops_what_is_over_and_then_the_oldest() {
        let (cache, start) = (Cache::new(LIFE), Instant::now());
        let key = |n: usize| cache.key(&[Some(&n.to_le_bytes())]);
        let at = |n: usize| start + Duration::from_millis(n as u64);
        for n in 0..CACHE_ENTRIES_MAX {
            cache.put(key(n), &allow(), at(n));
        }

        let now = at(CACHE_ENTRIES_MAX);
        cache.put(key(CACHE_ENTRIES_MAX), &allow(), now);
        assert_eq!(cache.entries.lock().unwrap().len(), CACHE_ENTRIES_MAX);
        assert!(cache.get(&key(0), now).is_none());
        assert!(cache.get(&key(1), now).is_some());
        assert!(cache.get(&key(CACHE_ENTRIES_MAX), now).is_some());

        // All but the last 24 are over by then.
        let later = at(CACHE_ENTRIES_MAX - 24) + LIFE;
        cache.put(key(usize::MAX), &allow(), later);
        assert_eq!(cache.entries.lock().unwrap().len(), 25);
    }

    #[test]
    fn parts_do_not_run_together_and_each_process_has_its_own_key() {
        let cache = Cache::new(LIFE);
        let lists: [&[Option<&[u8]>]; 6] = [
            &[Some(b"ab"), Some(b"c")],
            &[Some(b"a"), Some(b"bc")],
            &[Some(b"abc")],
            &[Some(b"abc"), None],
            &[Some(b"abc"), Some(b"")],
            &[None, Some(b"abc")],
        ];

        let keys: std::collections::HashSet<_> = lists.iter().map(|l| cache.key(l)).collect();
        assert_eq!(keys.len(), lists.len());
        assert_ne!(cache.key(lists[0]), Cache::new(LIFE).key(lists[0]));
    }

    #[test]
    fn debug_shows_no_answer() {
        let cache = Cache::new(LIFE);
        cache.put(cache.key(&[]), &allow(), Instant::now());

        assert_eq!(format!("{cache:?}"), "Cache { life: 30s, .. }");
    }
}
