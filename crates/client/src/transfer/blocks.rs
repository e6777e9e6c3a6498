//! Which blocks of a local and a remote file differ.
//!
//! Both sides hash their blocks, the server by `check-file` on an open handle; only digests travel. The
//! work goes in stretches: a few requests are under way while this side hashes the same stretches, so
//! memory is a few replies, however large the file is. Where a server has no digests and the caller
//! wants certainty at the price of the bytes, the remote file is read instead.
//!
//! Resuming, repairing and delta transfers are all made of this.

use std::collections::VecDeque;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use sterna_ssh_crypto::{DigestAlgorithm, Digester};
use tokio::task::JoinHandle;

use super::local;
use super::ranges::Ranges;
use crate::Error;
use crate::limits::{
    BLOCK_LEN_MAX, BLOCK_LEN_MIN, BLOCKS_GOAL, HASH_STEP_LEN, STRETCH_BLOCKS_MAX, STRETCH_LEN_MAX,
    STRETCHES_IN_FLIGHT, WINDOW_START_LEN,
};
use crate::sftp::{File, Waiting};

/// Hears how far a comparison has come, in bytes from the start of the file.
pub(super) type Tell<'t> = &'t (dyn Fn(u64) + Sync);

/// Bytes of one block of a file of `len` bytes: a power of two, so that the digests of a file up to
/// 32 GiB take less than a thousandth of it and one wrong byte costs little.
pub(super) fn block_len(len: u64) -> u32 {
    let wanted = len.div_ceil(BLOCKS_GOAL).next_power_of_two();
    u32::try_from(wanted).unwrap_or(BLOCK_LEN_MAX).clamp(BLOCK_LEN_MIN, BLOCK_LEN_MAX)
}

/// The blocks in the first `len` bytes of both files that differ, by digests of both sides. Both
/// should be that long: what is missing differs. `remote` must be open for reading.
///
/// # Errors
/// [`Error::Refused`] or [`Error::Unsupported`] if the server does not compute digests of this file.
pub(super) async fn differing(
    local: &Arc<OwnedFd>,
    remote: &File,
    algorithm: DigestAlgorithm,
    len: u64,
    tell: Tell<'_>,
) -> Result<Ranges, Error> {
    let block = u64::from(block_len(len));
    let stretch_len = block * STRETCH_BLOCKS_MAX.min((STRETCH_LEN_MAX / block).max(1));
    let mut stretches: VecDeque<Stretch> = VecDeque::new();
    let mut different = Ranges::new();
    let mut next = 0;
    loop {
        while next < len && stretches.len() < STRETCHES_IN_FLIGHT {
            let (start, end) = (next, len.min(next + stretch_len));
            let theirs = remote.begin_check(&[algorithm], start, end - start, block as u32).await?;
            let file = local.clone();
            let ours =
                tokio::task::spawn_blocking(move || digests(&file, algorithm, start, end, block));
            stretches.push_back(Stretch { start, end, ours, theirs });
            next = end;
        }
        let Some(Stretch { start, end, ours, theirs }) = stretches.pop_front() else { break };
        let theirs = remote.check_result(&theirs.frame().await?, &[algorithm])?.digests;
        let ours = ours.await.map_err(|_| Error::Cancelled)?;
        let ours = ours.map_err(|e| Error::local("read back", "", e))?;
        for (index, digest) in ours.iter().enumerate() {
            let from = start + index as u64 * block;
            if theirs.get(index) != Some(digest) {
                different.push(from..end.min(from + block));
            }
        }
        tell(end);
    }
    Ok(different)
}

/// Blocks that are being hashed at both sides.
struct Stretch {
    start: u64,
    end: u64,
    ours: JoinHandle<std::io::Result<Vec<Vec<u8>>>>,
    theirs: Waiting,
}

/// The digests of the blocks from `start` to `end`. Blocks.
fn digests(
    file: &OwnedFd,
    algorithm: DigestAlgorithm,
    start: u64,
    end: u64,
    block: u64,
) -> std::io::Result<Vec<Vec<u8>>> {
    let mut found = Vec::with_capacity(usize::try_from((end - start).div_ceil(block)).unwrap_or(0));
    let (mut at, mut buffer) = (start, Vec::new());
    while at < end {
        let block_end = end.min(at + block);
        let mut digester = Digester::new(algorithm);
        while at < block_end {
            buffer.clear();
            let step = HASH_STEP_LEN.min(usize::try_from(block_end - at).unwrap_or(usize::MAX));
            local::read_at(file, &mut buffer, at, step)?;
            if buffer.is_empty() {
                at = block_end;
            }
            digester.update(&buffer);
            at += buffer.len() as u64;
        }
        found.push(digester.finish());
    }
    Ok(found)
}

/// As [`differing`], but only between these bytes, and by reading everything from the server.
///
/// # Errors
/// Those of reading.
pub(super) async fn differing_by_reading(
    local: &Arc<OwnedFd>,
    remote: &File,
    Range { start, end: len }: Range<u64>,
    tell: Tell<'_>,
) -> Result<Ranges, Error> {
    let block = u64::from(block_len(len));
    let read_len = u64::from(remote.sftp().limits().read_len);
    let in_flight_max = (WINDOW_START_LEN as u64 / read_len).max(1) as usize;
    let mut reads: VecDeque<(u64, u32, Waiting)> = VecDeque::new();
    let mut different = Ranges::new();
    let mut next = start;
    loop {
        while next < len && reads.len() < in_flight_max {
            let wanted = read_len.min(len - next) as u32;
            reads.push_back((next, wanted, remote.begin_read(next, wanted).await?));
            next += u64::from(wanted);
        }
        let Some((mut at, mut wanted, reply)) = reads.pop_front() else { break };
        let mut theirs = remote.read_result(reply.frame().await?, wanted)?;
        while wanted > 0 {
            let len = theirs.len();
            let (file, data) = (local.clone(), theirs);
            let equal = super::blocking(move || same(&file, at, &data)).await?;
            let equal = equal.map_err(|e| Error::local("read back", "", e))?;
            // Nothing came: the remote file ends before the rest, which is missing there.
            let covered = if len == 0 { u64::from(wanted) } else { len as u64 };
            if !equal || len == 0 {
                different.push(at - at % block..(at + covered).next_multiple_of(block));
            }
            at += covered;
            wanted -= covered as u32;
            if wanted == 0 {
                break;
            }
            theirs = remote.read_at(at, wanted as usize).await?;
        }
        tell(at);
    }
    different.cut(len);
    Ok(different)
}

fn same(file: &OwnedFd, offset: u64, theirs: &[u8]) -> std::io::Result<bool> {
    let mut ours = Vec::new();
    local::read_at(file, &mut ours, offset, theirs.len())?;
    Ok(ours == theirs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_grow_with_the_file_within_their_bounds() {
        let gib = 1 << 30;
        let lens = [(0, 65_536), (1, 65_536), (2 * gib, 65_536), (2 * gib + 1, 131_072)];
        for (len, block) in lens.into_iter().chain([(32 * gib, 1 << 20), (u64::MAX / 4, 1 << 20)]) {
            assert_eq!(block_len(len), block, "{len}");
        }
    }
}
