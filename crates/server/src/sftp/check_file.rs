//! `check-file-handle`, `check-file-name`, `md5-hash` and `md5-hash-handle`: digests of a file, computed here.
//!
//! Memory is one chunk and the digests, whatever the file's size. The work is cut into slices, so that long
//! files of some do not keep short ones of others waiting, and stops at once when its session ends or its
//! handle is closed. Digests of whole files are remembered (`digest_memory.rs`).

use std::io::IoSliceMut;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use sterna_sftp_proto::extension::{
    CheckFileHandle, CheckFileName, CheckFileReply, Digests, Md5Hash, Md5HashHandle, Md5HashReply,
    QUICK_LEN,
};
use sterna_sftp_proto::limits::CHECK_BLOCK_LEN_MIN;
use sterna_ssh_crypto::{DigestAlgorithm, Digester};
use sterna_storage::{Attrs, File, OpenHow, Time};

use super::handles::{HandleId, OpenFile};
use super::reply::Answer;
use super::table::{Outcome, Serving, Slices, Start};
use crate::buffers::BufferPool;
use crate::digest_memory::DigestMemory;
use crate::jobs::Cancel;
use crate::limits::{CHUNK_LEN, DIGESTS_LEN_MAX, SLICE_LEN};

/// What is to be hashed, and how.
struct Question {
    algorithm: DigestAlgorithm,
    offset: u64,
    /// Bytes; 0 is to the end.
    len: u64,
    /// Bytes of a block with a digest of its own; 0 is one digest for everything.
    block_len: u32,
    style: Style,
}

/// Which request it is.
enum Style {
    CheckFile,
    /// With the MD5 of the beginning as the client has it, or nothing.
    Md5 {
        quick_hash: Vec<u8>,
    },
}

pub(super) fn by_handle(request: &CheckFileHandle<'_>, at: &mut Serving<'_>) -> Start {
    let question = question(request.hash_list, request.offset, request.len, request.block_len);
    of_handle(request.handle, question, at)
}

pub(super) fn by_name(request: &CheckFileName<'_>, at: &mut Serving<'_>) -> Start {
    let question = question(request.hash_list, request.offset, request.len, request.block_len);
    of_path(request.path, question, at)
}

pub(super) fn md5_by_handle(request: &Md5HashHandle<'_>, at: &mut Serving<'_>) -> Start {
    let question = md5_question(request.offset, request.len, request.quick_hash);
    of_handle(request.handle, question, at)
}

pub(super) fn md5_by_name(request: &Md5Hash<'_>, at: &mut Serving<'_>) -> Start {
    let question = md5_question(request.offset, request.len, request.quick_hash);
    of_path(request.path, question, at)
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
    let question = Question { algorithm, offset, len, block_len, style: Style::CheckFile };
    if question.ends_within_files() {
        return Ok(question);
    }
    Err(Answer::failure("check-file: beyond the largest file"))
}

fn md5_question(offset: u64, len: u64, quick_hash: &[u8]) -> Result<Question, Answer> {
    let style = Style::Md5 { quick_hash: quick_hash.to_vec() };
    let question = Question { algorithm: DigestAlgorithm::Md5, offset, len, block_len: 0, style };
    if question.ends_within_files() {
        return Ok(question);
    }
    Err(Answer::failure("md5-hash: beyond the largest file"))
}

impl Question {
    fn ends_within_files(&self) -> bool {
        self.offset.checked_add(self.len).is_some_and(|end| end <= i64::MAX as u64)
    }

    /// Whether it is about one digest of all of a file of `size` bytes.
    fn is_about_all(&self, size: u64) -> bool {
        self.offset == 0 && self.block_len == 0 && (self.len == 0 || self.len >= size)
    }

    fn answer(&self, digests: &[u8]) -> Answer {
        let mut body = Vec::with_capacity(digests.len() + 16);
        match self.style {
            Style::CheckFile => {
                let hash = self.algorithm.name().as_bytes();
                CheckFileReply { hash, digests: Digests::Raw(digests) }.encode(&mut body);
            }
            Style::Md5 { .. } => Md5HashReply { digest: digests }.encode(&mut body),
        }
        Answer::Extended(body)
    }
}

