//! Transfers of files and trees: pipelined, resumable, verified, safe against the names of a server.
//!
//! A file is written under a temporary name beside its target (`.NAME.sterna-part`), verified, and
//! renamed into place, so nobody ever sees half of it. The temporary name is one of two that belong to the
//! target: running the same transfer again finds what an interrupted one left, proves it and goes on from
//! there ([`resume`]). What failed is in the [`Summary`]; one bad file does not stop the others (CLT-15).

mod arrive;
mod blocks;
mod branch;
mod command_digests;
mod download;
mod flock;
mod handles;
mod hash;
mod lanes;
pub(crate) mod local;
mod names;
mod passing;
mod progress;
mod ranges;
mod rate;
mod refusals;
mod resume;
mod single;
mod small;
mod small_download;
mod sparse;
mod stripes;
#[cfg(test)]
mod tests;
mod tree;
mod upload;
pub mod verify;
mod waits;
mod window;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use sterna_ssh_crypto::{DigestAlgorithm, Digester};
use tokio::sync::{Semaphore, watch};

pub(crate) use arrive::not_kept;
pub use progress::{Action, Event, FileReport, Note, Progress, Quiet, Summary, Verified};
pub(crate) use single::{Carried, LocalFile, Mover, Place, Places, digest_local};
pub(crate) use upload::beside;

use crate::limits::{LOCAL_NAME_LEN_MAX, RETRIES_DEFAULT, WINDOW_MAX_LEN, WINDOW_START_LEN};
use crate::sftp::Sftp;
use crate::{Connection, Error, Reconnect, Session};
use command_digests::CommandDigests;
use handles::Handles;
use lanes::{Lane, Lanes};
use local::LocalDir;
use names::NewNames;
use rate::Rate;

/// What is done with symbolic links inside a tree. A source that is itself named is always followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Links {
    /// They are made again as links, saying the same; an absolute one may mean something else then.
    #[default]
    Keep,
    /// What they lead to is transferred.
    Follow,
    /// They are left out and counted as skipped.
    Skip,
}

/// How hard content is compared afterwards.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// As well as the server can: digests, else sizes.
    #[default]
    Auto,
    /// By digests, or the file fails.
    Require,
    Off,
}

/// What is done with holes in files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Sparse {
    /// Holes stay holes where they are known: those of local files, and of remote ones if the server
    /// tells.
    #[default]
    Auto,
    /// Zeros that arrive become holes, too.
    Always,
    /// Everything is written.
    Never,
}

/// How transfers are done.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directories are transferred with everything below them; else they are an error.
    pub recursive: bool,
    /// Modes (without set-id bits) and times are kept.
    pub preserve: bool,
    /// Modes and times that the target refuses are a note of the file, also with `preserve`; else that file
    /// fails.
    pub attrs_may_fail: bool,
    pub links: Links,
    pub verify: Verify,
    /// A part that an earlier attempt left is continued if it can be proven; else begun again.
    pub resume: bool,
    /// Content is brought to stable storage before it gets its name, and the name before the transfer is done,
    /// as far as the server can.
    pub fsync: bool,
    /// Written under the final name at once, for directories that allow no other: whoever looks meanwhile
    /// sees a mixture of old and new, and so it stays if the transfer is never completed.
    pub in_place: bool,
    /// A file that is replaced is compared with what it becomes, and only blocks that differ travel, if the
    /// server has digests (and, for uploads, can copy by itself).
    pub delta: bool,
    pub sparse: Sparse,
    /// Where the server cannot replace a target in one step, it is removed first, when what replaces it is
    /// complete and compared; the report says so. Else such a file fails.
    pub replace_in_two_steps: bool,
    /// Files of a tree in flight at once, at least 1; `None`: as many as make it faster.
    pub files_in_flight: Option<usize>,
    /// Tries to connect again after the connection was lost, in a row without anything advancing; 0: none.
    /// They need [`Transfer::reconnect`].
    pub retries: u32,
    /// Bytes of one file in flight: at first, and at most.
    pub window_start: usize,
    pub window_max: usize,
    /// Bytes of content a second at most, all files together.
    pub rate_max: Option<u64>,
    /// Where uploads keep their journals; default `$XDG_STATE_HOME/sterna` or `~/.local/state/sterna`.
    pub state_dir: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            recursive: false,
            preserve: false,
            attrs_may_fail: false,
            links: Links::Keep,
            verify: Verify::Auto,
            resume: true,
            fsync: true,
            in_place: false,
            delta: true,
            sparse: Sparse::Auto,
            replace_in_two_steps: true,
            files_in_flight: None,
            retries: RETRIES_DEFAULT,
            window_start: WINDOW_START_LEN,
            window_max: WINDOW_MAX_LEN,
            rate_max: None,
            state_dir: default_state_dir(),
        }
    }
}

