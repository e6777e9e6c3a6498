//! `ranges@asyncssh.com`: which parts of a file hold data.

use std::sync::Arc;

use sterna_sftp_proto::extension::{Ranges, RangesReply};
use sterna_sftp_proto::limits::RANGES_MAX;

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
    Start::answer(move || match file.file.data_ranges(asked, RANGES_MAX) {
        Ok((parts, _)) if parts.is_empty() => Answer::EOF,
        Ok((parts, at_end)) => {
            let parts = parts.into_iter().map(|part| (part.start, part.end - part.start));
            let (mut wire, mut body) = (Vec::new(), Vec::new());
            RangesReply::build(parts, at_end, &mut wire).encode(&mut body);
            Answer::Extended(body)
        }
        Err(error) => error.into(),
    })
}
