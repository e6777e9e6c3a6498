//! Key exchange on a connection: its messages in, its actions carried out, renewal when due.

use std::time::Instant;

use super::{Config, Connection, Question};
use crate::Role;
use crate::error::{Error, PeerError};
use crate::event::Event;
use crate::kex::{Action, Context, NewKeys};
use crate::limits::REKEY_PACKETS;
use crate::messages::auth::SERVICE_USERAUTH;
use crate::messages::{KEXINIT, NEWKEYS, transport};
use crate::packet::{Deflate, Inflate, OutputBuffer};
use crate::phase::Phase;

/// Calls a method of the exchange with everything it may look at.
macro_rules! kex_call {
    ($self:ident, $method:ident($($arg:expr),*)) => {{
        let (algorithms, host_keys) = match &$self.config {
            Config::Client(config) => (&config.common.algorithms, &[][..]),
            Config::Server(config) => (&config.common.algorithms, &config.host_keys[..]),
        };
        let mut context = Context {
            our_version: &$self.ident.ours,
            their_version: &$self.ident.theirs,
            algorithms,
            host_keys,
            random: &mut *$self.random,
        };
        $self.kex.$method($($arg,)* &mut context)
    }};
}

impl Connection {
    /// Renews the keys now, unless an exchange runs already.
    pub fn start_rekey(&mut self, now: Instant, out: &mut OutputBuffer) {
        if self.phase == Phase::Open {
            // Starting sends one message; it cannot be the peer's fault.
            let _ = self.start_exchange(now, out);
        }
    }

    pub(super) fn start_exchange(
        &mut self,
        now: Instant,
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        if !self.kex.is_idle() {
            return Ok(());
        }
        self.timers.exchange_started(now);
        let actions = kex_call!(self, start());
        self.carry_out(actions, now, out)
    }

    /// Starts an exchange if the keys are used up.
    pub(super) fn rekey_if_due(
        &mut self,
        now: Instant,
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        if self.keys_are_used_up() { self.start_exchange(now, out) } else { Ok(()) }
    }

    /// An exchange is due: until it has started no more data is taken.
    pub(super) fn keys_are_used_up(&self) -> bool {
        if self.phase != Phase::Open || !self.kex.is_idle() {
            return false;
        }
        let bytes_max = self.config.common().rekey_bytes;
        let packets = self.writer.packets_since_keys().max(self.reader.packets_since_keys());
        // Whoever asks may send no data until the other has answered. So the one who receives asks
        // first: the sender then pauses for one round trip and not for two.
        self.writer.bytes_since_keys() >= bytes_max
            || self.reader.bytes_since_keys() >= bytes_max - bytes_max / 8
            || packets >= REKEY_PACKETS
    }

    /// Messages 20 to 49; `phase.rs` let nothing else through.
    pub(super) fn handle_exchange(
        &mut self,
        number: u8,
        payload: &[u8],
        now: Instant,
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        let actions = match number {
            KEXINIT => {
                if self.kex.is_idle() {
                    self.timers.exchange_started(now);
                }
                let first_packet = self.reader.last_sequence() == 0;
                kex_call!(self, handle_kexinit(payload, first_packet))?
            }
            NEWKEYS if payload.len() > 1 => return Err(PeerError::OutOfPhase(number).into()),
            NEWKEYS => self.kex.handle_newkeys()?,
            _ => kex_call!(self, handle_method(payload))?,
        };
        self.carry_out(actions, now, out)
    }

    /// The application's word on the host key that [`Event::HostKey`] asked about. After the end of
    /// the connection it means nothing.
    ///
    /// # Errors
    /// [`Error::HostKeyRefused`] if it said no; our DISCONNECT is in `out`.
    ///
    /// # Panics
    /// If nothing was asked.
    pub fn answer_host_key(
        &mut self,
        accepted: bool,
        now: Instant,
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        if self.is_ended() {
            return Ok(());
        }
        assert!(self.question == Some(Question::HostKey), "no host key was asked about");
        self.question = None;
        self.timers.exchange_started(now);
        let result = self
            .kex
            .answer_host_key(accepted)
            .and_then(|actions| self.carry_out(actions, now, out));
        self.fail_if(result, out)
    }

