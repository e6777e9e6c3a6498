//! A failure as the user sees it: `sterna: WHAT: WHY`, a hint what to do, and the exit code.

use std::{fmt, io};

use crate::{exit::Exit, output::display_name};

pub type Result<T> = std::result::Result<T, Failure>;

/// Why a command stopped. Texts are already safe to print on a terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// `WHAT: WHY`.
    text: String,
    hint: Option<String>,
    exit: Exit,
    /// Everything was already said; only the exit code is left to be reported.
    silent: bool,
    /// The user asked to stop.
    cancelled: bool,
}

impl Failure {
    /// `what` is the thing (a place, a file, an option), `why` what is wrong with it.
    pub fn new(exit: Exit, what: impl Into<String>, why: impl Into<String>) -> Self {
        let text = format!("{}: {}", what.into(), why.into());
        Self { text, hint: None, exit, silent: false, cancelled: false }
    }

    /// Something that was asked for could not be done.
    pub fn incomplete(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Exit::Incomplete, what, why)
    }

    /// The command line or the settings make no sense.
    pub fn usage(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(Exit::Usage, what, why)
    }

    /// A local file or stream failed.
    pub fn io(what: impl Into<String>, error: &io::Error) -> Self {
        Self::incomplete(what, io_reason(error))
    }

    /// The end of a run whose failures were already printed one by one.
    pub fn reported(exit: Exit) -> Self {
        Self { text: String::new(), hint: None, exit, silent: true, cancelled: false }
    }

    /// The end of something that the user stopped and that has said so. Others can follow it.
    pub fn cancelled() -> Self {
        Self { cancelled: true, ..Self::reported(Exit::Interrupted) }
    }

    /// Adds what the user can do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Without what the user can do about it: somebody else says that.
    #[must_use]
    pub fn no_hint(mut self) -> Self {
        self.hint = None;
        self
    }

    /// `WHAT: WHY`; empty if everything was already said.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// Whether the user asked to stop: the connection is still good.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled
    }

    /// Whether nothing is left to be said of it.
    pub fn was_said(&self) -> bool {
        self.silent
    }

    /// Prints it to stderr, unless everything was said before.
    pub fn report(&self) {
        if !self.silent {
            eprintln!("{self}");
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sterna: {}", self.text)?;
        if let Some(hint) = &self.hint {
            for line in hint.lines() {
                write!(f, "\n  hint: {line}")?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

impl From<sterna_client::Error> for Failure {
    fn from(error: sterna_client::Error) -> Self {
        let failure = Self {
            text: error.to_string(),
            hint: None,
            exit: Exit::from(&error),
            silent: false,
            cancelled: matches!(error, sterna_client::Error::Cancelled),
        };
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Writing to stdout failed. A reader that went away (`sterna ls … | head`) got all it wanted.
pub fn output_failed(error: &io::Error) -> Failure {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Failure::reported(Exit::Done);
    }
    Failure::io("standard output", error)
}

/// The text of an operating system error without the number that Rust appends.
pub fn io_reason(error: &io::Error) -> String {
    let text = error.to_string();
    let text = match text.rfind(" (os error ") {
        Some(end) => &text[..end],
        None => &text,
    };
    let mut text = display_name(text.as_bytes());
    if let Some(first) = text.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_reads_what_then_why_then_what_to_do() {
        let failure = Failure::usage("-P", "not a port").hint("a port is 1 to 65535");

        assert_eq!(failure.to_string(), "sterna: -P: not a port\n  hint: a port is 1 to 65535");
    }

    #[test]
    fn an_operating_system_error_shows_no_number() {
        let error = io::Error::from_raw_os_error(2);

        assert_eq!(io_reason(&error), "no such file or directory");
    }

    #[test]
    fn a_reader_that_left_is_no_failure() {
        let failure = output_failed(&io::Error::from(io::ErrorKind::BrokenPipe));

        assert_eq!(failure.exit(), Exit::Done);
    }
}
