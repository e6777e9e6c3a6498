//! What runs above the SSH core inside the connection's task: commands in, events out, channels.
//!
//! Questions that take time (a person, a key file, an agent) leave as a [`Notice`] and come back as
//! a [`Command`]; nothing here waits. Credit goes back as soon as bytes are in the buffer of whoever
//! asked for them: what the server may send is bounded by what was requested.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use sterna_ssh_crypto::OfferedKey;
use sterna_ssh_proto::{
    ChannelId, ChannelRequest, ClientAuth, Error as SshError, Event, Prompts, Reason,
    SessionBinding,
};
use sterna_ssh_tokio::{Link, Service, Turns};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, Sleep, sleep};

use super::ExecOutput;
use super::tunnel::{Tunnel, TunnelStream};
use crate::Error;
use crate::display::display_text;
use crate::limits::{BANNER_LEN_MAX, EXEC_OUTPUT_LEN_MAX, SILENCE_CHECK_PERIOD};
use crate::sftp::Engine;

/// What the handles ask of the task.
pub(crate) enum Command {
    HostKeyAnswer(bool),
    TryAuth(ClientAuth),
    SignatureAlgorithms {
        reply: oneshot::Sender<Arc<[String]>>,
    },
    SignedBytes {
        algorithm: String,
        key_blob: Vec<u8>,
        reply: oneshot::Sender<Vec<u8>>,
    },
    HostBasedSignedBytes {
        algorithm: String,
        key_blob: Vec<u8>,
        client_host: String,
        client_user: String,
        reply: oneshot::Sender<Vec<u8>>,
    },
    SessionBinding {
        reply: oneshot::Sender<Option<SessionBinding>>,
    },
    PeerSoftware {
        reply: oneshot::Sender<Vec<u8>>,
    },
    ProveHostKeys(Vec<Vec<u8>>),
    OpenSftp {
        engine: Box<Engine>,
        opened: oneshot::Sender<Result<(), Error>>,
    },
    Exec {
        command: Vec<u8>,
        done: oneshot::Sender<Result<ExecOutput, Error>>,
    },
    OpenTunnel {
        host: String,
        port: u16,
        opened: oneshot::Sender<Result<TunnelStream, Error>>,
    },
    Disconnect,
}

/// What the task tells the login.
pub(crate) enum Notice {
    HostKey(Box<OfferedKey>),
    Banner(String),
    AuthTurn {
        can_continue: Vec<String>,
        partial: bool,
    },
    KeyAccepted {
        algorithm: String,
        key_blob: Vec<u8>,
    },
    LoggedIn,
    Prompted(Prompts),
    /// The server's words about the change of the password.
    PasswordExpired(String),
    HostKeysAnnounced(Vec<Vec<u8>>),
    HostKeysProved(Vec<Vec<u8>>),
    /// The server has ended the connection, with this reason (RFC 4253 §11.1).
    Disconnected(u32),
}

/// Notices that may wait. The login reads each before it causes the next, so only banners pile up,
/// and those are dropped.
pub(crate) const NOTICES_MAX: usize = 64;

/// See the module.
pub(crate) struct ClientService {
    commands: mpsc::Receiver<Command>,
    commands_ended: bool,
    notices: mpsc::Sender<Notice>,
    host_key: Option<Vec<u8>>,
    /// The login was told that it may begin, and has not made an attempt.
    login_begins: bool,
    /// Something was said to it that it goes on from. It runs beside the connection: at once.
    login_goes_on: bool,
    banner_len: usize,
    announced: bool,
    channels: BTreeMap<ChannelId, Channel>,
    turns: Turns,
    check: Pin<Box<Sleep>>,
    end: Arc<OnceLock<String>>,
}

