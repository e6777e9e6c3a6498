//! `sterna ln`: second names and symbolic links on the server.

use std::ffi::OsString;

use clap::Args;
use sterna_client::{Destination, Place};

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath, bytes_of},
    commands::onto::{inside, is_directory},
    exit::Exit,
    failure::{Failure, Result},
    output::display_name,
    remote::Remotes,
};

const EXAMPLES: &str = "\
Examples:
  sterna ln alice@nas:big.iso alice@nas:also-big.iso
  sterna ln -s releases/42 alice@nas:current";

/// Make links on the server
///
/// Without -s both are places on the same server. With -s TARGET is the verbatim text of the link.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct LnArgs {
    /// Make a symbolic link
    #[arg(short, long)]
    pub symbolic: bool,
    /// Existing file; with -s the text of the link
    #[arg(value_name = "TARGET")]
    pub target: OsString,
    /// Name of the link, or a directory in which to make it
    #[arg(value_name = "PLACE")]
    pub link: RemotePath,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl LnArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let mut remotes = Remotes::new(&self.client, global)?;
        let RemotePath(link) = &self.link;
        let target = self.target(link)?;
        let sftp = match &target {
            Target::Text(_) => remotes.to(link).await?.sftp,
            Target::File(place) => remotes.same_server(link, place).await?.sftp,
        };
        let path = match &target {
            Target::Text(text) => text.as_slice(),
            Target::File(place) => place.path(),
        };
        let new = if is_directory(&sftp, link.path()).await {
            inside(link.path(), path)
        } else {
            link.path().to_vec()
        };
        match &target {
            Target::Text(text) => sftp.symlink(text, &new).await?,
            Target::File(place) => sftp.hardlink(place.path(), &new).await?,
        }
        Ok(Exit::Done)
    }

    fn target(&self, link: &Destination) -> Result<Target> {
        let typed = bytes_of(&self.target);
        match (self.symbolic, Place::parse(typed)?) {
            (false, Place::Remote(place)) => Ok(Target::File(place)),
            (false, Place::Local(_)) => Err(Failure::usage(display_name(typed), "names no server")
                .hint(format!(
                    "write {}:{}, or use -s for a symbolic link",
                    link.host(),
                    display_name(typed)
                ))),
            // `ln -s nas:a nas:b` can only mean the file a.
            (true, Place::Remote(place))
                if place.host() == link.host() && place.user() == link.user() =>
            {
                Ok(Target::Text(place.path().to_vec()))
            }
            (true, _) => Ok(Target::Text(typed.to_vec())),
        }
    }
}

enum Target {
    /// Verbatim text of a symbolic link.
    Text(Vec<u8>),
    /// A file that gets a second name.
    File(Destination),
}
