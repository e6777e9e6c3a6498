//! The conversation between the login and the connection's task: one question, one answer.

use std::sync::{Arc, OnceLock};

use sterna_ssh_crypto::OfferedKey;
use sterna_ssh_proto::{ClientAuth, Prompts, Reason, SessionBinding};
use tokio::sync::{mpsc, oneshot};

use super::{Command, Notice};
use crate::Error;
use crate::display::display_text;
use crate::prompt::Prompt;

/// What the server said to an attempt.
pub(crate) enum Turn {
    LoggedIn,
    Refused {
        can_continue: Vec<String>,
        partial: bool,
    },
    KeyAccepted {
        algorithm: String,
        key_blob: Vec<u8>,
    },
    /// Questions of keyboard-interactive.
    Prompted(Prompts),
    /// The password must be changed; the server's words about it.
    PasswordExpired(String),
}

/// The login's end of the conversation.
pub(crate) struct Login {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) notices: mpsc::Receiver<Notice>,
    pub(crate) end: Arc<OnceLock<String>>,
    pub(crate) prompt: Arc<dyn Prompt>,
    pub(crate) host: String,
    /// Why the server ended the connection, if it did: a number of RFC 4253 §11.1.
    pub(crate) disconnected: Option<u32>,
}

impl Login {
    /// The key that the server shows.
    pub(crate) async fn host_key(&mut self) -> Result<OfferedKey, Error> {
        loop {
            match self.notice().await? {
                Notice::HostKey(key) => return Ok(*key),
                Notice::Banner(text) => self.show(&text),
                _ => {}
            }
        }
    }

    /// Waits for the server's next word on the login.
    pub(crate) async fn next_turn(&mut self) -> Result<Turn, Error> {
        loop {
            match self.notice().await? {
                Notice::Banner(text) => self.show(&text),
                Notice::AuthTurn { can_continue, partial } => {
                    return Ok(Turn::Refused { can_continue, partial });
                }
                Notice::KeyAccepted { algorithm, key_blob } => {
                    return Ok(Turn::KeyAccepted { algorithm, key_blob });
                }
                Notice::Prompted(prompts) => return Ok(Turn::Prompted(prompts)),
                Notice::PasswordExpired(prompt) => return Ok(Turn::PasswordExpired(prompt)),
                Notice::LoggedIn => return Ok(Turn::LoggedIn),
                Notice::HostKey(_)
                | Notice::HostKeysAnnounced(_)
                | Notice::HostKeysProved(_)
                | Notice::Disconnected(_) => {}
            }
        }
    }

    pub(crate) async fn try_auth(&mut self, auth: ClientAuth) -> Result<Turn, Error> {
        self.send(Command::TryAuth(auth)).await?;
        self.next_turn().await
    }

    /// What `server-sig-algs` lists; empty if it did not come.
    pub(crate) async fn server_signature_algorithms(&self) -> Result<Arc<[String]>, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::SignatureAlgorithms { reply }).await?;
        answer.await.map_err(|_| self.ended())
    }

    pub(crate) async fn signed_bytes(
        &self,
        algorithm: &str,
        key_blob: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let (reply, answer) = oneshot::channel();
        let command = Command::SignedBytes {
            algorithm: algorithm.to_owned(),
            key_blob: key_blob.to_vec(),
            reply,
        };
        self.send(command).await?;
        answer.await.map_err(|_| self.ended())
    }

    /// The bytes that a host-based attempt signs.
    pub(crate) async fn host_based_signed_bytes(
        &self,
        algorithm: &str,
        key_blob: &[u8],
        client_host: &str,
        client_user: &str,
    ) -> Result<Vec<u8>, Error> {
        let (reply, answer) = oneshot::channel();
        let command = Command::HostBasedSignedBytes {
            algorithm: algorithm.to_owned(),
            key_blob: key_blob.to_vec(),
            client_host: client_host.to_owned(),
            client_user: client_user.to_owned(),
            reply,
        };
        self.send(command).await?;
        answer.await.map_err(|_| self.ended())
    }

    /// What ties an agent's signatures to this connection.
    pub(crate) async fn session_binding(&self) -> Result<Option<SessionBinding>, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::SessionBinding { reply }).await?;
        answer.await.map_err(|_| self.ended())
    }

    /// Whether the server ended the connection by saying that it will not have us.
    pub(crate) fn was_thrown_out(&self) -> bool {
        [Reason::ProtocolError, Reason::NoMoreAuthMethods]
            .iter()
            .any(|reason| self.disconnected == Some(*reason as u32))
    }

    pub(crate) async fn peer_software(&self) -> Result<Vec<u8>, Error> {
        let (reply, answer) = oneshot::channel();
        self.send(Command::PeerSoftware { reply }).await?;
        answer.await.map_err(|_| self.ended())
    }

    pub(crate) async fn send(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.map_err(|_| self.ended())
    }

    async fn notice(&mut self) -> Result<Notice, Error> {
        loop {
            match self.notices.recv().await {
                Some(Notice::Disconnected(reason)) => self.disconnected = Some(reason),
                Some(notice) => return Ok(notice),
                None => return Err(self.ended()),
            }
        }
    }

    fn ended(&self) -> Error {
        let why =
            self.end.get().cloned().unwrap_or_else(|| "the server closed the connection".into());
        Error::Connect { host: self.host.clone(), why }
    }

    fn show(&self, banner: &str) {
        for line in banner.lines() {
            self.prompt.inform(&display_text(line));
        }
    }
}
