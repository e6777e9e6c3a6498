//! Extended attributes of what is in a local directory: those whose names begin with `user.`.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags, XattrFlags};
use rustix::io::Errno;
use sterna_sftp_proto::limits::XATTR_VALUE_LEN_MAX;

use super::LocalDir;
use crate::Error;
use crate::limits::XATTR_LIST_LEN_MAX;

/// What is bound to the user; the others are the system's business.
const PREFIX: &[u8] = b"user.";

impl LocalDir {
    /// Names of extended attributes of a file or directory in this one, sorted; none on a file system that
    /// has none. `follow`: the name may be a link of the user's own.
    pub(crate) fn xattrs(&self, name: &[u8], follow: bool) -> Result<Vec<Vec<u8>>, Error> {
        let failed = |e| self.failed("list attributes of", name, e);
        let (_fd, path) = self.held(name, follow).map_err(failed)?;
        let mut list = vec![0; XATTR_LIST_LEN_MAX];
        let len = match rustix::fs::listxattr(&path, &mut list[..]) {
            Err(Errno::NOTSUP) => 0,
            len => len.map_err(failed)?,
        };
        let names = list[..len].split(|byte| *byte == 0).filter(|name| name.starts_with(PREFIX));
        let mut names: Vec<_> = names.map(<[u8]>::to_vec).collect();
        names.sort();
        Ok(names)
    }

    /// The value of one.
    pub(crate) fn xattr(
        &self,
        name: &[u8],
        follow: bool,
        attribute: &[u8],
    ) -> Result<Vec<u8>, Error> {
        let failed = |e| self.failed("read attribute of", name, e);
        let (_fd, path) = self.held(name, follow).map_err(failed)?;
        let mut value = vec![0; XATTR_VALUE_LEN_MAX];
        let len = rustix::fs::getxattr(&path, attribute, &mut value[..]).map_err(failed)?;
        value.truncate(len);
        Ok(value)
    }

    /// Sets one, whether it is there or not; never through a link.
    pub(crate) fn set_xattr(
        &self,
        name: &[u8],
        attribute: &[u8],
        value: &[u8],
    ) -> Result<(), Error> {
        let failed = |e| self.failed("set attribute of", name, e);
        if !attribute.starts_with(PREFIX) {
            return Err(failed(Errno::PERM));
        }
        let (_fd, path) = self.held(name, false).map_err(failed)?;
        rustix::fs::setxattr(&path, attribute, value, XattrFlags::empty()).map_err(failed)
    }

    /// Removes one; never through a link.
    pub(crate) fn remove_xattr(&self, name: &[u8], attribute: &[u8]) -> Result<(), Error> {
        let failed = |e| self.failed("remove attribute of", name, e);
        if !attribute.starts_with(PREFIX) {
            return Err(failed(Errno::PERM));
        }
        let (_fd, path) = self.held(name, false).map_err(failed)?;
        rustix::fs::removexattr(&path, attribute).map_err(failed)
    }

    /// A path that leads to what has this name now, whatever has it later, as long as the descriptor is held.
    fn held(&self, name: &[u8], follow: bool) -> Result<(OwnedFd, String), Errno> {
        let no_follow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let flags = OFlags::PATH | OFlags::CLOEXEC | no_follow;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
        Ok((fd, path))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_those_of_the_name_itself_and_only_the_user_s() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("f"), "").unwrap();
        std::os::unix::fs::symlink("f", dir.path().join("link")).unwrap();
        let here = LocalDir::open(dir.path()).unwrap();

        here.set_xattr(b"f", b"user.b", b"2").unwrap();
        here.set_xattr(b"f", b"user.a", b"").unwrap();
        here.set_xattr(b".", b"user.dir", b"d").unwrap();

        assert_eq!(here.xattrs(b"f", false).unwrap(), [b"user.a", b"user.b"]);
        assert_eq!(here.xattr(b"f", false, b"user.b").unwrap(), b"2");
        assert_eq!(here.xattr(b".", false, b"user.dir").unwrap(), b"d");
        assert_eq!(here.xattrs(b"link", true).unwrap(), [b"user.a", b"user.b"]);
        assert!(here.set_xattr(b"link", b"user.c", b"").is_err(), "not through a link");
        assert!(here.set_xattr(b"f", b"security.selinux", b"").is_err());
        here.remove_xattr(b"f", b"user.a").unwrap();
        assert_eq!(here.xattrs(b"f", false).unwrap(), [b"user.b"]);
    }
}
