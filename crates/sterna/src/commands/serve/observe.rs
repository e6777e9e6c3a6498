//! The audit log and the figures of a server, from its settings to its end.

use std::{io, io::Write as _, net::SocketAddr, path::Path, process};

use sterna_audit::{Audit, Record};
use sterna_server::Server;

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

/// Answers whoever collects figures, if the settings want it; returns where.
pub async fn start_metrics(
    listen: Option<SocketAddr>,
    server: &Server,
) -> Result<Option<SocketAddr>> {
    let (Some(address), Some(figures)) = (listen, server.figures()) else { return Ok(None) };
    let metrics = Metrics::bind(address).await?;
    let address = metrics.local_addr().unwrap_or(address);
    tokio::spawn(metrics.run(figures));
    Ok(Some(address))
}

/// Says where, on stdout.
pub fn greet_metrics(address: Option<SocketAddr>) -> io::Result<()> {
    match address {
        Some(address) => writeln!(io::stdout().lock(), "metrics on http://{address}/metrics"),
        None => Ok(()),
    }
}
