//! Many sessions that do everything for a long time: list, read fast and slowly, write, rename, remove, break off.
//!
//! What each does is chosen by a seed. Whatever a session has written it reads again and compares.

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use sterna_client::{Error, OpenOptions, Session, Sftp};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::Failure;
use crate::server::Server;

/// Longest file that a session writes, in bytes.
const WRITE_LEN_MAX: usize = 256 << 10;
/// Bytes in one WRITE.
const PIECE_LEN: usize = 32 << 10;
/// READs under way of a session that reads fast, and of one that reads slowly.
const AHEAD: usize = 16;
const AHEAD_SLOW: usize = 2;
/// A slow reader waits so long after each piece.
const SLOW_PAUSE: Duration = Duration::from_millis(50);
/// Failures that are told; the others are counted.
const TOLD_MAX: usize = 3;

/// Many sessions that do a bit of everything.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: Server,
    /// A file that all of them read.
    #[arg(long)]
    path: String,
    /// Its length in bytes.
    #[arg(long)]
    len: usize,
    /// Sessions.
    #[arg(long, default_value_t = 1000)]
    count: usize,
    /// Begins nothing after so many seconds.
    #[arg(long, default_value_t = 900.0)]
    seconds: f64,
    /// A session waits so many milliseconds between two things, on average.
    #[arg(long, default_value_t = 2000)]
    pause_ms: u64,
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// What all sessions together have done.
#[derive(Default)]
struct Done {
    steps: u64,
    bytes_read: u64,
    bytes_written: u64,
    broken_off: u64,
    failures: Vec<String>,
}

pub async fn run(args: Args) -> Result<Value, Failure> {
    let args = Arc::new(args);
    let sessions = args.server.log_in_often(args.count).await?;
    let end = Instant::now() + Duration::from_secs_f64(args.seconds);
    let mut actors = JoinSet::new();
    for (number, (session, sftp)) in sessions.into_iter().enumerate() {
        let random = Rng::with_seed(args.seed ^ (number as u64) << 32);
        let actor = Actor { args: args.clone(), number, random, session, sftp };
        actors.spawn(actor.act_until(end));
    }
    let mut all = Done::default();
    while let Some(done) = actors.join_next().await {
        let done = done?;
        all.steps += done.steps;
        all.bytes_read += done.bytes_read;
        all.bytes_written += done.bytes_written;
        all.broken_off += done.broken_off;
        all.failures.extend(done.failures);
    }
    Ok(json!({
        "sessions": args.count,
        "steps": all.steps,
        "mib_read": all.bytes_read >> 20,
        "mib_written": all.bytes_written >> 20,
        "broken_off": all.broken_off,
        "failed": all.failures.len(),
        "failures": all.failures.iter().take(TOLD_MAX).collect::<Vec<_>>(),
    }))
}

/// One session and what it does.
struct Actor {
    args: Arc<Args>,
    number: usize,
    random: Rng,
    session: Session,
    sftp: Sftp,
}

impl Actor {
    async fn act_until(mut self, end: Instant) -> Done {
        let mut done = Done::default();
        loop {
            sleep(Duration::from_millis(self.random.u64(0..=2 * self.args.pause_ms))).await;
            if Instant::now() >= end {
                self.session.close().await;
                return done;
            }
            done.steps += 1;
            if let Err(error) = self.step(&mut done).await {
                done.failures.push(error.to_string());
                // What failed may have been the session.
                if let Err(error) = self.log_in_again().await {
                    done.failures.push(error.to_string());
                    return done;
                }
            }
        }
    }

    async fn step(&mut self, done: &mut Done) -> Result<(), Failure> {
        match self.random.u32(0..100) {
            0..25 => {
                self.sftp.list("/").await?;
            }
            25..50 => done.bytes_read += self.read(AHEAD, Duration::ZERO).await?,
            50..55 => done.bytes_read += self.read(AHEAD_SLOW, SLOW_PAUSE).await?,
            55..85 => {
                let len = self.write_and_compare().await?;
                done.bytes_written += len;
                done.bytes_read += len;
            }
            85..95 => {
                let name = format!("/dir{}", self.number);
                self.sftp.mkdir(&name, None).await?;
                self.sftp.rmdir(&name).await?;
            }
            95..98 => {
                self.break_off().await?;
                done.broken_off += 1;
            }
            _ => {
                // A second channel, which ends while the first lives on.
                let second = self.session.sftp().await?;
                second.stat(&self.args.path).await?;
            }
        }
        Ok(())
    }

    async fn log_in_again(&mut self) -> Result<(), Error> {
        (self.session, self.sftp) = self.args.server.log_in().await?;
        Ok(())
    }

    /// Ends the session while READs are under way, and begins another one.
    async fn break_off(&mut self) -> Result<(), Error> {
        let file = self.sftp.open(&self.args.path, OpenOptions::new().read(true)).await?;
        let mut reader = file.reader(AHEAD);
        reader.next().await?;
        let next = self.args.server.log_in().await?;
        (self.session, self.sftp) = next;
        Ok(())
    }

    /// Reads the common file. Returns its length in bytes.
    async fn read(&self, ahead: usize, pause: Duration) -> Result<u64, Failure> {
        let file = self.sftp.open(&self.args.path, OpenOptions::new().read(true)).await?;
        let (mut reader, mut got) = (file.reader(ahead), 0);
        while let Some(data) = reader.next().await? {
            got += data.len();
            if !pause.is_zero() {
                sleep(pause).await;
            }
        }
        if got != self.args.len {
            return Err(format!("{got} bytes came of {}", self.args.len).into());
        }
        Ok(got as u64)
    }

    /// Writes a file of its own, renames it, reads it again, removes it. Returns its length in bytes.
    async fn write_and_compare(&mut self) -> Result<u64, Failure> {
        let mut content = vec![0; self.random.usize(0..=WRITE_LEN_MAX)];
        self.random.fill(&mut content);
        let (new, name) = (format!("/new{}", self.number), format!("/file{}", self.number));
        let options = OpenOptions::new().write(true).create(true).truncate(true);
        let file = self.sftp.open(&new, options).await?;
        for (index, piece) in content.chunks(PIECE_LEN).enumerate() {
            file.write_at((index * PIECE_LEN) as u64, piece).await?;
        }
        if self.random.bool() {
            file.sync().await?;
        }
        file.close().await?;
        self.sftp.rename(&new, &name).await?;
        let mut back = Vec::with_capacity(content.len());
        let file = self.sftp.open(&name, OpenOptions::new().read(true)).await?;
        let mut reader = file.reader(AHEAD);
        while let Some(data) = reader.next().await? {
            back.extend_from_slice(&data);
        }
        drop(reader);
        self.sftp.remove(&name).await?;
        if back != content {
            return Err(format!("{name}: {} bytes came back wrong", content.len()).into());
        }
        Ok(content.len() as u64)
    }
}
