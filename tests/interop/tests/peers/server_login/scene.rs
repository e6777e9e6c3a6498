//! A server with settings of the test, and what its log says.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sterna_interop::binary;
use sterna_interop::client::command_max;
use sterna_interop::place::Place;
use sterna_interop::server::listening_port;
use sterna_interop::steps::{Failure, Outcome};
use sterna_testkit::openssh::{KeyFile, KeyKind, PASSWORD_CRYPT};
use sterna_testkit::processes::{Finished, Process, Stream, run};

/// Longest wait for a line of the log that belongs to something a client has already seen.
const LINE_MAX: Duration = Duration::from_secs(20);

/// A setting that lets the user in by `PASSWORD`.
pub fn password() -> String {
    format!("password = '{PASSWORD_CRYPT}'")
}

/// A setting that authorizes these lines.
pub fn authorized(lines: &[String]) -> String {
    let lines: Vec<String> = lines.iter().map(|line| format!("'{line}'")).collect();
    format!("authorized_keys = [{}]", lines.join(", "))
}

/// Settings in the making, and the files that they name.
#[derive(Debug)]
pub struct Scene {
    pub place: Place,
    pub host_key: KeyFile,
    top: String,
    tables: String,
    users: String,
}

impl Scene {
    /// `None` where OpenSSH stands in for Sterna: it does not read these settings.
    pub fn new() -> Option<Self> {
        if binary::is_baseline() {
            return None;
        }
        let place = Place::new();
        let host_key = KeyFile::generate(&place.path().join("host_key"), KeyKind::Ed25519);
        let top = format!(
            "listen = ['127.0.0.1:0']\nstate_dir = 'state'\nhost_keys = ['{}']\n",
            host_key.private.display()
        );
        let tables = "[defence]\nexempt = ['127.0.0.0/8', '::1']\n".to_owned();
        Some(Self { place, host_key, top, tables, users: String::new() })
    }

    /// A new key of the user's side.
    pub fn key(&self, name: &str, kind: KeyKind) -> KeyFile {
        KeyFile::generate(&self.path(name), kind)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("write a file of the test");
        path
    }

    /// A program for a hook.
    pub fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.write(name, text);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("make it executable");
        path
    }

    /// A line outside of all tables.
    pub fn top(&mut self, line: &str) {
        self.top += &format!("{line}\n");
    }

    /// A whole table that is not a user.
    pub fn table(&mut self, text: &str) {
        self.tables += &format!("{text}\n");
    }

    /// A user with these settings and an empty directory.
    pub fn user(&mut self, name: &str, lines: &str) {
        let root = self.place.dir(&format!("roots/{name}"));
        let root = root.display();
        self.users += &format!("\n[[user]]\nname = '{name}'\nroot = '{root}'\n{lines}\n");
    }

    pub fn settings(&self) -> PathBuf {
        self.path("sterna.toml")
    }

    /// Starts the server.
    ///
    /// # Panics
    /// When it does not come up; the message has its output.
    pub fn start(&self) -> Served {
        let text = format!("{}{}{}", self.top, self.tables, self.users);
        fs::write(self.settings(), text).expect("write the settings");
        let mut serve = Command::new(binary::sterna());
        serve.args(["serve", "--config"]).arg(self.settings());
        let process = Process::start("sterna serve", &mut serve).unwrap_or_else(|e| panic!("{e}"));
        let port = listening_port(&process);
        let known_hosts = self.path("known_hosts");
        let line = format!("[127.0.0.1]:{port} {}\n", self.host_key.public_line);
        fs::write(&known_hosts, line).expect("write known_hosts");
        Served {
            process,
            port,
            known_hosts,
            host_fingerprint: self.host_key.fingerprint(),
            roots: self.path("roots"),
            scratch: self.place.dir("client"),
        }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Served {
    process: Process,
    pub port: u16,
    /// OpenSSH's format.
    pub known_hosts: PathBuf,
    /// `SHA256:…`
    pub host_fingerprint: String,
    roots: PathBuf,
    /// For files of clients.
    pub scratch: PathBuf,
}

impl Served {
    /// The directory of a user, on this machine's disk.
    pub fn root(&self, user: &str) -> PathBuf {
        self.roots.join(user)
    }

    pub fn log(&self) -> String {
        self.process.log()
    }

    /// How much it has logged so far.
    pub fn mark(&self) -> usize {
        self.process.printed(Stream::Stderr).len()
    }

    /// Waits for a line behind `mark` that has all of `parts`.
    pub fn logs(&self, mark: usize, parts: &[&str]) -> Outcome<String> {
        let found = self.process.wait_for_output(Stream::Stderr, LINE_MAX, |printed| {
            let text = String::from_utf8_lossy(printed.get(mark..)?).into_owned();
            let complete = text.rfind('\n').map_or("", |end| &text[..end]);
            let mut lines = complete.lines();
            lines.find(|line| parts.iter().all(|part| line.contains(part))).map(str::to_owned)
        });
        found.map_err(|why| {
            let printed = self.process.printed(Stream::Stderr);
            let text = String::from_utf8_lossy(&printed[mark..]).into_owned();
            Failure::Failed(format!("no line with {parts:?} in the log: {why}\n{text}"))
        })
    }

    /// Waits for the line that says which rule kept `user` out.
    pub fn logs_refusal(&self, mark: usize, user: &str, rule: &str) -> Outcome {
        let (user, rule) = (format!("user={user} "), format!("rule=\"{rule}\""));
        self.logs(mark, &["login refused", &user, &rule]).map(drop)
    }
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

/// Writes a program for a client, which may only run it.
pub fn write_program(path: &Path, text: &str) -> Outcome {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
