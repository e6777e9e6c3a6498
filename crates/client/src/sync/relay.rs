//! One file from server to server: through here with bounded memory, or copied at the server where both
//! are one.
//!
//! Written beside its target, verified by the digests of both servers, renamed into place, as an upload
//! is. A part that an earlier attempt left is continued if both servers can prove it by a digest.

use std::collections::VecDeque;

use sterna_sftp_proto::extension::Extension;

use super::apply::verify_copy;
use super::entry::Entry;
use super::remote_side::{RemoteSide, is_unsupported};
use crate::limits::{RELAY_REQUESTS_MAX, RESUME_MIN_LEN};
use crate::sftp::{Attrs, File, FileKind, OpenOptions, RenameOutcome, Waiting};
use crate::transfer::{Event, FileReport, Mover, Note, beside};
use crate::{Error, Refusal};

/// Copies `source` of one server to `target` of another, or the same.
pub(crate) async fn relay(
    from: &RemoteSide,
    to: &RemoteSide,
    source: &[u8],
    entry: &Entry,
    target: &[u8],
) -> Result<FileReport, Error> {
    let mover = &to.mover;
    mover.event(&Event::Start { path: source, bytes: entry.size });
    let work = copy(from, to, source, entry, target);
    tokio::select! {
        result = work => result,
        () = mover.cancel().cancelled() => Err(Error::Cancelled),
    }
}

async fn copy(
    from: &RemoteSide,
    to: &RemoteSide,
    source: &[u8],
    entry: &Entry,
    target: &[u8],
) -> Result<FileReport, Error> {
    let mover = &to.mover;
    let reading =
        from.mover.sftp(source).await?.open(source, OpenOptions::new().read(true)).await?;
    let before = reading.stat().await?;
    let part_path = beside(target);
    let (part, start) = open_part(from, to, (source, &before), entry, &part_path).await?;

    let copied =
        match from.mover.sftp(source).await?.is_same(&to.mover.sftp(target).await?) && start == 0 {
            true => copy_at_server(&reading, &part, before.size.unwrap_or(0)).await?,
            false => None,
        };
    let (size, sent) = match copied {
        Some(size) => (size, 0),
        None => {
            let reopened =
                from.mover.sftp(source).await?.open(source, OpenOptions::new().read(true)).await?;
            let mut sent = 0;
            let piped = pipe(reopened, &part, start, &mut sent, (mover, source, before.size)).await;
            (piped.inspect_err(|_| mover.travelled(sent))?, sent)
        }
    };
    let finished = async {
        let after = reading.stat().await?;
        if looks(&before) != looks(&after) || before.size != Some(size) {
            return Err(Error::SourceChanged { path: source.to_vec() });
        }
        let mut notes = finish_part(to, part, entry, &part_path).await?;
        let verified = verify_copy((from, source), (to, &part_path), size).await;
        if matches!(verified, Err(Error::VerificationFailed { .. })) {
            let _ = to.mover.sftp(target).await?.remove(&part_path).await;
        }
        let verified = verified?;
        notes.extend(put_into_place(to, &part_path, target).await?);
        Ok((verified, notes))
    };
    let (verified, notes) = finished.await.inspect_err(|_| mover.travelled(sent))?;
    Ok(FileReport {
        path: source.to_vec(),
        bytes: size,
        bytes_sent: sent,
        resumed_from: start,
        verified,
        notes,
    })
}

/// What changes when a file is written. Reading it changes the time of access.
fn looks(attrs: &Attrs) -> (Option<u64>, Option<u32>, Option<u32>) {
    (attrs.size, attrs.times.map(|times| times.modified), attrs.modified_nanos())
}

/// The part, open for writing, and how much of it is proven.
async fn open_part(
    from: &RemoteSide,
    to: &RemoteSide,
    (source, attrs): (&[u8], &Attrs),
    entry: &Entry,
    path: &[u8],
) -> Result<(File, u64), Error> {
    // Whatever its mode will be, we must be able to open it again.
    let mode = entry.mode.unwrap_or(0o644) & 0o777 | 0o600;
    let fresh = OpenOptions::new().write(true).create(true).exclusive(true).permissions(mode);
    let refused = match to.mover.sftp(path).await?.open(path, fresh).await {
        Ok(file) => return Ok((file, 0)),
        Err(error @ Error::Refused { .. }) => error,
        Err(error) => return Err(error),
    };
    let Ok(there) = to.mover.sftp(path).await?.lstat(path).await else { return Err(refused) };
    if FileKind::of(&there) == FileKind::File && to.mover.options().resume {
        let usable = there.size.unwrap_or(0).min(attrs.size.unwrap_or(0));
        if usable >= RESUME_MIN_LEN && prefixes_agree(from, to, source, path, usable).await? {
            let file =
                to.mover.sftp(path).await?.open(path, OpenOptions::new().write(true)).await?;
            file.set_attrs(&Attrs { size: Some(usable), ..Attrs::default() }).await?;
            return Ok((file, usable));
        }
    }
    to.mover.sftp(path).await?.remove(path).await?;
    Ok((to.mover.sftp(path).await?.open(path, fresh).await?, 0))
}

