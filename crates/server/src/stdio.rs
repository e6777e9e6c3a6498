//! One SFTP session on a pair of pipes: for sshd's `Subsystem sftp /usr/bin/sterna sftp-server`.
//!
//! A thread of its own reads, this one does everything else. Pipes have no windows, so nothing is
//! read while earlier input waits: that is the back-pressure.

use std::io::{self, Read, Write};
use std::task::Context;
use std::thread;

use crossbeam_channel::{Receiver, Sender, TryRecvError, bounded};

use crate::sftp::{SftpSession, VecSink};
use crate::wake::thread_waker;

/// Bytes read from the input at once: what a pipe holds on Linux.
const BLOCK_LEN: usize = 64 * 1024;

/// Blocks that are read ahead.
const BLOCKS_AHEAD: usize = 4;

/// Bytes of replies gathered before they are written.
const OUTPUT_LEN: usize = 512 * 1024;

/// Serves `session` until `input` ends or the peer breaks the protocol. Returns the exit status: 0
/// after an orderly end.
///
/// # Errors
/// `output` cannot be written. A failing `input` is its end.
pub fn serve(
    mut session: SftpSession,
    input: impl Read + Send + 'static,
    mut output: impl Write,
) -> io::Result<u32> {
    let waker = thread_waker();
    let mut cx = Context::from_waker(&waker);
    let (filled, blocks) = bounded(BLOCKS_AHEAD);
    let (back, empty) = bounded(BLOCKS_AHEAD);
    let reader_waker = waker.clone();
    thread::Builder::new().name("sterna-stdin".into()).spawn(move || {
        read_blocks(input, &filled, &empty, || reader_waker.wake_by_ref());
        // The other end is told by the channel, which ends with this thread.
        drop(filled);
        reader_waker.wake();
    })?;

    let mut sink = VecSink::new(OUTPUT_LEN);
    let mut ended = false;
    loop {
        let took = take_input(&mut session, &blocks, &back, &mut ended);
        let progress = session.poll(&mut cx, &mut sink);
        let wrote = !sink.bytes().is_empty();
        if wrote {
            output.write_all(sink.bytes())?;
            output.flush()?;
            sink.clear();
        }
        match progress.finished {
            Some(status) => return Ok(status),
            None if took || wrote => {}
            None => thread::park(),
        }
    }
}

/// Hands over the blocks that are there, unless earlier ones still wait. Returns whether anything
/// came.
fn take_input(
    session: &mut SftpSession,
    blocks: &Receiver<Vec<u8>>,
    back: &Sender<Vec<u8>>,
    ended: &mut bool,
) -> bool {
    let mut took = false;
    while session.backlog_len() == 0 && !*ended {
        match blocks.try_recv() {
            Ok(block) => {
                session.handle_data(&block);
                // A lost buffer is made anew.
                let _ = back.try_send(block);
            }
            Err(TryRecvError::Empty) => break,
            Err(TryRecvError::Disconnected) => {
                *ended = true;
                session.handle_eof();
            }
        }
        took = true;
    }
    took
}

fn read_blocks(
    mut input: impl Read,
    filled: &Sender<Vec<u8>>,
    empty: &Receiver<Vec<u8>>,
    wake: impl Fn(),
) {
    loop {
        let mut block = empty.try_recv().unwrap_or_default();
        block.resize(BLOCK_LEN, 0);
        match input.read(&mut block) {
            Ok(0) => return,
            Ok(len) => block.truncate(len),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => {
                tracing::info!(%error, "standard input failed");
                return;
            }
        }
        if filled.send(block).is_err() {
            return;
        }
        wake();
    }
}
