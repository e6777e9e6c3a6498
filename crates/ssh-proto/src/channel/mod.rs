//! The table of channels: numbers, what each side has said, credit (RFC 4254 §5).
//!
//! A channel is found by our own number. Whatever the peer says about a number that is not open is a
//! violation; what arrives after *we* closed is dropped in silence, because the peer may not know yet.

mod growth;
mod window;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::config::Common;
use crate::error::PeerError;
use crate::event::ChannelId;
use crate::limits::{SEND_PACKET_LEN_MAX, WINDOW_LEN_OTHERS_MAX};
use growth::Growth;
pub use growth::WindowBudget;
use window::{ReceiveWindow, SendWindow};

/// All channels of a connection.
pub(crate) struct Channels {
    slots: Vec<Option<Channel>>,
    max: usize,
    window_len: u32,
    window_len_max: u32,
    window_budget: Arc<WindowBudget>,
    /// The shortest time in which the peer has answered anything about a channel.
    round_trip: Duration,
}

/// One channel, from open to both CLOSEs.
pub(crate) struct Channel {
    /// The peer's number; unknown while opening.
    remote: Option<u32>,
    pub send: SendWindow,
    pub receive: ReceiveWindow,
    send_packet_len_max: usize,
    eof_sent: bool,
    eof_received: bool,
    close_sent: bool,
    /// Our requests that the peer still has to answer.
    pub answers_awaited: u32,
    /// The peer's request that the application still has to answer.
    pub answer_due: bool,
    /// The peer wants to hear whether we accept it.
    pub answer_wanted: bool,
    /// A subsystem or command runs: only one ever does.
    pub started: bool,
    pub env_count: u32,
    /// Since when the peer owes us a message that it sends at once.
    pub answer_awaited_since: Option<Instant>,
}

/// What to do about a message for a channel.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    Deliver,
    /// We have closed; the peer did not know.
    Drop,
}

impl Channels {
    pub fn new(max: usize, config: &Common) -> Self {
        Self {
            slots: Vec::new(),
            max,
            window_len: config.window_len,
            window_len_max: config.window_len_max.max(config.window_len),
            window_budget: Arc::clone(&config.window_budget),
            round_trip: Duration::MAX,
        }
    }

    /// Who the peer is bounds how far windows grow.
    pub fn peer_is(&mut self, software: &[u8]) {
        if !software.starts_with(b"Sterna_") {
            let max = self.window_len_max.min(WINDOW_LEN_OTHERS_MAX);
            self.window_len_max = max.max(self.window_len);
        }
    }

    /// The shortest round trip so far; `Duration::MAX` before the first.
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The peer has answered what it was asked at `since`.
    pub fn answered(&mut self, since: Option<Instant>, now: Instant) {
        if let Some(since) = since {
            self.round_trip = self.round_trip.min(now.saturating_duration_since(since));
        }
    }

    pub fn window_len(&self) -> u32 {
        self.window_len
    }

    /// Takes the lowest free number, or `None` at the bound.
    pub fn add(&mut self, remote: Option<(u32, u32, u32)>) -> Option<ChannelId> {
        let free = self.slots.iter().position(Option::is_none).unwrap_or(self.slots.len());
        if free >= self.max {
            return None;
        }
        if free == self.slots.len() {
            // Few connections ever have a second channel.
            self.slots.reserve_exact(1);
            self.slots.push(None);
        }
        let budget = Arc::clone(&self.window_budget);
        let growth = Growth::new(self.window_len, self.window_len_max, budget);
        let mut channel = Channel {
            remote: None,
            send: SendWindow::new(0),
            receive: ReceiveWindow::new(self.window_len, growth),
            send_packet_len_max: 0,
            eof_sent: false,
            eof_received: false,
            close_sent: false,
            answers_awaited: 0,
            answer_due: false,
            answer_wanted: false,
            started: false,
            env_count: 0,
            answer_awaited_since: None,
        };
        if let Some((number, window, packet_len_max)) = remote {
            channel.open(number, window, packet_len_max);
        }
        self.slots[free] = Some(channel);
        Some(ChannelId(u32::try_from(free).expect("bounded by max")))
    }

    pub fn remove(&mut self, id: ChannelId) {
        if let Some(slot) = self.slots.get_mut(id.0 as usize) {
            *slot = None;
        }
    }

    /// The channel, if the application still may use it.
    pub fn get(&self, id: ChannelId) -> Option<&Channel> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    pub fn get_mut(&mut self, id: ChannelId) -> Option<&mut Channel> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    /// The open channel that a message of the peer names.
    pub fn named(&mut self, number: u32) -> Result<(ChannelId, &mut Channel), PeerError> {
        match self.slots.get_mut(number as usize) {
            Some(Some(channel)) if channel.remote.is_some() => Ok((ChannelId(number), channel)),
            _ => Err(PeerError::NoSuchChannel),
        }
    }

