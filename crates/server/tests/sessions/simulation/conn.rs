//! One connection of a simulated client: SSH over an in-memory socket, at the pace and with the end that a seed chooses.
//!
//! Every request that is sent is remembered until it is answered: an answer that nobody waits for, a second one, or none
//! fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use sterna_sftp_proto::extension::Extended;
use sterna_sftp_proto::frame::FrameAssembler;
use sterna_sftp_proto::{Reply, Request, StatusCode};
use sterna_ssh_proto::{ChannelId, Reason};
use sterna_testkit::wire::ClientEnd;
use sterna_testkit::{Clock, Pair, PairConfig, Seed, Side, wire};

use super::world::{World, source};
use crate::support::Answer;

/// So long nothing may move before an answer counts as missing, and so often in a row: time may jump meanwhile.
const QUIET: Duration = Duration::from_secs(60);
const QUIET_MAX: u32 = 50;

/// The connection is over. That is what the client learns; what it asked may have been done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gone;

/// How a client moves bytes.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// As much as there is.
    Fast,
    /// Up to so many bytes at a time.
    Pieces(usize),
    /// Takes up to so many bytes out of the channel's window at a time, with a pause before the next ones.
    Slow(usize, Duration),
    /// Stops reading for so long after so many bytes, and goes on then.
    Stops(usize, Duration),
}

/// How a connection ends before its client wants it to.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Broken,
    /// The client sends no more; the server may.
    HalfClosed,
    /// The other side of the world is gone, and nobody says so.
    Silent,
}

pub struct Conn {
    pub world: Rc<World>,
    side: Side,
    wire: Option<ClientEnd>,
    channel: Option<ChannelId>,
    random: Seed,
    pace: Pace,
    /// After so many bytes in both directions.
    cut: Option<(usize, Cut)>,
    moved: usize,
    assembler: FrameAssembler,
    has_version: bool,
    asked: BTreeSet<u32>,
    answers: BTreeMap<u32, Answer>,
    next_id: u32,
    excuses: u64,
    is_excused: bool,
    client: usize,
    began: std::time::Instant,
}

impl Conn {
    /// Connects client `client` for the time number `number`.
    ///
    /// # Errors
    /// The server takes nobody any more.
    pub fn new(
        world: &Rc<World>,
        client: usize,
        number: usize,
        mut random: Seed,
    ) -> Result<Self, Gone> {
        let mut config = PairConfig::new(random.next_u64());
        config.client.user = format!("c{client}").into_bytes();
        let clock = Clock::at(tokio::time::Instant::now().into_std());
        let mut side = Pair::at(config, clock).client;
        let pace = match random.below(8) {
            0 => Pace::Pieces(7),
            1 | 2 => Pace::Pieces(3000),
            3 => Pace::Slow(
                1 + random.below(30_000),
                Duration::from_millis(random.below(900) as u64),
            ),
            4 => {
                let time = Duration::from_secs(random.below(1200) as u64);
                Pace::Stops(random.below(300_000), time)
            }
            _ => Pace::Fast,
        };
        side.consumes = !matches!(pace, Pace::Slow(..));
        let cut = (random.below(3) == 0).then(|| {
            let cut = [Cut::Broken, Cut::HalfClosed, Cut::Silent][random.below(3)];
            // The handshake takes some thousand bytes.
            let after = [6_000, 60_000, 600_000][random.below(3)];
            (random.below(after), cut)
        });
        let (server, wire) = wire([1_000, 20_000, 300_000][random.below(3)]);
        if world.is_over.get() || !world.door.bring(server, source(client, number)) {
            return Err(Gone);
        }
        world.note(("connect", client, number));
        Ok(Self {
            world: Rc::clone(world),
            side,
            wire: Some(wire),
            channel: None,
            random,
            pace,
            cut,
            moved: 0,
            assembler: FrameAssembler::for_client(),
            has_version: false,
            asked: BTreeSet::new(),
            answers: BTreeMap::new(),
            next_id: 0,
            excuses: world.excuses.get(),
            is_excused: false,
            client,
            began: tokio::time::Instant::now().into_std(),
        })
    }

    /// Moves few bytes at a time: each costs a turn of the server.
    pub fn is_tiny(&self) -> bool {
        matches!(self.pace, Pace::Pieces(..100) | Pace::Slow(..500, _))
    }

