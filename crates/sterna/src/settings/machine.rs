//! What this machine lets one process have: descriptors and memory, from which the limits' defaults are made.

use std::{fs, sync::OnceLock};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors for everything but connections and handles: sockets, databases, logs, threads.
const DESCRIPTORS_RESERVED: u64 = 256;

/// What the defaults start from.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// Descriptors that the process may have.
    descriptors: u64,
    /// Memory that it may have, in bytes; `None` if nobody says.
    memory: Option<u64>,
}

impl Machine {
    /// This one, as it was when it was asked first: behind its walls a server cannot read it.
    pub fn here() -> Self {
        static HERE: OnceLock<Machine> = OnceLock::new();
        *HERE.get_or_init(Self::look)
    }

    fn look() -> Self {
        let descriptors = getrlimit(Resource::Nofile).maximum.unwrap_or(u64::MAX);
        Self { descriptors, memory: memory() }
    }

    /// Connections if nothing is said: as many as are useful, and three quarters of what descriptors allow.
    pub fn connections(&self, useful: usize) -> usize {
        let free = self.descriptors.saturating_sub(DESCRIPTORS_RESERVED);
        useful.min(usize::try_from(free / 4 * 3).unwrap_or(usize::MAX)).max(16)
    }

    /// Handles of all sessions if nothing is said: what `connections` leave.
    pub fn handles_total(&self, connections: usize, useful: usize) -> usize {
        let taken = DESCRIPTORS_RESERVED.saturating_add(connections as u64);
        let left = self.descriptors.saturating_sub(taken);
        useful.min(usize::try_from(left).unwrap_or(usize::MAX)).max(64)
    }

    /// Memory above which nobody new is let in, if nothing is said: nine tenths of what there is.
    pub fn memory_max(&self) -> Option<u64> {
        self.memory.map(|bytes| bytes / 10 * 9)
    }

    /// Whether so many connections and handles fit.
    pub fn has_descriptors_for(&self, connections: usize, handles: usize) -> bool {
        let wanted = (connections as u64).saturating_add(handles as u64);
        wanted.saturating_add(DESCRIPTORS_RESERVED) <= self.descriptors
    }
}

/// Takes as many descriptors as the system gives this process; most start with far fewer.
pub fn raise_descriptors() {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, ?current, "the limit of descriptors stays as it is");
    }
}

/// What the control group allows, or what is built in.
fn memory() -> Option<u64> {
    let group = fs::read_to_string("/proc/self/cgroup").ok().and_then(|text| {
        let path = text.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned();
        let max = fs::read_to_string(format!("/sys/fs/cgroup{path}/memory.max")).ok()?;
        max.trim().parse::<u64>().ok()
    });
    let all = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        Some(total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
    });
    match (group, all) {
        (Some(group), Some(all)) => Some(group.min(all)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_fit_into_what_there_is() {
        for descriptors in [256, 1024, 20_000, 524_288, u64::MAX] {
            let machine = Machine { descriptors, memory: Some(1 << 30) };
            let connections = machine.connections(16_384);
            let handles = machine.handles_total(connections, 16_384);

            let fits = machine.has_descriptors_for(connections, handles);
            assert_eq!(fits, descriptors > 256, "{descriptors}: {connections} {handles}");
        }
        let small = Machine { descriptors: 1024, memory: None };
        assert_eq!((small.connections(16_384), small.memory_max()), (576, None));
        assert_eq!(Machine::here().connections(10), 16);
    }
}
