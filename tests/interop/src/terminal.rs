//! A program at a terminal: it asks, and what a person would type is typed once it has asked.

use std::process::Command;

use sterna_testkit::processes::{Finished, Process, Stream};

use crate::client::command_max;
use crate::steps::{Failure, Outcome};

/// Runs `command` at a terminal of its own. Each question is waited for, behind the one before, by a
/// part of its text, and answered with a line. Everything that it prints is in `stdout`.
///
/// # Errors
/// `Failed` if a question does not come.
pub fn converse(command: &Command, dialogue: &[(&str, &str)]) -> Outcome<Finished> {
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c"]).arg(shell_line(command)).arg("/dev/null");
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => script.env(name, value),
            None => script.env_remove(name),
        };
    }
    let mut process = Process::start("script", &mut script)?;
    let mut seen = 0;
    for (question, answer) in dialogue {
        let find = |printed: &[u8]| {
            let found =
                printed[seen..].windows(question.len()).position(|w| w == question.as_bytes());
            found.map(|at| seen + at + question.len())
        };
        seen = process.wait_for_output(Stream::Stdout, command_max(), find).map_err(|why| {
            Failure::Failed(format!("no question \"{question}\": {why}\n{}", process.log()))
        })?;
        process.send(format!("{answer}\n").as_bytes())?;
    }
    Ok(process.finish(command_max()))
}

/// The command as a line for a shell.
fn shell_line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let quoted = |word: &std::ffi::OsStr| {
        let word = word.to_str().expect("command lines of tests are text");
        format!("'{}'", word.replace('\'', "'\\''"))
    };
    words.map(quoted).collect::<Vec<_>>().join(" ")
}
