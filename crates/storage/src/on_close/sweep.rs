//! Parts that nobody came back for go after a while.

use super::{OnClose, STAGING, join};
use crate::limits::{ENTRIES_MAX, SWEEP_ENTRIES_MAX};
use crate::{Attrs, ErrorKind, FileKind, Result, Time};

impl OnClose {
    /// Removes parts of every owner that nobody has open and that were last changed before `oldest`.
    /// Looks at [`SWEEP_ENTRIES_MAX`] of them in each folder at most, and at the next ones another time.
    ///
    /// Returns how many went.
    ///
    /// # Errors
    /// The last one; the sweep goes on with the next folder.
    pub fn sweep(&self, oldest: Time) -> Result<usize> {
        let mut removed = 0;
        let mut result = Ok(());
        for folder in self.shared.folders.on_close() {
            match self.sweep_folder(&join(folder, STAGING), oldest) {
                Ok(count) => removed += count,
                // Nothing was ever uploaded here.
                Err(error) if error.kind == ErrorKind::NotFound => {}
                Err(error) => result = Err(error),
            }
        }
        result.map(|()| removed)
    }

    fn sweep_folder(&self, staging: &[u8], oldest: Time) -> Result<usize> {
        let at = &self.shared;
        let mut dir = at.below.open_dir(staging)?;
        let (mut looked_at, mut removed) = (0, 0);
        loop {
            let mut entries = Vec::new();
            let more = dir.next_entries(ENTRIES_MAX, &mut entries)?;
            for entry in &entries {
                let is_old =
                    |attrs: &Attrs| attrs.kind == FileKind::Regular && attrs.changed < oldest;
                if !is_old(&entry.attrs) {
                    continue;
                }
                let path = join(staging, &entry.name);
                let _alone = at.uploads.alone(&path);
                // The listing may be old by now: another upload may have taken the place.
                let gone = at.below.stat(&path, false).is_ok_and(|attrs| {
                    is_old(&attrs) && !at.uploads.has(attrs.id) && at.below.remove(&path).is_ok()
                });
                removed += usize::from(gone);
            }
            looked_at += entries.len();
            if !more || looked_at >= SWEEP_ENTRIES_MAX {
                return Ok(removed);
            }
        }
    }
}
