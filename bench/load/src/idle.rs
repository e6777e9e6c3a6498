//! Sessions that do nothing, so that the server's memory for each can be seen.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};

use crate::Failure;
use crate::server::Server;

/// Holds sessions with an SFTP channel each: says "ready", and ends when its input ends.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Server,
    /// Sessions.
    #[arg(long, default_value_t = 1000)]
    count: usize,
}

pub async fn run(args: Args) -> Result<Value, Failure> {
    let sessions = args.server.log_in_often(args.count).await?;
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    out.flush()?;
    let end = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(end).await??;
    let alive = sessions.iter().filter(|(session, _)| !session.is_closed()).count();
    Ok(json!({ "sessions": args.count, "alive_at_the_end": alive }))
}