    /// The signature blob that [`Event::Sign`] asked for; `None` if the key cannot sign. After the end
    /// of the connection it means nothing.
    ///
    /// # Errors
    /// The connection is over if the exchange cannot go on; our DISCONNECT is in `out`.
    ///
    /// # Panics
    /// If nothing was asked.
    pub fn answer_signature(
        &mut self,
        signature: Option<Vec<u8>>,
        now: Instant,
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        if self.is_ended() {
            return Ok(());
        }
        let result = match self.question.take() {
            Some(Question::ExchangeSignature) => self
                .kex
                .answer_signature(signature)
                .and_then(|actions| self.carry_out(actions, now, out)),
            Some(Question::ProofSignature) => self.answer_proof(signature, out),
            Some(Question::HostKey) | None => panic!("no signature was asked for"),
        };
        self.fail_if(result, out)
    }

    pub(super) fn fail_if(
        &mut self,
        result: Result<(), Error>,
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        if let Err(error) = &result {
            self.fail(error, out);
        }
        result
    }

    fn carry_out(
        &mut self,
        actions: Vec<Action>,
        now: Instant,
        out: &mut OutputBuffer,
    ) -> Result<(), Error> {
        for action in actions {
            match action {
                Action::Send(payload) => self.writer.seal(out, &mut *self.random, &payload),
                Action::AskHostKey(question) => {
                    self.timers.exchange_waits_for_us();
                    self.question = Some(Question::HostKey);
                    self.events.push_back(Event::HostKey(question));
                }
                Action::AskSignature(request) => {
                    self.question = Some(Question::ExchangeSignature);
                    self.events.push_back(Event::Sign(request));
                }
                Action::SealWith(new) => self.seal_with(&new, out)?,
                Action::OpenWith(new) => self.open_with(&new),
                Action::Done => self.exchange_done(now, out)?,
            }
        }
        Ok(())
    }

    fn seal_with(&mut self, new: &NewKeys, out: &mut OutputBuffer) -> Result<(), Error> {
        let sealer = new.direction.cipher.sealer(new.direction.mac, &new.keys);
        self.writer.change_keys(sealer, new.reset_sequence);
        // Delayed compression: only after login, and a new stream with new keys (RFC 4253 §6.2).
        let deflate = new.direction.compress && self.phase == Phase::Open;
        self.writer.set_deflate(deflate.then(Deflate::new));
        self.auth_compression_out(new.direction.compress);
        // EXT_INFO is the very next packet after the first NEWKEYS (RFC 8308 §2.4).
        if self.phase == Phase::InitialKex && self.kex.peer_takes_ext_info() {
            self.send_ext_info(out);
        }
        self.send_held(out);
        Ok(())
    }

    fn open_with(&mut self, new: &NewKeys) {
        let opener = new.direction.cipher.opener(new.direction.mac, &new.keys);
        self.reader.change_keys(opener, new.reset_sequence);
        let inflate = new.direction.compress && self.phase == Phase::Open;
        self.reader.set_inflate(inflate.then(Inflate::new));
        self.auth_compression_in(new.direction.compress);
    }

    fn exchange_done(&mut self, now: Instant, out: &mut OutputBuffer) -> Result<(), Error> {
        self.timers.exchange_done(now);
        if self.phase == Phase::InitialKex {
            self.phase = Phase::Service;
            if self.config.role() == Role::Client {
                self.send_with(out, |p| transport::encode_service_request(p, SERVICE_USERAUTH))?;
                // The first attempt need not wait for the answer: who does not accept the service
                // ends the connection (RFC 4253 §10).
                self.events.push_back(Event::AuthTurn { can_continue: Vec::new(), partial: false });
            }
        } else {
            let writable = self.channels.ids().map(Event::ChannelWritable).collect::<Vec<_>>();
            self.events.extend(writable);
        }
        Ok(())
    }
}
