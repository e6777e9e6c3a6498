//! Reading what is in memory, where that can be known: no thread has to be woken for it.

use std::io::{self, IoSliceMut};
use std::os::fd::OwnedFd;

use rustix::fs::fstatfs;
use rustix::io::{Errno, ReadWriteFlags};

/// File systems whose bytes are in memory (`statfs(2)`): tmpfs and ramfs. They have no way to ask for a read
/// that does not wait, and none of theirs waits for a disk.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58F6];

/// How one file is read without waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtHand {
    /// The kernel is asked to.
    Ask,
    /// By a plain read.
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
                    let kind = fstatfs(fd).map(|fs| u64::try_from(fs.f_type));
                    let is_plain = matches!(kind, Ok(Ok(kind)) if IN_MEMORY.contains(&kind));
                    *self = if is_plain { Self::Plain } else { Self::Never };
                    return self.read_into(fd, out, offset);
                }
                // What waits would wait here as well.
                Err(_) => return None,
            }
        }
        Some(Ok(filled))
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
}
