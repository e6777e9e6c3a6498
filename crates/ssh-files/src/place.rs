//! Where something stands: a line of a file.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// A line of a file, for sentences like "revoked in /etc/ssh/known_hosts:12".
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// As the caller named the file; many places share it.
    pub file: Arc<Path>,
    /// Counted from 1.
    pub line: usize,
}

impl fmt::Display for Place {
    /// `file:line`. The name is shown as it is: whoever prints it to a terminal escapes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}
