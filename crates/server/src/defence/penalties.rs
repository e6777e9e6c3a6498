//! How long each source network is refused, and what is remembered of it.
//!
//! Offences add up to the end of a penalty (`until`). Each penalty that began is counted; as long as
//! it is remembered it doubles the next one. An entry matters until its penalty is over and all it
//! served are forgotten: that one moment, `forget_at`, decides what expires, and who goes first
//! when the table is full.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use ipnet::IpNet;
use sterna_state::{StoredPenalty, Unban};

use super::clock::UnixMs;
use super::settings::{Overflow, PenaltySettings};
use crate::limits::{NEWCOMERS_SHARE, PENALTY_REPEATS_MAX};

/// What a source did, once for each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Offence {
    /// The server failed while it served the connection.
    Crash,
    /// The connection broke the protocol before login.
    ProtocolError,
    /// A login was tried and none succeeded.
    AuthFailed,
    /// The same in the name of somebody who does not exist.
    InvalidUser,
    /// No login was tried.
    NoAuth,
    /// No login in the grace time.
    GraceExceeded,
    /// More connections at a time than a source may have.
    Refused,
}

impl Offence {
    const ALL: [Self; 7] = [
        Self::Crash,
        Self::ProtocolError,
        Self::AuthFailed,
        Self::InvalidUser,
        Self::NoAuth,
        Self::GraceExceeded,
        Self::Refused,
    ];

    /// As it is logged, listed and kept.
    pub fn name(self) -> &'static str {
        match self {
            Self::Crash => "caused a crash",
            Self::ProtocolError => "protocol error",
            Self::AuthFailed => "failed authentication",
            Self::InvalidUser => "invalid user",
            Self::NoAuth => "no authentication attempt",
            Self::GraceExceeded => "grace time exceeded",
            Self::Refused => "too many connections",
        }
    }

    fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|offence| offence.name() == name)
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is remembered of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Penalty {
    pub source: IpNet,
    /// It is refused for so much longer; zero if it is not, and only remembered.
    pub refused_for: Duration,
    /// Penalties that are remembered, this one included: each doubles the next.
    pub repeats: u32,
    /// Nothing is remembered after so much time without an offence.
    pub forgotten_in: Duration,
    /// The last one.
    pub offence: Offence,
}

/// A penalty that began with the offence just noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Begun {
    pub(super) source: IpNet,
    pub(super) length: Duration,
    /// This one included.
    pub(super) repeats: u32,
    pub(super) offence: Offence,
}

/// All sources that are remembered.
#[derive(Default)]
pub(super) struct Penalties {
    ipv4: Table,
    ipv6: Table,
    /// Changed since they were last kept; only who was ever refused is kept at all.
    dirty: HashSet<IpNet>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// The end of what has come together.
    until: UnixMs,
    /// Enough has come together to be refused until then.
    active: bool,
    /// Penalties that began, as far as they are remembered.
    repeats: u32,
    forget_at: UnixMs,
    offence: Offence,
}

/// Sources of one family, in three orders.
#[derive(Default)]
struct Table {
    entries: HashMap<IpNet, Entry>,
    /// Who was never refused, by `forget_at`.
    newcomers: BTreeSet<(UnixMs, IpNet)>,
    /// Who was, by `forget_at`.
    offenders: BTreeSet<(UnixMs, IpNet)>,
    /// Everybody, by `until`.
    ends: BTreeSet<(UnixMs, IpNet)>,
}

impl Penalties {
    /// Adds what `offence` costs. Says if a penalty began with it.
    pub(super) fn note(
        &mut self,
        source: IpNet,
        offence: Offence,
        settings: &PenaltySettings,
        now: UnixMs,
    ) -> Option<Begun> {
        let time = settings.time_for(offence);
        if time.is_zero() {
            return None;
        }
        let (table, max) = self.table(source, settings);
        table.expire(now);
        let known = table.remove(source);
        if known.is_none() && !table.make_room(max, settings.overflow, now) {
            return None;
        }
        let fresh = Entry { until: now, active: false, repeats: 0, forget_at: now, offence };
        let mut entry = known.unwrap_or(fresh);
        let begins = entry.add(offence, time, settings, now);
        table.insert(source, entry);
        if entry.repeats > 0 {
            self.dirty.insert(source);
        }
        let (length, repeats) = (entry.until.since(now), entry.repeats);
        begins.then_some(Begun { source, length, repeats, offence })
    }