enum Channel {
    Sftp {
        engine: Box<Engine>,
        opened: Option<oneshot::Sender<Result<(), Error>>>,
        running: bool,
    },
    Exec {
        command: Vec<u8>,
        output: ExecOutput,
        done: Option<oneshot::Sender<Result<ExecOutput, Error>>>,
    },
    Tunnel {
        tunnel: Box<Tunnel>,
        /// What is handed over, and to whom, once the server has said yes.
        opening: Option<(TunnelStream, oneshot::Sender<Result<TunnelStream, Error>>)>,
    },
    /// We have closed it; the peer's last words are dropped.
    Closing,
}

impl ClientService {
    pub(crate) fn new(
        commands: mpsc::Receiver<Command>,
        notices: mpsc::Sender<Notice>,
        end: Arc<OnceLock<String>>,
    ) -> Self {
        Self {
            commands,
            commands_ended: false,
            notices,
            host_key: None,
            login_begins: false,
            login_goes_on: false,
            banner_len: 0,
            announced: false,
            channels: BTreeMap::new(),
            turns: Turns::default(),
            check: Box::pin(sleep(SILENCE_CHECK_PERIOD)),
            end,
        }
    }

    /// Tells everybody who waits why the connection is over.
    pub(crate) fn finish(&mut self, why: &str) {
        let _ = self.end.set(why.to_owned());
        let why = self.end.get().cloned().unwrap_or_default();
        let error = Error::Interrupted { doing: "use the connection", why };
        for (_, channel) in std::mem::take(&mut self.channels) {
            match channel {
                Channel::Sftp { mut engine, opened, .. } => {
                    engine.fail(&error);
                    let _ = opened.map(|o| o.send(Err(error.clone())));
                }
                Channel::Exec { done, .. } => {
                    let _ = done.map(|d| d.send(Err(error.clone())));
                }
                Channel::Tunnel { tunnel, opening } => {
                    let _ = opening.map(|(_, opened)| opened.send(Err(error.clone())));
                    tunnel.finish();
                }
                Channel::Closing => {}
            }
        }
    }

    fn tell(&self, notice: Notice) {
        // Full or nobody listening: see NOTICES_MAX.
        let _ = self.notices.try_send(notice);
    }

    fn command(&mut self, command: Command, link: &mut Link<'_>) -> Result<(), SshError> {
        let (connection, out) = (&mut *link.connection, &mut *link.output);
        match command {
            Command::HostKeyAnswer(accepted) => {
                return connection.answer_host_key(accepted, link.now, out);
            }
            Command::TryAuth(auth) => {
                self.login_begins = false;
                connection.try_auth(auth, out);
            }
            Command::SignatureAlgorithms { reply } => {
                self.login_goes_on = self.login_begins;
                let algorithms =
                    connection.server_signature_algorithms().cloned().unwrap_or_default();
                let _ = reply.send(algorithms);
            }
            Command::SignedBytes { algorithm, key_blob, reply } => {
                self.login_goes_on = self.login_begins;
                let _ = reply.send(connection.public_key_signed_bytes(&algorithm, &key_blob));
            }
            Command::HostBasedSignedBytes {
                algorithm,
                key_blob,
                client_host,
                client_user,
                reply,
            } => {
                let (host, user) = (client_host.as_bytes(), client_user.as_bytes());
                let bytes = connection.host_based_signed_bytes(&algorithm, &key_blob, host, user);
                let _ = reply.send(bytes);
            }
            Command::SessionBinding { reply } => drop(reply.send(connection.session_binding())),
            Command::PeerSoftware { reply } => {
                let _ = reply.send(connection.peer_software().to_vec());
            }
            Command::ProveHostKeys(keys) => connection.prove_host_keys(keys, out),
            Command::OpenSftp { engine, opened } => match connection.open_session(out) {
                Some(id) => {
                    let channel = Channel::Sftp { engine, opened: Some(opened), running: false };
                    self.channels.insert(id, channel);
                }
                None => drop(opened.send(Err(no_more_channels()))),
            },
            Command::Exec { command, done } => match connection.open_session(out) {
                Some(id) => {
                    let channel =
                        Channel::Exec { command, output: ExecOutput::default(), done: Some(done) };
                    self.channels.insert(id, channel);
                }
                None => drop(done.send(Err(no_more_channels()))),
            },
            Command::OpenTunnel { host, port, opened } => {
                match connection.open_direct_tcpip(&host, port, out) {
                    Some(id) => {
                        let (tunnel, stream) = Tunnel::new();
                        let opening = Some((stream, opened));
                        let channel = Channel::Tunnel { tunnel: Box::new(tunnel), opening };
                        self.channels.insert(id, channel);
                    }
                    None => drop(opened.send(Err(no_more_channels()))),
                }
            }
            Command::Disconnect => connection.disconnect(Reason::ByApplication, "", out),
        }
        Ok(())
    }

