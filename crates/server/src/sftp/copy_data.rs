//! `copy-data`: bytes from one open file to another, inside the backend where it can.

use std::io::IoSliceMut;
use std::sync::Arc;

use sterna_sftp_proto::extension::CopyData;
use sterna_storage::{self as storage, File};

use super::handles::HandleId;
use super::reply::Answer;
use super::table::{Outcome, Serving, Start};
use crate::buffers::BufferPool;
use crate::jobs::Cancel;
use crate::limits::{CHUNK_LEN, COPY_STEP_LEN, SLICE_LEN};

/// Where from, where to and how much.
#[derive(Clone, Copy)]
struct Copy {
    from: u64,
    to: u64,
    /// Bytes; 0 is to the end.
    len: u64,
}

pub(super) fn copy_data(request: &CopyData<'_>, at: &mut Serving<'_>) -> Start {
    let source_id = HandleId::from_wire(request.read_handle);
    let target_id = HandleId::from_wire(request.write_handle);
    let source = source_id.and_then(|id| at.handles.file(id));
    let target = target_id.and_then(|id| at.handles.file(id));
    let (Some(source), Some(target)) = (source, target) else {
        return Start::Now(Answer::BAD_HANDLE);
    };
    if source_id == target_id {
        return Start::Now(SAME_FILE);
    }
    if !source.reads || !target.writes {
        return Start::Now(Answer::failure("copy-data: not opened for this"));
    }
    let copy = Copy { from: request.read_offset, to: request.write_offset, len: request.len };
    let beyond = |offset: u64| offset.checked_add(copy.len).is_none_or(|e| e > i64::MAX as u64);
    if beyond(copy.from) || beyond(copy.to) {
        return Start::Now(Answer::failure("copy-data: beyond the largest file"));
    }
    let (source, target) = (Arc::clone(source), Arc::clone(target));
    let mut copying = Copying { copy, done: 0, by_kernel: true, began: false };
    let buffers = at.buffers.clone();
    Start::long_job(move |cancel| {
        let before = copying.done;
        let advanced = copying.advance(&*source.file, &*target.file, &buffers, cancel);
        if let Ok(len @ 1..) = usize::try_from(copying.done - before) {
            source.moves.read.add(copy.from.saturating_add(before), len);
            target.moves.written.add(copy.to.saturating_add(before), len);
        }
        advanced.unwrap_or_else(|error| Some(error.into())).map(Outcome::Answer)
    })
}

/// A file that is copied into itself could grow for ever.
const SAME_FILE: Answer = Answer::failure("copy-data: source and target are the same file");

/// A copy under way.
struct Copying {
    copy: Copy,
    /// Bytes so far.
    done: u64,
    /// The backend may be asked to copy by itself.
    by_kernel: bool,
    began: bool,
}

impl Copying {
    /// Copies a slice; the answer when all is done.
    fn advance(
        &mut self,
        source: &dyn File,
        target: &dyn File,
        buffers: &BufferPool,
        cancel: &Cancel,
    ) -> storage::Result<Option<Answer>> {
        if !std::mem::replace(&mut self.began, true) {
            let (source_file, target_file) = (source.stat()?.id, target.stat()?.id);
            if source_file == target_file && source_file != (0, 0) {
                return Ok(Some(SAME_FILE));
            }
        }
        let copy = self.copy;
        let mut buffer = None;
        let slice_end = self.done.saturating_add(SLICE_LEN);
        while copy.len == 0 || self.done < copy.len {
            if cancel.is_set() {
                return Ok(Some(Answer::failure("copy-data: cancelled")));
            }
            if self.done >= slice_end {
                return Ok(None);
            }
            let left = if copy.len == 0 { u64::MAX } else { copy.len - self.done };
            let (from, to) =
                (copy.from.saturating_add(self.done), copy.to.saturating_add(self.done));
            let inside = match self.by_kernel {
                true => source.copy_to(from, left.min(COPY_STEP_LEN), target, to),
                false => None,
            };
            let copied = match inside {
                Some(copied) => copied?,
                None => {
                    self.by_kernel = false;
                    let buffer = buffer.get_or_insert_with(|| buffers.take(CHUNK_LEN));
                    let want = left.min(CHUNK_LEN as u64) as usize;
                    let n = source.read_at(&mut [IoSliceMut::new(&mut buffer[..want])], from)?;
                    target.write_at(&buffer[..n], to)?;
                    n as u64
                }
            };
            if copied == 0 {
                break;
            }
            self.done += copied;
        }
        // The source ended before what was asked for: said, so that nobody takes it for all.
        let is_short = copy.len != 0 && self.done < copy.len;
        Ok(Some(if is_short { Answer::EOF } else { Answer::OK }))
    }
}
