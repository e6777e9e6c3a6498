//! Extensions that answer with numbers, names or digests.

use sterna_sftp_proto::extension::{
    CheckFileHandle, CheckFileName, CheckFileReply, ExpandPath, Extended, Extension, HomeDirectory,
    Ids, Md5Hash, Md5HashHandle, Md5HashReply, Ranges, RangesReply, SpaceAvailable as SpaceRequest,
    SpaceAvailableReply, Statvfs, StatvfsReply, UsersGroups, UsersGroupsReply,
};
use sterna_sftp_proto::{Reply, StatusCode};
use sterna_ssh_crypto::DigestAlgorithm;
use sterna_sshwire::Reader;

use super::dir::non_empty;
use super::engine::Frame;
use super::file::{File, OpenOptions};
use super::paths::one_name;
use super::{Attrs, FileKind, Sftp, Waiting, refused, unreadable};
use crate::transfer::beside;
use crate::{Error, Refusal};

/// Numbers of a file system; see [`StatvfsReply`].
pub type StatVfs = StatvfsReply;
/// Room for this user; see [`SpaceAvailableReply`].
pub type SpaceAvailable = SpaceAvailableReply;

/// Digests of a range of a remote file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockDigests {
    pub algorithm: DigestAlgorithm,
    /// One for each block; a single one if no block length was asked for.
    pub digests: Vec<Vec<u8>>,
}

impl Sftp {
    /// Size and room of the file system of `path` (`statvfs@openssh.com`).
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is not offered.
    pub async fn statvfs(&self, path: impl AsRef<[u8]>) -> Result<StatVfs, Error> {
        let path = non_empty(path.as_ref());
        let request = Extended::Statvfs(Statvfs { path });
        let frame = self.ask_extended(Extension::Statvfs, request, "ask for space at").await?;
        StatvfsReply::decode(&mut body(&frame, "ask for space at", path)?).map_err(unreadable)
    }

    /// Room for this user at `path` (`space-available`).
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is not offered.
    pub async fn space_available(&self, path: impl AsRef<[u8]>) -> Result<SpaceAvailable, Error> {
        let path = non_empty(path.as_ref());
        let request = Extended::SpaceAvailable(SpaceRequest { path });
        let frame =
            self.ask_extended(Extension::SpaceAvailable, request, "ask for space at").await?;
        SpaceAvailableReply::decode(&mut body(&frame, "ask for space at", path)?)
            .map_err(unreadable)
    }

    /// The absolute form of a path that may begin with `~` or `~user` (`expand-path@openssh.com`).
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is not offered.
    pub async fn expand_path(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
        let path = path.as_ref();
        let request = Extended::ExpandPath(ExpandPath { path });
        let frame = self.ask_extended(Extension::ExpandPath, request, "expand").await?;
        one_name(&frame, "expand", path)
    }

    /// The home directory of `user`; of the one who is logged in if it is empty.
    ///
    /// Servers that lack `home-directory`, or fail at the empty name as old OpenSSH does, are asked
    /// in other ways for one's own.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for another user where it is not offered.
    pub async fn home_directory(&self, user: impl AsRef<[u8]>) -> Result<Vec<u8>, Error> {
        let user = user.as_ref();
        let request = Extended::HomeDirectory(HomeDirectory { user });
        let asked = self.ask_extended(Extension::HomeDirectory, request, "find home of").await;
        match asked.and_then(|frame| one_name(&frame, "find home of", user)) {
            Err(Error::Refused { .. } | Error::Unsupported { .. }) if user.is_empty() => {}
            result => return result,
        }
        match self.expand_path(b"~").await {
            Err(Error::Refused { .. } | Error::Unsupported { .. }) => self.realpath(b".").await,
            result => result,
        }
    }

