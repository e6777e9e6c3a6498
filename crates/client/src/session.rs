//! One authenticated SSH connection: a cloneable handle to the task that runs it.

pub(crate) mod login;
mod service;
mod tunnel;

use std::sync::{Arc, OnceLock};

use sterna_sftp_proto::messages::Symlink;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::connect::SessionBuilder;
use crate::limits::EXEC_PARALLEL_MAX;
use crate::sftp::{Engine, Questions, Sftp, SftpOptions};
use crate::ssh_config::HostSettings;
use crate::{Destination, Error};

pub(crate) use service::{ClientService, Command, NOTICES_MAX, Notice};
pub(crate) use tunnel::TunnelStream;

/// A connection that is logged in. Clones share it; it ends when all of them and every [`Sftp`] on
/// it are dropped.
#[derive(Clone)]
pub struct Session {
    inner: Arc<Inner>,
}

struct Inner {
    commands: mpsc::Sender<Command>,
    end: Arc<OnceLock<String>>,
    settings: HostSettings,
    peer_software: String,
    /// Commands wait here for their turn.
    exec_turns: Semaphore,
}

/// What a command at the server has said.
#[derive(Clone, Debug, Default)]
pub struct ExecOutput {
    /// `None` if it was killed or the server did not tell.
    pub status: Option<u32>,
    /// At most [`EXEC_OUTPUT_LEN_MAX`](crate::limits::EXEC_OUTPUT_LEN_MAX) bytes each.
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

impl Session {
    /// Begins to describe a connection to the server of `destination`.
    pub fn builder(destination: &Destination) -> SessionBuilder {
        SessionBuilder::new(destination)
    }

    pub(crate) fn new(
        commands: mpsc::Sender<Command>,
        end: Arc<OnceLock<String>>,
        settings: HostSettings,
        peer_software: String,
    ) -> Self {
        let exec_turns = Semaphore::new(exec_parallel(&peer_software));
        Self { inner: Arc::new(Inner { commands, end, settings, peer_software, exec_turns }) }
    }

    /// Opens an SFTP channel. Several may be open; servers limit their number (OpenSSH: 10).
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the server has no SFTP; [`Error::Interrupted`] if the connection ended.
    pub async fn sftp(&self) -> Result<Sftp, Error> {
        let draft_symlinks = Symlink::is_in_draft_order_for(self.peer_software().as_bytes());
        let options = SftpOptions { draft_symlinks, ..SftpOptions::default() };
        let (engine, handle) = Engine::new(options.silence_max);
        let (opened, reply) = oneshot::channel();
        let questions = match (self.is_sterna(), self.is_openssh()) {
            (true, _) => Questions::default().limits(&handle).exact_attrs(&handle),
            (_, true) => Questions::default().limits(&handle),
            (false, false) => Questions::default(),
        };
        self.send(Command::OpenSftp { engine: Box::new(engine), opened }).await?;
        reply.await.unwrap_or_else(|_| Err(self.ended()))?;
        Sftp::start(handle, questions, &options).await
    }

    /// Runs a command at the server with empty input and collects what it says. A few run at once,
    /// further ones wait for their turn.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the server runs no commands.
    pub async fn exec(&self, command: &[u8]) -> Result<ExecOutput, Error> {
        // The semaphore is never closed.
        let _turn = self.inner.exec_turns.acquire().await;
        let (done, reply) = oneshot::channel();
        self.send(Command::Exec { command: command.to_vec(), done }).await?;
        reply.await.unwrap_or_else(|_| Err(self.ended()))
    }

    /// A stream to `host` and `port` as the server reaches them. It keeps the connection open.
    ///
    /// # Errors
    /// [`Error::Connect`] if the server cannot or will not.
    pub(crate) async fn tunnel(&self, host: &str, port: u16) -> Result<TunnelStream, Error> {
        let (opened, reply) = oneshot::channel();
        self.send(Command::OpenTunnel { host: host.to_owned(), port, opened }).await?;
        let result = reply.await.unwrap_or_else(|_| Err(self.ended()));
        result.map_err(|error| {
            let why = match error {
                Error::Interrupted { why, .. } => why,
                other => other.to_string(),
            };
            Error::Connect { host: host.to_owned(), why: format!("through {}: {why}", self.host()) }
        })
    }

    /// What the server calls itself, made safe to print.
    pub fn peer_software(&self) -> &str {
        &self.inner.peer_software
    }

    /// Whether the server calls itself OpenSSH.
    pub(crate) fn is_openssh(&self) -> bool {
        self.peer_software().starts_with("OpenSSH_")
    }

    fn is_sterna(&self) -> bool {
        self.peer_software().starts_with("Sterna_")
    }

    /// The settings that the connection was made with.
    pub fn settings(&self) -> &HostSettings {
        &self.inner.settings
    }

    pub fn user(&self) -> &str {
        &self.inner.settings.user
    }

    pub fn host(&self) -> &str {
        &self.inner.settings.host
    }

    /// Says goodbye and ends the connection, whatever is still in flight on it.
    pub async fn close(self) {
        let _ = self.inner.commands.send(Command::Disconnect).await;
        self.inner.commands.closed().await;
    }

    /// Whether nothing can be asked of it any more.
    pub fn is_closed(&self) -> bool {
        self.inner.commands.is_closed()
    }

    async fn send(&self, command: Command) -> Result<(), Error> {
        self.inner.commands.send(command).await.map_err(|_| self.ended())
    }

    fn ended(&self) -> Error {
        let why =
            self.inner.end.get().cloned().unwrap_or_else(|| "the connection is closed".into());
        Error::Interrupted { doing: "use the connection", why }
    }
}

/// Commands that may run at once at a server of this name.
fn exec_parallel(peer_software: &str) -> usize {
    // Dropbear 2022.82 to 2024.85 ends the connection by a failed assertion if a command ends while
    // another channel is open and has not got its command yet (its issue 321).
    if peer_software.starts_with("dropbear_") { 1 } else { EXEC_PARALLEL_MAX }
}
