//! One settings file as text, and errors that point into it: file, line, key, reason.

use std::{
    fmt,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde::{Deserialize, de::IntoDeserializer};
use sterna_identity::Place;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{files::Files, schema::SECRETS};
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
    path: Arc<Path>,
    text: String,
    /// Where each line begins.
    lines: Vec<usize>,
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
            let valid = &e.as_bytes()[..e.utf8_error().valid_up_to()];
            let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
            SettingsError { line: Some(line), ..fail("not UTF-8".to_owned()) }
        })?;
        Ok(Self::new(path, text))
    }

    /// A text that stands for the file `path`.
    pub fn new(path: &Path, text: String) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let lines = [0].into_iter().chain(ends.map(|(at, _)| at + 1)).collect();
        Self { path: path.into(), text, lines }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as tables, with every mistake of its syntax.
    pub fn tables(&self, errors: &mut Vec<SettingsError>) -> Option<DeTable<'_>> {
        let (table, mistakes) = DeTable::parse_recoverable(&self.text);
        if mistakes.is_empty() {
            return Some(table.into_inner());
        }
        errors.extend(mistakes.iter().map(|mistake| {
            let span = mistake.span().unwrap_or(0..0);
            self.error(span, "", first_line(mistake.message()))
        }));
        None
    }

    /// A table of this text in its schema. `prefix` stands before the names of its keys in errors.
    /// `None` if something in it does not fit: then every such key is named.
    pub fn read_table<'t, T: Deserialize<'t>>(
        &self,
        mut table: DeTable<'t>,
        span: Range<usize>,
        prefix: &str,
        errors: &mut Vec<SettingsError>,
    ) -> Option<T> {
        let before = errors.len();
        loop {
            let input = Spanned::new(span.clone(), table.clone()).into_deserializer();
            let error = match T::deserialize(input) {
                Ok(read) => return (errors.len() == before).then_some(read),
                Err(error) => error,
            };
            let at = error.span().unwrap_or_else(|| span.clone());
            let mut keys = Vec::new();
            find_key(&table, &at, &mut keys);
            let key = format!("{prefix}{}", keys.join("."));
            let why = match first_line(error.message()) {
                why if why.starts_with("unknown field") => {
                    "unknown key; `sterna config show --all` lists what there is".to_owned()
                }
                // What stands there is quoted otherwise.
                _ if keys.iter().any(|key| SECRETS.contains(&key.as_str())) => {
                    "is not of the type that it has to be".to_owned()
                }
                why => why,
            };
            errors.push(self.error(at, &key, why));
            // The rest may hold more of them.
            let removed = keys.first().and_then(|key| table.remove(key.as_str()));
            removed.as_ref()?;
        }
    }

    /// An error about the value that stands at `span`.
    pub fn error(&self, span: Range<usize>, key: &str, why: impl Into<String>) -> SettingsError {
        SettingsError {
            file: self.path.to_path_buf(),
            line: Some(self.line(span.start)),
            key: key.to_owned(),
            why: why.into(),
        }
    }

    /// Where the value at `span` stands, for sentences about decisions that follow it.
    pub fn place(&self, span: &Range<usize>) -> Place {
        Place { file: Arc::clone(&self.path), line: self.line(span.start) }
    }

    /// A path as this file means it: relative ones start where the file is.
    pub fn resolve(&self, path: &Path) -> PathBuf {
        match self.path.parent() {
            Some(dir) => dir.join(path),
            None => path.to_owned(),
        }
    }

    fn line(&self, offset: usize) -> usize {
        self.lines.partition_point(|start| *start <= offset)
    }
}

/// Finds the innermost key whose name or value covers `span`. The parser bounds the depth.
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

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or("unreadable").to_owned()
}