    /// Logs in and starts SFTP.
    pub async fn log_in(&mut self, password: &[u8]) -> Result<(), Gone> {
        self.side.set_password(password);
        if password != super::world::PASSWORD {
            self.is_excused = true;
        }
        self.until(|conn| conn.side.has("authenticated")).await?;
        let Some(channel) = self.side.connection.open_session(&mut self.side.output) else {
            // It has been told to go.
            return self.until(|_| false).await;
        };
        self.until(|conn| conn.side.has("opened")).await?;
        self.side.connection.request_subsystem(channel, "sftp", &mut self.side.output);
        self.until(|conn| conn.side.has("request-done true")).await?;
        self.channel = Some(channel);
        self.side.write(channel, &[0, 0, 0, 5, 1, 0, 0, 0, 3]);
        self.until(|conn| conn.has_version).await
    }

    /// Connects, says nothing that logs anybody in, and waits to be thrown out.
    pub async fn linger(&mut self) -> Result<(), Gone> {
        self.is_excused = true;
        self.side.stop_before_login();
        self.until(|_| false).await
    }

    /// Sends a request without waiting. Returns its id.
    pub fn send<'r>(&mut self, request: impl Into<Request<'r>>) -> u32 {
        let id = self.next_id;
        self.next_id += 1;
        let mut bytes = Vec::new();
        request.into().encode(id, &mut bytes);
        let channel = self.channel.expect("SFTP has started");
        self.side.write(channel, &bytes);
        self.asked.insert(id);
        self.world.count(|counts| counts.requests += 1);
        id
    }

    pub fn send_extended<'r>(&mut self, request: impl Into<Extended<'r>>) -> u32 {
        self.send(Request::Extended(request.into()))
    }

    /// Waits for the answer to `id`.
    pub async fn answer(&mut self, id: u32) -> Result<Answer, Gone> {
        self.until(|conn| conn.answers.contains_key(&id)).await?;
        let answer = self.answers.remove(&id).expect("it has come");
        let refused = match answer.decode() {
            Reply::Status(status) => !matches!(status.code, StatusCode::Ok | StatusCode::Eof),
            _ => false,
        };
        self.world.count(|counts| counts.refused += u64::from(refused));
        Ok(answer)
    }

    /// Waits for an answer, and whether it says yes.
    pub async fn is_done(&mut self, id: u32) -> Result<bool, Gone> {
        let answer = self.answer(id).await?;
        Ok(matches!(answer.decode(), Reply::Status(status) if status.code == StatusCode::Ok))
    }

    /// Waits for a handle; `None` if it is refused.
    pub async fn handle(&mut self, id: u32) -> Result<Option<Vec<u8>>, Gone> {
        let answer = self.answer(id).await?;
        Ok(match answer.decode() {
            Reply::Handle(handle) => Some(handle.handle.to_vec()),
            _ => None,
        })
    }

    /// Ends in order: no more input, then the server's end of the channel, then goodbye.
    pub async fn leave(&mut self) -> Result<(), Gone> {
        let Some(channel) = self.channel else { return Ok(()) };
        self.until(|conn| conn.asked.is_empty()).await?;
        self.side.connection.send_eof(channel, &mut self.side.output);
        self.until(|conn| conn.side.has("closed")).await?;
        assert!(self.side.has("exit-status 0"), "{}", self.shown());
        let output = &mut self.side.output;
        self.side.connection.disconnect(Reason::ByApplication, "bye", output);
        self.is_excused = true;
        self.pump().map(drop)
    }

    /// Waits until `done`.
    async fn until(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), Gone> {
        let mut quiet = 0;
        loop {
            let moved = self.pump()?;
            if done(self) {
                return Ok(());
            }
            if moved {
                quiet = 0;
                self.pause().await;
                continue;
            }
            let Some(wire) = &mut self.wire else { return Err(Gone) };
            tokio::select! {
                biased;
                () = wire.changed() => {}
                () = tokio::time::sleep(QUIET) => {
                    quiet += 1;
                    assert!(quiet < QUIET_MAX, "not answered: {:?}, {}", self.asked, self.shown());
                }
            }
        }
    }

    /// Lets others run, in one's own pace.
    pub async fn pause(&mut self) {
        match self.pace {
            Pace::Slow(_, pause) if self.channel.is_some() => tokio::time::sleep(pause).await,
            Pace::Stops(after, time) if self.moved > after => {
                self.pace = Pace::Fast;
                // The server need not wait for that.
                self.is_excused = true;
                tokio::time::sleep(time).await;
            }
            _ => tokio::task::yield_now().await,
        }
    }

    fn piece(&mut self) -> usize {
        match self.pace {
            Pace::Pieces(max) => 1 + self.random.below(max),
            _ => usize::MAX,
        }
    }

    /// Moves what can be moved at once. True if anything was.
    fn pump(&mut self) -> Result<bool, Gone> {
        let now = tokio::time::Instant::now().into_std();
        let (to_send, to_receive) = (self.piece(), self.piece());
        let Some(wire) = &mut self.wire else { return Err(Gone) };
        let mut moved = self.side.run(now);
        let mut left = to_send;
        while left > 0 && !self.side.output.is_empty() {
            let pending = self.side.output.pending();
            let sent = wire.send(&pending[..pending.len().min(left)]);
            if sent == 0 {
                break;
            }
            self.side.output.consume(sent);
            left -= sent;
            self.moved += sent;
            moved = true;
        }
        let received = wire.receive(to_receive);
        if !received.is_empty() {
            self.moved += received.len();
            self.side.feed(&received);
            moved = true;
        }
        moved |= self.side.run(now);
        moved |= self.take_data();
        if let Some((after, cut)) = self.cut
            && self.moved >= after
        {
            self.cut = None;
            return self.cut(cut).map(|()| true);
        }
        let is_over = self.wire.as_ref().is_none_or(ClientEnd::is_over);
        if let Some(error) = &self.side.error {
            assert!(is_over || self.is_excused(), "{error}: {}", self.shown());
            return self.gone();
        }
        if is_over && !moved {
            return self.gone();
        }
        Ok(moved)
    }

    fn is_excused(&self) -> bool {
        self.is_excused || self.world.is_over.get() || self.excuses != self.world.excuses.get()
    }

    fn gone(&mut self) -> Result<bool, Gone> {
        assert!(self.is_excused(), "the server ended a session: {}", self.shown());
        self.world.count(|counts| counts.lost_sessions += 1);
        self.world.note(("gone", self.client, self.moved));
        self.wire = None;
        Err(Gone)
    }

    fn cut(&mut self, cut: Cut) -> Result<(), Gone> {
        self.is_excused = true;
        self.world.count(|counts| counts.cuts += 1);
        match cut {
            Cut::HalfClosed => {
                if let Some(wire) = &mut self.wire {
                    wire.end();
                }
                return Ok(());
            }
            Cut::Broken => {
                if let Some(wire) = &mut self.wire {
                    wire.cut();
                }
            }
            Cut::Silent => {
                let wire = self.wire.take().expect("it was there");
                self.world.silent.borrow_mut().push(wire);
            }
        }
        self.gone().map(drop)
    }

    /// Takes what has come on the channel, and gives credit for it.
    fn take_data(&mut self) -> bool {
        let Some(channel) = self.channel else { return false };
        let max = match self.pace {
            Pace::Slow(max, _) => max,
            _ => usize::MAX,
        };
        let Some(received) = self.side.received.get_mut(&channel) else { return false };
        let len = received.len().min(max);
        let bytes: Vec<u8> = received.drain(..len).collect();
        if len > 0 && !self.side.consumes {
            self.side.connection.consume(channel, len, &mut self.side.output);
        }
        let mut left = &bytes[..];
        while let Some(frame) = self.assembler.next(&mut left).expect("whole frames") {
            if frame[0] == 2 {
                assert!(!std::mem::replace(&mut self.has_version, true), "VERSION twice");
                continue;
            }
            let id = u32::from_be_bytes(frame[1..5].try_into().unwrap());
            let answer = Answer { id, wire_type: frame[0], body: frame[5..].to_vec() };
            assert!(self.asked.remove(&id), "an answer that nobody waits for: {}", self.client);
            self.world.note(("answer", self.client, id, answer.wire_type, answer.body.len()));
            self.answers.insert(id, answer);
        }
        len > 0
    }

    fn shown(&self) -> String {
        let Self { client, pace, moved, side, .. } = self;
        let last = &side.log[side.log.len().saturating_sub(4)..];
        let now = tokio::time::Instant::now().into_std();
        format!(
            "client {client}, age {:?}, excuses {} {}, {pace:?}, {moved} bytes, {last:?}, {:?}",
            now - self.began,
            self.excuses,
            self.world.excuses.get(),
            side.error
        )
    }
}
