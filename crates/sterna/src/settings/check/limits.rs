//! `[limits]`: what peers can make grow, and how far.

use std::{ops::RangeInclusive, time::Duration};

use sterna_server::{ServerLimits, share_of};
use toml::Spanned;

use super::{Check, numbers::Numbers};
use crate::settings::{
    Source,
    machine::Machine,
    schema::{LimitsTable, NumberOrText},
};

/// Connections of one server: what a large machine's descriptors allow.
const CONNECTIONS_MAX: u64 = 1_000_000;
/// Channels of one connection; OpenSSH has ten.
const CHANNELS_MAX: u64 = 100;
/// Handles of one channel, and requests of it: each costs some hundred bytes.
const HANDLES_MAX: u64 = 65_536;
const REQUESTS_MAX: u64 = 4096;
/// Fewer would slow down every client that reads ahead.
const REQUESTS_MIN: u64 = 16;
/// Digests and copies of one channel at a time.
const LONG_JOBS_MAX: u64 = 64;
/// A year, in seconds.
const IDLE_S_MAX: u64 = 366 * 24 * 3600;
const MIB: u64 = 1 << 20;
/// Less than this many MiB would refuse everybody.
const MEMORY_MIB_MIN: u64 = 64;

/// The defaults on this machine.
pub fn limits_default() -> ServerLimits {
    let (machine, limits) = (Machine::here(), ServerLimits::default());
    let connections = machine.connections(limits.connections);
    ServerLimits {
        connections,
        connections_per_source: share_of(connections),
        sessions_per_user: share_of(connections),
        handles_total: machine.handles_total(connections, limits.handles_total),
        memory: machine.memory_max(),
        ..limits
    }
}

impl Check<'_> {
    pub(super) fn limits(&mut self, source: &Source, table: &LimitsTable) -> ServerLimits {
        let (machine, mut limits) = (Machine::here(), limits_default());
        let mut read = Numbers { check: self, source, table: "limits" };
        if let Some(connections) =
            read.count(&table.connections, "connections", 1..=CONNECTIONS_MAX, "connections")
        {
            limits.connections = connections;
            limits.connections_per_source = share_of(connections);
            limits.sessions_per_user = share_of(connections);
            limits.handles_total =
                machine.handles_total(connections, ServerLimits::default().handles_total);
        }
        for (value, key, place, range, unit) in [
            (
                &table.connections_per_source,
                "connections_per_source",
                &mut limits.connections_per_source,
                1..=CONNECTIONS_MAX,
                "connections",
            ),
            (
                &table.sessions_per_user,
                "sessions_per_user",
                &mut limits.sessions_per_user,
                1..=CONNECTIONS_MAX,
                "sessions",
            ),
            (&table.channels, "channels", &mut limits.channels, 1..=CHANNELS_MAX, "channels"),
            (&table.handles, "handles", &mut limits.handles, 1..=HANDLES_MAX, "handles"),
            (
                &table.dir_handles,
                "dir_handles",
                &mut limits.dir_handles,
                1..=HANDLES_MAX,
                "handles",
            ),
            (
                &table.handles_total,
                "handles_total",
                &mut limits.handles_total,
                1..=CONNECTIONS_MAX,
                "handles",
            ),
            (
                &table.requests,
                "requests",
                &mut limits.requests,
                REQUESTS_MIN..=REQUESTS_MAX,
                "requests",
            ),
            (&table.long_jobs, "long_jobs", &mut limits.long_jobs, 1..=LONG_JOBS_MAX, "jobs"),
        ] {
            if let Some(number) = read.count(value, key, range, unit) {
                *place = number;
            }
        }
        if let Some(idle) = read.number_or_none(&table.idle_s, "idle_s", 1..=IDLE_S_MAX, "seconds")
        {
            limits.idle = idle.map(Duration::from_secs);
        }
        let mib = MEMORY_MIB_MIN..=u64::MAX / MIB;
        if let Some(memory) = read.number_or_none(&table.memory_mib, "memory_mib", mib, "MiB") {
            limits.memory = memory.map(|mib| mib * MIB);
        }
        limits.dir_handles = limits.dir_handles.min(limits.handles);
        if !machine.has_descriptors_for(limits.connections, limits.handles_total) {
            self.trust.warn(format!(
                "limits: {} connections and {} handles are more than this process may have \
                 descriptors (ulimit -n, LimitNOFILE=)",
                limits.connections, limits.handles_total
            ));
        }
        limits
    }
}

impl Numbers<'_, '_, '_> {
    /// A number of things.
    fn count(
        &mut self,
        value: &Option<Spanned<u64>>,
        key: &str,
        range: RangeInclusive<u64>,
        unit: &str,
    ) -> Option<usize> {
        usize::try_from(self.number(value, key, range, unit)?).ok()
    }

    /// `None` if nothing was said or it was wrong; `Some(None)` for `"none"`.
    fn number_or_none(
        &mut self,
        value: &Option<Spanned<NumberOrText>>,
        key: &str,
        range: RangeInclusive<u64>,
        unit: &str,
    ) -> Option<Option<u64>> {
        let value = value.as_ref()?;
        let text = value.get_ref().0.as_str();
        if text == "none" {
            return Some(None);
        }
        if let Some(number) = text.parse().ok().filter(|number| range.contains(number)) {
            return Some(Some(number));
        }
        self.fail(value, key, format!("not {} or more {unit}, or \"none\"", range.start()));
        None
    }
}
