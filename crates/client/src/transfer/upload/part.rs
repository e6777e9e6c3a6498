//! The remote file that an upload writes, and which ranges of it are still wrong.
//!
//! It is new, or what an earlier attempt left, or (delta) new and filled by the server itself with
//! what stands under the target's name; `in_place` it is the target.

use std::sync::Arc;

use sterna_sftp_proto::extension::Extension;

use super::take_over::{Found, beside};
use super::{Source, Upload};
use crate::Error;
use crate::limits::{DELTA_MIN_LEN, RESUME_MIN_LEN};
use crate::sftp::{Attrs, File, FileKind, OpenOptions};
use crate::transfer::lanes::Lane;
use crate::transfer::progress::Event;
use crate::transfer::ranges::Ranges;
use crate::transfer::resume::{Journal, NOT_PROVEN, Proven, proven};
use crate::transfer::verify::check_algorithms;
use crate::transfer::{Context, Sparse, blocking, sparse};

/// The remote part, open for writing.
pub(in crate::transfer) struct Part {
    pub(in crate::transfer) file: File,
    pub(in crate::transfer) path: Vec<u8>,
    /// The file that it will replace.
    pub(in crate::transfer) replaced: Option<Attrs>,
}

/// What must be written into a part.
pub(super) struct Plan {
    pub(super) ranges: Ranges,
    /// What is written has nothing behind it that is worth keeping: after a failure it may be cut to
    /// what is there without a gap.
    pub(super) is_tail: bool,
    /// The first byte that must travel, of what an earlier attempt left; 0 if it left nothing.
    pub(super) resumed_from: u64,
}

/// A part as it was opened.
struct Opened {
    file: File,
    path: Vec<u8>,
    /// What is right in the bytes that it has, and how many those are; `None`: it is empty.
    had: Option<(Proven, u64)>,
}

impl Upload {
    /// Opens the part, new or to go on with, and says what is still to be written.
    pub(super) async fn open_part(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        journal: &mut Option<Journal>,
    ) -> Result<(Part, Plan), Error> {
        // Side by side: no round trip more.
        let (opened, replaced) = tokio::join!(
            self.open_new_or_old(context, lane, source, journal),
            self.find_replaced(context, lane)
        );
        let (mut opened, replaced) = (opened?, replaced);
        let left_by_earlier = opened.had.is_some();
        if !left_by_earlier && let Some(replaced) = &replaced {
            opened.had = self.fill_from_replaced(context, lane, source, &opened, replaced).await?;
        }
        let Opened { file, path, had } = opened;
        let part_len = had.as_ref().map_or(0, |(_, len)| *len);
        let usable = part_len.min(source.size);
        let (ranges, is_tail) = match had.map(|(proven, _)| proven) {
            None => (Ranges::of(0..source.size), true),
            Some(proven) => {
                let ranges = proven.missing(usable, source.size);
                let is_tail = ranges.iter().count() <= 1
                    && ranges.first().is_none_or(|first| first >= usable);
                (ranges, is_tail)
            }
        };
        // What is behind the proven start, or behind the end, must go.
        let keep = match is_tail {
            true => ranges.first().unwrap_or(source.size),
            false => source.size,
        };
        if part_len > keep {
            file.set_attrs(&Attrs { size: Some(keep), ..Attrs::default() }).await?;
        }
        let resumed_from = match left_by_earlier {
            true => ranges.first().unwrap_or(source.size),
            false => 0,
        };
        let fresh_from = keep.min(part_len);
        let ranges = self.leave_out_holes(context, source, &file, ranges, fresh_from).await?;
        if let Some(journal) = journal {
            journal.begin(ranges.first().unwrap_or(source.size));
        }
        Ok((Part { file, path, replaced }, Plan { ranges, is_tail, resumed_from }))
    }

