//! Why a hook could not be asked. None of these lets anybody in.

use std::fmt;
use std::path::PathBuf;

use crate::limits::QUOTED_LEN_MAX;

/// Why a hook could not be asked or its answer was not taken: one variant for each thing that helps.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HookError {
    /// The settings do not fit, for example a program without an absolute path. Helps: edit them.
    Setting(String),
    /// Somebody else could have changed this file. Helps: its owner and permissions.
    Untrusted { path: PathBuf, why: &'static str },
    /// Too many are being asked already.
    Busy,
    /// No answer in time. A program was killed.
    TimedOut,
    /// It could not be started or reached, or said itself that it failed.
    Failed(String),
    /// It answered something that is no answer.
    Answer(String),
}

impl HookError {
    /// A failure of `doing`, such as "start /usr/bin/hook".
    pub(crate) fn failed(doing: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::Failed(format!("{doing}: {}", quoted(&why.to_string())))
    }

    /// An answer that does not read; `why` may quote it.
    pub(crate) fn answer(why: impl fmt::Display) -> Self {
        Self::Answer(quoted(&why.to_string()))
    }
}

impl fmt::Display for HookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting(what) => f.write_str(what),
            Self::Untrusted { path, why } => write!(f, "{}: {why}", path.display()),
            Self::Busy => f.write_str("too many are being asked already"),
            Self::TimedOut => f.write_str("no answer in time"),
            Self::Failed(what) => f.write_str(what),
            Self::Answer(why) => write!(f, "the answer does not read: {why}"),
        }
    }
}

impl std::error::Error for HookError {}

/// Foreign text for a log line: one line, and not endless.
pub(crate) fn quoted(text: &str) -> String {
    let mut short: String =
        text.chars().take(QUOTED_LEN_MAX).flat_map(char::escape_debug).collect();
    if text.chars().nth(QUOTED_LEN_MAX).is_some() {
        short.push('…');
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn foreign_text_is_short_and_on_one_line() {
        assert_eq!(quoted("größe\n\u{1b}[2J"), "größe\\n\\u{1b}[2J");
        assert_eq!(quoted(&"ä".repeat(QUOTED_LEN_MAX)), "ä".repeat(QUOTED_LEN_MAX));
        assert_eq!(
            quoted(&"ä".repeat(QUOTED_LEN_MAX + 1)),
            format!("{}…", "ä".repeat(QUOTED_LEN_MAX))
        );
    }
}
