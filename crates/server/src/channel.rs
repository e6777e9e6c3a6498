//! What runs on one session channel: nothing yet, SFTP, or one command; and the end of it.

use std::io::IoSliceMut;
use std::task::Context;

use sterna_ssh_proto::{ChannelId, OutputBuffer};
use sterna_ssh_tokio::Link;

use crate::command::Command;
use crate::sftp::{SftpSession, Sink};

/// The program of a channel.
pub(crate) enum Channel {
    /// Open, and nothing asked yet.
    Fresh,
    Sftp(Box<SftpSession>),
    Command(Box<Command>),
    /// Said everything; the peer's CLOSE is on its way.
    Over,
}

impl Channel {
    pub(crate) fn handle_data(&mut self, id: ChannelId, data: &[u8], link: &mut Link<'_>) {
        match self {
            Self::Sftp(session) => {
                session.set_now(link.now);
                session.handle_data(data);
            }
            Self::Command(command) => {
                command.handle_data(data);
                link.connection.consume(id, data.len(), link.output);
            }
            Self::Fresh | Self::Over => link.connection.consume(id, data.len(), link.output),
        }
    }

    pub(crate) fn handle_eof(&mut self, id: ChannelId, link: &mut Link<'_>) {
        match self {
            Self::Sftp(session) => session.handle_eof(),
            Self::Command(command) => command.handle_eof(),
            // Nobody will ask for anything any more.
            Self::Fresh => {
                link.connection.close(id, link.output);
                *self = Self::Over;
            }
            Self::Over => {}
        }
    }

    /// Lets the program work; ends the channel in order when it is done (`ssh.md` SES-3).
    pub(crate) fn poll(&mut self, id: ChannelId, cx: &mut Context<'_>, link: &mut Link<'_>) {
        let finished = match self {
            Self::Sftp(session) => {
                session.set_now(link.now);
                let progress = session.poll(cx, &mut ChannelSink { id, link });
                if progress.consumed > 0 {
                    link.connection.consume(id, progress.consumed, link.output);
                }
                progress.finished
            }
            Self::Command(command) => command.poll(id, cx, link),
            Self::Fresh | Self::Over => None,
        };
        if let Some(status) = finished {
            link.connection.send_exit_status(id, status, link.output);
            link.connection.send_eof(id, link.output);
            link.connection.close(id, link.output);
            *self = Self::Over;
        }
    }

    /// Gives memory back that is remade when it is needed.
    pub(crate) fn release(&mut self) {
        if let Self::Sftp(session) = self {
            session.release();
        }
    }

    /// Nothing would be lost if the connection ended now.
    pub(crate) fn is_idle(&self) -> bool {
        match self {
            Self::Sftp(session) => session.is_idle(),
            Self::Command(_) => false,
            Self::Fresh | Self::Over => true,
        }
    }
}

/// Outgoing data of one channel.
struct ChannelSink<'s, 'l> {
    id: ChannelId,
    link: &'s mut Link<'l>,
}

impl Sink for ChannelSink<'_, '_> {
    fn room(&self) -> usize {
        self.link.connection.sendable(self.id, self.link.output)
    }

    fn room_when_drained(&self) -> usize {
        self.link.connection.sendable(self.id, &OutputBuffer::new())
    }

    fn write(&mut self, parts: &[&[u8]]) -> usize {
        self.link.connection.send_data(self.id, parts, self.link.output)
    }

    fn fill(&mut self, len: usize, fill: &mut dyn FnMut(&mut [IoSliceMut<'_>]) -> usize) -> usize {
        let Link { connection, output, .. } = &mut *self.link;
        connection.send_data_with(self.id, len, output, |pieces| fill(pieces))
    }
}
