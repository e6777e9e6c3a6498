//! An engine without a stream: what it lays into slices of a test is looked at.

use std::sync::Mutex;
use std::time::Duration;

use sterna_sftp_proto::Request;
use sterna_sftp_proto::messages::{Remove, Write};
use tokio::sync::oneshot;

use super::*;
use crate::sftp::engine::{Ask, Call, EngineHandle, ReplyTo};
use crate::sftp::{Frame, call};

type Reply = oneshot::Receiver<Result<Frame, Error>>;

/// A file of which only the first bytes are in memory.
struct Cold {
    content: Vec<u8>,
    at_hand: usize,
    /// Reads that had to wait.
    waited: Mutex<usize>,
}

impl Cold {
    fn new(len: usize, at_hand: usize) -> Arc<Self> {
        let content = (0..len).map(|n| (n ^ (n >> 8)) as u8).collect();
        Arc::new(Self { content, at_hand, waited: Mutex::new(0) })
    }
}

impl BlockSource for Cold {
    fn try_read(&self, slices: &mut [IoSliceMut<'_>], offset: u64) -> bool {
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        let at_hand = self.content[..self.at_hand].get(offset as usize..);
        let Some(mut rest) = at_hand.and_then(|bytes| bytes.get(..len)) else { return false };
        for slice in slices {
            let (piece, behind) = rest.split_at(slice.len());
            slice.copy_from_slice(piece);
            rest = behind;
        }
        true
    }

    fn read(&self, out: &mut [u8], offset: u64) -> io::Result<usize> {
        *self.waited.lock().unwrap() += 1;
        if self.content.is_empty() {
            return Err(io::Error::other("no disk"));
        }
        let rest = self.content.get(offset as usize..).unwrap_or_default();
        let len = rest.len().min(out.len());
        out[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// An engine whose INIT is answered.
fn engine() -> (Engine, EngineHandle) {
    let (mut engine, handle) = Engine::new(Duration::from_secs(60));
    sent(&mut engine);
    engine.receive(&[0, 0, 0, 5, 2, 0, 0, 0, 3]).unwrap();
    (engine, handle)
}

/// Takes out what the engine has at the front.
fn sent(engine: &mut Engine) -> Vec<u8> {
    let mut out = Vec::new();
    while let Some(parts) = engine.front() {
        let all = parts.concat();
        out.extend_from_slice(&all);
        engine.advance(all.len());
    }
    out
}

fn poll(engine: &mut Engine) {
    engine.poll_calls(&mut Context::from_waker(std::task::Waker::noop()));
}

fn write(handle: &EngineHandle, source: &Arc<Cold>, offset: u64, len: usize) -> Reply {
    let (reply_to, reply) = oneshot::channel();
    let ask = Ask::WriteFrom { handle: (*b"handle").into(), offset, len, source: source.clone() };
    let reply_to = ReplyTo::One(reply_to);
    handle.unsent.fetch_add(len, Ordering::Relaxed);
    handle
        .calls
        .try_send(Call { ask, reply_len_max: 1000, is_long: false, reply_to })
        .ok()
        .unwrap();
    reply
}

/// The packet of a WRITE of that part of the file; ids count from 0.
fn packet(id: u32, source: &Cold, offset: u64, len: usize) -> Vec<u8> {
    let mut packet = Vec::new();
    let data = &source.content[offset as usize..][..len];
    Request::from(Write { handle: b"handle", offset, data }).encode(id, &mut packet);
    packet
}

/// Lays the WRITE that is next into slices that are as long as `lens` says.
fn lay(engine: &mut Engine, lens: &[usize]) -> Vec<u8> {
    let mut memory: Vec<Vec<u8>> = lens.iter().map(|len| vec![0; *len]).collect();
    let mut slices: Vec<_> = memory.iter_mut().map(|m| IoSliceMut::new(m)).collect();
    let used = engine.lay_from_file(&mut slices);
    let mut all = memory.concat();
    all.truncate(used);
    all
}

#[test]
fn bytes_at_hand_go_straight_into_slices_of_any_length() {
    let source = Cold::new(2000, 2000);
    let head_len = WriteHead::len_with(b"handle");
    for lens in [
        vec![head_len + 1000],
        vec![head_len, 1000],
        vec![head_len + 1, 500, 499],
        [vec![head_len + 10], vec![90; 11]].concat(),
    ] {
        let (mut engine, handle) = engine();
        let _reply = write(&handle, &source, 700, 1000);
        poll(&mut engine);

        assert_eq!(engine.in_file_len(), Some(head_len + 1000));
        assert_eq!(lay(&mut engine, &lens), packet(0, &source, 700, 1000), "{lens:?}");

        assert_eq!((engine.in_file_len(), engine.front()), (None, None));
        assert_eq!(handle.unsent.load(Ordering::Relaxed), 0);
        assert_eq!(engine.client.outstanding(), 1);
    }
}

#[test]
fn what_was_asked_later_comes_later() {
    let source = Cold::new(2000, 2000);
    let (mut engine, handle) = engine();
    let ask = |path: &'static [u8]| {
        let call = call(Remove { path }.into(), ReplyTo::Nobody);
        handle.calls.try_send(call).ok().unwrap();
    };
    ask(b"before");
    let _first = write(&handle, &source, 0, 100);
    let _second = write(&handle, &source, 100, 100);
    ask(b"after");
    let remove = |id, path: &[u8]| {
        let mut packet = Vec::new();
        Request::from(Remove { path }).encode(id, &mut packet);
        packet
    };

    poll(&mut engine);
    assert_eq!(engine.in_file_len(), None, "something is in front of it");
    assert_eq!(sent(&mut engine), remove(0, b"before"));
    for (id, offset) in [(1, 0), (2, 100)] {
        let len = engine.in_file_len().unwrap();
        assert_eq!(lay(&mut engine, &[len]), packet(id, &source, offset, 100));
        poll(&mut engine);
    }
    assert_eq!(sent(&mut engine), remove(3, b"after"));
}

#[test]
fn without_room_for_all_of_it_the_bytes_are_gathered() {
    let source = Cold::new(2000, 2000);
    let (mut engine, handle) = engine();
    let _reply = write(&handle, &source, 5, 1000);
    poll(&mut engine);

    engine.gather_from_file();

    assert_eq!(sent(&mut engine), packet(0, &source, 5, 1000));
    assert_eq!(*source.waited.lock().unwrap(), 0);
    assert_eq!(handle.unsent.load(Ordering::Relaxed), 0);
}

/// Lets the thread read, and the engine take what it has read.
async fn read(engine: &mut Engine) {
    std::future::poll_fn(|cx| {
        engine.poll_calls(cx);
        if engine.from_file.is_some() { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

#[tokio::test]
async fn bytes_that_are_not_at_hand_are_read_by_a_thread() {
    let head_len = WriteHead::len_with(b"handle");
    // No slice at all, one that is too short for the head, and more than are looked at.
    for lens in [vec![head_len + 1000], vec![], vec![head_len - 1, 1001], vec![50; 30]] {
        let at_hand = if lens == [head_len + 1000] { 900 } else { 2000 };
        let source = Cold::new(2000, at_hand);
        let (mut engine, handle) = engine();
        let _reply = write(&handle, &source, 700, 1000);
        poll(&mut engine);

        assert_eq!(lay(&mut engine, &lens), b"", "{lens:?}");
        assert_eq!(engine.in_file_len(), None, "it is being read");
        assert_eq!(engine.client.outstanding(), 0, "nothing was sent");
        read(&mut engine).await;

        assert_eq!(*source.waited.lock().unwrap(), 1);
        assert_eq!(sent(&mut engine), packet(0, &source, 700, 1000));
    }
}

#[tokio::test]
async fn a_file_that_is_shorter_or_cannot_be_read_fails_its_write_and_no_other() {
    for (len, is_changed) in [(1500, true), (0, false)] {
        let source = Cold::new(len, 0);
        let (mut engine, handle) = engine();
        let reply = write(&handle, &source, 700, 1000);
        let good = Cold::new(100, 100);
        let _next = write(&handle, &good, 0, 100);
        poll(&mut engine);

        assert_eq!(lay(&mut engine, &[2000]), b"");
        read_until_failed(&mut engine).await;

        let error = reply.await.unwrap().unwrap_err();
        assert_eq!(matches!(error, Error::SourceChanged { .. }), is_changed, "{error}");
        let len = engine.in_file_len().unwrap();
        assert_eq!(lay(&mut engine, &[len]), packet(0, &good, 0, 100));
        assert_eq!(handle.unsent.load(Ordering::Relaxed), 0);
    }
}

/// Until the next one is in front.
async fn read_until_failed(engine: &mut Engine) {
    std::future::poll_fn(|cx| {
        engine.poll_calls(cx);
        if engine.in_file_len().is_none() { Poll::Pending } else { Poll::Ready(()) }
    })
    .await;
}

#[test]
fn the_end_of_the_channel_is_told_to_who_waits() {
    let source = Cold::new(2000, 2000);
    let (mut engine, handle) = engine();
    let mut reply = write(&handle, &source, 0, 1000);
    poll(&mut engine);
    assert!(!engine.is_finished());

    engine.fail(&Error::Cancelled);

    assert!(matches!(reply.try_recv(), Ok(Err(Error::Cancelled))));
    assert_eq!(engine.in_file_len(), None);
}

#[test]
fn credit_is_waited_for_only_where_it_will_come() {
    let source = Cold::new(2000, 2000);
    let (mut engine, handle) = engine();
    let _first = write(&handle, &source, 0, 1000);
    let _second = write(&handle, &source, 0, 1000);
    poll(&mut engine);

    engine.note_credit(1999);
    assert!(!engine.expects_credit(1000), "nothing is under way");
    let len = engine.in_file_len().unwrap();
    lay(&mut engine, &[len]);
    assert!(!engine.expects_credit(1000), "there was never so much that half of it would do");
    engine.note_credit(2000);
    engine.note_credit(10);
    assert!(engine.expects_credit(1000));
}
