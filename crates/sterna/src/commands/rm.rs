//! `sterna rm`: removes remote files, and trees only when told to.

use clap::Args;
use sterna_client::{Error, FileKind, Sftp};

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
  sterna rm alice@nas:old.txt
  sterna rm alice@nas:'*.tmp'
  sterna rm -r alice@nas:build";

/// A tree deeper than this is not walked (directories): paths would become too long anyway.
const DEPTH_MAX: usize = 512;

/// Remove files, links and, with -r, directories
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RmArgs {
    /// Remove directories with everything in them; links are removed, not followed
    #[arg(short, long, short_alias = 'R')]
    pub recursive: bool,
    /// Do not complain about what does not exist
    #[arg(short, long)]
    pub force: bool,
    /// What to remove
    #[arg(required = true, value_name = "PLACE")]
    pub places: Vec<RemotePath>,
    #[command(flatten)]
    pub client: ClientArgs,
}

impl RmArgs {
    pub async fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let mut remotes = Remotes::new(&self.client, global)?;
        let mut worst = Exit::Done;
        for RemotePath(place) in &self.places {
            let targets = match remotes.targets(place).await {
                Ok(targets) => targets,
                Err(failure) if self.force && failure.exit() == Exit::Incomplete => continue,
                Err(failure) => {
                    worst = worst.worst(report(failure)?);
                    continue;
                }
            };
            for target in targets {
                if let Err(failure) = self.remove(target.sftp(), &target.path).await {
                    worst = worst.worst(report(failure)?);
                }
            }
        }
        Ok(worst)
    }

    async fn remove(&self, sftp: &Sftp, path: &[u8]) -> Result<()> {
        let name = path.rsplit(|&b| b == b'/').find(|part| !part.is_empty()).unwrap_or(b"");
        // Removing what is above, or everything, is a slip of the fingers.
        if name.is_empty() || name == b"." || name == b".." {
            return Err(Failure::incomplete(
                format!("remove \"{}\"", display_name(path)),
                "refusing to remove this directory",
            ));
        }
        let attrs = match sftp.lstat(path).await {
            Ok(attrs) => attrs,
            Err(error) if self.force && error.is_not_found() => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        if FileKind::of(&attrs) != FileKind::Dir {
            return Ok(sftp.remove(path).await?);
        }
        if !self.recursive {
            return Err(Failure::incomplete(
                format!("remove \"{}\"", display_name(path)),
                "is a directory",
            )
            .hint("use -r to remove it with everything in it, or `sterna rmdir` if it is empty"));
        }
        remove_tree(sftp, path).await
    }
}

/// Removes a directory with everything in it. Goes on after a failure, so that as much as possible
/// goes; the failures are reported as they happen.
///
/// # Errors
/// If something is left, or the connection ends.
pub async fn remove_tree(sftp: &Sftp, root: &[u8]) -> Result<()> {
    let mut worst = Exit::Done;
    // Each directory is met twice: first its content goes, then itself.
    let mut stack = vec![(root.to_vec(), 0, false)];
    while let Some((path, depth, emptied)) = stack.pop() {
        let done = if emptied {
            sftp.rmdir(&path).await
        } else if depth > DEPTH_MAX {
            Err(Error::Usage(format!("\"{}\": nested too deeply", display_name(&path))))
        } else {
            match empty(sftp, &path, &mut worst).await {
                Ok(directories) => {
                    stack.push((path, depth, true));
                    stack.extend(directories.into_iter().map(|path| (path, depth + 1, false)));
                    continue;
                }
                Err(error) => Err(error),
            }
        };
        if let Err(error) = done {
            if error.ends_channel() {
                return Err(error.into());
            }
            worst = worst.worst(report(error.into())?);
        }
    }
    if worst == Exit::Done { Ok(()) } else { Err(Failure::reported(worst)) }
}

/// Removes everything in a directory but its directories, whose paths are returned.
async fn empty(
    sftp: &Sftp,
    path: &[u8],
    worst: &mut Exit,
) -> std::result::Result<Vec<Vec<u8>>, Error> {
    let mut directories = Vec::new();
    for entry in sftp.list(path).await? {
        let child = join(path, &entry.name);
        let kind = match entry.kind() {
            // A server that does not say is asked: removing must never follow a link.
            FileKind::Unknown => FileKind::of(&sftp.lstat(&child).await?),
            kind => kind,
        };
        if kind == FileKind::Dir {
            directories.push(child);
        } else if let Err(error) = sftp.remove(&child).await {
            if error.ends_channel() {
                return Err(error);
            }
            let failure = Failure::from(error);
            failure.report();
            *worst = worst.worst(failure.exit());
        }
    }
    Ok(directories)
}
