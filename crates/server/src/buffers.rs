//! Big buffers for file bytes, used again and again.
//!
//! A fresh buffer above 128 KiB costs page faults and page clearing each time, so the ones that
//! come back are kept, up to a bound. What is *in use* is bounded by the sessions, each for itself:
//! a global bound would let a few stalled readers stop everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::limits::BUFFER_LEN;

/// Up to here a fresh allocation costs less than a big buffer lying idle behind a slow reader.
const SMALL_LEN: usize = 32 * 1024;

/// Where big buffers come from and go back to. Clones share the store.
#[derive(Clone)]
pub struct BufferPool {
    kept: Receiver<Vec<u8>>,
    back: Sender<Vec<u8>>,
    in_use: Arc<AtomicUsize>,
}

impl BufferPool {
    /// A pool that keeps up to `kept_max` idle buffers of [`BUFFER_LEN`] bytes.
    pub fn new(kept_max: usize) -> Self {
        let (back, kept) = bounded(kept_max);
        Self { kept, back, in_use: Arc::new(AtomicUsize::new(0)) }
    }

    /// A buffer of at least `len` bytes; what they hold is left over from earlier use. One that is
    /// small is fresh, a big one goes back when it is dropped.
    pub fn take(&self, len: usize) -> Buffer {
        self.in_use.fetch_add(1, Ordering::Relaxed);
        let bytes = if len <= SMALL_LEN {
            vec![0; len]
        } else {
            let kept = self.kept.try_recv().ok().filter(|bytes| bytes.len() >= len);
            kept.unwrap_or_else(|| vec![0; len.max(BUFFER_LEN)])
        };
        Buffer { bytes, pool: self.clone() }
    }

    /// Buffers that are out at this moment.
    pub fn in_use(&self) -> usize {
        self.in_use.load(Ordering::Relaxed)
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
        self.pool.in_use.fetch_sub(1, Ordering::Relaxed);
        let bytes = std::mem::take(&mut self.bytes);
        // Others would make the store heavier, or less useful, than it says.
        if bytes.len() == BUFFER_LEN {
            // A full store drops it: that is the bound.
            let _ = self.pool.back.try_send(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn big_buffers_come_back_and_no_more_than_the_bound_are_kept() {
        let pool = BufferPool::new(2);
        let mut taken: Vec<_> = (0..3).map(|_| pool.take(BUFFER_LEN)).collect();
        taken.push(pool.take(10));
        assert_eq!(pool.in_use(), 4);

        taken.clear();

        assert_eq!(pool.in_use(), 0);
        assert_eq!(pool.kept.len(), 2);
        let again = pool.take(BUFFER_LEN);
        assert_eq!(again.len(), BUFFER_LEN);
        assert_eq!(pool.kept.len(), 1);
    }
}
