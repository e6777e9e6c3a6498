//! Logs on stderr: how much, and in which form. `$RUST_LOG` decides if it is set.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, filter::LevelFilter};

use crate::args::GlobalArgs;

/// Starts logging. A server tells what happens; a client only what goes wrong, unless asked.
pub fn start(global: &GlobalArgs, is_server: bool) {
    let level = match (global.quiet, global.verbose + u8::from(is_server)) {
        (true, _) => LevelFilter::ERROR,
        (_, 0) => LevelFilter::WARN,
        (_, 1) => LevelFilter::INFO,
        (_, 2) => LevelFilter::DEBUG,
        (_, 3..) => LevelFilter::TRACE,
    };
    let filter = EnvFilter::builder().with_default_directive(level.into()).from_env_lossy();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal())
        .with_target(false)
        .init();
}
