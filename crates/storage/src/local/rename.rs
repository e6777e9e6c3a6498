//! Renaming between two open directories, never over an existing name unless asked to.

use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, FileType, RenameFlags, linkat, renameat, renameat_with, statat, unlinkat,
};
use rustix::io::{Errno, Result};

/// A name in an open directory.
type At<'a> = (&'a OwnedFd, &'a [u8]);

/// Renames `from` to `to`. With `replace` as `rename(2)`; without, an existing `to` is
/// [`Errno::EXIST`], atomically wherever the file system can.
pub(super) fn rename(from: At<'_>, to: At<'_>, replace: bool) -> Result<()> {
    if replace {
        return renameat(from.0, from.1, to.0, to.1);
    }
    match renameat_with(from.0, from.1, to.0, to.1, RenameFlags::NOREPLACE) {
        // "The file system does not support one of the flags" shares its number with "a directory
        // into itself"; the second way answers both.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => without_noreplace(from, to),
        result => result,
    }
}

/// Two steps that together replace nothing: a second name, which fails if there is one already,
/// then the first name goes. Directories have no second names: for them, as for file systems
/// without hard links, there is a moment between the look and the rename, in which only an *empty*
/// directory, or on such file systems a new file, could be replaced.
fn without_noreplace(from: At<'_>, to: At<'_>) -> Result<()> {
    let stat = statat(from.0, from.1, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
        match linkat(from.0, from.1, to.0, to.1, AtFlags::empty()) {
            Ok(()) => return unlinkat(from.0, from.1, AtFlags::empty()),
            Err(Errno::PERM | Errno::OPNOTSUPP | Errno::NOSYS | Errno::MLINK) => {}
            Err(error) => return Err(error),
        }
    }
    match statat(to.0, to.1, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(_) => Err(Errno::EXIST),
        Err(Errno::NOENT) => renameat(from.0, from.1, to.0, to.1),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::fd::OwnedFd;

    use super::*;

    fn dir() -> (tempfile::TempDir, OwnedFd) {
        let dir = tempfile::tempdir().unwrap();
        let fd = fs::File::open(dir.path()).unwrap().into();
        (dir, fd)
    }

    #[test]
    fn the_fallback_replaces_neither_files_nor_links() {
        let (dir, fd) = dir();
        fs::write(dir.path().join("a"), b"a").unwrap();
        fs::write(dir.path().join("b"), b"b").unwrap();
        std::os::unix::fs::symlink("nowhere", dir.path().join("l")).unwrap();

        let onto_file = without_noreplace((&fd, b"a"), (&fd, b"b"));
        let onto_link = without_noreplace((&fd, b"a"), (&fd, b"l"));

        assert_eq!(onto_file, Err(Errno::EXIST));
        assert_eq!(onto_link, Err(Errno::EXIST));
        assert_eq!(fs::read(dir.path().join("b")).unwrap(), b"b");
    }

    #[test]
    fn the_fallback_moves_files_and_directories() {
        let (dir, fd) = dir();
        fs::write(dir.path().join("a"), b"a").unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();

        without_noreplace((&fd, b"a"), (&fd, b"b")).unwrap();
        without_noreplace((&fd, b"d"), (&fd, b"e")).unwrap();

        assert_eq!(fs::read(dir.path().join("b")).unwrap(), b"a");
        assert!(!dir.path().join("a").exists());
        assert!(dir.path().join("e").is_dir());
        assert!(!dir.path().join("d").exists());
    }
}
