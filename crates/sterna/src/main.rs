//! The `sterna` binary: reads the command line, runs one command, says how it ended.
//!
//! `args/` is what may be typed, `commands/` what it does (one file each), `shell/` the sftp shell,
//! `settings/` the server's file, `control/` how commands reach a running server, `output/` how results look. Nothing here knows the protocol.

mod args;
mod commands;
mod control;
mod exit;
mod failure;
#[cfg(test)]
mod fuzz;
mod glob;
mod listing;
mod local_glob;
mod logging;
mod look_ahead;
mod mode;
mod output;
mod prompt;
mod remote;
mod remote_glob;
mod settings;
mod shell;
mod state_dir;
mod transfer;
mod users_file;

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use tokio::runtime::Builder;

use self::{
    args::{Cli, Command},
    exit::Exit,
    failure::{Failure, Result},
};

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return usage(&error).into(),
    };
    match run(cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.report();
            failure.exit().into()
        }
    }
}

fn run(cli: Cli) -> Result<Exit> {
    let Cli { global, command } = cli;
    logging::start(&global, matches!(command, Command::Serve(_)));
    match command {
        Command::User(args) => args.run(&global),
        Command::Config(args) => args.run(&global),
        Command::Reload(args) => args.run(&global),
        Command::Upgrade(args) => args.run(&global),
        Command::Penalties(args) => args.run(&global),
        Command::Sessions(args) => args.run(&global),
        Command::Kick(args) => args.run(&global),
        Command::Audit(args) => args.run(&global),
        Command::Explain(args) => args.run(&global),
        Command::HashPassword(args) => args.run(&global),
        Command::Completions(args) => args.run(),
        Command::Man(args) => args.run(),
        Command::HookRunner(args) => args.run(),
        Command::Monitor(args) => args.run(),
        Command::UserHelper(args) => args.run(),
        Command::SftpServer(args) => args.run(),
        Command::Serve(args) => match args.start()? {
            Some(started) => {
                // Behind the walls that a server has by now it cannot be found out any more.
                let threads = sterna_server::cores();
                let mut builder = Builder::new_multi_thread();
                run_on(builder.worker_threads(threads), among_tasks(started.run()))
            }
            None => Ok(Exit::Done),
        },
        Command::Get(args) => block_on(args.run(&global)),
        Command::Put(args) => block_on(args.run(&global)),
        Command::Sync(args) => block_on(args.run(&global)),
        Command::Verify(args) => block_on(args.run(&global)),
        Command::Sftp(args) => block_on(args.run(&global)),
        Command::Ls(args) => block_on(args.run(&global)),
        Command::Stat(args) => block_on(args.run(&global)),
        Command::Cat(args) => block_on(args.run(&global)),
        Command::Mkdir(args) => block_on(args.run(&global)),
        Command::Rm(args) => block_on(args.run(&global)),
        Command::Rmdir(args) => block_on(args.run(&global)),
        Command::Mv(args) => block_on(args.run(&global)),
        Command::Cp(args) => block_on(args.run(&global)),
        Command::Ln(args) => block_on(args.run(&global)),
        Command::Chmod(args) => block_on(args.run(&global)),
        Command::Df(args) => block_on(args.run(&global)),
        Command::Sum(args) => block_on(args.run(&global)),
    }
}

/// How long the tasks of a command that is over may take to go.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Runs a command of the client. One thread is enough for the packets of its connections, which are one or a few;
/// what may wait for a disk and what computes digests runs on others anyway. A second thread for tasks would be woken
/// for each hop between them, which takes more time than it saves.
fn block_on(command: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    run_on(&mut Builder::new_current_thread(), command)
}

fn run_on(runtime: &mut Builder, command: impl Future<Output = Result<Exit>>) -> Result<Exit> {
    let runtime = runtime.enable_all().build().map_err(|error| Failure::io("start", &error))?;
    let result = runtime.block_on(command);
    // Tasks are dropped, which ends commands that they started. Whatever still blocks (a read from a
    // terminal, say) must not hold up the end.
    runtime.shutdown_timeout(LAST_WORDS);
    result
}

/// Runs a command where the tasks that it starts run: on the thread that waits for its end, every
/// connection would have to wake that one to be taken.
async fn among_tasks(command: impl Future<Output = Result<Exit>> + Send + 'static) -> Result<Exit> {
    match tokio::spawn(command).await {
        Ok(result) => result,
        // Nothing cancels it: it panicked.
        Err(ended) => std::panic::resume_unwind(ended.into_panic()),
    }
}

/// Says what is wrong with the command line, or prints the help that was asked for.
fn usage(error: &clap::Error) -> Exit {
    if !error.use_stderr() {
        // Nothing can be done if stdout does not take it.
        let _ = error.print();
        return Exit::Done;
    }
    let text = error.render().to_string();
    eprint!("{}", text.replacen("error: ", "sterna: ", 1));
    Exit::Usage
}
