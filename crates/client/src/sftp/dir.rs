//! Directories of the server, read in batches; names are judged before anybody sees them.
//!
//! Several READDIRs are under way at once in a long directory, so that distance does not cost a round trip
//! for every batch. Replies are taken in the order of their requests, whatever order they come in.

use std::collections::VecDeque;

use sterna_sftp_proto::attrs::kind;
use sterna_sftp_proto::extension::{Extended, Extension, Fsync};
use sterna_sftp_proto::messages::{Close, Opendir, Readdir};
use sterna_sftp_proto::{Reply, StatusCode};

use super::{Attrs, Sftp, Waiting, refused};
use crate::limits::{EMPTY_BATCHES_MAX, LIST_ENTRIES_MAX, READDIR_AHEAD_MAX, READDIR_AHEAD_START};
use crate::{Error, display_name};

/// One entry of a directory.
#[derive(Clone, Debug)]
pub struct Entry {
    /// A single name: not empty, no slash, no zero byte, neither `.` nor `..`.
    pub name: Vec<u8>,
    /// The server's `ls -l` line; for people, not yet safe to print.
    pub long_name: Vec<u8>,
    pub attrs: Attrs,
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    File,
    Dir,
    Symlink,
    /// A device, pipe or socket.
    Other,
    /// The server did not say.
    Unknown,
}

impl FileKind {
    /// From attributes alone.
    pub fn of(attrs: &Attrs) -> Self {
        match attrs.permissions.map_or(0, |mode| mode & kind::MASK) {
            kind::REGULAR => Self::File,
            kind::DIRECTORY => Self::Dir,
            kind::SYMLINK => Self::Symlink,
            0 => Self::Unknown,
            _ => Self::Other,
        }
    }
}

impl Entry {
    /// From the attributes, else from the first letter of the long name (CLT-13).
    pub fn kind(&self) -> FileKind {
        match (FileKind::of(&self.attrs), self.long_name.first()) {
            (FileKind::Unknown, Some(b'-')) => FileKind::File,
            (FileKind::Unknown, Some(b'd')) => FileKind::Dir,
            (FileKind::Unknown, Some(b'l')) => FileKind::Symlink,
            (FileKind::Unknown, Some(b'b' | b'c' | b'p' | b's')) => FileKind::Other,
            (kind, _) => kind,
        }
    }
}

/// An open directory of the server. Memory is bounded by
/// [`READDIR_AHEAD_MAX`](crate::limits::READDIR_AHEAD_MAX) batches, however large it is.
pub struct Dir {
    sftp: Sftp,
    handle: Vec<u8>,
    path: Vec<u8>,
    /// Requests under way, in the order in which they were sent.
    asked: VecDeque<Waiting>,
    /// Replies with names so far.
    batches: usize,
    at_end: bool,
    /// How many there were so far.
    pub(super) entries: usize,
    empty_batches: usize,
}

impl Sftp {
    /// Opens a directory for reading.
    ///
    /// # Errors
    /// [`Error::Refused`], for example if it is not a directory.
    pub async fn open_dir(&self, path: impl AsRef<[u8]>) -> Result<Dir, Error> {
        let path = non_empty(path.as_ref());
        let frame = self.ask(Opendir { path }.into()).await?;
        match frame.reply()? {
            Reply::Handle(reply) => Ok(Dir {
                sftp: self.clone(),
                handle: reply.handle.to_vec(),
                path: path.to_vec(),
                asked: VecDeque::new(),
                batches: 0,
                at_end: false,
                entries: 0,
                empty_batches: 0,
            }),
            other => Err(refused(other, "open directory", path)),
        }
    }

    /// Whether [`sync_dir`](Self::sync_dir) can be asked for: our own servers do it.
    pub(crate) fn syncs_dirs(&self) -> bool {
        self.has(Extension::Fsync) && self.has_exact_attrs()
    }

    /// Asks the server to bring the names in a directory to stable storage (`fsync@openssh.com` with its
    /// handle).
    ///
    /// # Errors
    /// [`Error::Refused`] where it may not be read, or was not brought there.
    pub(crate) async fn sync_dir(&self, path: &[u8]) -> Result<(), Error> {
        let dir = self.open_dir(path).await?;
        let request = Extended::Fsync(Fsync { handle: &dir.handle });
        let frame = self.ask_extended(Extension::Fsync, request, "sync").await?;
        match frame.reply()? {
            Reply::Status(status) if status.code == StatusCode::Ok => Ok(()),
            other => Err(refused(other, "sync", path)),
        }
    }

