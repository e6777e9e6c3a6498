//! Large buffers that are used again: fresh ones above 128 KiB cost page faults each time.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

use crate::limits::{IO_LEN_MAX, POOL_BUFFERS_MAX};

/// Room for the largest DATA reply with its header.
const POOLED_CAPACITY: usize = IO_LEN_MAX as usize + 1024;

/// Below this a fresh allocation is cheaper than holding a large buffer.
const POOLED_FROM_LEN: usize = 16 << 10;

/// The buffers of one SFTP channel that wait for their next use.
#[derive(Clone, Debug, Default)]
pub(crate) struct BufferPool {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl BufferPool {
    /// An empty buffer for about `len` bytes; it may hold room for less if `len` is beyond what is
    /// pooled, so that a peer's word alone reserves nothing.
    pub(crate) fn take(&self, len: usize) -> Buffer {
        if len < POOLED_FROM_LEN {
            return Buffer { bytes: Vec::with_capacity(len), home: None };
        }
        Buffer { bytes: self.pop(), home: Some(self.clone()) }
    }

    /// The content of `bytes`. What is long is taken without a copy, and an empty buffer of this
    /// pool is left in its place.
    pub(crate) fn take_content(&self, bytes: &mut Vec<u8>) -> Buffer {
        if bytes.len() < POOLED_FROM_LEN {
            return Buffer { bytes: bytes.clone(), home: None };
        }
        Buffer { bytes: std::mem::replace(bytes, self.pop()), home: Some(self.clone()) }
    }

    /// `len` bytes that are left over from earlier use, to be read into: clearing them first would cost as
    /// much as reading them.
    pub(crate) fn take_filled(&self, len: usize) -> Buffer {
        if len < POOLED_FROM_LEN {
            return Buffer { bytes: vec![0; len], home: None };
        }
        let mut bytes = self.pop_filled();
        bytes.resize(len, 0);
        Buffer { bytes, home: Some(self.clone()) }
    }

    fn pop(&self) -> Vec<u8> {
        let mut bytes = self.pop_filled();
        bytes.clear();
        bytes
    }

    /// With whatever its last user left in it.
    fn pop_filled(&self) -> Vec<u8> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop();
        free.unwrap_or_else(|| Vec::with_capacity(POOLED_CAPACITY))
    }
}

/// Bytes that go back to their pool when dropped.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    home: Option<BufferPool>,
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Self {
        Self { bytes, home: None }
    }
}

impl Deref for Buffer {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.bytes
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let Some(home) = self.home.take() else { return };
        let bytes = std::mem::take(&mut self.bytes);
        // A buffer that a large reply has grown is not kept: the pool stays as large as it says.
        if bytes.capacity() < POOLED_CAPACITY || bytes.capacity() > 2 * POOLED_CAPACITY {
            return;
        }
        let mut free = home.free.lock().unwrap_or_else(PoisonError::into_inner);
        if free.len() < POOL_BUFFERS_MAX {
            free.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_buffer_comes_back_empty_and_is_the_same_memory() {
        let pool = BufferPool::default();
        let mut first = pool.take(100_000);
        first.extend_from_slice(b"abc");
        let place = first.as_ptr();
        drop(first);

        let second = pool.take(50_000);

        assert!(second.is_empty());
        assert_eq!(second.as_ptr(), place);
        assert_eq!(pool.take(10).capacity(), 10);
    }

    #[test]
    fn a_buffer_to_read_into_is_as_long_as_asked_and_not_cleared() {
        let pool = BufferPool::default();
        let mut first = pool.take(100_000);
        first.resize(50_000, 7);
        drop(first);

        let shorter = pool.take_filled(40_000);
        assert_eq!(shorter[..], [7; 40_000]);
        drop(shorter);
        let longer = pool.take_filled(60_000);

        assert_eq!((longer.len(), longer[39_999], longer[59_999]), (60_000, 7, 0));
        assert_eq!(pool.take_filled(10)[..], [0; 10]);
    }

    #[test]
    fn long_content_is_taken_without_a_copy_and_short_content_is_copied() {
        let pool = BufferPool::default();
        let (mut long, mut short) = (vec![1; 100_000], vec![2; 10]);
        let (long_at, short_at) = (long.as_ptr(), short.as_ptr());

        let (taken, copied) = (pool.take_content(&mut long), pool.take_content(&mut short));

        assert_eq!((taken.as_ptr(), taken.len()), (long_at, 100_000));
        assert!(long.is_empty() && long.capacity() >= POOLED_CAPACITY);
        assert_eq!((&copied[..], short.as_ptr()), (&[2; 10][..], short_at));
    }
}
