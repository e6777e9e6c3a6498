//! `sterna config diff`: what differs between two settings, or what a reload would change.

use std::path::PathBuf;

use clap::Args;

use crate::{
    args::GlobalArgs,
    commands::{
        server_place::{ServerArgs, unexpected, whole_path},
        user::{refused, shown},
    },
    control::{Reply, Request},
    exit::Exit,
    failure::Result,
    output::{Object, Output},
    settings::{self, Change, Effective, SettingsError, between},
};

const EXAMPLES: &str = "\
Examples:
  sterna config diff                          what the running server would take over
  sterna config diff ./sterna.toml --json
  sterna config diff old.toml new.toml

With one file the running server compares it with what it uses; if none runs, with the defaults. Lines
begin with + (added), - (removed) or ~ (changed); of secrets only that they changed is said.";

/// Show what differs between settings, user by user and key by key
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct DiffArgs {
    /// One file, or an old and a new one
    #[arg(value_name = "FILE", num_args = 0..=2)]
    pub files: Vec<PathBuf>,
    /// State directory of the running server (default: as FILE says)
    #[arg(long, value_name = "DIR")]
    pub state_dir: Option<PathBuf>,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

impl DiffArgs {
    pub fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let load = |file| Effective::load(file, false).map_err(|errors| refused(&errors));
        let changes = match &self.files[..] {
            [old, new] => between(&load(old)?, &load(new)?),
            _ => self.with_running(global)?,
        };
        let output = Output::new(global, self.json);
        changes.iter().try_for_each(|change| match self.json {
            true => output.object(object(change)),
            false => output.line(change.to_string()),
        })?;
        if changes.is_empty() && !global.quiet {
            eprintln!("nothing differs");
        }
        Ok(Exit::Done)
    }

    fn with_running(&self, global: &GlobalArgs) -> Result<Vec<Change>> {
        let file = settings::file_or_default(self.files.first().cloned());
        let config = self.state_dir.is_none().then(|| file.clone());
        let server = ServerArgs { config, state_dir: self.state_dir.clone() };
        match server.ask(&Request::Diff { file: whole_path(&file) })? {
            Some(Reply::Differences { changes }) => Ok(changes),
            Some(Reply::Mistakes { mistakes }) => {
                let errors: Vec<SettingsError> = mistakes.into_iter().map(Into::into).collect();
                Err(refused(&errors))
            }
            Some(_) => Err(unexpected()),
            None => {
                let new = Effective::load(&file, false).map_err(|errors| refused(&errors))?;
                if !global.quiet {
                    let dir = shown(&server.state_dir()?);
                    eprintln!("no server runs with the state directory {dir}: beside the defaults");
                }
                Ok(between(&Effective::default(), &new))
            }
        }
    }
}

fn object(change: &Change) -> Object {
    let kind = serde_json::to_value(change.kind).unwrap_or_default();
    Object::new()
        .with("kind", kind)
        .with("of", change.of.as_str())
        .with("key", change.key.as_str())
        .with_some("old", change.old.as_deref())
        .with_some("new", change.new.as_deref())
        .with("needs_restart", change.needs_restart)
}