    /// Names of users and groups by number; empty where the server knows none. Same order.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is not offered; [`Error::Peer`] if the counts differ.
    pub async fn users_groups(
        &self,
        uids: &[u32],
        gids: &[u32],
    ) -> Result<(Vec<Vec<u8>>, Vec<Vec<u8>>), Error> {
        let (mut uid_wire, mut gid_wire) = (Vec::new(), Vec::new());
        let request = Extended::UsersGroups(UsersGroups {
            uids: Ids::build(uids, &mut uid_wire),
            gids: Ids::build(gids, &mut gid_wire),
        });
        let frame = self.ask_extended(Extension::UsersGroups, request, "ask for names").await?;
        let reply = UsersGroupsReply::decode(&mut body(&frame, "ask for names", b"")?)
            .map_err(unreadable)?;
        let users: Vec<_> = reply.users.iter().map(<[u8]>::to_vec).collect();
        let groups: Vec<_> = reply.groups.iter().map(<[u8]>::to_vec).collect();
        if users.len() != uids.len() || groups.len() != gids.len() {
            return Err(Error::peer("another number of names than was asked for"));
        }
        Ok((users, groups))
    }

    /// Digests of a file by path; see [`File::check`].
    ///
    /// # Errors
    /// As [`File::check`].
    pub async fn check_file(
        &self,
        path: impl AsRef<[u8]>,
        algorithms: &[DigestAlgorithm],
        offset: u64,
        len: u64,
        block_len: u32,
    ) -> Result<BlockDigests, Error> {
        let path = path.as_ref();
        let hash_list = self.hash_list(algorithms)?;
        let request =
            CheckFileName { path, hash_list: hash_list.as_bytes(), offset, len, block_len };
        let frame = self.ask(Extended::CheckFileName(request).into()).await?;
        digests_of(&frame, algorithms, path)
    }

    /// MD5 of `len` bytes (0: to the end) from `offset` on, computed by the server (`md5-hash`). `None` if
    /// `quick_hash` is not empty and not the MD5 of the first 2048 bytes there (or of all of a shorter
    /// range): then the server has read no more.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is not offered.
    pub async fn md5_hash(
        &self,
        path: impl AsRef<[u8]>,
        offset: u64,
        len: u64,
        quick_hash: &[u8],
    ) -> Result<Option<[u8; 16]>, Error> {
        let path = path.as_ref();
        let request = Extended::Md5Hash(Md5Hash { path, offset, len, quick_hash });
        let frame = self.ask_extended(Extension::Md5Hash, request, MD5).await?;
        md5_of(&frame, path)
    }

    /// Whether the server can compute this digest itself (as far as it says).
    pub fn can_check(&self, algorithm: DigestAlgorithm) -> bool {
        match algorithm {
            DigestAlgorithm::Blake3 => self.has(Extension::CheckFileBlake3),
            _ => self.has(Extension::CheckFile),
        }
    }

    fn hash_list(&self, algorithms: &[DigestAlgorithm]) -> Result<String, Error> {
        let names: Vec<_> =
            algorithms.iter().filter(|a| self.can_check(**a)).map(|a| a.name()).collect();
        if names.is_empty() {
            return Err(Error::Unsupported { doing: "compute a digest", extension: "check-file" });
        }
        Ok(names.join(","))
    }

    /// Copies a file at the server: by `copy-data` where offered, else through this machine.
    /// An existing target is replaced once the copy is complete, and not before. Returns the bytes copied.
    ///
    /// # Errors
    /// [`Error::Refused`]; [`Error::SourceChanged`] if the sizes differ afterwards. Then the target is what
    /// it was.
    pub async fn copy_file(
        &self,
        from: impl AsRef<[u8]>,
        to: impl AsRef<[u8]>,
    ) -> Result<u64, Error> {
        let source = self.open(&from, OpenOptions::new().read(true)).await?;
        let attrs = source.stat().await?;
        // Where it leads, so that a link that is in its place stays one.
        let (to, there) = match self.stat(&to).await {
            Ok(there) if FileKind::of(&there) == FileKind::Dir => {
                return Err(Error::unsuitable("copy", to.as_ref(), "is a directory"));
            }
            Ok(there) => (self.realpath(&to).await?, Some(there)),
            Err(error) if error.is_not_found() => (to.as_ref().to_vec(), None),
            Err(error) => return Err(error),
        };
        if self.realpath(&from).await? == to {
            let why = "source and target are the same file";
            return Err(Error::unsuitable("copy", &to, why));
        }
        let beside = beside(&to);
        let copied = match self.copy_beside(&source, &attrs, there.as_ref(), &beside).await {
            Ok(copied) if attrs.size.is_some_and(|size| size != copied) => {
                Err(Error::SourceChanged { path: from.as_ref().to_vec() })
            }
            Ok(copied) => self.replace(&beside, &to).await.map(|()| copied),
            Err(error) => Err(error),
        };
        if copied.as_ref().is_err_and(|error| !error.ends_channel()) {
            // What is left of a copy that failed is nobody's; that it cannot go is the lesser failure.
            let _ = self.remove(&beside).await;
        }
        copied
    }

