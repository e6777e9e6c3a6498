//! The process that stays root: it starts a helper for each channel that it is given, and does nothing else. What helpers
//! are asked does not pass through here, and nothing that comes is read but one byte.
//!
//! It has no filter of system calls: helpers would inherit it, and what modules of PAM may need nobody knows.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::process::{Child, Command};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use sterna_sandbox::{Channel, hide_from_others};

use crate::limits::PROCESSES_MAX;

/// Starts helpers by `helper` until the other end of `channel` is gone; those that run then end with their sessions.
///
/// # Errors
/// The channel fails.
pub fn run_monitor(
    channel: &Channel,
    helper: impl Fn(OwnedFd) -> io::Result<Command>,
) -> io::Result<()> {
    hide_from_others().map_err(io::Error::other)?;
    let mut helpers: VecDeque<(OwnedFd, Child)> = VecDeque::new();
    loop {
        let mut fds = vec![PollFd::from_borrowed_fd(channel.as_fd(), PollFlags::IN)];
        fds.extend(helpers.iter().map(|(pidfd, _)| PollFd::new(pidfd, PollFlags::IN)));
        match poll(&mut fds, None) {
            Err(Errno::INTR) => continue,
            result => result?,
        };
        let ended: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
        drop(fds);
        let mut index = 0;
        helpers.retain_mut(|(_, child)| {
            index += 1;
            // Its status is of no interest; that it is asked for lets the kernel forget it.
            !(ended.get(index) == Some(&true) && matches!(child.try_wait(), Ok(Some(_))))
        });
        if ended.first() != Some(&true) {
            continue;
        }
        let Some(message) = channel.receive()? else { return Ok(()) };
        let Some(descriptor) = message.descriptors.into_iter().next() else { continue };
        // One that is not started is seen as an end without an answer.
        if helpers.len() >= PROCESSES_MAX {
            tracing::error!(PROCESSES_MAX, "too many processes of users");
            continue;
        }
        match start(&helper, descriptor) {
            Ok(started) => helpers.push_back(started),
            Err(error) => tracing::error!(%error, "no process for a login"),
        }
    }
}

fn start(
    helper: &impl Fn(OwnedFd) -> io::Result<Command>,
    descriptor: OwnedFd,
) -> io::Result<(OwnedFd, Child)> {
    let mut child = helper(descriptor)?.spawn()?;
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(Errno::SRCH)?;
    match pidfd_open(pid, PidfdFlags::empty()) {
        Ok(pidfd) => Ok((pidfd, child)),
        Err(error) => {
            let _ = child.kill();
            let _ = child.wait();
            Err(error.into())
        }
    }
}
