//! How long the requests of one session take, and what it waits for. Time comes from the connection, which
//! reads the clock once for all that one wake-up brings.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::metrics::{Cause, Metrics, bucket_of};
use crate::limits::REQUESTS_MAX;

/// The clock of one session, and its requests that are not answered.
pub(crate) struct Latency {
    metrics: Arc<Metrics>,
    began: Instant,
    /// Microseconds since then; goes round after an hour, which differences survive.
    now: u32,
    /// In the order of arrival. Mostly the first one is answered first.
    asked: VecDeque<Asked>,
    /// Answers that are not in the shared counters yet: all of one row and bucket.
    tally: Tally,
    waits: Option<(Cause, u32)>,
}

struct Asked {
    id: u32,
    at: u32,
    row: u8,
}

#[derive(Clone, Copy, Default)]
struct Tally {
    row: u8,
    bucket: u8,
    count: u32,
    sum_us: u64,
}

impl Latency {
    pub(crate) fn new(metrics: Arc<Metrics>, now: Instant) -> Self {
        Self {
            metrics,
            began: now,
            now: 0,
            asked: VecDeque::new(),
            tally: Tally::default(),
            waits: None,
        }
    }

    pub(crate) fn set_now(&mut self, now: Instant) {
        self.now = now.saturating_duration_since(self.began).as_micros() as u32;
    }

    /// A request has arrived. Beyond the bound of a session's requests none is noted.
    pub(crate) fn asked(&mut self, id: u32, row: usize) {
        if self.asked.len() <= REQUESTS_MAX {
            self.asked.push_back(Asked { id, at: self.now, row: row as u8 });
        }
    }

    /// Its reply is ready.
    pub(crate) fn answered(&mut self, id: u32) {
        let Some(at) = self.asked.iter().position(|asked| asked.id == id) else { return };
        let Some(asked) = self.asked.remove(at) else { return };
        let micros = self.now.wrapping_sub(asked.at);
        let bucket = bucket_of(micros) as u8;
        if (self.tally.row, self.tally.bucket) != (asked.row, bucket) {
            self.flush();
            (self.tally.row, self.tally.bucket) = (asked.row, bucket);
        }
        self.tally.count += 1;
        self.tally.sum_us += u64::from(micros);
    }

    /// Brings what was counted to the others; `waits_for` is what the session waits for from now on.
    pub(crate) fn end_turn(&mut self, waits_for: Option<Cause>) {
        self.flush();
        if let Some((cause, since)) = self.waits {
            let micros = self.now.wrapping_sub(since);
            self.metrics.waited(cause, Duration::from_micros(micros.into()));
        }
        self.waits = waits_for.map(|cause| (cause, self.now));
    }

    /// Gives spare memory back.
    pub(crate) fn release(&mut self) {
        self.asked.shrink_to_fit();
    }

    fn flush(&mut self) {
        let Tally { row, bucket, count, sum_us } = self.tally;
        if count > 0 {
            self.metrics.answered(row.into(), bucket.into(), count.into(), sum_us);
            self.tally = Tally { row, bucket, count: 0, sum_us: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::Page;

    #[test]
    fn times_are_from_arrival_to_reply_and_waits_from_turn_to_turn() {
        let metrics = Arc::new(Metrics::default());
        let start = Instant::now();
        let mut latency = Latency::new(Arc::clone(&metrics), start);
        let names = ["read", "mkdir"];
        let [read, mkdir] =
            names.map(|name| crate::sftp::ROWS.iter().position(|row| row.name == name).unwrap());
        latency.asked(1, read);
        latency.asked(2, mkdir);
        latency.end_turn(Some(Cause::Disk));
        latency.set_now(start + Duration::from_millis(3));
        latency.asked(3, read);
        latency.answered(2);
        latency.answered(3);
        latency.answered(3);
        latency.end_turn(Some(Cause::ClientWindow));
        latency.set_now(start + Duration::from_millis(5));
        latency.answered(1);
        latency.end_turn(None);
        latency.set_now(start + Duration::from_secs(5000));
        latency.end_turn(None);

        let mut page = Page::default();
        metrics.render(&mut page);

        for line in [
            "sterna_request_seconds_bucket{operation=\"read\",le=\"0.0001\"} 1",
            "sterna_request_seconds_sum{operation=\"read\"} 0.005",
            "sterna_request_seconds_sum{operation=\"mkdir\"} 0.003",
            "sterna_request_seconds_count{operation=\"read\"} 2",
            "sterna_waiting_seconds_total{cause=\"disk\"} 0.003",
            "sterna_waiting_seconds_total{cause=\"client_window\"} 0.002",
        ] {
            assert!(page.text.lines().any(|l| l == line), "{line}: {}", page.text);
        }
        assert!(latency.asked.is_empty());
    }
}
