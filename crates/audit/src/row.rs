//! The files of one log: the one that grows has the name of the settings, a closed one that name and the
//! number of its first record.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Digits of the number, so that names are in the order of their records.
const DIGITS: usize = 12;

/// The name of a file that is closed and begins with record `first`.
pub(crate) fn closed_name(path: &Path, first: u64) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{first:0width$}", width = DIGITS));
    name.into()
}

/// The closed files of the log in `path`, the oldest first, with the numbers of their first records.
pub(crate) fn closed(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let dir = match path.parent() {
        Some(dir) if dir != Path::new("") => dir,
        _ => Path::new("."),
    };
    let Some(name) = path.file_name() else { return Ok(Vec::new()) };
    let mut prefix = OsString::from(name);
    prefix.push(".");
    let mut all = Vec::new();
    for entry in fs::read_dir(dir)? {
        let found = entry?.file_name();
        let number = found
            .as_encoded_bytes()
            .strip_prefix(prefix.as_encoded_bytes())
            .filter(|digits| digits.len() >= DIGITS && digits.iter().all(u8::is_ascii_digit))
            .and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
        if let Some(number) = number {
            all.push((number, path.with_file_name(&found)));
        }
    }
    all.sort();
    Ok(all)
}

/// All files of the log in `path`, in the order of their records.
///
/// # Errors
/// The directory cannot be read.
pub fn row_of(path: &Path) -> io::Result<Vec<PathBuf>> {
    let mut all: Vec<PathBuf> = closed(path)?.into_iter().map(|(_, path)| path).collect();
    if path.exists() {
        all.push(path.to_owned());
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closed_files_are_found_in_order_and_nothing_else_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("audit.jsonl");
        for name in ["audit.jsonl", "audit.jsonl.000000000010", "audit.jsonl.000000000002"] {
            fs::write(dir.path().join(name), "").unwrap();
        }
        for name in ["audit.jsonl.gz", "audit.jsonl.7", "other.jsonl.000000000003"] {
            fs::write(dir.path().join(name), "").unwrap();
        }

        let names: Vec<_> = row_of(&path).unwrap();

        assert_eq!(names, [closed_name(&path, 2), closed_name(&path, 10), path]);
    }
}
