//! Processes that do for a server what it may not do itself any more: this same program, started before the walls stand,
//! with a channel as its standard input.

use std::{
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::PathBuf,
    process::{Command, Stdio},
};

use clap::Args;
use sterna_sandbox::Channel;

use crate::{
    exit::Exit,
    failure::{Failure, Result},
    settings::Effective,
};

/// Starts the programs that the settings name, for a server that may start none
#[derive(Debug, Args)]
pub struct HookRunnerArgs {
    /// Programs that may be started
    pub programs: Vec<PathBuf>,
}

impl HookRunnerArgs {
    pub fn run(self) -> Result<Exit> {
        let channel = own_channel()?;
        sterna_hooks::run_programs(&channel, &self.programs)
            .map_err(|error| Failure::io("hook-runner", &error))?;
        Ok(Exit::Done)
    }
}

/// Starts a helper for the programs that these settings name, if there are any.
pub fn start_hook_runner(effective: &Effective) -> Result<()> {
    let programs = programs_of(effective);
    if programs.is_empty() {
        return Ok(());
    }
    let mut command = helper("hook-runner");
    command.args(programs);
    sterna_hooks::run_programs_through(start(command)?);
    Ok(())
}

/// The programs that are hooks, by their paths.
pub fn programs_of(effective: &Effective) -> Vec<PathBuf> {
    let table = effective.table();
    let of = |hook: &str| table.get(hook)?.get("command");
    let commands =
        [table.get("authorized_keys_command"), of("external_identity"), of("keyboard_interactive")];
    let first = |command: &toml::Value| Some(command.as_array()?.first()?.as_str()?.into());
    commands.into_iter().flatten().filter_map(first).collect()
}

/// This program with another command.
fn helper(command: &str) -> Command {
    let mut helper = Command::new("/proc/self/exe");
    // A group of its own: what ends the server from a terminal lets it finish first.
    helper.arg0("sterna").arg(command).stdout(Stdio::null()).process_group(0);
    helper
}

/// Starts it; the helper ends when the channel does.
fn start(mut command: Command) -> Result<Channel> {
    let fail = |error: std::io::Error| Failure::io("helper process", &error);
    let (own, other) = Channel::pair().map_err(fail)?;
    command.stdin(Stdio::from(OwnedFd::from(other))).spawn().map_err(fail)?;
    Ok(own)
}

/// The channel of a helper: its standard input.
fn own_channel() -> Result<Channel> {
    let fail = |error: std::io::Error| Failure::io("channel", &error);
    let input = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().map_err(fail)?;
    // It must end with the process that has the other end, also for programs that are started here.
    let null = std::fs::File::open("/dev/null").map_err(fail)?;
    rustix::stdio::dup2_stdin(&null).map_err(|error| fail(error.into()))?;
    Ok(Channel::from(input))
}