    /// How long `source` is still refused; `None` if it is not.
    pub(super) fn refused_for(&self, source: IpNet, now: UnixMs) -> Option<Duration> {
        let table = if is_ipv4(source) { &self.ipv4 } else { &self.ipv6 };
        table.entries.get(&source).and_then(|entry| entry.refused_for(now))
    }

    /// Whether the table for `source` has no room, and the settings want nobody then.
    pub(super) fn denies_all(
        &mut self,
        source: IpNet,
        settings: &PenaltySettings,
        now: UnixMs,
    ) -> bool {
        let (table, max) = self.table(source, settings);
        settings.overflow == Overflow::DenyAll
            && table.entries.len() >= max
            && table.ends.first().is_some_and(|(until, _)| *until > now)
    }

    /// What is remembered at `now`, in no order.
    pub(super) fn list(&self, settings: &PenaltySettings, now: UnixMs) -> Vec<Penalty> {
        let all = self.ipv4.entries.iter().chain(&self.ipv6.entries);
        let remembered = all.filter(|(_, entry)| entry.forget_at > now);
        let view = |(source, entry): (&IpNet, &Entry)| {
            let mut entry = *entry;
            entry.settle(settings, now);
            Penalty {
                source: *source,
                refused_for: entry.refused_for(now).unwrap_or_default(),
                repeats: entry.repeats,
                forgotten_in: entry.forget_at.since(now),
                offence: entry.offence,
            }
        };
        remembered.map(view).collect()
    }

    /// Forgets these sources; says how many there were.
    pub(super) fn remove(&mut self, unban: Unban) -> usize {
        self.remove_where(|source| unban.lifts(source))
    }

    /// Forgets the sources that `gone` names; says how many there were.
    pub(super) fn remove_where(&mut self, gone: impl Fn(&IpNet) -> bool) -> usize {
        let mut removed = 0;
        for table in [&mut self.ipv4, &mut self.ipv6] {
            let sources: Vec<_> = table.entries.keys().copied().filter(&gone).collect();
            removed += sources.len();
            for source in sources {
                table.remove(source);
                self.dirty.remove(&source);
            }
        }
        removed
    }

    /// Brings the tables to new bounds.
    pub(super) fn shrink(&mut self, settings: &PenaltySettings, now: UnixMs) {
        self.ipv4.shrink(settings.max_sources4, now);
        self.ipv6.shrink(settings.max_sources6, now);
    }

    /// Takes what was kept, the worst first.
    pub(super) fn load(&mut self, kept: &[StoredPenalty], settings: &PenaltySettings, now: UnixMs) {
        for penalty in kept {
            let (table, max) = self.table(penalty.source, settings);
            if table.entries.len() >= max {
                continue;
            }
            // A clock that was wrong when it was kept must not refuse a source for years.
            let latest = now.after(settings.max_repeated);
            let until = UnixMs::from_seconds(penalty.until).min(latest);
            let mut entry = Entry {
                until,
                active: until > now,
                repeats: penalty.offences.min(PENALTY_REPEATS_MAX),
                forget_at: until,
                offence: Offence::of_name(&penalty.reason).unwrap_or(Offence::AuthFailed),
            };
            entry.forget_at = entry.forgotten_at(settings);
            if entry.forget_at > now {
                table.remove(penalty.source);
                table.insert(penalty.source, entry);
            }
        }
    }

    /// What changed since the last call and is to be kept.
    pub(super) fn take_dirty(&mut self) -> Vec<StoredPenalty> {
        let stored = |source: IpNet| {
            let table = if is_ipv4(source) { &self.ipv4 } else { &self.ipv6 };
            // Who was forgotten meanwhile is forgotten by the state in its own time.
            table.entries.get(&source).map(|entry| StoredPenalty {
                source,
                until: entry.until.to_seconds(),
                offences: entry.repeats,
                forget_at: entry.forget_at.to_seconds(),
                reason: entry.offence.name().to_owned(),
            })
        };
        std::mem::take(&mut self.dirty).into_iter().filter_map(stored).collect()
    }

