//! `sterna rmdir`: removes empty remote directories.

use clap::Args;

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    exit::Exit,
    failure::Result,
    remote::Remotes,
};

const EXAMPLES: &str = "\
Examples:
  sterna rmdir alice@nas:in/empty";

/// Remove empty directories
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RmdirArgs {
    /// Directories to remove
    #[arg(required = true, value_name = "PLACE")]
    pub places: Vec<RemotePath>,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl RmdirArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let mut remotes = Remotes::new(&self.client, global)?;
        remotes
            .each(&self.places, async |target| Ok(target.sftp().rmdir(target.path()).await?))
            .await
    }
}
