//! One directory as the whole world: every path is resolved beneath its descriptor.
//!
//! A path is never checked and then used: the kernel resolves and opens in one step (`openat2` with
//! `RESOLVE_IN_ROOT`), or, where it cannot, the walk in `walk.rs` opens component by component.
//! Calls that change a name resolve the *parent* to a descriptor and hand the last component, which
//! holds neither `/` nor dots, to an `*at` call that does not follow links.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, Stat, fstat, openat, openat2};
use rustix::io::{Errno, Result};

use super::kind::Kind;
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
    kind: Kind,
    device: u64,
    /// This kernel looks up what it has in memory, and nothing else, if it is asked to (Linux 5.12).
    looks_into_memory: AtomicBool,
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
        let (kind, device) = (Kind::of(&dir), device(&fstat(&dir)?));
        let looks_into_memory = AtomicBool::new(resolver == Resolver::Kernel);
        Ok(Self { dir, resolver, kind, device, looks_into_memory })
    }

    pub fn resolver(&self) -> Resolver {
        self.resolver
    }

    /// Of the file system that holds `fd`, of which these are the attributes. May wait if it is not the root's
    /// own.
    pub fn kind_of(&self, fd: &OwnedFd, stat: &Stat) -> Kind {
        if device(stat) == self.device { self.kind } else { Kind::of(fd) }
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

    /// As [`open_at`](Self::open_at) with `O_PATH`, if all of `path` was looked up before, is still in memory
    /// and lies on the root's own file system, which keeps attributes in memory; else `None`. It waits for
    /// no disk and no network.
    pub fn try_open_path(&self, path: &[u8], flags: OFlags) -> Option<Result<OwnedFd>> {
        if !self.kind.keeps_attrs() || !self.looks_into_memory.load(Ordering::Relaxed) {
            return None;
        }
        if let Err(error) = check(path) {
            return Some(Err(error));
        }
        let flags = flags | OFlags::PATH | OFlags::CLOEXEC;
        let resolve = ResolveFlags::IN_ROOT
            | ResolveFlags::NO_MAGICLINKS
            | ResolveFlags::NO_XDEV
            | ResolveFlags::CACHED;
        match openat2(&self.dir, path, flags, Mode::empty(), resolve) {
            Err(Errno::INVAL) => {
                self.looks_into_memory.store(false, Ordering::Relaxed);
                None
            }
            // Not in memory, or another file system; or the tree moved meanwhile.
            Err(Errno::AGAIN | Errno::XDEV | Errno::INTR) => None,
            result => Some(result),
        }
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

#[allow(clippy::unnecessary_cast)] // The width differs between architectures.
fn device(stat: &Stat) -> u64 {
    stat.st_dev as u64
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn what_was_looked_up_is_found_without_waiting_and_nothing_else_is() {
        let dir = tempfile::tempdir_in("/tmp").unwrap();
        let root = Root::open(dir.path(), None).unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d/f"), b"x").unwrap();
        let find = |path: &[u8]| root.try_open_path(path, OFlags::empty());

        assert!(find(b"/d/none").is_none_or(|found| found.is_err_and(|e| e == Errno::NOENT)));
        assert_eq!(find(b"").unwrap().unwrap_err(), Errno::NOENT);
        // Old kernels cannot be asked, and of some file systems nothing is known.
        if root.resolver() == Resolver::Kernel
            && root.looks_into_memory.load(Ordering::Relaxed)
            && root.kind.keeps_attrs()
        {
            // It was just made.
            assert!(find(b"/d/f").unwrap().is_ok());
            assert!(find(b"/../../d/../d/f").is_none_or(|found| found.is_ok()));
        }
        let walking = Root::open(dir.path(), Some(Resolver::Walk)).unwrap();
        assert!(walking.try_open_path(b"/d/f", OFlags::empty()).is_none());
        // Where a process answers, nothing is asked.
        let proc = Root::open(Path::new("/proc"), None).unwrap();
        assert!(proc.try_open_path(b"/self/stat", OFlags::empty()).is_none());
    }
}
