//! Requests per second on one channel: STAT, so many under way at a time.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sterna_client::{Error, Sftp};
use tokio::task::JoinSet;

use crate::Failure;
use crate::server::Server;

/// STAT requests per second on one channel.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Server,
    #[arg(long)]
    path: String,
    /// Requests under way at a time.
    #[arg(long, default_value_t = 1)]
    depth: usize,
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
}

pub async fn run(args: Args) -> Result<Value, Failure> {
    let (session, sftp) = args.server.log_in().await?;
    sftp.stat(&args.path).await?;
    let start = Instant::now();
    let end = start + Duration::from_secs_f64(args.seconds);
    let mut askers = JoinSet::new();
    for _ in 0..args.depth {
        askers.spawn(ask_until(sftp.clone(), args.path.clone(), end));
    }
    let mut stats = 0;
    while let Some(asker) = askers.join_next().await {
        stats += asker??;
    }
    let seconds = start.elapsed().as_secs_f64();
    session.close().await;
    Ok(json!({
        "depth": args.depth,
        "stats": stats,
        "seconds": seconds,
        "stats_per_s": stats as f64 / seconds,
    }))
}

async fn ask_until(sftp: Sftp, path: String, end: Instant) -> Result<u64, Error> {
    let mut stats = 0;
    while Instant::now() < end {
        sftp.stat(&path).await?;
        stats += 1;
    }
    Ok(stats)
}
