//! WRITE piece by piece: the bytes go to the file as they come, while nothing has to be waited for, and are never
//! gathered.
//!
//! Whoever reads the file meanwhile may see a part of a WRITE, as with every server that writes a block by
//! more than one call. If the connection ends in the middle, a part of it is in the file.

use std::sync::Arc;

use sterna_sftp_proto::messages::{Write, WriteHead};
use sterna_sftp_proto::{Request, StatusCode};

use super::handles::{HandleId, OpenFile};
use super::reply::Answer;
use super::session::SftpSession;
use super::{gate, table, write};

/// A WRITE of which some bytes are to come.
pub(super) struct PassingWrite {
    /// The request's id.
    id: u32,
    file: Arc<OpenFile>,
    handle: HandleId,
    /// Where the first byte went, and where the next one goes.
    began: u64,
    offset: u64,
    /// Bytes to come.
    left: usize,
    /// Bytes in front of the data: they count as consumed when all of it is written.
    head_len: usize,
    /// Success, until a piece cannot be written; what comes behind that one is not.
    answer: Answer,
}

impl PassingWrite {
    /// Counts what is in the file. Of a WRITE that failed, nothing is.
    pub(super) fn note(&self) {
        if matches!(self.answer, Answer::Status(StatusCode::Ok, _)) && self.offset > self.began {
            // A WRITE is shorter than 4 GiB.
            self.file.moves.written.add(self.began, (self.offset - self.began) as usize);
        }
    }
}

impl SftpSession {
    /// Takes the head of the WRITE that `data` begins with, if its bytes may go to the file at once. Everything else
    /// is for those who look at whole requests.
    pub(super) fn begin_passing(&mut self, data: &mut &[u8]) {
        // What was asked before goes first.
        if !self.requests.is_empty() || !self.input.is_between_frames() {
            return;
        }
        let Some(head) = WriteHead::decode(data) else { return };
        let Some(handle) = HandleId::from_wire(head.handle) else { return };
        let Some(file) = self.handles.file(handle) else { return };
        let WriteHead { id, offset, data_len, .. } = head;
        let (head_len, left) = (WriteHead::len_with(head.handle), data_len as usize);
        let request = Request::Write(Write { handle: head.handle, offset, data: b"" });
        if left == 0
            || file.appends
            || write::refusal(file, offset, left).is_some()
            || gate::refusal(&request, &self.policy).is_some()
        {
            return;
        }
        let file = Arc::clone(file);
        self.outbox.note_asked(id, table::row(&request));
        let answer = Answer::OK;
        self.passing =
            Some(PassingWrite { id, file, handle, began: offset, offset, left, head_len, answer });
        *data = &data[head_len..];
    }

    /// Writes the bytes of `data` that belong to the WRITE under way. Where that would wait, the rest becomes a
    /// WRITE of its own, which answers for all of it.
    pub(super) fn go_on_passing(&mut self, data: &mut &[u8]) {
        let Some(mut passing) = self.passing.take() else { return };
        let (piece, rest) = data.split_at(passing.left.min(data.len()));
        if matches!(passing.answer, Answer::Status(StatusCode::Ok, _)) {
            match passing.file.file.try_write_at(piece, passing.offset) {
                Some(written) => passing.answer = Answer::of(written),
                None => {
                    passing.note();
                    let handle = &passing.handle.to_wire();
                    // It came as 32 bits.
                    let (offset, data_len) = (passing.offset, passing.left as u32);
                    return self.input.resume_write(WriteHead {
                        id: passing.id,
                        handle,
                        offset,
                        data_len,
                    });
                }
            }
        }
        *data = rest;
        passing.offset += piece.len() as u64;
        passing.left -= piece.len();
        self.consumed += piece.len();
        if passing.left > 0 {
            self.passing = Some(passing);
        } else {
            passing.note();
            self.consumed += passing.head_len;
            self.outbox.push(passing.id, &passing.answer);
        }
    }
}
