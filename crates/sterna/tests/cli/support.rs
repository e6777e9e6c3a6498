//! Starts `sterna serve` on a free port and runs `sterna` commands against it.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

use tempfile::TempDir;

pub const PASSWORD: &str = "correct horse";
pub const USER: &str = "tester";

/// A running server, its shared folder, and a home for clients. Ends when dropped.
pub struct Server {
    child: Child,
    pub port: u16,
    /// Everything that the server printed up to and including its `listening` line.
    pub greeting: String,
    dir: TempDir,
}

impl Server {
    /// Shares an empty folder with [`USER`] and [`PASSWORD`].
    pub fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same with more options of `serve`.
    pub fn start_with(options: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("shared")).unwrap();
        fs::create_dir(dir.path().join("home")).unwrap();
        fs::write(dir.path().join("password"), format!("{PASSWORD}\n")).unwrap();
        let mut command = sterna();
        command
            .arg("serve")
            .arg(dir.path().join("shared"))
            .args(["--listen", "127.0.0.1:0", "--user", USER])
            .arg("--password-file")
            .arg(dir.path().join("password"))
            .arg("--state-dir")
            .arg(dir.path().join("state"))
            .args(options);
        let (child, greeting) = spawn_until_listening(&mut command);
        let port = port_of(&greeting);
        Self { child, port, greeting, dir }
    }

    /// The folder that the user sees as `/`.
    pub fn shared(&self) -> PathBuf {
        self.dir.path().join("shared")
    }

    /// A folder of this test, outside of what is shared.
    pub fn local(&self, name: &str) -> PathBuf {
        self.dir.path().join("home").join(name)
    }

    /// `tester@127.0.0.1:PATH`.
    pub fn place(&self, path: &str) -> String {
        format!("{USER}@127.0.0.1:{path}")
    }

    /// A client command with port, password and trust in place; places follow as arguments.
    pub fn client(&self, subcommand: &str) -> Command {
        let mut command = self.stranger(subcommand);
        command.arg("--password-file").arg(self.dir.path().join("password"));
        command.args(["-o", "StrictHostKeyChecking=accept-new"]);
        command
    }

    /// The same without a password and without trust in the host key.
    pub fn stranger(&self, subcommand: &str) -> Command {
        let mut command = sterna();
        let home = self.dir.path().join("home");
        command.current_dir(&home).env("HOME", &home);
        command.arg(subcommand).arg("-P").arg(self.port.to_string());
        // The machine's own configuration, keys and agent stay out of the test.
        command.args(["-F", "none", "-o"]);
        command.arg(format!("UserKnownHostsFile={}", home.join("known_hosts").display()));
        command
    }

    /// Runs a client command to its end.
    pub fn run<A: AsRef<OsStr>>(
        &self,
        subcommand: &str,
        args: impl IntoIterator<Item = A>,
    ) -> Output {
        self.client(subcommand).args(args).output().unwrap()
    }

    /// Runs a client command that must succeed; returns what it printed.
    pub fn ok<A: AsRef<OsStr>>(
        &self,
        subcommand: &str,
        args: impl IntoIterator<Item = A>,
    ) -> String {
        let output = self.run(subcommand, args);
        assert_eq!(output.status.code(), Some(0), "{subcommand}: {}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a batch of the sftp shell.
    pub fn batch(&self, batch: &str) -> Output {
        let mut command = self.client("sftp");
        command.args(["-b", "-"]).arg(format!("{USER}@127.0.0.1"));
        feed(&mut command, batch.as_bytes())
    }

    /// Sends a signal by its name.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill").args(["-s", name, &pid]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for the server's own end and returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The binary under test, without the environment that could change what it does.
pub fn sterna() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sterna"));
    for variable in ["STERNA_PASSWORD", "SSH_AUTH_SOCK", "RUST_LOG", "XDG_STATE_HOME", "NO_COLOR"] {
        command.env_remove(variable);
    }
    command.stdin(Stdio::null());
    command
}

/// Starts a server and reads its stdout up to the line that says it is ready.
pub fn spawn_until_listening(command: &mut Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut greeting = String::new();
    while !greeting.contains("listening on ") {
        if stdout.read_line(&mut greeting).unwrap() == 0 {
            let output = child.wait_with_output().unwrap();
            panic!("serve ended: {greeting}{}", stderr(&output));
        }
    }
    (child, greeting)
}

/// The port of the `listening on ADDR:PORT` line.
pub fn port_of(greeting: &str) -> u16 {
    let line = greeting.lines().find_map(|line| line.strip_prefix("listening on ")).unwrap();
    line.rsplit(':').next().unwrap().parse().unwrap()
}

/// Runs a command with something on its stdin.
pub fn feed(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // The command may end before it read everything; that is what some tests are about.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().unwrap()
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Bytes that no compression or repetition hides a mistake in.
pub fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64: good enough to tell every block from every other.
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Relative path and content of every regular file below `dir`, sorted.
pub fn tree(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    let mut open = vec![dir.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            let kind = fs::symlink_metadata(&path).unwrap().file_type();
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file() {
                let content = fs::read(&path).unwrap();
                files.push((path.strip_prefix(dir).unwrap().to_owned(), content));
            }
        }
    }
    files.sort();
    files
}
