//! `sterna upgrade`: a new server takes the place of the running one, and nobody is refused or cut.

use std::{
    env,
    io::{BufRead as _, BufReader},
    os::unix::process::CommandExt as _,
    process::{Command, Stdio},
};

use clap::Args;

use super::server_place::{ServerArgs, whole_path};
use crate::{
    args::GlobalArgs,
    exit::Exit,
    failure::{Failure, Result},
    output::{Output, display_name},
};

const EXAMPLES: &str = "\
Examples:
  sterna upgrade                              the server of /etc/sterna/sterna.toml
  sterna upgrade --config ./sterna.toml

This binary is started as a server with the settings file as it is now. It gets the listening sockets of the
running server, and when it takes connections the old one takes none any more: it finishes its sessions,
however long they take, and ends with the last. If the new server cannot start, the old one goes on as if
nothing had happened. So new settings that need a restart come into force, too.

Exit status: 0 the new server serves, 1 the old one goes on, 2 wrong usage.";

/// Put this binary in the place of a running server, without refusing or cutting anyone
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct UpgradeArgs {
    #[command(flatten)]
    pub server: ServerArgs,
}

impl UpgradeArgs {
    pub fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let Some(file) = self.server.file() else {
            return Err(Failure::usage("settings file", "the new server needs one")
                .hint("name it with --config"));
        };
        let binary = env::current_exe().map_err(|error| Failure::io("this binary", &error))?;
        let mut command = Command::new(&binary);
        command.args(["serve", "--take-over", "--config", &whole_path(&file)]);
        // Signals of a terminal are for this command; the server has a group of its own.
        command.stdin(Stdio::null()).stdout(Stdio::piped()).process_group(0);
        let shown = || display_name(binary.as_os_str().as_encoded_bytes());
        let mut server = command.spawn().map_err(|error| Failure::io(shown(), &error))?;
        let pid = server.id();
        let mut line = String::new();
        let said = server.stdout.take().map(BufReader::new);
        let read = said.map_or(Ok(0), |mut said| said.read_line(&mut line));
        if read.is_ok_and(|len| len > 0) {
            if !global.quiet {
                let line = display_name(line.trim_end().as_bytes());
                Output::new(global, false).line(format!("process {pid}: {line}"))?;
            }
            return Ok(Exit::Done);
        }
        // It has said on standard error why.
        let _ = server.wait();
        Err(Failure::incomplete("upgrade", "the new server did not start; the old one goes on"))
    }
}
