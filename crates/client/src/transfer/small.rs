//! A small file to the server in three round trips: OPEN; everything in between at once; RENAME.
//!
//! No answer between OPEN and RENAME is needed to form the next request, so WRITE, `fsync`, FSETSTAT,
//! the comparison and CLOSE leave together; a server treats requests for one file in their order
//! (draft-02 §6.1). All answers are read before the file gets its name, and the first that is bad is
//! this file's error. There is nothing to resume: after a failure the part is removed.

use sterna_sftp_proto::extension::Extension;
use sterna_ssh_crypto::{DigestAlgorithm, Digester};

use super::lanes::Lane;
use super::progress::{FileReport, Note, Verified};
use super::upload::{Part, Source, Tally, Upload, final_attrs, keep_owner, unless_unsupported};
use super::verify::{Found, Sides, check_algorithms, expected_algorithm};
use super::waits::{Sent, Waits};
use super::{Context, Verify};
use crate::Error;
use crate::limits::RESUME_MIN_LEN;
use crate::sftp::{Buffer, Waiting};

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
    /// By a command, which gets to know only what is closed.
    Command {
        algorithm: DigestAlgorithm,
        ours: Vec<u8>,
    },
    /// It will be compared when it is closed, or not at all.
    Later,
}

/// What is written, and what the server is asked to compare it by while it is open.
struct Filling {
    content: Buffer,
    by_handle: Option<DigestAlgorithm>,
}

/// What the answers say of the content.
enum Compared {
    As(Verified),
    /// The server's digest is still to be compared with ours.
    Command(DigestAlgorithm, Vec<u8>),
    Unsure,
}

/// The answers that are under way, in the order of their requests.
struct Answers {
    write: Option<Waiting>,
    sync: Option<Waiting>,
    /// Of the part, to see whose it is.
    stat: Option<Waiting>,
    attrs: Option<Waiting>,
    comparison: Comparison,
    close: Waiting,
}

impl Upload {
    /// Uploads a file whose whole content is here, verifies it, puts it into place. Where a command verifies,
    /// the file waits for that.
    pub(super) async fn run_small(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        content: Buffer,
    ) -> Result<Sent<Vec<u8>>, Error> {
        // The server compares by the handle, if it does at all, and reads through it.
        let algorithms = check_algorithms(&lane.sftp);
        let algorithm = algorithms.first().filter(|_| context.options.verify != Verify::Off);
        let mut by_handle = algorithm.copied();
        let mut part = match self.open_new_part(context, lane, source, by_handle.is_some()).await {
            // A drop box: files may be put there and not be read.
            Err(Error::Refused { .. }) if by_handle.is_some() => {
                by_handle = None;
                self.open_new_part(context, lane, source, false).await?
            }
            opened => opened?,
        };
        let mut tally = Tally { sent: source.size, notes: Vec::new() };
        let filling = Filling { content, by_handle };
        let finished = tokio::select! {
            finished = self.fill_and_name(context, lane, source, filling, &mut part, &mut tally) => {
                finished
            }
            () = context.cancel.cancelled() => Err(Error::Cancelled),
        };
        let compared = match finished {
            Ok(compared) => compared,
            Err(error) => {
                context.travelled(tally.sent);
                if !error.ends_channel() {
                    let path = part.path.clone();
                    // Closes it, where that did not happen yet.
                    drop(part);
                    let _ = lane.sftp.remove(&path).await;
                }
                return Err(error);
            }
        };
        let (size, notes) = (source.size, tally.notes);
        Ok(match compared {
            Ok(verified) => {
                let report = FileReport::whole(&self.source, size, verified, notes);
                Sent::Complete(FileReport { bytes_sent: tally.sent, ..report })
            }
            Err((algorithm, ours)) => {
                Sent::Waits(Waits { part: part.path.clone(), size, algorithm, ours, notes })
            }
        })
    }

    /// `Err` with our digest if the server's is still to be asked for and the file has no name yet.
    async fn fill_and_name(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        filling: Filling,
        part: &mut Part,
        tally: &mut Tally,
    ) -> Result<Result<Verified, (DigestAlgorithm, Vec<u8>)>, Error> {
        context.pace(filling.content.len()).await?;
        let answers = begin(context, lane, source, filling, part).await?;
        let verified = match self.take_answers(context, lane, source, part, answers, tally).await? {
            Compared::As(verified) => verified,
            Compared::Command(algorithm, ours) => return Ok(Err((algorithm, ours))),
            Compared::Unsure => {
                let sides = Sides {
                    context,
                    lane,
                    local: &source.fd,
                    remote_path: &part.path,
                    source: &self.source,
                    len: source.size,
                };
                match sides.compare(None).await? {
                    Found::Same(verified) => verified,
                    Found::Differs(why) => {
                        self.repair(source, &sides, part.replaced, why, tally).await?
                    }
                }
            }
        };
        tally.notes.extend(self.put_into_place(context, lane, &part.path).await?);
        Ok(Ok(verified))
    }

