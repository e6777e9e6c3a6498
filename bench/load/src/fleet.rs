//! Many sessions that download at once: rate of all together, and how fair the server is.

use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use sterna_client::Error;
use sterna_ssh_crypto::{DigestAlgorithm, Digester};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use crate::Failure;
use crate::files::read_all;
use crate::server::Server;

/// Many sessions that download one file each, at once.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Server,
    /// The file that every session reads.
    #[arg(long)]
    path: String,
    /// Its SHA-256 in hex, checked by one download before the measured ones, whose length is checked.
    #[arg(long)]
    sha256: String,
    /// Sessions.
    #[arg(long, default_value_t = 100)]
    count: usize,
    /// What each session has asked for and not got yet, in KiB.
    #[arg(long, default_value_t = 512)]
    in_flight_kib: usize,
}

pub async fn run(args: Args) -> Result<Value, Failure> {
    let args = Arc::new(args);
    let len = check(&args).await?;
    let sessions = args.server.log_in_often(args.count).await?;
    let ready = Arc::new(Barrier::new(sessions.len() + 1));
    let mut downloads = JoinSet::new();
    for (session, sftp) in sessions {
        let (args, ready) = (args.clone(), ready.clone());
        downloads.spawn(async move {
            ready.wait().await;
            let start = Instant::now();
            let mut got = 0;
            read_all(&sftp, &args.path, args.in_flight_kib << 10, |data| got += data.len()).await?;
            // The session lives on until all are measured: its end is not part of it.
            Ok::<_, Error>((session, got, start, Instant::now()))
        });
    }
    ready.wait().await;
    let (mut times, mut first, mut last) = (Vec::new(), None, None);
    let mut kept = Vec::new();
    while let Some(done) = downloads.join_next().await {
        let (session, got, start, end) = done??;
        if got != len {
            return Err(format!("{got} bytes came of {len}").into());
        }
        times.push(end.duration_since(start).as_secs_f64());
        first = Some(first.map_or(start, |first: Instant| first.min(start)));
        last = Some(last.map_or(end, |last: Instant| last.max(end)));
        kept.push(session);
    }
    let (Some(first), Some(last)) = (first, last) else { return Err("no session".into()) };
    let seconds = last.duration_since(first).as_secs_f64();
    let fastest = times.iter().copied().fold(f64::INFINITY, f64::min);
    let slowest = times.iter().copied().fold(0.0, f64::max);
    Ok(json!({
        "sessions": args.count,
        "file_mib": len as f64 / (1 << 20) as f64,
        "seconds": seconds,
        "mib_per_s": (len * args.count) as f64 / (1 << 20) as f64 / seconds,
        "fastest_s": fastest,
        "slowest_s": slowest,
        "slowest_by_fastest": slowest / fastest,
    }))
}

/// Downloads once and compares. Returns the length of the file in bytes.
async fn check(args: &Args) -> Result<usize, Failure> {
    let (session, sftp) = args.server.log_in().await?;
    let (mut digester, mut len) = (Digester::new(DigestAlgorithm::Sha256), 0);
    read_all(&sftp, &args.path, args.in_flight_kib << 10, |data| {
        digester.update(data);
        len += data.len();
    })
    .await?;
    session.close().await;
    let digest: String = digester.finish().iter().map(|byte| format!("{byte:02x}")).collect();
    if digest != args.sha256 {
        return Err("content differs".into());
    }
    Ok(len)
}
