//! Which parts of a file hold data: the kernel knows its holes.

use std::ops::Range;
use std::os::fd::OwnedFd;

use rustix::fs::{SeekFrom, fstat, seek};
use rustix::io::{Errno, Result};

/// Bytes of the unit in which `st_blocks` counts (POSIX leaves it open; Linux says 512).
const STAT_BLOCK_LEN: u64 = 512;

/// As [`File::data_ranges`](crate::File::data_ranges). It moves the descriptor's position, which nothing
/// else here uses.
pub(super) fn data_ranges(
    fd: &OwnedFd,
    asked: Range<u64>,
    max: usize,
) -> Result<(Vec<Range<u64>>, bool)> {
    let stat = fstat(fd)?;
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let end = asked.end.min(size);
    let mut parts = Vec::new();
    // A file that takes all of its size has no holes to look for: in memory the kernel would look at every page.
    let stored = u64::try_from(stat.st_blocks).unwrap_or(0).saturating_mul(STAT_BLOCK_LEN);
    if stored >= size && max > 0 {
        parts.extend(Some(asked.start..end).filter(|all| !all.is_empty()));
        return Ok((parts, true));
    }
    let mut at = asked.start;
    while at < end {
        let start = match seek(fd, SeekFrom::Data(at)) {
            Ok(start) if start < end => start,
            // Nothing but a hole up to the end.
            Ok(_) | Err(Errno::NXIO) => break,
            // This file system knows no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
            Err(error) => return Err(error),
        };
        if parts.len() == max {
            return Ok((parts, false));
        }
        // There is a hole at the end of every file. A file that became shorter meanwhile has none here.
        at = match seek(fd, SeekFrom::Hole(start)) {
            Ok(hole) => hole.clamp(start, end),
            Err(Errno::NXIO) => break,
            Err(Errno::INVAL | Errno::OPNOTSUPP) => end,
            Err(error) => return Err(error),
        };
        if at == start {
            break;
        }
        parts.push(start..at);
    }
    Ok((parts, true))
}
