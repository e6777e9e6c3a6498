//! A running server with a settings file, and the commands for it.

use std::{
    fs,
    io::{BufReader, Read, Write},
    path::PathBuf,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use tempfile::TempDir;

use crate::support::{port_of, spawn_until_listening, stderr, stdout, sterna};

/// Of `Hello world!`.
pub const HASH: &str = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";

/// A server with settings, and the commands for it.
pub struct Live {
    pub child: Child,
    pub log: BufReader<ChildStderr>,
    pub port: u16,
    dir: TempDir,
}

impl Live {
    pub fn start(defence: &str, users: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("root")).unwrap();
        fs::write(dir.path().join("root/f"), "x").unwrap();
        fs::write(dir.path().join("sterna.toml"), settings(defence, users)).unwrap();
        let mut command = sterna();
        command.current_dir(dir.path()).args(["serve", "--config", "sterna.toml"]);
        let (mut child, greeting) = spawn_until_listening(&mut command);
        let log = BufReader::new(child.stderr.take().unwrap());
        Self { port: port_of(&greeting), child, log, dir }
    }

    /// Starts the server again that was stopped.
    pub fn restart(&mut self) {
        let mut command = sterna();
        command.current_dir(self.dir.path()).args(["serve", "--config", "sterna.toml"]);
        let (mut child, greeting) = spawn_until_listening(&mut command);
        self.log = BufReader::new(child.stderr.take().unwrap());
        (self.port, self.child) = (port_of(&greeting), child);
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn write(&self, defence: &str, users: &str) {
        fs::write(self.path("sterna.toml"), settings(defence, users)).unwrap();
    }

    pub fn run(&self, args: &str) -> Output {
        let mut command = sterna();
        command.current_dir(self.dir.path()).env("STERNA_CONFIG", "sterna.toml");
        command.env("HOME", self.dir.path()).args(args.split(' ')).output().unwrap()
    }

    pub fn ok(&self, args: &str) -> String {
        let output = self.run(args);
        assert_eq!(output.status.code(), Some(0), "{args}: {}", stderr(&output));
        stdout(&output)
    }

    pub fn client(&self, command: &str, user: &str, password: &str) -> Command {
        let mut client = sterna();
        client.args([command, "-F", "none", "-o", "StrictHostKeyChecking=no", "-o"]);
        client.args(["UserKnownHostsFile=/dev/null", "-P", &self.port.to_string()]);
        client.env("STERNA_PASSWORD", password).env("HOME", "/nonexistent");
        match command {
            "sftp" => client.args(["-b", "-"]).arg(format!("{user}@127.0.0.1")),
            _ => client.arg(format!("{user}@127.0.0.1:/")),
        };
        client
    }

    /// The exit status of one login.
    pub fn login(&self, user: &str) -> Option<i32> {
        self.client("ls", user, "Hello world!").output().unwrap().status.code()
    }

    /// A session that has listed its folder once and waits for more commands.
    pub fn session(&self, user: &str) -> Child {
        let mut client = self.client("sftp", user, "Hello world!");
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = client.spawn().unwrap();
        assert_eq!(lists(&mut child), Some(true));
        child
    }

    /// Ends the server with a signal and returns the rest of its log.
    pub fn stop(&mut self) -> String {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", "TERM", &pid]).status().unwrap().success());
        let mut log = String::new();
        self.log.read_to_string(&mut log).unwrap();
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
        log
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Asks a session for its folder; `None` if it has ended.
pub fn lists(session: &mut Child) -> Option<bool> {
    session.stdin.as_mut()?.write_all(b"ls\n").ok()?;
    let mut line = Vec::new();
    let stdout = session.stdout.as_mut()?;
    // One byte at a time: what comes behind the line belongs to the next question.
    let mut byte = [0];
    while stdout.read(&mut byte).ok()? == 1 {
        match byte[0] {
            b'\n' if line.ends_with(b"f") => return Some(true),
            b'\n' => line.clear(),
            byte => line.push(byte),
        }
    }
    None
}

pub fn settings(defence: &str, users: &str) -> String {
    format!("listen = ['127.0.0.1:0']\nstate_dir = 'state'\n[defence]\n{defence}\n{users}")
}

pub fn user(name: &str, more: &str) -> String {
    format!("[[user]]\nname = '{name}'\nroot = 'root'\npassword = '{HASH}'\n{more}\n")
}

/// Nobody here is an attacker.
pub const QUIET: &str = "exempt = ['127.0.0.1']";
