//! A program under way: its three streams and its end, within one deadline.
//!
//! One thread does everything, with `poll`: what is to be written, what comes on both outputs, and
//! the end of the program. Whatever happens, the program and everything in its process group is gone
//! when [`Running`] is dropped, or soon after.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use sterna_sandbox::Channel;

use crate::HookError;
use crate::error::quoted;
use crate::gate::Permit;
use crate::limits::{LOGGED_LEN_MAX, LOGGED_LINES_MAX};
use crate::program::Program;
use crate::runner::{self, runner};

/// Bytes of one read: what a pipe usually gives at once.
const CHUNK_LEN: usize = 4096;

/// A program that runs. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    /// `None` once nobody needs to be waited for any more.
    work: Option<Work>,
    stdin: Option<ChildStdin>,
    stdout: Option<ChildStdout>,
    stderr: Option<ChildStderr>,
    /// Read from standard output and not yet taken.
    output: Vec<u8>,
    /// The beginning of what came from standard error.
    complaints: Vec<u8>,
    /// Held until the process is gone, not only until its answer is there.
    permit: Option<Permit>,
}

/// What [`Running::exchange_until`] waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Until {
    /// All input is written and there is a line of output.
    Line,
    /// The program has ended, and all that it wrote has been read.
    End,
}

