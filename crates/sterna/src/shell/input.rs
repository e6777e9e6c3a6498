//! Where the lines of the sftp shell come from: a person, a batch, or a pipe; and when they end.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, IsTerminal, Read},
    path::{Path, PathBuf},
};

use rustyline::{DefaultEditor, error::ReadlineError};
use tokio::sync::mpsc;

use super::{
    Next, Shell,
    line::{self, Line},
    words::LINE_LEN_MAX,
};
use crate::{
    exit::Exit,
    failure::{Failure, Result, io_reason},
    output::{Output, display_name},
    remote::report,
};

/// Lines that may wait for the one that is being carried out.
const LINES_AHEAD: usize = 16;
/// Lines that the history keeps.
const HISTORY_LEN: usize = 1000;

/// Carries out what a person types. Failures are shown and forgotten.
///
/// # Errors
/// If the terminal fails.
pub async fn interact(shell: &mut Shell) -> Result<Exit> {
    let mut editor = DefaultEditor::new().map_err(terminal_failed)?;
    let history = history_file();
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    loop {
        // Waiting for a person must not keep the connection's task from its keepalives.
        let asked = tokio::task::spawn_blocking(move || {
            let read = editor.readline("sftp> ");
            (editor, read)
        });
        let read;
        (editor, read) = asked.await.map_err(|error| terminal_failed(error.to_string()))?;
        let text = match read {
            Ok(text) => text,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(terminal_failed(error)),
        };
        if !text.trim().is_empty() {
            // A line that cannot be remembered is no reason to complain.
            let _ = editor.add_history_entry(&text);
        }
        if one_line(shell, text.as_bytes()).await? == Next::End {
            break;
        }
    }
    if let Some(file) = &history {
        let _ = rustyline::history::History::ignore_dups(editor.history_mut(), true);
        let _ = rustyline::history::History::set_max_len(editor.history_mut(), HISTORY_LEN);
        let _ = editor.save_history(file);
    }
    Ok(Exit::Done)
}

/// Carries out a batch: shows each line, ends at the first failure that is not excused.
///
/// # Errors
/// If the batch cannot be read, or stdout is gone.
pub async fn batch(shell: &mut Shell, output: &Output, path: &Path) -> Result<Exit> {
    let mut lines = lines_of(path)?;
    while let Some(text) = lines.recv().await {
        let text = text?;
        let read = line::parse(&text);
        let silent = read.as_ref().is_ok_and(|line| line.silent);
        if !silent {
            output.line([b"sftp> ", &output.name(&text)[..]].concat())?;
        }
        let line = match read {
            Ok(line) => line,
            Err(why) => return Err(bad_line(why)),
        };
        let Line { ignore_failure, command: Some(command), .. } = line else { continue };
        match shell.carry_out(command).await {
            Ok(Next::Line) => {}
            Ok(Next::End) => return Ok(Exit::Done),
            Err(failure) if ignore_failure && may_go_on(&failure) => {
                report(failure)?;
            }
            Err(failure) => return Err(failure),
        }
    }
    Ok(Exit::Done)
}

/// Carries out what comes through a pipe: goes on after failures, and remembers them.
///
/// # Errors
/// As [`batch`].
pub async fn pipe(shell: &mut Shell, output: &Output) -> Result<Exit> {
    let mut lines = lines_of(Path::new("-"))?;
    let mut worst = Exit::Done;
    while let Some(text) = lines.recv().await {
        let text = text?;
        output.line([b"sftp> ", &output.name(&text)[..]].concat())?;
        let failure = match line::parse(&text) {
            Ok(Line { command: None, .. }) => continue,
            Ok(Line { command: Some(command), .. }) => match shell.carry_out(command).await {
                Ok(Next::Line) => continue,
                Ok(Next::End) => break,
                Err(failure) => failure,
            },
            Err(why) => bad_line(why),
        };
        if !may_go_on(&failure) {
            return Err(failure);
        }
        worst = worst.worst(report(failure)?);
    }
    Ok(worst)
}

/// Whether stdin is a person.
pub fn is_interactive() -> bool {
    io::stdin().is_terminal() && io::stdout().is_terminal()
}

async fn one_line(shell: &mut Shell, text: &[u8]) -> Result<Next> {
    let done = match line::parse(text) {
        Ok(Line { command: None, .. }) => return Ok(Next::Line),
        Ok(Line { command: Some(command), .. }) => shell.carry_out(command).await,
        Err(why) => Err(bad_line(why)),
    };
    match done {
        Err(failure) if failure.exit() == Exit::Interrupted && !failure.is_cancelled() => {
            Err(failure)
        }
        Err(failure) => {
            report(failure)?;
            Ok(Next::Line)
        }
        Ok(next) => Ok(next),
    }
}

/// Whether the connection survives this failure.
fn may_go_on(failure: &Failure) -> bool {
    !matches!(failure.exit(), Exit::Done | Exit::Interrupted)
}

fn bad_line(why: String) -> Failure {
    let (what, why) = why.split_once(": ").unwrap_or(("sftp", &why));
    Failure::incomplete(what, why)
}

/// Reads lines on a thread of their own, so that a slow pipe never blocks the connection.
fn lines_of(path: &Path) -> Result<mpsc::Receiver<Result<Vec<u8>>>> {
    let name = display_name(path.as_os_str().as_encoded_bytes());
    let source: Box<dyn Read + Send> = match path.as_os_str() == "-" {
        true => Box::new(io::stdin()),
        false => Box::new(File::open(path).map_err(|error| Failure::io(&name, &error))?),
    };
    let (sender, receiver) = mpsc::channel(LINES_AHEAD);
    let reading = std::thread::Builder::new().name("batch".to_owned()).spawn(move || {
        let mut source = BufReader::new(source);
        loop {
            let mut line = Vec::new();
            let mut limited = (&mut source).take(LINE_LEN_MAX as u64 + 2);
            let read = match limited.read_until(b'\n', &mut line) {
                Ok(0) => return,
                Ok(_) => {
                    let end = line.strip_suffix(b"\n").unwrap_or(&line);
                    let end = end.strip_suffix(b"\r").unwrap_or(end);
                    // A longer line arrives in pieces; the first one is refused by its length.
                    Ok(end.to_vec())
                }
                Err(error) => Err(Failure::incomplete(name.clone(), io_reason(&error))),
            };
            let failed = read.is_err();
            if sender.blocking_send(read).is_err() || failed {
                return;
            }
        }
    });
    reading.map_err(|error| Failure::io("batch", &error))?;
    Ok(receiver)
}

/// Where typed lines are remembered; the directory is made if it is missing.
fn history_file() -> Option<PathBuf> {
    let state = crate::state_dir::default()?;
    fs::create_dir_all(&state).ok()?;
    Some(state.join("sftp_history"))
}

fn terminal_failed(error: impl ToString) -> Failure {
    Failure::incomplete("terminal", error.to_string())
}
