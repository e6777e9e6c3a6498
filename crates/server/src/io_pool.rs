//! A small, bounded pool of threads for everything that may block on a disk.
//!
//! The queue has no bound of its own: every session bounds its jobs ([`JOBS_MAX`]), so the queue is
//! bounded by sessions × that. Threads start when they are needed and stay. The thread that became idle
//! last is woken first: its memory is still in the processor's cache, and the others sleep on.
//!
//! Several jobs may be queued with one thread woken for them, since they are expected to be shorter than
//! waking another takes. If one of them blocks after all, the watcher wakes a thread for those behind it.
//!
//! [`JOBS_MAX`]: crate::limits::JOBS_MAX

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Thread};

use crate::limits::{IO_THREADS_MIN, WATCH_PERIOD, WATCH_QUIET_PERIODS};

pub(crate) type Job = Box<dyn FnOnce() + Send>;

/// Threads that run blocking jobs. Clones share them; when the last clone is gone, the threads end
/// after the jobs that are queued.
#[derive(Clone)]
pub struct IoPool(Arc<Owner>);

/// Closes the pool when it goes; the threads hold the rest.
struct Owner(Arc<Shared>);

struct Shared {
    threads_max: usize,
    /// Called when jobs were queued, if there are no threads.
    queued: Option<Box<dyn Fn() + Send + Sync>>,
    state: Mutex<State>,
    panics: AtomicUsize,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Job>,
    /// Jobs that were ever taken.
    taken: u64,
    /// Threads that wait for jobs, the last one on top.
    idle: Vec<Thread>,
    threads: usize,
    watcher: Watcher,
    is_closed: bool,
}

/// The thread that looks after jobs which nobody takes.
#[derive(Default)]
enum Watcher {
    #[default]
    None,
    Asleep(Thread),
    Awake,
}

impl Shared {
    /// Held for some instructions, never while a job runs.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IoPool {
    /// A pool of up to `threads_max` threads, at least one.
    pub fn new(threads_max: usize) -> Self {
        Self::with(threads_max.max(1), None)
    }

    /// A pool without threads: `queued` is called when there are jobs, and [`IoPool::run_one`] runs them, in any
    /// order that its caller likes. What is queued when the last clone goes is dropped.
    pub fn without_threads(queued: impl Fn() + Send + Sync + 'static) -> Self {
        Self::with(0, Some(Box::new(queued)))
    }

    fn with(threads_max: usize, queued: Option<Box<dyn Fn() + Send + Sync>>) -> Self {
        let (state, panics) = (Mutex::default(), AtomicUsize::new(0));
        let shared = Shared { threads_max, queued, state, panics };
        Self(Arc::new(Owner(Arc::new(shared))))
    }

    /// Runs the queued job number `at`, counted from 0, on this thread. False if there are not so many.
    pub fn run_one(&self, at: usize) -> bool {
        let shared = &self.0.0;
        // A statement of its own: the lock is not held while the job runs.
        let job = shared.state().queue.remove(at);
        job.map(|job| run_caught(job, shared)).is_some()
    }

    /// Twice the cores, at least [`IO_THREADS_MIN`]: the jobs mostly wait.
    pub fn with_default_threads() -> Self {
        let cores = crate::cores();
        Self::new((2 * cores).max(IO_THREADS_MIN))
    }

    /// Queues `job`. A panic in it ends the job only; what it owned is dropped, which is how its
    /// session learns of it.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        let shared = &self.0.0;
        let mut state = shared.state();
        state.queue.push_back(Box::new(job));
        wake_one(shared, state);
    }

    /// Queues `jobs` and wakes one thread for all of them.
    pub(crate) fn run_all(&self, jobs: impl ExactSizeIterator<Item = Job>) {
        let shared = &self.0.0;
        let mut state = shared.state();
        let is_watched = jobs.len() > 1 && shared.queued.is_none();
        state.queue.extend(jobs);
        wake_one(shared, state);
        if is_watched {
            watch(shared);
        }
    }

    /// Jobs that wait for a thread.
    pub fn queued(&self) -> usize {
        self.0.0.state().queue.len()
    }

    /// Jobs that panicked since the start; each one is a bug of ours or of a backend.
    pub fn panics(&self) -> usize {
        self.0.0.panics.load(Ordering::Relaxed)
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_closed = true;
        let mut asleep = std::mem::take(&mut state.idle);
        if let Watcher::Asleep(thread) = std::mem::take(&mut state.watcher) {
            asleep.push(thread);
        }
        drop(state);
        asleep.iter().for_each(Thread::unpark);
    }
}

