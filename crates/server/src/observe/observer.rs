//! Whose session it is, what it has moved, and its records.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use sterna_audit::{Audit, Record};
use sterna_identity::{Refusal, User};
use sterna_ssh_tokio::now;

use super::latency::Latency;
use super::metrics::Metrics;
use super::moves::FileMoves;
use crate::limits::{MOVING_LISTED_MAX, REFUSALS_RECORDED_MAX};

/// What a login says about itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoginFacts {
    /// One for each step: the method, and which key, certificate or host it was.
    pub(crate) proofs: Vec<String>,
    /// The client's version line.
    pub(crate) client: Vec<u8>,
    pub(crate) read_only: bool,
    /// What the user sees as `/`.
    pub(crate) root: Vec<u8>,
}

/// One session that is logged in. Shared by its connection, its channels, and those who list sessions.
pub(crate) struct Observer {
    id: Arc<str>,
    user: Arc<User>,
    source: SocketAddr,
    login: LoginFacts,
    since: SystemTime,
    began: Instant,
    /// Seconds from the beginning to the last bytes of the client.
    last_active: AtomicU32,
    /// Of files that are closed.
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    transfers: AtomicU32,
    open: Mutex<Vec<Arc<FileMoves>>>,
    refusals: AtomicU32,
    audit: Option<Audit>,
    metrics: Option<Arc<Metrics>>,
}

/// A session in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionInfo {
    pub id: String,
    pub user: String,
    pub source: SocketAddr,
    /// Methods and keys, a step each.
    pub login: Vec<String>,
    /// The client's version line, unproven.
    pub client: Vec<u8>,
    pub since: SystemTime,
    pub lasts: Duration,
    /// Since the client last sent something.
    pub idle: Duration,
    /// Bytes of files, from the client and to it.
    pub bytes_in: u64,
    pub bytes_out: u64,
    pub open_files: usize,
    /// Open files through which something moved, those with the most bytes first.
    pub moving: Vec<Moving>,
}

/// An open file in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moving {
    /// As the user sees it.
    pub path: Vec<u8>,
    /// From the client and to it.
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Since it was opened.
    pub lasts: Duration,
}

impl Observer {
    pub(crate) fn new(
        id: Arc<str>,
        user: Arc<User>,
        source: SocketAddr,
        login: LoginFacts,
        audit: Option<Audit>,
        metrics: Option<Arc<Metrics>>,
    ) -> Self {
        Self {
            id,
            user,
            source,
            login,
            since: SystemTime::now(),
            began: now(),
            last_active: AtomicU32::new(0),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            transfers: AtomicU32::new(0),
            open: Mutex::default(),
            refusals: AtomicU32::new(0),
            audit,
            metrics,
        }
    }

    /// A clock for requests, if somebody asks for figures.
    pub(crate) fn latency(&self, now: Instant) -> Option<Box<Latency>> {
        let metrics = Arc::clone(self.metrics.as_ref()?);
        Some(Box::new(Latency::new(metrics, now)))
    }

    /// The session is over and in no list any more: its sums go to those of the server.
    pub(crate) fn leave(&self) {
        if let Some(metrics) = &self.metrics {
            let (bytes_in, bytes_out) = self.bytes();
            metrics.bytes_in.fetch_add(bytes_in, Ordering::Relaxed);
            metrics.bytes_out.fetch_add(bytes_out, Ordering::Relaxed);
        }
    }

    pub(crate) fn open_len(&self) -> usize {
        self.open_files().len()
    }

    /// The client has sent something.
    pub(crate) fn touch(&self, now: Instant) {
        let seconds = now.saturating_duration_since(self.began).as_secs();
        self.last_active.store(seconds.try_into().unwrap_or(u32::MAX), Ordering::Relaxed);
    }

    /// Since the client last sent something, to a second.
    pub(crate) fn idle(&self) -> Duration {
        let last_active = Duration::from_secs(self.last_active.load(Ordering::Relaxed).into());
        (now() - self.began).saturating_sub(last_active)
    }

    /// Nobody may be served now.
    pub(crate) fn is_stopped(&self) -> bool {
        self.audit.as_ref().is_some_and(Audit::is_stopped)
    }

    /// Whether something may be done that needs a record afterwards.
    pub(crate) fn may_act(&self) -> bool {
        self.audit.as_ref().is_none_or(Audit::may_act)
    }

    pub(crate) fn has_audit(&self) -> bool {
        self.audit.is_some()
    }

    /// A record of this session, if there is an audit log.
    pub(crate) fn new_record(&self, event: &'static str) -> Option<Record> {
        self.audit.as_ref()?;
        let record = Record::new(event).session(Arc::clone(&self.id));
        Some(record.user(self.user.name.as_bytes()).source(self.source))
    }

    pub(crate) fn record(&self, record: Record) {
        if let Some(audit) = &self.audit {
            audit.record(record);
        }
    }

    /// Something is not permitted. So many of a session are recorded; the others are counted.
    pub(crate) fn refused(&self, operation: &'static str, rule: &'static str, path: Option<&[u8]>) {
        if let Some(metrics) = &self.metrics {
            metrics.refused(rule);
        }
        let before = self.refusals.fetch_add(1, Ordering::Relaxed);
        if before >= REFUSALS_RECORDED_MAX {
            return;
        }
        if let Some(record) = self.new_record("refused") {
            let record = record.result("not permitted").rule(rule).with("operation", operation);
            self.record(record.with_some("path", path));
        }
    }

