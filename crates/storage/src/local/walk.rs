//! Resolves a path inside a root without `openat2`: one component, one `openat`, links never
//! followed by the kernel.
//!
//! Each component is opened relative to the directory before it with `O_NOFOLLOW`, so whatever is
//! swapped meanwhile, a link is noticed and its text is taken here: `/` means the root, `..` goes to
//! the directory we came from (not to what the kernel holds for its parent by now).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, Mode, OFlags, fstat, openat, readlinkat};
use rustix::io::{Errno, Result};

use crate::limits::{LINKS_MAX, WALK_OPEN_MAX};

const STEP: OFlags =
    OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

pub(super) struct Walk<'r> {
    root: BorrowedFd<'r>,
    /// Where we are: the directories from the root down.
    trail: Vec<Step>,
    /// Components still to take, the next one last.
    ahead: Vec<Vec<u8>>,
    links_left: u32,
    /// The path ended in a slash: what it names must be a directory.
    slash: bool,
}

struct Step {
    name: Vec<u8>,
    /// `None`: closed to save descriptors, opened again by name if `..` comes back to it.
    dir: Option<OwnedFd>,
}

impl<'r> Walk<'r> {
    pub fn new(root: BorrowedFd<'r>, path: &[u8]) -> Self {
        let mut walk = Self {
            root,
            trail: Vec::new(),
            ahead: Vec::new(),
            links_left: LINKS_MAX,
            slash: false,
        };
        walk.push_ahead(path);
        walk
    }

    /// Opens what the path names, with the meaning that `open(2)` gives to `flags`.
    pub fn open(mut self, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        loop {
            let Some(name) = self.go_to_parent()? else {
                return self.open_here(flags, mode);
            };
            let follow = self.slash || !flags.contains(OFlags::NOFOLLOW);
            let mut how = flags | OFlags::NOFOLLOW;
            if self.slash {
                if flags.contains(OFlags::CREATE) {
                    return Err(Errno::ISDIR);
                }
                how |= OFlags::DIRECTORY;
            }
            match openat(self.here()?, name.as_slice(), how, mode) {
                Ok(fd) => {
                    // Only O_PATH opens a link itself.
                    if follow && flags.contains(OFlags::PATH) && is_link(&fd)? {
                        self.expand(name)?;
                        continue;
                    }
                    return Ok(fd);
                }
                Err(error @ (Errno::LOOP | Errno::NOTDIR)) if follow => {
                    self.expand_or(name, error)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The path without links and dots; the last component may be missing.
    pub fn canonical(mut self) -> Result<Vec<u8>> {
        let last = loop {
            let Some(name) = self.go_to_parent()? else {
                break None;
            };
            match openat(
                self.here()?,
                name.as_slice(),
                OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                Mode::empty(),
            ) {
                Ok(fd) => match FileType::from_raw_mode(fstat(&fd)?.st_mode) {
                    FileType::Symlink => self.expand(name)?,
                    FileType::Directory => break Some(name),
                    _ if self.slash => return Err(Errno::NOTDIR),
                    _ => break Some(name),
                },
                Err(Errno::NOENT) => break Some(name),
                Err(error) => return Err(error),
            }
        };
        let mut path = Vec::new();
        for name in self.trail.iter().map(|step| &step.name).chain(last.as_ref()) {
            path.push(b'/');
            path.extend_from_slice(name);
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Ok(path)
    }

    /// Takes every component but the last, which is returned; `None` if the path ends where we
    /// stand (`/`, `.`, `..`).
    fn go_to_parent(&mut self) -> Result<Option<Vec<u8>>> {
        while let Some(name) = self.ahead.pop() {
            match name.as_slice() {
                b"." => {}
                b".." => {
                    self.trail.pop();
                }
                _ if self.ahead.is_empty() => return Ok(Some(name)),
                _ => self.enter(name)?,
            }
        }
        Ok(None)
    }

    /// Steps into the directory `name`, or takes the text of the link of that name.
    fn enter(&mut self, name: Vec<u8>) -> Result<()> {
        match openat(self.here()?, name.as_slice(), STEP, Mode::empty()) {
            Ok(dir) => {
                if let Some(old) = self.trail.len().checked_sub(WALK_OPEN_MAX) {
                    self.trail[old].dir = None;
                }
                self.trail.push(Step { name, dir: Some(dir) });
                Ok(())
            }
            Err(error @ (Errno::NOTDIR | Errno::LOOP)) => self.expand_or(name, error),
            Err(error) => Err(error),
        }
    }

    fn expand_or(&mut self, name: Vec<u8>, error: Errno) -> Result<()> {
        match self.expand(name) {
            // Not a link (any more): then the first answer was the right one.
            Err(Errno::INVAL) => Err(error),
            result => result,
        }
    }

    /// Puts the text of the link `name` in the place of its name.
    fn expand(&mut self, name: Vec<u8>) -> Result<()> {
        self.links_left = self.links_left.checked_sub(1).ok_or(Errno::LOOP)?;
        let text = readlinkat(self.here()?, name.as_slice(), Vec::new())?.into_bytes();
        if text.is_empty() {
            return Err(Errno::NOENT);
        }
        if text[0] == b'/' {
            self.trail.clear();
        }
        self.push_ahead(&text);
        Ok(())
    }

    fn push_ahead(&mut self, path: &[u8]) {
        if self.ahead.is_empty() {
            self.slash |= path.ends_with(b"/");
        }
        let names = path.split(|&b| b == b'/').filter(|name| !name.is_empty());
        self.ahead.extend(names.rev().map(<[u8]>::to_vec));
    }

    /// The directory we stand in, opened again from the root if it was closed meanwhile.
    fn here(&mut self) -> Result<BorrowedFd<'_>> {
        let Some(top) = self.trail.len().checked_sub(1) else {
            return Ok(self.root);
        };
        if self.trail[top].dir.is_none() {
            // Only ever downwards and never through a link, so still inside the root.
            let keep_from = self.trail.len().saturating_sub(WALK_OPEN_MAX);
            let mut passing: Option<OwnedFd> = None;
            for at in 0..=top {
                let above = match at.checked_sub(1).and_then(|above| self.trail[above].dir.as_ref())
                {
                    Some(dir) => dir.as_fd(),
                    None => passing.as_ref().map_or(self.root, |dir| dir.as_fd()),
                };
                let dir = openat(above, self.trail[at].name.as_slice(), STEP, Mode::empty())?;
                if at < keep_from {
                    passing = Some(dir);
                } else {
                    self.trail[at].dir = Some(dir);
                }
            }
        }
        match &self.trail[top].dir {
            Some(dir) => Ok(dir.as_fd()),
            None => Err(Errno::NOENT),
        }
    }

    /// Opens the directory we stand in.
    fn open_here(mut self, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
        if flags.contains(OFlags::CREATE) {
            let exclusive = flags.contains(OFlags::EXCL);
            return Err(if exclusive { Errno::EXIST } else { Errno::ISDIR });
        }
        openat(self.here()?, c".", flags - OFlags::NOFOLLOW, mode)
    }
}

fn is_link(fd: &OwnedFd) -> Result<bool> {
    Ok(FileType::from_raw_mode(fstat(fd)?.st_mode) == FileType::Symlink)
}
