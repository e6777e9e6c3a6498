//! The part of a download for who has its bytes first: they are written and hashed as they come.

use std::io::IoSlice;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sftp::BlockTarget;
use crate::transfer::local::AtHand;
use crate::transfer::passing::Passer;
use crate::transfer::sparse::is_zero;

/// See the module. When it is dropped nothing is written any more, whatever comes.
pub(super) struct IntoPart(Arc<Target>);

/// What the connection holds of it.
pub(super) struct Target {
    fd: Arc<OwnedFd>,
    /// Between these bytes the file has nothing but a hole: zeros need not be written.
    zeros: Range<u64>,
    passer: Option<Passer>,
    /// Held while bytes are written.
    how: Mutex<AtHand>,
}

impl IntoPart {
    /// `how`: the part was written to in this way without waiting. `None` if what is hashed takes long: that is for
    /// another thread.
    pub(super) fn new(
        fd: Arc<OwnedFd>,
        zeros: Range<u64>,
        passer: Option<Passer>,
        how: AtHand,
    ) -> Option<Self> {
        let is_quick = passer.as_ref().is_none_or(Passer::is_quick);
        is_quick.then(|| Self(Arc::new(Target { fd, zeros, passer, how: Mutex::new(how) })))
    }

    /// Where what is asked for next may be written, as far as is known.
    pub(super) fn target(&self) -> Option<Arc<Target>> {
        let is_open = *self.0.how() != AtHand::Never;
        is_open.then(|| self.0.clone())
    }
}

impl Drop for IntoPart {
    fn drop(&mut self) {
        *self.0.how() = AtHand::Never;
    }
}

impl Target {
    fn how(&self) -> MutexGuard<'_, AtHand> {
        self.how.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BlockTarget for Target {
    fn try_write(&self, data: &[u8], offset: u64) -> bool {
        let mut how = self.how();
        let end = offset + data.len() as u64;
        let is_hole = self.zeros.start <= offset && end <= self.zeros.end && is_zero(data);
        if *how == AtHand::Never {
            return false;
        }
        if !is_hole {
            let written = how.write_all_vectored_at(&self.fd, &mut [IoSlice::new(data)], offset);
            if !matches!(written, Some(Ok(()))) {
                // Who may wait meets an error again, and says it.
                *how = AtHand::Never;
                return false;
            }
        }
        if let Some(passer) = &self.passer {
            passer.pass(offset, data);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::unix::fs::{FileExt, MetadataExt};

    use super::*;

    fn part(file: &File, zeros: Range<u64>) -> IntoPart {
        let fd = Arc::new(file.try_clone().unwrap().into());
        IntoPart::new(fd, zeros, None, AtHand::Ask).unwrap()
    }

    #[test]
    fn what_comes_is_in_the_file_at_once_until_nobody_waits_for_it() {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        let part = part(&file, 0..0);
        let target = part.target().unwrap();

        assert!(target.try_write(b"two", 100) && target.try_write(b"one", 97));
        assert!(part.target().is_some());
        drop(part);
        assert!(!target.try_write(b"late", 97));

        let mut out = [0; 10];
        assert_eq!(file.read_at(&mut out, 97).unwrap(), 6);
        assert_eq!(&out[..6], b"onetwo");
    }

    #[test]
    fn zeros_are_not_written_where_there_is_a_hole_already() {
        let file = tempfile::tempfile_in("/dev/shm").unwrap();
        file.set_len(1 << 20).unwrap();
        let part = part(&file, 0..1 << 20);

        let target = part.target().unwrap();
        assert!(target.try_write(&[0; 64 << 10], 0) && target.try_write(&[1; 4096], 64 << 10));

        assert_eq!(file.metadata().unwrap().blocks(), 8, "of 512 bytes");
    }

    #[test]
    fn what_cannot_be_written_is_left_to_who_can_say_why() {
        let file = File::open("/dev/null").unwrap();
        let full = File::options().write(true).open("/dev/full").unwrap();
        for file in [file, full] {
            let part = part(&file, 0..0);
            assert!(!part.target().unwrap().try_write(b"x", 0));
            assert!(part.target().is_none());
        }
    }
}
