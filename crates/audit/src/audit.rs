//! Records from any thread to the log: a bounded queue, and one thread that writes.
//!
//! Nobody waits. [`Audit::record`] puts a record into the queue; where there is no room it is counted as
//! lost. So that this does not happen where nothing may go unrecorded, [`Audit::may_act`] says beforehand
//! whether there is room, and [`Audit::is_stopped`] that nobody may be served.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::key::PublicKey;
use crate::limits::{BATCH_RECORDS_MAX, CLOSE_WAIT, QUEUE_RECORDS_MAX, QUEUE_RESERVE, RETRY_PAUSE};
use crate::log::Log;
use crate::record::Record;
use crate::settings::{OnFailure, Settings, Sync};
use crate::state::StartError;

/// An audit log. Clones share it; the last one closes it.
#[derive(Clone)]
pub struct Audit(Arc<Owner>);

struct Owner(Arc<Shared>);

/// Told when service has to stop (`true`), and when it may go on (`false`).
type Listener = Box<dyn Fn(bool) + Send>;

struct Shared {
    on_failure: OnFailure,
    key: PublicKey,
    state: Mutex<State>,
    /// For the thread: there is something to do.
    wake: Condvar,
    /// For whoever closes: the thread has ended.
    ended: Condvar,
    queued: AtomicUsize,
    is_failing: AtomicBool,
    /// In a row since something last was written there was no room.
    is_overrun: AtomicBool,
    lost: AtomicU64,
    written: AtomicU64,
}

#[derive(Default)]
struct State {
    queue: VecDeque<Record>,
    /// Lost since the log last said so.
    lost: u64,
    is_closing: bool,
    has_ended: bool,
    listeners: Vec<Listener>,
    was_stopped: bool,
}

/// How the log is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Records that wait.
    pub queued: usize,
    /// Age of the oldest of them.
    pub lag: Duration,
    /// Since the start.
    pub written: u64,
    pub lost: u64,
    /// Records cannot be written now.
    pub is_failing: bool,
}

impl Audit {
    /// Opens the log and writes `first` there, at once: a log that cannot be written is found out now.
    ///
    /// # Errors
    /// [`StartError`].
    pub fn start(settings: Settings, first: Record) -> Result<Self, StartError> {
        let on_failure = settings.on_failure;
        let batch_max = match settings.sync {
            Sync::Batch => BATCH_RECORDS_MAX,
            Sync::Record => 1,
        };
        let path = settings.targets.file.clone().unwrap_or_else(|| settings.state_dir.clone());
        let fail = |source| StartError::Io { path: path.clone(), source };
        let mut log = Log::open(settings)?;
        log.append(&[first]).map_err(|error| fail(error.source))?;
        let shared = Arc::new(Shared {
            on_failure,
            key: log.public_key(),
            state: Mutex::default(),
            wake: Condvar::new(),
            ended: Condvar::new(),
            queued: AtomicUsize::new(0),
            is_failing: AtomicBool::new(false),
            is_overrun: AtomicBool::new(false),
            lost: AtomicU64::new(0),
            written: AtomicU64::new(1),
        });
        let for_thread = Arc::clone(&shared);
        thread::Builder::new()
            .name("sterna-audit".into())
            .spawn(move || Writer { shared: for_thread, log, batch_max, failure: None }.run())
            .map_err(fail)?;
        Ok(Self(Arc::new(Owner(shared))))
    }

    /// Takes one record. Never waits for the disk.
    pub fn record(&self, record: Record) {
        let shared = &self.0.0;
        let mut state = shared.lock();
        if state.queue.len() >= QUEUE_RECORDS_MAX || state.has_ended {
            state.lost += 1;
            shared.lost.fetch_add(1, Ordering::Relaxed);
            shared.is_overrun.store(true, Ordering::Relaxed);
            return;
        }
        state.queue.push_back(record);
        shared.queued.store(state.queue.len(), Ordering::Relaxed);
        drop(state);
        shared.wake.notify_one();
    }

    /// Nobody may be served: records cannot be written, and the settings want all of them.
    pub fn is_stopped(&self) -> bool {
        self.0.0.is_stopped()
    }

    /// Whether something may be done that needs a record afterwards.
    pub fn may_act(&self) -> bool {
        let shared = &self.0.0;
        shared.on_failure == OnFailure::Continue
            || !shared.is_stopped()
                && shared.queued.load(Ordering::Relaxed) < QUEUE_RECORDS_MAX - QUEUE_RESERVE
    }

    /// Calls `listener` whenever service has to stop or may go on, on the log's own thread.
    pub fn on_stop(&self, listener: impl Fn(bool) + Send + 'static) {
        self.0.0.lock().listeners.push(Box::new(listener));
    }

    /// Verifies what this log signs.
    pub fn public_key(&self) -> PublicKey {
        self.0.0.key
    }

    pub fn status(&self) -> Status {
        let shared = &self.0.0;
        let state = shared.lock();
        let oldest = state.queue.front().map(Record::time);
        let lag = oldest.and_then(|time| SystemTime::now().duration_since(time).ok());
        Status {
            queued: state.queue.len(),
            lag: lag.unwrap_or_default(),
            written: shared.written.load(Ordering::Relaxed),
            lost: shared.lost.load(Ordering::Relaxed),
            is_failing: shared.is_failing.load(Ordering::Relaxed),
        }
    }

