//! The system's allocator, counting.
//!
//! Why this is sound: every call goes to [`System`] with the arguments as they came, and its answer
//! goes back unchanged, so the contract of [`GlobalAlloc`] is the one that `System` keeps. Counting
//! touches three atomics and allocates nothing.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

/// What was allocated so far by all threads; frees are not taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    pub allocations: usize,
    pub bytes: usize,
}

impl std::ops::Sub for Cost {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            allocations: self.allocations - earlier.allocations,
            bytes: self.bytes - earlier.bytes,
        }
    }
}

pub struct Counting {
    allocations: AtomicUsize,
    bytes: AtomicUsize,
    freed: AtomicUsize,
}

impl Counting {
    pub const fn new() -> Self {
        Self {
            allocations: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            freed: AtomicUsize::new(0),
        }
    }

    pub fn cost(&self) -> Cost {
        Cost {
            allocations: self.allocations.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
        }
    }

    /// Bytes that are allocated at this moment.
    pub fn held(&self) -> usize {
        // In this order: what is freed was counted before.
        let freed = self.freed.load(Ordering::SeqCst);
        self.bytes.load(Ordering::SeqCst) - freed
    }

    fn count(&self, len: usize) {
        self.allocations.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(len, Ordering::Relaxed);
    }
}

// SAFETY: see the head of this file.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        self.count(layout.size());
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        self.freed.fetch_add(layout.size(), Ordering::Relaxed);
        self.count(len);
        unsafe { System.realloc(pointer, layout, len) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        self.freed.fetch_add(layout.size(), Ordering::Relaxed);
        unsafe { System.dealloc(pointer, layout) }
    }
}
