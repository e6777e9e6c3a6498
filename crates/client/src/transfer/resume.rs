//! Where a transfer that was interrupted goes on, and how it is proven that its start is right.
//!
//! A part is trusted only as far as something vouches for it: the server's digests of its blocks
//! compared with ours, or our journal of what was complete, and then its last bytes are compared too.
//! What nobody vouches for is transferred again.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::OFlags;
use sterna_ssh_crypto::{DigestAlgorithm, Digester};

use super::local::{self, LocalDir};
use super::verify::check_algorithms;
use crate::Error;
use crate::limits::{JOURNAL_LEN_MAX, RESUME_COMPARE_LEN};
use crate::sftp::File;

/// Blocks that one proof may have: its reply stays far below the packet limit.
const PROOF_BLOCKS_MAX: u64 = 2048;
/// Smallest block of a proof, in bytes.
const PROOF_BLOCK_LEN_MIN: u64 = 1 << 20;
const FIRST_LINE: &str = "sterna-journal 1";

/// What a source looked like when its transfer began; another look means another content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SourceState {
    pub(super) size: u64,
    /// Seconds since 1970; 0 if the server does not tell.
    pub(super) modified: i64,
}

/// The small file that remembers how far a part is complete. Best effort: without it a part is
/// proven otherwise or begun again.
pub(super) struct Journal {
    dir: Arc<LocalDir>,
    name: Vec<u8>,
    source: SourceState,
    file: Option<OwnedFd>,
}

impl Journal {
    pub(super) fn new(dir: Arc<LocalDir>, name: Vec<u8>, source: SourceState) -> Self {
        Self { dir, name, source, file: None }
    }

    /// Bytes that were complete, if the source still looks as it did. Blocks.
    pub(super) fn read(&self) -> Option<u64> {
        let file = self.dir.open_file(&self.name, OFlags::RDONLY, 0).ok()?;
        let mut text = Vec::new();
        local::read_at(&file, &mut text, 0, JOURNAL_LEN_MAX as usize).ok()?;
        let text = String::from_utf8(text).ok()?;
        let mut lines = text.lines();
        if lines.next()? != FIRST_LINE {
            return None;
        }
        let mut number = |key: &str| lines.next()?.strip_prefix(key)?.trim().parse::<i64>().ok();
        let (size, modified, offset) = (number("size")?, number("modified")?, number("offset")?);
        let then = SourceState { size: u64::try_from(size).ok()?, modified };
        (then == self.source).then_some(u64::try_from(offset).ok()?)
    }

    /// Notes that the first `offset` bytes are complete. Blocks.
    pub(super) fn write(&mut self, offset: u64) {
        if self.file.is_none() {
            let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC;
            self.file = self.dir.open_file(&self.name, flags, 0o600).ok();
        }
        let Some(file) = &self.file else { return };
        // Fixed width: one write replaces the whole text, never a part of it.
        let SourceState { size, modified } = self.source;
        let text = format!(
            "{FIRST_LINE}\nsize {size:>20}\nmodified {modified:>20}\noffset {offset:>20}\n"
        );
        let _ = local::write_all_at(file, text.as_bytes(), 0);
    }

    /// The transfer is complete. Blocks.
    pub(super) fn remove(&mut self) {
        self.file = None;
        let _ = self.dir.remove(&self.name);
    }
}

/// How many bytes at the start of both files are proven to be equal, at most `part_len`.
///
/// `remote` must be open for reading. `journal` is what the journal says, if it says something.
pub(super) async fn proven_len(
    local: &Arc<OwnedFd>,
    remote: &File,
    part_len: u64,
    journal: Option<u64>,
) -> Result<u64, Error> {
    if part_len == 0 {
        return Ok(0);
    }
    if let Some(algorithm) = check_algorithms(remote.sftp()).first() {
        match proven_by_digests(local, remote, part_len, *algorithm).await {
            Err(Error::Refused { .. } | Error::Unsupported { .. }) => {}
            result => return result,
        }
    }
    let Some(journal) = journal else { return Ok(0) };
    let len = part_len.min(journal);
    let from = len.saturating_sub(RESUME_COMPARE_LEN);
    let equal = same_bytes(local, remote, from, len).await?;
    Ok(if equal { len } else { 0 })
}

async fn proven_by_digests(
    local: &Arc<OwnedFd>,
    remote: &File,
    len: u64,
    algorithm: DigestAlgorithm,
) -> Result<u64, Error> {
    let block_len =
        len.div_ceil(PROOF_BLOCKS_MAX).max(PROOF_BLOCK_LEN_MIN).min(u64::from(u32::MAX));
    let len = len.min(block_len * PROOF_BLOCKS_MAX);
    let ours = local_digests(local.clone(), algorithm, len, block_len);
    let algorithms = [algorithm];
    let theirs = remote.check(&algorithms, 0, len, block_len as u32);
    let (ours, theirs) = tokio::join!(ours, theirs);
    let (ours, theirs) = (ours?, theirs?.digests);
    let equal = ours.iter().zip(&theirs).take_while(|(ours, theirs)| ours == theirs).count() as u64;
    Ok((equal * block_len).min(len))
}

async fn local_digests(
    file: Arc<OwnedFd>,
    algorithm: DigestAlgorithm,
    len: u64,
    block_len: u64,
) -> Result<Vec<Vec<u8>>, Error> {
    let work = move || {
        let mut digests = Vec::new();
        let mut buffer = Vec::new();
        for block in 0..len.div_ceil(block_len) {
            let (start, end) = (block * block_len, ((block + 1) * block_len).min(len));
            let mut digester = Digester::new(algorithm);
            let mut at = start;
            while at < end {
                buffer.clear();
                local::read_at(&file, &mut buffer, at, (end - at).min(256 << 10) as usize)?;
                if buffer.is_empty() {
                    break;
                }
                digester.update(&buffer);
                at += buffer.len() as u64;
            }
            digests.push(digester.finish());
        }
        Ok(digests)
    };
    super::blocking(work).await?.map_err(|e: std::io::Error| Error::local("read back", "", e))
}

async fn same_bytes(
    local: &Arc<OwnedFd>,
    remote: &File,
    from: u64,
    to: u64,
) -> Result<bool, Error> {
    let mut at = from;
    while at < to {
        let theirs = remote.read_at(at, (to - at) as usize).await?;
        if theirs.is_empty() {
            return Ok(false);
        }
        let (file, len) = (local.clone(), theirs.len());
        let ours = super::blocking(move || {
            let mut ours = Vec::new();
            local::read_at(&file, &mut ours, at, len).map(|()| ours)
        });
        let ours = ours.await?.map_err(|e| Error::local("read back", "", e))?;
        if ours != *theirs {
            return Ok(false);
        }
        at += len as u64;
    }
    Ok(true)
}