/// Wakes the thread that became idle last, or starts one if none is idle and there may be more.
fn wake_one(shared: &Arc<Shared>, mut state: MutexGuard<'_, State>) {
    if let Some(queued) = &shared.queued {
        drop(state);
        return queued();
    }
    if let Some(thread) = state.idle.pop() {
        drop(state);
        return thread.unpark();
    }
    if state.threads == shared.threads_max {
        return;
    }
    let before = state.threads;
    state.threads += 1;
    drop(state);
    let for_thread = Arc::clone(shared);
    let started =
        thread::Builder::new().name(format!("sterna-io-{before}")).spawn(move || work(&for_thread));
    if let Err(error) = started {
        shared.state().threads -= 1;
        tracing::warn!(%error, "no new I/O thread; the jobs wait for the others");
        // Without any thread nobody would ever come: rather block the caller than lose jobs.
        if before == 0 {
            while let Some(job) = { shared.state().queue.pop_front() } {
                run_caught(job, shared);
            }
        }
    }
}

fn work(shared: &Shared) {
    while let Some(job) = next(shared) {
        run_caught(job, shared);
    }
}

/// Waits for a job; `None` when the pool is closed and nothing is queued.
fn next(shared: &Shared) -> Option<Job> {
    let mut state = shared.state();
    loop {
        if let Some(job) = state.queue.pop_front() {
            state.taken += 1;
            return Some(job);
        }
        if state.is_closed {
            return None;
        }
        let own = thread::current();
        let id = own.id();
        state.idle.push(own);
        drop(state);
        // Whoever takes the thread off the list unparks it, before this line or after.
        thread::park();
        state = shared.state();
        // It may have woken by itself.
        state.idle.retain(|thread| thread.id() != id);
    }
}

fn run_caught(job: Job, shared: &Shared) {
    // The job owns what it works on, and that is dropped with it: nothing half-changed stays.
    if catch_unwind(AssertUnwindSafe(job)).is_err() {
        shared.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!("an I/O job panicked; its request fails, the session goes on");
    }
}

/// Makes sure that the watcher is awake.
fn watch(shared: &Arc<Shared>) {
    let mut state = shared.state();
    match std::mem::replace(&mut state.watcher, Watcher::Awake) {
        Watcher::Awake => {}
        Watcher::Asleep(thread) => thread.unpark(),
        Watcher::None => {
            drop(state);
            let for_thread = Arc::clone(shared);
            let started =
                thread::Builder::new().name("sterna-io-w".into()).spawn(move || look(&for_thread));
            if let Err(error) = started {
                shared.state().watcher = Watcher::None;
                tracing::warn!(%error, "no thread that watches; a slow job may hold up others");
            }
        }
    }
}