    /// The channel that we asked to open and that the peer answers about.
    pub fn opening(&mut self, number: u32) -> Result<(ChannelId, &mut Channel), PeerError> {
        match self.slots.get_mut(number as usize) {
            Some(Some(channel)) if channel.remote.is_none() => Ok((ChannelId(number), channel)),
            _ => Err(PeerError::NoSuchChannel),
        }
    }

    pub fn ids(&self) -> impl Iterator<Item = ChannelId> + '_ {
        (0..self.slots.len() as u32).map(ChannelId).filter(|id| self.get(*id).is_some())
    }
}

impl Channel {
    /// The peer's number, window and packet limit are known.
    pub fn open(&mut self, number: u32, window: u32, packet_len_max: u32) {
        self.remote = Some(number);
        self.send = SendWindow::new(window);
        self.send_packet_len_max = (packet_len_max as usize).min(SEND_PACKET_LEN_MAX);
    }

    /// The peer's number, once the channel is open and while we may still talk about it.
    pub fn recipient(&self) -> Option<u32> {
        self.remote.filter(|_| !self.close_sent)
    }

    /// Data that may go into one packet. Some peers say 0: then nothing can ever be sent (CHN-3).
    pub fn send_packet_len_max(&self) -> usize {
        self.send_packet_len_max
    }

    /// Bytes that may be sent now as far as this channel is concerned.
    pub fn sendable(&self) -> usize {
        if self.recipient().is_none() || self.eof_sent || self.send_packet_len_max == 0 {
            return 0;
        }
        self.send.left()
    }

    /// Data of the peer: counted against what we granted.
    pub fn receive_data(&mut self, len: usize, now: Instant) -> Result<Arrival, PeerError> {
        self.receive.receive(len, now)?;
        if self.eof_received {
            return Err(PeerError::WindowExceeded);
        }
        Ok(self.arrival())
    }

    pub fn receive_eof(&mut self) -> Arrival {
        let again = std::mem::replace(&mut self.eof_received, true);
        if again { Arrival::Drop } else { self.arrival() }
    }

    pub fn arrival(&self) -> Arrival {
        if self.close_sent { Arrival::Drop } else { Arrival::Deliver }
    }

    /// We will send no more data. Returns the recipient to tell, once.
    pub fn send_eof(&mut self) -> Option<u32> {
        let recipient = self.recipient().filter(|_| !self.eof_sent)?;
        self.eof_sent = true;
        Some(recipient)
    }

    /// We close. Returns the recipient to tell, once.
    pub fn send_close(&mut self) -> Option<u32> {
        let recipient = self.recipient()?;
        self.close_sent = true;
        Some(recipient)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_channel() -> (Channels, ChannelId) {
        let mut channels = Channels::new(2, &Common::default());
        let id = channels.add(Some((77, 500, 32_768))).unwrap();
        (channels, id)
    }

    #[test]
    fn numbers_are_bounded_and_come_back_after_removal() {
        let (mut channels, first) = open_channel();
        channels.add(None).unwrap();
        assert!(channels.add(None).is_none());
        channels.remove(first);
        assert_eq!(channels.add(None), Some(first));
    }

    #[test]
    fn messages_for_numbers_that_are_not_open_are_violations() {
        let (mut channels, _) = open_channel();
        let opening = channels.add(None).unwrap();
        assert!(channels.named(opening.0).is_err());
        assert!(channels.named(7).is_err() && channels.named(u32::MAX).is_err());
        assert!(channels.opening(0).is_err(), "a second confirmation");
    }

    #[test]
    fn eof_and_close_go_out_once_and_nothing_after_close() {
        let (mut channels, id) = open_channel();
        let channel = channels.get_mut(id).unwrap();
        assert_eq!(channel.send_eof(), Some(77));
        assert_eq!((channel.send_eof(), channel.sendable()), (None, 0));
        assert_eq!(channel.send_close(), Some(77));
        assert_eq!((channel.send_close(), channel.recipient()), (None, None));
        assert_eq!(channel.receive_data(10, Instant::now()), Ok(Arrival::Drop));
    }

    #[test]
    fn a_peer_that_allows_no_packet_is_never_sent_to() {
        let mut channels = Channels::new(1, &Common::default());
        let id = channels.add(Some((1, 1000, 0))).unwrap();
        assert_eq!(channels.get(id).unwrap().sendable(), 0);
    }

    #[test]
    fn data_after_eof_is_a_violation() {
        let (mut channels, id) = open_channel();
        let channel = channels.get_mut(id).unwrap();
        assert_eq!(channel.receive_eof(), Arrival::Deliver);
        assert!(channel.receive_data(1, Instant::now()).is_err());
    }
}
