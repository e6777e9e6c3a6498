//! A small, bounded pool of threads for everything that may block on a disk.
//!
//! The queue has no bound of its own: every session bounds its jobs ([`JOBS_MAX`]), so the queue is
//! bounded by sessions × that. Threads start when they are needed and stay.
//!
//! [`JOBS_MAX`]: crate::limits::JOBS_MAX

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crossbeam_channel::{Receiver, Sender, unbounded};

use crate::limits::IO_THREADS_MIN;

type Job = Box<dyn FnOnce() + Send>;

/// Threads that run blocking jobs. Clones share them; when the last clone is gone, the threads end
/// after the jobs that are queued.
#[derive(Clone)]
pub struct IoPool {
    jobs: Sender<Job>,
    shared: Arc<Shared>,
}

struct Shared {
    /// For new threads. Holding it here does not keep the channel open: only senders do.
    queue: Receiver<Job>,
    threads_max: usize,
    threads: AtomicUsize,
    /// Jobs queued and running: one thread for each of them is what is wanted.
    load: AtomicUsize,
    panics: AtomicUsize,
}

impl IoPool {
    /// A pool of up to `threads_max` threads, at least one.
    pub fn new(threads_max: usize) -> Self {
        let (jobs, queue) = unbounded();
        let shared = Arc::new(Shared {
            queue,
            threads_max: threads_max.max(1),
            threads: AtomicUsize::new(0),
            load: AtomicUsize::new(0),
            panics: AtomicUsize::new(0),
        });
        Self { jobs, shared }
    }

    /// Twice the cores, at least [`IO_THREADS_MIN`]: the jobs mostly wait.
    pub fn with_default_threads() -> Self {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self::new((2 * cores).max(IO_THREADS_MIN))
    }

    /// Queues `job`. A panic in it ends the job only; what it owned is dropped, which is how its
    /// session learns of it.
    pub fn run(&self, job: impl FnOnce() + Send + 'static) {
        let load = self.shared.load.fetch_add(1, Ordering::AcqRel) + 1;
        let sent = self.jobs.send(Box::new(job));
        debug_assert!(sent.is_ok(), "the pool itself holds a receiver");
        if load > self.shared.threads.load(Ordering::Acquire) {
            self.start_thread();
        }
    }

    /// Jobs that panicked since the start; each one is a bug of ours or of a backend.
    pub fn panics(&self) -> usize {
        self.shared.panics.load(Ordering::Relaxed)
    }

    fn start_thread(&self) {
        let shared = &self.shared;
        let claimed = shared.threads.fetch_update(Ordering::AcqRel, Ordering::Acquire, |n| {
            (n < shared.threads_max).then_some(n + 1)
        });
        let Ok(before) = claimed else { return };
        let for_thread = Arc::clone(shared);
        let queue = shared.queue.clone();
        let started = thread::Builder::new()
            .name(format!("sterna-io-{before}"))
            .spawn(move || work(&queue, &for_thread));
        if let Err(error) = started {
            shared.threads.fetch_sub(1, Ordering::AcqRel);
            tracing::warn!(%error, "no new I/O thread; the jobs wait for the others");
            // Without any thread nobody would ever come: rather block the caller than lose jobs.
            if before == 0 {
                while let Ok(job) = shared.queue.try_recv() {
                    run_caught(job, shared);
                }
            }
        }
    }
}

fn work(queue: &Receiver<Job>, shared: &Shared) {
    while let Ok(job) = queue.recv() {
        run_caught(job, shared);
    }
}

fn run_caught(job: Job, shared: &Shared) {
    // The job owns what it works on, and that is dropped with it: nothing half-changed stays.
    if catch_unwind(AssertUnwindSafe(job)).is_err() {
        shared.panics.fetch_add(1, Ordering::Relaxed);
        tracing::error!("an I/O job panicked; its request fails, the session goes on");
    }
    shared.load.fetch_sub(1, Ordering::AcqRel);
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