    /// These could not be kept: they will be among the next.
    pub(super) fn mark_dirty(&mut self, penalties: &[StoredPenalty]) {
        for penalty in penalties {
            let table = if is_ipv4(penalty.source) { &self.ipv4 } else { &self.ipv6 };
            if table.entries.contains_key(&penalty.source) {
                self.dirty.insert(penalty.source);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.ipv4.entries.len() + self.ipv6.entries.len()
    }

    fn table(&mut self, source: IpNet, settings: &PenaltySettings) -> (&mut Table, usize) {
        if is_ipv4(source) {
            (&mut self.ipv4, settings.max_sources4)
        } else {
            (&mut self.ipv6, settings.max_sources6)
        }
    }
}

fn is_ipv4(source: IpNet) -> bool {
    matches!(source, IpNet::V4(_))
}

impl Entry {
    /// Adds `time`, and more the more penalties there were before this one. True if one begins.
    fn add(
        &mut self,
        offence: Offence,
        time: Duration,
        settings: &PenaltySettings,
        now: UnixMs,
    ) -> bool {
        self.settle(settings, now);
        let earlier = self.repeats - u32::from(self.active);
        let factor = 1 << earlier.min(PENALTY_REPEATS_MAX);
        let longest = settings.max.saturating_mul(factor).min(settings.max_repeated);
        let end = self.until.max(now).after(time.saturating_mul(factor));
        self.until = end.min(now.after(longest));
        self.offence = offence;
        let begins = !self.active && self.until.since(now) > settings.min;
        if begins {
            self.active = true;
            self.repeats = (self.repeats + 1).min(PENALTY_REPEATS_MAX);
        }
        self.forget_at = self.forgotten_at(settings);
        begins
    }

    /// Ends a penalty whose time is over, and forgets earlier ones whose time is. Only for copies,
    /// or before `until` changes: the time since `until` counts once.
    fn settle(&mut self, settings: &PenaltySettings, now: UnixMs) {
        if self.until > now {
            return;
        }
        self.active = false;
        let quiet = now.since(self.until).as_millis();
        let forgotten = quiet.checked_div(settings.forget_after.as_millis());
        let forgotten = forgotten.map_or(u32::MAX, |n| u32::try_from(n).unwrap_or(u32::MAX));
        self.repeats = self.repeats.saturating_sub(forgotten);
    }

    fn forgotten_at(&self, settings: &PenaltySettings) -> UnixMs {
        self.until.after(settings.forget_after.saturating_mul(self.repeats))
    }

    fn refused_for(&self, now: UnixMs) -> Option<Duration> {
        (self.active && self.until > now).then(|| self.until.since(now))
    }
}

impl Table {
    fn insert(&mut self, source: IpNet, entry: Entry) {
        self.order(&entry).insert((entry.forget_at, source));
        self.ends.insert((entry.until, source));
        self.entries.insert(source, entry);
    }

    fn remove(&mut self, source: IpNet) -> Option<Entry> {
        let entry = self.entries.remove(&source)?;
        self.order(&entry).remove(&(entry.forget_at, source));
        self.ends.remove(&(entry.until, source));
        Some(entry)
    }

    fn order(&mut self, entry: &Entry) -> &mut BTreeSet<(UnixMs, IpNet)> {
        if entry.repeats == 0 { &mut self.newcomers } else { &mut self.offenders }
    }

    /// Forgets whoever does not matter any more.
    fn expire(&mut self, now: UnixMs) {
        let over = |order: &BTreeSet<(UnixMs, IpNet)>| {
            order.first().filter(|(forget_at, _)| *forget_at <= now).map(|(_, source)| *source)
        };
        while let Some(source) = over(&self.newcomers).or_else(|| over(&self.offenders)) {
            self.remove(source);
        }
    }

    /// Makes room for one more; false if there is none.
    fn make_room(&mut self, max: usize, overflow: Overflow, now: UnixMs) -> bool {
        if max == 0 {
            return false;
        }
        while self.entries.len() >= max {
            let goes = match overflow {
                Overflow::Permissive => self.least(max),
                // Who is refused stays; who is only remembered may go.
                Overflow::DenyAll => self.ends.first().filter(|(until, _)| *until <= now).copied(),
            };
            let Some((_, source)) = goes else { return false };
            self.remove(source);
        }
        true
    }

    /// Who is missed least: of those who were never refused while they take up more than their
    /// share, else of all the others. The share lets newcomers show what they are while the table is
    /// full of offenders.
    fn least(&self, max: usize) -> Option<(UnixMs, IpNet)> {
        let share = (max / NEWCOMERS_SHARE).max(1);
        let (first, then) = if self.newcomers.len() >= share {
            (&self.newcomers, &self.offenders)
        } else {
            (&self.offenders, &self.newcomers)
        };
        first.first().or_else(|| then.first()).copied()
    }

    fn shrink(&mut self, max: usize, now: UnixMs) {
        self.expire(now);
        while self.entries.len() > max
            && let Some((_, source)) = self.least(max)
        {
            self.remove(source);
        }
    }
}
