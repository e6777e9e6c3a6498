//! The local disk as a [`Backend`]: one directory of the machine is `/`.
//!
//! - `root.rs`, `walk.rs`: how a path becomes a descriptor that is inside the root; `kind.rs`: who may have to be
//!   waited for.
//! - `file.rs`, `sparse.rs`, `dir.rs`, `attrs.rs`, `xattr.rs`: what is done with it. `rename.rs`: the one that is not one call.

mod attrs;
mod close;
mod dir;
mod file;
mod kind;
mod rename;
mod root;
mod sparse;
mod walk;
mod xattr;

use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::LazyLock;

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, fstat, fstatvfs, linkat, mkdirat, readlinkat, statat,
    symlinkat, unlinkat,
};
use rustix::io::{Errno, Result as IoResult};

use self::attrs::{attrs, mode_without_set_id, set_on_path, space};
use self::dir::LocalDir;
use self::file::LocalFile;
pub use self::root::Resolver;
use self::root::{Last, Root};
use crate::{
    Attrs, Backend, Dir, Error, ErrorKind, File, OpenHow, Result, SetAttrs, Space, Xattr,
    XattrAnswer,
};

/// Mode of a new directory if the caller names none, before the umask; as `mkdir(1)`.
const DIR_MODE_DEFAULT: u32 = 0o777;

/// A directory of this machine, shown as a whole file system.
///
/// Nothing outside it can be reached by any path or link, also not by one that is swapped while it
/// is resolved. Only a mount, or a hard link that somebody else made, brings foreign files inside.
/// Files are read and written with the rights of the process.
pub struct Local {
    root: Root,
    no_wait: bool,
}

impl Local {
    /// Takes the directory `root` as `/`.
    ///
    /// # Errors
    /// If it is missing, not a directory or not reachable.
    pub fn open(root: impl AsRef<Path>) -> Result<Self> {
        Self::with(root.as_ref(), None)
    }

    /// As [`Local::open`], with a resolver of the caller's choice; for tests and measurements.
    pub fn with_resolver(root: impl AsRef<Path>, resolver: Resolver) -> Result<Self> {
        Self::with(root.as_ref(), Some(resolver))
    }

    /// As [`Backend::open`], for whoever gives the descriptor to another process, which takes it by [`file_of`].
    ///
    /// # Errors
    /// As [`Backend::open`].
    pub fn open_descriptor(&self, path: &[u8], how: &OpenHow) -> Result<OwnedFd> {
        LocalFile::open(&self.root, path, how, self.no_wait)
            .map(LocalFile::into_descriptor)
            .map_err(|e| io("open", e))
    }

    /// Who resolves paths.
    pub fn resolver(&self) -> Resolver {
        self.root.resolver()
    }

    fn with(root: &Path, resolver: Option<Resolver>) -> Result<Self> {
        let root = Root::open(root, resolver).map_err(|e| io("open root", e))?;
        Ok(Self { root, no_wait: *KERNEL_READS_WITHOUT_WAITING })
    }

    /// Resolves the parent of `path` and hands its descriptor and the last name to `call`. `dots`
    /// is the answer for a path that ends in `.`, `..` or is `/`.
    fn at_parent(
        &self,
        doing: &'static str,
        path: &[u8],
        dots: Errno,
        call: impl FnOnce(&Named<'_>) -> IoResult<()>,
    ) -> Result<()> {
        let parent = self.root.parent(path).map_err(|e| io(doing, e))?;
        match &parent.last {
            Last::Dots => Err(io(doing, dots)),
            Last::Name { name, slash } => {
                let named = Named { dir: &parent.dir, name, slash: *slash };
                call(&named).map_err(|e| io_at(doing, e))
            }
        }
    }
}

/// One name in an open directory.
struct Named<'p> {
    dir: &'p std::os::fd::OwnedFd,
    name: &'p [u8],
    /// Slashes followed it: it must be a directory.
    slash: bool,
}

impl Named<'_> {
    fn kind(&self) -> IoResult<FileType> {
        let stat = statat(self.dir, self.name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(stat.st_mode))
    }
}

impl Backend for Local {
    fn open(&self, path: &[u8], how: &OpenHow) -> Result<Box<dyn File>> {
        let file =
            LocalFile::open(&self.root, path, how, self.no_wait).map_err(|e| io("open", e))?;
        Ok(Box::new(file))
    }

    fn stat(&self, path: &[u8], follow: bool) -> Result<Attrs> {
        let no_follow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        self.root
            .open_at(path, OFlags::PATH | no_follow, Mode::empty())
            .and_then(fstat)
            .map(|stat| attrs(&stat))
            .map_err(|e| io("stat", e))
    }

    fn try_stat(&self, path: &[u8], follow: bool) -> Option<Result<Attrs>> {
        let no_follow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
        let found = self.root.try_open_path(path, no_follow)?;
        Some(found.and_then(fstat).map(|stat| attrs(&stat)).map_err(|e| io("stat", e)))
    }

