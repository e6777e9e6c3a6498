//! Directory trees: one made from a seed, and the comparison of two.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::content::{Numbers, compare_files, write_file};

/// Files of the tree that every pair moves.
pub const TREE_FILES: usize = 500;

/// Deepest directory of the tree.
const DEPTH_MAX: u64 = 4;

/// Largest file of the tree, in bytes. Most are small, as in real trees; a few need several packets.
const LARGE_MAX: u64 = 100_000;
const SMALL_MAX: u64 = 3_000;

/// How a program treats the symbolic links of a tree that it copies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// They arrive as links.
    Kept,
    /// What they point to arrives.
    Followed,
    /// They are left out.
    Skipped,
}

/// Writes a tree of `files` files into a new directory: several levels, an empty directory, an
/// empty file, names with spaces and accents.
///
/// # Panics
/// When it cannot be written.
pub fn write_tree(root: &Path, files: usize, seed: u64) {
    let mut numbers = Numbers::new(seed);
    fs::create_dir_all(root.join("empty directory")).expect("make the tree");
    let mut dirs = vec![root.to_owned()];
    for index in 0..files {
        if numbers.below(12) == 0 {
            let parent = &dirs[usize::try_from(numbers.below(dirs.len() as u64)).unwrap_or(0)];
            let depth = parent.components().count() - root.components().count();
            if (depth as u64) < DEPTH_MAX {
                let dir = parent.join(format!("dir {index}"));
                fs::create_dir(&dir).expect("make a directory");
                dirs.push(dir);
            }
        }
        let dir = &dirs[usize::try_from(numbers.below(dirs.len() as u64)).unwrap_or(0)];
        let largest = if numbers.below(20) == 0 { LARGE_MAX } else { SMALL_MAX };
        let len = if index == 0 { 0 } else { numbers.below(largest) };
        write_file(&dir.join(format!("file-é-{index}.dat")), len, seed ^ index as u64);
    }
}

/// `Err` with the first differences between `left` and the copy of it at `right`: entries that are
/// missing or too many, kinds, contents and targets of links.
///
/// # Errors
/// A sentence for each difference, at most ten.
pub fn compare_trees(left: &Path, right: &Path, links: Links) -> Result<(), String> {
    let mut expected = entries(left, links)?;
    let mut found = entries(right, Links::Kept)?;
    let mut differences = Vec::new();
    for (path, kind) in &expected {
        match found.remove(path) {
            None => differences.push(format!("{path:?} did not arrive")),
            Some(other) if other != *kind => {
                differences.push(format!("{path:?} is {other:?}, should be {kind:?}"));
            }
            Some(Kind::File) => {
                differences.extend(compare_files(&left.join(path), &right.join(path)).err());
            }
            Some(_) => {}
        }
        if differences.len() > 10 {
            break;
        }
    }
    if differences.is_empty() {
        differences.extend(found.keys().take(10).map(|path| format!("{path:?} was never sent")));
    }
    expected.clear();
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

/// `Err` with the first differences between the modes and times of change of the files and
/// directories at `left` and those of their copies at `right`. Links have neither that could be kept.
///
/// # Errors
/// A sentence for each difference, at most ten.
pub fn compare_attributes(left: &Path, right: &Path) -> Result<(), String> {
    let mut differences = Vec::new();
    for (path, kind) in entries(left, Links::Skipped)? {
        let shown = |root: &Path| {
            let found = fs::symlink_metadata(root.join(&path)).map_err(|e| e.to_string())?;
            Ok::<_, String>(format!("mode {:o}, time {}", found.mode() & 0o7777, found.mtime()))
        };
        let (expected, found) = (shown(left)?, shown(right)?);
        if expected != found {
            differences.push(format!("{kind:?} {path:?} has {found}, should have {expected}"));
        }
        if differences.len() >= 10 {
            break;
        }
    }
    if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    Directory,
    File,
    Link(PathBuf),
    Other,
}

fn entries(root: &Path, links: Links) -> Result<BTreeMap<PathBuf, Kind>, String> {
    let mut found = BTreeMap::new();
    let mut dirs = vec![PathBuf::new()];
    while let Some(dir) = dirs.pop() {
        let at = root.join(&dir);
        let failed = |e: io::Error| format!("read {at:?}: {e}");
        for entry in fs::read_dir(&at).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let path = dir.join(entry.file_name());
            let full = entry.path();
            let mut metadata = entry.metadata().map_err(failed)?;
            if metadata.is_symlink() {
                match links {
                    Links::Skipped => continue,
                    Links::Kept => {}
                    Links::Followed => match fs::metadata(&full) {
                        Ok(target) => metadata = target,
                        Err(_) => continue,
                    },
                }
            }
            let kind = if metadata.is_dir() {
                dirs.push(path.clone());
                Kind::Directory
            } else if metadata.is_file() {
                Kind::File
            } else if metadata.is_symlink() {
                Kind::Link(fs::read_link(&full).map_err(failed)?)
            } else {
                Kind::Other
            };
            found.insert(path, kind);
        }
    }
    Ok(found)
}

/// Names in a directory, sorted.
///
/// # Errors
/// When it cannot be read.
pub fn names_in(dir: &Path) -> io::Result<Vec<std::ffi::OsString>> {
    let mut names =
        fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name())).collect::<io::Result<Vec<_>>>()?;
    names.sort_by(|a, b| OsStr::as_bytes(a).cmp(OsStr::as_bytes(b)));
    Ok(names)
}