/// A way to stop transfers from elsewhere, for example on Ctrl-C. What is there stays resumable.
#[derive(Clone, Debug)]
pub struct Cancel {
    sender: Arc<watch::Sender<bool>>,
}

impl Default for Cancel {
    fn default() -> Self {
        Self::new()
    }
}

impl Cancel {
    pub fn new() -> Self {
        Self { sender: Arc::new(watch::Sender::new(false)) }
    }

    /// Stops every transfer that holds a clone of this.
    pub fn cancel(&self) {
        self.sender.send_replace(true);
    }

    pub fn is_cancelled(&self) -> bool {
        *self.sender.borrow()
    }

    /// Completes when [`cancel`](Self::cancel) is called.
    pub async fn cancelled(&self) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.sender.subscribe().wait_for(|stop| *stop).await;
    }
}

/// Moves files between here and one server. Cheap to make.
#[derive(Clone)]
pub struct Transfer {
    sftp: Sftp,
    session: Option<Session>,
    reconnect: Option<Arc<dyn Reconnect>>,
    options: Options,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
}

impl Transfer {
    pub fn new(sftp: &Sftp) -> Self {
        Self {
            sftp: sftp.clone(),
            session: None,
            reconnect: None,
            options: Options::default(),
            progress: Arc::new(Quiet),
            cancel: Cancel::new(),
        }
    }

    /// Allows verifying by commands at the server (`sha256sum`) where SFTP has no means.
    #[must_use]
    pub fn session(mut self, session: &Session) -> Self {
        self.session = Some(session.clone());
        self
    }

    /// Goes on by itself on a new connection when the old one is lost; see [`Options::retries`].
    #[must_use]
    pub fn reconnect(mut self, reconnect: Arc<dyn Reconnect>) -> Self {
        self.reconnect = Some(reconnect);
        self
    }

    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    #[must_use]
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    #[must_use]
    pub fn cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Downloads `sources` to `target`.
    ///
    /// If `target` is a directory, everything goes into it under its own name. Else there must be one
    /// source, and `target` is its new name; for a directory it is made.
    ///
    /// # Errors
    /// [`Error::Usage`] or [`Error::Local`] if it cannot begin at all. What fails later is in the summary.
    ///
    /// # Cancelling
    /// Dropping the future stops everything at once; parts stay resumable.
    pub async fn get<S: AsRef<[u8]>>(
        &self,
        sources: &[S],
        target: &Path,
    ) -> Result<Summary, Error> {
        let sources: Vec<Vec<u8>> = sources.iter().map(|s| s.as_ref().to_vec()).collect();
        let context = self.context(None);
        tree::get(&context, &sources, target).await?;
        Ok(context.finish())
    }

