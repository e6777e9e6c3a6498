//! `sterna cat`: the content of remote files on stdout.

use std::io::{self, Write};

use clap::Args;
use sterna_client::OpenOptions;

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    exit::Exit,
    failure::{Result, output_failed},
    remote::Remotes,
};

const EXAMPLES: &str = "\
Examples:
  sterna cat alice@nas:notes.txt
  sterna cat alice@nas:'logs/*.gz' | zcat | grep error";

/// Requests that are ahead while a file is read.
const READS_AHEAD: usize = 16;

/// Print the content of files
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CatArgs {
    /// Files to print, one after the other
    #[arg(required = true, value_name = "PLACE")]
    pub places: Vec<RemotePath>,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl CatArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let mut remotes = Remotes::new(&self.client, global)?;
        remotes
            .each(&self.places, async |target| {
                let sftp = target.sftp();
                let file = sftp.open(target.path(), OpenOptions::new().read(true)).await?;
                let mut pieces = file.reader(READS_AHEAD);
                while let Some(piece) = pieces.next().await? {
                    io::stdout().write_all(&piece).map_err(|error| output_failed(&error))?;
                }
                io::stdout().flush().map_err(|error| output_failed(&error))
            })
            .await
    }
}