    /// All entries of a directory, sorted by the bytes of their names.
    ///
    /// # Errors
    /// As [`Sftp::open_dir`] and [`Dir::next_batch`].
    pub async fn list(&self, path: impl AsRef<[u8]>) -> Result<Vec<Entry>, Error> {
        let mut dir = self.open_dir(path).await?;
        let mut entries = Vec::new();
        while let Some(batch) = dir.next_batch().await? {
            entries.extend(batch);
        }
        entries.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }
}

impl Dir {
    /// The next entries, without `.` and `..`; `None` at the end.
    ///
    /// # Errors
    /// [`Error::Peer`] for a name that could lead elsewhere (CLT-7), a directory that never ends and
    /// never brings anything, or one that brings more than
    /// [`LIST_ENTRIES_MAX`](crate::limits::LIST_ENTRIES_MAX) entries.
    ///
    /// # Cancelling
    /// After a dropped future some entries may be missing: drop the directory too.
    pub async fn next_batch(&mut self) -> Result<Option<Vec<Entry>>, Error> {
        loop {
            self.ask_ahead().await?;
            let Some(first) = self.asked.pop_front() else { return Ok(None) };
            let frame = first.frame().await?;
            let names = match frame.reply()? {
                Reply::Name(names) => names,
                Reply::Status(status) if status.code == StatusCode::Eof => {
                    // A server that works on several requests at once may answer a later one with names.
                    self.at_end = true;
                    continue;
                }
                // Behind the end there may be nothing to say to what was asked in advance.
                Reply::Status(_) if self.at_end => continue,
                other => {
                    let error = refused(other, "read directory", &self.path);
                    self.asked.clear();
                    return Err(error);
                }
            };
            self.batches += 1;
            let mut batch = Vec::with_capacity(names.len());
            for entry in names.iter() {
                if entry.filename == b"." || entry.filename == b".." {
                    continue;
                }
                check_name(entry.filename)?;
                batch.push(Entry {
                    name: entry.filename.to_vec(),
                    long_name: entry.longname.to_vec(),
                    attrs: super::paths::owned(&entry.attrs),
                });
            }
            self.entries += batch.len();
            if self.entries > LIST_ENTRIES_MAX {
                return Err(Error::peer("a directory without end"));
            }
            if !batch.is_empty() {
                self.empty_batches = 0;
                return Ok(Some(batch));
            }
            // "." and ".." may be a batch of their own; nothing at all, again and again, is a fault.
            self.empty_batches += 1;
            if self.empty_batches > EMPTY_BATCHES_MAX {
                return Err(Error::peer("a directory that neither ends nor brings names"));
            }
        }
    }

    /// Asks for as many batches as may be under way: never for more than there have been, but for the one
    /// behind the first, which is the end of a short directory.
    async fn ask_ahead(&mut self) -> Result<(), Error> {
        let ahead = match self.batches {
            0 => READDIR_AHEAD_START,
            batches => batches.min(READDIR_AHEAD_MAX),
        };
        while !self.at_end && self.asked.len() < ahead {
            let asked = self.sftp.begin(Readdir { handle: &self.handle }.into()).await?;
            self.asked.push_back(asked);
        }
        Ok(())
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        self.sftp.send_and_forget(Close { handle: &self.handle }.into());
    }
}

/// A name from a server must be one component that stays where it is put (CLT-7).
pub(crate) fn check_name(name: &[u8]) -> Result<(), Error> {
    let harmless = !name.is_empty()
        && name != b"."
        && name != b".."
        && !name.contains(&b'/')
        && !name.contains(&0);
    if harmless {
        return Ok(());
    }
    let shown = display_name(&name[..name.len().min(200)]);
    Err(Error::peer(format!("a directory entry named \"{shown}\"")))
}

/// An empty path means where the login starts; OPENDIR of "" fails on many servers.
pub(super) fn non_empty(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"." } else { path }
}
