//! An engine without a stream: replies are given in, in pieces of any size.

use std::sync::Mutex;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::sync::oneshot;

use super::*;
use crate::sftp::Frame;
use crate::sftp::engine::{Ask, Call, EngineHandle, ReplyTo};

type Reply = oneshot::Receiver<Result<Frame, Error>>;

/// A file that takes pieces up to an offset, and notes them.
struct Taking {
    until: u64,
    pieces: Mutex<Vec<(u64, Vec<u8>)>>,
}

impl Taking {
    fn until(until: u64) -> Arc<Self> {
        Arc::new(Self { until, pieces: Mutex::default() })
    }

    /// All that it took, which must be in its order, and where that begins.
    fn taken(&self) -> (u64, Vec<u8>) {
        let pieces = self.pieces.lock().unwrap();
        let first = pieces.first().map_or(0, |(offset, _)| *offset);
        let mut all = Vec::new();
        for (offset, piece) in &*pieces {
            assert_eq!(*offset, first + all.len() as u64);
            all.extend_from_slice(piece);
        }
        (first, all)
    }
}

impl BlockTarget for Taking {
    fn try_write(&self, data: &[u8], offset: u64) -> bool {
        let takes = offset + data.len() as u64 <= self.until;
        if takes {
            self.pieces.lock().unwrap().push((offset, data.to_vec()));
        }
        takes
    }
}

/// An engine whose INIT is answered.
fn engine() -> (Engine, EngineHandle) {
    let (mut engine, handle) = Engine::new(Duration::from_secs(60));
    engine.receive(&[0, 0, 0, 5, 2, 0, 0, 0, 3]).unwrap();
    (engine, handle)
}

/// Asks for 1000 bytes at 500; ids count from 0.
fn read(engine: &mut Engine, handle: &EngineHandle, target: &Arc<Taking>) -> Reply {
    let (reply_to, reply) = oneshot::channel();
    let (file, target) = ((*b"handle").into(), target.clone());
    let ask = Ask::ReadInto { handle: file, offset: 500, len: 1000, target };
    let reply_to = ReplyTo::One(reply_to);
    handle
        .calls
        .try_send(Call { ask, reply_len_max: 2000, is_long: false, reply_to })
        .ok()
        .unwrap();
    engine.poll_calls(&mut Context::from_waker(Waker::noop()));
    reply
}

fn data(id: u32, content: &[u8]) -> Vec<u8> {
    [&Data::header(id, content.len() as u32)[..], content].concat()
}

fn content(len: usize) -> Vec<u8> {
    (0..len).map(|n| (n ^ (n >> 8)) as u8).collect()
}

/// What is missing in the file, and how much is in it.
fn rest(mut reply: Reply) -> (usize, Vec<u8>) {
    let frame = reply.try_recv().unwrap().unwrap();
    match frame.reply().unwrap() {
        sterna_sftp_proto::Reply::Data(data) => (frame.written, data.data.to_vec()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_comes_goes_to_the_file_and_the_reply_says_how_much() {
    let content = content(1000);
    for (len, piece_len) in [(1000, 1), (1000, 7), (1000, 300), (600, 300), (1000, usize::MAX)] {
        let (mut engine, handle) = engine();
        let target = Taking::until(u64::MAX);
        let (first, second) =
            (read(&mut engine, &handle, &target), read(&mut engine, &handle, &Taking::until(0)));

        let stream = [data(0, &content[..len]), data(1, b"next")].concat();
        for piece in stream.chunks(piece_len) {
            engine.receive(piece).unwrap();
        }

        // A head that comes in pieces is not looked at: then all of it is gathered.
        let (written, gathered) = rest(first);
        let (offset, taken) = target.taken();
        assert_eq!([taken, gathered].concat(), content[..len], "pieces of {piece_len}");
        assert!(written == len && offset == 500 || written == 0 && piece_len < Data::HEADER_LEN);
        assert_eq!(rest(second), (0, b"next".to_vec()));
    }
}

#[test]
fn what_cannot_be_written_comes_in_the_reply() {
    let content = content(1000);
    for until in [0, 600, 799, 800, 1300, 1499] {
        let (mut engine, handle) = engine();
        let target = Taking::until(until);
        let (first, second) =
            (read(&mut engine, &handle, &target), read(&mut engine, &handle, &target));

        let stream = [data(0, &content), data(1, b"next")].concat();
        for piece in stream.chunks(Data::HEADER_LEN + 100) {
            engine.receive(piece).unwrap();
        }

        let (written, gathered) = rest(first);
        assert!(500 + written as u64 <= until.max(500), "until {until}");
        assert_eq!(gathered, content[written..], "until {until}");
        let (written, gathered) = rest(second);
        assert_eq!(written + gathered.len(), 4);
    }
}

#[test]
fn other_replies_go_their_usual_way() {
    let (mut engine, handle) = engine();
    let target = Taking::until(u64::MAX);
    let [eof, empty, longer, odd] = [0; 4].map(|_| read(&mut engine, &handle, &target));

    let status = [0, 0, 0, 17, 101, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0];
    // Bytes behind the data are nobody's, but allowed.
    let mut behind = [&data(3, b"abc")[..], b"??"].concat();
    behind[3] += 2;
    let stream = [&status[..], &data(1, b""), &data(2, &[7; 1001]), &behind].concat();
    engine.receive(&stream).unwrap();

    let mut eof = eof;
    let frame = eof.try_recv().unwrap().unwrap();
    assert!(matches!(frame.reply().unwrap(), sterna_sftp_proto::Reply::Status(_)));
    assert_eq!(rest(empty), (0, Vec::new()));
    assert_eq!(rest(longer), (0, vec![7; 1001]), "whoever asked for less says so");
    assert_eq!(rest(odd), (0, b"abc".to_vec()));
    assert!(target.pieces.lock().unwrap().is_empty());
}

#[test]
fn a_second_reply_or_one_to_nobody_ends_the_channel() {
    let (mut engine, handle) = engine();
    let target = Taking::until(u64::MAX);
    let reply = read(&mut engine, &handle, &target);
    engine.receive(&data(0, b"once")).unwrap();
    assert_eq!(rest(reply), (4, Vec::new()));

    assert!(engine.receive(&data(0, b"twice")).is_err());
    assert_eq!(target.taken(), (500, b"once".to_vec()));
}

#[test]
fn a_channel_that_ends_in_the_middle_fails_the_read() {
    let (mut engine, handle) = engine();
    let target = Taking::until(u64::MAX);
    let mut reply = read(&mut engine, &handle, &target);
    engine.receive(&data(0, &[1; 1000])[..500]).unwrap();

    engine.fail(&Error::Cancelled);

    assert!(matches!(reply.try_recv(), Ok(Err(Error::Cancelled))));
}
