//! Where `cp` and `mv` put things: several into a directory, or one under a new name, all on one server.

use sterna_client::{FileKind, Sftp};

use crate::{
    args::RemotePath,
    exit::Exit,
    failure::{Failure, Result},
    output::display_name,
    remote::{Remotes, Target, report},
    remote_glob::join,
};

/// What goes where.
pub struct Onto {
    pub sftp: Sftp,
    /// Each with its new path.
    pub pairs: Vec<(Target, Vec<u8>)>,
    /// The worst of what was said already, of places that cannot be had.
    pub worst: Exit,
}

impl Onto {
    /// The last of `places` is the new name or the directory. `to_do` and `done`: the command as words.
    ///
    /// # Errors
    /// Not all places are on one server, or several things do not go into a directory.
    pub async fn of(
        remotes: &mut Remotes,
        places: &[RemotePath],
        to_do: &str,
        done: &str,
    ) -> Result<Self> {
        let Some((RemotePath(target), sources)) = places.split_last() else {
            return Err(Failure::usage(to_do, "needs what and where to"));
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
                .hint(format!("several files can only be {done} into a directory")));
        }
        let to = |source: &Target| match into {
            true => inside(target.path(), &source.path),
            false => target.path().to_vec(),
        };
        let pairs = found.into_iter().map(|source| (to(&source), source));
        Ok(Self { sftp, pairs: pairs.map(|(to, source)| (source, to)).collect(), worst })
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
