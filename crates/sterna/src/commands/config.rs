//! `sterna config`: what settings say, whether they would load, and what a reload would change.

mod check;
mod diff;
mod show;

use clap::{Args, Subcommand};

use crate::{args::GlobalArgs, exit::Exit, failure::Result};

const EXAMPLES: &str = "\
Examples:
  sterna config check                         all mistakes at once, with file, line and key
  sterna config show --all                    every key with its default, and where it is set
  sterna config diff                          what `sterna reload` would change
  sterna config diff old.toml new.toml

Secrets are never shown. FILE is $STERNA_CONFIG, else /etc/sterna/sterna.toml, if it is not named.

Exit status: 0 done, 1 not done, 2 wrong usage or settings that would not load.";

/// Check, show and compare the settings of a server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct ConfigArgs {
    #[command(subcommand)]
    pub command: ConfigCommand,
}

/// All commands, in the order of the help page.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    Check(check::CheckArgs),
    Show(show::ShowArgs),
    Diff(diff::DiffArgs),
}

impl ConfigArgs {
    pub fn run(self, global: &GlobalArgs) -> Result<Exit> {
        match self.command {
            ConfigCommand::Check(args) => args.run(global),
            ConfigCommand::Show(args) => args.run(global),
            ConfigCommand::Diff(args) => args.run(global),
        }
    }
}
