//! Figures of a server, in plain counters with fixed labels: names of operations, methods, rules, reasons.
//!
//! Every counter exists from the start and is found by its index, so that counting is one addition. The
//! histograms are ours: a library's handle keeps every single sample until somebody asks, and these are
//! sixteen numbers for each operation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sterna_identity::{Method, Reason};

use crate::defence::DropReason;
use crate::sftp::ROWS;

/// Upper bounds of the buckets of a latency, in microseconds; one more holds what is longer.
pub(crate) const BUCKETS_US: [u32; 15] = [
    100, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// What a session waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Replies are there and the client has no room for them.
    ClientWindow,
    /// Reads, writes and other calls of the storage are under way.
    Disk,
    /// Digests and copies are under way, or wait for their turn.
    LongWork,
    /// The session has as many requests or bytes under way as it may.
    Limit,
    /// A password's hash, a program outside, or a signature, at login and key exchange.
    Crypto,
}

impl Cause {
    const ALL: [Self; 5] =
        [Self::ClientWindow, Self::Disk, Self::LongWork, Self::Limit, Self::Crypto];

    fn name(self) -> &'static str {
        match self {
            Self::ClientWindow => "client_window",
            Self::Disk => "disk",
            Self::LongWork => "long_work",
            Self::Limit => "limit",
            Self::Crypto => "crypto",
        }
    }
}

/// All counters of a server.
pub(crate) struct Metrics {
    pub(crate) connections: AtomicU64,
    drops: Counters,
    logins: Counters,
    login_refusals: Counters,
    refusals: Counters,
    latencies: Vec<Histogram>,
    waits_us: [AtomicU64; Cause::ALL.len()],
    /// Bytes of files of sessions that are over.
    pub(crate) bytes_in: AtomicU64,
    pub(crate) bytes_out: AtomicU64,
    pub(crate) transfers: AtomicU64,
}

