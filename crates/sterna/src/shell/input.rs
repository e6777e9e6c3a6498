//! Where the lines of the sftp shell come from: a person, a batch, or a pipe; and when they end.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, IsTerminal, Read},
    path::{Path, PathBuf},
};

use rustyline::{CompletionType, Config, Editor, error::ReadlineError, history::DefaultHistory};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::{
    Next, Shell,
    again::not_repeated,
    complete::Completion,
    line::{self, Line, Prefixes, ShellCommand},
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

/// Carries out what a person types. Failures are shown and forgotten; Ctrl-C ends a command, not the
/// shell.
///
/// # Errors
/// If the terminal fails.
pub async fn interact(shell: &mut Shell) -> Result<Exit> {
    let mut editor = editor(shell.completion()).map_err(terminal_failed)?;
    let history = history_file();
    if let Some(file) = &history {
        // The first time there is none.
        let _ = editor.load_history(file);
    }
    loop {
        if let Some(completion) = editor.helper_mut() {
            completion.directory.clone_from(&shell.directory);
            completion.sftp.clone_from(&shell.sftp);
        }
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
            Err(ReadlineError::Eof) => return Ok(Exit::Done),
            Err(error) => return Err(terminal_failed(error)),
        };
        if !text.trim().is_empty() && editor.add_history_entry(&text).unwrap_or(false) {
            // A line that cannot be remembered is no reason to complain.
            let _ = history.as_ref().map(|file| editor.append_history(file));
        }
        if one_line(shell, text.as_bytes()).await? == Next::End {
            return Ok(Exit::Done);
        }
    }
}

fn editor(completion: Completion) -> rustyline::Result<Editor<Completion, DefaultHistory>> {
    let config = Config::builder()
        .completion_type(CompletionType::List)
        .max_history_size(HISTORY_LEN)?
        .history_ignore_dups(true)?
        .build();
    let mut editor = Editor::with_config(config)?;
    editor.set_helper(Some(completion));
    Ok(editor)
}

