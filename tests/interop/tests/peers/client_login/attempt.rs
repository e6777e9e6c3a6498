//! One login of our client, or of OpenSSH's in a baseline run.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use sterna_interop::binary;
use sterna_interop::client::command_max;
use sterna_interop::server::Server;
use sterna_interop::steps::{Outcome, check};
use sterna_interop::terminal::converse;
use sterna_testkit::processes::{Finished, run};

/// What is tried. Nothing of the person who runs the tests is used: no agent, no configuration.
#[derive(Clone, Debug)]
pub struct Attempt {
    program: PathBuf,
    arguments: Vec<OsString>,
    destination: OsString,
    environment: Vec<(&'static str, OsString)>,
    askpass: PathBuf,
    /// OpenSSH's client asks its helper for the password that ours is given.
    asks_a_program: bool,
}

impl Attempt {
    pub fn at(server: &Server) -> Self {
        let port = server.login.port.to_string();
        let (program, first, destination) = if binary::is_baseline() {
            (PathBuf::from("ssh"), vec!["-v", "-s", "-p", &port], server.login.destination())
        } else {
            let place = format!("{}:{}", server.login.destination(), server.remote("").display());
            (binary::sterna().to_owned(), vec!["ls", "-v", "-P", &port], place)
        };
        let mut arguments: Vec<OsString> = first.into_iter().map(OsString::from).collect();
        arguments.extend(["-F".into(), "none".into()]);
        let attempt = Self {
            program,
            arguments,
            destination: destination.into(),
            environment: vec![("HOME", server.place.dir("attempt_home").into())],
            askpass: server.place.path().join("askpass"),
            asks_a_program: false,
        };
        attempt
            .option(&format!("UserKnownHostsFile={}", server.login.known_hosts.display()))
            .option("GlobalKnownHostsFile=/dev/null")
            .option("StrictHostKeyChecking=yes")
    }

    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.arguments.extend(["-o".into(), option.into()]);
        self
    }

    /// Offers the key in this file.
    #[must_use]
    pub fn key(self, file: &Path) -> Self {
        self.option(&format!("IdentityFile={}", file.display()))
    }

    /// Uses the agent at this socket.
    #[must_use]
    pub fn agent(self, socket: &Path) -> Self {
        self.environment("SSH_AUTH_SOCK", socket)
    }

    #[must_use]
    pub fn environment(mut self, name: &'static str, value: impl Into<OsString>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// Gives a password beforehand.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        if !binary::is_baseline() {
            return self.environment("STERNA_PASSWORD", password);
        }
        self.asks_a_program = true;
        let askpass = self.askpass.clone();
        write_program(&askpass, &format!("#!/bin/sh\necho '{password}'\n"));
        self.environment("SSH_ASKPASS", askpass)
            .environment("SSH_ASKPASS_REQUIRE", "force")
            .option("NumberOfPasswordPrompts=1")
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments).arg("--").arg(&self.destination);
        if binary::is_baseline() {
            command.arg("sftp");
        }
        command.env_remove("SSH_AUTH_SOCK").env_remove("STERNA_PASSWORD").env("LC_ALL", "C.UTF-8");
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Tries it without anybody who could be asked.
    pub fn run(&self) -> Finished {
        let batch = if self.asks_a_program { "no" } else { "yes" };
        let attempt = self.clone().option(&format!("BatchMode={batch}"));
        run(&mut attempt.command(), b"", command_max())
    }

    /// It must get in.
    pub fn succeeds(&self) -> Outcome {
        is_in(&self.run())
    }

    /// It must be refused.
    pub fn is_refused(&self) -> Outcome {
        self.is_refused_with("")
    }

    /// It must be refused, and our client must say this.
    pub fn is_refused_with(&self, says: &str) -> Outcome {
        let done = self.run();
        is_refused(&done)?;
        let text = String::from_utf8_lossy(&done.stderr);
        check(binary::is_baseline() || text.contains(says), || {
            format!("it does not say \"{says}\"\n{}", done.describe())
        })
    }

    /// Tries it at a terminal.
    pub fn converse(&self, dialogue: &[(&str, &str)]) -> Outcome<Finished> {
        converse(&self.command(), dialogue)
    }
}

/// Whether OpenSSH's client says that it is in: what comes after that is not what is tested.
fn says_it_is_in(done: &Finished) -> bool {
    let says = |text: &[u8]| String::from_utf8_lossy(text).contains("Authenticated to ");
    says(&done.stdout) || says(&done.stderr)
}

pub fn is_in(done: &Finished) -> Outcome {
    let is_in = if binary::is_baseline() { says_it_is_in(done) } else { done.success() };
    check(is_in, || format!("it did not get in\n{}", done.describe()))
}

/// Refused is 5, and nothing else.
pub fn is_refused(done: &Finished) -> Outcome {
    let is_refused = if binary::is_baseline() {
        done.code() == Some(255) && !says_it_is_in(done)
    } else {
        done.code() == Some(5)
    };
    check(is_refused, || format!("it was not refused\n{}", done.describe()))
}

/// Writes a file that can be run.
pub fn write_program(path: &Path, text: &str) {
    fs::write(path, text).expect("write a program");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("make it executable");
}

/// Runs a helper program that must succeed.
///
/// # Panics
/// If it fails.
pub fn must_run(command: &mut Command) -> Finished {
    let done = run(command, b"", command_max());
    assert!(done.success(), "{}", done.describe());
    done
}
