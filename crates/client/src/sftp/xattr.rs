//! Extended attributes of remote files (`xattr@proftpd.org`): those whose names begin with `user.`.

use sterna_sftp_proto::extension::{
    Extended, Extension, Fgetxattr, Flistxattr, Fremovexattr, Fsetxattr, Getxattr, GetxattrReply,
    Listxattr, ListxattrReply, Removexattr, Setxattr,
};
use sterna_sftp_proto::limits::XATTR_VALUE_LEN_MAX;

use super::engine::Frame;
use super::extensions::body;
use super::file::File;
use super::paths::status_of;
use super::{Sftp, unreadable};
use crate::Error;

/// What the client was doing, for errors.
const READ: &str = "read attribute of";
const LIST: &str = "list attributes of";
const SET: &str = "set attribute of";
const REMOVE: &str = "remove attribute of";

/// Longest value that is asked for, in bytes.
const LEN_MAX: u32 = XATTR_VALUE_LEN_MAX as u32;

impl Sftp {
    /// The value of an extended attribute; links are followed.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is not offered; [`Error::is_not_found`] if there is none of that name.
    pub async fn xattr(&self, path: impl AsRef<[u8]>, name: &[u8]) -> Result<Vec<u8>, Error> {
        let path = path.as_ref();
        let request = Extended::Getxattr(Getxattr { path, name, len_max: LEN_MAX });
        value_of(&self.ask_extended(Extension::Xattr, request, READ).await?, path)
    }

    /// The names of all extended attributes.
    ///
    /// # Errors
    /// As [`Sftp::xattr`].
    pub async fn xattrs(&self, path: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>, Error> {
        let path = path.as_ref();
        let request = Extended::Listxattr(Listxattr { path });
        names_of(&self.ask_extended(Extension::Xattr, request, LIST).await?, path)
    }

    /// Sets an extended attribute, whether there is one of that name or not.
    ///
    /// # Errors
    /// As [`Sftp::xattr`].
    pub async fn set_xattr(
        &self,
        path: impl AsRef<[u8]>,
        name: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        let path = path.as_ref();
        let request = Extended::Setxattr(Setxattr { path, name, value, flags: 0 });
        status_of(&self.ask_extended(Extension::Xattr, request, SET).await?, SET, path)
    }

    /// Removes an extended attribute.
    ///
    /// # Errors
    /// As [`Sftp::xattr`].
    pub async fn remove_xattr(&self, path: impl AsRef<[u8]>, name: &[u8]) -> Result<(), Error> {
        let path = path.as_ref();
        let request = Extended::Removexattr(Removexattr { path, name });
        status_of(&self.ask_extended(Extension::Xattr, request, REMOVE).await?, REMOVE, path)
    }
}

impl File {
    /// As [`Sftp::xattr`], of the open file.
    ///
    /// # Errors
    /// As there.
    pub async fn xattr(&self, name: &[u8]) -> Result<Vec<u8>, Error> {
        let handle = self.handle();
        let request = Extended::Fgetxattr(Fgetxattr { handle, name, len_max: LEN_MAX });
        value_of(&self.sftp().ask_extended(Extension::Xattr, request, READ).await?, self.path())
    }

    /// As [`Sftp::xattrs`], of the open file.
    ///
    /// # Errors
    /// As [`Sftp::xattr`].
    pub async fn xattrs(&self) -> Result<Vec<Vec<u8>>, Error> {
        let request = Extended::Flistxattr(Flistxattr { handle: self.handle() });
        names_of(&self.sftp().ask_extended(Extension::Xattr, request, LIST).await?, self.path())
    }

    /// As [`Sftp::set_xattr`], of the open file.
    ///
    /// # Errors
    /// As [`Sftp::xattr`].
    pub async fn set_xattr(&self, name: &[u8], value: &[u8]) -> Result<(), Error> {
        let handle = self.handle();
        let request = Extended::Fsetxattr(Fsetxattr { handle, name, value, flags: 0 });
        let frame = self.sftp().ask_extended(Extension::Xattr, request, SET).await?;
        status_of(&frame, SET, self.path())
    }

    /// As [`Sftp::remove_xattr`], of the open file.
    ///
    /// # Errors
    /// As [`Sftp::xattr`].
    pub async fn remove_xattr(&self, name: &[u8]) -> Result<(), Error> {
        let request = Extended::Fremovexattr(Fremovexattr { handle: self.handle(), name });
        let frame = self.sftp().ask_extended(Extension::Xattr, request, REMOVE).await?;
        status_of(&frame, REMOVE, self.path())
    }
}

fn value_of(frame: &Frame, path: &[u8]) -> Result<Vec<u8>, Error> {
    let reply = GetxattrReply::decode(&mut body(frame, READ, path)?).map_err(unreadable)?;
    Ok(reply.value.to_vec())
}

fn names_of(frame: &Frame, path: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
    let reply = ListxattrReply::decode(&mut body(frame, LIST, path)?).map_err(unreadable)?;
    Ok(reply.iter().map(<[u8]>::to_vec).collect())
}
