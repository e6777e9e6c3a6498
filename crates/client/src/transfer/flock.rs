//! What is under way at once: files in flight, files that wait for a digest, directories being read.
//!
//! How many files are in flight is found out on the way: as long as twice as many keep their places for
//! hardly longer each, more of them arrive in a second, and there are twice as many. On a short path that
//! ends soon, on a long one where the round trips are hidden. What a file waits for after it has left its
//! place, a digest for one, comes in bursts and says nothing about the path.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

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
    crowd: Arc<Mutex<Crowd>>,
}

/// A place among the files in flight. Dropping it lets another file begin.
pub(crate) struct Place {
    file: OwnedSemaphorePermit,
    waiting: Arc<Semaphore>,
    crowd: Arc<Mutex<Crowd>>,
    begun: Instant,
    round: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        let more = lock(&self.crowd).left(self.round, self.begun.elapsed());
        self.file.semaphore().add_permits(more);
    }
}

impl Place {
    /// Lets another file begin although this one is not done: it only waits, and keeps little. Held until
    /// then. So many may wait and no more.
    pub(super) async fn step_aside(self) -> OwnedSemaphorePermit {
        never_closed(self.waiting.clone().acquire_owned().await)
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
            crowd: Arc::new(Mutex::new(crowd)),
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
        Place {
            file,
            waiting: self.waiting.clone(),
            round: lock(&self.crowd).round,
            crowd: self.crowd.clone(),
            begun: Instant::now(),
        }
    }

    /// Waits until another directory may be looked at beside those that are.
    pub(super) async fn dir(&self) -> OwnedSemaphorePermit {
        never_closed(self.dirs.clone().acquire_owned().await)
    }

    /// As [`dir`](Self::dir), for those who may not wait because they hold one.
    pub(super) fn try_dir(&self) -> Option<OwnedSemaphorePermit> {
        self.dirs.clone().try_acquire_owned().ok()
    }
}

fn lock(crowd: &Mutex<Crowd>) -> MutexGuard<'_, Crowd> {
    crowd.lock().unwrap_or_else(PoisonError::into_inner)
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
    /// Counts up whenever a round ends. Only files that took their place in a round tell about it.
    round: u64,
    /// Files that left their places in this round, and how long they had held them together.
    left: usize,
    held: Duration,
    /// How long a place was held on the average with half as many, if it was tried last.
    half: Option<Duration>,
    /// Rounds to go until more are tried again, and after that until they are once more.
    pause: u32,
    next_pause: u32,
}

impl Crowd {
    /// If the average place is held so many times longer by twice as many, that gained nothing.
    const CROWDED: f64 = 1.7;
    /// Rounds until that is tried once more, since the files to come may be others; twice as many each time.
    const PAUSE: u32 = 16;

    fn new(max: usize) -> Self {
        let len = FILES_IN_FLIGHT_START.min(max);
        Self {
            len,
            max,
            round: 0,
            left: 0,
            held: Duration::ZERO,
            half: None,
            pause: 0,
            next_pause: Self::PAUSE,
        }
    }

    fn fixed(len: usize) -> Self {
        Self { max: len, len, ..Self::new(len) }
    }

    /// A file has left a place that it took in `round` and held for so long; returns how many more may be
    /// in flight.
    fn left(&mut self, round: u64, held: Duration) -> usize {
        if round != self.round || self.len == self.max {
            return 0;
        }
        self.left += 1;
        self.held += held;
        if self.left < self.len {
            return 0;
        }
        let average = self.held.div_f64(self.left as f64);
        (self.left, self.held, self.round) = (0, Duration::ZERO, self.round + 1);
        if self.pause > 0 {
            self.pause -= 1;
            return 0;
        }
        if self.half.take().is_some_and(|half| average > half.mul_f64(Self::CROWDED)) {
            self.pause = self.next_pause;
            self.next_pause = self.next_pause.saturating_mul(2);
            return 0;
        }
        self.half = Some(average);
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
        for _ in 0..files {
            let held = delay.max(crowd.len as f64 / rate);
            crowd.left(crowd.round, Duration::from_secs_f64(held));
        }
        crowd.len
    }

    #[test]
    fn a_long_path_gets_many_files_in_flight_and_a_short_one_does_not() {
        assert_eq!(run(0.3, 10_000.0, 2000), 256);
        assert!(run(0.001, 2000.0, 2000) <= 4 * FILES_IN_FLIGHT_START);
    }

    #[test]
    fn files_that_began_among_fewer_say_nothing_about_more() {
        let mut crowd = Crowd::new(256);
        for _ in 0..FILES_IN_FLIGHT_START {
            crowd.left(0, Duration::from_millis(100));
        }
        assert_eq!(crowd.len, 2 * FILES_IN_FLIGHT_START);
        for _ in 0..1000 {
            assert_eq!(crowd.left(0, Duration::from_millis(1)), 0);
        }
    }

    #[test]
    fn a_number_that_was_asked_for_stays() {
        let mut crowd = Crowd::fixed(7);
        for _ in 0..1000 {
            assert_eq!(crowd.left(0, Duration::from_millis(1)), 0);
        }
    }
}
