//! WRITE: the bytes stay in the frame they came in, and the frame goes to the job.

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
    if !file.writes {
        return Start::Now(Answer::failure("write: not opened for writing"));
    }
    if request.data.is_empty() {
        return Start::Now(Answer::OK);
    }
    let end = request.offset.checked_add(request.data.len() as u64);
    if end.is_none_or(|end| end > i64::MAX as u64) {
        return Start::Now(Answer::failure("write: beyond the largest file"));
    }
    Start::Write(WritePlan {
        file: Arc::clone(file),
        offset: request.offset,
        data: request.data_range(),
    })
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
}

/// What became of each WRITE; its frame comes back to be used again.
pub(super) type WriteDone = Vec<(u32, Vec<u8>, Answer)>;

impl WriteBatch {
    /// Writes everything. A WRITE that fails does not stop the next: each has its own answer.
    pub(super) fn run(self) -> WriteDone {
        let Self { file, parts } = self;
        let write = |part: WritePart| {
            let result = file.file.write_at(&part.frame[part.data.clone()], part.offset);
            (part.id, part.frame, Answer::of(result))
        };
        parts.into_iter().map(write).collect()
    }
}
