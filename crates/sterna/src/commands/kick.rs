//! `sterna kick`: ends sessions of a running server.

use clap::Args;

use super::{
    server_place::{ServerArgs, unexpected},
    sessions::{no_server, object},
};
use crate::{
    args::GlobalArgs,
    control::{Reply, Request, Which},
    exit::Exit,
    failure::Result,
    output::Output,
};

const EXAMPLES: &str = "\
Examples:
  sterna kick 4f1k9y0w2c                      the session of this id, see `sterna sessions`
  sterna kick --user alice --why 'the disk is changed at noon'
  sterna kick --source 192.0.2.0/24
  sterna kick --all

The clients are told why. They may log in again at once: whoever should not needs `enabled = false`
or `allow_from` in the settings, and `sterna reload`.

Exit status: 0 done, 1 no such session or no server, 2 wrong usage.";

/// What clients are told if nothing else is said.
const WHY_DEFAULT: &str = "ended by the administrator";

/// End sessions of a running server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct KickArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    #[command(flatten)]
    pub which: WhichArgs,
    /// What their clients are told
    #[arg(long, value_name = "TEXT", default_value = WHY_DEFAULT)]
    pub why: String,
    /// Print those that were ended as JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Which sessions are meant.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct WhichArgs {
    /// Id of one session
    #[arg(value_name = "ID")]
    pub id: Option<String>,
    /// All sessions of this user
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// All sessions from this network or address
    #[arg(long, value_name = "NET|ADDRESS")]
    pub source: Option<String>,
    /// All sessions
    #[arg(long)]
    pub all: bool,
}

impl WhichArgs {
    fn which(self) -> Which {
        let id = || self.id.unwrap_or_default();
        match (self.user, self.source, self.all) {
            (Some(user), ..) => Which::User(user),
            (_, Some(source), _) => Which::Source(source),
            (_, _, true) => Which::All,
            _ => Which::Id(id()),
        }
    }
}

impl KickArgs {
    pub fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let request = Request::Kick { which: self.which.which(), why: self.why };
        let replies = self.server.ask_all(&request)?;
        if replies.is_empty() {
            return Err(no_server(&self.server)?);
        }
        let mut ended = Vec::new();
        for reply in replies {
            let Reply::Kicked { sessions } = reply else { return Err(unexpected()) };
            ended.extend(sessions);
        }
        let count = ended.len();
        if self.json {
            let output = Output::new(global, true);
            ended.into_iter().try_for_each(|row| output.object(object(row)))?;
        } else if !global.quiet {
            eprintln!("sessions ended: {count}");
        }
        Ok(if count > 0 { Exit::Done } else { Exit::Incomplete })
    }
}
