//! One connection: the loop that opens packets, asks whether they may come, and routes them.
//!
//! The parts: `exchange.rs` carries out what the key exchange wants, `auth.rs` and `channels.rs` and
//! `global.rs` route their families, `timers.rs` holds every deadline. Effects go to the output
//! buffer; what the application must know goes to `events`.

mod auth;
mod channels;
mod exchange;
mod global;
mod timers;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use sterna_ssh_crypto::Random;
use sterna_sshwire::Reader as WireReader;

use crate::Role;
use crate::auth::{AuthClient, AuthServer};
use crate::channel::Channels;
use crate::config::{ClientConfig, Common, ServerConfig};
use crate::error::{Error, PeerError, Reason};
use crate::event::{ChannelId, Event};
use crate::ident::Ident;
use crate::kex::Kex;
use crate::limits;
use crate::messages::{self, transport};
use crate::packet::{InputBuffer, OutputBuffer, Payload, Reader, Writer};
use crate::phase::{Phase, Verdict, judge};

use global::Globals;
use timers::Timers;

/// One SSH connection, client or server, without I/O.
pub struct Connection {
    config: Config,
    random: Box<dyn Random>,
    phase: Phase,
    ident: Ident,
    reader: Reader,
    writer: Writer,
    kex: Kex,
    auth: Auth,
    channels: Channels,
    globals: Globals,
    timers: Timers,
    /// The time of the last call that brought it.
    now: Instant,
    events: VecDeque<Event<'static>>,
    /// What the application must answer before anything else is read.
    question: Option<Question>,
    /// Channel requests that the application must answer before anything else is read.
    channel_answers_due: u32,
    held: Held,
    /// Reused to build payloads.
    scratch: Vec<u8>,
}

enum Config {
    Client(Arc<ClientConfig>),
    Server(Arc<ServerConfig>),
}

enum Auth {
    Client(AuthClient),
    Server(AuthServer),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Question {
    HostKey,
    ExchangeSignature,
    ProofSignature,
}

/// Payloads that wait for the end of a key exchange (RFC 4253 §7.1).
#[derive(Default)]
struct Held {
    bytes: Vec<u8>,
    lens: VecDeque<usize>,
    /// What it will take in the output buffer.
    sealed_len: usize,
}

/// What one opened packet came to.
enum Step {
    Handled,
    NeedInput,
    Data { channel: ChannelId, stderr: bool, inflated: bool, range: Range<usize> },
}

impl Connection {
    /// The server's side of a new connection; its version line is in `out` at once.
    pub fn server(
        config: Arc<ServerConfig>,
        random: Box<dyn Random>,
        now: Instant,
        out: &mut OutputBuffer,
    ) -> Self {
        let auth = Auth::Server(AuthServer::new(config.auth_failures_max));
        let channels = Channels::new(config.channels_max, &config.common);
        let login_grace = Some(config.login_grace);
        Self::new(Config::Server(config), auth, channels, login_grace, random, now, out)
    }

    /// The client's side of a new connection; its version line is in `out` at once.
    pub fn client(
        config: Arc<ClientConfig>,
        random: Box<dyn Random>,
        now: Instant,
        out: &mut OutputBuffer,
    ) -> Self {
        let auth = Auth::Client(AuthClient::new(config.user.clone()));
        let channels = Channels::new(limits::CHANNELS_MAX, &config.common);
        let login_grace = config.login_grace;
        Self::new(Config::Client(config), auth, channels, login_grace, random, now, out)
    }

    fn new(
        config: Config,
        auth: Auth,
        channels: Channels,
        login_grace: Option<std::time::Duration>,
        random: Box<dyn Random>,
        now: Instant,
        out: &mut OutputBuffer,
    ) -> Self {
        let role = config.role();
        let ident = Ident::new(&config.common().software_version);
        let timers = Timers::new(config.common(), login_grace, now);
        let line = [&ident.ours[..], b"\r\n"].concat();
        out.extend(line.len()).copy_from_slice(&line);
        let mut connection = Self {
            config,
            random,
            phase: Phase::Version,
            ident,
            reader: Reader::new(),
            writer: Writer::new(),
            kex: Kex::new(role),
            auth,
            channels,
            globals: Globals::default(),
            timers,
            now,
            events: VecDeque::new(),
            question: None,
            channel_answers_due: 0,
            held: Held::default(),
            scratch: Vec::new(),
        };
        // Nothing of the peer is needed for our KEXINIT: it shares the first segment.
        connection.start_exchange(now, out).expect("the first exchange can always start");
        connection
    }

