//! What is to be sent, counted while the transfer already runs, so that the display can say how much
//! is left.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Weak},
};

use crate::output::Meter;

/// Directories that may wait to be read; a tree that is wider is not counted to its end.
const WAITING_MAX: usize = 100_000;

/// Counts on a thread of its own until everything is seen or the display is gone. Links and what
/// cannot be read are left out: this is only for show.
pub fn start(sources: Vec<PathBuf>, recursive: bool, meter: &Arc<Meter>) {
    let meter = Arc::downgrade(meter);
    // Without the thread less is shown.
    let _ = std::thread::Builder::new().name("look-ahead".to_owned()).spawn(move || {
        count(sources, recursive, |files, bytes| tell(&meter, files, bytes));
    });
}

/// Tells of files, one directory at a time, until nobody listens.
fn count(sources: Vec<PathBuf>, recursive: bool, mut tell: impl FnMut(u64, u64) -> Option<()>) {
    let mut waiting = Vec::new();
    let (mut files, mut bytes) = (0, 0);
    for source in sources {
        match fs::metadata(&source) {
            Ok(metadata) if metadata.is_dir() => waiting.push(source),
            Ok(metadata) => (files, bytes) = (files + 1, bytes + metadata.len()),
            Err(_) => {}
        }
    }
    let mut heard = tell(files, bytes);
    while let (Some(()), true, Some(dir)) = (heard, recursive, waiting.pop()) {
        let (files, bytes) = count_dir(&dir, &mut waiting);
        heard = tell(files, bytes);
    }
}

fn count_dir(dir: &Path, waiting: &mut Vec<PathBuf>) -> (u64, u64) {
    let (mut files, mut bytes) = (0, 0);
    let Ok(entries) = fs::read_dir(dir) else { return (0, 0) };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        if kind.is_dir() && waiting.len() < WAITING_MAX {
            waiting.push(entry.path());
        } else if kind.is_file() {
            files += 1;
            bytes += entry.metadata().map_or(0, |metadata| metadata.len());
        }
    }
    (files, bytes)
}

fn tell(meter: &Weak<Meter>, files: u64, bytes: u64) -> Option<()> {
    meter.upgrade().map(|meter| meter.found(files, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_a_tree_is_counted_once_and_links_are_not() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("t/u")).unwrap();
        fs::write(dir.path().join("t/a"), [0; 10]).unwrap();
        fs::write(dir.path().join("t/u/b"), [0; 5]).unwrap();
        fs::write(dir.path().join("single"), [0; 3]).unwrap();
        std::os::unix::fs::symlink("..", dir.path().join("t/loop")).unwrap();
        let counted = |recursive| {
            let sources = ["t", "single", "missing"].map(|name| dir.path().join(name)).into();
            let mut all = (0, 0);
            count(sources, recursive, |files, bytes| {
                all = (all.0 + files, all.1 + bytes);
                Some(())
            });
            all
        };

        assert_eq!(counted(true), (3, 18));
        assert_eq!(counted(false), (1, 3));
    }
}
