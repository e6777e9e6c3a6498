//! The file that grows: appended to in whole lines, and cut back to them when a write fails.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Write as _};
use std::os::unix::fs::{FileExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
#[cfg(test)]
use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering};

use crate::chain::Place;
use crate::limits::LINE_LEN_MAX;
use crate::line::{Members, Read, place_of, read_line};

/// An open file of a log.
pub(crate) struct LogFile {
    file: File,
    path: PathBuf,
    id: (u64, u64),
    /// Bytes that are known to be whole lines.
    len: u64,
    /// The number and time of its first record, once there is one.
    first: Option<(u64, jiff::Timestamp)>,
    /// Bytes for which there is room.
    #[cfg(test)]
    pub(crate) room: Option<Arc<AtomicU64>>,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The last whole line; `None` if there is none, or if it is not a line of a log.
    pub(crate) last: Option<Place>,
    /// Bytes behind it: half a line.
    pub(crate) half: u64,
}

impl LogFile {
    /// Opens the file, or begins it.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut how = OpenOptions::new();
        let file = how.read(true).append(true).create(true).mode(0o600).open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
        }
        let mut opened = Self {
            file,
            path: path.to_owned(),
            id: (meta.dev(), meta.ino()),
            len: meta.len(),
            first: None,
            #[cfg(test)]
            room: None,
        };
        opened.first = opened.first_record()?;
        Ok(opened)
    }

    /// Whether the path still names this file, and nobody else has written to it.
    pub(crate) fn is_as_it_was(&self) -> bool {
        let now = fs::metadata(&self.path);
        now.is_ok_and(|now| (now.dev(), now.ino()) == self.id && now.len() == self.len)
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    pub(crate) fn first(&self) -> Option<(u64, jiff::Timestamp)> {
        self.first
    }

    fn first_record(&self) -> io::Result<Option<(u64, jiff::Timestamp)>> {
        let mut line = Vec::new();
        let mut start = BufReader::new(At { file: &self.file, offset: 0 });
        if read_line(&mut start, &mut line)? != Read::Line {
            return Ok(None);
        }
        Ok(Members::of(&line)
            .and_then(|(members, _)| Some((members.seq, members.time.parse().ok()?))))
    }

    /// Reads how it ends. No more than two lines' worth of bytes is looked at.
    pub(crate) fn tail(&self) -> io::Result<Tail> {
        let from = self.len.saturating_sub(2 * LINE_LEN_MAX as u64);
        let mut end = vec![0; (self.len - from) as usize];
        self.file.read_exact_at(&mut end, from)?;
        let whole = end.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let half = (end.len() - whole) as u64;
        let last = end[..whole].strip_suffix(b"\n").and_then(|lines| {
            let start = lines.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            place_of(&lines[start..])
        });
        Ok(Tail { last, half })
    }

    /// Takes half a line away from the end.
    pub(crate) fn cut(&mut self, half: u64) -> io::Result<()> {
        let len = self.len - half;
        self.file.set_len(len)?;
        self.len = len;
        Ok(())
    }

    /// Appends whole lines, and brings them to the disk. If that fails, the file is as it was.
    pub(crate) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        let written = self.write(lines).and_then(|()| self.file.sync_data());
        match written {
            Ok(()) => {
                self.len += lines.len() as u64;
                if self.first.is_none() {
                    self.first = self.first_record()?;
                }
                Ok(())
            }
            Err(error) => {
                // If this fails as well, half a line stays and is dealt with as after a crash.
                let _ = self.file.set_len(self.len);
                Err(error)
            }
        }
    }

    #[cfg(not(test))]
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        self.file.write_all(lines)
    }

    #[cfg(test)]
    fn write(&mut self, lines: &[u8]) -> io::Result<()> {
        let room = self.room.as_ref().map_or(u64::MAX, |room| room.load(Ordering::Relaxed));
        let fits = lines.len().min(usize::try_from(room).unwrap_or(usize::MAX));
        self.file.write_all(&lines[..fits])?;
        if fits < lines.len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads a file from a place, and leaves its own place alone.
struct At<'f> {
    file: &'f File,
    offset: u64,
}

impl io::Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.offset)?;
        self.offset += n as u64;
        Ok(n)
    }
}
