//! A remote file read from start to end with several requests under way, so that distance does not
//! cost a round trip for every piece.

use std::{collections::VecDeque, sync::Arc};

use sterna_client::{Error, File};
use tokio::task::JoinHandle;

/// Requests under way at a time: with 255 KiB each 4 MiB, which is 40 MB/s at 100 ms.
const REQUESTS_MAX: usize = 16;

/// The pieces of a file in order. Dropping it gives up what is under way.
pub struct ReadAhead {
    file: Arc<File>,
    /// Bytes asked for at a time; adapted to what the server really sends.
    len: usize,
    /// Where the next piece to be returned starts.
    at: u64,
    /// Where the next request starts.
    asked_to: u64,
    under_way: VecDeque<JoinHandle<Result<Vec<u8>, Error>>>,
}

impl ReadAhead {
    /// Starts at byte 0. `len` is the longest read that the server takes.
    pub fn new(file: File, len: u32) -> Self {
        Self {
            file: Arc::new(file),
            len: len as usize,
            at: 0,
            asked_to: 0,
            under_way: VecDeque::with_capacity(REQUESTS_MAX),
        }
    }

    /// The next piece, never empty; `None` at the end of the file.
    ///
    /// # Errors
    /// What [`File::read_at`] says.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Error> {
        while self.under_way.len() < REQUESTS_MAX {
            let (file, offset, len) = (self.file.clone(), self.asked_to, self.len);
            self.under_way.push_back(tokio::spawn(async move {
                file.read_at(offset, len).await.map(|data| data.to_vec())
            }));
            self.asked_to += self.len as u64;
        }
        let Some(first) = self.under_way.pop_front() else { return Ok(None) };
        // The task cannot panic, and is cancelled only by dropping `self`.
        let data = first.await.unwrap_or(Err(Error::Cancelled))?;
        if data.is_empty() {
            self.give_up();
            return Ok(None);
        }
        self.at += data.len() as u64;
        if data.len() < self.len {
            // What follows was asked for in the wrong places: ask again, in steps of this size.
            self.give_up();
            self.asked_to = self.at;
            self.len = data.len();
        }
        Ok(Some(data))
    }

    fn give_up(&mut self) {
        for request in self.under_way.drain(..) {
            request.abort();
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.give_up();
    }
}
