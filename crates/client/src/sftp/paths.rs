//! Operations on paths: attributes, directories, names, links.

use sterna_sftp_proto::extension::{Extended, Extension, Hardlink, Lsetstat, PosixRename};
use sterna_sftp_proto::messages::{
    Lstat, Mkdir, Readlink, Realpath, Remove, Rename, Rmdir, Setstat, Stat, Symlink,
};
use sterna_sftp_proto::{Reply, StatusCode};

use super::dir::{FileKind, non_empty};
use super::engine::Frame;
use super::{Attrs, Sftp, refused, unreadable};
use crate::limits::PATH_LEN_MAX;
use crate::{Error, Refusal};

/// How a rename was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenameOutcome {
    /// `posix-rename@openssh.com`: an existing target was replaced, never missing for a moment.
    Atomic,
    /// Plain RENAME: most servers refuse it if the target exists.
    Plain,
}

impl Sftp {
    /// Attributes of what `path` leads to, links followed.
    ///
    /// # Errors
    /// [`Error::Refused`], see [`Error::is_not_found`].
    pub async fn stat(&self, path: impl AsRef<[u8]>) -> Result<Attrs, Error> {
        let path = non_empty(path.as_ref());
        let frame = self.ask(Stat { path }.into()).await?;
        attrs_of(&frame, "stat", path)
    }

    /// Attributes of `path` itself, a link not followed. Where the server has no LSTAT, STAT is used.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn lstat(&self, path: impl AsRef<[u8]>) -> Result<Attrs, Error> {
        let path = non_empty(path.as_ref());
        let frame = self.ask(Lstat { path }.into()).await?;
        match attrs_of(&frame, "stat", path) {
            Err(error) if error.refusal_code() == Some(Refusal::OP_UNSUPPORTED) => {
                self.stat(path).await
            }
            result => result,
        }
    }

    /// Sets those attributes that are there; follows links. Times are set to the nanosecond where
    /// [`Sftp::has_exact_attrs`] says so, else to the second.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn set_attrs(&self, path: impl AsRef<[u8]>, attrs: &Attrs) -> Result<(), Error> {
        let path = non_empty(path.as_ref());
        let attrs = self.sendable(attrs);
        self.ask_status(Setstat { path, attrs }.into(), "set attributes of", path).await
    }

    /// Sets attributes of a link itself (`lsetstat@openssh.com`); a size is refused.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is not offered.
    pub async fn set_link_attrs(&self, path: impl AsRef<[u8]>, attrs: &Attrs) -> Result<(), Error> {
        let path = path.as_ref();
        let request = Extended::Lsetstat(Lsetstat { path, attrs: self.sendable(attrs) });
        let frame = self.ask_extended(Extension::Lsetstat, request, "set attributes of").await?;
        status_of(&frame, "set attributes of", path)
    }

    /// Makes a directory. `mode` is subject to the server's umask.
    ///
    /// # Errors
    /// [`Error::Refused`], also if it exists.
    pub async fn mkdir(&self, path: impl AsRef<[u8]>, mode: Option<u32>) -> Result<(), Error> {
        let path = path.as_ref();
        let attrs = Attrs { permissions: mode, ..Attrs::default() };
        self.ask_status(Mkdir { path, attrs }.into(), "make directory", path).await
    }

    /// Makes a directory unless it is already there (CLT-10). Returns whether it was made now.
    ///
    /// # Errors
    /// [`Error::Refused`], also if something else has that name.
    pub async fn ensure_dir(
        &self,
        path: impl AsRef<[u8]>,
        mode: Option<u32>,
    ) -> Result<bool, Error> {
        let path = path.as_ref();
        let Err(error) = self.mkdir(path, mode).await else { return Ok(true) };
        if error.ends_channel() {
            return Err(error);
        }
        match self.stat(path).await {
            Ok(attrs) if FileKind::of(&attrs) == FileKind::Dir => Ok(false),
            Ok(_) => Err(Error::unsuitable("make directory", path, "something else has that name")),
            Err(_) => Err(error),
        }
    }

    /// Makes a directory and those above it that are missing.
    ///
    /// # Errors
    /// As [`Sftp::ensure_dir`].
    pub async fn mkdir_all(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        let path = path.as_ref();
        if self.stat(path).await.is_ok_and(|attrs| FileKind::of(&attrs) == FileKind::Dir) {
            return Ok(());
        }
        for (at, byte) in path.iter().enumerate() {
            if *byte == b'/' && at > 0 && path[at - 1] != b'/' {
                self.ensure_dir(&path[..at], None).await?;
            }
        }
        if path.last() != Some(&b'/') {
            self.ensure_dir(path, None).await?;
        }
        Ok(())
    }

    /// Removes an empty directory.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn rmdir(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        let path = path.as_ref();
        self.ask_status(Rmdir { path }.into(), "remove directory", path).await
    }

    /// Removes a file or a link.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn remove(&self, path: impl AsRef<[u8]>) -> Result<(), Error> {
        let path = path.as_ref();
        self.ask_status(Remove { path }.into(), "remove", path).await
    }

    /// Renames, replacing the target in one step where the server can. The result says which it was.
    ///
    /// # Errors
    /// [`Error::Refused`]; without the extension also if the target exists.
    pub async fn rename(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
    ) -> Result<RenameOutcome, Error> {
        let (old_path, new_path) = (from.as_ref(), to.as_ref());
        if !self.has(Extension::PosixRename) {
            self.rename_plain(old_path, new_path).await?;
            return Ok(RenameOutcome::Plain);
        }
        let frame =
            self.ask(Extended::PosixRename(PosixRename { old_path, new_path }).into()).await?;
        status_of(&frame, "rename", old_path)?;
        Ok(RenameOutcome::Atomic)
    }

    /// RENAME of version 3, which most servers refuse if the target exists (`rename -l` of OpenSSH).
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn rename_plain(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
    ) -> Result<(), Error> {
        let (old_path, new_path) = (from.as_ref(), to.as_ref());
        self.ask_status(Rename { old_path, new_path }.into(), "rename", old_path).await
    }

    /// Where a symbolic link points, as it was written.
    ///
    /// # Errors
    /// [`Error::Refused`].
    pub async fn read_link(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
        let path = path.as_ref();
        let frame = self.ask(Readlink { path }.into()).await?;
        one_name(&frame, "read link", path)
    }

    /// Makes `link`, a symbolic link that says `target`.
    ///
    /// # Errors
    /// [`Error::Refused`], for example if `link` exists.
    pub async fn symlink(
        &self,
        target: impl AsRef<[u8]>,
        link: impl AsRef<[u8]>,
    ) -> Result<(), Error> {
        let (target, link) = (target.as_ref(), link.as_ref());
        let mut request = Symlink { target, link };
        // The draft and OpenSSH disagree about the order; nearly everybody follows OpenSSH (SYM-1).
        if self.inner.greeting.draft_symlinks {
            request = request.swapped();
        }
        self.ask_status(request.into(), "make link", link).await
    }

    /// Gives an existing file a second name (`hardlink@openssh.com`).
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is not offered.
    pub async fn hardlink(
        &self,
        existing: impl AsRef<[u8]>,
        new: impl AsRef<[u8]>,
    ) -> Result<(), Error> {
        let (existing, new) = (existing.as_ref(), new.as_ref());
        let request = Extended::Hardlink(Hardlink { existing, new });
        let frame = self.ask_extended(Extension::Hardlink, request, "link").await?;
        status_of(&frame, "link", existing)
    }

    /// The absolute form of a path, by the server's rules.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::Peer`] unless exactly one usable name comes (CLT-12).
    pub async fn realpath(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
        let path = non_empty(path.as_ref());
        let frame = self.ask(Realpath { path }.into()).await?;
        one_name(&frame, "resolve", path)
    }
}

