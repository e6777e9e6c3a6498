//! Reading and writing what is in memory, where that can be known: no thread has to be woken for it.

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::OwnedFd;

use rustix::fs::fstatfs;
use rustix::io::{Errno, ReadWriteFlags};

/// File systems whose bytes are in memory (`statfs(2)`): tmpfs and ramfs. They have no way to ask for a read
/// that does not wait, and none of theirs waits for a disk.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58F6];

/// How one file is read, or written, without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtHand {
    /// The kernel is asked to.
    Ask,
    /// By a plain read or write.
    Plain,
    /// Not at all.
    Never,
}

impl AtHand {
    /// Fills `out` from `offset` on, or as far as the file goes, and returns how many bytes that were. `None`
    /// if some of it is not in memory.
    pub(crate) fn read_into(
        &mut self,
        fd: &OwnedFd,
        out: &mut [u8],
        offset: u64,
    ) -> Option<io::Result<usize>> {
        match self {
            Self::Ask => {}
            Self::Plain => return Some(super::read_into(fd, out, offset)),
            Self::Never => return None,
        }
        let mut filled = 0;
        while filled < out.len() {
            let mut rest = [IoSliceMut::new(&mut out[filled..])];
            let at = offset + filled as u64;
            match rustix::io::preadv2(fd, &mut rest, at, ReadWriteFlags::NOWAIT) {
                Ok(0) => break,
                Ok(len) => filled += len,
                Err(Errno::INTR) => {}
                Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                    *self = Self::unasked(fd);
                    return self.read_into(fd, out, offset);
                }
                // What waits would wait here as well.
                Err(_) => return None,
            }
        }
        Some(Ok(filled))
    }

    /// Fills `slices` from `offset` on by one call. False if that did not fill them: some of it is not in memory,
    /// the file ends, or there was an error, which who may wait meets again.
    pub(crate) fn fill(self, fd: &OwnedFd, slices: &mut [IoSliceMut<'_>], offset: u64) -> bool {
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        let read = match self {
            Self::Ask => rustix::io::preadv2(fd, slices, offset, ReadWriteFlags::NOWAIT),
            Self::Plain => rustix::io::preadv(fd, slices, offset),
            Self::Never => return false,
        };
        read.is_ok_and(|len| len == wanted)
    }

    /// Writes all of `slices` one after the other from `offset` on. `None` if some of it would wait: then it has to be
    /// written once more, whatever is there already.
    pub(crate) fn write_all_vectored_at(
        &mut self,
        fd: &OwnedFd,
        slices: &mut [IoSlice<'_>],
        offset: u64,
    ) -> Option<io::Result<()>> {
        match self {
            Self::Ask => {}
            Self::Plain => return Some(super::write_all_vectored_at(fd, slices, offset)),
            Self::Never => return None,
        }
        let len: usize = slices.iter().map(|slice| slice.len()).sum();
        match rustix::io::pwritev2(fd, slices, offset, ReadWriteFlags::NOWAIT) {
            Ok(written) if written == len => Some(Ok(())),
            // The rest would wait. So would what comes next, most likely.
            Ok(_) | Err(Errno::AGAIN) => {
                *self = Self::Never;
                None
            }
            Err(Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) => {
                *self = Self::unasked(fd);
                self.write_all_vectored_at(fd, slices, offset)
            }
            // Who may wait meets the error again, and says it.
            Err(_) => None,
        }
    }

    /// Where the kernel cannot be asked not to wait.
    fn unasked(fd: &OwnedFd) -> Self {
        let kind = fstatfs(fd).map(|fs| u64::try_from(fs.f_type));
        match kind {
            Ok(Ok(kind)) if IN_MEMORY.contains(&kind) => Self::Plain,
            _ => Self::Never,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn what_was_just_written_is_at_hand_and_the_same() {
        for dir in ["/tmp", "/dev/shm"] {
            let mut file = tempfile::tempfile_in(dir).unwrap();
            let content: Vec<u8> = (0..300_000u32).map(|n| n as u8).collect();
            file.write_all(&content).unwrap();
            let fd = OwnedFd::from(file);
            let mut how = AtHand::Ask;
            let mut out = vec![0; 200_000];

            // Where the kernel cannot tell, nothing is; it is never something else.
            let Some(read) = how.read_into(&fd, &mut out, 150_000) else { continue };

            assert_eq!(read.unwrap(), 150_000, "{dir}");
            assert_eq!(out[..150_000], content[150_000..], "{dir}");
            assert_eq!(how.read_into(&fd, &mut out, 300_000).unwrap().unwrap(), 0);
        }
    }

    #[test]
    fn a_file_system_in_memory_is_read_plainly_and_a_process_is_not_asked() {
        let mut file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.write_all(b"abc").unwrap();
        let fd = OwnedFd::from(file);
        let (mut how, mut out) = (AtHand::Ask, [0; 3]);
        assert_eq!(how.read_into(&fd, &mut out, 0).unwrap().unwrap(), 3);
        assert_eq!(&out, b"abc");

        how = AtHand::Never;
        assert!(how.read_into(&fd, &mut out, 0).is_none());
    }

    #[test]
    fn what_is_written_at_once_is_there_and_in_memory_it_always_is() {
        for (dir, is_sure) in [("/tmp", false), ("/dev/shm", true)] {
            let fd = OwnedFd::from(tempfile::tempfile_in(dir).unwrap());
            let mut how = AtHand::Ask;
            let write = |how: &mut AtHand, at| {
                let mut slices = [IoSlice::new(b"first "), IoSlice::new(b"second")];
                how.write_all_vectored_at(&fd, &mut slices, at)
            };

            let written = write(&mut how, 100_000);

            assert!(written.is_some() || !is_sure);
            if let Some(written) = written {
                written.unwrap();
                let mut out = [0; 20];
                assert_eq!(super::super::read_into(&fd, &mut out, 100_000).unwrap(), 12);
                assert_eq!(&out[..12], b"first second");
            }
            how = AtHand::Never;
            assert!(write(&mut how, 0).is_none());
        }
    }
}
