//! The entries of a remote directory, one by one, while what they start may have to wait.
//!
//! As long as handles are plenty only one answer of the server is kept. Where they are scarce the
//! directory would keep the files in it from being opened: then it is read to its end and closed.

use std::collections::VecDeque;
use std::pin::pin;

use super::super::handles::User;
use super::super::{Context, Lane};
use crate::Error;
use crate::sftp::{Dir, Entry};

/// See the module.
pub(super) struct Names<'n> {
    context: &'n Context,
    /// `None`: it is read to its end.
    listing: Option<(Dir, User<'n>)>,
    /// Read and not yet given.
    ahead: VecDeque<Entry>,
}

impl<'n> Names<'n> {
    /// Opens a directory, when the server lets it.
    ///
    /// # Errors
    /// Those of [`Sftp::open_dir`](crate::Sftp::open_dir).
    pub(super) async fn open(
        context: &'n Context,
        lane: &Lane,
        path: &[u8],
    ) -> Result<Self, Error> {
        let mut was_refused = false;
        loop {
            let user = tokio::select! {
                user = context.handles.begin(was_refused) => user,
                () = context.cancel.cancelled() => return Err(Error::Cancelled),
            };
            let error = match lane.sftp.open_dir(path).await {
                Ok(dir) => {
                    let listing = Some((dir, user));
                    return Ok(Self { context, listing, ahead: VecDeque::new() });
                }
                Err(error) => error,
            };
            if !context.may_be_too_much(&error) || !user.may_go_again() {
                return Err(error);
            }
            was_refused = true;
        }
    }

    /// The next entry; `None` at the end.
    ///
    /// # Errors
    /// Those of [`Dir::next_batch`].
    pub(super) async fn next(&mut self) -> Result<Option<Entry>, Error> {
        while self.ahead.is_empty()
            && let Some((dir, _)) = &mut self.listing
        {
            match dir.next_batch().await? {
                Some(batch) => self.ahead.extend(batch),
                None => self.close(),
            }
        }
        Ok(self.ahead.pop_front())
    }

    /// Waits for `work`; if handles are scarce, reads the rest meanwhile and closes the directory.
    ///
    /// # Errors
    /// Those of reading. `work` is done in any case.
    pub(super) async fn read_on_during(
        &mut self,
        work: impl Future<Output = ()>,
    ) -> Result<(), Error> {
        let mut work = pin!(work);
        if self.listing.is_none() {
            work.await;
            return Ok(());
        }
        tokio::select! {
            () = &mut work => return Ok(()),
            () = self.context.handles.scarce() => {}
        }
        let read = self.read_rest().await;
        work.await;
        read
    }

    async fn read_rest(&mut self) -> Result<(), Error> {
        while let Some((dir, _)) = &mut self.listing {
            match dir.next_batch().await {
                Ok(Some(batch)) => self.ahead.extend(batch),
                Ok(None) => self.close(),
                Err(error) => {
                    self.close();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    fn close(&mut self) {
        if let Some((dir, user)) = self.listing.take() {
            // Its CLOSE leaves before anybody else opens something.
            drop(dir);
            user.succeeded();
        }
    }
}
