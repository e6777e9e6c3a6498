//! What a channel's engine has, in front of a server that a test plays by hand.

use std::io::{self, IoSliceMut};
use std::sync::Mutex;
use std::sync::atomic::Ordering;
use std::task::Waker;
use std::time::Duration;

use sterna_sftp_proto::Request;
use sterna_sftp_proto::messages::Write;
use sterna_testkit::{Pair, PairConfig};

use super::*;
use crate::sftp::{Ask, BlockSource, Buffer, Call, EngineHandle, ReplyTo};

const KIB: usize = 1 << 10;

/// A file of zeros in memory that notes into how many slices each block was read.
#[derive(Default)]
struct Zeros(Mutex<Vec<usize>>);

impl BlockSource for Zeros {
    fn try_read(&self, slices: &mut [IoSliceMut<'_>], _: u64) -> bool {
        self.0.lock().unwrap().push(slices.len());
        slices.iter_mut().for_each(|slice| slice.fill(0));
        true
    }

    fn read(&self, _: &mut [u8], _: u64) -> io::Result<usize> {
        unreachable!("it is in memory")
    }
}

/// A client's channel, and a server that gives so much credit and takes in nothing by itself.
struct Stage {
    pair: Pair,
    id: ChannelId,
    channel: Channel,
    handle: EngineHandle,
    source: Arc<Zeros>,
}

impl Stage {
    fn new(window_len: usize) -> Self {
        let mut config = PairConfig::new(7);
        config.server.common.window_len = window_len as u32;
        config.server.common.window_len_max = window_len as u32;
        let (mut pair, id) = Pair::connected(config);
        pair.server.consumes = false;
        let (engine, handle) = Engine::new(Duration::from_secs(60));
        let channel = Channel::Sftp { engine: Box::new(engine), opened: None, running: true };
        let mut stage = Self { pair, id, channel, handle, source: Arc::default() };
        stage.pump();
        stage.engine().receive(&[0, 0, 0, 5, 2, 0, 0, 0, 3]).unwrap();
        stage.take_in();
        stage
    }

    fn engine(&mut self) -> &mut Engine {
        match &mut self.channel {
            Channel::Sftp { engine, .. } => engine,
            _ => panic!("the channel is closed"),
        }
    }

    /// Asks for a WRITE of `len` bytes of the file.
    fn write(&self, len: usize) {
        let source = self.source.clone();
        self.ask(Ask::WriteFrom { handle: (*b"h").into(), offset: 0, len, source }, len);
    }

    fn ask(&self, ask: Ask, len: usize) {
        self.handle.unsent.fetch_add(len, Ordering::Relaxed);
        let call = Call { ask, reply_len_max: KIB, is_long: false, reply_to: ReplyTo::Nobody };
        self.handle.calls.try_send(call).ok().unwrap();
    }

    fn pump(&mut self) {
        let side = &mut self.pair.client;
        let now = self.pair.clock.now();
        let mut link = Link { connection: &mut side.connection, output: &mut side.output, now };
        let mut cx = Context::from_waker(Waker::noop());
        ClientService::pump(&mut self.channel, self.id, &mut cx, &mut link);
        self.pair.run_until_idle();
    }

    /// What has come to the server, whose credit for it goes back.
    fn take_in(&mut self) -> Vec<u8> {
        let side = &mut self.pair.server;
        let Some((id, received)) = side.received.pop_first() else { return Vec::new() };
        side.connection.consume(id, received.len(), &mut side.output);
        self.pair.run_until_idle();
        received
    }
}

fn packet(id: u32, len: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    let write = Write { handle: b"h", offset: 0, data: &vec![0; len] };
    Request::from(write).encode(id, &mut packet);
    packet
}

#[test]
fn a_block_is_read_straight_into_packets_where_there_is_credit_for_it() {
    let mut stage = Stage::new(2048 * KIB);
    stage.write(200 * KIB);

    stage.pump();

    assert!(stage.take_in() == packet(0, 200 * KIB));
    assert_eq!(*stage.source.0.lock().unwrap(), [7], "packets of 32 KiB");
}

#[test]
fn what_never_fits_at_once_goes_in_parts() {
    let mut stage = Stage::new(60 * KIB);
    for _ in 0..2 {
        stage.write(200 * KIB);
    }

    let mut received = Vec::new();
    for _ in 0..20 {
        stage.pump();
        received.extend(stage.take_in());
    }

    assert!(received == [packet(0, 200 * KIB), packet(1, 200 * KIB)].concat());
    assert_eq!(*stage.source.0.lock().unwrap(), [1, 1], "a buffer each");
}

#[test]
fn credit_is_waited_for_where_it_will_come_and_a_block_is_never_begun_without() {
    let mut stage = Stage::new(512 * KIB);
    for _ in 0..5 {
        stage.write(100 * KIB);
    }
    for _ in 0..2 {
        stage.write(200 * KIB);
    }

    // The socket takes what waits after each; the sixth block does not fit into the credit that is left.
    for _ in 0..4 {
        stage.pump();
    }
    let first: Vec<u8> = (0..5).flat_map(|id| packet(id, 100 * KIB)).collect();
    assert!(stage.take_in() == first);
    for _ in 0..4 {
        stage.pump();
    }
    assert!(stage.take_in() == [packet(5, 200 * KIB), packet(6, 200 * KIB)].concat());

    assert!(stage.source.0.lock().unwrap().iter().all(|slices| *slices > 1), "no buffer");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_takes_nothing_falls_silent_however_often_it_is_tried() {
    let mut stage = Stage::new(60 * KIB);
    let data = Buffer::from(vec![0; 200 * KIB]);
    stage.ask(Ask::Write { handle: (*b"h").into(), offset: 0, data }, 200 * KIB);
    stage.pump();
    let deadline = stage.engine().silence_deadline().unwrap();

    for _ in 0..10 {
        tokio::time::advance(Duration::from_secs(5)).await;
        stage.pump();
    }

    assert_eq!(stage.engine().silence_deadline(), Some(deadline));
}
