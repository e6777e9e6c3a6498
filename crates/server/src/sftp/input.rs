//! Bytes from the peer that are not requests yet: the frame that is being assembled, and what came
//! when there was no room for more requests.

use std::fmt;

use sterna_sftp_proto::frame::{FrameAssembler, FrameError};
use sterna_sftp_proto::messages::WriteHead;
use sterna_sftp_proto::server::PeerError;

use crate::buffers::BufferPool;
use crate::limits::{BACKLOG_KEPT_LEN, SPARE_FRAME_LEN, SPARE_FRAMES_MAX};

/// The input side of one session.
pub(super) struct Input {
    assembler: FrameAssembler,
    backlog: Vec<u8>,
    /// Bytes at the front of `backlog` that are used up.
    used: usize,
    buffers: BufferPool,
    /// Memory for small frames.
    spare_frames: Vec<Vec<u8>>,
    eof: bool,
    failed: Option<SessionError>,
}

/// The peer did not speak SFTP; nothing can be answered.
#[derive(Debug)]
pub(super) enum SessionError {
    Frame(FrameError),
    Peer(PeerError),
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Peer(error) => error.fmt(f),
        }
    }
}

impl Input {
    pub(super) fn new(buffers: BufferPool) -> Self {
        Self {
            assembler: FrameAssembler::for_server(),
            backlog: Vec::new(),
            used: 0,
            buffers,
            spare_frames: Vec::new(),
            eof: false,
            failed: None,
        }
    }

    /// The next whole frame of `data`, which moves forward; `None` when all of it is used up.
    pub(super) fn next_frame(&mut self, data: &mut &[u8]) -> Result<Option<Vec<u8>>, SessionError> {
        let Self { assembler, buffers, spare_frames, .. } = self;
        let take = |len| match len {
            ..=SPARE_FRAME_LEN => {
                spare_frames.pop().unwrap_or_else(|| Vec::with_capacity(SPARE_FRAME_LEN))
            }
            _ => buffers.take_empty(len),
        };
        assembler.next_owned(data, take).map_err(SessionError::Frame)
    }

    /// What comes next is the data of a WRITE with this head, which was taken out of the stream; it becomes a frame
    /// as if its head had come now.
    pub(super) fn resume_write(&mut self, head: WriteHead<'_>) {
        let head_len = WriteHead::len_with(head.handle);
        let mut frame = self.buffers.take_empty(head_len + head.data_len as usize);
        frame.clear();
        head.encode(&mut frame);
        let frame_len = frame.len() - 4 + head.data_len as usize;
        frame.drain(..4);
        self.assembler.resume(frame, frame_len);
    }

    /// Takes a frame that nobody needs any more, for its memory.
    pub(super) fn keep_frame(&mut self, frame: Vec<u8>) {
        if frame.capacity() > SPARE_FRAME_LEN {
            self.buffers.give_back(frame);
        } else if self.spare_frames.len() < SPARE_FRAMES_MAX {
            self.spare_frames.push(frame);
        }
    }

    /// Gives spare memory back.
    pub(super) fn release(&mut self) {
        self.spare_frames = Vec::new();
        self.backlog.shrink_to_fit();
    }

    /// Keeps what cannot be looked at yet.
    pub(super) fn push_backlog(&mut self, data: &[u8]) {
        self.backlog.extend_from_slice(data);
    }

    pub(super) fn backlog_len(&self) -> usize {
        self.backlog.len() - self.used
    }

    pub(super) fn is_drained(&self) -> bool {
        self.used == self.backlog.len()
    }

    /// Lends the backlog and how much of it is used up already; [`Input::put_backlog_back`] returns
    /// it.
    pub(super) fn take_backlog(&mut self) -> (Vec<u8>, usize) {
        (std::mem::take(&mut self.backlog), std::mem::take(&mut self.used))
    }

    /// After a failure there is nothing to return to.
    pub(super) fn put_backlog_back(&mut self, backlog: Vec<u8>, used: usize) {
        if self.failed.is_some() {
            return;
        }
        self.backlog = backlog;
        self.used = used;
        if self.is_drained() {
            self.backlog.clear();
            // A large window's worth may have waited here; that need not stay.
            if self.backlog.capacity() > BACKLOG_KEPT_LEN {
                self.backlog = Vec::new();
            }
            self.used = 0;
        } else if self.used > self.backlog.len() / 2 {
            self.backlog.drain(..self.used);
            self.used = 0;
        }
    }

    /// The peer sends no more.
    pub(super) fn end(&mut self) {
        self.eof = true;
    }

    /// All that will ever come has been looked at.
    pub(super) fn is_over(&self) -> bool {
        self.eof && self.is_drained()
    }

    pub(super) fn is_between_frames(&self) -> bool {
        self.assembler.is_between_frames()
    }

    /// From now on nothing of the input means anything.
    pub(super) fn fail(&mut self, error: SessionError) {
        self.failed = Some(error);
        self.backlog = Vec::new();
        self.used = 0;
    }

    pub(super) fn failed(&self) -> Option<&SessionError> {
        self.failed.as_ref()
    }
}