fn of_handle(handle: &[u8], question: Result<Question, Answer>, at: &Serving<'_>) -> Start {
    let Some(file) = HandleId::from_wire(handle).and_then(|id| at.handles.file(id)) else {
        return Start::Now(Answer::BAD_HANDLE);
    };
    if !file.reads {
        return Start::Now(Answer::failure("not opened for reading"));
    }
    let question = match question {
        Ok(question) => question,
        Err(answer) => return Start::Now(answer),
    };
    let source = Source::Handle(Arc::clone(file));
    let hashing = Hashing::new(question, source, at.buffers.clone(), at.digests.clone());
    Start::LongJob(hashing.into_slices())
}

/// The file is opened in the request's turn: what is asked later changes nothing about which one it is. It
/// takes the room of a handle, so that many digests that wait do not open more files than many handles.
fn of_path(path: &[u8], question: Result<Question, Answer>, at: &mut Serving<'_>) -> Start {
    let question = match question {
        Ok(question) => question,
        Err(answer) => return Start::Now(answer),
    };
    if !at.handles.reserve(false) {
        return Start::Now(Answer::failure("too many open handles"));
    }
    let (backend, path) = (Arc::clone(at.backend), at.absolute(path));
    let (buffers, memory) = (at.buffers.clone(), at.digests.clone());
    Start::job(move |_| match backend.open(&path, &OpenHow { read: true, ..OpenHow::default() }) {
        Ok(file) => {
            let source = Source::File(file);
            Outcome::Hashes(Hashing::new(question, source, buffers, memory).into_slices())
        }
        Err(error) => Outcome::Answer(error.into()),
    })
}

/// What is hashed.
enum Source {
    Handle(Arc<OpenFile>),
    File(Box<dyn File>),
}

impl Source {
    fn file(&self) -> &dyn File {
        match self {
            Self::Handle(open) => &*open.file,
            Self::File(file) => &**file,
        }
    }

    /// Nobody waits for it any more.
    fn is_closed(&self) -> bool {
        matches!(self, Self::Handle(open) if open.closing.is_set())
    }
}

/// Digests under way.
struct Hashing {
    question: Question,
    source: Source,
    progress: Option<Progress>,
    buffers: BufferPool,
    memory: DigestMemory,
}

/// How far they have come.
struct Progress {
    /// The file when it began, and when that was.
    before: Attrs,
    began: Time,
    /// Bytes that had been written through its handle.
    written: u64,
    /// The next byte.
    at: u64,
    /// Bytes from there to the end of the range.
    left: u64,
    /// Bytes from there to the end of the block.
    left_in_block: u64,
    digester: Digester,
    /// Digests of blocks that are done.
    done: Vec<u8>,
}

impl Hashing {
    fn new(question: Question, source: Source, buffers: BufferPool, memory: DigestMemory) -> Self {
        Self { question, source, progress: None, buffers, memory }
    }

    fn into_slices(mut self) -> Slices {
        Box::new(move |cancel| match self.advance(cancel) {
            Ok(None) => None,
            Ok(Some(answer)) | Err(answer) => Some(Outcome::Answer(answer)),
        })
    }

