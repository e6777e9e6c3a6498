//! Configuration files: reading one, and finding those that `Include` means.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Component, Path, PathBuf};

use globset::{GlobBuilder, GlobMatcher};

use crate::error::io_reason;
use crate::limits::{CONFIG_FILE_LEN_MAX, CONFIG_INCLUDE_FILES_MAX};

/// The lines of `path` with their numbers, or `None` if there is no such file.
///
/// With `is_guarded`, a file that others may write is refused: its lines can run commands.
pub(super) fn read(path: &Path, is_guarded: bool) -> Result<Option<String>, String> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io_reason(&error)),
    };
    let metadata = file.metadata().map_err(|error| io_reason(&error))?;
    if is_guarded && is_open_to_others(&metadata) {
        return Err("others may write this file, or it is somebody else's; it is not read".into());
    }
    if metadata.is_file() && metadata.len() > CONFIG_FILE_LEN_MAX {
        return Err(format!("longer than {CONFIG_FILE_LEN_MAX} bytes"));
    }
    let mut bytes = Vec::new();
    let read = file.by_ref().take(CONFIG_FILE_LEN_MAX).read_to_end(&mut bytes);
    read.map_err(|error| io_reason(&error))?;
    // Comments may be in any character set; a name that is not UTF-8 matches nothing.
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

/// As OpenSSH judges, except that a group of one's own may write: its number is the person's.
fn is_open_to_others(metadata: &std::fs::Metadata) -> bool {
    let uid = rustix::process::getuid().as_raw();
    let foreign = metadata.uid() != 0 && metadata.uid() != uid;
    let by_group = metadata.mode() & 0o020 != 0 && metadata.gid() != metadata.uid();
    foreign || by_group || metadata.mode() & 0o002 != 0
}

/// The files that a path with glob(7) wildcards means, in lexical order.
///
/// # Errors
/// If there are more than [`CONFIG_INCLUDE_FILES_MAX`], or the pattern is none.
pub(super) fn matching(path: &Path) -> Result<Vec<PathBuf>, String> {
    let mut found = vec![PathBuf::new()];
    for component in path.components() {
        let name = component.as_os_str();
        let pattern = name.to_str().filter(|name| name.contains(['*', '?', '[']));
        found = match (component, pattern) {
            (Component::Normal(_), Some(pattern)) => expand(&found, pattern)?,
            _ => found.into_iter().map(|path| path.join(name)).collect(),
        };
    }
    found.sort();
    Ok(found)
}

/// The entries of `directories` whose names match.
fn expand(directories: &[PathBuf], pattern: &str) -> Result<Vec<PathBuf>, String> {
    let matcher = name_matcher(pattern)?;
    let mut found = Vec::new();
    for directory in directories {
        let Ok(entries) = std::fs::read_dir(directory) else { continue };
        for name in entries.filter_map(|entry| entry.ok().map(|e| e.file_name())) {
            let hidden = name.as_encoded_bytes().starts_with(b".");
            if (!hidden || pattern.starts_with('.')) && matcher.is_match(&name) {
                found.push(directory.join(name));
            }
            if found.len() > CONFIG_INCLUDE_FILES_MAX {
                return Err(format!("matches more than {CONFIG_INCLUDE_FILES_MAX} files"));
            }
        }
    }
    Ok(found)
}

fn name_matcher(pattern: &str) -> Result<GlobMatcher, String> {
    // glob(7) has no braces.
    let pattern = pattern.replace('{', "[{]").replace('}', "[}]");
    let glob = GlobBuilder::new(&pattern).literal_separator(true).backslash_escape(true).build();
    Ok(glob.map_err(|error| error.to_string())?.compile_matcher())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn wildcards_stand_for_names_in_any_part_of_a_path_but_not_for_hidden_ones() {
        let directory = tempfile::tempdir().unwrap();
        for name in ["b/one.conf", "a/two.conf", "a/.x.conf", "a/x{1}.conf", "c"] {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let found = |pattern: &str| {
            let found = matching(&directory.path().join(pattern)).unwrap().into_iter();
            let below = |p: PathBuf| p.strip_prefix(directory.path()).unwrap().to_owned();
            found.map(|p| below(p).display().to_string()).collect::<Vec<_>>()
        };

        assert_eq!(found("*/*.conf"), ["a/two.conf", "a/x{1}.conf", "b/one.conf"]);
        assert_eq!(found("[bc]/???.conf"), ["b/one.conf"]);
        assert_eq!(found("a/.*"), ["a/.x.conf"]);
        assert_eq!(found("a/x{1}*"), ["a/x{1}.conf"]);
        assert_eq!(found("nosuch/*"), [""; 0]);
        assert_eq!(found("nosuch"), ["nosuch"]);
    }

    #[test]
    fn a_guarded_file_is_not_read_if_others_may_write_it() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("config");
        fs::write(&file, "x").unwrap();
        for (mode, fine) in [(0o600, true), (0o644, true), (0o602, false), (0o666, false)] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(read(&file, true).is_ok(), fine, "{mode:o}");
            assert_eq!(read(&file, false).unwrap().as_deref(), Some("x"));
        }
        assert_eq!(read(&directory.path().join("none"), true).unwrap(), None);
    }
}
