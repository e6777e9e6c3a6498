//! READs whose bytes go to a local file as they come: they are never gathered.
//!
//! If some cannot be written at once, the rest of the reply is assembled and delivered like any other, with word of
//! how much is written.

use std::sync::Arc;

use sterna_sftp_proto::frame::Frame as WireFrame;
use sterna_sftp_proto::messages::{Data, DataHead};

use super::engine::{Engine, deliver};
use crate::Error;

/// A local file that can be written to, perhaps without waiting.
pub(crate) trait BlockTarget: Send + Sync {
    /// Writes all of `data` at `offset` if that needs no waiting and succeeds. Else some of it may be written, and all
    /// of it must be written again.
    fn try_write(&self, data: &[u8], offset: u64) -> bool;
}

/// Where the bytes go that a READ asked for.
pub(super) struct IntoFile {
    target: Arc<dyn BlockTarget>,
    /// Where the next byte goes.
    offset: u64,
    /// Bytes that were asked for.
    asked: u32,
    /// Bytes that are there.
    written: usize,
}

impl IntoFile {
    pub(super) fn new(target: Arc<dyn BlockTarget>, offset: u64, asked: u32) -> Self {
        Self { target, offset, asked, written: 0 }
    }

    pub(super) fn written(&self) -> usize {
        self.written
    }
}

/// A reply of which some bytes are to come.
pub(super) struct PassingData {
    /// The request's id.
    id: u32,
    /// Bytes to come.
    left: u32,
}

impl Engine {
    /// Takes bytes that go to a file off the front of `bytes`. True if there were any.
    ///
    /// # Errors
    /// As [`receive`](Self::receive).
    pub(super) fn pass_data(&mut self, bytes: &mut &[u8]) -> Result<bool, Error> {
        if self.passing.is_none() {
            self.begin_passing(bytes);
        }
        let Some(PassingData { id, left }) = self.passing else { return Ok(false) };
        let (piece, rest) = bytes.split_at((left as usize).min(bytes.len()));
        let into = self.client.token_mut(id).and_then(|pending| pending.into.as_mut());
        let is_written = into.is_some_and(|into| {
            let is_written = piece.is_empty() || into.target.try_write(piece, into.offset);
            if is_written {
                into.offset += piece.len() as u64;
                into.written += piece.len();
            }
            is_written
        });
        if !is_written {
            // What is left is a reply as well.
            self.passing = None;
            self.assembler
                .resume(Data::header(id, left)[4..].to_vec(), Data::HEADER_LEN - 4 + left as usize);
            return Ok(false);
        }
        *bytes = rest;
        let left = left - piece.len() as u32;
        self.passing = (left > 0).then_some(PassingData { id, left });
        if left == 0 {
            let end = Data::header(id, 0);
            let pending = self.client.take_token(id);
            if let Some(pending) = pending {
                self.timing.answered(pending.is_long);
                deliver(pending, WireFrame::Lent(&end[4..]), &self.pool)?;
            }
        }
        Ok(true)
    }

    /// Takes the head of the reply that `bytes` begins with, if it is one whose bytes go to a file.
    fn begin_passing(&mut self, bytes: &mut &[u8]) {
        if !self.assembler.is_between_frames() {
            return;
        }
        let Some(DataHead { id, data_len: left }) = DataHead::decode(bytes) else { return };
        let pending = self.client.token_mut(id);
        // More than was asked for is an error that is seen elsewhere.
        let into = pending.and_then(|pending| pending.into.as_ref());
        if left == 0 || into.is_none_or(|into| into.asked < left) {
            return;
        }
        self.passing = Some(PassingData { id, left });
        *bytes = &bytes[Data::HEADER_LEN..];
    }
}

#[cfg(test)]
mod tests;
