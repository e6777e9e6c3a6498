//! WRITE of a whole frame: the bytes stay in the frame they came in, and the frame goes to the job.

use std::ops::Range;
use std::sync::Arc;

use sterna_sftp_proto::messages::Write;

use super::handles::{HandleId, OpenFile};
use super::reply::Answer;
use super::table::{Serving, Start};

/// A WRITE that may be served: the file is open for it.
pub(super) struct WritePlan {
    pub(super) file: Arc<OpenFile>,
    pub(super) offset: u64,
    /// Where the data lies in the frame.
    pub(super) data: Range<usize>,
}

pub(super) fn write(request: &Write<'_>, at: &mut Serving<'_>) -> Start {
    let Some(file) = HandleId::from_wire(request.handle).and_then(|id| at.handles.file(id)) else {
        return Start::Now(Answer::BAD_HANDLE);
    };
    if request.data.is_empty() && file.writes {
        return Start::Now(Answer::OK);
    }
    if let Some(refusal) = refusal(file, request.offset, request.data.len()) {
        return Start::Now(refusal);
    }
    Start::Write(WritePlan {
        file: Arc::clone(file),
        offset: request.offset,
        data: request.data_range(),
    })
}

/// Refuses what cannot be written to `file`; `None` lets it pass.
pub(super) fn refusal(file: &OpenFile, offset: u64, len: usize) -> Option<Answer> {
    if !file.writes {
        return Some(Answer::failure("write: not opened for writing"));
    }
    let end = offset.checked_add(len as u64);
    end.is_none_or(|end| end > i64::MAX as u64)
        .then(|| Answer::failure("write: beyond the largest file"))
}

/// WRITEs of one file, in the order of their requests, that one job serves.
pub(super) struct WriteBatch {
    pub(super) file: Arc<OpenFile>,
    pub(super) parts: Vec<WritePart>,
}

/// One WRITE of a batch.
pub(super) struct WritePart {
    /// The request's id.
    pub(super) id: u32,
    pub(super) frame: Vec<u8>,
    pub(super) data: Range<usize>,
    pub(super) offset: u64,
    /// Success, until it is tried.
    pub(super) answer: Answer,
}

impl WriteBatch {
    /// Writes everything and says what became of each. A WRITE that fails does not stop the next:
    /// each has its own answer.
    pub(super) fn run(mut self) -> Vec<WritePart> {
        for part in &mut self.parts {
            let data = &part.frame[part.data.clone()];
            let written = self.file.file.write_at(data, part.offset);
            if written.is_ok() {
                self.file.moves.written.add(part.offset, data.len());
            }
            part.answer = Answer::of(written);
        }
        self.parts
    }
}

/// Emptied lists of batches, to be used again.
#[derive(Default)]
pub(super) struct SpareLists {
    parts: Vec<Vec<WritePart>>,
    ids: Vec<Vec<u32>>,
}

/// Lists of each kind that a session keeps: handles that are written at the same time are few.
const SPARE_LISTS_MAX: usize = 2;

impl SpareLists {
    /// Empty lists for the parts of a batch and for their ids.
    pub(super) fn take(&mut self) -> (Vec<WritePart>, Vec<u32>) {
        (self.parts.pop().unwrap_or_default(), self.ids.pop().unwrap_or_default())
    }

    pub(super) fn keep_parts(&mut self, parts: Vec<WritePart>) {
        debug_assert!(parts.is_empty());
        if self.parts.len() < SPARE_LISTS_MAX {
            self.parts.push(parts);
        }
    }

    pub(super) fn keep_ids(&mut self, mut ids: Vec<u32>) {
        if self.ids.len() < SPARE_LISTS_MAX {
            ids.clear();
            self.ids.push(ids);
        }
    }
}