    pub(crate) fn logged_in(&self) {
        if let Some(metrics) = &self.metrics {
            let last = self.login.proofs.last().and_then(|proof| proof.split(' ').next());
            metrics.logged_in(last.unwrap_or_default());
        }
        if let Some(record) = self.new_record("login") {
            let LoginFacts { proofs, client, read_only, root } = &self.login;
            self.record(
                record
                    .with("by", proofs.clone())
                    .with("client", &client[..])
                    .with("read_only", *read_only)
                    .with("root", &root[..]),
            );
        }
    }

    pub(crate) fn logged_out(&self, why: &str) {
        let Some(record) = self.new_record("logout") else { return };
        let (bytes_in, bytes_out) = self.bytes();
        let unrecorded = self.refusals.load(Ordering::Relaxed).checked_sub(REFUSALS_RECORDED_MAX);
        let unrecorded = unrecorded.filter(|count| *count > 0).map(u64::from);
        self.record(
            record
                .with("why", why)
                .duration(now() - self.began)
                .with("bytes_in", bytes_in)
                .with("bytes_out", bytes_out)
                .with("transfers", u64::from(self.transfers.load(Ordering::Relaxed)))
                .with_some("refusals_unrecorded", unrecorded),
        );
    }

    pub(crate) fn opened(&self, moves: &Arc<FileMoves>) {
        self.open_files().push(Arc::clone(moves));
    }

    /// A file was closed, or its session has ended. `writes`: it was opened for writing, so even
    /// nothing is a transfer.
    pub(crate) fn closed(
        &self,
        moves: &Arc<FileMoves>,
        writes: bool,
        result: &str,
        digest: Option<String>,
    ) {
        let mut open = self.open_files();
        open.retain(|other| !Arc::ptr_eq(other, moves));
        if open.is_empty() {
            *open = Vec::new();
        }
        // The sums are those of open files and of closed ones: no file is in both.
        let (read, written) = (moves.read.bytes(), moves.written.bytes());
        self.bytes_in.fetch_add(written, Ordering::Relaxed);
        self.bytes_out.fetch_add(read, Ordering::Relaxed);
        drop(open);
        if !writes && read == 0 {
            return;
        }
        self.transfers.fetch_add(1, Ordering::Relaxed);
        if let Some(metrics) = &self.metrics {
            metrics.transfers.fetch_add(1, Ordering::Relaxed);
        }
        let Some(record) = self.new_record("transfer") else { return };
        let direction = match (read > 0, writes && written > 0) {
            (true, true) => "both",
            (true, false) => "download",
            (false, _) => "upload",
        };
        // Closing may go well where writing did not.
        let result = match result {
            "ok" if moves.has_failed() => "a read or write failed",
            other => other,
        };
        let mut record = record
            .result(result.to_owned())
            .with("path", &moves.path[..])
            .with("direction", direction);
        if writes {
            record = record.with("written_bytes", written);
            if let Some((from, to)) = moves.written.range() {
                record = record.with("written_from", from).with("written_to", to);
            }
        }
        if let Some((from, to)) = moves.read.range() {
            record = record.with("read_bytes", read).with("read_from", from).with("read_to", to);
        }
        self.record(record.with_some("digest", digest).duration(now() - moves.began));
    }

    /// Bytes of files, from the client and to it.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let open = self.open_files();
        let closed =
            (self.bytes_in.load(Ordering::Relaxed), self.bytes_out.load(Ordering::Relaxed));
        open.iter().fold(closed, |(bytes_in, bytes_out), file| {
            (bytes_in + file.written.bytes(), bytes_out + file.read.bytes())
        })
    }

    pub(crate) fn info(&self) -> SessionInfo {
        let (bytes_in, bytes_out) = self.bytes();
        let lasts = now() - self.began;
        let open = self.open_files();
        let open_files = open.len();
        let mut moving: Vec<Moving> = open
            .iter()
            .map(|file| Moving {
                path: file.path.clone(),
                bytes_in: file.written.bytes(),
                bytes_out: file.read.bytes(),
                lasts: now() - file.began,
            })
            .filter(|file| file.bytes_in + file.bytes_out > 0)
            .collect();
        drop(open);
        moving.sort_by_key(|file| std::cmp::Reverse(file.bytes_in + file.bytes_out));
        moving.truncate(MOVING_LISTED_MAX);
        SessionInfo {
            id: self.id.to_string(),
            user: self.user.name.clone(),
            source: self.source,
            login: self.login.proofs.clone(),
            client: self.login.client.clone(),
            since: self.since,
            lasts,
            idle: self.idle(),
            bytes_in,
            bytes_out,
            open_files,
            moving,
        }
    }

    fn open_files(&self) -> MutexGuard<'_, Vec<Arc<FileMoves>>> {
        // A list of pointers is never half changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A login that was refused, of a connection that is not a session yet.
pub(crate) fn login_refused(
    audit: &Audit,
    connection: &Arc<str>,
    user: &[u8],
    source: SocketAddr,
    method: &'static str,
    refusal: &Refusal,
    client: &[u8],
) {
    audit.record(
        Record::new("login-refused")
            .session(Arc::clone(connection))
            .user(user)
            .source(source)
            .result(refusal.to_string())
            .rule(refusal.reason.rule())
            .with("method", method)
            .with("client", client),
    );
}
