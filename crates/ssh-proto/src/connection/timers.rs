//! Every deadline of a connection in one place: login, key exchange, renewal of keys, keep-alive.

use std::time::{Duration, Instant};

use crate::config::Common;
use crate::error::{Deadline, Error};
use crate::limits::KEX_TIME_MAX;
use crate::messages::global;
use crate::packet::OutputBuffer;
use crate::phase::Phase;

use super::Connection;
use super::global::Asked;

pub(super) struct Timers {
    /// Disarmed by login.
    login: Option<Instant>,
    /// Armed while an exchange runs.
    exchange: Option<Instant>,
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
        self.exchange = self.login.is_none().then(|| now + KEX_TIME_MAX);
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
