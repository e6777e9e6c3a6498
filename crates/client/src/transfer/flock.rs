//! What is under way at once: files in flight, files that wait for a digest, directories being read.
//!
//! How many files are in flight is found out on the way: as long as twice as many make more files
//! arrive in a second, there are twice as many. On a short path that ends soon, on a long one where the
//! round trips are hidden.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::Context;
use crate::limits::{
    DIRS_IN_FLIGHT_MAX, FILES_IN_FLIGHT_MAX, FILES_IN_FLIGHT_START, FILES_WAITING_MAX,
};

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Handles of the server and of this machine that are left for other things.
const HANDLES_SPARE: u64 = 32;
/// Open files and directories here that one file in flight may need.
const HANDLES_PER_FILE: u64 = 4;

/// Starts tasks, which may start further ones.
pub(super) struct Flock {
    tasks: mpsc::UnboundedSender<Task>,
    files: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    dirs: Arc<Semaphore>,
    crowd: Mutex<Crowd>,
}

/// A place among the files in flight. Dropping it lets another file begin.
pub(crate) struct Place {
    _file: OwnedSemaphorePermit,
    waiting: Arc<Semaphore>,
}

impl Place {
    /// Lets another file begin although this one is not done: it only waits, and keeps little. Held until
    /// then. So many may wait and no more.
    pub(super) async fn step_aside(self) -> OwnedSemaphorePermit {
        never_closed(self.waiting.acquire_owned().await)
    }
}

impl Flock {
    /// Runs `work` and every task that is added, to the end of all. They end when this is dropped.
    pub(super) async fn run<T, F>(context: &Context, work: impl FnOnce(Arc<Self>) -> F) -> T
    where
        F: Future<Output = T>,
    {
        let (tasks_in, mut tasks) = mpsc::unbounded_channel();
        let handles_max = handles_max(context);
        let crowd = match context.options.files_in_flight {
            Some(count) => Crowd::fixed(count.clamp(1, Semaphore::MAX_PERMITS)),
            None => Crowd::new(FILES_IN_FLIGHT_MAX.min(handles_max)),
        };
        let flock = Arc::new(Self {
            tasks: tasks_in,
            files: Arc::new(Semaphore::new(crowd.len)),
            waiting: Arc::new(Semaphore::new(FILES_WAITING_MAX.min(handles_max))),
            dirs: Arc::new(Semaphore::new(DIRS_IN_FLIGHT_MAX)),
            crowd: Mutex::new(crowd),
        });
        let mut work = std::pin::pin!(work(flock));
        let mut result = None;
        let mut running = JoinSet::new();
        loop {
            tokio::select! {
                done = &mut work, if result.is_none() => result = Some(done),
                Some(task) = tasks.recv() => drop(running.spawn(task)),
                Some(ended) = running.join_next(), if !running.is_empty() => {
                    // A file whose task broke must not be missing from the summary.
                    if let Err(error) = ended && error.is_panic() {
                        std::panic::resume_unwind(error.into_panic());
                    }
                }
                // Nobody is left who could add a task.
                else => break,
            }
        }
        result.expect("the loop ends after the work, which holds the flock")
    }

    /// Starts a task. Whoever starts many limits them by a permit that each holds.
    pub(super) fn start(&self, task: impl Future<Output = ()> + Send + 'static) {
        // The receiver lives as long as anything that could call this.
        let _ = self.tasks.send(Box::pin(task));
    }

    /// Waits for a place for one file.
    pub(super) async fn place(&self) -> Place {
        let file = never_closed(self.files.clone().acquire_owned().await);
        Place { _file: file, waiting: self.waiting.clone() }
    }

    /// Waits until another directory may be looked at beside those that are.
    pub(super) async fn dir(&self) -> OwnedSemaphorePermit {
        never_closed(self.dirs.clone().acquire_owned().await)
    }

    /// As [`dir`](Self::dir), for those who may not wait because they hold one.
    pub(super) fn try_dir(&self) -> Option<OwnedSemaphorePermit> {
        self.dirs.clone().try_acquire_owned().ok()
    }

    /// One file has ended, well or not.
    pub(super) fn file_ended(&self) {
        let mut crowd = self.crowd.lock().unwrap_or_else(PoisonError::into_inner);
        self.files.add_permits(crowd.ended(Instant::now()));
    }
}

fn never_closed<E: std::fmt::Debug>(
    permit: Result<OwnedSemaphorePermit, E>,
) -> OwnedSemaphorePermit {
    permit.expect("the semaphores of a flock are never closed")
}

/// Files that may be open at once, here and at the server.
fn handles_max(context: &Context) -> usize {
    let here = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let here = here.saturating_sub(HANDLES_SPARE) / HANDLES_PER_FILE;
    let there = match context.lanes.open_handles_max() {
        0 => u64::MAX,
        max => max.saturating_sub(HANDLES_SPARE),
    };
    usize::try_from(here.min(there)).unwrap_or(usize::MAX).max(1)
}

/// How many files are in flight; see the module.
#[derive(Debug)]
struct Crowd {
    len: usize,
    max: usize,
    /// Files that ended since `since`.
    ended: usize,
    since: Option<Instant>,
    /// Files in a second when it last grew.
    last_rate: f64,
}

impl Crowd {
    fn new(max: usize) -> Self {
        Self { len: FILES_IN_FLIGHT_START.min(max), max, ended: 0, since: None, last_rate: 0.0 }
    }

    fn fixed(len: usize) -> Self {
        Self { len, max: len, ended: 0, since: None, last_rate: 0.0 }
    }

    /// One file has ended; returns how many more may be in flight.
    fn ended(&mut self, now: Instant) -> usize {
        let Some(since) = self.since else {
            // The first file only tells when the second round begins.
            self.since = Some(now);
            return 0;
        };
        self.ended += 1;
        if self.ended < self.len {
            return 0;
        }
        let seconds = now.saturating_duration_since(since).max(Duration::from_micros(1));
        let rate = self.ended as f64 / seconds.as_secs_f64();
        (self.ended, self.since) = (0, Some(now));
        if rate <= self.last_rate * 1.1 {
            return 0;
        }
        self.last_rate = rate;
        let more = self.len.min(self.max - self.len);
        self.len += more;
        more
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files that take `delay` each, of which the server finishes `rate` a second at most.
    fn run(delay: f64, rate: f64, files: usize) -> usize {
        let mut crowd = Crowd::new(256);
        let mut now = Instant::now();
        for _ in 0..files {
            let step = (delay / crowd.len as f64).max(1.0 / rate);
            now += Duration::from_secs_f64(step);
            crowd.ended(now);
        }
        crowd.len
    }

    #[test]
    fn a_long_path_gets_many_files_in_flight_and_a_short_one_does_not() {
        assert_eq!(run(0.3, 10_000.0, 2000), 256);
        assert!(run(0.001, 2000.0, 2000) <= 2 * FILES_IN_FLIGHT_START);
    }

    #[test]
    fn a_number_that_was_asked_for_stays() {
        let mut crowd = Crowd::fixed(7);
        let now = Instant::now();
        for n in 0..1000 {
            assert_eq!(crowd.ended(now + Duration::from_micros(n)), 0);
        }
    }
}