    /// Uploads `sources` to `target`, by the same rules as [`get`](Self::get).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    ///
    /// # Cancelling
    /// As [`get`](Self::get).
    pub async fn put<P: AsRef<Path>>(
        &self,
        sources: &[P],
        target: &[u8],
    ) -> Result<Summary, Error> {
        let sources: Vec<PathBuf> = sources.iter().map(|s| s.as_ref().to_owned()).collect();
        let state_dir = self.options.state_dir.clone().filter(|_| self.options.resume);
        let journals = blocking(move || state_dir.and_then(|dir| open_state_dir(&dir))).await?;
        let context = self.context(journals);
        tree::put(&context, &sources, target).await?;
        context.settle_names().await;
        Ok(context.finish())
    }

    fn context(&self, journals: Option<Arc<LocalDir>>) -> Arc<Context> {
        let budget = (self.options.window_max / BUDGET_UNIT).max(BUDGET_UNITS_MIN);
        Arc::new(Context {
            lanes: Lanes::new(
                Connection { sftp: self.sftp.clone(), session: self.session.clone() },
                self.reconnect.clone(),
                self.options.retries,
                self.cancel.clone(),
                self.progress.clone(),
            ),
            handles: Handles::new(),
            commands_work: AtomicBool::new(true),
            command_digests: CommandDigests::new(DigestAlgorithm::Sha256),
            budget: Arc::new(Semaphore::new(budget)),
            budget_units: u32::try_from(budget).unwrap_or(u32::MAX),
            rate: self.options.rate_max.map(Rate::new),
            options: self.options.clone(),
            progress: self.progress.clone(),
            cancel: self.cancel.clone(),
            summary: Mutex::new(Summary::default()),
            stopped: AtomicBool::new(false),
            attrs_looked_at: AtomicBool::new(false),
            new_names: NewNames::new(self.options.fsync && self.sftp.syncs_dirs()),
            started: Instant::now(),
            journals,
        })
    }
}

/// Permits of the budget at least.
const BUDGET_UNITS_MIN: usize = 1024;
/// Bytes that one permit of the budget stands for.
const BUDGET_UNIT: usize = 1024;

/// What all files of one transfer share.
struct Context {
    lanes: Lanes,
    handles: Handles,
    commands_work: AtomicBool,
    command_digests: CommandDigests,
    /// Bytes in flight of all files together, in [`BUDGET_UNIT`]s.
    budget: Arc<Semaphore>,
    /// All of them.
    budget_units: u32,
    rate: Option<Rate>,
    options: Options,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
    summary: Mutex<Summary>,
    /// The server broke the protocol: nothing new is begun.
    stopped: AtomicBool,
    /// Somebody looks, or has looked, whether the server keeps the attributes that it says it sets.
    attrs_looked_at: AtomicBool,
    new_names: NewNames,
    started: Instant,
    journals: Option<Arc<LocalDir>>,
}

