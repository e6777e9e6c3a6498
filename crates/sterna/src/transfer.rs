//! `get` and `put` as the commands and the shell run them: with progress, and with an orderly end on
//! SIGINT and SIGTERM.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rustix::process::{Resource, getrlimit, setrlimit};
use sterna_client::{
    Error, Reconnect, Session, Sftp,
    transfer::{Cancel, Options, Summary, Transfer},
};
use tokio::signal::unix::{SignalKind, signal};

use crate::output::Meter;

/// One server and how files travel to and from it.
pub struct Transfers<'t> {
    pub sftp: &'t Sftp,
    /// Lets a server without means of SFTP verify by a command, if there is an SSH session.
    pub session: Option<&'t Session>,
    /// Lets it go on by itself when the connection is lost.
    pub reconnect: Option<Arc<dyn Reconnect>>,
    pub options: Options,
    pub meter: Arc<Meter>,
}

impl Transfers<'_> {
    /// Fetches files and trees. Failures of single files are in the summary, and so is an
    /// interruption by a signal: what is there can be resumed.
    ///
    /// # Errors
    /// If nothing can be transferred at all.
    pub async fn get(self, sources: &[Vec<u8>], target: &Path) -> Result<Summary, Error> {
        let (cancel, meter) = (Cancel::new(), self.meter.clone());
        let transfer = self.describe(&cancel);
        or_signal(transfer.get(sources, target), &cancel, |seconds| meter.broken_off(seconds)).await
    }

    /// Sends files and trees; otherwise as [`Transfers::get`].
    ///
    /// # Errors
    /// As [`Transfers::get`].
    pub async fn put(self, sources: &[PathBuf], target: &[u8]) -> Result<Summary, Error> {
        let (cancel, meter) = (Cancel::new(), self.meter.clone());
        let transfer = self.describe(&cancel);
        or_signal(transfer.put(sources, target), &cancel, |seconds| meter.broken_off(seconds)).await
    }

    fn describe(self, cancel: &Cancel) -> Transfer {
        raise_open_files_limit();
        let mut transfer = Transfer::new(self.sftp)
            .options(self.options)
            .progress(self.meter)
            .cancel(cancel.clone());
        if let Some(session) = self.session {
            transfer = transfer.session(session);
        }
        if let Some(reconnect) = self.reconnect {
            transfer = transfer.reconnect(reconnect);
        }
        transfer
    }
}

/// Lets this process have as many files open as it ever may: each file in flight needs a few.
pub fn raise_open_files_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // With less, fewer files are in flight.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// How long an orderly end may take after the first signal.
const GRACE: Duration = Duration::from_millis(400);

/// Runs a transfer to its end. A first signal asks it to stop in order; a second one, or the end of
/// [`GRACE`], drops it, which leaves resumable parts as well: `broken_off` says how far it came, from the
/// seconds that it took.
pub async fn or_signal<T>(
    transfer: impl Future<Output = Result<T, Error>>,
    cancel: &Cancel,
    broken_off: impl FnOnce(f64) -> T,
) -> Result<T, Error> {
    let began = Instant::now();
    // Without handlers a signal ends the program, which is no other than the second signal.
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return transfer.await;
    };
    let mut transfer = std::pin::pin!(transfer);
    tokio::select! {
        result = &mut transfer => return result,
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    cancel.cancel();
    tokio::select! {
        result = &mut transfer => match result {
            Err(Error::Cancelled) => {}
            result => return result,
        },
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
        () = tokio::time::sleep(GRACE) => {}
    }
    Ok(broken_off(began.elapsed().as_secs_f64()))
}
