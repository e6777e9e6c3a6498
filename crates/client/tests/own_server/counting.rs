//! Counts what the client's threads allocate and copy: the system's allocator, and a `memcpy` of our own.
//!
//! Why this is sound: every call of the allocator goes to [`System`] with the arguments as they came, and its
//! answer goes back unchanged, so the contract of [`GlobalAlloc`] is the one that `System` keeps. `memcpy` is
//! the system's `memmove`, which does the same and allows overlap besides. Counting touches a thread-local flag
//! without a destructor and two atomics, and allocates nothing.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::ffi::c_void;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Copies below this are headers and the like, not pieces of a file.
const COPY_LEN_MIN: usize = 1024;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);
static COPIED: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COUNTS: Cell<bool> = const { Cell::new(false) };
}

/// From now on this thread counts. The server's threads do not.
pub fn count_this_thread() {
    COUNTS.set(true);
}

fn counts() -> bool {
    COUNTS.try_with(Cell::get).unwrap_or(false)
}

/// What all counting threads have done so far.
#[derive(Clone, Copy, Debug)]
pub struct Cost {
    /// Frees are not counted.
    pub allocations: usize,
    /// Bytes moved by copies of at least 1 KiB.
    pub copied: usize,
}

impl Cost {
    pub fn so_far() -> Self {
        Self {
            allocations: ALLOCATIONS.load(Ordering::Relaxed),
            copied: COPIED.load(Ordering::Relaxed),
        }
    }

    pub fn since(self, earlier: Self) -> Self {
        Self {
            allocations: self.allocations - earlier.allocations,
            copied: self.copied - earlier.copied,
        }
    }
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

impl Counting {
    fn count() {
        if counts() {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: see the head of this file.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        Self::count();
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        Self::count();
        unsafe { System.realloc(pointer, layout, len) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }
}

unsafe extern "C" {
    fn memmove(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void;
}

// SAFETY: see the head of this file. The linker takes this one for every call in this program that is not inlined.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut c_void, from: *const c_void, len: usize) -> *mut c_void {
    if len >= COPY_LEN_MIN && counts() {
        COPIED.fetch_add(len, Ordering::Relaxed);
    }
    unsafe { memmove(to, from, len) }
}
