//! `sterna config check`: whether a server would take the settings.

use std::path::PathBuf;

use clap::Args;

use crate::{
    args::GlobalArgs,
    commands::user::{refused, shown},
    exit::Exit,
    failure::Result,
    output::{Output, display_name},
    settings,
};

const EXAMPLES: &str = "\
Examples:
  sterna config check
  sterna config check ./sterna.toml && sterna reload --config ./sterna.toml";

/// Say everything that is wrong with the settings
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CheckArgs {
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
}

impl CheckArgs {
    pub fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let file = settings::file_or_default(self.file);
        let settings = settings::load(&file).map_err(|errors| refused(&errors))?;
        for warning in &settings.warnings {
            eprintln!("sterna: warning: {}", display_name(warning.as_bytes()));
        }
        if !global.quiet {
            let users = settings.users.len();
            Output::new(global, false).line(format!("{}: good, {users} users", shown(&file)))?;
        }
        Ok(Exit::Done)
    }
}