/// Carries out a batch: shows each line, ends at the first failure that is not excused.
///
/// # Errors
/// If the batch cannot be read, or stdout is gone.
pub async fn batch(shell: &mut Shell, output: &Output, path: &Path) -> Result<Exit> {
    let mut lines = lines_of(path)?;
    while let Some(text) = lines.recv().await {
        let text = text?;
        let (Prefixes { ignore_failure, silent }, _) = Prefixes::of(&text);
        if !silent {
            output.line([b"sftp> ", &output.name(&text)[..]].concat())?;
        }
        let carried_out = match line::parse(&text) {
            Ok(Line { command: None, .. }) => continue,
            Ok(Line { command: Some(command), .. }) => shell.carry_out(command).await,
            Err(why) => Err(bad_line(why)),
        };
        match carried_out {
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
        Ok(Line { command: Some(command), .. }) => once_or_again(shell, command).await,
        Err(why) => Err(bad_line(why)),
    };
    match done {
        Err(failure)
            if failure.exit() == Exit::Interrupted
                && !failure.is_cancelled()
                && !shell.can_connect_again() =>
        {
            Err(failure)
        }
        Err(failure) => {
            report(failure)?;
            Ok(Next::Line)
        }
        Ok(next) => Ok(next),
    }
}

/// Carries out a command, once more if the connection was lost meanwhile and that does no harm.
async fn once_or_again(shell: &mut Shell, command: ShellCommand) -> Result<Next> {
    let again = command.may_be_repeated().then(|| command.clone());
    let failure = match until_interrupt(shell, command).await {
        Err(failure) if shell.is_cut() && shell.can_connect_again() => failure,
        done => return done,
    };
    // What was said, and what was asked for, is no news; and a transfer has tried long enough.
    if failure.is_cancelled() || failure.was_said() {
        return Err(failure);
    }
    match again {
        Some(command) => until_interrupt(shell, command).await,
        None => Err(not_repeated(failure)),
    }
}

/// Carries out a command; Ctrl-C drops it. What it asked for last may still happen.
async fn until_interrupt(shell: &mut Shell, command: ShellCommand) -> Result<Next> {
    // Transfers stop in an order of their own, and a local command hears it itself.
    let by_itself = matches!(
        command,
        ShellCommand::Get { .. }
            | ShellCommand::Put { .. }
            | ShellCommand::Local { .. }
            | ShellCommand::Lls { .. }
    );
    // It hears only what comes from now on.
    let Ok(mut interrupt) = signal(SignalKind::interrupt()) else {
        shell.connect_if_cut(&command).await?;
        return shell.carry_out(command).await;
    };
    let interrupted = || {
        eprintln!("sterna: interrupted");
        Err(Failure::cancelled())
    };
    tokio::select! {
        connected = shell.connect_if_cut(&command) => connected?,
        _ = interrupt.recv() => return interrupted(),
    }
    tokio::select! {
        done = shell.carry_out(command) => done,
        _ = interrupt.recv(), if !by_itself => interrupted(),
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

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};

    use sterna_client::{Connection, Error, Reconnect, Sftp, SftpOptions};
    use sterna_testkit::sftp::{Odd, OddServer, Request, Tree};

    use super::*;
    use crate::output::Shown;
    use crate::shell::Defaults;

    /// Servers for one connection each; `None`: nobody answers.
    struct Servers(Mutex<Vec<Option<OddServer>>>);

    impl Reconnect for Servers {
        fn reconnect(
            &self,
        ) -> Pin<Box<dyn Future<Output = std::result::Result<Connection, Error>> + Send + '_>>
        {
            let server = self.0.lock().unwrap().remove(0);
            Box::pin(async move {
                let Some(server) = server else {
                    return Err(Error::Connect { host: "h".into(), why: "refused".into() });
                };
                let sftp = Sftp::over(server.start(), SftpOptions::default()).await?;
                Ok(Connection { sftp, session: None })
            })
        }
    }

    fn tree() -> Tree {
        Tree::new().file("/a/f", "content").dir("/a/b")
    }

    /// A shell in `/a`, whose first connection is cut at this request.
    async fn shell(cut_at: Request, next: Vec<Option<OddServer>>) -> Shell {
        let output = Output {
            json: false,
            quiet: true,
            terminal: false,
            color: false,
            progress: Shown::Not,
        };
        let first = OddServer::new(tree()).on(cut_at, Odd::Cut);
        let sftp = Sftp::over(first.start(), SftpOptions::default()).await.unwrap();
        let mut shell = Shell::start(sftp, None, output, Defaults::default(), false).await.unwrap();
        shell.directory = b"/a".to_vec();
        shell.connect_again_by(Arc::new(Servers(Mutex::new(next))));
        shell
    }

    async fn typed(shell: &mut Shell, line: &str) -> Result<Next> {
        let Ok(Line { command: Some(command), .. }) = line::parse(line.as_bytes()) else {
            panic!("{line}");
        };
        once_or_again(shell, command).await
    }

    #[tokio::test(start_paused = true)]
    async fn what_does_no_harm_is_repeated_on_a_new_connection_in_the_same_directory() {
        for line in ["ls", "ls -l f", "ls f*", "cd b", "cd"] {
            let server = OddServer::new(tree());
            let requests = server.requests();
            let mut shell = shell(Request::any().from(2), vec![Some(server)]).await;

            let done = typed(&mut shell, line).await;

            // What the server or this machine refuses then is another matter.
            assert!(!shell.is_cut(), "{line}: {done:?}");
            let requests = requests.lock().unwrap();
            assert!(!requests.is_empty() && requests.iter().all(|r| !r.contains(" /b")), "{line}");
            if line == "cd b" {
                assert_eq!(shell.directory, b"/a/b");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_been_done_is_not_repeated_and_the_next_command_connects_again() {
        for line in ["rename f g", "mkdir c", "rm f", "rmdir b", "ln -s f g", "chmod 600 f"] {
            let server = OddServer::new(tree());
            let requests = server.requests();
            let mut shell = shell(Request::any().from(2), vec![Some(server)]).await;

            let failure = typed(&mut shell, line).await.unwrap_err();
            let repeated = requests.lock().unwrap().len();
            let next = typed(&mut shell, "mkdir d").await;

            assert_eq!((failure.exit(), repeated), (Exit::Interrupted, 0), "{line}");
            assert!(failure.to_string().contains("whether it was done is not known"), "{failure}");
            assert_eq!(next, Ok(Next::Line), "{line}");
            assert!(requests.lock().unwrap().contains(&"mkdir /a/d".to_owned()), "{line}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_shell_that_cannot_connect_now_stays_and_tries_at_the_next_command() {
        let server = OddServer::new(tree());
        let mut shell = shell(Request::any().from(2), vec![None, Some(server)]).await;

        // One line is what a person types: its failure is shown, and the shell goes on.
        for line in ["ls", "pwd", "ls"] {
            let next = one_line(&mut shell, line.as_bytes()).await;
            assert_eq!(next, Ok(Next::Line), "{line}");
        }
        assert!(!shell.is_cut());
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_a_transfer_made_is_used_by_the_next_command() {
        let target = tempfile::tempdir().unwrap();
        let server = OddServer::new(tree());
        let requests = server.requests();
        let mut shell = shell(Request::named("read"), vec![Some(server)]).await;

        let get = format!("get f {}/f", target.path().display());
        assert_eq!(typed(&mut shell, &get).await, Ok(Next::Line));
        assert_eq!(typed(&mut shell, "ls").await, Ok(Next::Line));

        assert_eq!(std::fs::read(target.path().join("f")).unwrap(), b"content");
        assert!(requests.lock().unwrap().contains(&"opendir /a".to_owned()));
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_way_to_connect_again_a_lost_connection_ends_the_shell() {
        let mut shell = shell(Request::any().from(2), Vec::new()).await;
        shell.again = None;

        let ended = one_line(&mut shell, b"ls").await;

        assert_eq!(ended.unwrap_err().exit(), Exit::Interrupted);
    }
}
