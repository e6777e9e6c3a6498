//! Connections to the servers that a command names: each one is made once, however many paths
//! there are on it.

use std::sync::Arc;

use sterna_client::{Connector, Destination, Prompt, Session, Sftp, Zeroizing};

use crate::{
    args::{ClientArgs, GlobalArgs, RemotePath},
    exit::Exit,
    failure::{Failure, Result},
    glob,
    output::display_name,
    prompt::{self, Terminal},
    remote_glob,
};

/// A login and its SFTP channel.
#[derive(Clone)]
pub struct Remote {
    pub connector: Arc<Connector>,
    pub session: Session,
    pub sftp: Sftp,
}

/// All servers of one command.
pub struct Remotes {
    options: ClientArgs,
    prompt: Arc<dyn Prompt>,
    password: Option<Zeroizing<String>>,
    open: Vec<(Server, std::result::Result<Remote, Exit>)>,
}

/// What tells one server from another: user, host, port as they were typed.
type Server = (Option<String>, String, Option<u16>);

/// One path on a server, with patterns already expanded.
pub struct Target {
    pub remote: Remote,
    pub path: Vec<u8>,
    /// Which of the servers of this command it is.
    server: usize,
}

impl Target {
    pub fn sftp(&self) -> &Sftp {
        &self.remote.sftp
    }

    /// Whether both are on one connection.
    pub fn is_beside(&self, other: &Self) -> bool {
        self.server == other.server
    }

    /// Empty for the directory in which the login starts.
    pub fn path(&self) -> &[u8] {
        &self.path
    }
}

impl Remotes {
    /// # Errors
    /// If the password file cannot be read.
    pub fn new(options: &ClientArgs, global: &GlobalArgs) -> Result<Self> {
        Ok(Self {
            password: prompt::given_password(options.password_file.as_deref())?,
            prompt: Arc::new(Terminal { quiet: global.quiet }),
            options: options.clone(),
            open: Vec::new(),
        })
    }

    /// The connection to the server of a place; made now if it is the first one there.
    ///
    /// # Errors
    /// If no connection or login is possible. That is said once for each server: later failures of
    /// the same kind are silent.
    pub async fn to(&mut self, place: &Destination) -> Result<Remote> {
        let server = server_of(place);
        if let Some((_, known)) = self.open.iter().find(|(known, _)| *known == server) {
            return known.clone().map_err(Failure::reported);
        }
        let connected = self.connect(place).await;
        let kept = connected.clone().map_err(|failure| failure.exit());
        self.open.push((server, kept));
        connected
    }

    /// Does something with each place. Failures are reported one by one and do not stop the rest;
    /// the result says how bad it was.
    ///
    /// A path that does not exist, but is a pattern, stands for all paths that match it.
    ///
    /// # Errors
    /// Only if stdout is gone: then nothing more can be said.
    pub async fn each(
        &mut self,
        places: &[RemotePath],
        mut act: impl AsyncFnMut(&Target) -> Result<()>,
    ) -> Result<Exit> {
        let mut worst = Exit::Done;
        for RemotePath(place) in places {
            let targets = match self.targets(place).await {
                Ok(targets) => targets,
                Err(failure) => {
                    worst = worst.worst(report(failure)?);
                    continue;
                }
            };
            for target in &targets {
                if let Err(failure) = act(target).await {
                    worst = worst.worst(report(failure)?);
                }
            }
        }
        Ok(worst)
    }

    /// What one place stands for: the path itself, or what it matches if it is a pattern and no
    /// file has that very name.
    ///
    /// # Errors
    /// If the server cannot be reached, or a pattern matches nothing.
    pub async fn targets(&mut self, place: &Destination) -> Result<Vec<Target>> {
        let remote = self.to(place).await?;
        let pattern = glob::with_escapes(place.path());
        let mut paths = vec![place.path().to_vec()];
        if glob::has_magic(&pattern) {
            match remote.sftp.lstat(place.path()).await {
                Ok(_) => {}
                Err(error) if error.ends_channel() => return Err(error.into()),
                Err(_) => paths = remote_glob::expand(&remote.sftp, &pattern).await?,
            }
            if paths.is_empty() {
                return Err(Failure::incomplete(
                    display_name(place.path()),
                    "no such file, and the pattern matches none",
                ));
            }
        }
        let server = self.open.iter().position(|(server, _)| *server == server_of(place));
        let server = server.unwrap_or(self.open.len());
        Ok(paths.into_iter().map(|path| Target { remote: remote.clone(), path, server }).collect())
    }

    /// Two places that must be on one server, as `mv` needs them.
    ///
    /// # Errors
    /// If they are not, or it cannot be reached.
    pub async fn same_server(&mut self, one: &Destination, other: &Destination) -> Result<Remote> {
        if server_of(one) != server_of(other) {
            return Err(Failure::usage(
                other.host(),
                "both places must be on the same server, as the same user",
            )
            .hint("use `sterna get` and `sterna put` to move files between servers"));
        }
        self.to(one).await
    }

    async fn connect(&self, place: &Destination) -> Result<Remote> {
        let mut builder = Session::builder(place).prompt(self.prompt.clone());
        if let Some(port) = self.options.port {
            builder = builder.port(port);
        }
        if let Some(file) = &self.options.ssh_config {
            builder = builder.config_file(file);
        }
        for identity in &self.options.identity {
            builder = builder.identity(identity);
        }
        if let Some(hops) = &self.options.jump {
            builder = builder.option(format!("ProxyJump={hops}"));
        }
        for option in &self.options.options {
            builder = builder.option(option);
        }
        if let Some(password) = &self.password {
            builder = builder.password(password.clone());
        }
        let connector = Arc::new(Connector::new(builder));
        let session = connector.connect().await?;
        let sftp = session.sftp().await?;
        Ok(Remote { connector, session, sftp })
    }
}

fn server_of(place: &Destination) -> Server {
    (place.user().map(str::to_owned), place.host().to_owned(), place.port())
}

/// Prints a failure and says how bad it was. Passes on the quiet end of a program whose reader
/// went away.
pub fn report(failure: Failure) -> Result<Exit> {
    if failure.exit() == Exit::Done {
        return Err(failure);
    }
    failure.report();
    Ok(failure.exit())
}
