//! `sterna reload`: a running server reads its settings again, and says what came of it.

use clap::Args;

use super::server_place::{ServerArgs, unexpected, whole_path};
use crate::{
    args::GlobalArgs,
    control::{Reply, Request},
    exit::Exit,
    failure::{Failure, Result},
    output::{Output, display_name},
    settings::SettingsError,
};

const EXAMPLES: &str = "\
Examples:
  sterna reload                               the server of /etc/sterna/sterna.toml
  sterna reload --config ./sterna.toml
  sterna config check && sterna config diff && sterna reload

All of the new settings hold at once, or none of them: a mistake is named with file, line and key, and
the old ones stay. Sessions go on, but for those of users who are gone or disabled.

Exit status: 0 reloaded, 1 not, 2 wrong usage.";

/// Let a running server read its settings again
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ReloadArgs {
    #[command(flatten)]
    pub server: ServerArgs,
}

impl ReloadArgs {
    pub fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let file = self.server.file().map(|file| whole_path(&file));
        match self.server.ask(&Request::Reload { file })? {
            Some(Reply::Reloaded { summary, warnings }) => {
                for warning in warnings {
                    eprintln!("sterna: warning: {}", display_name(warning.as_bytes()));
                }
                if !global.quiet {
                    Output::new(global, false).line(display_name(summary.as_bytes()))?;
                }
                Ok(Exit::Done)
            }
            Some(Reply::Mistakes { mistakes }) => {
                for mistake in mistakes {
                    eprintln!("sterna: {}", SettingsError::from(mistake));
                }
                let failure =
                    Failure::incomplete("settings", "not reloaded, the old ones are kept");
                failure.report();
                Err(Failure::reported(Exit::Incomplete))
            }
            Some(_) => Err(unexpected()),
            None => {
                let dir = self.server.state_dir()?;
                let dir = display_name(dir.as_os_str().as_encoded_bytes());
                Err(Failure::incomplete(dir, "no server runs with this state directory")
                    .hint("--state-dir names another; SIGHUP makes a server reload, too"))
            }
        }
    }
}
