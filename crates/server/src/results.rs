//! A queue for results on their way from the threads of a pool to the task that waits for them.
//!
//! A plain list behind a lock, which is held for one push or pop. A connection has several of them, most of
//! them empty at most times; a channel costs a few hundred bytes before anything is in it, and has room
//! for 31 results from the first one on.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

/// Takes results in.
pub(crate) struct Sender<T>(Weak<Queue<T>>);

/// Gives them out, in their order.
pub(crate) struct Receiver<T>(Arc<Queue<T>>);

struct Queue<T>(Mutex<VecDeque<T>>);

impl<T> Queue<T> {
    fn lock(&self) -> MutexGuard<'_, VecDeque<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Nobody waits for results any more: this one comes back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unwanted<T>(pub(crate) T);

/// Nothing has come.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Empty;

/// A queue without a bound of its own: who starts the work bounds it.
pub(crate) fn unbounded<T>() -> (Sender<T>, Receiver<T>) {
    let queue = Arc::new(Queue(Mutex::new(VecDeque::new())));
    (Sender(Arc::downgrade(&queue)), Receiver(queue))
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Sender<T> {
    pub(crate) fn send(&self, result: T) -> Result<(), Unwanted<T>> {
        let Some(queue) = self.0.upgrade() else { return Err(Unwanted(result)) };
        let mut results = queue.lock();
        if results.capacity() == 0 {
            // Some have one job at a time, and the first room of a list is for four.
            results.reserve_exact(1);
        }
        results.push_back(result);
        Ok(())
    }
}

impl<T> Receiver<T> {
    pub(crate) fn try_recv(&self) -> Result<T, Empty> {
        self.0.lock().pop_front().ok_or(Empty)
    }

    /// Gives memory back that nothing lies in.
    pub(crate) fn release(&self) {
        self.0.lock().shrink_to_fit();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_their_order_from_all_who_send() {
        let (send, receive) = unbounded();
        let again = send.clone();

        assert_eq!(receive.try_recv(), Err(Empty));
        send.send(1).unwrap();
        again.send(2).unwrap();
        send.send(3).unwrap();
        receive.release();

        assert_eq!([(); 4].map(|()| receive.try_recv()), [Ok(1), Ok(2), Ok(3), Err(Empty)]);
    }

    #[test]
    fn nothing_is_kept_for_who_is_gone() {
        let (send, receive) = unbounded();
        send.send(1).unwrap();
        drop(receive);

        assert_eq!(send.send(2), Err(Unwanted(2)));
    }
}
