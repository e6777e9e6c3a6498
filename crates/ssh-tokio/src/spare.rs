//! Memory of buffers between uses: each thread keeps some for the connections that it runs next.
//!
//! A connection holds memory only as long as bytes lie in it, mostly a part of one turn. So idle ones
//! hold none, and busy ones share what the thread has used last, which is still in its caches.

use std::cell::RefCell;

/// Small enough that everybody may have one, in bytes: before login connections get no others, since a
/// peer decides how long it makes us hold them.
const SMALL_LEN_MAX: usize = 16 * 1024;

/// Largest memory that is kept, in bytes.
const LARGE_LEN_MAX: usize = 512 * 1024;

/// Small and large ones that a thread keeps: one of each for input and for output, and some that come
/// back when slow peers have taken their bytes.
const SMALL_MAX: usize = 8;
const LARGE_MAX: usize = 4;

thread_local! {
    static SPARE: RefCell<Spare> = const { RefCell::new(Spare::new()) };
}

struct Spare {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
}

impl Spare {
    const fn new() -> Self {
        Self { small: Vec::new(), large: Vec::new() }
    }

    fn take(&mut self, large: bool) -> Option<Vec<u8>> {
        let found = if large { self.large.pop() } else { None };
        found.or_else(|| self.small.pop())
    }

    fn keep(&mut self, memory: Vec<u8>) {
        if memory.is_empty() || memory.len() > LARGE_LEN_MAX {
            return;
        }
        let (shelf, max) = match memory.len() <= SMALL_LEN_MAX {
            true => (&mut self.small, SMALL_MAX),
            false => (&mut self.large, LARGE_MAX),
        };
        if shelf.len() < max {
            shelf.push(memory);
        }
    }
}

/// Initialised bytes left over from earlier use, or none.
pub(crate) fn take(large: bool) -> Vec<u8> {
    // A thread that ends has nothing any more.
    let taken = SPARE.try_with(|spare| spare.borrow_mut().take(large));
    taken.ok().flatten().unwrap_or_default()
}

/// Keeps `memory` if there is room, else frees it.
pub(crate) fn keep(memory: Vec<u8>) {
    let _ = SPARE.try_with(|spare| spare.borrow_mut().keep(memory));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_not_logged_in_gets_small_memory_only() {
        let mut spare = Spare::new();
        spare.keep(vec![1; SMALL_LEN_MAX + 1]);
        assert_eq!(spare.take(false), None);
        spare.keep(vec![2; 100]);

        assert_eq!(spare.take(false), Some(vec![2; 100]));
        assert_eq!(spare.take(true), Some(vec![1; SMALL_LEN_MAX + 1]));
        assert_eq!(spare.take(true), None);
    }

    #[test]
    fn no_more_than_the_bounds_is_kept() {
        let mut spare = Spare::new();
        for len in [0, 1, SMALL_LEN_MAX, SMALL_LEN_MAX + 1, LARGE_LEN_MAX, LARGE_LEN_MAX + 1] {
            (0..10).for_each(|_| spare.keep(vec![0; len]));
        }

        assert_eq!((spare.small.len(), spare.large.len()), (SMALL_MAX, LARGE_MAX));
        let kept = spare.small.iter().chain(&spare.large);
        assert!(kept.clone().all(|memory| (1..=LARGE_LEN_MAX).contains(&memory.len())));
    }
}
