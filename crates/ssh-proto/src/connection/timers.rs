//! Every deadline of a connection in one place: login, key exchange, renewal of keys, keep-alive.

use std::time::{Duration, Instant};

use crate::config::Common;
use crate::error::{Deadline, Error};
use crate::limits::{KEX_STALL_MAX, KEX_TIME_MAX};
use crate::messages::global;
use crate::packet::OutputBuffer;
use crate::phase::Phase;

use super::Connection;
use super::global::Asked;

pub(super) struct Timers {
    /// Disarmed by login.
    login: Option<Instant>,
    /// Armed while an exchange runs: when it has stood still for too long.
    exchange: Option<Instant>,
    /// When it has taken too long in any case.
    exchange_end: Instant,
    /// Bytes that waited to be sent when that was last looked at.
    unsent: usize,
    /// When to renew the keys.
    rekey: Option<Instant>,
    rekey_after: Duration,
    /// When to ask whether the peer is there.
    keepalive: Option<Instant>,
    keepalive_after: Option<Duration>,
    keepalive_count_max: u32,
    unanswered: u32,
    /// Long over: the deadline of what is due at once.
    born: Instant,
    /// Kept here because it changes when the exchange's timer does.
    pub(super) exchanges_done: u64,
}

impl Timers {
    pub fn new(config: &Common, login_grace: Option<Duration>, now: Instant) -> Self {
        Self {
            login: login_grace.map(|grace| now + grace),
            exchange: None,
            exchange_end: now,
            unsent: 0,
            rekey: None,
            rekey_after: config.rekey_time,
            keepalive: None,
            keepalive_after: config.keepalive,
            keepalive_count_max: config.keepalive_count_max,
            unanswered: 0,
            born: now,
            exchanges_done: 0,
        }
    }

    pub fn exchange_started(&mut self, now: Instant) {
        self.rekey = None;
        // Before login its own deadline bounds all: the peer's user may be comparing our host key.
        self.exchange = self.login.is_none().then(|| now + KEX_STALL_MAX);
        (self.exchange_end, self.unsent) = (now + KEX_TIME_MAX, usize::MAX);
    }

    /// Something has moved: a slow peer has more to read before it comes to our part of the exchange.
    fn exchange_moves(&mut self, now: Instant) {
        if let Some(at) = &mut self.exchange {
            *at = (now + KEX_STALL_MAX).min(self.exchange_end);
        }
    }

    /// A person compares the host key: that takes as long as it takes. The login's deadline stays.
    pub fn exchange_waits_for_us(&mut self) {
        self.exchange = None;
    }

    pub fn exchange_done(&mut self, now: Instant) {
        self.exchange = None;
        self.rekey = Some(now + self.rekey_after);
        self.exchanges_done += 1;
    }

    pub fn logged_in(&mut self, now: Instant) {
        self.login = None;
        self.keepalive = self.keepalive_after.map(|after| now + after);
    }

    /// Anything from the peer proves it.
    pub fn peer_is_alive(&mut self, now: Instant) {
        self.unanswered = 0;
        self.exchange_moves(now);
        if let (Some(at), Some(after)) = (&mut self.keepalive, self.keepalive_after) {
            *at = now + after;
        }
    }
}

impl Connection {
    /// The next moment at which [`handle_timeout`](Self::handle_timeout) has something to do.
    pub fn next_timeout(&self) -> Option<Instant> {
        if self.phase == Phase::Ended {
            return None;
        }
        let timers = &self.timers;
        if self.keys_are_used_up() {
            return Some(timers.born);
        }
        // Keys are renewed after login only, and while nothing else is asked.
        let rekey = timers.rekey.filter(|_| self.phase == Phase::Open);
        [timers.login, timers.exchange, rekey, timers.keepalive].into_iter().flatten().min()
    }

    /// Does what is due at `now`. Calling it early is harmless.
    ///
    /// # Errors
    /// A deadline passed: the connection is over, our DISCONNECT is in `out`.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut OutputBuffer) -> Result<(), Error> {
        self.now = now;
        if self.phase == Phase::Ended {
            return Ok(());
        }
        let result = self.run_timers(now, out);
        if let Err(error) = &result {
            self.fail(error, out);
        }
        result
    }

    fn run_timers(&mut self, now: Instant, out: &mut OutputBuffer) -> Result<(), Error> {
        let due = |at: Option<Instant>| at.is_some_and(|at| at <= now);
        if due(self.timers.login) {
            return Err(Error::TimedOut(Deadline::Login));
        }
        if due(self.timers.exchange) && now < self.timers.exchange_end {
            let before = std::mem::replace(&mut self.timers.unsent, out.len());
            if (1..before).contains(&out.len()) {
                self.timers.exchange_moves(now);
            }
        }
        if due(self.timers.exchange) {
            return Err(Error::TimedOut(Deadline::KeyExchange));
        }
        if due(self.timers.rekey) && self.phase == Phase::Open {
            self.start_exchange(now, out)?;
        }
        self.rekey_if_due(now, out)?;
        if due(self.timers.keepalive) {
            if self.timers.unanswered >= self.timers.keepalive_count_max {
                return Err(Error::TimedOut(Deadline::KeepAlive));
            }
            self.timers.unanswered += 1;
            self.timers.keepalive = self.timers.keepalive_after.map(|after| now + after);
            self.globals.ask(Asked::KeepAlive)?;
            self.send_with(out, |p| global::encode_request(p, global::KEEPALIVE, true, &[]))?;
        }
        Ok(())
    }
}
