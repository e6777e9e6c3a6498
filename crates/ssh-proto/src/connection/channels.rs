//! Channels on a connection: the peer's messages routed, the application's calls carried out.

use std::io::IoSliceMut;

use sterna_sshwire::Reader;

use super::{Config, Connection, Step};
use crate::channel::Arrival;
use crate::error::{Error, PeerError};
use crate::event::{ChannelId, ChannelRequest, Event};
use crate::limits::{
    CHANNEL_PACKET_LEN, DIRECT_HOST_LEN_MAX, ENV_MAX, OUTPUT_LEN_SOFT_MAX, SEND_PACKET_LEN_MAX,
    SEND_SLICES_MAX,
};
use crate::messages::channel::{
    DATA_HEAD_LEN, OPEN_NO_RESOURCES, OPEN_PROHIBITED, OPEN_UNKNOWN_TYPE, Open, OpenConfirmation,
    Request, decode_data, decode_extended_data, decode_open_failure, decode_recipient,
    decode_window_adjust, encode_close, encode_direct_tcpip, encode_eof, encode_open_failure,
    encode_request, encode_request_answer, encode_window_adjust,
};
use crate::messages::transport::peer_text;
use crate::messages::{
    CHANNEL_CLOSE, CHANNEL_DATA, CHANNEL_EOF, CHANNEL_FAILURE, CHANNEL_OPEN,
    CHANNEL_OPEN_CONFIRMATION, CHANNEL_OPEN_FAILURE, CHANNEL_REQUEST, CHANNEL_SUCCESS,
    CHANNEL_WINDOW_ADJUST,
};
use crate::packet::{OutputBuffer, Payload};
use crate::phase::Phase;
use sterna_sshwire::put_string;

/// The one channel type there is for file transfer.
const SESSION: &[u8] = b"session";

/// A connection through the server. Clients open it to reach a server behind; ours never grants it.
const DIRECT_TCPIP: &[u8] = b"direct-tcpip";

/// Bytes between the start of an extended data message and its data.
const EXTENDED_DATA_HEAD_LEN: usize = DATA_HEAD_LEN + 4;

impl Connection {
    /// DATA and EXTENDED_DATA: counted, and lent to the application where they lie.
    pub(super) fn handle_channel_data(
        &mut self,
        number: u8,
        payload: &[u8],
        place: &Payload,
        out: &mut OutputBuffer,
    ) -> Result<Step, Error> {
        let r = &mut Reader::new(&payload[1..]);
        let stderr = number != CHANNEL_DATA;
        let (head_len, (recipient, data)) = if stderr {
            (
                EXTENDED_DATA_HEAD_LEN,
                decode_extended_data(r).map_err(Error::malformed("EXTENDED_DATA"))?,
            )
        } else {
            (DATA_HEAD_LEN, decode_data(r).map_err(Error::malformed("CHANNEL_DATA"))?)
        };
        let (id, channel) = self.channels.named(recipient)?;
        match channel.receive_data(data.len(), self.now)? {
            Arrival::Drop => return Ok(Step::Handled),
            Arrival::Deliver => {}
        }
        if data.is_empty() {
            return Ok(Step::Handled);
        }
        let len = data.len();
        if stderr {
            // Text for people: nobody holds it, so its credit goes back at once.
            self.consume(id, len, out);
        }
        let start = place.range.start + head_len;
        let range = start..start + len;
        Ok(Step::Data { channel: id, stderr, inflated: place.inflated, range })
    }

