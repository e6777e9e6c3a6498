//! Defence against those who have not logged in: who is let in at all, and who is refused for a
//! while.
//!
//! [`Defence::admit`] is asked once for each connection, before anything is spent on it. The
//! [`Admission`] that it gives counts the connection until it has logged in or ended, and remembers
//! what was tried. When the connection ends without a login, *one* offence is noted for its source:
//! a client that tries three keys before the right one, or none of the five it has, did one thing.
//!
//! A login takes nothing back. It settles its own connection only: penalties belong to networks, and
//! somebody else behind the same address is as guilty as before. That cannot shield guesses,
//! because a connection cannot change its user.
//!
//! Time and randomness are passed in. Calls take a lock for microseconds and never block; what
//! touches the disk says so.
//!
//! Not here: the grace time and the number of attempts, which the SSH core enforces (their numbers
//! are in [`DefenceSettings`]), and whether a login is right (`authenticate.rs`).

mod clock;
mod drop_log;
mod penalties;
mod settings;
mod source;
mod startups;
#[cfg(test)]
mod tests;
mod visit;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Instant, SystemTime};
use std::{fmt, mem};

use ipnet::IpNet;
use sterna_audit::{Audit, Record};
use sterna_ssh_crypto::Random;
use sterna_state::{State, Unban};

pub use penalties::{Offence, Penalty};
pub use settings::{
    DefenceSettings, MaxStartups, NetBlockSize, Overflow, PenaltySettings, SettingError,
};
pub use visit::Admission;
pub(crate) use visit::Visit;

use clock::{Clock, UnixMs};
use drop_log::{DropLog, Line};
use penalties::{Begun, Penalties};
pub(crate) use source::is_in;
use source::network_of;
use startups::Startups;

use crate::limits::PENALTIES_SAVED_AT_ONCE;

/// The defence of one server. Shared by its listener, its connections and whoever administers it.
pub struct Defence {
    clock: Clock,
    state: Option<Arc<State>>,
    inner: Mutex<Inner>,
    audit: OnceLock<Audit>,
}

struct Inner {
    settings: Arc<DefenceSettings>,
    startups: Startups,
    penalties: Penalties,
    drops: DropLog,
    /// Lifted here and not yet in the state.
    lifted: Vec<Unban>,
}

/// What to do with a connection that was just accepted.
#[derive(Debug)]
pub enum Admit {
    /// Serve it, and keep this until it has logged in.
    Yes(Admission),
    /// Close it without a word.
    Drop(DropReason),
}

/// Why a connection is closed before anything is spent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DropReason {
    /// Its source is under a penalty.
    Penalised,
    /// The table of penalties is full, and the settings want nobody then.
    PenaltyTableFull,
    /// Its source has as many connections without a login as it may.
    TooManyFromSource,
    /// There are many connections without a login.
    TooManyStartups,
    /// There are as many connections as the server takes.
    ServerFull,
    /// Its source has as many connections as one may have.
    SourceFull,
    /// The server has no memory for more.
    MemoryFull,
    /// The audit log cannot be written, and the settings want nobody served then.
    NoAudit,
}

impl DropReason {
    pub(crate) const ALL: [Self; 8] = [
        Self::Penalised,
        Self::PenaltyTableFull,
        Self::TooManyFromSource,
        Self::TooManyStartups,
        Self::ServerFull,
        Self::SourceFull,
        Self::MemoryFull,
        Self::NoAudit,
    ];

    /// The word for it among the figures of a server.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Penalised => "penalised",
            Self::PenaltyTableFull => "penalty_table_full",
            Self::TooManyFromSource => "too_many_from_source",
            Self::TooManyStartups => "too_many_startups",
            Self::ServerFull => "server_full",
            Self::SourceFull => "source_full",
            Self::MemoryFull => "memory_full",
            Self::NoAudit => "no_audit",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Penalised => "source is under a penalty",
            Self::PenaltyTableFull => "table of penalties is full",
            Self::TooManyFromSource => "too many connections without a login from this source",
            Self::TooManyStartups => "too many connections without a login",
            Self::ServerFull => "too many connections",
            Self::SourceFull => "too many connections from this source",
            Self::MemoryFull => "the server is short of memory",
            Self::NoAudit => "the audit log cannot be written",
        })
    }
}

impl Defence {
    /// A defence that forgets everything when it is dropped.
    ///
    /// `now` and `time_of_day` are the same moment on two clocks.
    pub fn new(settings: DefenceSettings, now: Instant, time_of_day: SystemTime) -> Arc<Self> {
        Arc::new(Self::of(settings, Clock::new(now, time_of_day), None))
    }

