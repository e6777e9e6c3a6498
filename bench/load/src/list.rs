//! Seconds to read a directory with attributes, from OPENDIR to the last name.

use std::time::Instant;

use serde_json::{Value, json};

use crate::Failure;
use crate::server::Server;

/// Seconds to read a directory with attributes.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Server,
    #[arg(long)]
    path: String,
    /// Entries that must come, `.` and `..` not counted.
    #[arg(long)]
    entries: usize,
}

pub async fn run(args: Args) -> Result<Value, Failure> {
    let (session, sftp) = args.server.log_in().await?;
    let start = Instant::now();
    let mut dir = sftp.open_dir(&args.path).await?;
    let (mut entries, mut with_size) = (0, 0);
    while let Some(batch) = dir.next_batch().await? {
        entries += batch.len();
        with_size += batch.iter().filter(|entry| entry.attrs.size.is_some()).count();
    }
    let seconds = start.elapsed().as_secs_f64();
    drop(dir);
    session.close().await;
    if (entries, with_size) != (args.entries, args.entries) {
        return Err(format!("{entries} entries, {with_size} of them with attributes").into());
    }
    Ok(json!({ "entries": entries, "seconds": seconds }))
}