    /// Messages 90 to 100, data apart.
    pub(super) fn handle_channel(
        &mut self,
        number: u8,
        payload: &[u8],
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        let r = &mut Reader::new(&payload[1..]);
        match number {
            CHANNEL_WINDOW_ADJUST => {
                let (recipient, len) =
                    decode_window_adjust(r).map_err(Error::malformed("WINDOW_ADJUST"))?;
                let (id, channel) = self.channels.named(recipient)?;
                let starved = channel.send.left() < SEND_PACKET_LEN_MAX;
                channel.send.add(len)?;
                if starved && channel.arrival() == Arrival::Deliver {
                    self.events.push_back(Event::ChannelWritable(id));
                }
                Ok(())
            }
            CHANNEL_OPEN => {
                let open = Open::decode(r).map_err(Error::malformed("CHANNEL_OPEN"))?;
                self.handle_open(&open, out)
            }
            CHANNEL_OPEN_CONFIRMATION => {
                let confirmation = OpenConfirmation::decode(r)
                    .map_err(Error::malformed("CHANNEL_OPEN_CONFIRMATION"))?;
                let (id, channel) = self.channels.opening(confirmation.recipient)?;
                channel.open(confirmation.sender, confirmation.window, confirmation.packet_len_max);
                let asked = channel.answer_awaited_since.take();
                self.channels.answered(asked, self.now);
                self.events.push_back(Event::ChannelOpened(id));
                Ok(())
            }
            CHANNEL_OPEN_FAILURE => {
                let (recipient, reason, text) =
                    decode_open_failure(r).map_err(Error::malformed("CHANNEL_OPEN_FAILURE"))?;
                let (channel, _) = self.channels.opening(recipient)?;
                self.channels.remove(channel);
                let text = peer_text(text);
                self.events.push_back(Event::ChannelOpenFailed { channel, reason, text });
                Ok(())
            }
            CHANNEL_REQUEST => {
                let request = Request::decode(r).map_err(Error::malformed("CHANNEL_REQUEST"))?;
                self.handle_request(request, out)
            }
            _ => {
                let recipient = decode_recipient(r).map_err(Error::malformed("channel message"))?;
                self.handle_channel_word(number, recipient, out)
            }
        }
    }

    /// EOF, CLOSE, SUCCESS and FAILURE.
    fn handle_channel_word(
        &mut self,
        number: u8,
        recipient: u32,
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        if matches!(number, CHANNEL_SUCCESS | CHANNEL_FAILURE) {
            // Old peers answer requests after they closed: a number that is free again is no fault.
            let Ok((id, channel)) = self.channels.named(recipient) else { return Ok(()) };
            // An answer more than there were questions is ignored.
            if channel.answers_awaited > 0 {
                channel.answers_awaited -= 1;
                let asked = channel.answer_awaited_since.take();
                self.channels.answered(asked, self.now);
                let accepted = number == CHANNEL_SUCCESS;
                self.events.push_back(Event::ChannelRequestDone { channel: id, accepted });
            }
            return Ok(());
        }
        let (id, channel) = self.channels.named(recipient)?;
        match number {
            CHANNEL_EOF => {
                if channel.receive_eof() == Arrival::Deliver {
                    self.events.push_back(Event::ChannelEof(id));
                }
                Ok(())
            }
            CHANNEL_CLOSE => {
                // "MUST send back a CLOSE unless it has already sent this message" (RFC 4254 §5.3).
                let due = channel.answer_due;
                let closing = channel.send_close();
                self.channels.remove(id);
                if due {
                    self.channel_answers_due -= 1;
                }
                self.events.push_back(Event::ChannelClosed(id));
                match closing {
                    Some(recipient) => self.send_with(out, |p| encode_close(p, recipient)),
                    None => Ok(()),
                }
            }
            _ => Err(PeerError::OutOfPhase(number).into()),
        }
    }

    fn handle_open(&mut self, open: &Open<'_>, out: &mut OutputBuffer) -> Result<(), Error> {
        let refusal = match &self.config {
            Config::Client(_) => Some((OPEN_PROHIBITED, "clients open channels here")),
            Config::Server(_) if open.kind == DIRECT_TCPIP => {
                Some((OPEN_PROHIBITED, "this server transfers files and forwards no connections"))
            }
            Config::Server(_) if open.kind != SESSION => {
                Some((OPEN_UNKNOWN_TYPE, "file transfer sessions only"))
            }
            Config::Server(_) if self.globals.no_more_sessions => {
                return Err(PeerError::SessionAfterNoMore.into());
            }
            Config::Server(_) => None,
        };
        let added = match refusal {
            Some(refusal) => Err(refusal),
            None => self
                .channels
                .add(Some((open.sender, open.window, open.packet_len_max)))
                .ok_or((OPEN_NO_RESOURCES, "too many channels")),
        };
        match added {
            Ok(id) => {
                let confirmation = OpenConfirmation {
                    recipient: open.sender,
                    sender: id.0,
                    window: self.channels.window_len(),
                    packet_len_max: CHANNEL_PACKET_LEN,
                };
                // Clients say at once what they have opened it for.
                self.await_answer(id);
                self.events.push_back(Event::ChannelOpened(id));
                self.send_with(out, |p| confirmation.encode(p))
            }
            Err((reason, text)) => {
                self.send_with(out, |p| encode_open_failure(p, open.sender, reason, text))
            }
        }
    }