/// A counter for each of some names.
struct Counters(Vec<(&'static str, AtomicU64)>);

#[derive(Default)]
struct Histogram {
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

/// Rules by which operations are refused.
const OPERATION_RULES: [&str; 3] = ["user.read_only", "user.denied", "permissions"];

impl Counters {
    fn new(names: impl IntoIterator<Item = &'static str>) -> Self {
        let mut names: Vec<_> = names.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        Self(names.into_iter().map(|name| (name, AtomicU64::new(0))).collect())
    }

    fn count(&self, name: &str, more: u64) {
        if let Ok(at) = self.0.binary_search_by_key(&name, |(name, _)| name) {
            self.0[at].1.fetch_add(more, Ordering::Relaxed);
        }
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            connections: AtomicU64::new(0),
            drops: Counters::new(DropReason::ALL.iter().map(|reason| reason.name())),
            logins: Counters::new(Method::ALL.iter().map(|method| method.name())),
            login_refusals: Counters::new(Reason::ALL.iter().map(|reason| reason.rule())),
            refusals: Counters::new(OPERATION_RULES),
            latencies: ROWS.iter().map(|_| Histogram::default()).collect(),
            waits_us: Default::default(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            transfers: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    pub(crate) fn dropped(&self, reason: DropReason) {
        self.drops.count(reason.name(), 1);
    }

    /// Somebody logged in; `method` is that of the last step.
    pub(crate) fn logged_in(&self, method: &str) {
        self.logins.count(method, 1);
    }

    pub(crate) fn login_refused(&self, reason: Reason) {
        self.login_refusals.count(reason.rule(), 1);
    }

    pub(crate) fn refused(&self, rule: &str) {
        self.refusals.count(rule, 1);
    }

    /// `count` requests of a row took `sum_us` together, each of them so long that it is in this bucket.
    pub(crate) fn answered(&self, row: usize, bucket: usize, count: u64, sum_us: u64) {
        if let Some(latency) = self.latencies.get(row) {
            latency.buckets[bucket].fetch_add(count, Ordering::Relaxed);
            latency.sum_us.fetch_add(sum_us, Ordering::Relaxed);
        }
    }

    pub(crate) fn waited(&self, cause: Cause, length: Duration) {
        let micros = u64::try_from(length.as_micros()).unwrap_or(u64::MAX);
        self.waits_us[cause as usize].fetch_add(micros, Ordering::Relaxed);
    }

    /// Appends everything in Prometheus' text format.
    pub(crate) fn render(&self, page: &mut Page) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        page.counter(
            "connections_total",
            "Connections that were accepted.",
            get(&self.connections),
        );
        page.counters(
            "connections_dropped_total",
            "Connections closed at once.",
            "reason",
            &self.drops,
        );
        page.counters(
            "logins_total",
            "Logins, by the method of the last step.",
            "method",
            &self.logins,
        );
        page.counters("login_refusals_total", "Attempts refused.", "rule", &self.login_refusals);
        page.counters("refusals_total", "Operations refused.", "rule", &self.refusals);
        page.head("waiting_seconds_total", "counter", "Time that sessions waited, by cause.");
        for cause in Cause::ALL {
            let seconds = get(&self.waits_us[cause as usize]) as f64 / 1e6;
            page.value("waiting_seconds_total", Some(("cause", cause.name())), seconds);
        }
        let name = "request_seconds";
        page.head(name, "histogram", "From the arrival of a request to its reply, by operation.");
        for (row, latency) in ROWS.iter().zip(&self.latencies) {
            let counts = latency.buckets.each_ref().map(get);
            // Rows that nobody uses are left out.
            if counts.iter().all(|count| *count == 0) {
                continue;
            }
            let mut sum = 0;
            for (at, count) in counts.iter().enumerate() {
                sum += count;
                let bound = BUCKETS_US.get(at);
                let bound =
                    bound.map_or("+Inf".to_owned(), |us| (f64::from(*us) / 1e6).to_string());
                let labels = format!("{{operation=\"{}\",le=\"{bound}\"}}", row.name);
                page.line(&format!("{name}_bucket"), &labels, sum as f64);
            }
            let labels = format!("{{operation=\"{}\"}}", row.name);
            page.line(&format!("{name}_sum"), &labels, get(&latency.sum_us) as f64 / 1e6);
            page.line(&format!("{name}_count"), &labels, sum as f64);
        }
    }
}

/// The bucket of a latency.
pub(crate) fn bucket_of(micros: u32) -> usize {
    BUCKETS_US.iter().position(|bound| micros <= *bound).unwrap_or(BUCKETS_US.len())
}

/// A page in Prometheus' text format.
#[derive(Default)]
pub(crate) struct Page {
    pub(crate) text: String,
}

impl Page {
    /// Begins a figure.
    pub(crate) fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.text += &format!("# HELP sterna_{name} {help}\n# TYPE sterna_{name} {kind}\n");
    }

    fn line(&mut self, name: &str, labels: &str, value: f64) {
        self.text += &format!("sterna_{name}{labels} {value}\n");
    }

    /// One value of a figure. Labels are words of ours, without characters that need an escape.
    pub(crate) fn value(&mut self, name: &str, label: Option<(&str, &str)>, value: f64) {
        let labels = label.map_or(String::new(), |(key, word)| format!("{{{key}=\"{word}\"}}"));
        self.line(name, &labels, value);
    }

    pub(crate) fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.value(name, None, value as f64);
    }

    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: f64) {
        self.head(name, "gauge", help);
        self.value(name, None, value);
    }

    fn counters(&mut self, name: &str, help: &str, key: &str, all: &Counters) {
        self.head(name, "counter", help);
        for (word, count) in &all.0 {
            self.value(name, Some((key, word)), count.load(Ordering::Relaxed) as f64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_every_label_once_and_buckets_that_add_up() {
        let metrics = Metrics::default();
        metrics.logged_in("publickey");
        metrics.login_refused(Reason::WrongPassword);
        metrics.login_refused(Reason::PasswordTooLong);
        metrics.refused("user.read_only");
        metrics.dropped(DropReason::ServerFull);
        metrics.waited(Cause::Disk, Duration::from_millis(1500));
        let read = ROWS.iter().position(|row| row.name == "read").unwrap();
        metrics.answered(read, bucket_of(90), 3, 200);
        metrics.answered(read, bucket_of(20_000_000), 1, 20_000_000);
        let mut page = Page::default();

        metrics.render(&mut page);

        for line in [
            "sterna_logins_total{method=\"publickey\"} 1",
            "sterna_login_refusals_total{rule=\"password\"} 2",
            "sterna_refusals_total{rule=\"user.read_only\"} 1",
            "sterna_waiting_seconds_total{cause=\"disk\"} 1.5",
            "sterna_request_seconds_bucket{operation=\"read\",le=\"0.0001\"} 3",
            "sterna_request_seconds_bucket{operation=\"read\",le=\"10\"} 3",
            "sterna_request_seconds_bucket{operation=\"read\",le=\"+Inf\"} 4",
            "sterna_request_seconds_count{operation=\"read\"} 4",
            "sterna_request_seconds_sum{operation=\"read\"} 20.0002",
        ] {
            assert_eq!(
                page.text.lines().filter(|l| *l == line).count(),
                1,
                "{line}: {}",
                page.text
            );
        }
        assert!(!page.text.contains("operation=\"write\""));
    }

    #[test]
    fn bounds_belong_to_their_buckets() {
        assert_eq!(bucket_of(0), 0);
        assert_eq!(bucket_of(100), 0);
        assert_eq!(bucket_of(101), 1);
        assert_eq!(bucket_of(10_000_000), BUCKETS_US.len() - 1);
        assert_eq!(bucket_of(u32::MAX), BUCKETS_US.len());
    }
}
