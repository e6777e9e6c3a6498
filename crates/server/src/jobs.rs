//! The way from a task to a pool of threads and back.
//!
//! A job owns everything it works on. Its result comes back through the task's own queue and wakes
//! it. A job that panics is answered too: its [`Promise`] is dropped unkept.
//!
//! Short jobs are gathered: waking a thread, and being woken by it, costs more than most of them. How
//! many one thread gets depends on how long they took lately, so that slow ones still run side by side.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Waker;
use std::time::{Duration, Instant};

use crate::io_pool::{IoPool, Job};
use crate::limits::{GATHERED_JOBS_MAX, GATHERED_TIME};
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
    /// What [`Jobs::send`] has not sent yet.
    gathered: Vec<Job>,
    pace: Arc<Pace>,
}

/// How long one gathered job took lately: a moving mean in nanoseconds.
#[derive(Default)]
struct Pace(AtomicU32);

impl Pace {
    fn note(&self, took: Duration) {
        let took = u32::try_from(took.as_nanos()).unwrap_or(u32::MAX);
        let mean = match self.0.load(Ordering::Relaxed) {
            0 => took,
            mean => mean - mean / 8 + took / 8,
        };
        self.0.store(mean.max(1), Ordering::Relaxed);
    }

    /// How many jobs one thread should get at once.
    fn jobs(&self) -> usize {
        match self.0.load(Ordering::Relaxed) {
            // Nothing is known yet.
            0 => 1,
            mean => {
                let jobs = GATHERED_TIME.as_nanos() / u128::from(mean);
                usize::try_from(jobs).unwrap_or(usize::MAX).clamp(1, GATHERED_JOBS_MAX)
            }
        }
    }
}

impl<T: Send + 'static> Jobs<T> {
    pub(crate) fn new(pool: IoPool) -> Self {
        let (report, done) = unbounded();
        Self {
            pool,
            cancel: Cancel::default(),
            done,
            report,
            waker: Arc::default(),
            running: 0,
            gathered: Vec::new(),
            pace: Arc::default(),
        }
    }

    /// Where the jobs run.
    pub(crate) fn pool(&self) -> &IoPool {
        &self.pool
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
        let (promise, cancel) = (self.promise(number), self.cancel.clone());
        self.pool.run(move || {
            let mut promise = promise;
            // `work` is used up here, with everything it owns: whoever learns of the result may
            // rely on nobody else holding the file any more.
            promise.result = Some(work(&cancel));
        });
    }

    /// As [`start`](Self::start), with the next [`send`](Self::send).
    pub(crate) fn gather(&mut self, number: u64, work: impl FnOnce(&Cancel) -> T + Send + 'static) {
        self.running += 1;
        let (promise, cancel) = (self.promise(number), self.cancel.clone());
        let pace = Arc::clone(&self.pace);
        self.gathered.push(Box::new(move || {
            // All of it moves here, not only its result.
            let mut promise = promise;
            let begin = Instant::now();
            promise.result = Some(work(&cancel));
            pace.note(begin.elapsed());
        }));
    }

    /// Gathers something whose end nobody waits for.
    pub(crate) fn gather_detached(&mut self, work: impl FnOnce() + Send + 'static) {
        self.gathered.push(Box::new(work));
    }

    /// Sends what was gathered to the pool, and wakes a thread for as many as should share one.
    pub(crate) fn send(&mut self) {
        let at_once = self.pace.jobs();
        let mut left = self.gathered.drain(..);
        while left.len() > 0 {
            self.pool.run_all(left.by_ref().take(at_once));
        }
    }

    fn promise(&self, number: u64) -> Promise<T> {
        Promise { number, result: None, report: self.report.clone(), waker: self.waker.clone() }
    }

    /// Runs long work in slices; between two of them the pool serves others, in turn. A slice returns
    /// `None` if there is more to do.
    pub(crate) fn start_slices(
        &mut self,
        number: u64,
        work: impl FnMut(&Cancel) -> Option<T> + Send + 'static,
    ) {
        self.running += 1;
        let promise = self.promise(number);
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
    pub(crate) fn release(&mut self) {
        self.done.release();
        self.gathered.shrink_to_fit();
    }

    /// Tells running work that nobody waits any more.
    pub(crate) fn cancel(&self) {
        self.cancel.set();
    }

    /// Runs something whose end nobody waits for, at once.
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
        // Also where others are still to come: one of them may block.
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
    fn gathered_jobs_run_when_they_are_sent_each_under_its_number() {
        let mut jobs = Jobs::new(IoPool::new(2));
        for number in 0..50 {
            jobs.gather(number, move |_| number);
        }
        let (dropped, seen) = std::sync::mpsc::channel::<()>();
        jobs.gather_detached(move || drop(dropped));
        assert_eq!(jobs.running(), 50);
        assert_eq!(jobs.take_done(), None);

        jobs.send();

        let mut all: Vec<_> = (0..50).map(|_| wait(&mut jobs)).collect();
        all.sort_unstable();
        assert_eq!(all, (0..50).map(|n| (n, Some(n))).collect::<Vec<_>>());
        assert!(seen.recv().is_err());
        assert_eq!(jobs.running(), 0);
    }

    #[test]
    fn a_result_does_not_wait_for_a_job_that_was_gathered_with_it_and_blocks() {
        let mut jobs = Jobs::new(IoPool::new(1));
        (0..20).for_each(|_| jobs.pace.note(Duration::from_nanos(1)));
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        jobs.gather(1, |_| ());
        jobs.gather(2, move |_| assert!(blocked.recv().is_err()));

        jobs.send();

        assert_eq!(wait(&mut jobs), (1, Some(())));
        drop(release);
        assert_eq!(wait(&mut jobs), (2, Some(())));
    }

    #[test]
    fn short_jobs_share_a_thread_and_slow_ones_do_not() {
        let pace = Pace::default();
        assert_eq!(pace.jobs(), 1);
        for (took, jobs) in [(1, GATHERED_JOBS_MAX), (10_000_000_000, 1)] {
            (0..100).for_each(|_| pace.note(Duration::from_nanos(took)));
            assert_eq!(pace.jobs(), jobs, "{took}");
        }
        let fourth = GATHERED_TIME.mul_f64(0.22);
        (0..200).for_each(|_| pace.note(fourth));
        assert_eq!(pace.jobs(), 4);
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
