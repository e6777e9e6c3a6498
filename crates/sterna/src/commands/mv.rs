//! `sterna mv`: renames and moves on the server.

use clap::Args;

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    commands::onto::Onto,
    exit::Exit,
    failure::Result,
    remote::{Remotes, report},
};

const EXAMPLES: &str = "\
Examples:
  sterna mv alice@nas:draft.txt alice@nas:final.txt
  sterna mv alice@nas:'in/*.csv' alice@nas:done/";

/// Rename or move files and directories on the server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MvArgs {
    /// What to move, then the new name or the directory to move into
    #[arg(required = true, num_args = 2.., value_name = "PLACE")]
    pub places: Vec<RemotePath>,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl MvArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let mut remotes = Remotes::new(&self.client, global)?;
        let Onto { sftp, pairs, mut worst } =
            Onto::of(&mut remotes, &self.places, "move", "moved").await?;
        for (source, to) in pairs {
            match sftp.rename(&source.path, &to).await {
                Ok(_) => {}
                Err(error) => worst = worst.worst(report(error.into())?),
            }
        }
        Ok(worst)
    }
}
