//! Remote paths by pattern: `*`, `?`, `[…]` in any component.

use globset::{Glob, GlobMatcher};

use super::dir::FileKind;
use super::{Attrs, Sftp};
use crate::limits::{GLOB_MATCHES_MAX, TREE_DEPTH_MAX};
use crate::{Error, display_name};

impl Sftp {
    /// Paths that match `pattern`, sorted, with their attributes (links not followed).
    ///
    /// A pattern without wildcards is looked up as it is. A name matches because *we* found it so:
    /// what the server lists is compared here (CLT-7). Names that begin with a dot need a dot in the
    /// pattern. A backslash takes the meaning from what follows it.
    ///
    /// # Errors
    /// [`Error::Usage`] for a pattern that cannot be read; what [`Sftp::list`] says for directories
    /// other than "no such file" and "permission denied", which only make a branch empty.
    pub async fn glob(&self, pattern: impl AsRef<[u8]>) -> Result<Vec<(Vec<u8>, Attrs)>, Error> {
        let pattern = pattern.as_ref();
        let (mut found, rest) = match pattern.strip_prefix(b"/") {
            Some(rest) => (vec![b"/".to_vec()], rest),
            None => (vec![Vec::new()], pattern),
        };
        let components: Vec<&[u8]> = rest.split(|b| *b == b'/').filter(|c| !c.is_empty()).collect();
        if components.len() > TREE_DEPTH_MAX {
            return Err(Error::Usage("the pattern has too many components".into()));
        }
        for (index, component) in components.iter().enumerate() {
            let is_last = index + 1 == components.len();
            let Some(matcher) = matcher_of(component)? else {
                let plain = unescaped(component);
                found.iter_mut().for_each(|path| *path = joined(path, &plain));
                continue;
            };
            let mut next = Vec::new();
            for directory in found {
                let entries = match self.list(&directory).await {
                    Ok(entries) => entries,
                    Err(error) if matches!(error.refusal_code(), Some(2..=4)) => continue,
                    Err(error) => return Err(error),
                };
                for entry in entries {
                    let hidden = entry.name.starts_with(b".") && !component.starts_with(b".");
                    let leads_on = is_last
                        || matches!(
                            entry.kind(),
                            FileKind::Dir | FileKind::Symlink | FileKind::Unknown
                        );
                    let name = std::path::Path::new(
                        <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(&entry.name),
                    );
                    if !hidden && leads_on && matcher.is_match(name) {
                        next.push(joined(&directory, &entry.name));
                    }
                }
                if next.len() > GLOB_MATCHES_MAX {
                    return Err(Error::Usage(format!(
                        "\"{}\" matches too much",
                        display_name(pattern)
                    )));
                }
            }
            found = next;
        }
        let mut result = Vec::with_capacity(found.len());
        for path in found {
            match self.lstat(&path).await {
                Ok(attrs) => result.push((path, attrs)),
                Err(error) if error.ends_channel() => return Err(error),
                Err(_) => {}
            }
        }
        result.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(result)
    }
}

/// `directory/name`, without doubling the slash.
pub(crate) fn joined(directory: &[u8], name: &[u8]) -> Vec<u8> {
    let slash: &[u8] = if directory.is_empty() || directory.ends_with(b"/") { b"" } else { b"/" };
    [directory, slash, name].concat()
}

fn matcher_of(component: &[u8]) -> Result<Option<GlobMatcher>, Error> {
    let mut escaped = false;
    let has_wildcard = component.iter().any(|byte| {
        let is = !escaped && matches!(byte, b'*' | b'?' | b'[');
        escaped = !escaped && *byte == b'\\';
        is
    });
    if !has_wildcard {
        return Ok(None);
    }
    let unreadable = || Error::Usage(format!("\"{}\" is not a pattern", display_name(component)));
    let text = std::str::from_utf8(component).map_err(|_| unreadable())?;
    // Braces mean nothing in sftp patterns.
    let text = text.replace('{', "[{]").replace('}', "[}]");
    let glob =
        globset::GlobBuilder::new(&text).literal_separator(true).backslash_escape(true).build();
    Ok(Some(glob.as_ref().map(Glob::compile_matcher).map_err(|_| unreadable())?))
}

fn unescaped(component: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(component.len());
    let mut escaped = false;
    for byte in component {
        if !escaped && *byte == b'\\' {
            escaped = true;
        } else {
            out.push(*byte);
            escaped = false;
        }
    }
    out
}
