//! `sterna cp`: copies on the server, without the bytes travelling where the server can.

use clap::Args;
use sterna_client::{
    sync::{Tree, TreeSync},
    transfer::Options,
};

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    commands::onto::{Onto, is_directory},
    exit::Exit,
    failure::{Failure, Result},
    output::display_name,
    remote::{Remotes, Target, report},
};

const EXAMPLES: &str = "\
Examples:
  sterna cp alice@nas:big.iso alice@nas:big-copy.iso
  sterna cp alice@nas:'in/*.csv' alice@nas:archive/
  sterna cp -r alice@nas:photos alice@nas:photos-2026";

/// Copy files on the server
///
/// The server copies by itself where it can (copy-data); otherwise the bytes come here and go back.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct CpArgs {
    /// Copy directories with everything in them; their modes and times are kept
    #[arg(short, long, short_alias = 'R')]
    pub recursive: bool,
    /// What to copy, then the new name or the directory to copy into
    #[arg(required = true, num_args = 2.., value_name = "PLACE")]
    pub places: Vec<RemotePath>,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl CpArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let mut remotes = Remotes::new(&self.client, global)?;
        let Onto { sftp, pairs, mut worst } =
            Onto::of(&mut remotes, &self.places, "copy", "copied").await?;
        for (source, to) in pairs {
            let copied = match is_directory(&sftp, &source.path).await {
                true if self.recursive => copy_tree(&source, &to).await,
                true => Err(Failure::incomplete(display_name(&source.path), "is a directory")
                    .hint("use -r to copy it with everything in it")),
                false => sftp.copy_file(&source.path, &to).await.map(drop).map_err(Failure::from),
            };
            if let Err(failure) = copied {
                worst = worst.worst(report(failure)?);
            }
        }
        Ok(worst)
    }
}

/// Copies a directory of a server to another name there. What failed is named; the rest is copied.
async fn copy_tree(source: &Target, to: &[u8]) -> Result<()> {
    let tree = |path: &[u8]| Tree::Remote {
        sftp: source.remote.sftp.clone(),
        session: Some(source.remote.session.clone()),
        reconnect: Some(source.remote.connector.clone()),
        path: path.to_vec(),
    };
    let report = TreeSync::new(tree(&source.path), tree(to)).transfer(Options::default()).run();
    let report = report.await?;
    for (_, error) in &report.summary.errors {
        Failure::from(error.clone()).report();
    }
    match report.summary.exit_code() {
        0 => Ok(()),
        code => Err(Failure::reported(Exit::from_status(code))),
    }
}
