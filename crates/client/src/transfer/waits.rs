//! Files that have travelled and wait for a digest by a command at the server.
//!
//! A command answers for many files at once and takes longer than a small file travels. Who waits for it
//! has no place among the files in flight, and of its file only this much is kept.

use std::sync::Arc;

use sterna_ssh_crypto::DigestAlgorithm;

use super::lanes::{Lane, Reached};
use super::progress::{FileReport, Note};
use super::{Context, Verified, Verify};
use crate::Error;

/// How far a file has come when it is in flight no more.
pub(super) enum Sent<P> {
    Complete(FileReport),
    Waits(Waits<P>),
}

/// A file that is all there, but not compared, under the name of its part.
pub(super) struct Waits<P> {
    pub(super) part: P,
    pub(super) size: u64,
    pub(super) algorithm: DigestAlgorithm,
    /// Of what was sent or received.
    pub(super) ours: Vec<u8>,
    pub(super) notes: Vec<Note>,
}

impl<P> Waits<P> {
    /// How the file at `remote_path` is verified; `None` if it is not what it should be, or cannot be
    /// compared so well as was asked for. `source` is what for.
    ///
    /// # Errors
    /// Those of [`Context::on_lane`].
    pub(super) async fn verified(
        &self,
        context: &Context,
        source: &[u8],
        remote_path: &[u8],
    ) -> Result<Option<Verified>, Error> {
        let ask = |lane: Arc<Lane>| async move {
            match context.commands(&lane) {
                Some(session) => context.command_digests.of(session, remote_path).await.map(Some),
                None => Ok(None),
            }
        };
        let reached = Reached::default();
        let theirs = tokio::select! {
            theirs = context.on_lane(source, &reached, ask) => theirs,
            () = context.cancel.cancelled() => return Err(Error::Cancelled),
        };
        match theirs {
            Ok(Some(theirs)) => {
                let same = theirs == self.ours;
                return Ok(same.then(|| Verified::Digest(self.algorithm.name())));
            }
            Ok(None) => {}
            // What is over with the last connection says nothing about commands.
            Err(error @ (Error::Unsupported { .. } | Error::Interrupted { .. }))
                if !context.lanes.is_ended() =>
            {
                context.command_failed(&error);
            }
            Err(error) => return Err(error),
        }
        if context.options.verify == Verify::Require {
            return Ok(None);
        }
        let stat = |lane: Arc<Lane>| async move { lane.sftp.stat(remote_path).await };
        let there = context.on_lane(source, &reached, stat).await?;
        Ok(match there.size {
            Some(size) => (size == self.size).then_some(Verified::Size),
            None => Some(Verified::None),
        })
    }
}