impl Running {
    /// Starts the program, with these arguments, in a process group of its own.
    pub(crate) fn start(
        program: &Program,
        args: &[String],
        permit: Permit,
    ) -> Result<Self, HookError> {
        if let Some(runner) = runner() {
            return Self::start_by(runner, program, args, permit);
        }
        let mut command = program.command_with(args)?;
        let name = command.get_program().to_string_lossy().into_owned();
        let failed = |why: std::io::Error| HookError::failed(format_args!("start {name}"), why);
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .spawn()
            .map_err(failed)?;
        let (stdin, stdout, stderr) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let ended = group_of(&child)
            .ok_or(rustix::io::Errno::SRCH)
            .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()))
            .and_then(|ended| {
                stdin.as_ref().map_or(Ok(()), |pipe| rustix::io::ioctl_fionbio(pipe, true))?;
                stdout.as_ref().map_or(Ok(()), |pipe| rustix::io::ioctl_fionbio(pipe, true))?;
                stderr.as_ref().map_or(Ok(()), |pipe| rustix::io::ioctl_fionbio(pipe, true))?;
                Ok(ended)
            });
        let ended = match ended {
            Ok(ended) => ended,
            Err(why) => {
                let _ = end(child);
                return Err(failed(why.into()));
            }
        };
        Ok(Self {
            name,
            work: Some(Work::Own { child, ended }),
            stdin,
            stdout,
            stderr,
            output: Vec::new(),
            complaints: Vec::new(),
            permit: Some(permit),
        })
    }

    /// Has the helper start it.
    fn start_by(
        helper: &Channel,
        program: &Program,
        args: &[String],
        permit: Permit,
    ) -> Result<Self, HookError> {
        let name = program.path().to_string_lossy().into_owned();
        let failed = |why: std::io::Error| HookError::failed(format_args!("start {name}"), why);
        let pipes = || -> rustix::io::Result<_> {
            let pipe = || pipe_with(PipeFlags::CLOEXEC);
            let [(input, stdin), (stdout, output), (stderr, complaints)] =
                [pipe()?, pipe()?, pipe()?];
            for own in [&stdin, &stdout, &stderr] {
                rustix::io::ioctl_fionbio(own, true)?;
            }
            Ok(([input, output, complaints], (stdin, stdout, stderr)))
        };
        let (theirs, (stdin, stdout, stderr)) = pipes().map_err(|why| failed(why.into()))?;
        let run = runner::start(helper, program.path(), args, theirs).map_err(failed)?;
        Ok(Self {
            name,
            work: Some(Work::Elsewhere(run)),
            stdin: Some(stdin.into()),
            stdout: Some(stdout.into()),
            stderr: Some(stderr.into()),
            output: Vec::new(),
            complaints: Vec::new(),
            permit: Some(permit),
        })
    }

    /// Writes `line` and gives back the next line of output, without its end. The program goes on.
    ///
    /// # Errors
    /// [`HookError::TimedOut`]; [`HookError::Failed`] if the program ends instead;
    /// [`HookError::Answer`] if the line is longer than `len_max` bytes or more follows it.
    pub(crate) fn exchange(
        &mut self,
        line: &[u8],
        len_max: usize,
        deadline: Instant,
    ) -> Result<Vec<u8>, HookError> {
        self.exchange_until(Until::Line, line, len_max, deadline)?;
        let mut answer = std::mem::take(&mut self.output);
        match answer.iter().position(|&b| b == b'\n') {
            Some(end) if end + 1 == answer.len() => answer.truncate(end),
            // Whoever talks on without being asked would answer the next question beforehand.
            _ => return Err(HookError::answer("more than one line")),
        }
        Ok(answer)
    }

    /// Writes `input`, ends standard input, waits for the end of the program and gives back all that it
    /// wrote.
    ///
    /// # Errors
    /// [`HookError::TimedOut`]; [`HookError::Failed`] for an exit status that is not 0;
    /// [`HookError::Answer`] if the output is longer than `len_max` bytes.
    pub(crate) fn finish(
        mut self,
        input: &[u8],
        len_max: usize,
        deadline: Instant,
    ) -> Result<Vec<u8>, HookError> {
        self.exchange_until(Until::End, input, len_max, deadline)?;
        let status = match self.work.take() {
            Some(Work::Own { child, .. }) => {
                end(child).map_err(|why| HookError::failed(&self.name, why))?
            }
            Some(Work::Elsewhere(run)) => runner::status(&run, &self.name)?,
            None => return Err(HookError::failed(&self.name, "has ended before")),
        };
        match status.success() {
            true => Ok(std::mem::take(&mut self.output)),
            false => Err(HookError::failed(&self.name, status)),
        }
    }

    fn exchange_until(
        &mut self,
        until: Until,
        mut input: &[u8],
        len_max: usize,
        deadline: Instant,
    ) -> Result<(), HookError> {
        let mut has_ended = false;
        loop {
            if until == Until::End && input.is_empty() {
                self.stdin = None;
            }
            if until == Until::Line
                && (input.is_empty() || has_ended)
                && self.output.contains(&b'\n')
            {
                return Ok(());
            }
            // Looked at before the outputs are: what a program has written before its end is there.
            has_ended = self.wait(!input.is_empty(), deadline)?;
            self.write(&mut input);
            loop {
                let more = self.read_output()?;
                if self.output.len() > len_max {
                    return Err(HookError::answer(format_args!("longer than {len_max} bytes")));
                }
                let more = self.read_complaints()? || more;
                if !has_ended || !more {
                    break;
                }
                // Others may hold the pipes open and write on, but not for ever.
                if Instant::now() >= deadline {
                    return Err(HookError::TimedOut);
                }
            }
            match until {
                Until::End if has_ended => return Ok(()),
                // Its last line may have come together with its end.
                Until::Line if has_ended && !self.output.contains(&b'\n') => {
                    return Err(HookError::failed(&self.name, "ended in the middle of a dialogue"));
                }
                Until::Line | Until::End => {}
            }
        }
    }

    /// Sleeps until something can be done; `true` once the program has ended.
    fn wait(&self, has_input: bool, deadline: Instant) -> Result<bool, HookError> {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(HookError::TimedOut);
            }
            let stdin = self.stdin.as_ref().filter(|_| has_input);
            let mut fds: Vec<PollFd<'_>> = [
                (self.work.as_ref().map(Work::ended), PollFlags::IN),
                (self.stdout.as_ref().map(AsFd::as_fd), PollFlags::IN),
                (self.stderr.as_ref().map(AsFd::as_fd), PollFlags::IN),
                (stdin.map(AsFd::as_fd), PollFlags::OUT),
            ]
            .into_iter()
            .filter_map(|(pipe, flags)| Some(PollFd::from_borrowed_fd(pipe?, flags)))
            .collect();
            match poll(&mut fds, Some(&timespec(left))) {
                Ok(0) | Err(rustix::io::Errno::INTR) => {}
                Ok(_) => return Ok(!fds[0].revents().is_empty()),
                Err(why) => return Err(HookError::failed(&self.name, why)),
            }
        }
    }

    /// Writes what goes. A program need not read what it is told.
    fn write(&mut self, input: &mut &[u8]) {
        let Some(stdin) = &mut self.stdin else {
            *input = &[];
            return;
        };
        if input.is_empty() {
            return;
        }
        match stdin.write(input) {
            Ok(len) => *input = &input[len..],
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(_) => {
                self.stdin = None;
                *input = &[];
            }
        }
    }

    /// One read; `false` if there is nothing to read at the moment, or no more ever.
    fn read_output(&mut self) -> Result<bool, HookError> {
        let mut chunk = [0; CHUNK_LEN];
        let len =
            read(&mut self.stdout, &mut chunk).map_err(|e| HookError::failed(&self.name, e))?;
        self.output.extend_from_slice(&chunk[..len]);
        Ok(len > 0)
    }

    /// The same for standard error, of which only the beginning is kept.
    fn read_complaints(&mut self) -> Result<bool, HookError> {
        let mut chunk = [0; CHUNK_LEN];
        let len =
            read(&mut self.stderr, &mut chunk).map_err(|e| HookError::failed(&self.name, e))?;
        let room = LOGGED_LEN_MAX - self.complaints.len();
        self.complaints.extend_from_slice(&chunk[..len.min(room)]);
        Ok(len > 0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let complaints = String::from_utf8_lossy(&self.complaints);
        for line in complaints.lines().filter(|line| !line.is_empty()).take(LOGGED_LINES_MAX) {
            tracing::warn!(program = self.name, "{}", quoted(line));
        }
        // What runs elsewhere is killed there when nobody asks any more.
        let (Some(Work::Own { child, .. }), permit) = (self.work.take(), self.permit.take()) else {
            return;
        };
        kill_group(&child);
        // Its end may take a moment, and whoever drops a dialogue must not wait.
        let reaper = std::thread::Builder::new().name("hook-end".into()).spawn(move || {
            let _ = end(child);
            drop(permit);
        });
        if let Err(error) = reaper {
            tracing::warn!(%error, program = self.name, "no thread to wait for its end");
        }
    }
}