    /// Writes what a channel's engine has, as far as the window and the output buffer let it.
    fn pump(channel: &mut Channel, id: ChannelId, cx: &mut Context<'_>, link: &mut Link<'_>) {
        let engine = match channel {
            Channel::Sftp { engine, running: true, .. } => engine,
            Channel::Tunnel { tunnel, opening: None } => {
                if tunnel.pump(id, cx, link) {
                    link.connection.close(id, link.output);
                    *channel = Channel::Closing;
                }
                return;
            }
            _ => return,
        };
        engine.poll_calls(cx);
        let mut credit = link.connection.credit(id);
        engine.note_credit(credit);
        while Self::send_next(engine, id, credit, link) {
            engine.poll_calls(cx);
            credit = link.connection.credit(id);
        }
        engine.note_window(engine.next_len().is_some_and(|len| credit < len));
        if engine.is_finished() {
            link.connection.send_eof(id, link.output);
            link.connection.close(id, link.output);
            *channel = Channel::Closing;
        }
    }

    /// Sends what comes next, or a part of it. False if nothing can be sent now.
    fn send_next(engine: &mut Engine, id: ChannelId, credit: usize, link: &mut Link<'_>) -> bool {
        let Link { connection, output, .. } = link;
        let Some(len) = engine.in_file_len() else {
            let Some(parts) = engine.front() else { return false };
            let len = connection.send_data(id, &parts, output);
            if len > 0 {
                engine.advance(len);
            }
            return len > 0;
        };
        if connection.sendable(id, output) >= len {
            connection.send_data_with(id, len, output, |slices| engine.lay_from_file(slices));
            return true;
        }
        let will_fit = credit >= len || engine.expects_credit(len);
        if !will_fit || connection.fillable_len_max(id) < len {
            engine.gather_from_file();
            return true;
        }
        false
    }

    fn opened(&mut self, id: ChannelId, link: &mut Link<'_>) {
        match self.channels.get_mut(&id) {
            Some(Channel::Tunnel { opening, .. }) => {
                // If nobody waits any more, the dropped stream closes the channel.
                let _ = opening.take().map(|(stream, opened)| opened.send(Ok(stream)));
            }
            Some(Channel::Sftp { running, .. }) => {
                link.connection.request_subsystem(id, "sftp", link.output);
                *running = takes_data_early(link.connection.peer_software());
            }
            Some(Channel::Exec { command, .. }) => {
                link.connection.request_exec(id, command, link.output)
            }
            Some(Channel::Closing) | None => {}
        }
    }