    fn handle_request(&mut self, request: Request, out: &mut OutputBuffer) -> Result<(), Error> {
        let is_server = matches!(self.config, Config::Server(_));
        let Request { recipient, want_reply, request } = request;
        let (_, channel) = self.channels.named(recipient)?;
        if is_server {
            let asked = channel.answer_awaited_since.take();
            self.channels.answered(asked, self.now);
        }
        let (id, channel) = self.channels.named(recipient)?;
        if channel.arrival() == Arrival::Drop {
            return Ok(());
        }
        let accepted = match &request {
            ChannelRequest::Subsystem(_) | ChannelRequest::Exec(_) | ChannelRequest::Shell
                if is_server && !channel.started =>
            {
                channel.answer_due = true;
                channel.answer_wanted = want_reply;
                self.channel_answers_due += 1;
                self.events.push_back(Event::ChannelRequest { channel: id, request });
                return Ok(());
            }
            ChannelRequest::Env { name, .. } if is_server => {
                channel.env_count += 1;
                channel.env_count <= ENV_MAX && is_harmless_variable(name)
            }
            ChannelRequest::ExitStatus(_) | ChannelRequest::ExitSignal { .. } => !is_server,
            ChannelRequest::EndOfWrite => true,
            ChannelRequest::Subsystem(_)
            | ChannelRequest::Exec(_)
            | ChannelRequest::Shell
            | ChannelRequest::Env { .. }
            | ChannelRequest::Other { .. } => false,
        };
        let remote = channel.recipient();
        if accepted {
            self.events.push_back(Event::ChannelRequest { channel: id, request });
        }
        match remote {
            Some(remote) if want_reply => {
                self.send_with(out, |p| encode_request_answer(p, remote, accepted))
            }
            _ => Ok(()),
        }
    }

    /// The server's answer to a `Subsystem`, `Exec` or `Shell` request.
    pub fn answer_request(&mut self, id: ChannelId, accepted: bool, out: &mut OutputBuffer) {
        let Some(channel) = self.channels.get_mut(id).filter(|c| c.answer_due) else { return };
        channel.answer_due = false;
        channel.started |= accepted;
        let recipient = channel.recipient().filter(|_| channel.answer_wanted);
        self.channel_answers_due -= 1;
        if let Some(recipient) = recipient {
            self.send_or_fail(out, |p| encode_request_answer(p, recipient, accepted));
        }
    }

    /// Bytes that [`send_data`](Self::send_data) would take now: 0 without credit, during a key
    /// exchange, while too much waits for the socket, or if the channel is closed to us.
    pub fn sendable(&self, id: ChannelId, out: &OutputBuffer) -> usize {
        if self.phase != Phase::Open || self.kex.blocks_sending() || self.keys_are_used_up() {
            return 0;
        }
        let Some(channel) = self.channels.get(id) else { return 0 };
        let room = OUTPUT_LEN_SOFT_MAX.saturating_sub(out.len());
        channel.sendable().min(room).min(self.fillable_len_max(id))
    }

    /// The most that [`send_data_with`](Self::send_data_with) ever takes at once on this channel.
    pub fn fillable_len_max(&self, id: ChannelId) -> usize {
        let packet_len_max =
            self.channels.get(id).map_or(0, |channel| channel.send_packet_len_max());
        OUTPUT_LEN_SOFT_MAX.min(SEND_SLICES_MAX * packet_len_max)
    }

    /// Sends as much of the concatenated `parts` as may go now; returns how many bytes went.
    pub fn send_data(&mut self, id: ChannelId, parts: &[&[u8]], out: &mut OutputBuffer) -> usize {
        let wanted: usize = parts.iter().map(|p| p.len()).sum();
        let total = wanted.min(self.sendable(id, out));
        let Some(channel) = self.channels.get_mut(id) else { return 0 };
        let Some(recipient) = channel.recipient() else { return 0 };
        let packet_len_max = channel.send_packet_len_max();
        let mut parts = parts.iter().copied().filter(|p| !p.is_empty());
        let mut rest: &[u8] = &[];
        let mut sent = 0;
        while sent < total {
            let room = packet_len_max.min(total - sent);
            if rest.is_empty() {
                rest = parts.next().expect("total is at most the sum of the parts");
            }
            let (first, left) = rest.split_at(rest.len().min(room));
            rest = left;
            let mut second: &[u8] = &[];
            if rest.is_empty()
                && first.len() < room
                && let Some(next) = parts.next()
            {
                (second, rest) = next.split_at(next.len().min(room - first.len()));
            }
            self.writer.seal_data(out, &mut *self.random, recipient, [first, second]);
            sent += first.len() + second.len();
        }
        channel.send.send(sent);
        sent
    }