    /// One that knows the penalties of `state` and keeps its own there. Blocks.
    ///
    /// # Errors
    /// The state cannot be read.
    pub fn with_state(
        settings: DefenceSettings,
        state: Arc<State>,
        now: Instant,
        time_of_day: SystemTime,
    ) -> sterna_state::Result<Arc<Self>> {
        let kept = state.penalties()?;
        let defence = Self::of(settings, Clock::new(now, time_of_day), Some(state));
        let mut inner = defence.lock();
        let settings = Arc::clone(&inner.settings);
        if let Some(penalties) = &settings.per_source_penalties {
            inner.penalties.load(&kept, penalties, defence.clock.at(now));
            inner.forget_exempt();
        }
        drop(inner);
        Ok(Arc::new(defence))
    }

    fn of(settings: DefenceSettings, clock: Clock, state: Option<Arc<State>>) -> Self {
        let inner = Inner {
            settings: Arc::new(settings),
            startups: Startups::default(),
            penalties: Penalties::default(),
            drops: DropLog::default(),
            lifted: Vec::new(),
        };
        Self { clock, state, inner: Mutex::new(inner), audit: OnceLock::new() }
    }

    /// What is said of sources is recorded in `audit` as well. The first one counts.
    pub fn record_to(&self, audit: Audit) {
        let _ = self.audit.set(audit);
    }

    /// Whether a connection from `source` may begin.
    pub fn admit(self: &Arc<Self>, source: IpAddr, now: Instant, random: &mut dyn Random) -> Admit {
        let time = self.clock.at(now);
        let mut inner = self.lock();
        let settings = Arc::clone(&inner.settings);
        if is_in(source, &settings.exempt) {
            return Admit::Yes(Admission::exempt());
        }
        let network = network_of(source, settings.per_source_net_block_size);
        match inner.refusal(network, &settings, time, random) {
            None => {
                inner.startups.begin(network);
                Admit::Yes(Admission::counted(Arc::clone(self), network))
            }
            Some(reason) => {
                let line = inner.drops.record(network, reason, time);
                let begun = (reason == DropReason::TooManyFromSource)
                    .then(|| inner.note(network, Offence::Refused, time));
                drop(inner);
                line.inspect(|line| self.say_dropped(line));
                begun.flatten().inspect(|begun| self.say_penalty(begun));
                Admit::Drop(reason)
            }
        }
    }

    /// Notes what a source did. For whole connections: an [`Admission`] collects what happens in
    /// one, and what it collected is noted when it ends.
    pub fn note(&self, source: IpAddr, offence: Offence, now: Instant) {
        let time = self.clock.at(now);
        let mut inner = self.lock();
        if !is_in(source, &inner.settings.exempt) {
            let network = network_of(source, inner.settings.per_source_net_block_size);
            let begun = inner.note(network, offence, time);
            drop(inner);
            begun.inspect(|begun| self.say_penalty(begun));
        }
    }

    /// The network that `source` is counted in.
    pub(crate) fn network_of(&self, source: IpAddr) -> IpNet {
        network_of(source, self.lock().settings.per_source_net_block_size)
    }