    fn request_done(&mut self, id: ChannelId, accepted: bool, link: &mut Link<'_>) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        let refused = match channel {
            Channel::Sftp { opened, running, .. } => {
                *running = accepted;
                let result = if accepted {
                    Ok(())
                } else {
                    Err(unsupported("start SFTP", "the subsystem sftp"))
                };
                let _ = opened.take().map(|o| o.send(result));
                !accepted
            }
            Channel::Exec { done, .. } if !accepted => {
                let _ = done.take().map(|d| d.send(Err(unsupported("run a command", "commands"))));
                true
            }
            Channel::Exec { .. } => {
                link.connection.send_eof(id, link.output);
                false
            }
            Channel::Tunnel { .. } | Channel::Closing => false,
        };
        if refused {
            link.connection.close(id, link.output);
            *channel = Channel::Closing;
        }
    }

    fn data(&mut self, id: ChannelId, data: &[u8], link: &mut Link<'_>) {
        let Some(channel) = self.channels.get_mut(&id) else { return };
        match channel {
            Channel::Sftp { engine, .. } => {
                if let Err(error) = engine.receive(data) {
                    engine.fail(&error);
                    link.connection.close(id, link.output);
                    *channel = Channel::Closing;
                }
            }
            Channel::Exec { output, .. } => keep(&mut output.stdout, data),
            Channel::Tunnel { tunnel, .. } => return tunnel.receive(data),
            Channel::Closing => {}
        }
        link.connection.consume(id, data.len(), link.output);
    }

    fn closed(&mut self, id: ChannelId) {
        let error =
            Error::Interrupted { doing: "use SFTP", why: "the server closed the channel".into() };
        match self.channels.remove(&id) {
            Some(Channel::Sftp { mut engine, opened, .. }) => {
                engine.fail(&error);
                let _ = opened.map(|o| o.send(Err(error)));
            }
            Some(Channel::Exec { output, done, .. }) => {
                let _ = done.map(|d| d.send(Ok(output)));
            }
            Some(Channel::Tunnel { tunnel, .. }) => tunnel.finish(),
            Some(Channel::Closing) | None => {}
        }
    }

    fn open_failed(&mut self, id: ChannelId, text: &str) {
        let why = format!("the server opens no channel: {}", display_text(text));
        let error = Error::Interrupted { doing: "open a channel", why };
        match self.channels.remove(&id) {
            Some(Channel::Sftp { mut engine, opened, .. }) => {
                engine.fail(&error);
                let _ = opened.map(|o| o.send(Err(error)));
            }
            Some(Channel::Exec { done, .. }) => {
                let _ = done.map(|d| d.send(Err(error)));
            }
            Some(Channel::Tunnel { opening, .. }) => {
                let _ = opening.map(|(_, opened)| opened.send(Err(error)));
            }
            Some(Channel::Closing) | None => {}
        }
    }

    /// Channels whose server has fallen silent are given up.
    fn check_silence(&mut self, cx: &mut Context<'_>, link: &mut Link<'_>) {
        while self.check.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            self.check.as_mut().reset(now + SILENCE_CHECK_PERIOD);
            for (id, channel) in &mut self.channels {
                let Channel::Sftp { engine, .. } = channel else { continue };
                if engine.silence_deadline().is_some_and(|deadline| deadline <= now) {
                    let error = engine.silence_error();
                    engine.fail(&error);
                    link.connection.close(*id, link.output);
                    *channel = Channel::Closing;
                }
            }
        }
    }
}

impl Service for ClientService {
    fn answers_soon(&mut self) -> bool {
        std::mem::take(&mut self.login_goes_on)
    }

