//! `ranges@asyncssh.com`: which parts of a file hold data.
//!
//! A file that ends in a hole has its last byte among them: AsyncSSH's client writes what it is told, and no
//! more, so its copy would otherwise end where the hole begins.

use std::ops::Range;
use std::sync::Arc;

use sterna_sftp_proto::extension::{Ranges, RangesReply};
use sterna_sftp_proto::limits::RANGES_MAX;
use sterna_storage::{self as storage, File};

use super::handles::HandleId;
use super::reply::Answer;
use super::table::{Serving, Start};

/// As many parts as fit one reply; the end of the file where none follows.
pub(super) fn ranges(request: &Ranges<'_>, at: &mut Serving<'_>) -> Start {
    let Some(file) = HandleId::from_wire(request.handle).and_then(|id| at.handles.file(id)) else {
        return Start::Now(Answer::BAD_HANDLE);
    };
    if !file.reads {
        return Start::Now(Answer::failure("ranges: not opened for reading"));
    }
    let file = Arc::clone(file);
    let asked = request.offset..request.offset.saturating_add(request.len);
    Start::answer(move || parts(&*file.file, asked).unwrap_or_else(Answer::from))
}

fn parts(file: &dyn File, asked: Range<u64>) -> storage::Result<Answer> {
    let size = file.stat()?.size;
    let (mut parts, at_end) = file.data_ranges(asked.clone(), RANGES_MAX)?;
    let told = parts.last().map_or(asked.start, |part| part.end);
    if at_end && (told..asked.end).contains(&size.saturating_sub(1)) && size > 0 {
        parts.push(size - 1..size);
    }
    if parts.is_empty() {
        return Ok(Answer::EOF);
    }
    let parts = parts.into_iter().map(|part| (part.start, part.end - part.start));
    let (mut wire, mut body) = (Vec::new(), Vec::new());
    RangesReply::build(parts, at_end, &mut wire).encode(&mut body);
    Ok(Answer::Extended(body))
}