    /// Logs that a connection was dropped for a reason outside this module.
    pub(crate) fn log_drop(&self, source: IpAddr, reason: DropReason, now: Instant) {
        let time = self.clock.at(now);
        let mut inner = self.lock();
        let network = network_of(source, inner.settings.per_source_net_block_size);
        let line = inner.drops.record(network, reason, time);
        drop(inner);
        line.inspect(|line| self.say_dropped(line));
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<DefenceSettings> {
        Arc::clone(&self.lock().settings)
    }

    /// From now on these settings. Nobody is cut: connections go on, and penalties too, unless the
    /// new settings exempt their source, do without penalties or call other networks a source.
    pub fn replace_settings(&self, settings: DefenceSettings, now: Instant) {
        let time = self.clock.at(now);
        let mut inner = self.lock();
        inner.settings = Arc::new(settings);
        let settings = Arc::clone(&inner.settings);
        if let Some(penalties) = &settings.per_source_penalties {
            inner.penalties.shrink(penalties, time);
        }
        inner.forget_exempt();
    }

    /// Every source that is refused or remembered, the worst first.
    pub fn list(&self, now: Instant) -> Vec<Penalty> {
        let time = self.clock.at(now);
        let inner = self.lock();
        let Some(settings) = &inner.settings.per_source_penalties else { return Vec::new() };
        let mut all = inner.penalties.list(settings, time);
        drop(inner);
        all.sort_by_key(|penalty| {
            (std::cmp::Reverse((penalty.refused_for, penalty.forgotten_in)), penalty.source)
        });
        all
    }

    /// Lifts penalties and forgets what led to them; returns how many sources that were. The
    /// state learns of it with the next [`save`](Self::save).
    pub fn unban(&self, unban: Unban) -> usize {
        let mut inner = self.lock();
        let removed = inner.penalties.remove(unban);
        if self.state.is_some() && !inner.lifted.contains(&unban) {
            inner.lifted.push(unban);
        }
        drop(inner);
        tracing::info!(?unban, sources = removed, "penalties lifted");
        removed
    }

    /// Says what was not said yet of dropped connections.
    pub fn log_drops(&self, now: Instant) {
        let lines = self.lock().drops.take_due(self.clock.at(now));
        lines.iter().for_each(|line| self.say_dropped(line));
    }

    /// Does what other processes asked for through the state, and keeps what changed there. Blocks.
    ///
    /// # Errors
    /// The state cannot be read or written; what was not kept will be tried again the next time.
    pub fn save(&self, now: Instant) -> sterna_state::Result<()> {
        let Some(state) = &self.state else { return Ok(()) };
        for unban in state.take_unban_requests()? {
            self.unban(unban);
        }
        let mut lifted = mem::take(&mut self.lock().lifted);
        while let Some(unban) = lifted.last() {
            if let Err(error) = state.remove_penalties(*unban) {
                self.lock().lifted.append(&mut lifted);
                return Err(error);
            }
            lifted.pop();
        }
        let dirty = self.lock().penalties.take_dirty();
        for (done, batch) in dirty.chunks(PENALTIES_SAVED_AT_ONCE).enumerate() {
            if let Err(error) = state.save_penalties(batch) {
                let rest = &dirty[done * PENALTIES_SAVED_AT_ONCE..];
                self.lock().penalties.mark_dirty(rest);
                return Err(error);
            }
        }
        state.remove_expired_penalties(self.clock.at(now).to_seconds())
    }

    /// A connection that was counted has logged in or ended.
    fn end_startup(&self, source: IpNet) {
        self.lock().startups.end(source);
    }

    fn say_dropped(&self, line: &Line) {
        log_drop_line(line);
        if let Some(audit) = self.audit.get() {
            let Line { source, connections, reason } = line;
            let source = source.map_or_else(|| "many".to_owned(), |source| source.to_string());
            let record = Record::new("connections-dropped").source(source).rule("defence");
            audit.record(record.result(reason.to_string()).with("connections", *connections));
        }
    }

    fn say_penalty(&self, begun: &Begun) {
        log_penalty(begun);
        if let Some(audit) = self.audit.get() {
            let Begun { source, length, repeats, offence } = begun;
            let record = Record::new("penalty").source(source).rule("defence.penalties");
            audit.record(
                record
                    .result(offence.to_string())
                    .with("seconds", length.as_secs())
                    .with("repeats", u64::from(*repeats)),
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing can panic between two changes that belong together.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn refusal(
        &mut self,
        source: IpNet,
        settings: &DefenceSettings,
        now: UnixMs,
        random: &mut dyn Random,
    ) -> Option<DropReason> {
        if let Some(penalties) = &settings.per_source_penalties {
            if self.penalties.refused_for(source, now).is_some() {
                return Some(DropReason::Penalised);
            }
            if self.penalties.denies_all(source, penalties, now) {
                return Some(DropReason::PenaltyTableFull);
            }
        }
        self.startups.refusal(source, settings, random)
    }

    fn note(&mut self, source: IpNet, offence: Offence, now: UnixMs) -> Option<Begun> {
        let settings = self.settings.per_source_penalties.as_ref()?;
        self.penalties.note(source, offence, settings, now)
    }

    fn forget_exempt(&mut self) {
        let exempt = &self.settings.exempt;
        self.penalties.remove_where(|source| exempt.iter().any(|network| network.contains(source)));
    }
}

// Lines are written without the lock: whoever reads the log may be slow.

fn log_penalty(begun: &Begun) {
    let Begun { source, length, repeats, offence } = begun;
    let seconds = length.as_secs();
    tracing::info!(%source, seconds, reason = %offence, repeats, "source is refused");
}

fn log_drop_line(line: &Line) {
    let Line { source, connections, reason } = line;
    match source {
        Some(source) => tracing::info!(%source, connections, %reason, "connections dropped"),
        None => tracing::info!(connections, %reason, "connections dropped, from many sources"),
    }
}