    /// A new part for a small file. `reads`: the server may be asked to read through it.
    pub(in crate::transfer) async fn open_new_part(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        reads: bool,
    ) -> Result<Part, Error> {
        let opening = self.new_part(lane, new_options(source).read(reads));
        let (opened, replaced) = tokio::join!(opening, self.find_replaced(context, lane));
        let (file, path) = opened?;
        Ok(Part { file, path, replaced })
    }

    /// What is written: a file beside the target, under this name at first, or the target.
    pub(super) fn part_path(&self, context: &Context) -> Vec<u8> {
        match context.options.in_place {
            true => self.target.clone(),
            false => beside(&self.target),
        }
    }

    /// The regular file that the upload will replace.
    async fn find_replaced(&self, context: &Context, lane: &Lane) -> Option<Attrs> {
        if context.options.in_place || self.replaces_nothing {
            return None;
        }
        let there = lane.sftp.lstat(&self.target).await.ok()?;
        (FileKind::of(&there) == FileKind::File).then_some(there)
    }

    async fn open_new_or_old(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        journal: &mut Option<Journal>,
    ) -> Result<Opened, Error> {
        if context.options.in_place {
            return self.open_target(context, lane, source, journal).await;
        }
        let new = new_options(source);
        // What the server fills by itself is compared through this handle: under its name it may not be
        // seen yet.
        let reads = can_fill(context, lane);
        let (path, there) = match self.find_part(context, lane, new, reads).await? {
            Found::New(file, path) => return Ok(Opened { file, path, had: None }),
            Found::Left(path, there) => (path, there),
        };
        if let Some(found) = self.prove(context, lane, source, (&path, &there), journal).await? {
            let file = lane.sftp.open(&path, OpenOptions::new().write(true)).await?;
            return Ok(Opened { file, path, had: Some(found) });
        }
        lane.sftp.remove(&path).await?;
        let file = lane.sftp.open(&path, new.exclusive(true).read(reads)).await?;
        Ok(Opened { file, path, had: None })
    }

    /// Opens the target itself, new or as it is.
    async fn open_target(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        journal: &mut Option<Journal>,
    ) -> Result<Opened, Error> {
        let (sftp, path, options) = (&lane.sftp, self.target.clone(), new_options(source));
        let refused = match sftp.open(&path, options.exclusive(true)).await {
            Ok(file) => return Ok(Opened { file, path, had: None }),
            Err(error @ Error::Refused { .. }) => error,
            Err(error) => return Err(error),
        };
        // Who names a link as the target and writes in place means what it leads to.
        let there = match sftp.stat(&path).await {
            Ok(there) => there,
            Err(error) if error.ends_channel() => return Err(error),
            Err(_) => return Err(refused),
        };
        if let Some(found) = self.prove(context, lane, source, (&path, &there), journal).await? {
            let file = sftp.open(&path, OpenOptions::new().write(true)).await?;
            return Ok(Opened { file, path, had: Some(found) });
        }
        let file = sftp.open(&path, options.truncate(true)).await?;
        Ok(Opened { file, path, had: None })
    }

    /// How much of what an earlier attempt left is right, and its length; `None`: it is of no use.
    async fn prove(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        (path, there): (&[u8], &Attrs),
        journal: &mut Option<Journal>,
    ) -> Result<Option<(Proven, u64)>, Error> {
        let len = there.size.unwrap_or(0);
        let usable = len.min(source.size);
        let is_file = FileKind::of(there) == FileKind::File;
        if !context.options.resume || !is_file || usable < RESUME_MIN_LEN {
            return Ok(None);
        }
        let noted = journal.as_mut().and_then(Journal::read);
        let tell = |done| context.comparing(&self.source, done, usable);
        let found = match lane.sftp.open(path, OpenOptions::new().read(true)).await {
            Ok(file) => tokio::select! {
                found = proven(&source.fd, &file, usable, noted, &tell) => found?,
                () = context.cancel.cancelled() => return Err(Error::Cancelled),
            },
            Err(error) if error.ends_channel() || context.is_too_much_at_once(&error) => {
                return Err(error);
            }
            Err(_) => Proven::NONE,
        };
        if found.is_nothing_of(usable) {
            if !context.options.in_place && !self.reached.is_again() {
                context.progress.event(&Event::Retry { path: &self.source, why: NOT_PROVEN });
            }
            return Ok(None);
        }
        Ok(Some((found, len)))
    }