impl Context {
    /// The lane's session, as long as commands have worked.
    fn commands<'l>(&self, lane: &'l Lane) -> Option<&'l Session> {
        lane.session.as_ref().filter(|_| self.commands_work.load(Ordering::Relaxed))
    }

    /// A command did not give the digest of a file. A server that runs no commands, or not this one, is not
    /// asked again; a file that nobody there can read says nothing about others.
    fn command_failed(&self, error: &Error) {
        let is_unsupported = matches!(error, Error::Unsupported { .. });
        if !(is_unsupported && self.command_digests.note_unanswered()) {
            self.commands_work.store(false, Ordering::Relaxed);
        }
    }

    fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed) || self.lanes.is_ended() || self.cancel.is_cancelled()
    }

    fn summary(&self) -> std::sync::MutexGuard<'_, Summary> {
        self.summary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn done(&self, report: &FileReport) {
        self.summary().count(report);
        self.progress.event(&Event::Done(report));
    }

    fn failed(&self, path: &[u8], error: Error) {
        if matches!(error, Error::Peer { .. }) {
            self.stopped.store(true, Ordering::Relaxed);
        }
        self.progress.event(&Event::Error { path, error: &error });
        self.summary().count_failed(path, error);
    }

    fn skipped(&self, path: &[u8], why: &str) {
        self.progress.event(&Event::Skipped { path, why });
        self.summary().skipped += 1;
    }

    fn comparing(&self, path: &[u8], done: u64, total: u64) {
        self.progress.event(&Event::Comparing { path, done, total });
    }

    /// Bytes of a file that failed travelled all the same.
    fn travelled(&self, bytes: u64) {
        self.summary().bytes_sent += bytes;
    }

    fn finish(&self) -> Summary {
        let mut summary = std::mem::take(&mut *self.summary());
        summary.seconds = self.started.elapsed().as_secs_f64();
        self.progress.event(&Event::Summary(&summary));
        summary
    }

    /// Waits until the rate allows `len` more bytes of content.
    async fn pace(&self, len: usize) -> Result<(), Error> {
        let Some(rate) = &self.rate else { return Ok(()) };
        tokio::select! {
            () = rate.take(len) => Ok(()),
            () = self.cancel.cancelled() => Err(Error::Cancelled),
        }
    }

    /// Whether a target that refuses attributes only gets a note: stores without them do, and nobody asked
    /// for more.
    fn attrs_may_fail(&self) -> bool {
        !self.options.preserve || self.options.attrs_may_fail
    }

    /// Permits for `len` bytes, if they are free.
    fn try_budget(&self, len: usize) -> Option<tokio::sync::OwnedSemaphorePermit> {
        self.budget.clone().try_acquire_many_owned(units(len)).ok()
    }

    /// Waits for permits for `len` bytes, or for all that there are. Only for who holds none: who waits must
    /// block nobody.
    async fn budget(&self, len: usize) -> Result<tokio::sync::OwnedSemaphorePermit, Error> {
        let units = units(len).min(self.budget_units);
        self.budget.clone().acquire_many_owned(units).await.map_err(|_| Error::Cancelled)
    }
}

fn units(len: usize) -> u32 {
    u32::try_from(len.div_ceil(BUDGET_UNIT)).unwrap_or(u32::MAX)
}

/// Runs file work where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|_| Error::Cancelled)
}

/// What stands beside a target until it is complete: its part, under one of two names, and its journal.
pub(crate) const COMPANIONS: [&str; 3] = [".sterna-part", ".sterna-part2", ".sterna-journal"];

/// Whether this is a name under which this program keeps what it has not completed. In trees it is left
/// out: the copy of `NAME` uses it at the other side.
pub(crate) fn is_companion(name: &[u8]) -> bool {
    name.starts_with(b".") && COMPANIONS.iter().any(|suffix| name.ends_with(suffix.as_bytes()))
}

/// `.NAME` and one of [`COMPANIONS`]; a name that would be too long is cut and told
/// apart by a digest.
pub(crate) fn companion_name(name: &[u8], suffix: &str) -> Vec<u8> {
    let plain = [b".", name, suffix.as_bytes()].concat();
    if plain.len() <= LOCAL_NAME_LEN_MAX {
        return plain;
    }
    let digest = short_digest(name);
    let room = LOCAL_NAME_LEN_MAX - 2 - digest.len() - suffix.len();
    [b".", &name[..room], b"-", digest.as_bytes(), suffix.as_bytes()].concat()
}

/// 16 hex digits that stand for `bytes`.
fn short_digest(bytes: &[u8]) -> String {
    let mut digester = Digester::new(DigestAlgorithm::Blake3);
    digester.update(bytes);
    hex::encode(&digester.finish()[..8])
}

fn default_state_dir() -> Option<PathBuf> {
    let absolute =
        |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let base = absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))?;
    Some(base.join("sterna"))
}

/// The directory of journals, private to the user; without it uploads are just not resumed by journal.
fn open_state_dir(path: &Path) -> Option<Arc<LocalDir>> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    if let Err(error) = made {
        tracing::debug!(%error, path = %path.display(), "no directory for journals");
        return None;
    }
    LocalDir::open(path).ok()
}

pub(crate) fn path_bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}
