//! The channels that a transfer runs on: each file takes one lane and does all its requests there. They
//! are channels of one connection, and of several only if its server opens too few on one.
//!
//! A lane that dies takes no file with it: whoever ran on it goes on with another. When the last is
//! gone, one of those who wait connects again for all, with growing pauses, until it works, is refused,
//! or was tried too often without anything advancing in between.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::progress::{Event, Progress};
use super::{Cancel, Context};
use crate::limits::{
    CONNECTIONS_BESIDE_MAX, LANES_MAX, RECONNECT_JITTER_MAX, RECONNECT_PAUSE_MAX,
    RECONNECT_PAUSE_START, RECONNECT_TIME_MAX, REOPEN_TIME_MAX, TRIES_TOGETHER_MAX,
};
use crate::sftp::Sftp;
use crate::{Connection, Error, Reconnect, Session};

/// One SFTP channel and the connection that it belongs to.
pub(super) struct Lane {
    pub(super) sftp: Sftp,
    /// `None`: the channel runs on something that is no SSH connection of ours.
    pub(super) session: Option<Session>,
}

/// All lanes of one transfer.
pub(super) struct Lanes {
    reconnect: Option<Arc<dyn Reconnect>>,
    /// Tries to connect again, in a row, without anything advancing.
    tries_max: u32,
    cancel: Cancel,
    progress: Arc<dyn Progress>,
    state: Mutex<State>,
    /// Who has it connects; the others wait for it.
    turn: tokio::sync::Mutex<()>,
    /// For files that several connections did not last long enough for: they are not in flight together
    /// any more, where each would keep the others from coming to an end.
    alone: tokio::sync::Mutex<()>,
}

struct State {
    lanes: Vec<Arc<Lane>>,
    /// Of the lane that was made last.
    session: Option<Session>,
    /// Lanes that were lost up to now.
    lost: u64,
    /// The server opens no more channels on a connection.
    is_widest: bool,
    /// Connections that were made beside the one that there was; as many as there may be, if the server
    /// does not want one.
    beside: usize,
    /// Tries to connect since something advanced.
    tries: u32,
    /// Why the last lane was lost, or the last try failed.
    loss: Option<Error>,
    /// No lane will come any more, and why.
    ended: Option<Error>,
}

impl State {
    fn drop_lost(&mut self) {
        let before = self.lanes.len();
        self.lanes.retain(|lane| !lane.sftp.is_closed());
        self.lost += (before - self.lanes.len()) as u64;
    }
}

/// How far something has come that may have to begin more than once, in a unit of its own.
#[derive(Debug, Default)]
pub(super) struct Reached {
    at: AtomicU64,
    has_begun: AtomicBool,
    is_again: AtomicBool,
}

impl Reached {
    /// Whether this is the first attempt. True once.
    pub(super) fn begins(&self) -> bool {
        !self.has_begun.swap(true, Ordering::Relaxed)
    }

    /// Whether a connection was lost under it: everybody was told, and need not hear it of each file.
    pub(super) fn is_again(&self) -> bool {
        self.is_again.load(Ordering::Relaxed)
    }

    /// It has come to `at` at least.
    pub(super) fn note(&self, at: u64) {
        self.at.fetch_max(at, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.at.load(Ordering::Relaxed)
    }
}

impl Lanes {
    pub(super) fn new(
        first: Connection,
        reconnect: Option<Arc<dyn Reconnect>>,
        tries_max: u32,
        cancel: Cancel,
        progress: Arc<dyn Progress>,
    ) -> Self {
        let Connection { sftp, session } = first;
        let state = State {
            lanes: vec![Arc::new(Lane { sftp, session: session.clone() })],
            session,
            lost: 0,
            is_widest: false,
            beside: 0,
            tries: 0,
            loss: None,
            ended: None,
        };
        Self {
            reconnect,
            tries_max,
            cancel,
            progress,
            state: Mutex::new(state),
            turn: tokio::sync::Mutex::default(),
            alone: tokio::sync::Mutex::default(),
        }
    }