    /// Writes what waits, and a last checkpoint. Blocks, for [`CLOSE_WAIT`] at most.
    pub fn close(&self) {
        self.0.close();
    }
}

impl Owner {
    fn close(&self) {
        let mut state = self.0.lock();
        state.is_closing = true;
        self.0.wake.notify_one();
        let waited = self.0.ended.wait_timeout_while(state, CLOSE_WAIT, |state| !state.has_ended);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        if !state.has_ended {
            tracing::error!(records = state.queue.len(), "audit: the last records are not written");
        }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A push or a take is whole or was not begun.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stopped(&self) -> bool {
        self.on_failure == OnFailure::Stop
            && (self.is_failing.load(Ordering::Relaxed) || self.is_overrun.load(Ordering::Relaxed))
    }
}

/// The thread's own.
struct Writer {
    shared: Arc<Shared>,
    log: Log,
    batch_max: usize,
    /// Since when writing fails.
    failure: Option<Instant>,
}

impl Writer {
    fn run(mut self) {
        let mut batch = Vec::new();
        loop {
            let is_closing = self.wait_for(&mut batch);
            let was_written = self.write(&mut batch);
            self.tell_listeners();
            if is_closing && (!was_written || self.shared.lock().queue.is_empty()) {
                break;
            }
        }
        if let Err(error) = self.log.checkpoint("end") {
            tracing::error!(error = %error.source, "audit: no checkpoint at the end");
        }
        let mut state = self.shared.lock();
        let unwritten = state.queue.len() + batch.len();
        if unwritten > 0 {
            tracing::error!(records = unwritten, "audit: the last records are not written");
        }
        state.has_ended = true;
        drop(state);
        self.shared.ended.notify_all();
    }

    /// Waits until there is something to do, and takes records unless some wait to be tried again. True at
    /// the end.
    fn wait_for(&self, batch: &mut Vec<Record>) -> bool {
        let mut state = self.shared.lock();
        let until = match self.failure {
            Some(_) => Some(Instant::now() + RETRY_PAUSE),
            None => self.log.due(),
        };
        let is_failing = self.failure.is_some();
        while !state.is_closing && (is_failing || state.queue.is_empty()) {
            let Some(until) = until else {
                state = self.shared.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let waited = self.shared.wake.wait_timeout(state, left);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let room = self.batch_max.saturating_sub(batch.len());
        let taken = state.queue.len().min(room);
        batch.extend(state.queue.drain(..taken));
        self.shared.queued.store(state.queue.len(), Ordering::Relaxed);
        state.is_closing
    }

    /// Writes the batch, with what must be said of losses in front. Whether that worked.
    fn write(&mut self, batch: &mut Vec<Record>) -> bool {
        let lost = self.shared.lock().lost;
        let mut notes = Vec::new();
        if let Some(since) = self.failure {
            notes.push(Record::new("resumed").duration(since.elapsed()));
        }
        if lost > 0 {
            notes.push(Record::new("lost").result("failure").with("records", lost));
        }
        let written = if batch.is_empty() && notes.is_empty() {
            // It is only time for a checkpoint.
            match self.log.due().is_some_and(|due| due <= Instant::now()) {
                true => self.log.checkpoint("interval"),
                false => Ok(()),
            }
        } else {
            let all: Vec<Record> = notes.into_iter().chain(batch.iter().cloned()).collect();
            self.log.append(&all)
        };
        let is_in_log = written.as_ref().map_or_else(|error| error.is_written, |()| true);
        if is_in_log {
            self.shared.written.fetch_add(batch.len() as u64, Ordering::Relaxed);
            batch.clear();
            self.shared.lock().lost -= lost;
        }
        match written {
            Ok(()) => {
                if let Some(since) = self.failure.take() {
                    let seconds = since.elapsed().as_secs();
                    tracing::warn!(seconds, lost, "audit: records are written again");
                }
                self.shared.is_failing.store(false, Ordering::Relaxed);
                self.shared.is_overrun.store(false, Ordering::Relaxed);
                true
            }
            Err(error) => {
                if self.failure.is_none() {
                    tracing::error!(error = %error.source, "audit: records cannot be written");
                    self.failure = Some(Instant::now());
                }
                self.shared.is_failing.store(true, Ordering::Relaxed);
                false
            }
        }
    }

    fn tell_listeners(&self) {
        let is_stopped = self.shared.is_stopped();
        let mut state = self.shared.lock();
        if state.was_stopped == is_stopped {
            return;
        }
        state.was_stopped = is_stopped;
        // They may record something, which takes the lock.
        let listeners = std::mem::take(&mut state.listeners);
        drop(state);
        listeners.iter().for_each(|listener| listener(is_stopped));
        let mut state = self.shared.lock();
        let came = std::mem::replace(&mut state.listeners, listeners);
        state.listeners.extend(came);
    }
}

#[cfg(test)]
mod tests;
