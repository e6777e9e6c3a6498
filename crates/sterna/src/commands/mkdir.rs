//! `sterna mkdir`: makes remote directories.

use clap::Args;

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    exit::Exit,
    failure::Result,
    remote::{Remotes, report},
};

const EXAMPLES: &str = "\
Examples:
  sterna mkdir alice@nas:in
  sterna mkdir -p alice@nas:backup/2026/11";

/// Make directories
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct MkdirArgs {
    /// Make missing parents too; an existing directory is fine
    #[arg(short, long)]
    pub parents: bool,
    /// Directories to make
    #[arg(required = true, value_name = "PLACE")]
    pub places: Vec<RemotePath>,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl MkdirArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let mut remotes = Remotes::new(&self.client, global)?;
        let mut worst = Exit::Done;
        for RemotePath(place) in &self.places {
            let made = async {
                let remote = remotes.to(place).await?;
                match self.parents {
                    true => remote.sftp.mkdir_all(place.path()).await?,
                    false => remote.sftp.mkdir(place.path(), None).await?,
                }
                Ok(())
            };
            if let Err(failure) = made.await {
                worst = worst.worst(report(failure)?);
            }
        }
        Ok(worst)
    }
}
