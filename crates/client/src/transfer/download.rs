//! One file from the server: into a part beside its target, verified, renamed into place.
//!
//! `download/part.rs` says what must travel, `download/pump.rs` fetches it, `download/arrived.rs`
//! writes it, `download/commit.rs` makes it the target.

mod arrived;
mod commit;
mod into_part;
mod part;
mod pump;

use std::sync::Arc;

use super::Context;
use super::lanes::{Lane, Reached};
use super::local::LocalDir;
use super::passing::Passing;
use super::progress::FileReport;
use super::resume::SourceState;
use super::verify::passing_algorithm;
use crate::Error;
use crate::sftp::{Attrs, OpenOptions};
use commit::Fetched;
use pump::Pump;

pub(super) use commit::{Placing, umask};
pub(super) use part::Part;

/// A remote file and where it goes.
pub(super) struct Download {
    /// Bytes from the start that are in place for good.
    pub(super) reached: Reached,
    pub(super) source: Vec<u8>,
    pub(super) attrs: Attrs,
    pub(super) dir: Arc<LocalDir>,
    pub(super) name: Vec<u8>,
}

impl Download {
    /// Downloads, verifies, puts into place.
    pub(super) async fn run(&self, context: &Context, lane: &Lane) -> Result<FileReport, Error> {
        let mut received = 0;
        let result = self.run_counted(context, lane, &mut received).await;
        result.inspect_err(|_| context.travelled(received))
    }

    async fn run_counted(
        &self,
        context: &Context,
        lane: &Lane,
        received: &mut u64,
    ) -> Result<FileReport, Error> {
        let path = &self.source[..];
        let opening = lane.sftp.open(path, OpenOptions::new().read(true));
        let (part, remote) = match context.options.in_place {
            // The target itself is not touched before there is something to write.
            true => {
                let remote = opening.await?;
                (self.open_part(context, lane).await, Ok(remote))
            }
            false => tokio::join!(self.open_part(context, lane), opening),
        };
        let part = part?;
        let remote = match remote {
            Ok(remote) => remote,
            Err(error) => {
                if part.is_nothing() {
                    self.discard(context, part).await?;
                }
                return Err(error);
            }
        };
        let plan = self.plan(context, &part, &remote).await?;
        let state = SourceState::of(&self.attrs);
        let has_journal = state.size >= crate::limits::RESUME_MIN_LEN;
        let passing = passing_algorithm(context, lane, has_journal)
            .map(|algorithm| Passing::new(algorithm, part.fd.clone()));
        let mut pump =
            Pump::new(context, &remote, &part, plan.ranges.clone(), state, passing, path)
                .over_zeros(plan.zeros.clone());
        let result = pump.run().await;
        *received += pump.received;
        let (contiguous, passing) = pump.end();
        self.reached.note(contiguous);
        let total = match result.and_then(|total| self.all_of(total)) {
            Ok(total) => total,
            Err(error) => {
                self.keep_part(context, part, &plan, contiguous).await;
                return Err(error);
            }
        };
        let (verified, notes) =
            self.commit(context, lane, part, &remote, Fetched { total, passing }, received).await?;
        Ok(FileReport {
            path: self.source.clone(),
            bytes: total,
            bytes_sent: *received,
            resumed_from: plan.resumed_from.min(total),
            verified,
            notes,
        })
    }

    /// Fewer bytes than the server told are not the whole file, whatever is compared afterwards.
    fn all_of(&self, total: u64) -> Result<u64, Error> {
        match self.attrs.size {
            Some(told) if total < told => {
                Err(Error::unsuitable("get", &self.source, "it ends before the size that it has"))
            }
            _ => Ok(total),
        }
    }
}