/// Where it runs.
#[derive(Debug)]
enum Work {
    /// As a child of this process; `ended` is readable when it has ended.
    Own { child: Child, ended: OwnedFd },
    /// As a child of the helper (`runner.rs`), which says here how it ended.
    Elsewhere(Channel),
}

impl Work {
    /// Readable when the program has ended.
    fn ended(&self) -> BorrowedFd<'_> {
        match self {
            Self::Own { ended, .. } => ended.as_fd(),
            Self::Elsewhere(run) => run.as_fd(),
        }
    }
}

/// Kills the whole group, then waits for the program itself. Until it has been waited for, the number
/// of the group cannot be somebody else's.
pub(crate) fn end(mut child: Child) -> std::io::Result<ExitStatus> {
    kill_group(&child);
    child.wait()
}

fn kill_group(child: &Child) {
    if let Some(group) = group_of(child) {
        // No such process: all have ended already.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

pub(crate) fn group_of(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Reads once; 0 if nothing is there. An ended stream is closed.
fn read(source: &mut Option<impl Read>, chunk: &mut [u8]) -> std::io::Result<usize> {
    let Some(stream) = source else { return Ok(0) };
    match stream.read(chunk) {
        Ok(0) => {
            *source = None;
            Ok(0)
        }
        Ok(len) => Ok(len),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => Ok(0),
        Err(e) => Err(e),
    }
}

fn timespec(left: Duration) -> Timespec {
    Timespec {
        tv_sec: left.as_secs().try_into().unwrap_or(i64::MAX),
        tv_nsec: left.subsec_nanos().into(),
    }
}