    /// A lane for one file or a few requests: the one with the least to do. Waits for a new connection if
    /// there is none; `path` is what for.
    ///
    /// # Errors
    /// [`Error::Cancelled`]; what ended the last connection, if there will be no other.
    pub(super) async fn pick(&self, path: &[u8]) -> Result<Arc<Lane>, Error> {
        loop {
            if self.cancel.is_cancelled() {
                return Err(Error::Cancelled);
            }
            if let Some(lane) = self.least_busy()? {
                return Ok(lane);
            }
            tokio::select! {
                connected = self.connect_for_all(path) => connected?,
                () = self.cancel.cancelled() => return Err(Error::Cancelled),
            }
        }
    }

    /// Lanes that were lost up to now.
    pub(super) fn lost(&self) -> u64 {
        let mut state = self.state();
        state.drop_lost();
        state.lost
    }

    /// Whether what failed with `error` may go on elsewhere: a channel was lost since there were `lost`,
    /// and there is another one or a way to get one.
    fn is_lost(&self, lost: u64, error: &Error) -> bool {
        if !matches!(error, Error::Interrupted { .. }) {
            return false;
        }
        let mut state = self.state();
        state.drop_lost();
        if state.lost == lost {
            return false;
        }
        state.loss = Some(error.clone());
        if state.lanes.is_empty() && !self.can_connect(&state) {
            state.ended.get_or_insert(error.clone());
        }
        state.ended.is_none()
    }

    /// Something is done that need not be done again: patience begins anew.
    pub(super) fn advanced(&self) {
        self.state().tries = 0;
    }

    /// Whether no lane will come any more.
    pub(super) fn is_ended(&self) -> bool {
        self.state().ended.is_some()
    }

    /// Whether a lane that is lost may be followed by another.
    pub(super) fn can_be_replaced(&self) -> bool {
        self.can_connect(&self.state())
    }

    /// Handles that may be open on one lane at once; 0: the server does not say.
    pub(super) fn open_handles_max(&self) -> u64 {
        let state = self.state();
        state.lanes.iter().map(|lane| lane.sftp.limits().open_handles).min().unwrap_or(0)
    }

    /// Whether one file may be written on several channels at once. Known of OpenSSH, where every channel
    /// writes into the file itself; elsewhere a handle may have a copy of its own, of which the last one
    /// that is closed becomes the file.
    pub(super) fn may_share_files(&self) -> bool {
        let state = self.state();
        state.session.as_ref().is_none_or(Session::is_openssh)
    }

    /// Up to `count` lanes that are none of `used`: others that there are, else new channels on the same
    /// connection, else new connections. Fewer, perhaps none, if the server wants no more.
    pub(super) async fn further(&self, used: &[Sftp], count: usize) -> Vec<Arc<Lane>> {
        // One at a time: who comes second takes what the first has opened.
        let _turn = self.turn.lock().await;
        let is_free = |lane: &Arc<Lane>| !used.iter().any(|used| used.is_same(&lane.sftp));
        let mut found: Vec<_> =
            self.state().lanes.iter().filter(|lane| is_free(lane)).take(count).cloned().collect();
        found.extend(self.open_channels(count - found.len()).await);
        while found.len() < count
            && let Some(lane) = self.open_connection().await
        {
            found.push(lane);
        }
        found
    }

    /// Opens up to `count` channels on the connection that there is.
    async fn open_channels(&self, count: usize) -> Vec<Arc<Lane>> {
        let (session, missing) = {
            let state = self.state();
            let room =
                if state.is_widest { 0 } else { LANES_MAX.saturating_sub(state.lanes.len()) };
            (open(&state.session), count.min(room))
        };
        let mut found = Vec::new();
        let Some(session) = session else { return found };
        let mut opening = JoinSet::new();
        for _ in 0..missing {
            let session = session.clone();
            opening.spawn(async move { timeout(REOPEN_TIME_MAX, session.sftp()).await });
        }
        while let Some(opened) = opening.join_next().await {
            let mut state = self.state();
            let Ok(Ok(Ok(sftp))) = opened else {
                state.is_widest = true;
                continue;
            };
            let lane = Arc::new(Lane { sftp, session: Some(session.clone()) });
            state.lanes.push(lane.clone());
            found.push(lane);
        }
        found
    }

