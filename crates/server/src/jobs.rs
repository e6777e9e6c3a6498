//! The way from a task to a pool of threads and back.
//!
//! A job owns everything it works on. Its result comes back through the task's own queue and wakes
//! it. A job that panics is answered too: its [`Promise`] is dropped unkept.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;

use crate::io_pool::IoPool;
use crate::results::{Receiver, Sender, unbounded};
use crate::wake::WakeCell;

/// Set once when the session ends; long work looks at it once per chunk.
#[derive(Clone, Default)]
pub(crate) struct Cancel(Arc<AtomicBool>);

impl Cancel {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Starts jobs and collects their results of type `T`, in the order in which they end.
pub(crate) struct Jobs<T> {
    pool: IoPool,
    cancel: Cancel,
    done: Receiver<(u64, Option<T>)>,
    report: Sender<(u64, Option<T>)>,
    waker: Arc<WakeCell>,
    running: usize,
}

impl<T: Send + 'static> Jobs<T> {
    pub(crate) fn new(pool: IoPool) -> Self {
        let (report, done) = unbounded();
        Self { pool, cancel: Cancel::default(), done, report, waker: Arc::default(), running: 0 }
    }

    /// Who is woken when a job ends from now on.
    pub(crate) fn register(&self, waker: &Waker) {
        self.waker.register(waker);
    }

    /// Jobs that were started and whose result was not taken yet.
    pub(crate) fn running(&self) -> usize {
        self.running
    }

    /// Runs `work` on the pool; its result arrives under `number`.
    pub(crate) fn start(&mut self, number: u64, work: impl FnOnce(&Cancel) -> T + Send + 'static) {
        self.running += 1;
        let cancel = self.cancel.clone();
        let promise = Promise {
            number,
            result: None,
            report: self.report.clone(),
            waker: self.waker.clone(),
        };
        self.pool.run(move || {
            let mut promise = promise;
            // `work` is used up here, with everything it owns: whoever learns of the result may
            // rely on nobody else holding the file any more.
            promise.result = Some(work(&cancel));
        });
    }

    /// Runs long work in slices; between two of them the pool serves others, in turn. A slice returns
    /// `None` if there is more to do.
    pub(crate) fn start_slices(
        &mut self,
        number: u64,
        work: impl FnMut(&Cancel) -> Option<T> + Send + 'static,
    ) {
        self.running += 1;
        let promise = Promise {
            number,
            result: None,
            report: self.report.clone(),
            waker: self.waker.clone(),
        };
        let (cancel, pool) = (self.cancel.clone(), self.pool.clone());
        self.pool.run(move || slice(promise, cancel, pool, Box::new(work)));
    }

    /// The next result; `None` inside means that the job panicked.
    pub(crate) fn take_done(&mut self) -> Option<(u64, Option<T>)> {
        let done = self.done.try_recv().ok()?;
        self.running -= 1;
        Some(done)
    }

    /// Gives memory back that the next results get again.
    pub(crate) fn release(&self) {
        self.done.release();
    }

    /// Tells running work that nobody waits any more.
    pub(crate) fn cancel(&self) {
        self.cancel.set();
    }

    /// Runs something whose end nobody waits for.
    pub(crate) fn detach(&self, work: impl FnOnce() + Send + 'static) {
        self.pool.run(work);
    }
}

/// Long work, cut.
type Slices<T> = Box<dyn FnMut(&Cancel) -> Option<T> + Send>;

/// One slice, and the next one behind what waits in the pool. The promise stands first: if the work
/// panics, it is dropped last, when nobody holds a file any more.
fn slice<T: Send + 'static>(
    promise: Promise<T>,
    cancel: Cancel,
    pool: IoPool,
    mut work: Slices<T>,
) {
    match work(&cancel) {
        Some(result) => {
            drop(work);
            promise.keep(result);
        }
        None => {
            let next = pool.clone();
            pool.run(move || slice(promise, cancel, next, work));
        }
    }
}

/// Reports when it is dropped, with a result or without.
struct Promise<T> {
    number: u64,
    result: Option<T>,
    report: Sender<(u64, Option<T>)>,
    waker: Arc<WakeCell>,
}

impl<T> Promise<T> {
    fn keep(mut self, result: T) {
        self.result = Some(result);
    }
}

impl<T> Drop for Promise<T> {
    fn drop(&mut self) {
        // The session may be gone; then nobody wants to know.
        let _ = self.report.send((self.number, self.result.take()));
        self.waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::{Context, Poll};

    fn wait<T: Send + 'static>(jobs: &mut Jobs<T>) -> (u64, Option<T>) {
        crate::wake::block_on(std::future::poll_fn(|cx: &mut Context<'_>| {
            jobs.register(cx.waker());
            jobs.take_done().map_or(Poll::Pending, Poll::Ready)
        }))
    }

    #[test]
    fn a_result_arrives_under_its_number_and_wakes_who_waits() {
        let mut jobs = Jobs::new(IoPool::new(1));

        jobs.start(7, |_| "done");

        assert_eq!(wait(&mut jobs), (7, Some("done")));
        assert_eq!(jobs.running(), 0);
    }

    #[test]
    fn a_panic_is_an_answer_too() {
        let mut jobs = Jobs::<()>::new(IoPool::new(1));

        jobs.start(1, |_| panic!("a job that panics on purpose"));

        assert_eq!(wait(&mut jobs), (1, None));
    }

    #[test]
    fn long_work_takes_turns_with_others_on_one_thread() {
        let (order, said) = crossbeam_channel::unbounded();
        let pool = IoPool::new(1);
        let mut both = [Jobs::new(pool.clone()), Jobs::new(pool.clone())];
        // The thread is held until both are queued.
        let (start, started) = crossbeam_channel::bounded::<()>(0);
        pool.run(move || {
            let _ = started.recv();
        });
        for (name, jobs) in both.iter_mut().enumerate() {
            let (order, mut left) = (order.clone(), 3);
            jobs.start_slices(7, move |_| {
                order.send(name).unwrap();
                left -= 1;
                (left == 0).then_some(())
            });
        }
        drop((start, order));

        assert_eq!(both.each_mut().map(wait), [(7, Some(())), (7, Some(()))]);
        assert_eq!(said.iter().collect::<Vec<_>>(), [0, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn long_work_sees_that_it_was_cancelled() {
        let mut jobs = Jobs::new(IoPool::new(1));
        jobs.start(1, |cancel| {
            while !cancel.is_set() {
                std::thread::yield_now();
            }
        });

        jobs.cancel();

        assert_eq!(wait(&mut jobs), (1, Some(())));
    }
}
