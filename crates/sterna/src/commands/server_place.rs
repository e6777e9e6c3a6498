//! Which server a command is about: the one that keeps its state in a directory.

use std::{fs, path::PathBuf};

use clap::Args;

use crate::{
    control::{self, Reply, Request},
    failure::{Failure, Result},
    settings, state_dir,
};

/// How commands name a running server.
#[derive(Clone, Debug, Args)]
pub struct ServerArgs {
    /// Settings file of the server (default: $STERNA_CONFIG, else /etc/sterna/sterna.toml)
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// State directory of the server (default: as its settings say)
    #[arg(long, value_name = "DIR", conflicts_with = "config")]
    pub state_dir: Option<PathBuf>,
}

impl ServerArgs {
    /// The settings file, unless the server is named by its state alone.
    pub fn file(&self) -> Option<PathBuf> {
        if self.state_dir.is_some() {
            return None;
        }
        settings::named_file(self.config.clone()).or_else(|| {
            let default = settings::file_or_default(None);
            default.exists().then_some(default)
        })
    }

    /// # Errors
    /// Nobody said, and there is no home directory.
    pub fn state_dir(&self) -> Result<PathBuf> {
        let found = self.state_dir.clone().or_else(|| match self.file() {
            Some(file) => settings::state_dir_of(&file),
            None => state_dir::default(),
        });
        found.ok_or_else(|| {
            Failure::usage("state directory", "there is no home directory to look for it")
                .hint("name one with --state-dir")
        })
    }

    /// Asks the server, if one runs.
    ///
    /// # Errors
    /// It cannot be asked, or says that it cannot be done.
    pub fn ask(&self, request: &Request) -> Result<Option<Reply>> {
        match control::ask(&self.state_dir()?, request)? {
            Some(Reply::Refused { why }) => Err(Failure::incomplete("server", why)),
            reply => Ok(reply),
        }
    }
}

impl ServerArgs {
    /// Asks the server, and those that only finish their sessions after an upgrade. No reply: none runs.
    ///
    /// # Errors
    /// As [`ask`](Self::ask).
    pub fn ask_all(&self, request: &Request) -> Result<Vec<Reply>> {
        let replies = control::ask_all(&self.state_dir()?, request)?;
        let refused = |reply: &Reply| match reply {
            Reply::Refused { why } => Some(Failure::incomplete("server", why.clone())),
            _ => None,
        };
        let refusal = replies.iter().find_map(refused);
        refusal.map_or(Ok(replies), Err)
    }
}

/// The whole path of a file, as a server in another directory finds it.
pub fn whole_path(file: &std::path::Path) -> String {
    let path = fs::canonicalize(file).or_else(|_| std::path::absolute(file));
    path.unwrap_or_else(|_| file.to_owned()).to_string_lossy().into_owned()
}

/// A reply to another question than the one that was asked.
pub fn unexpected() -> Failure {
    Failure::incomplete("server", "its reply is not understood")
        .hint("is it of the same release as this command?")
}