/// Whether both servers say the same of the first `len` bytes.
async fn prefixes_agree(
    from: &RemoteSide,
    to: &RemoteSide,
    source: &[u8],
    part: &[u8],
    len: u64,
) -> Result<bool, Error> {
    let theirs = to.mover.check_algorithms().await?;
    let common = from.mover.check_algorithms().await?.into_iter().find(|a| theirs.contains(a));
    let Some(algorithm) = common else { return Ok(false) };
    let algorithms = [algorithm];
    let (from, to) = (from.mover.sftp(source).await?, to.mover.sftp(part).await?);
    let both = tokio::join!(
        from.check_file(source, &algorithms, 0, len, 0),
        to.check_file(part, &algorithms, 0, len, 0)
    );
    match both {
        (Ok(ours), Ok(theirs)) => Ok(ours.digests == theirs.digests),
        (Err(error), _) | (_, Err(error)) if error.ends_channel() => Err(error),
        _ => Ok(false),
    }
}

/// Copies by `copy-data`; `None` if the server cannot.
async fn copy_at_server(source: &File, part: &File, size: u64) -> Result<Option<u64>, Error> {
    if size == 0 {
        return Ok(Some(0));
    }
    match source.copy_data(0, 0, part, 0).await {
        // Some servers answer success although the source ended early.
        Ok(()) => Ok(part.stat().await?.size),
        Err(error) if is_unsupported(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Reads ahead and writes behind; returns the size that the part has then.
async fn pipe(
    reading: File,
    part: &File,
    start: u64,
    sent: &mut u64,
    (mover, path, total): (&Mover, &[u8], Option<u64>),
) -> Result<u64, Error> {
    let left = total.unwrap_or(0).saturating_sub(start);
    let request = part.sftp().limits().write_len;
    // One more finds the end.
    let ahead =
        left.div_ceil(request.into()).saturating_add(1).min(RELAY_REQUESTS_MAX as u64) as usize;
    let _memory = mover.budget(2 * ahead * request as usize).await?;
    let mut reader = reading.reader_from(start, ahead);
    let mut writes: VecDeque<Waiting> = VecDeque::with_capacity(RELAY_REQUESTS_MAX);
    let step = request as usize;
    let mut at = start;
    while let Some(data) = reader.next().await? {
        for chunk in data.chunks(step) {
            if writes.len() >= RELAY_REQUESTS_MAX
                && let Some(oldest) = writes.pop_front()
            {
                part.write_result(&oldest.frame().await?)?;
            }
            mover.pace(chunk.len()).await?;
            let mut buffer = part.sftp().pool().take(chunk.len());
            buffer.extend_from_slice(chunk);
            writes.push_back(part.begin_write(at, buffer).await?);
            at += chunk.len() as u64;
            *sent += chunk.len() as u64;
        }
        mover.event(&Event::Progress { path, done: at, total });
    }
    for write in writes {
        part.write_result(&write.frame().await?)?;
    }
    Ok(at)
}

async fn finish_part(
    to: &RemoteSide,
    part: File,
    entry: &Entry,
    path: &[u8],
) -> Result<Vec<Note>, Error> {
    let options = to.mover.options();
    let mut notes = Vec::new();
    if options.fsync && to.mover.sftp(path).await?.has(Extension::Fsync) {
        match part.sync().await {
            // Announced, but not for this file system: it is as safe as it gets.
            Err(error) if error.refusal_code() == Some(Refusal::OP_UNSUPPORTED) => {
                notes.push(Note::NotSynced);
            }
            result => result?,
        }
    } else if options.fsync {
        notes.push(Note::NotSynced);
    }
    let mode = entry.mode.map(|mode| mode & 0o777);
    let attrs = entry.with_times_of(Attrs { permissions: mode, ..Attrs::default() });
    let set = match part.set_attrs(&attrs).await {
        // Servers without FSETSTAT may have SETSTAT.
        Err(error) if is_unsupported(&error) => {
            to.mover.sftp(path).await?.set_attrs(path, &attrs).await
        }
        result => result,
    };
    set?;
    part.close().await?;
    Ok(notes)
}

/// Gives the part its name.
async fn put_into_place(
    to: &RemoteSide,
    part: &[u8],
    target: &[u8],
) -> Result<Option<Note>, Error> {
    let error = match to.mover.sftp(target).await?.rename(part, target).await {
        Ok(RenameOutcome::Atomic | RenameOutcome::Plain) => return Ok(None),
        Err(error @ Error::Refused { .. }) => error,
        Err(error) => return Err(error),
    };
    let may = to.mover.options().replace_in_two_steps
        && !to.mover.sftp(target).await?.has(Extension::PosixRename);
    if !may || to.mover.sftp(target).await?.lstat(target).await.is_err() {
        return Err(error);
    }
    to.mover.sftp(target).await?.remove(target).await?;
    to.mover.sftp(target).await?.rename_plain(part, target).await?;
    Ok(Some(Note::ReplacedInTwoSteps))
}
