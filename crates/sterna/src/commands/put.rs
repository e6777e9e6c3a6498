//! `sterna put`: sends local files and trees.

use std::path::PathBuf;

use clap::Args;

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    commands::get::{Outcome, TransferArgs},
    exit::Exit,
    failure::Result,
    remote::Remotes,
};

const EXAMPLES: &str = "\
Examples:
  sterna put report.pdf alice@nas:            run it again after a break to go on
  sterna put -r -p photos alice@nas:backup/
  sterna put --json *.csv alice@nas:in/";

/// Send files
///
/// A file is written under a temporary name, verified, and then renamed into place. An interrupted
/// transfer is resumed by the same command.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PutArgs {
    #[command(flatten)]
    pub transfer: TransferArgs,
    /// What to send
    #[arg(required = true, value_name = "SOURCE")]
    pub sources: Vec<PathBuf>,
    /// File or directory to send to
    #[arg(value_name = "PLACE")]
    pub target: RemotePath,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl PutArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let RemotePath(target) = &self.target;
        let mut remotes = Remotes::new(&self.client, global)?;
        let mut outcome = Outcome::new(global, self.transfer);
        let remote = match remotes.to(target).await {
            Ok(remote) => remote,
            Err(failure) => {
                outcome.refused(failure)?;
                return Ok(outcome.finish());
            }
        };
        let transfers = outcome.transfers(&remote, self.transfer);
        outcome.look_ahead(&self.sources, self.transfer);
        let result = transfers.put(&self.sources, target.path()).await;
        outcome.add(result)?;
        Ok(outcome.finish())
    }
}
