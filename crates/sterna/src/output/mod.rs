//! Three ways to say the same result: for people, for programs, and while it happens.

mod block;
mod human;
mod json;
mod progress;
mod rate;
mod screen;

use std::{
    borrow::Cow,
    io::{self, IsTerminal, Write},
};

pub use human::{LongLine, bytes_human, columns, long_line, mode_text, time_text};
pub use json::{Object, hex_text};
pub use progress::Meter;
pub use sterna_client::display_name;

use crate::{
    args::{ColorChoice, GlobalArgs},
    failure::{self, Result},
};

/// Where and how results are shown. Decided once, from options and from what stdout is.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// One JSON object a line instead of text.
    pub json: bool,
    /// Only errors.
    pub quiet: bool,
    /// Stdout is a terminal: names are escaped, columns fit its width.
    pub terminal: bool,
    /// Names may be coloured.
    pub color: bool,
    /// How the progress of transfers is shown on stderr.
    pub progress: Shown,
}

/// How progress is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    Not,
    /// A block of lines, drawn over and over: stderr is a terminal.
    Drawn,
    /// A line now and then: it was asked for, and stderr is no terminal.
    Lines,
}

impl Output {
    pub fn new(global: &GlobalArgs, json: bool) -> Self {
        let terminal = io::stdout().is_terminal();
        let color = match global.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            // https://no-color.org: present and not empty.
            ColorChoice::Auto => {
                terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            }
        };
        Self {
            json,
            quiet: global.quiet,
            terminal,
            color,
            progress: match io::stderr().is_terminal() && !global.quiet && !json {
                true => Shown::Drawn,
                false => Shown::Not,
            },
        }
    }

    /// Shows progress although it would not be shown, or the other way; `None`: as it is.
    #[must_use]
    pub fn with_progress(self, wanted: Option<bool>) -> Self {
        let progress = match wanted {
            None => self.progress,
            Some(true) if io::stderr().is_terminal() => Shown::Drawn,
            Some(true) => Shown::Lines,
            Some(false) => Shown::Not,
        };
        Self { progress, ..self }
    }

    /// Writes one line of a result to stdout.
    ///
    /// # Errors
    /// If stdout does not take it; a reader that left ends the program quietly.
    pub fn line(&self, line: impl AsRef<[u8]>) -> Result<()> {
        let mut stdout = io::stdout().lock();
        stdout
            .write_all(line.as_ref())
            .and_then(|()| stdout.write_all(b"\n"))
            .map_err(|error| failure::output_failed(&error))
    }

    /// Writes one JSON object to stdout and lets it go at once, so that a reader can follow.
    ///
    /// # Errors
    /// As [`Output::line`].
    pub fn object(&self, object: Object) -> Result<()> {
        self.line(object.into_line())?;
        io::stdout().flush().map_err(|error| failure::output_failed(&error))
    }

    /// A name as stdout should get it: escaped on a terminal, its own bytes in a pipe.
    pub fn name<'n>(&self, name: &'n [u8]) -> Cow<'n, [u8]> {
        if self.terminal {
            Cow::Owned(display_name(name).into_bytes())
        } else {
            Cow::Borrowed(name)
        }
    }
}