pub(super) fn attrs_of(frame: &Frame, doing: &'static str, path: &[u8]) -> Result<Attrs, Error> {
    match frame.reply()? {
        Reply::Attrs(attrs) => Ok(owned(&attrs)),
        other => Err(refused(other, doing, path)),
    }
}

pub(super) fn status_of(frame: &Frame, doing: &'static str, path: &[u8]) -> Result<(), Error> {
    match frame.reply()? {
        Reply::Status(status) if status.code == StatusCode::Ok => Ok(()),
        other => Err(refused(other, doing, path)),
    }
}

/// The single name of a REALPATH or READLINK reply: not empty, no zero byte, of sane length.
pub(super) fn one_name(frame: &Frame, doing: &'static str, path: &[u8]) -> Result<Vec<u8>, Error> {
    match frame.reply()? {
        Reply::Name(names) => {
            let name = names.only().map_err(unreadable)?;
            if name.contains(&0) || name.len() > PATH_LEN_MAX {
                return Err(Error::peer(format!("{doing}: a path that cannot be one")));
            }
            Ok(name.to_vec())
        }
        other => Err(refused(other, doing, path)),
    }
}

/// Without the vendors' pairs, which nothing here uses, attributes borrow nothing.
pub(super) fn owned(attrs: &sterna_sftp_proto::Attrs<'_>) -> Attrs {
    Attrs {
        size: attrs.size,
        owner: attrs.owner,
        permissions: attrs.permissions,
        times: attrs.times,
        posix: attrs.posix,
        ..Attrs::default()
    }
}
