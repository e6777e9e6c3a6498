//! `sterna mv`: renames and moves on the server.

use clap::Args;
use sterna_client::{FileKind, Sftp};

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    exit::Exit,
    failure::{Failure, Result},
    output::display_name,
    remote::{Remotes, report},
    remote_glob::join,
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
        let Some((RemotePath(target), sources)) = self.places.split_last() else {
            return Err(Failure::usage("mv", "needs what to move and where to"));
        };
        let mut worst = Exit::Done;
        let mut found = Vec::new();
        for RemotePath(source) in sources {
            remotes.same_server(target, source).await?;
            match remotes.targets(source).await {
                Ok(targets) => found.extend(targets),
                Err(failure) => worst = worst.worst(report(failure)?),
            }
        }
        let sftp = remotes.to(target).await?.sftp;
        let into = is_directory(&sftp, target.path()).await;
        if found.len() > 1 && !into {
            return Err(Failure::incomplete(display_name(target.path()), "not a directory")
                .hint("several files can only be moved into a directory"));
        }
        for source in found {
            let to =
                if into { inside(target.path(), &source.path) } else { target.path().to_vec() };
            match sftp.rename(&source.path, &to).await {
                Ok(_) => {}
                Err(error) => worst = worst.worst(report(error.into())?),
            }
        }
        Ok(worst)
    }
}

/// Whether a path names a directory, through links.
pub async fn is_directory(sftp: &Sftp, path: &[u8]) -> bool {
    sftp.stat(path).await.is_ok_and(|attrs| FileKind::of(&attrs) == FileKind::Dir)
}

/// The path of `source` when it goes into `directory` under its own name.
pub fn inside(directory: &[u8], source: &[u8]) -> Vec<u8> {
    let name = source.rsplit(|&b| b == b'/').find(|part| !part.is_empty()).unwrap_or(b"");
    join(directory, name)
}
