//! A small file to the server in three round trips: OPEN; everything in between at once; RENAME.
//!
//! No answer between OPEN and RENAME is needed to form the next request, so WRITE, `fsync`, FSETSTAT,
//! the comparison and CLOSE leave together; a server treats requests for one file in their order
//! (draft-02 §6.1). All answers are read before the file gets its name, and the first that is bad is
//! this file's error. There is nothing to resume: after a failure the part is removed.

use sterna_sftp_proto::extension::Extension;
use sterna_ssh_crypto::{DigestAlgorithm, Digester};

use super::lanes::Lane;
use super::progress::{FileReport, Verified};
use super::upload::{Part, Source, Upload, final_attrs};
use super::verify::{self, check_algorithms};
use super::{Context, Verify};
use crate::limits::RESUME_MIN_LEN;
use crate::sftp::{Buffer, Waiting};
use crate::{Error, Refusal};

/// Files below this go the short way, in bytes: one WRITE holds them, and a part of one is never
/// resumed.
pub(super) fn small_len_max(lane: &Lane) -> u64 {
    RESUME_MIN_LEN.min(u64::from(lane.sftp.limits().write_len))
}

/// How the content at the server is looked at while it is still open there.
enum Comparison {
    Digest {
        algorithm: DigestAlgorithm,
        ours: Vec<u8>,
        theirs: Waiting,
    },
    Size(Waiting),
    /// It will be compared when it is closed, or not at all.
    Later,
}

/// The answers that are under way, in the order of their requests.
struct Answers {
    write: Option<Waiting>,
    sync: Option<Waiting>,
    attrs: Option<Waiting>,
    comparison: Comparison,
    close: Waiting,
}

impl Upload {
    /// Uploads a file whose whole content is here, verifies it, puts it into place.
    pub(super) async fn run_small(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        content: Buffer,
    ) -> Result<FileReport, Error> {
        // The server compares by the handle, if it does at all, and reads through it.
        let algorithms = check_algorithms(&lane.sftp);
        let algorithm = algorithms.first().filter(|_| context.options.verify != Verify::Off);
        let mut by_handle = algorithm.copied();
        let mut part = match self.open_part(context, lane, source, &None, by_handle.is_some()).await
        {
            // A drop box: files may be put there and not be read.
            Err(Error::Refused { .. }) if by_handle.is_some() => {
                by_handle = None;
                self.open_part(context, lane, source, &None, false).await?
            }
            opened => opened?,
        };
        let finished = tokio::select! {
            finished = self.fill_and_name(context, lane, source, content, &mut part, by_handle) => {
                finished
            }
            () = context.cancel.cancelled() => Err(Error::Cancelled),
        };
        let (verified, replaced_in_two_steps) = match finished {
            Ok(finished) => finished,
            Err(error) => {
                context.travelled(source.size);
                if !error.ends_channel() {
                    let path = part.path.clone();
                    // Closes it, where that did not happen yet.
                    drop(part);
                    let _ = lane.sftp.remove(&path).await;
                }
                return Err(error);
            }
        };
        Ok(FileReport {
            path: self.source.clone(),
            bytes: source.size,
            bytes_sent: source.size,
            resumed_from: 0,
            verified,
            replaced_in_two_steps,
        })
    }

    async fn fill_and_name(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        content: Buffer,
        part: &mut Part,
        by_handle: Option<DigestAlgorithm>,
    ) -> Result<(Verified, bool), Error> {
        let answers = begin(context, lane, source, content, part, by_handle).await?;
        let verified = match self.take_answers(context, lane, source, part, answers).await? {
            Some(verified) => verified,
            None => {
                let (fd, len) = (&source.fd, source.size);
                verify::verify(context, lane, fd, &part.path, len, &self.source).await?
            }
        };
        Ok((verified, self.put_into_place(context, lane, &part.path).await?))
    }

    /// Reads all answers; `None` if the comparison is still to be made.
    async fn take_answers(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        part: &Part,
        answers: Answers,
    ) -> Result<Option<Verified>, Error> {
        let file = &part.file;
        if let Some(write) = answers.write {
            file.write_result(&write.frame().await?)?;
        }
        if let Some(sync) = answers.sync {
            // Announced, but not for this file system: it is as safe as it gets.
            unless_unsupported(file.done(&sync.frame().await?, "sync"))?;
        }
        let mut attrs_are_set = true;
        if let Some(attrs) = answers.attrs {
            let set = file.done(&attrs.frame().await?, "set attributes of");
            attrs_are_set = match set {
                // Nobody asked for it; stores without modes refuse it.
                Err(Error::Refused { .. }) if !context.options.preserve => true,
                set => unless_unsupported(set)?,
            };
        }
        let compared = match answers.comparison {
            Comparison::Digest { algorithm, ours, theirs } => {
                let theirs = theirs.frame().await?;
                file.check_result(&theirs, &[algorithm])
                    .ok()
                    .filter(|theirs| theirs.digests.first() == Some(&ours))
                    .map(|_| Verified::Digest(algorithm.name()))
            }
            Comparison::Size(stat) => {
                let stat = file.stat_result(&stat.frame().await?).ok();
                stat.filter(|stat| stat.size == Some(source.size)).map(|_| Verified::Size)
            }
            Comparison::Later => None,
        };
        file.done(&answers.close.frame().await?, "close")?;
        if !attrs_are_set && let Some(attrs) = final_attrs(context, source, part) {
            // Servers without FSETSTAT may have SETSTAT.
            lane.sftp.set_attrs(&part.path, &attrs).await?;
        }
        // What differs while it is open is looked at again when it is closed, before it is called bad:
        // a server may show what it has not yet stored.
        Ok(compared)
    }
}

/// Sends everything between OPEN and RENAME.
async fn begin(
    context: &Context,
    lane: &Lane,
    source: &Source,
    content: Buffer,
    part: &mut Part,
    by_handle: Option<DigestAlgorithm>,
) -> Result<Answers, Error> {
    let options = &context.options;
    let attrs = final_attrs(context, source, part);
    let file = &mut part.file;
    let ours = by_handle.map(|algorithm| {
        let mut digester = Digester::new(algorithm);
        digester.update(&content);
        (algorithm, digester.finish())
    });
    // Never a WRITE without bytes: some servers refuse it.
    let write = match content.is_empty() {
        true => None,
        false => Some(file.begin_write(0, content).await?),
    };
    let sync = match options.fsync && lane.sftp.has(Extension::Fsync) {
        true => Some(file.begin_sync().await?),
        false => None,
    };
    let attrs = match attrs {
        Some(attrs) => Some(file.begin_set_attrs(&attrs).await?),
        None => None,
    };
    let comparison = match ours {
        Some((algorithm, ours)) => {
            let theirs = file.begin_check(&[algorithm], 0, 0, 0).await?;
            Comparison::Digest { algorithm, ours, theirs }
        }
        None if options.verify == Verify::Auto && !has_digests(context, lane) => {
            Comparison::Size(file.begin_stat().await?)
        }
        None => Comparison::Later,
    };
    let close = file.begin_close().await?;
    Ok(Answers { write, sync, attrs, comparison, close })
}

/// Whether there is a way to more than the size.
fn has_digests(context: &Context, lane: &Lane) -> bool {
    !check_algorithms(&lane.sftp).is_empty() || context.commands(lane).is_some()
}

/// Whether it was done; a server that lacks the operation is no error.
fn unless_unsupported(result: Result<(), Error>) -> Result<bool, Error> {
    match result {
        Ok(()) => Ok(true),
        Err(error) if error.refusal_code() == Some(Refusal::OP_UNSUPPORTED) => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
