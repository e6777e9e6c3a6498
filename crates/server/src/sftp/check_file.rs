//! `check-file-handle` and `check-file-name`: digests of a file, computed here.
//!
//! Memory is one chunk, whatever the file's size; a session that ends stops the work at once.

use std::io::IoSliceMut;
use std::sync::Arc;

use sterna_sftp_proto::extension::{CheckFileHandle, CheckFileName, CheckFileReply, Digests};
use sterna_sftp_proto::limits::CHECK_BLOCK_LEN_MIN;
use sterna_ssh_crypto::{DigestAlgorithm, Digester};
use sterna_storage::{self as storage, File, OpenHow};

use super::handles::HandleId;
use super::reply::Answer;
use super::table::{Outcome, Serving, Start};
use crate::buffers::BufferPool;
use crate::jobs::Cancel;
use crate::limits::{CHUNK_LEN, DIGESTS_LEN_MAX};

/// What is to be hashed, and how.
#[derive(Clone, Copy)]
struct Question {
    algorithm: DigestAlgorithm,
    offset: u64,
    /// Bytes; 0 is to the end.
    len: u64,
    /// Bytes of a block with a digest of its own; 0 is one digest for everything.
    block_len: u32,
}

pub(super) fn by_handle(request: &CheckFileHandle<'_>, at: &mut Serving<'_>) -> Start {
    let Some(file) = HandleId::from_wire(request.handle).and_then(|id| at.handles.file(id)) else {
        return Start::Now(Answer::BAD_HANDLE);
    };
    if !file.reads {
        return Start::Now(Answer::failure("check-file: not opened for reading"));
    }
    let file = Arc::clone(file);
    let question = question(request.hash_list, request.offset, request.len, request.block_len);
    start(question, at, move || Ok(file), |file| &*file.file)
}

pub(super) fn by_name(request: &CheckFileName<'_>, at: &mut Serving<'_>) -> Start {
    let path = at.absolute(request.path);
    let backend = Arc::clone(at.backend);
    let question = question(request.hash_list, request.offset, request.len, request.block_len);
    let open = move || backend.open(&path, &OpenHow { read: true, ..OpenHow::default() });
    start(question, at, open, |file| &**file)
}

/// The first hash of the client's list that we know, and bounds that can be judged at once.
fn question(list: &[u8], offset: u64, len: u64, block_len: u32) -> Result<Question, Answer> {
    let algorithm = list
        .split(|byte| *byte == b',')
        .filter_map(|name| std::str::from_utf8(name).ok())
        .find_map(DigestAlgorithm::from_name)
        .ok_or(Answer::unsupported("check-file: none of these hashes is known"))?;
    if block_len != 0 && block_len < CHECK_BLOCK_LEN_MIN {
        return Err(Answer::failure("check-file: blocks have at least 256 bytes"));
    }
    if offset.checked_add(len).is_none_or(|end| end > i64::MAX as u64) {
        return Err(Answer::failure("check-file: beyond the largest file"));
    }
    Ok(Question { algorithm, offset, len, block_len })
}

fn start<F: Send + 'static>(
    question: Result<Question, Answer>,
    at: &Serving<'_>,
    open: impl FnOnce() -> storage::Result<F> + Send + 'static,
    file_of: fn(&F) -> &dyn File,
) -> Start {
    let question = match question {
        Ok(question) => question,
        Err(answer) => return Start::Now(answer),
    };
    let buffers = at.buffers.clone();
    Start::long_job(move |cancel| {
        let answer = open()
            .map_err(Answer::from)
            .and_then(|file| digests(file_of(&file), &question, &buffers, cancel));
        Outcome::Answer(answer.unwrap_or_else(|refused| refused))
    })
}

fn digests(
    file: &dyn File,
    question: &Question,
    buffers: &BufferPool,
    cancel: &Cancel,
) -> Result<Answer, Answer> {
    let available = file.stat()?.size.saturating_sub(question.offset);
    let len = if question.len == 0 { available } else { question.len.min(available) };
    let block_len = if question.block_len == 0 { u64::MAX } else { question.block_len.into() };
    // One digest even of nothing, so that an empty file has one.
    let blocks = len.div_ceil(block_len).max(1);
    if blocks.saturating_mul(question.algorithm.output_len() as u64) > DIGESTS_LEN_MAX as u64 {
        return Err(Answer::failure("check-file: too many blocks for one reply"));
    }
    let mut raw = Vec::new();
    let mut buffer = buffers.take(CHUNK_LEN);
    let (mut at, mut left) = (question.offset, len);
    for _ in 0..blocks {
        let mut digester = Digester::new(question.algorithm);
        let mut in_block = left.min(block_len);
        left -= in_block;
        while in_block > 0 {
            if cancel.is_set() {
                return Err(Answer::failure("check-file: cancelled"));
            }
            let want = in_block.min(CHUNK_LEN as u64) as usize;
            let n = file.read_at(&mut [IoSliceMut::new(&mut buffer[..want])], at)?;
            if n == 0 {
                return Err(Answer::failure("check-file: the file became shorter meanwhile"));
            }
            digester.update(&buffer[..n]);
            at += n as u64;
            in_block -= n as u64;
        }
        raw.extend_from_slice(&digester.finish());
    }
    let mut body = Vec::with_capacity(raw.len() + 16);
    let hash = question.algorithm.name().as_bytes();
    CheckFileReply { hash, digests: Digests::Raw(&raw) }.encode(&mut body);
    Ok(Answer::Extended(body))
}
