//! All figures of a server on one page, for Prometheus.

use std::fs;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use super::metrics::{Metrics, Page};
use crate::connection::Shared;

/// The figures of a server that was built with [`Builder::metrics`](crate::Builder::metrics).
pub struct Figures {
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
    /// The largest sums that were told: a session that just ended is missing for a moment, and a counter
    /// must not go back.
    told: Mutex<(u64, u64)>,
}

impl Figures {
    pub(crate) fn new(metrics: Arc<Metrics>, shared: Arc<Shared>) -> Self {
        Self { metrics, shared, told: Mutex::default() }
    }

    /// The page, in the text format 0.0.4. Looks at `/proc`, so it may block.
    pub fn render(&self) -> String {
        let mut page = Page::default();
        self.metrics.render(&mut page);
        self.sessions(&mut page);
        self.audit(&mut page);
        self.pools(&mut page);
        process(&mut page);
        page.text
    }

    fn sessions(&self, page: &mut Page) {
        let (mut bytes_in, mut bytes_out) = (
            self.metrics.bytes_in.load(Ordering::Relaxed),
            self.metrics.bytes_out.load(Ordering::Relaxed),
        );
        let (mut sessions, mut files) = (0_usize, 0);
        self.shared.sessions.for_each(|observer| {
            let (more_in, more_out) = observer.bytes();
            bytes_in += more_in;
            bytes_out += more_out;
            sessions += 1;
            files += observer.open_len();
        });
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        *told = (told.0.max(bytes_in), told.1.max(bytes_out));
        let (bytes_in, bytes_out) = *told;
        drop(told);
        page.gauge("sessions", "Sessions that are logged in.", sessions as f64);
        page.gauge("open_files", "Files that clients have open.", files as f64);
        page.counter("file_bytes_in_total", "Bytes of files from clients.", bytes_in);
        page.counter("file_bytes_out_total", "Bytes of files to clients.", bytes_out);
        let transfers = self.metrics.transfers.load(Ordering::Relaxed);
        page.counter("transfers_total", "Files that were read or written and closed.", transfers);
    }

    fn audit(&self, page: &mut Page) {
        let Some(audit) = &self.shared.audit else { return };
        let status = audit.status();
        page.gauge("audit_queued", "Records that wait to be written.", status.queued as f64);
        page.gauge("audit_lag_seconds", "Age of the oldest of them.", status.lag.as_secs_f64());
        page.gauge("audit_failing", "1 if records cannot be written.", status.is_failing.into());
        page.counter("audit_written_total", "Records that were written.", status.written);
        page.counter("audit_lost_total", "Records that were lost.", status.lost);
    }

    fn pools(&self, page: &mut Page) {
        let resources = &self.shared.resources;
        page.head("pool_queued", "gauge", "Jobs that wait for a thread.");
        for (name, pool) in [
            ("io", &resources.io),
            ("syncs", &resources.syncs),
            ("long", &resources.long),
            ("logins", &self.shared.logins),
            ("signatures", &self.shared.signatures),
        ] {
            page.value("pool_queued", Some(("pool", name)), pool.queued() as f64);
        }
    }
}

/// Under the names that such figures have everywhere.
fn process(page: &mut Page) {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let resident = status.lines().find_map(|line| {
        let kib = line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?;
        kib.parse::<u64>().ok()
    });
    if let Some(kib) = resident {
        page.text += "# HELP process_resident_memory_bytes Resident memory.\n\
                      # TYPE process_resident_memory_bytes gauge\n";
        page.text += &format!("process_resident_memory_bytes {}\n", kib * 1024);
    }
    if let Ok(entries) = fs::read_dir("/proc/self/fd") {
        page.text += "# HELP process_open_fds Open file descriptors.\n\
                      # TYPE process_open_fds gauge\n";
        // The directory that is read is one of them.
        page.text += &format!("process_open_fds {}\n", entries.count().saturating_sub(1));
    }
}
