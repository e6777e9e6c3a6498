//! What `bench/run` puts on servers: the same client for all of them, so that only the server differs.
//!
//! Every subcommand prints one line of JSON. Content and memory of the server are for the script to look at.

mod files;
mod fleet;
mod ideal;
mod idle;
mod list;
mod logins;
mod mixed;
mod requests;
mod server;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};

/// How a measurement can end badly: with a sentence.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Loads SFTP servers and prints what was measured as one line of JSON.
#[derive(Debug, Parser)]
#[command(name = "bench_load")]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Logins(logins::Args),
    Stats(requests::Args),
    List(list::Args),
    Idle(idle::Args),
    Fleet(fleet::Args),
    Mixed(mixed::Args),
    Ideal(ideal::Args),
}

fn main() -> ExitCode {
    match measure(Args::parse().what) {
        Ok(figures) => {
            println!("{figures}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bench_load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(what: What) -> Result<Value, Failure> {
    match what {
        What::Logins(args) => many_connections()?.block_on(logins::run(args)),
        What::Stats(args) => one_connection()?.block_on(requests::run(args)),
        What::List(args) => one_connection()?.block_on(list::run(args)),
        What::Idle(args) => many_connections()?.block_on(idle::run(args)),
        What::Fleet(args) => many_connections()?.block_on(fleet::run(args)),
        What::Mixed(args) => many_connections()?.block_on(mixed::run(args)),
        What::Ideal(args) => ideal::run(&args),
    }
}

/// One thread: what one connection asks and gets needs no second one, and no waking of it.
fn one_connection() -> std::io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

fn many_connections() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}