    /// Copies to `beside`, a name of our own. What is replaced leaves its mode to it.
    async fn copy_beside(
        &self,
        source: &File,
        attrs: &Attrs,
        replaced: Option<&Attrs>,
        beside: &[u8],
    ) -> Result<u64, Error> {
        let mode = attrs.permissions.unwrap_or(0o644) & 0o777;
        let options = OpenOptions::new().write(true).create(true).truncate(true).permissions(mode);
        let target = self.open(beside, options).await?;
        if let Some(mode) = replaced.and_then(|there| there.permissions) {
            // A server that keeps modes to itself gives the file the mode of all new ones.
            let attrs = Attrs { permissions: Some(mode & 0o7777), ..Attrs::default() };
            match target.set_attrs(&attrs).await {
                Err(error) if error.ends_channel() => return Err(error),
                _ => {}
            }
        }
        let copied = match source.copy_data(0, 0, &target, 0).await {
            Ok(()) => target.stat().await?.size.unwrap_or(0),
            Err(error) if error.refusal_code() == Some(Refusal::EOF) && attrs.size == Some(0) => 0,
            Err(Error::Unsupported { .. }) => self.copy_through(source, &target).await?,
            Err(error) => return Err(error),
        };
        target.close().await?;
        Ok(copied)
    }

    /// Gives `from` the name `to`; where the server cannot replace, the old file is removed first.
    async fn replace(&self, from: &[u8], to: &[u8]) -> Result<(), Error> {
        match self.rename(from, to).await {
            Ok(_) => Ok(()),
            Err(error) if error.ends_channel() => Err(error),
            Err(error) => match self.remove(to).await {
                Ok(()) => self.rename_plain(from, to).await,
                Err(_) => Err(error),
            },
        }
    }

    async fn copy_through(&self, source: &File, target: &File) -> Result<u64, Error> {
        let mut offset = 0;
        loop {
            let data = source.read_at(offset, usize::MAX).await?;
            if data.is_empty() {
                return Ok(offset);
            }
            target.write_at(offset, &data).await?;
            offset += data.len() as u64;
        }
    }
}

/// Parts of a file that hold data; what is between them reads as zeros.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataRanges {
    /// Bytes from the beginning of the file, in ascending order, within what was asked about.
    pub ranges: Vec<std::ops::Range<u64>>,
    /// Nothing but a hole follows the last one, within what was asked about; otherwise ask again from its
    /// end on.
    pub at_end: bool,
}

/// What the client was doing, for errors.
const MD5: &str = "compute a digest of";

impl File {
    /// As [`Sftp::md5_hash`], of the open file.
    ///
    /// # Errors
    /// As there.
    pub async fn md5_hash(
        &self,
        offset: u64,
        len: u64,
        quick_hash: &[u8],
    ) -> Result<Option<[u8; 16]>, Error> {
        let handle = self.handle();
        let request = Extended::Md5HashHandle(Md5HashHandle { handle, offset, len, quick_hash });
        let frame = self.sftp().ask_extended(Extension::Md5Hash, request, MD5).await?;
        md5_of(&frame, self.path())
    }

