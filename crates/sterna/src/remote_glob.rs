//! Patterns in remote paths, expanded by listing what the server has.

use std::collections::BTreeSet;

use sterna_client::{Error, Sftp};

use crate::glob::{self, Pattern, PatternByte, has_magic};

/// Paths that one pattern may match; more is a pattern that was not meant, or a hostile server.
const MATCHES_MAX: usize = 1_000_000;

/// All paths that `pattern` matches, sorted. Empty if there is none.
///
/// # Errors
/// If the connection fails, or more than [`MATCHES_MAX`] paths match. Directories that cannot be
/// listed match nothing.
pub async fn expand(sftp: &Sftp, pattern: &[PatternByte]) -> Result<Vec<Vec<u8>>, Error> {
    let absolute = pattern.first().is_some_and(|first| first.byte == b'/');
    let mut found = vec![if absolute { b"/".to_vec() } else { Vec::new() }];
    let mut guessed = false;
    for component in pattern.split(|p| p.byte == b'/').filter(|component| !component.is_empty()) {
        if has_magic(component) {
            found = children(sftp, &found, &Pattern::new(component)).await?;
            guessed = false;
        } else {
            let name = glob::plain(component);
            found = found.iter().map(|parent| join(parent, &name)).collect();
            guessed = true;
        }
    }
    if guessed {
        // The last components were appended without a look.
        let mut there = Vec::with_capacity(found.len());
        for path in found {
            match sftp.lstat(&path).await {
                Ok(_) => there.push(path),
                Err(error) if error.ends_channel() => return Err(error),
                Err(_) => {}
            }
        }
        found = there;
    }
    Ok(found)
}

/// `parent/name`; an empty parent is the directory in which the login starts.
pub fn join(parent: &[u8], name: &[u8]) -> Vec<u8> {
    let mut path = parent.to_vec();
    if !path.is_empty() && !path.ends_with(b"/") {
        path.push(b'/');
    }
    path.extend_from_slice(name);
    path
}

async fn children(
    sftp: &Sftp,
    parents: &[Vec<u8>],
    pattern: &Pattern,
) -> Result<Vec<Vec<u8>>, Error> {
    let mut found = BTreeSet::new();
    for parent in parents {
        let entries = match sftp.list(parent).await {
            Ok(entries) => entries,
            Err(error) if error.ends_channel() => return Err(error),
            Err(_) => continue,
        };
        for entry in entries.iter().filter(|entry| pattern.matches(&entry.name)) {
            found.insert(join(parent, &entry.name));
        }
        if found.len() > MATCHES_MAX {
            return Err(Error::Usage(format!("the pattern matches more than {MATCHES_MAX} paths")));
        }
    }
    Ok(found.into_iter().collect())
}
