//! One settings file as text, and errors that point into it: file, line, key, reason.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
};

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

use super::files::Files;
use crate::{failure, output::display_name};

/// A settings file larger than this is a mistake (bytes). Ten thousand users with three keys each
/// need about a third of it.
const FILE_LEN_MAX: u64 = 16 * 1024 * 1024;

/// What is wrong with the settings, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsError {
    pub file: PathBuf,
    /// Counted from 1; `None` if the file as a whole is meant.
    pub line: Option<usize>,
    /// Dotted, such as `user.root`; empty if no key is to blame.
    pub key: String,
    pub why: String,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&display_name(self.file.as_os_str().as_encoded_bytes()))?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.why)
    }
}

/// A settings file that was read.
pub struct Source {
    pub path: PathBuf,
    text: String,
}

impl Source {
    /// # Errors
    /// If the file cannot be read, is too large or is not UTF-8.
    pub fn read(path: &Path, files: &Files) -> Result<Self, SettingsError> {
        let fail = |why: String| SettingsError {
            file: path.to_owned(),
            line: None,
            key: String::new(),
            why,
        };
        let bytes =
            files.read(path, FILE_LEN_MAX).map_err(|error| fail(failure::io_reason(&error)))?;
        if bytes.len() as u64 > FILE_LEN_MAX {
            return Err(fail(format!("larger than {FILE_LEN_MAX} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|e| {
            let valid = e.utf8_error().valid_up_to();
            let line = line_at(&e.as_bytes()[..valid], valid);
            SettingsError { line: Some(line), ..fail("not UTF-8".to_owned()) }
        })?;
        Ok(Self { path: path.to_owned(), text })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// Reads the text into its schema.
    ///
    /// # Errors
    /// Names the line and the key that does not fit.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        toml::from_str(&self.text).map_err(|error| {
            let message = first_line(error.message());
            match error.span() {
                Some(span) => {
                    let key = self.key_at(&span);
                    self.error(span, &key, message)
                }
                None => SettingsError {
                    file: self.path.clone(),
                    line: None,
                    key: String::new(),
                    why: message,
                },
            }
        })
    }

    /// An error about the value that stands at `span`.
    pub fn error(&self, span: Range<usize>, key: &str, why: impl Into<String>) -> SettingsError {
        SettingsError {
            file: self.path.clone(),
            line: Some(line_at(self.text.as_bytes(), span.start)),
            key: key.to_owned(),
            why: why.into(),
        }
    }

    /// A path as this file means it: relative ones start where the file is.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        match self.path.parent() {
            Some(dir) => dir.join(path),
            None => path.to_owned(),
        }
    }

    /// The dotted key whose name or value covers `span`; empty if the text cannot be parsed.
    fn key_at(&self, span: &Range<usize>) -> String {
        let mut keys = Vec::new();
        if let Ok(table) = DeTable::parse(&self.text) {
            find_key(table.get_ref(), span, &mut keys);
        }
        keys.join(".")
    }
}

/// Descends to the innermost key that covers `span`. The parser bounds the depth.
fn find_key(table: &DeTable<'_>, span: &Range<usize>, keys: &mut Vec<String>) -> bool {
    let covers = |outer: Range<usize>| outer.start <= span.start && span.end <= outer.end;
    for (key, value) in table {
        keys.push(key.get_ref().to_string());
        let inside = match value.get_ref() {
            DeValue::Table(table) => find_key(table, span, keys),
            DeValue::Array(items) => items.iter().any(|item| match item.get_ref() {
                DeValue::Table(table) => find_key(table, span, keys),
                _ => covers(item.span()),
            }),
            _ => false,
        };
        if inside || covers(key.span()) || covers(value.span()) {
            return true;
        }
        keys.pop();
    }
    false
}

fn line_at(text: &[u8], offset: usize) -> usize {
    1 + text.iter().take(offset).filter(|&&byte| byte == b'\n').count()
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("unreadable").to_owned()
}