    /// Opens what is in `input` until there is something to tell; answers go to `out`.
    ///
    /// `None`: more input is needed, or an answer of the application, or the output must drain first,
    /// or the connection is over ([`is_ended`](Self::is_ended)).
    ///
    /// # Errors
    /// The connection is over; our DISCONNECT is in `out` and should still be sent.
    pub fn poll_event<'i>(
        &mut self,
        now: Instant,
        input: &'i mut InputBuffer,
        out: &mut OutputBuffer,
    ) -> Result<Option<Event<'i>>, Error> {
        self.now = now;
        let data = loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.is_waiting() || out.len() >= limits::OUTPUT_LEN_HARD_MAX {
                return Ok(None);
            }
            match self.step(now, input, out) {
                Ok(Step::Handled) => {}
                Ok(Step::NeedInput) => return Ok(None),
                Ok(Step::Data { channel, stderr, inflated, range }) => {
                    break (channel, stderr, Payload { inflated, range });
                }
                Err(error) => {
                    self.fail(&error, out);
                    return Err(error);
                }
            }
        };
        let (channel, stderr, place) = data;
        let data = input.payload(&place);
        Ok(Some(if stderr {
            Event::ChannelStderr { channel, data }
        } else {
            Event::ChannelData { channel, data }
        }))
    }

    /// Nothing is read until the application answers, or ever again.
    fn is_waiting(&self) -> bool {
        let auth_waits = matches!(&self.auth, Auth::Server(auth) if auth.is_waiting());
        self.question.is_some()
            || self.channel_answers_due > 0
            || auth_waits
            || self.phase == Phase::Ended
    }

    /// More input would be of use: nothing waits for an answer or for the output to drain.
    pub fn wants_input(&self, out: &OutputBuffer) -> bool {
        !self.is_waiting() && out.len() < limits::OUTPUT_LEN_HARD_MAX
    }

    /// The connection is over: nothing is read any more, pending output should be sent.
    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// The user is logged in.
    pub fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// H of the first key exchange; empty before it is over.
    pub fn session_id(&self) -> &[u8] {
        self.kex.session_id().unwrap_or_default()
    }

    /// What stands behind `SSH-2.0-` in the peer's version line; hostile until filtered.
    pub fn peer_software(&self) -> &[u8] {
        self.ident.their_software()
    }

    /// The server's host key blob of the first exchange; empty before it is over.
    pub fn host_key(&self) -> &[u8] {
        self.kex.host_key().unwrap_or_default()
    }

    /// Key exchanges that were completed.
    pub fn exchanges_done(&self) -> u64 {
        self.timers.exchanges_done
    }

    /// Gives memory back that is remade when it is needed: idle connections cost little.
    pub fn release(&mut self) {
        self.writer.release();
        self.scratch = Vec::new();
        self.events.shrink_to_fit();
    }

    fn step(
        &mut self,
        now: Instant,
        input: &mut InputBuffer,
        out: &mut OutputBuffer,
    ) -> Result<Step, Error> {
        if self.phase == Phase::Version {
            let skip_lines = self.config.role() == Role::Client;
            if !self.ident.handle_input(input, skip_lines)? {
                return Ok(Step::NeedInput);
            }
            self.channels.peer_is(self.ident.their_software());
            self.phase = Phase::InitialKex;
        }
        let len_max = match self.phase {
            Phase::Open => limits::PACKET_LEN_MAX,
            _ => limits::PACKET_LEN_BEFORE_LOGIN_MAX,
        };
        let Some(place) = self.reader.next(input, len_max)? else { return Ok(Step::NeedInput) };
        self.timers.peer_is_alive(now);
        let payload = input.payload(&place);
        let number = payload[0];

        let strict = self.kex.strict() && self.kex.is_initial();
        let exchange_only = self.kex.expects_exchange_only();
        match judge(self.config.role(), self.phase, exchange_only, strict, number) {
            Verdict::Process => {}
            Verdict::Ignore => return Ok(Step::Handled),
            Verdict::Unimplemented => {
                let sequence = self.reader.last_sequence();
                self.send_with(out, |p| transport::encode_unimplemented(p, sequence))?;
                return Ok(Step::Handled);
            }
            Verdict::Refuse => return Err(PeerError::OutOfPhase(number).into()),
        }

        if number == messages::CHANNEL_DATA || number == messages::CHANNEL_EXTENDED_DATA {
            let step = self.handle_channel_data(number, payload, &place, out)?;
            self.rekey_if_due(now, out)?;
            return Ok(step);
        }
        match number {
            1..=19 => self.handle_transport(number, payload, out)?,
            20..=49 => self.handle_exchange(number, payload, now, out)?,
            50..=79 => self.handle_auth(number, payload, now, out)?,
            80..=82 => self.handle_global(number, payload, out)?,
            90..=100 => self.handle_channel(number, payload, out)?,
            messages::PING => {
                let data = transport::decode_ping(&mut WireReader::new(&payload[1..]))
                    .map_err(Error::malformed("PING"))?;
                self.send_with(out, |p| transport::encode_pong(p, data))?;
            }
            // PONG: an answer to nothing we ask.
            _ => {}
        }
        if self.events.len() > limits::EVENTS_MAX {
            return Err(PeerError::Flood.into());
        }
        self.rekey_if_due(now, out)?;
        Ok(Step::Handled)
    }

    /// DISCONNECT to EXT_INFO.
    fn handle_transport(
        &mut self,
        number: u8,
        payload: &[u8],
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        let r = &mut WireReader::new(&payload[1..]);
        match number {
            messages::DISCONNECT => {
                let message =
                    transport::Disconnect::decode(r).map_err(Error::malformed("DISCONNECT"))?;
                self.phase = Phase::Ended;
                let text = transport::peer_text(message.text);
                self.events.push_back(Event::Disconnected { reason: message.reason, text });
                Ok(())
            }
            messages::SERVICE_REQUEST | messages::SERVICE_ACCEPT => {
                let service =
                    transport::decode_service(r).map_err(Error::malformed("service message"))?;
                self.handle_service(service, out)
            }
            messages::EXT_INFO => self.handle_ext_info(r),
            // IGNORE, UNIMPLEMENTED, DEBUG: nothing to do, and their text is not for anybody.
            _ => Ok(()),
        }
    }

    /// Seals any payload at all, in any phase: how tests play a peer that breaks the rules.
    #[doc(hidden)]
    pub fn inject(&mut self, payload: &[u8], out: &mut OutputBuffer) {
        self.writer.seal(out, &mut *self.random, payload);
    }

    /// Ends the connection; `text` is for people.
    pub fn disconnect(&mut self, reason: Reason, text: &str, out: &mut OutputBuffer) {
        if matches!(self.phase, Phase::Ended) {
            return;
        }
        if self.phase != Phase::Version {
            let mut payload = std::mem::take(&mut self.scratch);
            payload.clear();
            transport::Disconnect { reason: reason as u32, text: text.as_bytes() }
                .encode(&mut payload);
            self.writer.seal(out, &mut *self.random, &payload);
        }
        self.phase = Phase::Ended;
    }

    fn fail(&mut self, error: &Error, out: &mut OutputBuffer) {
        let text = match error {
            // Both lists help whoever has to find out; nothing else says more than its kind.
            Error::Incompatible { .. } => error.to_string(),
            Error::Peer(fault) => fault.to_string(),
            Error::Malformed { .. } => "malformed message".to_owned(),
            Error::TimedOut(_) | Error::HostKeyRefused | Error::Local(_) => error.to_string(),
        };
        self.disconnect(error.reason(), &text, out);
    }

    /// Builds and sends one payload, or holds it back while keys are exchanged.
    fn send_with(
        &mut self,
        out: &mut OutputBuffer,
        build: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Error> {
        let mut payload = std::mem::take(&mut self.scratch);
        payload.clear();
        build(&mut payload);
        let result = self.send(&payload, out);
        self.scratch = payload;
        result
    }

    fn send(&mut self, payload: &[u8], out: &mut OutputBuffer) -> Result<(), Error> {
        if self.phase == Phase::Ended {
            return Ok(());
        }
        if self.kex.blocks_sending() {
            let sealed_len = self.held.sealed_len + self.writer.packet_len(payload.len());
            if sealed_len > limits::HELD_LEN_MAX {
                return Err(PeerError::Flood.into());
            }
            self.held.sealed_len = sealed_len;
            self.held.bytes.extend_from_slice(payload);
            self.held.lens.push_back(payload.len());
            return Ok(());
        }
        self.writer.seal(out, &mut *self.random, payload);
        Ok(())
    }

    /// Sends what was held back, in order.
    fn send_held(&mut self, out: &mut OutputBuffer) {
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        for len in held.lens {
            self.writer.seal(out, &mut *self.random, &held.bytes[at..at + len]);
            at += len;
        }
    }
}

impl Config {
    fn role(&self) -> Role {
        match self {
            Self::Client(_) => Role::Client,
            Self::Server(_) => Role::Server,
        }
    }

    fn common(&self) -> &Common {
        match self {
            Self::Client(config) => &config.common,
            Self::Server(config) => &config.common,
        }
    }
}
