//! Processes that do for a server what it may not do itself any more: this same program, started before the walls stand,
//! with a channel as its standard input.

use std::{
    ffi::CStr,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::PathBuf,
    process::{Command, Stdio},
};

use clap::Args;
use sterna_sandbox::Channel;
use sterna_worker::{Monitor, Policy};

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
        let channel = own_channel(c"sterna-hooks")?;
        sterna_hooks::run_programs(&channel, &self.programs)
            .map_err(|error| Failure::io("hook-runner", &error))?;
        Ok(Exit::Done)
    }
}

/// Starts processes for users of the machine, and stays root for that
#[derive(Debug, Args)]
pub struct MonitorArgs {
    /// The policy, as one helper tells another
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    pub policy: Vec<String>,
}

impl MonitorArgs {
    pub fn run(self) -> Result<Exit> {
        let channel = own_channel(c"sterna-monitor")?;
        sterna_worker::run_monitor(&channel, |descriptor| {
            let mut command = helper("user-helper");
            command.arg("").args(&self.policy).stdin(Stdio::from(descriptor));
            Ok(command)
        })
        .map_err(|error| Failure::io("monitor", &error))?;
        Ok(Exit::Done)
    }
}

/// Judges one login of a user of the machine, or serves its files with its rights
#[derive(Debug, Args)]
pub struct UserHelperArgs {
    /// Whose files to serve; empty: it will be asked
    pub name: String,
    /// The policy, as one helper tells another
    #[arg(allow_hyphen_values = true, trailing_var_arg = true)]
    pub policy: Vec<String>,
}

impl UserHelperArgs {
    pub fn run(self) -> Result<Exit> {
        let channel = own_channel(c"sterna-user")?;
        let policy = Policy::from_args(&self.policy)
            .ok_or_else(|| Failure::usage("user-helper", "no policy"))?;
        let name = Some(self.name.as_str()).filter(|name| !name.is_empty());
        let again = |name: &str, channel: Channel| {
            let mut command = helper("user-helper");
            command.arg(name).args(&self.policy).stdin(Stdio::from(OwnedFd::from(channel)));
            Ok(command)
        };
        sterna_worker::run_helper(channel, &policy, name, again)
            .map_err(|error| Failure::io("user-helper", &error))?;
        Ok(Exit::Done)
    }
}

/// Starts the monitor, while this process is root.
pub fn start_monitor(policy: &Policy) -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::usage("system_users", "only root can become users of the machine"));
    }
    let mut command = helper("monitor");
    command.args(policy.to_args());
    Monitor::set(start(command)?);
    Ok(())
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

/// The channel of a helper: its standard input. `name` is for those who look at the processes of the machine.
fn own_channel(name: &CStr) -> Result<Channel> {
    // Without it the name is that of the link by which this program was started.
    let _ = rustix::thread::set_name(name);
    // Sockets of the service manager, say: a helper has no use for them, nor has what it starts.
    sterna_sandbox::close_all_but(&[]);
    let fail = |error: std::io::Error| Failure::io("channel", &error);
    let input = std::os::fd::AsFd::as_fd(&std::io::stdin()).try_clone_to_owned().map_err(fail)?;
    // It must end with the process that has the other end, also for programs that are started here.
    let null = std::fs::File::open("/dev/null").map_err(fail)?;
    rustix::stdio::dup2_stdin(&null).map_err(|error| fail(error.into()))?;
    Ok(Channel::from(input))
}
