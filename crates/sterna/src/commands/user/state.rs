//! `sterna user disable` and `enable`: who may log in for the time being.

use clap::Args;

use super::{Context, edit::cannot_edit, files::shown_name};
use crate::{exit::Exit, failure::Result, users_file::Setting};

const DISABLE_EXAMPLES: &str = "\
Examples:
  sterna user disable alice && sterna reload    no login, and open sessions end";

const ENABLE_EXAMPLES: &str = "\
Examples:
  sterna user enable alice && sterna reload";

/// Refuse a user until `enable`; everything that is said about the user stays
#[derive(Debug, Args)]
#[command(after_help = DISABLE_EXAMPLES)]
pub struct DisableArgs {
    pub name: String,
}

/// Let a disabled user in again
#[derive(Debug, Args)]
#[command(after_help = ENABLE_EXAMPLES)]
pub struct EnableArgs {
    pub name: String,
}

impl DisableArgs {
    pub fn run(self, context: &Context<'_>) -> Result<Exit> {
        set_enabled(context, &self.name, false)
    }
}

impl EnableArgs {
    pub fn run(self, context: &Context<'_>) -> Result<Exit> {
        set_enabled(context, &self.name, true)
    }
}

fn set_enabled(context: &Context<'_>, name: &str, enabled: bool) -> Result<Exit> {
    let changed = context.edit_user(name, |user, text| {
        if user.enabled() == enabled {
            return Ok(false);
        }
        text.set(name, "enabled", &Setting::Flag(enabled)).map_err(cannot_edit(user))?;
        Ok(true)
    })?;
    let name = shown_name(name);
    let state = if enabled { "enabled" } else { "disabled" };
    match changed {
        true => context.changed(&format!("{name}: {state}")),
        false if !context.global.quiet => eprintln!("{name}: was {state} already"),
        false => {}
    }
    Ok(Exit::Done)
}
