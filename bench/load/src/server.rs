//! The server under load: how it is reached, and logging in there.

use std::path::PathBuf;

use sterna_client::{Destination, Error, Session, SessionBuilder, Sftp};
use tokio::task::JoinSet;

/// Logins under way at a time where many sessions are opened before something is measured.
const OPENING_MAX: usize = 16;

#[derive(Clone, Debug, clap::Args)]
pub struct Server {
    /// Port on 127.0.0.1.
    #[arg(long)]
    port: u16,
    #[arg(long)]
    user: String,
    /// Private key to log in with.
    #[arg(long)]
    key: PathBuf,
    /// `KEY=VALUE` as for ssh's -o; may be repeated.
    #[arg(short = 'o', long = "option")]
    options: Vec<String>,
}

impl Server {
    fn builder(&self) -> Result<SessionBuilder, Error> {
        let place = Destination::new(Some(self.user.clone()), "127.0.0.1", Some(self.port), "")?;
        let builder = Session::builder(&place).config_file("none").identity(&self.key);
        let fixed = [
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "GlobalKnownHostsFile=/dev/null",
            "UpdateHostKeys=no",
            "IdentitiesOnly=yes",
        ];
        let options = fixed.into_iter().map(str::to_owned).chain(self.options.iter().cloned());
        Ok(options.fold(builder.batch_mode(true), SessionBuilder::option))
    }

    /// A session and an SFTP channel on it.
    ///
    /// # Errors
    /// What connecting, logging in or starting SFTP says.
    pub async fn log_in(&self) -> Result<(Session, Sftp), Error> {
        let session = self.builder()?.connect().await?;
        let sftp = session.sftp().await?;
        Ok((session, sftp))
    }

    /// So many sessions, each with its channel.
    ///
    /// # Errors
    /// The first that any of them has.
    pub async fn log_in_often(&self, count: usize) -> Result<Vec<(Session, Sftp)>, crate::Failure> {
        let mut opened = Vec::with_capacity(count);
        let mut opening = JoinSet::new();
        for _ in 0..count {
            if opening.len() == OPENING_MAX {
                opened.extend(opening.join_next().await.transpose()?.transpose()?);
            }
            let server = self.clone();
            opening.spawn(async move { server.log_in().await });
        }
        while let Some(done) = opening.join_next().await {
            opened.push(done??);
        }
        Ok(opened)
    }
}