    /// Bytes that the peer has given credit for and that are not sent; 0 on a channel that is not open. That much
    /// can be sent once the socket has taken what waits and no key exchange is under way.
    pub fn credit(&self, id: ChannelId) -> usize {
        self.channels.get(id).map_or(0, |channel| channel.sendable())
    }

    /// Sends up to `len` bytes that `fill` writes straight into the outgoing packets.
    ///
    /// `len` must be at most [`sendable`](Self::sendable). `fill` gets slices of `len` bytes in all
    /// and returns how many it wrote, from the front; with 0 nothing is sent. Returns that number.
    pub fn send_data_with(
        &mut self,
        id: ChannelId,
        len: usize,
        out: &mut OutputBuffer,
        fill: impl FnOnce(&mut [IoSliceMut<'_>]) -> usize,
    ) -> usize {
        assert!(len <= self.sendable(id, out), "ask sendable first");
        if len == 0 {
            return 0;
        }
        let channel = self.channels.get_mut(id).expect("sendable said more than 0");
        let recipient = channel.recipient().expect("sendable said more than 0");
        let packet_len_max = channel.send_packet_len_max();
        let random = &mut *self.random;
        let used = self.writer.seal_data_with(out, random, recipient, len, packet_len_max, fill);
        channel.send.send(used);
        used
    }

    /// `len` bytes of received data were used up: credit goes back to the peer.
    pub fn consume(&mut self, id: ChannelId, len: usize, out: &mut OutputBuffer) {
        let round_trip = self.channels.round_trip();
        let Some(channel) = self.channels.get_mut(id) else { return };
        let Some(grant) = channel.receive.consume(len, round_trip, self.now) else { return };
        if let Some(recipient) = channel.recipient() {
            self.send_or_fail(out, |p| encode_window_adjust(p, recipient, grant));
        }
    }

    /// No more data of ours will follow.
    pub fn send_eof(&mut self, id: ChannelId, out: &mut OutputBuffer) {
        if let Some(recipient) = self.channels.get_mut(id).and_then(|c| c.send_eof()) {
            self.send_or_fail(out, |p| encode_eof(p, recipient));
        }
    }

    /// Closes our side; [`Event::ChannelClosed`] follows when the peer has closed too.
    pub fn close(&mut self, id: ChannelId, out: &mut OutputBuffer) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        if std::mem::take(&mut channel.answer_due) {
            self.channel_answers_due -= 1;
        }
        if let Some(recipient) = channel.send_close() {
            self.send_or_fail(out, |p| encode_close(p, recipient));
        }
    }

    /// How the subsystem or command ended; goes before EOF and CLOSE.
    pub fn send_exit_status(&mut self, id: ChannelId, code: u32, out: &mut OutputBuffer) {
        if let Some(recipient) = self.channels.get(id).and_then(|c| c.recipient()) {
            self.send_or_fail(out, |p| {
                encode_request(p, recipient, "exit-status", false, |p| {
                    p.extend_from_slice(&code.to_be_bytes());
                });
            });
        }
    }

    /// Sends text to the peer's standard error, as far as window and packet allow; returns how much.
    pub fn send_stderr(&mut self, id: ChannelId, text: &[u8], out: &mut OutputBuffer) -> usize {
        let len = self.sendable(id, out).min(text.len());
        let Some(channel) = self.channels.get_mut(id).filter(|_| len > 0) else { return 0 };
        let len = len.min(channel.send_packet_len_max());
        let Some(recipient) = channel.recipient() else { return 0 };
        channel.send.send(len);
        self.send_or_fail(out, |p| {
            p.push(crate::messages::CHANNEL_EXTENDED_DATA);
            p.extend_from_slice(&recipient.to_be_bytes());
            p.extend_from_slice(&1u32.to_be_bytes());
            put_string(p, &text[..len]);
        });
        len
    }

    /// Asks for a session channel; [`Event::ChannelOpened`] or `ChannelOpenFailed` follows.
    ///
    /// `None` at the bound of channels or before login.
    pub fn open_session(&mut self, out: &mut OutputBuffer) -> Option<ChannelId> {
        self.open(SESSION, out, |_| {})
    }

    /// Asks the server for a connection from there to `host` and `port`, whose bytes the channel then
    /// carries; [`Event::ChannelOpened`] or `ChannelOpenFailed` follows.
    ///
    /// `None` at the bound of channels, before login, or if `host` is longer than a name may be.
    ///
    /// Spec: RFC 4254 §7.2.
    pub fn open_direct_tcpip(
        &mut self,
        host: &str,
        port: u16,
        out: &mut OutputBuffer,
    ) -> Option<ChannelId> {
        if host.len() > DIRECT_HOST_LEN_MAX {
            return None;
        }
        self.open(DIRECT_TCPIP, out, |p| encode_direct_tcpip(p, host, port))
    }

    fn open(
        &mut self,
        kind: &[u8],
        out: &mut OutputBuffer,
        fields: impl FnOnce(&mut Vec<u8>),
    ) -> Option<ChannelId> {
        if self.phase != Phase::Open {
            return None;
        }
        let id = self.channels.add(None)?;
        self.await_answer(id);
        let open = Open {
            kind,
            sender: id.0,
            window: self.channels.window_len(),
            packet_len_max: CHANNEL_PACKET_LEN,
        };
        self.send_or_fail(out, |p| {
            open.encode(p);
            fields(p);
        });
        Some(id)
    }

    /// Asks for a subsystem; [`Event::ChannelRequestDone`] follows.
    pub fn request_subsystem(&mut self, id: ChannelId, name: &str, out: &mut OutputBuffer) {
        self.request(id, "subsystem", true, out, |p| put_string(p, name.as_bytes()));
    }

    /// Asks to run a command; [`Event::ChannelRequestDone`] follows.
    pub fn request_exec(&mut self, id: ChannelId, command: &[u8], out: &mut OutputBuffer) {
        self.request(id, "exec", true, out, |p| put_string(p, command));
    }

    /// Offers an environment variable; no answer is asked for.
    pub fn send_env(&mut self, id: ChannelId, name: &str, value: &[u8], out: &mut OutputBuffer) {
        self.request(id, "env", false, out, |p| {
            put_string(p, name.as_bytes());
            put_string(p, value);
        });
    }

    fn request(
        &mut self,
        id: ChannelId,
        kind: &str,
        want_reply: bool,
        out: &mut OutputBuffer,
        fields: impl FnOnce(&mut Vec<u8>),
    ) {
        let Some(channel) = self.channels.get_mut(id) else { return };
        let Some(recipient) = channel.recipient() else { return };
        channel.answers_awaited += u32::from(want_reply);
        if want_reply {
            self.await_answer(id);
        }
        self.send_or_fail(out, |p| encode_request(p, recipient, kind, want_reply, fields));
    }

    /// The peer will answer what is sent now: when, tells how far away it is.
    fn await_answer(&mut self, id: ChannelId) {
        if let Some(channel) = self.channels.get_mut(id) {
            channel.answer_awaited_since.get_or_insert(self.now);
        }
    }

    /// The data that the peer may send ahead on a channel now, in bytes; 0 if there is no such channel.
    pub fn window_len(&self, id: ChannelId) -> u32 {
        self.channels.get(id).map_or(0, |channel| channel.receive.len())
    }

    /// Sends; if so much is held back that the peer must be stalling us, the connection ends.
    fn send_or_fail(&mut self, out: &mut OutputBuffer, build: impl FnOnce(&mut Vec<u8>)) {
        if let Err(error) = self.send_with(out, build) {
            self.fail(&error, out);
        }
    }
}

/// Variables that a client may set: they change language, nothing else.
fn is_harmless_variable(name: &[u8]) -> bool {
    name == b"LANG"
        || name.strip_prefix(b"LC_").is_some_and(|rest| {
            !rest.is_empty() && rest.iter().all(|b| b.is_ascii_uppercase() || *b == b'_')
        })
}
