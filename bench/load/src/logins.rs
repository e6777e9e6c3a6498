//! Logins per second: connect, log in with a key, one stat, goodbye; many at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sterna_client::Error;
use tokio::task::JoinSet;

use crate::Failure;
use crate::server::Server;

/// Logins per second.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Server,
    /// What each login asks the attributes of.
    #[arg(long, default_value = ".")]
    path: String,
    /// Logins in all, at most.
    #[arg(long, default_value_t = u64::MAX)]
    count: u64,
    /// Logins at a time.
    #[arg(long, default_value_t = 32)]
    parallel: u64,
    /// Begins none after so many seconds.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
}

pub async fn run(args: Args) -> Result<Value, Failure> {
    let args = Arc::new(args);
    let begun = Arc::new(AtomicU64::new(0));
    // What happens once in a process, such as the choice of a cipher, happens here.
    once(&args).await?;
    let start = Instant::now();
    let mut workers = JoinSet::new();
    for _ in 0..args.parallel {
        workers.spawn(log_in_until(args.clone(), begun.clone(), start));
    }
    let (mut done, mut failed, mut why) = (0, 0, None);
    while let Some(worker) = workers.join_next().await {
        let (worker_done, errors) = worker?;
        done += worker_done;
        failed += errors.len();
        why = why.or(errors.into_iter().next());
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(json!({
        "logins": done,
        "failed": failed,
        "first_failure": why.map(|error| error.to_string()),
        "seconds": seconds,
        "logins_per_s": done as f64 / seconds,
    }))
}

async fn log_in_until(args: Arc<Args>, begun: Arc<AtomicU64>, start: Instant) -> (u64, Vec<Error>) {
    let (mut done, mut errors) = (0, Vec::new());
    let end = start + Duration::from_secs_f64(args.seconds);
    while Instant::now() < end && begun.fetch_add(1, Ordering::Relaxed) < args.count {
        match once(&args).await {
            Ok(()) => done += 1,
            Err(error) => errors.push(error),
        }
    }
    (done, errors)
}

async fn once(args: &Args) -> Result<(), Error> {
    let (session, sftp) = args.server.log_in().await?;
    sftp.stat(&args.path).await?;
    session.close().await;
    Ok(())
}