    fn handle_event(&mut self, event: Event<'_>, link: &mut Link<'_>) -> Result<(), SshError> {
        match event {
            Event::HostKey(question) => {
                let blob = question.key.to_wire();
                match &self.host_key {
                    None => {
                        self.host_key = Some(blob);
                        self.tell(Notice::HostKey(Box::new(question.key)));
                    }
                    // At a re-key: the key that was accepted, and no other.
                    Some(accepted) => {
                        let same = *accepted == blob;
                        return link.connection.answer_host_key(same, link.now, link.output);
                    }
                }
            }
            Event::AuthTurn { can_continue, partial } => {
                // The first turn comes with our NEWKEYS and asks for the service.
                self.login_begins = can_continue.is_empty() && !partial;
                self.login_goes_on = self.login_begins;
                self.tell(Notice::AuthTurn { can_continue, partial })
            }
            Event::PublicKeyAccepted { algorithm, key_blob } => {
                self.tell(Notice::KeyAccepted { algorithm, key_blob })
            }
            Event::Prompted(prompts) => self.tell(Notice::Prompted(prompts)),
            Event::PasswordExpired { prompt } => self.tell(Notice::PasswordExpired(prompt)),
            Event::Banner(text) => {
                self.banner_len = self.banner_len.saturating_add(text.len().max(1 << 10));
                if self.banner_len <= BANNER_LEN_MAX {
                    self.tell(Notice::Banner(text));
                }
            }
            Event::Authenticated { .. } => self.tell(Notice::LoggedIn),
            Event::HostKeysAnnounced(keys) => {
                // Only the first announcement counts (ROT-2).
                if !std::mem::replace(&mut self.announced, true) {
                    self.tell(Notice::HostKeysAnnounced(keys));
                }
            }
            Event::HostKeysProved(keys) => self.tell(Notice::HostKeysProved(keys)),
            Event::ChannelOpened(id) => self.opened(id, link),
            Event::ChannelOpenFailed { channel, text, .. } => self.open_failed(channel, &text),
            Event::ChannelRequestDone { channel, accepted } => {
                self.request_done(channel, accepted, link)
            }
            Event::ChannelRequest { channel, request: ChannelRequest::ExitStatus(status) } => {
                if let Some(Channel::Exec { output, .. }) = self.channels.get_mut(&channel) {
                    output.status = Some(status);
                }
            }
            Event::ChannelData { channel, data } => self.data(channel, data, link),
            Event::ChannelStderr { channel, data } => match self.channels.get_mut(&channel) {
                Some(Channel::Exec { output, .. }) => keep(&mut output.stderr, data),
                _ => tracing::debug!(text = crate::display_name(data), "server's standard error"),
            },
            Event::ChannelEof(id) => {
                if let Some(Channel::Tunnel { tunnel, .. }) = self.channels.get_mut(&id) {
                    tunnel.end();
                }
                // SFTP never ends one direction only: without the server there is nothing to say.
                if let Some(channel @ Channel::Sftp { .. }) = self.channels.get_mut(&id) {
                    if let Channel::Sftp { engine, .. } = channel {
                        engine.fail(&Error::Interrupted {
                            doing: "use SFTP",
                            why: "the server ended SFTP".into(),
                        });
                    }
                    link.connection.close(id, link.output);
                    *channel = Channel::Closing;
                }
            }
            Event::ChannelClosed(id) => self.closed(id),
            Event::Disconnected { reason, text } => {
                self.tell(Notice::Disconnected(reason));
                let _ = self
                    .end
                    .set(format!("the server ended the connection: {}", display_text(&text)));
            }
            // Room to write is taken in `poll`; the rest is for servers or already answered.
            Event::ChannelWritable(_)
            | Event::ChannelRequest { .. }
            | Event::AuthRequest(_)
            | Event::Sign(_) => {}
        }
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>, link: &mut Link<'_>) -> Result<(), SshError> {
        while !self.commands_ended {
            match self.commands.poll_recv(cx) {
                Poll::Ready(Some(command)) => self.command(command, link)?,
                Poll::Ready(None) => self.commands_ended = true,
                Poll::Pending => break,
            }
        }
        self.check_silence(cx, link);
        self.turns.serve_each(&mut self.channels, |id, channel| Self::pump(channel, id, cx, link));
        if self.commands_ended && self.channels.values().all(|c| matches!(c, Channel::Closing)) {
            link.connection.disconnect(Reason::ByApplication, "", link.output);
        }
        Ok(())
    }
}

/// Whether SFTP may begin before the server has said that it is started. Another server than ours might
/// drop what comes before it has a program to take it, or gives no credit until then (OpenSSH).
fn takes_data_early(peer_software: &[u8]) -> bool {
    peer_software.starts_with(b"Sterna_")
}

fn keep(output: &mut Vec<u8>, data: &[u8]) {
    let room = EXEC_OUTPUT_LEN_MAX.saturating_sub(output.len());
    output.extend_from_slice(&data[..data.len().min(room)]);
}

fn no_more_channels() -> Error {
    Error::Interrupted {
        doing: "open a channel",
        why: "no more channels on this connection".into(),
    }
}

fn unsupported(doing: &'static str, extension: &'static str) -> Error {
    Error::Unsupported { doing, extension }
}

#[cfg(test)]
mod tests;