    /// Reads all answers.
    async fn take_answers(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        part: &Part,
        answers: Answers,
        tally: &mut Tally,
    ) -> Result<Compared, Error> {
        let file = &part.file;
        if let Some(write) = answers.write {
            file.write_result(&write.frame().await?)?;
        }
        let synced = match answers.sync {
            Some(sync) => unless_unsupported(file.done(&sync.frame().await?, "sync"))?,
            None => !context.options.fsync,
        };
        if !synced {
            tally.note(Note::NotSynced);
        }
        let stat = match answers.stat {
            Some(stat) => file.stat_result(&stat.frame().await?).ok(),
            None => None,
        };
        let set = match answers.attrs {
            Some(set) => file.done(&set.frame().await?, "set attributes of"),
            None => Ok(()),
        };
        let compared = match answers.comparison {
            Comparison::Digest { algorithm, ours, theirs } => {
                let theirs = theirs.frame().await?;
                file.check_result(&theirs, &[algorithm])
                    .ok()
                    .filter(|theirs| theirs.digests.first() == Some(&ours))
                    .map_or(Compared::Unsure, |_| Compared::As(Verified::Digest(algorithm.name())))
            }
            Comparison::Size(stat) => {
                let stat = file.stat_result(&stat.frame().await?).ok();
                stat.filter(|stat| stat.size == Some(source.size))
                    .map_or(Compared::Unsure, |_| Compared::As(Verified::Size))
            }
            Comparison::Command { algorithm, ours } => Compared::Command(algorithm, ours),
            Comparison::Later => Compared::Unsure,
        };
        file.done(&answers.close.frame().await?, "close")?;
        if let Some(attrs) = final_attrs(context, source, part) {
            tally.notes.extend(self.judge_attrs(context, lane, &part.path, &attrs, set).await?);
        }
        let owner = part.replaced.and_then(|replaced| replaced.owner);
        tally.notes.extend(keep_owner(lane, &part.path, owner, stat).await?);
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
    filling: Filling,
    part: &mut Part,
) -> Result<Answers, Error> {
    let Filling { content, by_handle } = filling;
    let options = &context.options;
    let attrs = final_attrs(context, source, part);
    let file = &mut part.file;
    let digest = |algorithm| {
        let mut digester = Digester::new(algorithm);
        digester.update(&content);
        (algorithm, digester.finish())
    };
    let ours = by_handle.map(digest);
    let by_command = expected_algorithm(context, lane)
        .filter(|_| check_algorithms(&lane.sftp).is_empty())
        .map(digest);
    // Never a WRITE without bytes: some servers refuse it.
    let write = match content.is_empty() {
        true => None,
        false => Some(file.begin_write(0, content).await?),
    };
    let sync = match options.fsync && lane.sftp.has(Extension::Fsync) {
        true => Some(file.begin_sync().await?),
        false => None,
    };
    let stat = match part.replaced {
        Some(_) => Some(file.begin_stat().await?),
        None => None,
    };
    let attrs = match attrs {
        Some(attrs) => Some(file.begin_set_attrs(&attrs).await?),
        None => None,
    };
    let comparison = match (ours, by_command) {
        (Some((algorithm, ours)), _) => {
            let theirs = file.begin_check(&[algorithm], 0, 0, 0).await?;
            Comparison::Digest { algorithm, ours, theirs }
        }
        (None, Some((algorithm, ours))) => Comparison::Command { algorithm, ours },
        (None, None) if options.verify == Verify::Auto && !has_digests(context, lane) => {
            Comparison::Size(file.begin_stat().await?)
        }
        (None, None) => Comparison::Later,
    };
    let close = file.begin_close().await?;
    Ok(Answers { write, sync, stat, attrs, comparison, close })
}

/// Whether there is a way to more than the size.
fn has_digests(context: &Context, lane: &Lane) -> bool {
    !check_algorithms(&lane.sftp).is_empty() || context.commands(lane).is_some()
}

#[cfg(test)]
mod tests;
