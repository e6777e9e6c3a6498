//! Holes: parts of a file that were never written and read as zeros.
//!
//! They are neither sent nor written where nothing was before; the file's length is set instead.
//! Digests cover them as the zeros that they read as.

use std::os::fd::OwnedFd;

use rustix::fs::{SeekFrom, Stat};
use rustix::io::Errno;

use sterna_sftp_proto::extension::Extension;

use super::ranges::Ranges;
use crate::Error;
use crate::limits::{RANGES_MAX, SPARSE_MIN_LEN};
use crate::sftp::File;

/// Bytes of the unit in which `st_blocks` counts (POSIX leaves it open; Linux says 512).
const STAT_BLOCK_LEN: u64 = 512;

/// The parts of a local file of `size` bytes that are not holes; `None` if it has none, or if the
/// file system does not tell. Blocks.
pub(super) fn local_data(file: &OwnedFd, stat: &Stat, size: u64) -> Option<Ranges> {
    let stored = u64::try_from(stat.st_blocks).unwrap_or(u64::MAX).saturating_mul(STAT_BLOCK_LEN);
    if stored >= size {
        return None;
    }
    let mut data = Ranges::new();
    let mut at = 0;
    // A file in more pieces than are kept apart is sent whole from there on.
    for _ in 0..RANGES_MAX {
        let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
            Ok(start) if start < size => start,
            // No data behind `at`.
            Ok(_) | Err(Errno::NXIO) => return Some(data),
            Err(_) => return None,
        };
        let end = rustix::fs::seek(file, SeekFrom::Hole(start)).ok()?.min(size);
        data.push(start..end);
        at = end;
    }
    data.push(at..size);
    Some(data)
}

/// The parts of an open remote file of `size` bytes from `from` on that are not holes; `None` if the
/// server does not tell, or if there is more to tell than is kept apart.
pub(super) async fn remote_data(
    remote: &File,
    from: u64,
    size: u64,
) -> Result<Option<Ranges>, Error> {
    if !remote.sftp().has(Extension::Ranges) || size.saturating_sub(from) < SPARSE_MIN_LEN {
        return Ok(None);
    }
    let mut data = Ranges::new();
    let (mut at, mut told) = (from, 0);
    while at < size && told < RANGES_MAX {
        let found = match remote.data_ranges(at..size).await {
            Ok(found) => found,
            Err(Error::Refused { .. }) => return Ok(None),
            Err(error) => return Err(error),
        };
        told += found.ranges.len();
        for range in found.ranges {
            at = range.end;
            data.push(range);
        }
        if found.at_end {
            return Ok(Some(data));
        }
    }
    Ok((at >= size).then_some(data))
}

/// Whether writing `data` into a fresh file would change nothing but its length.
pub(super) fn is_zero(data: &[u8]) -> bool {
    let (chunks, rest) = data.as_chunks::<64>();
    chunks.iter().all(|chunk| *chunk == [0; 64]) && rest.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn data_between_holes_is_found_and_nothing_is_left_out() {
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let file = std::fs::File::create_new(dir.path().join("f")).unwrap();
        let size = 64 << 20;
        file.set_len(size).unwrap();
        let written = [10 << 20, 40 << 20];
        for at in written {
            file.write_all_at(&[1; 4096], at).unwrap();
        }
        let fd: OwnedFd = file.into();
        let stat = rustix::fs::fstat(&fd).unwrap();

        let data = local_data(&fd, &stat, size);

        // File systems without holes say so by storing everything.
        let Some(data) = data else { return };
        for at in written {
            assert!(data.iter().any(|range| range.start <= at && at + 4096 <= range.end), "{at}");
        }
        assert!(data.len() < size / 2, "{data:?}");
    }

    #[test]
    fn a_single_bit_is_not_nothing() {
        for at in [0, 63, 64, 100] {
            let mut data = vec![0; 101];
            assert!(is_zero(&data));
            data[at] = 0x80;
            assert!(!is_zero(&data), "{at}");
        }
    }
}