/// The watcher: while there is something to do, it looks now and then whether jobs wait of which none was
/// taken meanwhile, and wakes one more thread for them. It sleeps when there has been nothing for a while.
fn look(shared: &Arc<Shared>) {
    let (mut taken, mut quiet) = (0, 0);
    loop {
        thread::park_timeout(WATCH_PERIOD);
        let mut state = shared.state();
        if state.is_closed {
            return;
        }
        if state.queue.is_empty() {
            quiet += 1;
            if quiet == WATCH_QUIET_PERIODS {
                state.watcher = Watcher::Asleep(thread::current());
                while matches!(state.watcher, Watcher::Asleep(_)) && !state.is_closed {
                    drop(state);
                    thread::park();
                    state = shared.state();
                }
                quiet = 0;
            }
            continue;
        }
        quiet = 0;
        if std::mem::replace(&mut taken, state.taken) == state.taken {
            wake_one(shared, state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Barrier, mpsc};

    #[test]
    fn as_many_jobs_run_at_once_as_there_are_threads() {
        let pool = IoPool::new(3);
        let all_here = Arc::new(Barrier::new(4));

        for _ in 0..3 {
            let all_here = Arc::clone(&all_here);
            pool.run(move || {
                all_here.wait();
            });
        }

        // Passes only if the three jobs wait at the same time.
        all_here.wait();
    }

    #[test]
    fn a_panicking_job_costs_neither_the_thread_nor_its_drops() {
        let pool = IoPool::new(1);
        let (dropped, seen) = mpsc::channel::<()>();

        pool.run(move || {
            let _owned = dropped;
            panic!("a job that panics on purpose");
        });
        let (done, next) = mpsc::channel();
        pool.run(move || done.send(7).unwrap());

        assert_eq!(next.recv().unwrap(), 7);
        assert!(seen.recv().is_err(), "what the job owned was dropped");
        assert_eq!(pool.panics(), 1);
    }

    #[test]
    fn a_panic_among_several_jobs_ends_that_job_only() {
        let pool = IoPool::new(1);
        let (done, seen) = mpsc::channel();
        let also = done.clone();

        let jobs: [Job; 3] = [
            Box::new(move || done.send(1).unwrap()),
            Box::new(|| panic!("a job that panics on purpose")),
            Box::new(move || also.send(2).unwrap()),
        ];
        pool.run_all(jobs.into_iter());

        let all: Vec<_> = seen.iter().collect();
        assert_eq!(all, [1, 2]);
        assert_eq!(pool.panics(), 1);
    }

    #[test]
    fn a_job_that_blocks_does_not_hold_up_those_that_were_queued_with_it() {
        let pool = IoPool::new(3);
        let (release, blocked) = mpsc::channel::<()>();
        let (done, seen) = mpsc::channel();
        let also = done.clone();
        let jobs: [Job; 3] = [
            Box::new(move || assert!(blocked.recv().is_err())),
            Box::new(move || done.send(1).unwrap()),
            Box::new(move || also.send(2).unwrap()),
        ];

        pool.run_all(jobs.into_iter());

        // Ends only if others run while the first one blocks.
        assert_eq!(seen.iter().collect::<Vec<_>>(), [1, 2]);
        drop(release);
    }

    #[test]
    fn jobs_one_by_one_need_one_thread() {
        let pool = IoPool::new(8);
        let (done, seen) = mpsc::channel();
        for _ in 0..100 {
            let done = done.clone();
            // Idle again before the next job: the job's end is not yet that.
            let is_busy = || {
                let state = pool.0.0.state();
                state.idle.len() < state.threads
            };
            while is_busy() {
                thread::yield_now();
            }
            pool.run(move || done.send(()).unwrap());
            seen.recv().unwrap();
        }

        assert_eq!(pool.0.0.state().threads, 1);
    }

    #[test]
    fn without_threads_jobs_run_when_and_in_the_order_in_which_they_are_told_to() {
        let (done, seen) = mpsc::channel();
        let told = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&told);
        let pool = IoPool::without_threads(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        for number in 0..3 {
            let done = done.clone();
            pool.run(move || done.send(number).unwrap());
        }
        assert_eq!(
            (told.load(Ordering::Relaxed), pool.queued(), seen.try_recv().ok()),
            (3, 3, None)
        );

        assert!(pool.run_one(1) && pool.run_one(1) && !pool.run_one(1) && pool.run_one(0));

        drop(done);
        assert_eq!(seen.iter().collect::<Vec<_>>(), [1, 2, 0]);
    }

    #[test]
    fn queued_jobs_still_run_when_the_last_clone_is_gone() {
        let pool = IoPool::new(1);
        let (done, seen) = mpsc::channel();
        for n in 0..20 {
            let done = done.clone();
            pool.run(move || done.send(n).unwrap());
        }

        drop(pool);

        drop(done);
        assert_eq!(seen.iter().collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    }
}
