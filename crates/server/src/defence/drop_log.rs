//! Which dropped connections get a line in the log: one a minute for each source, with a count.

use std::collections::HashMap;

use ipnet::IpNet;

use super::DropReason;
use super::clock::UnixMs;
use crate::limits::{DROP_LINE_PAUSE, DROP_LOG_SOURCES_MAX};

/// Drops that were said and those that were not yet.
#[derive(Default)]
pub(super) struct DropLog {
    /// `None` stands for all sources beyond the bound.
    windows: HashMap<Option<IpNet>, Window>,
}

struct Window {
    said_at: UnixMs,
    unsaid: u64,
    reason: DropReason,
}

/// One line of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// `None` for several sources.
    pub(super) source: Option<IpNet>,
    pub(super) connections: u64,
    /// Of the last of them.
    pub(super) reason: DropReason,
}

impl DropLog {
    /// One more drop; a line if it is time for one.
    pub(super) fn record(
        &mut self,
        source: IpNet,
        reason: DropReason,
        now: UnixMs,
    ) -> Option<Line> {
        let full = self.windows.len() >= DROP_LOG_SOURCES_MAX;
        let key = Some(source).filter(|_| !full || self.windows.contains_key(&Some(source)));
        let Some(window) = self.windows.get_mut(&key) else {
            self.windows.insert(key, Window { said_at: now, unsaid: 0, reason });
            return Some(Line { source: key, connections: 1, reason });
        };
        window.unsaid += 1;
        window.reason = reason;
        window.line_if_due(key, now)
    }

    /// What was not said yet and is due; forgets sources that went quiet.
    pub(super) fn take_due(&mut self, now: UnixMs) -> Vec<Line> {
        let mut lines = Vec::new();
        self.windows.retain(|source, window| {
            let quiet = window.unsaid == 0 && window.is_over(now);
            lines.extend(window.line_if_due(*source, now));
            !quiet
        });
        lines
    }
}

impl Window {
    fn is_over(&self, now: UnixMs) -> bool {
        now >= self.said_at.after(DROP_LINE_PAUSE)
    }

    fn line_if_due(&mut self, source: Option<IpNet>, now: UnixMs) -> Option<Line> {
        if self.unsaid == 0 || !self.is_over(now) {
            return None;
        }
        let connections = std::mem::take(&mut self.unsaid);
        self.said_at = now;
        Some(Line { source, connections, reason: self.reason })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(n: u32) -> IpNet {
        IpNet::from(std::net::IpAddr::from(n.to_be_bytes()))
    }

    fn at(seconds: i64) -> UnixMs {
        UnixMs(1_700_000_000_000 + 1000 * seconds)
    }

    #[test]
    fn the_first_drop_is_said_and_the_next_ones_are_counted() {
        let reason = DropReason::Penalised;
        let mut log = DropLog::default();
        let line = |n, connections| Line { source: Some(source(n)), connections, reason };

        assert_eq!(log.record(source(1), reason, at(0)), Some(line(1, 1)));
        for second in 1..60 {
            assert_eq!(log.record(source(1), reason, at(second)), None);
        }
        assert_eq!(log.record(source(2), reason, at(59)), Some(line(2, 1)), "a source of its own");
        assert_eq!(log.record(source(1), reason, at(60)), Some(line(1, 60)));
        assert_eq!(log.record(source(1), reason, at(61)), None);
    }

    #[test]
    fn what_was_not_said_is_said_when_no_more_come() {
        let reason = DropReason::TooManyStartups;
        let mut log = DropLog::default();
        log.record(source(1), reason, at(0));
        log.record(source(1), reason, at(1));
        log.record(source(2), reason, at(2));

        assert_eq!(log.take_due(at(59)), []);
        let said = Line { source: Some(source(1)), connections: 1, reason };
        assert_eq!(log.take_due(at(60)), [said]);
        assert_eq!(log.take_due(at(200)), []);
        assert!(log.windows.is_empty(), "quiet sources are forgotten");
    }

    #[test]
    fn many_sources_are_bounded_in_memory_and_lines() {
        let reason = DropReason::Penalised;
        let mut log = DropLog::default();

        let lines = (0..200_000).filter_map(|n| log.record(source(n), reason, at(0))).count();

        assert_eq!(lines, DROP_LOG_SOURCES_MAX + 1);
        assert_eq!(log.windows.len(), DROP_LOG_SOURCES_MAX + 1);
        let others = Line { source: None, connections: 200_000 - lines as u64, reason };
        assert_eq!(log.take_due(at(60)), [others]);
    }
}