    /// Lets the server copy what the upload will replace into the new part; then only what differs must
    /// travel. `None`: it was not done, and the part is empty.
    async fn fill_from_replaced(
        &self,
        context: &Context,
        lane: &Lane,
        source: &Source,
        part: &Opened,
        replaced: &Attrs,
    ) -> Result<Option<(Proven, u64)>, Error> {
        let sftp = &lane.sftp;
        let len = replaced.size.unwrap_or(0).min(source.size);
        if !can_fill(context, lane) || len < DELTA_MIN_LEN {
            return Ok(None);
        }
        let fill = async {
            let old = sftp.open(&self.target, OpenOptions::new().read(true)).await?;
            old.copy_data(0, len, &part.file, 0).await?;
            let copied = part.file.stat().await?.size.unwrap_or(0);
            // Digests of what is in the part now: whatever the server has copied, none of it is believed.
            let usable = copied.min(source.size);
            let tell = |done| context.comparing(&self.source, done, usable);
            let found = proven(&source.fd, &part.file, usable, None, &tell).await?;
            Ok((found, copied))
        };
        let filled = tokio::select! {
            filled = fill => filled,
            () = context.cancel.cancelled() => return Err(Error::Cancelled),
        };
        match filled {
            Ok(filled) => Ok(Some(filled)),
            Err(error) if context.is_too_much_at_once(&error) => Err(error),
            Err(error @ (Error::Refused { .. } | Error::Unsupported { .. })) => {
                tracing::debug!(%error, "no delta upload");
                part.file.set_attrs(&Attrs { size: Some(0), ..Attrs::default() }).await?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Ranges without the source's holes, where the part has nothing from byte `fresh_from` on.
    async fn leave_out_holes(
        &self,
        context: &Context,
        source: &Source,
        file: &File,
        ranges: Ranges,
        fresh_from: u64,
    ) -> Result<Ranges, Error> {
        if context.options.sparse == Sparse::Never {
            return Ok(ranges);
        }
        let (fd, stat, size) = (Arc::clone(&source.fd), source.stat, source.size);
        let Some(data) = blocking(move || sparse::local_data(&fd, &stat, size)).await? else {
            return Ok(ranges);
        };
        let data = ranges.only_data_from(fresh_from, &data);
        if data == ranges {
            return Ok(ranges);
        }
        // The server makes the holes; one that cannot gets zeros.
        match file.set_attrs(&Attrs { size: Some(size), ..Attrs::default() }).await {
            Ok(()) => Ok(data),
            Err(Error::Refused { .. }) => Ok(ranges),
            Err(error) => Err(error),
        }
    }

    /// After a failure: what is behind the first gap is cut off as well as that is still possible, unless
    /// it was right before.
    pub(super) async fn keep_part(&self, part: &Part, plan: &Plan, contiguous: u64, error: &Error) {
        let can_ask = !matches!(error, Error::Interrupted { .. } | Error::Peer { .. });
        if plan.is_tail && can_ask {
            let cut = Attrs { size: Some(contiguous), ..Attrs::default() };
            let _ = part.file.set_attrs(&cut).await;
        }
    }
}

/// Whether the server can fill a new part by itself, so that only what differs must travel.
fn can_fill(context: &Context, lane: &Lane) -> bool {
    context.options.delta
        && lane.sftp.has(Extension::CopyData)
        && !check_algorithms(&lane.sftp).is_empty()
}

/// How a new part is opened. Whatever its mode will be, we must be able to open it again.
fn new_options(source: &Source) -> OpenOptions {
    let mode = (source.stat.st_mode & 0o777) | 0o600;
    OpenOptions::new().write(true).create(true).permissions(mode)
}
