//! A remote file read from start to end with several requests under way, so that distance does not cost
//! a round trip for every piece.

use std::collections::VecDeque;

use super::{File, ReadData, Waiting};
use crate::Error;

/// The pieces of a file in order. Dropping it gives up what is under way and closes the file.
pub struct FileReader {
    file: File,
    /// Requests under way at a time.
    ahead: usize,
    /// Bytes asked for at a time; adapted to what the server really sends.
    len: u32,
    /// Where the next piece to be returned starts.
    at: u64,
    /// Where the next request starts.
    asked_to: u64,
    under_way: VecDeque<Waiting>,
}

impl File {
    /// Reads on from byte 0, at most `ahead` requests (at least 1) under way.
    pub fn reader(self, ahead: usize) -> FileReader {
        self.reader_from(0, ahead)
    }

    /// The same from byte `offset` on.
    pub fn reader_from(self, offset: u64, ahead: usize) -> FileReader {
        let len = self.sftp().limits().read_len;
        let under_way = VecDeque::new();
        FileReader { file: self, ahead: ahead.max(1), len, at: offset, asked_to: offset, under_way }
    }
}

impl FileReader {
    /// The next piece, never empty; `None` at the end of the file.
    ///
    /// # Errors
    /// What [`File::read_at`] says.
    ///
    /// # Cancelling
    /// After a dropped future the next piece may be missing: drop the reader too.
    pub async fn next(&mut self) -> Result<Option<ReadData>, Error> {
        while self.under_way.len() < self.ahead {
            let (file, offset, len) = (&self.file, self.asked_to, self.len);
            let asked = file.sftp().begin_call(|reply_to| file.read_call(offset, len, reply_to));
            self.under_way.push_back(asked.await?);
            self.asked_to += u64::from(self.len);
        }
        let Some(first) = self.under_way.pop_front() else { return Ok(None) };
        let data = self.file.read_result(first.frame().await?, self.len)?;
        if data.is_empty() {
            self.under_way.clear();
            return Ok(None);
        }
        self.at += data.len() as u64;
        if data.len() < self.len as usize {
            // What follows was asked for in the wrong places: ask again, in steps of this size.
            self.under_way.clear();
            self.asked_to = self.at;
            self.len = u32::try_from(data.len()).unwrap_or(self.len);
        }
        Ok(Some(data))
    }

    /// Where the next piece starts, in bytes from the start of the file.
    pub fn position(&self) -> u64 {
        self.at
    }

    /// The file that is read.
    pub fn file(&self) -> &File {
        &self.file
    }
}
