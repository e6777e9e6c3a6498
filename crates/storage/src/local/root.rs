//! One directory as the whole world: every path is resolved beneath its descriptor.
//!
//! A path is never checked and then used: the kernel resolves and opens in one step (`openat2` with
//! `RESOLVE_IN_ROOT`), or, where it cannot, the walk in `walk.rs` opens component by component.
//! Calls that change a name resolve the *parent* to a descriptor and hand the last component, which
//! holds neither `/` nor dots, to an `*at` call that does not follow links.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::{Errno, Result};

use super::walk::Walk;
use crate::limits::{MOVED_RETRIES_MAX, PATH_LEN_MAX};

/// Who resolves paths inside the root.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolver {
    /// The kernel, by `openat2` (Linux 5.6 and newer).
    Kernel,
    /// This crate, one component after the other; for old kernels and for sandboxes that forbid
    /// `openat2`. Slower, equally confined.
    Walk,
}

pub(super) struct Root {
    dir: OwnedFd,
    resolver: Resolver,
}

/// The parent of a name, open, and the name in it.
pub(super) struct Parent {
    pub dir: OwnedFd,
    pub last: Last,
}

/// What stands last in a path.
pub(super) enum Last {
    /// A plain name: not empty, no dots, no slash. `slash`: one or more slashes followed it, so it
    /// must be a directory.
    Name { name: Vec<u8>, slash: bool },
    /// `/`, `.` or `..`: a directory that is there and has no name to change.
    Dots,
}

impl Root {
    /// Opens the machine's directory `path`; links are followed in it, this once.
    pub fn open(path: &Path, resolver: Option<Resolver>) -> Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(CWD, path, flags, Mode::empty())?;
        let resolver = match resolver {
            Some(resolver) => resolver,
            None => available_resolver(dir.as_fd())?,
        };
        Ok(Self { dir, resolver })
    }

    pub fn resolver(&self) -> Resolver {
        self.resolver
    }

    /// Opens what `path` names, as `open(2)` in a file system whose `/` is this root.
    pub fn open_at(&self, path: &[u8], flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        check(path)?;
        let flags = flags | OFlags::CLOEXEC;
        if self.resolver == Resolver::Walk {
            return self.walk(path).open(flags, mode);
        }
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..MOVED_RETRIES_MAX {
            match openat2(&self.dir, path, flags, mode, resolve) {
                // "The kernel could not ensure that a `..` did not escape (a rename or mount
                // happened meanwhile)": nothing was opened, and a later try may succeed.
                Err(Errno::AGAIN | Errno::XDEV | Errno::INTR) => {}
                result => return result,
            }
        }
        self.walk(path).open(flags, mode)
    }

    /// Opens the directory that holds the last component of `path`.
    pub fn parent(&self, path: &[u8]) -> Result<Parent> {
        check(path)?;
        let kept = path.iter().rposition(|&b| b != b'/').map_or(0, |at| at + 1);
        let trimmed = &path[..kept];
        let start = trimmed.iter().rposition(|&b| b == b'/').map_or(0, |at| at + 1);
        let name = &trimmed[start..];
        let (above, last) = match name {
            b"" | b"." | b".." => (path, Last::Dots),
            name => {
                (&trimmed[..start], Last::Name { name: name.to_vec(), slash: kept < path.len() })
            }
        };
        let above = if above.is_empty() { b"/" } else { above };
        let dir = self.open_at(above, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        Ok(Parent { dir, last })
    }

    /// The path of `path` from this root without links and dots. Its last component may be missing.
    ///
    /// The answer is text: the tree may change before it is used, and whoever uses it resolves it
    /// again. It is walked, not asked of `/proc`, so no name from outside the root can appear in it.
    pub fn canonical(&self, path: &[u8]) -> Result<Vec<u8>> {
        check(path)?;
        self.walk(path).canonical()
    }

    fn walk(&self, path: &[u8]) -> Walk<'_> {
        Walk::new(self.dir.as_fd(), path)
    }
}

/// What no kernel call needs to be asked about.
fn check(path: &[u8]) -> Result<()> {
    if path.is_empty() {
        return Err(Errno::NOENT);
    }
    if path.len() > PATH_LEN_MAX {
        return Err(Errno::NAMETOOLONG);
    }
    // Inside a path a NUL would cut off what stands behind it.
    if path.contains(&0) {
        return Err(Errno::INVAL);
    }
    Ok(())
}

/// Asks the kernel once whether it has `openat2` and lets us use it.
fn available_resolver(dir: BorrowedFd<'_>) -> Result<Resolver> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    match openat2(dir, c"/", flags, Mode::empty(), resolve) {
        Ok(_) => Ok(Resolver::Kernel),
        // Older than 5.6, or a seccomp filter that answers one way or the other.
        Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => Ok(Resolver::Walk),
        Err(error) => Err(error),
    }
}
