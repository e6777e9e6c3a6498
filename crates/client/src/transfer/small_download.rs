//! A small file from the server in two round trips: OPEN, and then everything else at once.
//!
//! The listing says how long the file is. So a READ of that and one byte more, a READ behind it that
//! must find the end, the comparison and CLOSE leave together. A file that is not as it was listed goes
//! the long way, which takes files as they come.

use sterna_ssh_crypto::{DigestAlgorithm, Digester};

use super::download::{Download, Part, Placing};
use super::lanes::Lane;
use super::progress::{FileReport, Verified};
use super::small::small_len_max;
use super::verify::{check_algorithms, expected_algorithm};
use super::waits::{Sent, Waits};
use super::{Context, Verify, blocking, local};
use crate::Error;
use crate::sftp::{File, OpenOptions, ReadData, Waiting};

/// How the content is compared.
#[derive(Clone, Copy)]
enum How {
    /// By the server, while the file is still open there.
    Handle(DigestAlgorithm),
    /// By a command, when it has arrived.
    Command(DigestAlgorithm),
    Size,
    Off,
}

/// The answers that are under way, in the order of their requests.
struct Answers {
    data: Waiting,
    end: Waiting,
    /// A digest or attributes.
    comparison: Option<Waiting>,
    close: Waiting,
}

/// What the answers say of the content.
enum Compared {
    As(Verified),
    /// The server's digest is still to be compared with ours.
    Later(DigestAlgorithm, Vec<u8>),
}

impl Download {
    /// Downloads a file that is small by its listing. `None` if it is not, or is not as it was listed.
    pub(super) async fn run_small(
        &self,
        context: &Context,
        lane: &Lane,
    ) -> Result<Option<Sent<Part>>, Error> {
        let max = small_len_max(lane).min(u64::from(lane.sftp.limits().read_len));
        let is_small = |size: &u64| *size < max && !context.options.in_place;
        let Some(size) = self.attrs.size.filter(is_small) else { return Ok(None) };
        let Some(how) = how_to_compare(context, lane) else { return Ok(None) };
        let opening = lane.sftp.open(&self.source, OpenOptions::new().read(true));
        let (part, remote) = tokio::join!(self.open_part(context, lane), opening);
        let part = part?;
        context.pace(size as usize).await?;
        let fetched = match remote {
            Ok(remote) => tokio::select! {
                // `small_len_max` is far below 4 GiB.
                fetched = fetch(remote, size as u32, how) => fetched,
                () = context.cancel.cancelled() => Err(Error::Cancelled),
            },
            Err(error) => Err(error),
        };
        let (content, compared) = match fetched {
            Ok(Some(fetched)) => fetched,
            Ok(None) => return Ok(None),
            Err(error) => {
                // There is nothing to resume.
                self.discard(context, part).await?;
                return Err(error);
            }
        };
        Ok(Some(match compared {
            Compared::As(verified) => {
                let placing = Placing::new(self, context);
                let place = move |part| placing.run(part);
                let notes = self.fill(context, part, content, size, place).await??;
                Sent::Complete(FileReport::whole(&self.source, size, verified, notes))
            }
            Compared::Later(algorithm, ours) => {
                let part = self.fill(context, part, content, size, |part| part).await?;
                Sent::Waits(Waits { part, size, algorithm, ours, notes: Vec::new() })
            }
        }))
    }

    /// Makes `content` the content of the part; what comes `then` is done by the same thread.
    async fn fill<T: Send + 'static>(
        &self,
        context: &Context,
        part: Part,
        content: ReadData,
        size: u64,
        then: impl FnOnce(Part) -> T + Send + 'static,
    ) -> Result<T, Error> {
        let filled = blocking(move || {
            let cut = rustix::fs::ftruncate(&part.fd, size).map_err(std::io::Error::from);
            match cut.and_then(|()| local::write_all_at(&part.fd, &content, 0)) {
                Ok(()) => Ok(then(part)),
                Err(error) => {
                    let error = Error::local("write", &part.path, error);
                    Err(Box::new((part, error)))
                }
            }
        });
        match filled.await? {
            Ok(done) => Ok(done),
            Err(unfilled) => {
                let (part, error) = *unfilled;
                self.discard(context, part).await?;
                Err(error)
            }
        }
    }
}

/// `None`: by no means that a small file has.
fn how_to_compare(context: &Context, lane: &Lane) -> Option<How> {
    match (context.options.verify, check_algorithms(&lane.sftp).first()) {
        (Verify::Off, _) => Some(How::Off),
        (_, Some(algorithm)) => Some(How::Handle(*algorithm)),
        (verify, None) => match expected_algorithm(context, lane) {
            Some(algorithm) => Some(How::Command(algorithm)),
            None => (verify == Verify::Auto).then_some(How::Size),
        },
    }
}

/// Reads a file of `size` bytes and closes it. `None` if it is not as long, or differs by the server's
/// digest: then it may be changing just now.
async fn fetch(
    mut remote: File,
    size: u32,
    how: How,
) -> Result<Option<(ReadData, Compared)>, Error> {
    let answers = Answers {
        data: remote.begin_read(0, size + 1).await?,
        end: remote.begin_read(u64::from(size), 1).await?,
        comparison: match how {
            How::Handle(algorithm) => Some(remote.begin_check(&[algorithm], 0, 0, 0).await?),
            How::Size => Some(remote.begin_stat().await?),
            How::Command(_) | How::Off => None,
        },
        close: remote.begin_close().await?,
    };
    let content = remote.read_result(answers.data.frame().await?, size + 1)?;
    let end = remote.read_result(answers.end.frame().await?, 1)?;
    let comparison = match answers.comparison {
        Some(comparison) => Some(comparison.frame().await?),
        None => None,
    };
    // Nothing was written: how it went does not matter.
    answers.close.frame().await?;
    if content.len() != size as usize || !end.is_end() {
        return Ok(None);
    }
    let digest = |algorithm| {
        let mut digester = Digester::new(algorithm);
        digester.update(&content);
        digester.finish()
    };
    let compared = match (how, comparison) {
        (How::Handle(algorithm), Some(theirs)) => {
            let theirs = remote.check_result(&theirs, &[algorithm]).ok();
            let ours = digest(algorithm);
            let same = theirs.is_some_and(|theirs| theirs.digests.first() == Some(&ours));
            same.then_some(Compared::As(Verified::Digest(algorithm.name())))
        }
        (How::Size, Some(stat)) => {
            let there = remote.stat_result(&stat).ok().and_then(|stat| stat.size);
            let same = there.is_none_or(|there| there == u64::from(size));
            let verified = if there.is_some() { Verified::Size } else { Verified::None };
            same.then_some(Compared::As(verified))
        }
        (How::Command(algorithm), _) => Some(Compared::Later(algorithm, digest(algorithm))),
        (How::Off, _) => Some(Compared::As(Verified::None)),
        (How::Handle(_) | How::Size, None) => None,
    };
    Ok(compared.map(|compared| (content, compared)))
}

#[cfg(test)]
mod tests;
