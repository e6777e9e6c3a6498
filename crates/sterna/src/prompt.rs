//! The questions to a person: passwords, passphrases, unknown host keys. Asked on the terminal
//! itself (`/dev/tty`), so that pipes on stdin and stdout stay for data.

use std::{
    fs::{File, OpenOptions},
    io::{BufRead, BufReader, Read, Write},
    path::Path,
};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use sterna_client::{HostKeyQuestion, Prompt, Zeroizing};

use crate::{
    failure::{self, Failure, Result},
    output::display_name,
};

/// Holds the password where a terminal may not be asked.
pub const PASSWORD_VARIABLE: &str = "STERNA_PASSWORD";
/// A longer first line of a password file is a mistake (bytes).
const PASSWORD_LEN_MAX: u64 = 4096;
/// A longer answer to a question is no answer (bytes).
const ANSWER_LEN_MAX: u64 = 1024;

/// Asks on the terminal; without one nobody answers.
pub struct Terminal {
    pub quiet: bool,
}

impl Prompt for Terminal {
    fn host_key(&self, question: &HostKeyQuestion) -> Option<String> {
        let HostKeyQuestion { host, key_type, fingerprint, other_types_known } = question;
        let mut text = format!(
            "The host {host} is not known yet.\n\
             Its {key_type} key has the fingerprint {fingerprint}.\n"
        );
        if *other_types_known {
            text.push_str("Keys of other types are known for it; this one is new.\n");
        }
        text.push_str("Trust it from now on? (yes / no / the fingerprint you expect): ");
        ask(&text)
    }

    fn password(&self, user: &str, host: &str, attempt: u32) -> Option<Zeroizing<String>> {
        let again = if attempt > 1 { "Not accepted. " } else { "" };
        ask_secret(&format!("{again}Password of {user}@{host}: "))
    }

    fn passphrase(&self, file: &Path, attempt: u32) -> Option<Zeroizing<String>> {
        let file = display_name(file.as_os_str().as_encoded_bytes());
        let again = if attempt > 1 { "Wrong. " } else { "" };
        ask_secret(&format!("{again}Passphrase of {file}: "))
    }

    fn question(&self, text: &str, echo: bool) -> Option<Zeroizing<String>> {
        if echo { ask(text).map(Zeroizing::new) } else { ask_secret(text) }
    }

    fn inform(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }
}

/// The password given beforehand: in the named file, else in the environment.
///
/// # Errors
/// As [`read_password_file`].
pub fn given_password(file: Option<&Path>) -> Result<Option<Zeroizing<String>>> {
    match file {
        Some(file) => read_password_file(file).map(Some),
        None => Ok(std::env::var(PASSWORD_VARIABLE).ok().map(Zeroizing::new)),
    }
}

/// The first line of a file.
///
/// # Errors
/// If it cannot be read, is empty, too long or not UTF-8.
pub fn read_password_file(path: &Path) -> Result<Zeroizing<String>> {
    let name = || display_name(path.as_os_str().as_encoded_bytes());
    let file =
        File::open(path).map_err(|error| Failure::usage(name(), failure::io_reason(&error)))?;
    first_line(file).map_err(|why| Failure::usage(name(), why))
}

/// Asks for a text that is not shown; `None` if there is no terminal or the person gave up.
pub fn ask_secret(question: &str) -> Option<Zeroizing<String>> {
    // The library asks first and turns echo off then: what is typed between the two would be shown.
    let _hidden = EchoOff::new();
    rpassword::prompt_password(question).ok().map(Zeroizing::new)
}

/// The terminal shows nothing of what is typed until this is dropped.
struct EchoOff {
    terminal: File,
    before: Termios,
}

impl EchoOff {
    /// `None` without a terminal.
    fn new() -> Option<Self> {
        let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO | LocalModes::ECHONL);
        tcsetattr(&terminal, OptionalActions::Now, &hidden).ok()?;
        Some(Self { terminal, before })
    }
}

impl Drop for EchoOff {
    fn drop(&mut self) {
        let _ = tcsetattr(&self.terminal, OptionalActions::Now, &self.before);
    }
}

/// The first line of stdin, which is not a terminal.
///
/// # Errors
/// As [`read_password_file`].
pub fn read_password_stdin() -> Result<Zeroizing<String>> {
    first_line(std::io::stdin().lock()).map_err(|why| Failure::usage("standard input", why))
}

fn first_line(file: impl Read) -> std::result::Result<Zeroizing<String>, &'static str> {
    let mut line = Zeroizing::new(String::new());
    BufReader::new(file.take(PASSWORD_LEN_MAX + 1))
        .read_line(&mut line)
        .map_err(|_| "cannot be read as text")?;
    let end = line.trim_end_matches(['\r', '\n']).len();
    if end as u64 > PASSWORD_LEN_MAX {
        return Err("the first line is too long to be a password");
    }
    line.truncate(end);
    if line.is_empty() { Err("the first line is empty: no password there") } else { Ok(line) }
}

/// Asks for a text; `None` if there is no terminal or the person gave up.
pub fn ask(question: &str) -> Option<String> {
    let mut terminal = OpenOptions::new().read(true).write(true).open("/dev/tty").ok()?;
    terminal.write_all(question.as_bytes()).ok()?;
    terminal.flush().ok()?;
    let mut answer = String::new();
    let len = BufReader::new(terminal.take(ANSWER_LEN_MAX)).read_line(&mut answer).ok()?;
    (len > 0).then(|| answer.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_first_line_without_its_end() {
        assert_eq!(first_line(&b"se cret\r\nmore"[..]).unwrap().as_str(), "se cret");
        assert_eq!(first_line(&b"no end"[..]).unwrap().as_str(), "no end");
    }

    #[test]
    fn an_empty_or_endless_file_holds_no_password() {
        assert!(first_line(&b""[..]).is_err());
        assert!(first_line(&b"\nsecond"[..]).is_err());
        assert!(first_line(std::io::repeat(b'x')).is_err());
    }
}