    /// Which parts of `asked` hold data (`ranges@asyncssh.com`), as many as one reply brings.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is not offered; [`Error::Peer`] for parts out of order.
    pub async fn data_ranges(&self, asked: std::ops::Range<u64>) -> Result<DataRanges, Error> {
        let doing = "ask for holes of";
        let (offset, len) = (asked.start, asked.end.saturating_sub(asked.start));
        let request = Extended::Ranges(Ranges { handle: self.handle(), offset, len });
        let frame = self.sftp().ask_extended(Extension::Ranges, request, doing).await?;
        if let Reply::Status(status) = frame.reply()?
            && status.code == StatusCode::Eof
        {
            return Ok(DataRanges { ranges: Vec::new(), at_end: true });
        }
        let mut r = body(&frame, doing, self.path())?;
        let reply = RangesReply::decode(&mut r).map_err(unreadable)?;
        // A server may begin before the question and end after it.
        let clipped = reply.iter().map(|(start, len)| {
            start.clamp(asked.start, asked.end)..(start + len).clamp(asked.start, asked.end)
        });
        let ranges: Vec<_> = clipped.filter(|range| !range.is_empty()).collect();
        // Without any, asking again from the end of the last one would be the same question for ever.
        let at_end = reply.at_end || ranges.is_empty();
        Ok(DataRanges { ranges, at_end })
    }

    /// Digests of `len` bytes (0: to the end) from `offset` on, computed by the server, by the first
    /// of `algorithms` that it knows; one for each `block_len` bytes (0: one for all, else ≥ 256).
    ///
    /// # Errors
    /// [`Error::Unsupported`] if none is offered.
    pub async fn check(
        &self,
        algorithms: &[DigestAlgorithm],
        offset: u64,
        len: u64,
        block_len: u32,
    ) -> Result<BlockDigests, Error> {
        let reply = self.begin_check(algorithms, offset, len, block_len).await?;
        self.check_result(&reply.frame().await?, algorithms)
    }

    pub(crate) async fn begin_check(
        &self,
        algorithms: &[DigestAlgorithm],
        offset: u64,
        len: u64,
        block_len: u32,
    ) -> Result<Waiting, Error> {
        let hash_list = self.sftp().hash_list(algorithms)?;
        let request = CheckFileHandle {
            handle: self.handle(),
            hash_list: hash_list.as_bytes(),
            offset,
            len,
            block_len,
        };
        self.sftp().begin(Extended::CheckFileHandle(request).into()).await
    }

    pub(crate) fn check_result(
        &self,
        frame: &Frame,
        algorithms: &[DigestAlgorithm],
    ) -> Result<BlockDigests, Error> {
        digests_of(frame, algorithms, self.path())
    }
}

fn digests_of(
    frame: &Frame,
    algorithms: &[DigestAlgorithm],
    path: &[u8],
) -> Result<BlockDigests, Error> {
    let reply = CheckFileReply::decode(&mut body(frame, "compute a digest of", path)?)
        .map_err(unreadable)?;
    let algorithm = std::str::from_utf8(reply.hash)
        .ok()
        .and_then(DigestAlgorithm::from_name)
        .filter(|a| algorithms.contains(a))
        .ok_or_else(|| Error::peer("a digest by an algorithm that was not asked for"))?;
    let digests = reply.digests(algorithm.output_len()).map_err(unreadable)?;
    Ok(BlockDigests { algorithm, digests: digests.map(<[u8]>::to_vec).collect() })
}

fn md5_of(frame: &Frame, path: &[u8]) -> Result<Option<[u8; 16]>, Error> {
    let reply = Md5HashReply::decode(&mut body(frame, MD5, path)?).map_err(unreadable)?;
    match reply.digest {
        [] => Ok(None),
        digest => {
            let digest = digest.try_into().map_err(|_| Error::peer("an MD5 of another length"));
            digest.map(Some)
        }
    }
}

/// The data of an EXTENDED_REPLY.
pub(super) fn body<'f>(
    frame: &'f Frame,
    doing: &'static str,
    path: &[u8],
) -> Result<Reader<'f>, Error> {
    match frame.reply()? {
        Reply::ExtendedReply(reply) => Ok(Reader::new(reply.data)),
        other => Err(refused(other, doing, path)),
    }
}