    /// Connects once more, beside a connection on which no more channels open. Nobody is asked for anything.
    async fn open_connection(&self) -> Option<Arc<Lane>> {
        {
            let state = self.state();
            let has_room = state.lanes.len() < LANES_MAX && state.beside < CONNECTIONS_BESIDE_MAX;
            if !state.is_widest || !has_room {
                return None;
            }
        }
        let connecting = self.reconnect.as_ref()?.connect_beside();
        let connected = timeout(REOPEN_TIME_MAX, connecting).await;
        let mut state = self.state();
        let Ok(Ok(Connection { sftp, session })) = connected else {
            state.beside = CONNECTIONS_BESIDE_MAX;
            return None;
        };
        state.beside += 1;
        let lane = Arc::new(Lane { sftp, session });
        state.lanes.push(lane.clone());
        Some(lane)
    }

    /// Adds a lane, for tests.
    #[cfg(test)]
    pub(super) fn add(&self, sftp: Sftp) {
        self.state().lanes.push(Arc::new(Lane { sftp, session: None }));
    }

    fn can_connect(&self, state: &State) -> bool {
        self.tries_max > 0 && (self.reconnect.is_some() || open(&state.session).is_some())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn least_busy(&self) -> Result<Option<Arc<Lane>>, Error> {
        let mut state = self.state();
        state.drop_lost();
        // Whoever uses a lane holds it.
        if let Some(lane) = state.lanes.iter().min_by_key(|lane| Arc::strong_count(lane)) {
            return Ok(Some(lane.clone()));
        }
        match &state.ended {
            Some(error) => Err(error.clone()),
            None => Ok(None),
        }
    }

    async fn connect_for_all(&self, path: &[u8]) -> Result<(), Error> {
        let _turn = self.turn.lock().await;
        let mut told = None;
        while self.least_busy()?.is_none() {
            let (tries, loss) = {
                let mut state = self.state();
                state.tries += 1;
                let loss = state.loss.clone().unwrap_or_else(closed);
                if !self.can_connect(&state) {
                    return Err(state.ended.get_or_insert(loss).clone());
                }
                (state.tries, loss)
            };
            if tries > self.tries_max {
                return Err(self.end(given_up(&loss, self.tries_max)));
            }
            let pause = pause_before(tries, random_part());
            // One line for each connection that was lost, and one more only if there is news.
            let why = format!("{}; connecting again", reason(&loss));
            if told.as_ref() != Some(&why) {
                self.progress.event(&Event::Retry { path, why: &why });
                told = Some(why);
            }
            sleep(pause).await;
            match self.connect().await {
                Ok(Connection { sftp, session }) => {
                    let mut state = self.state();
                    state.lanes.push(Arc::new(Lane { sftp, session: session.clone() }));
                    state.session = session;
                }
                Err(error @ (Error::Connect { .. } | Error::Interrupted { .. })) => {
                    self.state().loss = Some(error);
                }
                // Refused, or not the server that it was: trying again makes nothing better.
                Err(error) => return Err(self.end(error)),
            }
        }
        Ok(())
    }

    /// A channel on the connection that is still there, else a new connection.
    async fn connect(&self) -> Result<Connection, Error> {
        let session = open(&self.state().session);
        if let Some(session) = session {
            if let Ok(Ok(sftp)) = timeout(REOPEN_TIME_MAX, session.sftp()).await {
                return Ok(Connection { sftp, session: Some(session) });
            }
            self.state().session = None;
        }
        let Some(reconnect) = &self.reconnect else {
            let loss = self.state().loss.clone();
            return Err(self.end(loss.unwrap_or_else(closed)));
        };
        match timeout(RECONNECT_TIME_MAX, reconnect.reconnect()).await {
            Ok(result) => result,
            Err(_) => {
                let why = format!("no login within {} seconds", RECONNECT_TIME_MAX.as_secs());
                Err(Error::Interrupted { doing: "connect again", why })
            }
        }
    }

    fn end(&self, error: Error) -> Error {
        self.state().ended.get_or_insert(error).clone()
    }
}

impl Context {
    /// Does `work` on a lane; once more on another if that one dies. `path` is what for.
    ///
    /// `reached`: if it is further than at the last attempt, that one was not in vain.
    ///
    /// # Errors
    /// Those of `work` and of [`Lanes::pick`].
    pub(super) async fn on_lane<T, F>(
        &self,
        path: &[u8],
        reached: &Reached,
        work: impl FnMut(Arc<Lane>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.repeatedly(path, reached, false, work).await
    }

    /// As [`on_lane`](Self::on_lane), for a file in flight: `work` waits for nobody else.
    ///
    /// # Errors
    /// As [`on_lane`](Self::on_lane).
    pub(super) async fn file_on_lane<T, F>(
        &self,
        path: &[u8],
        reached: &Reached,
        work: impl FnMut(Arc<Lane>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        self.repeatedly(path, reached, true, work).await
    }

    async fn repeatedly<T, F>(
        &self,
        path: &[u8],
        reached: &Reached,
        is_file: bool,
        mut work: impl FnMut(Arc<Lane>) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let (mut best, mut tries) = (reached.get(), 0);
        let mut was_refused = false;
        loop {
            let _alone = match is_file && tries >= TRIES_TOGETHER_MAX {
                true => Some(self.lanes.alone.lock().await),
                false => None,
            };
            let opens = match is_file {
                true => tokio::select! {
                    opens = self.handles.begin(was_refused) => Some(opens),
                    () = self.cancel.cancelled() => return Err(Error::Cancelled),
                },
                false => None,
            };
            let lost = self.lanes.lost();
            let lane = self.lanes.pick(path).await?;
            let error = match work(lane).await {
                Ok(done) => {
                    self.lanes.advanced();
                    if let Some(opens) = opens {
                        opens.succeeded();
                    }
                    return Ok(done);
                }
                Err(error) => error,
            };
            if let Some(opens) = opens
                && self.may_be_too_much(&error)
                && opens.may_go_again()
            {
                was_refused = true;
                continue;
            }
            if reached.get() > best {
                (best, tries) = (reached.get(), 0);
                self.lanes.advanced();
            }
            // What breaks every connection must end although others advance in between.
            tries += 1;
            if tries > self.options.retries || !self.lanes.is_lost(lost, &error) {
                return Err(error);
            }
            reached.is_again.store(true, Ordering::Relaxed);
        }
    }
}

fn open(session: &Option<Session>) -> Option<Session> {
    session.clone().filter(|session| !session.is_closed())
}

fn closed() -> Error {
    Error::Interrupted { doing: "use SFTP", why: "the connection is closed".into() }
}

fn given_up(loss: &Error, tries: u32) -> Error {
    let why = format!("{} ({tries} tries in a row)", reason(loss));
    Error::Interrupted { doing: "connect again", why }
}

fn reason(loss: &Error) -> String {
    match loss {
        Error::Interrupted { why, .. } => why.clone(),
        other => other.to_string(),
    }
}

/// How long to wait before this try, counted from 1. `part` of 0 to 1 keeps many clients of a server
/// that was restarted from coming all at once.
fn pause_before(tries: u32, part: f64) -> Duration {
    if tries <= 1 {
        return RECONNECT_JITTER_MAX.mul_f64(part);
    }
    let doubled = RECONNECT_PAUSE_START.saturating_mul(1 << (tries - 2).min(16));
    doubled.min(RECONNECT_PAUSE_MAX).mul_f64(0.5 + part / 2.0)
}

/// Between 0 and 1, different each time; nothing secret hangs on it.
fn random_part() -> f64 {
    (RandomState::new().hash_one(0) >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests;
