//! Patterns in local paths, for `put` in the sftp shell.

use std::{
    collections::BTreeSet,
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::PathBuf,
};

use crate::{
    glob::{self, Pattern, PatternByte, has_magic},
    remote_glob::join,
};

/// Paths that a word means, sorted: what it matches as a pattern, else the path itself, whether it
/// exists or not. Empty only for a pattern that matches nothing.
pub fn expand(pattern: &[PatternByte]) -> Vec<PathBuf> {
    if !has_magic(pattern) {
        return vec![OsString::from_vec(glob::plain(pattern)).into()];
    }
    let absolute = pattern.first().is_some_and(|first| first.byte == b'/');
    let mut found = vec![if absolute { b"/".to_vec() } else { Vec::new() }];
    for component in pattern.split(|p| p.byte == b'/').filter(|component| !component.is_empty()) {
        if has_magic(component) {
            found = children(&found, &Pattern::new(component));
        } else {
            let name = glob::plain(component);
            found = found.iter().map(|parent| join(parent, &name)).collect();
        }
    }
    found.retain(|path| fs::symlink_metadata(OsStr::from_bytes(path)).is_ok());
    found.into_iter().map(|path| OsString::from_vec(path).into()).collect()
}

fn children(parents: &[Vec<u8>], pattern: &Pattern) -> Vec<Vec<u8>> {
    let mut found = BTreeSet::new();
    for parent in parents {
        let directory = if parent.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(parent) };
        // A directory that cannot be listed matches nothing.
        let Ok(entries) = fs::read_dir(directory) else { continue };
        for name in entries.flatten().map(|entry| entry.file_name()) {
            if pattern.matches(name.as_bytes()) {
                found.insert(join(parent, name.as_bytes()));
            }
        }
    }
    found.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_work_in_every_component_and_missing_names_stay() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["a1/x.txt", "a2/x.txt", "a2/y.bin", "b/x.txt"] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let base = dir.path().to_str().unwrap();
        let expanded = |tail: &str| -> Vec<String> {
            let found = expand(&glob::with_escapes(format!("{base}/{tail}").as_bytes()));
            let tails = found.iter().map(|path| path.strip_prefix(base).unwrap().to_str().unwrap());
            tails.map(str::to_owned).collect()
        };

        assert_eq!(expanded("a*/*.txt"), ["a1/x.txt", "a2/x.txt"]);
        assert_eq!(expanded("*/y.bin"), ["a2/y.bin"]);
        assert_eq!(expanded("missing"), ["missing"]);
        assert!(expanded("c*").is_empty());
    }
}