    /// Hashes a slice; the answer when all is done.
    fn advance(&mut self, cancel: &Cancel) -> Result<Option<Answer>, Answer> {
        if self.progress.is_none() {
            match self.begin()? {
                Begun::Answered(answer) => return Ok(Some(answer)),
                Begun::Hashing(progress) => self.progress = Some(progress),
            }
        }
        let Some(progress) = &mut self.progress else { return Ok(None) };
        let mut buffer = self.buffers.take(CHUNK_LEN);
        let slice_end = progress.at.saturating_add(SLICE_LEN);
        while progress.left > 0 {
            if cancel.is_set() || self.source.is_closed() {
                return Err(Answer::failure("cancelled"));
            }
            if progress.at >= slice_end {
                return Ok(None);
            }
            let want = progress.left_in_block.min(CHUNK_LEN as u64) as usize;
            let file = self.source.file();
            let n = file.read_at(&mut [IoSliceMut::new(&mut buffer[..want])], progress.at)?;
            if n == 0 {
                return Err(Answer::failure("the file became shorter meanwhile"));
            }
            progress.digester.update(&buffer[..n]);
            progress.at += n as u64;
            progress.left -= n as u64;
            progress.left_in_block -= n as u64;
            if progress.left_in_block == 0 && progress.left > 0 {
                progress.end_block(&self.question);
            }
        }
        progress.end_block(&self.question);
        if self.question.is_about_all(progress.before.size)
            && let Source::Handle(open) = &self.source
            && open.moves.written.bytes() == progress.written
        {
            open.moves.keep_digest(self.question.algorithm.name(), &progress.done);
        }
        let file = self.source.file();
        if self.question.is_about_all(progress.before.size) && file.times_tell_of_changes() {
            let after = file.stat()?;
            let Progress { before, began, done, .. } = progress;
            self.memory.remember(self.question.algorithm, before, &after, *began, done);
        }
        Ok(Some(self.question.answer(&progress.done)))
    }

    fn begin(&self) -> Result<Begun, Answer> {
        let began = now();
        let written = match &self.source {
            Source::Handle(open) => open.moves.written.bytes(),
            Source::File(_) => 0,
        };
        let file = self.source.file();
        let (before, question) = (file.stat()?, &self.question);
        let available = before.size.saturating_sub(question.offset);
        let len = if question.len == 0 { available } else { question.len.min(available) };
        if let Style::Md5 { quick_hash } = &question.style
            && !quick_hash.is_empty()
            && *quick_hash != quick_hash_of(file, question.offset, len)?
        {
            return Ok(Begun::Answered(question.answer(b"")));
        }
        if question.is_about_all(before.size)
            && let Some(digest) = self.memory.find(question.algorithm, &before)
        {
            return Ok(Begun::Answered(question.answer(&digest)));
        }
        let block_len = question.block_len();
        // One digest even of nothing, so that an empty file has one.
        let blocks = len.div_ceil(block_len).max(1);
        if blocks.saturating_mul(question.algorithm.output_len() as u64) > DIGESTS_LEN_MAX as u64 {
            return Err(Answer::failure("check-file: too many blocks for one reply"));
        }
        Ok(Begun::Hashing(Progress {
            before,
            began,
            written,
            at: question.offset,
            left: len,
            left_in_block: len.min(block_len),
            digester: Digester::new(question.algorithm),
            done: Vec::new(),
        }))
    }
}

/// How the beginning went.
enum Begun {
    /// No more has to be read.
    Answered(Answer),
    Hashing(Progress),
}

impl Question {
    fn block_len(&self) -> u64 {
        if self.block_len == 0 { u64::MAX } else { self.block_len.into() }
    }
}

impl Progress {
    fn end_block(&mut self, question: &Question) {
        let next = Digester::new(question.algorithm);
        let digester = std::mem::replace(&mut self.digester, next);
        self.done.extend_from_slice(&digester.finish());
        self.left_in_block = self.left.min(question.block_len());
    }
}

/// MD5 of the beginning of a range.
fn quick_hash_of(file: &dyn File, offset: u64, len: u64) -> Result<Vec<u8>, Answer> {
    let mut digester = Digester::new(DigestAlgorithm::Md5);
    let mut buffer = [0; QUICK_LEN as usize];
    let mut left = &mut buffer[..len.min(QUICK_LEN) as usize];
    let mut at = offset;
    while !left.is_empty() {
        let n = file.read_at(&mut [IoSliceMut::new(left)], at)?;
        if n == 0 {
            return Err(Answer::failure("the file became shorter meanwhile"));
        }
        digester.update(&left[..n]);
        at += n as u64;
        left = &mut left[n..];
    }
    Ok(digester.finish())
}

/// This machine's clock, by which file systems tell when a file was changed.
fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time {
        seconds: i64::try_from(since.as_secs()).unwrap_or(i64::MAX),
        nanos: since.subsec_nanos(),
    }
}
