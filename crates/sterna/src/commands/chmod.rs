//! `sterna chmod`: changes permission bits of remote files.

use clap::Args;
use sterna_client::{Attrs, FileKind, Sftp};

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    commands::onto::is_directory,
    exit::Exit,
    failure::{Failure, Result},
    mode::ModeChange,
    output::display_name,
    remote::{Remotes, report},
    remote_glob::join,
};

const EXAMPLES: &str = "\
Examples:
  sterna chmod 640 alice@nas:secret.txt
  sterna chmod u+rwX,go= alice@nas:'private/*'
  sterna chmod -R go-w alice@nas:shared";

/// Directories above the deepest that is changed: a tree without end is a fault of the server.
const DEPTH_MAX: usize = 512;

/// Change permissions
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ChmodArgs {
    /// Change directories with everything in them; links in them are left alone
    #[arg(short = 'R', long)]
    pub recursive: bool,
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
                let (sftp, path) = (target.sftp(), target.path());
                match self.recursive && is_directory(sftp, path).await {
                    true => change_tree(sftp, path, &self.mode).await,
                    false => change(sftp, path, &self.mode, true).await,
                }
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

/// Changes a directory, then everything in it. Goes on after a failure; the failures are reported as they
/// happen.
///
/// # Errors
/// If something was not changed, or the connection ends.
async fn change_tree(sftp: &Sftp, root: &[u8], mode: &ModeChange) -> Result<()> {
    let mut worst = Exit::Done;
    let mut waiting = vec![(root.to_vec(), 0)];
    while let Some((path, depth)) = waiting.pop() {
        let done = async {
            change(sftp, &path, mode, true).await?;
            if depth == DEPTH_MAX {
                let what = format!("change mode of \"{}\"", display_name(&path));
                return Err(Failure::incomplete(what, "nested too deeply"));
            }
            let mut failed = None;
            for entry in sftp.list(&path).await? {
                let child = join(&path, &entry.name);
                let kind = match entry.kind() {
                    // Who does not say is asked: a link must not be followed.
                    FileKind::Unknown => FileKind::of(&sftp.lstat(&child).await?),
                    kind => kind,
                };
                match kind {
                    FileKind::Dir => waiting.push((child, depth + 1)),
                    FileKind::Symlink => {}
                    _ => match change(sftp, &child, mode, true).await {
                        Err(failure) if failure.exit() == Exit::Incomplete => {
                            failure.report();
                            failed = Some(Failure::reported(Exit::Incomplete));
                        }
                        result => result?,
                    },
                }
            }
            failed.map_or(Ok(()), Err)
        };
        match done.await {
            Err(failure) if failure.exit() == Exit::Interrupted => return Err(failure),
            Err(failure) => worst = worst.worst(report(failure)?),
            Ok(()) => {}
        }
    }
    if worst == Exit::Done { Ok(()) } else { Err(Failure::reported(worst)) }
}

fn parse_mode(text: &str) -> std::result::Result<ModeChange, String> {
    ModeChange::parse(text).ok_or_else(|| "not a mode such as 644 or u+x,go-w".to_owned())
}
