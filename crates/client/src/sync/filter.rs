//! Which names take part: patterns in the syntax of gitignore(5), and bounds on size and age.
//!
//! The last pattern that matches decides. Nothing below an excluded directory is looked at, so it
//! cannot be included again. What is excluded is left alone on both sides: neither transferred nor
//! deleted. Names are matched as bytes; patterns are text.

use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::entry::Entry;
use crate::limits::{FILTER_FILE_LEN_MAX, FILTER_PATTERNS_MAX};
use crate::{Error, display_name};

/// What takes part in a sync. The default is everything.
#[derive(Clone, Debug)]
pub struct Filter {
    pub(super) patterns: Gitignore,
    /// Bytes of a file at least and at most. Files outside of it are neither sent nor deleted.
    pub size_min: Option<u64>,
    pub size_max: Option<u64>,
    /// Files of the source that were not modified for longer are left out.
    pub age_max: Option<Duration>,
}

/// Patterns, in their order, on the way to a [`Filter`].
#[derive(Debug)]
pub struct FilterBuilder {
    builder: GitignoreBuilder,
    count: usize,
}

impl Default for Filter {
    fn default() -> Self {
        Self { patterns: Gitignore::empty(), size_min: None, size_max: None, age_max: None }
    }
}

impl Default for FilterBuilder {
    fn default() -> Self {
        Self { builder: GitignoreBuilder::new(""), count: 0 }
    }
}

impl FilterBuilder {
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one line as it would stand in a `.gitignore` at the root of the tree.
    ///
    /// # Errors
    /// [`Error::Usage`] if it cannot be read, or there are too many.
    pub fn exclude(&mut self, pattern: &str) -> Result<(), Error> {
        self.count += 1;
        if self.count > FILTER_PATTERNS_MAX {
            return Err(Error::Usage(format!("more than {FILTER_PATTERNS_MAX} patterns")));
        }
        let added = self.builder.add_line(None, pattern);
        added.map(drop).map_err(|error| {
            let shown = display_name(pattern.as_bytes());
            Error::Usage(format!(
                "pattern \"{shown}\": {}",
                display_name(error.to_string().as_bytes())
            ))
        })
    }

    /// Takes back what an earlier pattern excludes.
    ///
    /// # Errors
    /// As [`exclude`](Self::exclude).
    pub fn include(&mut self, pattern: &str) -> Result<(), Error> {
        self.exclude(&format!("!{pattern}"))
    }

    /// Adds every line of a file.
    ///
    /// # Errors
    /// [`Error::Local`] if it cannot be read, [`Error::Usage`] if it is too long or not UTF-8.
    pub fn exclude_from(&mut self, path: &Path) -> Result<(), Error> {
        let failed = |e| Error::local("read patterns", path, e);
        let file = std::fs::File::open(path).map_err(failed)?;
        let mut text = Vec::new();
        file.take(FILTER_FILE_LEN_MAX + 1).read_to_end(&mut text).map_err(failed)?;
        let shown = || display_name(path.as_os_str().as_bytes());
        if text.len() as u64 > FILTER_FILE_LEN_MAX {
            return Err(Error::Usage(format!("\"{}\" is too long for patterns", shown())));
        }
        let text = String::from_utf8(text)
            .map_err(|_| Error::Usage(format!("\"{}\" is not UTF-8", shown())))?;
        text.lines().try_for_each(|line| self.exclude(line))
    }

    /// # Errors
    /// [`Error::Usage`] if the patterns together are too much.
    pub fn build(self) -> Result<Filter, Error> {
        let patterns = self.builder.build();
        let patterns = patterns.map_err(|error| {
            Error::Usage(format!("patterns: {}", display_name(error.to_string().as_bytes())))
        })?;
        Ok(Filter { patterns, ..Filter::default() })
    }
}

impl Filter {
    /// Whether `rel`, a path below the root, is left alone. Its parents are known to take part.
    pub(crate) fn excludes(&self, rel: &[u8], is_dir: bool) -> bool {
        !self.patterns.is_empty()
            && self.patterns.matched(Path::new(OsStr::from_bytes(rel)), is_dir).is_ignore()
    }

    /// Why a file is left alone, if its size forbids to touch it.
    pub(crate) fn out_of_size(&self, file: &Entry) -> Option<&'static str> {
        if self.size_min.is_some_and(|min| file.size.is_some_and(|size| size < min)) {
            return Some("smaller than --min-size");
        }
        if self.size_max.is_some_and(|max| file.size.is_none_or(|size| size > max)) {
            return Some("larger than --max-size");
        }
        None
    }

    /// Why a file of the source is not sent, if its size or age forbids it.
    pub(crate) fn unwanted(&self, file: &Entry, now: SystemTime) -> Option<&'static str> {
        if let Some(why) = self.out_of_size(file) {
            return Some(why);
        }
        let age = || {
            let now = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
            let modified = u64::try_from(file.modified?.seconds).unwrap_or(0);
            Some(Duration::from_secs(now.saturating_sub(modified)))
        };
        if self.age_max.is_some_and(|max| age().is_some_and(|age| age > max)) {
            return Some("older than --max-age");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(lines: &[&str]) -> Filter {
        let mut builder = FilterBuilder::new();
        for line in lines {
            builder.exclude(line).unwrap();
        }
        builder.build().unwrap()
    }

    #[test]
    fn the_last_pattern_that_matches_decides() {
        let filter = filter(&["*.log", "!keep.log"]);

        assert!(filter.excludes(b"a.log", false));
        assert!(filter.excludes(b"deep/b.log", false));
        assert!(!filter.excludes(b"deep/keep.log", false));
        assert!(!filter.excludes(b"a.txt", false));
    }

    #[test]
    fn a_slash_anchors_and_a_last_slash_means_directories() {
        let filter = filter(&["/top", "build/"]);

        assert!(filter.excludes(b"top", false));
        assert!(!filter.excludes(b"below/top", false));
        assert!(filter.excludes(b"below/build", true));
        assert!(!filter.excludes(b"below/build", false));
    }

    #[test]
    fn names_that_are_no_text_are_matched_as_bytes() {
        let filter = filter(&["*.bin", "x?y"]);

        assert!(filter.excludes(b"\xff\xfe.bin", false));
        assert!(filter.excludes(b"x\xffy", false));
        assert!(!filter.excludes(b"\xff\xfe.txt", false));
    }

    #[test]
    fn a_pattern_that_cannot_be_read_is_named() {
        let error = FilterBuilder::new().exclude("[z-a]").unwrap_err().to_string();

        assert!(error.contains("[z-a]"), "{error}");
    }
}