    fn open_dir(&self, path: &[u8]) -> Result<Box<dyn Dir>> {
        let dir = LocalDir::open(&self.root, path).map_err(|e| io("opendir", e))?;
        Ok(Box::new(dir))
    }

    fn set_attrs(&self, path: &[u8], change: &SetAttrs, follow: bool) -> Result<()> {
        set_on_path(&self.root, path, change, follow).map_err(|e| io("setstat", e))
    }

    fn remove(&self, path: &[u8]) -> Result<()> {
        self.at_parent("remove", path, Errno::ISDIR, |at| {
            if at.slash && at.kind()? != FileType::Directory {
                return Err(Errno::NOTDIR);
            }
            match unlinkat(at.dir, at.name, AtFlags::empty()) {
                // Some file systems say EPERM for a directory, as POSIX allows.
                Err(Errno::PERM) if at.kind() == Ok(FileType::Directory) => Err(Errno::ISDIR),
                result => result,
            }
        })
    }

    fn mkdir(&self, path: &[u8], mode: Option<u32>) -> Result<()> {
        let mode = mode_without_set_id(mode.unwrap_or(DIR_MODE_DEFAULT));
        self.at_parent("mkdir", path, Errno::EXIST, |at| mkdirat(at.dir, at.name, mode))
    }

    fn rmdir(&self, path: &[u8]) -> Result<()> {
        self.at_parent("rmdir", path, Errno::INVAL, |at| {
            unlinkat(at.dir, at.name, AtFlags::REMOVEDIR)
        })
    }

    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> Result<()> {
        self.at_parent("rename", from, Errno::INVAL, |from| {
            let parent = self.root.parent(to)?;
            let Last::Name { name, slash } = &parent.last else {
                return Err(if replace { Errno::INVAL } else { Errno::EXIST });
            };
            if (from.slash || *slash) && from.kind()? != FileType::Directory {
                return Err(Errno::NOTDIR);
            }
            rename::rename((from.dir, from.name), (&parent.dir, name), replace)
        })
    }

    fn realpath(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.root.canonical(path).map_err(|e| io("realpath", e))
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.root
            .open_at(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())
            .and_then(|fd| match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
                FileType::Symlink => readlinkat(&fd, c"", Vec::new()),
                _ => Err(Errno::NXIO),
            })
            .map(std::ffi::CString::into_bytes)
            .map_err(|e| io("readlink", e))
    }

    fn symlink(&self, target: &[u8], link: &[u8]) -> Result<()> {
        if target.contains(&0) {
            return Err(Error::new(ErrorKind::Invalid, "symlink"));
        }
        self.at_parent("symlink", link, Errno::EXIST, |at| match at.slash {
            true => Err(at.kind().map_or(Errno::NOENT, |_| Errno::EXIST)),
            false => symlinkat(target, at.dir, at.name),
        })
    }

    fn hardlink(&self, existing: &[u8], new: &[u8]) -> Result<()> {
        self.at_parent("hardlink", existing, Errno::PERM, |existing| {
            let parent = self.root.parent(new)?;
            let Last::Name { name, slash } = &parent.last else {
                return Err(Errno::EXIST);
            };
            if existing.slash && existing.kind()? != FileType::Directory {
                return Err(Errno::NOTDIR);
            }
            if *slash {
                return Err(Errno::NOENT);
            }
            linkat(existing.dir, existing.name, &parent.dir, name.as_slice(), AtFlags::empty())
        })
    }

    fn statvfs(&self, path: &[u8]) -> Result<Space> {
        self.root
            .open_at(path, OFlags::PATH, Mode::empty())
            .and_then(fstatvfs)
            .map(|v| space(&v))
            .map_err(|e| io("statvfs", e))
    }

    fn xattr(&self, path: &[u8], asked: &Xattr<'_>) -> Result<XattrAnswer> {
        xattr::on_path(&self.root, path, asked)
    }
}

/// A regular file that another process has opened, as `how` says.
///
/// # Errors
/// It is no regular file.
pub fn file_of(descriptor: OwnedFd, how: &OpenHow) -> Result<Box<dyn File>> {
    let file = LocalFile::of(descriptor, how.append, *KERNEL_READS_WITHOUT_WAITING);
    Ok(Box::new(file.map_err(|e| io("open", e))?))
}

fn io(doing: &'static str, errno: Errno) -> Error {
    Error::io(doing, errno.into())
}

/// For calls on two names, where `XDEV` is about the file systems and not about the root.
fn io_at(doing: &'static str, errno: Errno) -> Error {
    let mut error = io(doing, errno);
    if errno == Errno::XDEV {
        error.kind = ErrorKind::CrossDevice;
    }
    error
}

/// Linux 5.9 and 5.10 may answer "end of file" to `preadv2(RWF_NOWAIT)` where bytes only have to
/// be read from the disk first.
static KERNEL_READS_WITHOUT_WAITING: LazyLock<bool> = LazyLock::new(|| {
    let name = rustix::system::uname();
    let release = name.release().to_bytes();
    !release.starts_with(b"5.9.") && !release.starts_with(b"5.10.")
});
