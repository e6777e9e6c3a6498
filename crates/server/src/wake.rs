//! One waker that a task leaves for other threads, and a way to wait without a runtime.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Wake, Waker};
use std::thread::{self, Thread};

/// Holds the waker of the task that waits. The lock is held for a clone and never across a call;
/// it is taken once per poll and once per finished job, not per packet.
#[derive(Default)]
pub(crate) struct WakeCell(Mutex<Option<Waker>>);

impl WakeCell {
    /// The waker for the next [`WakeCell::wake`]. Register first, then look for results: then none
    /// can be missed.
    pub(crate) fn register(&self, waker: &Waker) {
        let mut cell = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match &*cell {
            Some(old) if old.will_wake(waker) => {}
            _ => *cell = Some(waker.clone()),
        }
    }

    pub(crate) fn wake(&self) {
        let waker = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Wakes a thread that parks.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A waker for the current thread, which then waits with [`thread::park`].
pub(crate) fn thread_waker() -> Waker {
    Waker::from(Arc::new(Unpark(thread::current())))
}

/// Waits for `future` on this thread.
#[cfg(test)]
pub(crate) fn block_on<F: std::future::Future>(future: F) -> F::Output {
    use std::task::{Context, Poll};
    let waker = thread_waker();
    let mut cx = Context::from_waker(&waker);
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut cx) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
