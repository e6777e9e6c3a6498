//! The two names of a part: one for the first attempt, the other for whoever finds what one left.
//!
//! A session whose connection was lost may go on at the server, also after this program was killed. The
//! RENAME that waits there may be carried out long after the next attempt has begun, and must not meet
//! half a file. It cannot, for these reasons:
//!
//! - A RENAME onto the target is sent only when the part is complete and verified, and no attempt writes
//!   to a part after that. So as long as it waits, a complete part stands under the name that it knows.
//! - So the next attempt finds a part there. Before anything else it moves it to the other name (a
//!   rename is one step: either the late one comes first and publishes a complete file, or this one, and
//!   the late one finds nothing), or leaves it there as it is.
//! - It works under the other name only, and makes nothing under the one where it found the part.
//! - An attempt that finds no part at all may begin under the first name: nothing waits.
//!
//! A server may refuse to move it: one that publishes on close gives an unfinished upload no name at all. It would
//! refuse the late RENAME as well, so there the next attempt goes on where the part is.
//!
//! So one session may hang for as long as it likes. Only if a second one hangs behind it, and the first
//! one outlives both, does a third attempt write under a name that a RENAME still waits for.
//!
//! A small part is not moved, for nothing of it is used: it stays where it was found until the new one is
//! complete, so that whoever is killed in between leaves something by which the next one knows what to
//! do, and goes right before the new one gets its name.

use super::Upload;
use crate::Error;
use crate::limits::PART_TRIES_MAX;
use crate::sftp::{Attrs, File, FileKind, OpenOptions};
use crate::transfer::Context;
use crate::transfer::companion_name;
use crate::transfer::lanes::Lane;

/// What stands there to be written.
pub(super) enum Found {
    /// Nothing was left: a new file, open.
    New(File, Vec<u8>),
    /// Left by an earlier attempt, under the name where this one may work on it.
    Left(Vec<u8>, Attrs),
}

impl Upload {
    /// Makes a part, or takes over the one that an earlier attempt left. `reads`: the server is asked to
    /// let us read a new one too, if it may.
    pub(super) async fn find_part(
        &self,
        context: &Context,
        lane: &Lane,
        new: OpenOptions,
        reads: bool,
    ) -> Result<Found, Error> {
        let sftp = &lane.sftp;
        let (first, second) = (beside(&self.target), other_beside(&self.target));
        let mut tries = PART_TRIES_MAX;
        loop {
            // EXCL: a link that somebody left under this name must not be written through.
            let opening = sftp.open(&first, new.exclusive(true).read(reads));
            let (opened, other) = tokio::join!(opening, sftp.lstat(&second));
            let refused = match opened {
                Ok(file) => {
                    let other = other.ok().filter(|there| FileKind::of(there) == FileKind::File);
                    let Some(there) = other else { return Ok(Found::New(file, first)) };
                    file.close().await?;
                    sftp.remove(&first).await?;
                    return match move_part(lane, &second, &first).await {
                        Ok(()) => Ok(Found::Left(first, there)),
                        Err(error) if stays(&error) => Ok(Found::Left(second, there)),
                        Err(error) => Err(error),
                    };
                }
                Err(error @ Error::Refused { .. }) => error,
                Err(error) => return Err(error),
            };
            let there = match sftp.lstat(&first).await {
                Ok(there) => there,
                Err(error) if error.ends_channel() => return Err(error),
                // It was not its being there: perhaps nobody may read here.
                Err(_) if reads && !context.is_too_much_at_once(&refused) => {
                    let opened = sftp.open(&first, new.exclusive(true)).await;
                    return opened.map(|file| Found::New(file, first)).map_err(|_| refused);
                }
                Err(_) => return Err(refused),
            };
            if !matches!(FileKind::of(&there), FileKind::File | FileKind::Symlink) {
                return Err(refused);
            }
            match move_part(lane, &first, &second).await {
                Ok(()) => return Ok(Found::Left(second, there)),
                // It got its name just now.
                Err(error) if error.is_not_found() && tries > 0 => tries -= 1,
                Err(error) if stays(&error) && FileKind::of(&there) == FileKind::File => {
                    return Ok(Found::Left(first, there));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes a new part of which nothing is kept, and returns it with its path.
    pub(super) async fn new_part(
        &self,
        lane: &Lane,
        new: OpenOptions,
    ) -> Result<(File, Vec<u8>), Error> {
        let sftp = &lane.sftp;
        let (mut path, other) = (beside(&self.target), other_beside(&self.target));
        let mut tries = PART_TRIES_MAX;
        loop {
            let refused = match sftp.open(&path, new.exclusive(true)).await {
                Ok(file) => {
                    // An attempt may have been cut between removing the first part and naming its own.
                    if path != other && self.reached.is_again() {
                        remove_if_there(lane, &other).await?;
                    }
                    return Ok((file, path));
                }
                Err(error @ Error::Refused { .. }) => error,
                Err(error) => return Err(error),
            };
            tries -= 1;
            if tries == 0 || sftp.lstat(&path).await.is_err() {
                return Err(refused);
            }
            if path != other {
                path = other.clone();
                continue;
            }
            // Nobody asked for its name while something stands under the first one.
            remove_if_there(lane, &path).await?;
        }
    }

    /// Removes what was left, right before the part gets its name: nothing may wait for it after that.
    pub(super) async fn remove_left(&self, lane: &Lane, part: &[u8]) -> Result<(), Error> {
        if part != other_beside(&self.target) {
            return Ok(());
        }
        remove_if_there(lane, &beside(&self.target)).await
    }
}

async fn remove_if_there(lane: &Lane, path: &[u8]) -> Result<(), Error> {
    match lane.sftp.remove(path).await {
        Err(error) if !error.is_not_found() => Err(error),
        _ => Ok(()),
    }
}

/// The server does not move this part for anybody; see the module.
fn stays(error: &Error) -> bool {
    matches!(error, Error::Refused { .. }) && !error.is_not_found()
}

/// Moves a part, over what stands there.
async fn move_part(lane: &Lane, from: &[u8], to: &[u8]) -> Result<(), Error> {
    let error = match lane.sftp.rename(from, to).await {
        Ok(_) => return Ok(()),
        Err(error @ Error::Refused { .. }) if !error.is_not_found() => error,
        Err(error) => return Err(error),
    };
    match lane.sftp.remove(to).await {
        Ok(()) => lane.sftp.rename(from, to).await.map(drop),
        Err(lost) if lost.ends_channel() => Err(lost),
        Err(_) => Err(error),
    }
}

/// The part's path: its name beside the target.
pub(crate) fn beside(target: &[u8]) -> Vec<u8> {
    companion(target, ".sterna-part")
}

/// Its other name; see the module.
fn other_beside(target: &[u8]) -> Vec<u8> {
    companion(target, ".sterna-part2")
}

fn companion(target: &[u8], suffix: &str) -> Vec<u8> {
    let at = target.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
    [&target[..at], &companion_name(&target[at..], suffix)].concat()
}
