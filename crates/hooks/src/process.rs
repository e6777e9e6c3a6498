//! A program under way: its three streams and its end, within one deadline.
//!
//! One thread does everything, with `poll`: what is to be written, what comes on both outputs, and
//! the end of the program. Whatever happens, the program and everything in its process group is gone
//! when [`Running`] is dropped, or soon after.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::HookError;
use crate::error::quoted;
use crate::gate::Permit;
use crate::limits::{LOGGED_LEN_MAX, LOGGED_LINES_MAX};

/// Bytes of one read: what a pipe usually gives at once.
const CHUNK_LEN: usize = 4096;

/// A program that runs. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Running {
    name: String,
    /// `None` once nobody needs to be waited for any more.
    child: Option<Child>,
    /// Readable when the program has ended.
    ended: OwnedFd,
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
    /// Starts the program in a process group of its own.
    pub(crate) fn start(mut command: Command, permit: Permit) -> Result<Self, HookError> {
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
            child: Some(child),
            ended,
            stdin,
            stdout,
            stderr,
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
        let status = self.child.take().map(end);
        match status {
            Some(Ok(status)) if status.success() => Ok(std::mem::take(&mut self.output)),
            Some(Ok(status)) => Err(HookError::failed(&self.name, status)),
            Some(Err(why)) => Err(HookError::failed(&self.name, why)),
            None => Err(HookError::failed(&self.name, "has ended before")),
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
                (Some(self.ended.as_fd()), PollFlags::IN),
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
        let (Some(child), permit) = (self.child.take(), self.permit.take()) else { return };
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

/// Kills the whole group, then waits for the program itself. Until it has been waited for, the number
/// of the group cannot be somebody else's.
fn end(mut child: Child) -> std::io::Result<ExitStatus> {
    kill_group(&child);
    child.wait()
}

fn kill_group(child: &Child) {
    if let Some(group) = group_of(child) {
        // No such process: all have ended already.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn group_of(child: &Child) -> Option<Pid> {
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
