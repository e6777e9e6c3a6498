//! Programs started by another process: a server that gave up the right to start any asks a helper that it started
//! before, and that starts only what the settings named then.
//!
//! One message is one run: the words of the command, its three streams, and an end of a channel of its own, over which
//! the helper says how the program ended. Whoever closes the other end has the program killed.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::process::{PidfdFlags, pidfd_open};
use sterna_sandbox::{Channel, Received};

use crate::HookError;
use crate::limits::RUNS_MAX;
use crate::process::{end, group_of};
use crate::program::Program;

/// Who starts programs for this process, if it does not do so itself.
static RUNNER: OnceLock<Channel> = OnceLock::new();

/// From here on, every program of this process is started at the other end of `channel` (by [`run_programs`]).
pub fn run_programs_through(channel: Channel) {
    // There is one for the life of a process; the first stays.
    let _ = RUNNER.set(channel);
}

/// Starts programs for the process at the other end until that is gone: `allowed` ones, and no others.
///
/// # Errors
/// If the channel fails.
pub fn run_programs(channel: &Channel, allowed: &[PathBuf]) -> io::Result<()> {
    let running = AtomicUsize::new(0);
    thread::scope(|scope| {
        while let Some(message) = channel.receive()? {
            let (running, room) = (&running, running.fetch_add(1, Ordering::Relaxed) < RUNS_MAX);
            let run = move || {
                if room {
                    run(message, allowed);
                }
                running.fetch_sub(1, Ordering::Relaxed);
            };
            // Without a thread the message is dropped, which the asker sees as an end without a status.
            if thread::Builder::new().spawn_scoped(scope, run).is_err() {
                running.fetch_sub(1, Ordering::Relaxed);
            }
        }
        Ok(())
    })
}

/// The helper, if there is one.
pub(crate) fn runner() -> Option<&'static Channel> {
    RUNNER.get()
}

/// Has the helper run `path`; how it ends comes over the channel that is given back.
pub(crate) fn start(
    runner: &Channel,
    path: &Path,
    args: &[String],
    streams: [OwnedFd; 3],
) -> io::Result<Channel> {
    let (own, other) = Channel::pair()?;
    let mut words = path.as_os_str().as_encoded_bytes().to_vec();
    for arg in args {
        words.push(0);
        words.extend_from_slice(arg.as_bytes());
    }
    let [stdin, stdout, stderr] = &streams;
    runner.send(&words, &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd(), other.as_fd()])?;
    Ok(own)
}

/// How the program at the other end of `run` ended.
pub(crate) fn status(run: &Channel, name: &str) -> Result<ExitStatus, HookError> {
    let failed = |why: &str| HookError::failed(name, why);
    match run.receive() {
        Ok(Some(Received { bytes, .. })) => match bytes.split_first() {
            Some((b'=', status)) => match status.try_into().map(i32::from_ne_bytes) {
                Ok(status) => Ok(ExitStatus::from_raw(status)),
                Err(_) => Err(failed("its end does not read")),
            },
            Some((b'!', why)) => Err(failed(&String::from_utf8_lossy(why))),
            _ => Err(failed("its end does not read")),
        },
        Ok(None) => Err(failed("the helper that starts programs did not")),
        Err(why) => Err(failed(&why.to_string())),
    }
}

fn run(message: Received, allowed: &[PathBuf]) {
    let Received { bytes, descriptors } = message;
    let Ok([stdin, stdout, stderr, channel]) = <[OwnedFd; 4]>::try_from(descriptors) else {
        return;
    };
    let channel = Channel::from(channel);
    let reply = match run_words(&bytes, allowed, [stdin, stdout, stderr], &channel) {
        Ok(Some(status)) => [&b"="[..], &status.into_raw().to_ne_bytes()].concat(),
        // Nobody asks any more.
        Ok(None) => return,
        Err(error) => [&b"!"[..], error.to_string().as_bytes()].concat(),
    };
    let _ = channel.send(&reply, &[]);
}

/// Runs a program to its end, or kills it if the asker goes.
fn run_words(
    words: &[u8],
    allowed: &[PathBuf],
    [stdin, stdout, stderr]: [OwnedFd; 3],
    channel: &Channel,
) -> Result<Option<ExitStatus>, HookError> {
    let words = std::str::from_utf8(words).map_err(|error| HookError::failed("command", error))?;
    let words: Vec<String> = words.split('\0').map(str::to_owned).collect();
    let Some((name, args)) = words.split_first() else { return Ok(None) };
    let failed = |why: &dyn std::fmt::Display| HookError::failed(format_args!("start {name}"), why);
    if !allowed.iter().any(|path| path.as_os_str() == name.as_str()) {
        return Err(failed(&"the settings did not name it when the server started"));
    }
    let child = Program::as_asked(name, args)
        .command()?
        .stdin(Stdio::from(stdin))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        .process_group(0)
        .spawn()
        .map_err(|error| failed(&error))?;
    let ended = group_of(&child)
        .ok_or(rustix::io::Errno::SRCH)
        .and_then(|pid| pidfd_open(pid, PidfdFlags::empty()));
    let ended = match ended {
        Ok(ended) => ended,
        Err(why) => {
            let _ = end(child);
            return Err(failed(&why));
        }
    };
    let is_wanted = loop {
        let mut fds = [
            PollFd::new(&ended, PollFlags::IN),
            // Nothing is sent this way: what comes is the end.
            PollFd::new(channel, PollFlags::IN),
        ];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break false,
            Ok(_) if !fds[1].revents().is_empty() => break false,
            Ok(_) => break true,
        }
    };
    let status = end(child).map_err(|error| failed(&error))?;
    Ok(is_wanted.then_some(status))
}
