//! One login of AsyncSSH or Paramiko, by a script in `peers/`.

use std::process::Command;

use serde_json::Value;
use sterna_interop::binary::{peer_script, python};
use sterna_interop::client::command_max;
use sterna_interop::steps::{Failure, Outcome, check};
use sterna_testkit::processes::{Finished, run};

use crate::server_login::scene::Served;

/// Exit status of the scripts: the server refused.
const REFUSED: i32 = 5;

/// Exit status of the scripts: the server ended the connection.
const ENDED: i32 = 6;

/// A login that was tried.
#[derive(Debug)]
pub struct Tried {
    pub done: Finished,
    /// How much the server had logged before.
    mark: usize,
}

impl Tried {
    pub fn new(done: Finished, mark: usize) -> Self {
        Self { done, mark }
    }

    /// `None`: it must have got in; else this rule must have kept it out.
    pub fn expect(&self, served: &Served, user: &str, refused_by: Option<&str>) -> Outcome {
        let expected = if refused_by.is_some() { REFUSED } else { 0 };
        check(self.done.code() == Some(expected), || {
            format!("it should have ended with {expected}\n{}", self.done.describe())
        })?;
        refused_by.map_or(Ok(()), |rule| served.logs_refusal(self.mark, user, rule))
    }

    /// The server must have ended the connection, and its log must say this.
    pub fn expect_end(&self, served: &Served, says: &str) -> Outcome {
        check(self.done.code() == Some(ENDED), || self.done.describe())?;
        served.logs(self.mark, &[says]).map(drop)
    }
}

/// AsyncSSH; `attempt` is what `peers/asyncssh_login.py` describes.
pub fn asyncssh(served: &Served, user: &str, attempt: Value) -> Outcome<Tried> {
    log_in("asyncssh_login.py", served, user, attempt)
}

/// Paramiko; `attempt` is what `peers/paramiko_login.py` describes.
pub fn paramiko(served: &Served, user: &str, attempt: Value) -> Outcome<Tried> {
    log_in("paramiko_login.py", served, user, attempt)
}

/// AsyncSSH with signatures that are wrong; `attempt` is what `peers/forged_login.py` describes.
pub fn forged(served: &Served, user: &str, attempt: Value) -> Outcome<Tried> {
    log_in("forged_login.py", served, user, attempt)
}

fn log_in(script: &str, served: &Served, user: &str, mut attempt: Value) -> Outcome<Tried> {
    let Some(python) = python() else { return Err(Failure::Cannot("it is not installed")) };
    attempt["port"] = served.port.into();
    attempt["user"] = user.into();
    attempt["known_hosts"] = served.known_hosts.display().to_string().into();
    let mark = served.mark();
    let mut command = Command::new(python);
    command.arg(peer_script(script)).arg(attempt.to_string());
    command.env_remove("SSH_AUTH_SOCK").env("HOME", &served.scratch);
    Ok(Tried::new(run(&mut command, b"", command_max()), mark))
}
