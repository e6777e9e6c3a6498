//! `sterna chmod`: changes permission bits of remote files.

use clap::Args;
use sterna_client::{Attrs, FileKind, Sftp};

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    exit::Exit,
    failure::Result,
    mode::ModeChange,
    remote::Remotes,
};

const EXAMPLES: &str = "\
Examples:
  sterna chmod 640 alice@nas:secret.txt
  sterna chmod u+rwX,go= alice@nas:'private/*'";

/// Change permissions
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ChmodArgs {
    /// Octal (644) or symbolic (u+x,go-w)
    #[arg(value_parser = parse_mode, allow_hyphen_values = true)]
    pub mode: ModeChange,
    /// Files to change; links are followed
    #[arg(required = true, value_name = "PLACE")]
    pub places: Vec<RemotePath>,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl ChmodArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let mut remotes = Remotes::new(&self.client, global)?;
        remotes
            .each(&self.places, async |target| {
                change(target.sftp(), target.path(), &self.mode, true).await
            })
            .await
    }
}

/// Changes the mode of one file; `follow` says whether a link or what it names is meant.
///
/// # Errors
/// If the server refuses.
pub async fn change(sftp: &Sftp, path: &[u8], mode: &ModeChange, follow: bool) -> Result<()> {
    let (old, is_directory) = if mode.needs_old() {
        let attrs = if follow { sftp.stat(path).await? } else { sftp.lstat(path).await? };
        (attrs.permissions.unwrap_or(0), FileKind::of(&attrs) == FileKind::Dir)
    } else {
        (0, false)
    };
    let permissions = Some(mode.apply(old, is_directory));
    let new = Attrs { permissions, ..Attrs::default() };
    if follow {
        sftp.set_attrs(path, &new).await?;
    } else {
        sftp.set_link_attrs(path, &new).await?;
    }
    Ok(())
}

fn parse_mode(text: &str) -> std::result::Result<ModeChange, String> {
    ModeChange::parse(text).ok_or_else(|| "not a mode such as 644 or u+x,go-w".to_owned())
}
