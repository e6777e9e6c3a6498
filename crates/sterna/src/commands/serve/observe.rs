//! The audit log and the figures of a server, from its settings to its end.

use std::{
    io::{self, Write as _},
    net::{SocketAddr, TcpListener},
    os::fd::OwnedFd,
    path::Path,
    process,
};

use sterna_audit::{Audit, Record};
use sterna_server::{Server, listening_socket};
use tokio::task::AbortHandle;

use super::metrics::Metrics;
use crate::{
    failure::{Failure, Result},
    settings::Settings,
};

/// Opens the audit log, if the settings want one; with a record of the start.
pub fn start_audit(settings: &Settings, state_dir: Option<&Path>) -> Result<Option<Audit>> {
    let Some(audit) = &settings.audit else { return Ok(None) };
    let state_dir = state_dir
        .ok_or_else(|| Failure::usage("audit", "there is no state directory to keep its key in"))?;
    let first = Record::new("start")
        .with("version", env!("CARGO_PKG_VERSION"))
        .with("pid", u64::from(process::id()));
    let started = Audit::start(audit.in_state_dir(state_dir), first);
    let audit = started.map_err(|error| Failure::usage("audit", error.to_string()))?;
    tracing::info!(key = %audit.public_key(), "audit log begun");
    Ok(Some(audit))
}

/// Writes the last records, and a checkpoint behind them.
pub async fn close_audit(audit: Option<Audit>) {
    if let Some(audit) = audit {
        audit.record(Record::new("stop").with("pid", u64::from(process::id())));
        // Bounded; what goes wrong has been logged.
        let _ = tokio::task::spawn_blocking(move || audit.close()).await;
    }
}

/// Opens the socket for whoever collects figures, if the settings want it: before the rights for that are
/// given up.
pub fn listen_for_collectors(
    listen: Option<SocketAddr>,
    inherited: &mut Vec<TcpListener>,
) -> Result<Option<TcpListener>> {
    let mut bind = |address| {
        listening_socket(address, inherited)
            .map_err(|error| Failure::io(format!("metrics: listen on {address}"), &error))
    };
    listen.map(&mut bind).transpose()
}

/// Where figures are given out.
pub struct Collecting {
    pub address: SocketAddr,
    /// For a successor.
    pub socket: OwnedFd,
    pub task: AbortHandle,
}

/// Answers whoever collects figures.
pub fn start_metrics(socket: Option<TcpListener>, server: &Server) -> Result<Option<Collecting>> {
    let (Some(socket), Some(figures)) = (socket, server.figures()) else { return Ok(None) };
    let fail = |error: io::Error| Failure::io("metrics", &error);
    let address = socket.local_addr().map_err(fail)?;
    let copy = socket.try_clone().map_err(fail)?.into();
    let task = tokio::spawn(Metrics::over(socket).map_err(fail)?.run(figures));
    Ok(Some(Collecting { address, socket: copy, task: task.abort_handle() }))
}

/// Says where, on stdout.
pub fn greet_metrics(address: Option<SocketAddr>) -> io::Result<()> {
    match address {
        Some(address) => writeln!(io::stdout().lock(), "metrics on http://{address}/metrics"),
        None => Ok(()),
    }
}
