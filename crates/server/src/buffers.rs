//! Buffers for file bytes, used again and again: memory of READs, and of frames that hold WRITEs.
//!
//! A fresh buffer above 128 KiB costs page faults and page clearing each time, so the ones that
//! come back are kept, up to a bound, in two sizes. What is *in use* is bounded by the sessions, each
//! for itself: a global bound would let a few stalled readers stop everybody. An idle session holds
//! none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::limits::{BLOCK_BUFFER_LEN, BLOCK_BUFFERS_PER_BIG, BUFFER_LEN};

/// Up to this many bytes memory is fresh: that costs little, while a whole buffer behind each of many
/// small requests would make them heavier than they look.
const FRESH_LEN_MAX: usize = BLOCK_BUFFER_LEN / 2;

/// Where buffers come from and go back to. Clones share the store.
#[derive(Clone)]
pub struct BufferPool(Arc<Inner>);

struct Inner {
    /// Of [`BLOCK_BUFFER_LEN`] and of [`BUFFER_LEN`] bytes.
    shelves: [Shelf; 2],
    in_use: AtomicUsize,
}

/// Idle buffers of one size. What their bytes are nobody knows; how many of them are initialised is
/// the length of each.
struct Shelf {
    len: usize,
    kept: Receiver<Vec<u8>>,
    back: Sender<Vec<u8>>,
}

impl BufferPool {
    /// A pool that keeps up to `kept_max` idle buffers of [`BUFFER_LEN`] bytes, and up to
    /// [`BLOCK_BUFFERS_PER_BIG`] small ones for each of them.
    pub fn new(kept_max: usize) -> Self {
        let shelf = |len, kept_max| {
            let (back, kept) = bounded(kept_max);
            Shelf { len, kept, back }
        };
        Self(Arc::new(Inner {
            shelves: [
                shelf(BLOCK_BUFFER_LEN, kept_max * BLOCK_BUFFERS_PER_BIG),
                shelf(BUFFER_LEN, kept_max),
            ],
            in_use: AtomicUsize::new(0),
        }))
    }

    /// A buffer of at least `len` bytes; what they hold is left over from earlier use. It goes back
    /// when it is dropped.
    pub fn take(&self, len: usize) -> Buffer {
        self.0.in_use.fetch_add(1, Ordering::Relaxed);
        let mut bytes = self.take_empty(len);
        // Clears only what was never used.
        bytes.resize(bytes.capacity(), 0);
        Buffer { bytes, pool: self.clone() }
    }

    /// Buffers that are out at this moment, those of [`BufferPool::take_empty`] not counted.
    pub fn in_use(&self) -> usize {
        self.0.in_use.load(Ordering::Relaxed)
    }

    /// Memory for `len` bytes, with any content. It is the caller's: [`BufferPool::give_back`] keeps
    /// it for others, and nothing is lost if it is just dropped.
    pub(crate) fn take_empty(&self, len: usize) -> Vec<u8> {
        match self.0.shelves.iter().find(|shelf| len <= shelf.len) {
            Some(shelf) if len > FRESH_LEN_MAX => {
                shelf.kept.try_recv().unwrap_or_else(|_| Vec::with_capacity(shelf.len))
            }
            Some(_) | None => Vec::with_capacity(len),
        }
    }

    /// Keeps `bytes` if it came from here and there is room.
    pub(crate) fn give_back(&self, bytes: Vec<u8>) {
        // Others would make the store heavier, or less useful, than it says.
        if let Some(shelf) = self.0.shelves.iter().find(|shelf| bytes.capacity() == shelf.len) {
            // A full store drops it: that is the bound.
            let _ = shelf.back.try_send(bytes);
        }
    }
}

/// A buffer on loan.
pub struct Buffer {
    bytes: Vec<u8>,
    pool: BufferPool,
}

impl std::ops::Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl std::ops::DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.pool.0.in_use.fetch_sub(1, Ordering::Relaxed);
        self.pool.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(pool: &BufferPool) -> [usize; 2] {
        [pool.0.shelves[0].kept.len(), pool.0.shelves[1].kept.len()]
    }

    #[test]
    fn buffers_come_back_and_no_more_than_the_bound_are_kept() {
        let pool = BufferPool::new(2);
        let mut taken: Vec<_> = (0..3).map(|_| pool.take(BUFFER_LEN)).collect();
        taken.push(pool.take(32 * 1024));
        taken.push(pool.take(10));
        assert_eq!(pool.in_use(), 5);

        taken.clear();

        assert_eq!(pool.in_use(), 0);
        assert_eq!(kept(&pool), [1, 2]);
        let again = pool.take(BUFFER_LEN);
        assert_eq!(again.len(), BUFFER_LEN);
        assert_eq!(kept(&pool), [1, 1]);
    }

    #[test]
    fn memory_of_another_size_is_not_kept() {
        let pool = BufferPool::new(2);

        pool.give_back(Vec::with_capacity(BLOCK_BUFFER_LEN + 1));
        drop(pool.take(BUFFER_LEN + 1));

        assert_eq!(kept(&pool), [0, 0]);
    }

    #[test]
    fn what_a_frame_left_is_whole_again_for_a_read() {
        let pool = BufferPool::new(2);
        let mut frame = pool.take_empty(BLOCK_BUFFER_LEN);
        frame.clear();
        frame.extend_from_slice(b"frame");
        pool.give_back(frame);

        let buffer = pool.take(BLOCK_BUFFER_LEN);

        assert_eq!(kept(&pool), [0, 0]);
        assert_eq!(buffer.len(), BLOCK_BUFFER_LEN);
        assert_eq!(&buffer[..7], b"frame\0\0");
    }
}
