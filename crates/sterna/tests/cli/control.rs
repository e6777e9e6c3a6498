//! Commands to a running server: `reload`, `penalties`, `config diff`, over its control socket.

use std::{
    fs,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
    process::{Child, ChildStderr, Command, Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{port_of, spawn_until_listening, stderr, stdout, sterna};

/// Of `Hello world!`.
const HASH: &str = "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5";

/// A server with settings, and the commands for it.
pub struct Live {
    child: Child,
    log: BufReader<ChildStderr>,
    pub port: u16,
    /// What it printed before it was ready.
    pub greeting: String,
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
        Self { port: port_of(&greeting), greeting, child, log, dir }
    }

    /// Starts the server again that was stopped.
    pub fn restart(&mut self) {
        let mut command = sterna();
        command.current_dir(self.dir.path()).args(["serve", "--config", "sterna.toml"]);
        let (mut child, greeting) = spawn_until_listening(&mut command);
        self.log = BufReader::new(child.stderr.take().unwrap());
        (self.port, self.child) = (port_of(&greeting), child);
        self.greeting = greeting;
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, defence: &str, users: &str) {
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
        client.env("STERNA_PASSWORD", password).env("HOME", self.dir.path());
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

fn settings(defence: &str, users: &str) -> String {
    format!("listen = ['127.0.0.1:0']\nstate_dir = 'state'\n[defence]\n{defence}\n{users}")
}

pub fn user(name: &str, more: &str) -> String {
    format!("[[user]]\nname = '{name}'\nroot = 'root'\npassword = '{HASH}'\n{more}\n")
}

pub const QUIET: &str = "exempt = ['127.0.0.1']";

#[test]
fn a_broken_file_keeps_the_old_state_and_every_mistake_is_named() {
    let live = Live::start(QUIET, &user("alice", ""));
    assert_eq!(live.login("alice"), Some(0));

    let bad = "hours = ['never']\nallow_from = ['somewhere']";
    live.write(QUIET, &(user("alice", "enabled = false") + &user("bob", bad)));
    let output = live.run("reload");

    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for place in ["sterna.toml:14: user.hours: ", "sterna.toml:15: user.allow_from: "] {
        assert!(said.contains(place), "{place}: {said}");
    }
    assert!(said.contains("the old ones are kept"), "{said}");
    assert_eq!(live.login("alice"), Some(0));
    assert_eq!(live.login("bob"), Some(5));

    live.write(QUIET, &user("bob", ""));
    assert!(live.ok("reload").contains("settings reloaded: 1 users"));
    assert_eq!(live.login("alice"), Some(5));
    assert_eq!(live.login("bob"), Some(0));
}

#[test]
fn a_reload_ends_the_sessions_of_a_disabled_user_and_no_others() {
    let live = Live::start(QUIET, &(user("alice", "") + &user("bob", "")));
    let (mut alice, mut bob) = (live.session("alice"), live.session("bob"));

    live.write(QUIET, &(user("alice", "enabled = false") + &user("bob", "read_only = true")));
    let said = live.ok("reload");

    assert!(said.contains("1 sessions ended"), "{said}");
    assert_eq!(lists(&mut bob), Some(true));
    assert_eq!(lists(&mut alice), None);
    assert!(!alice.wait().unwrap().success());
    assert_eq!(live.login("alice"), Some(5));
    drop(bob.stdin.take());
    assert!(bob.wait().unwrap().success());
}

#[test]
fn a_reload_is_refused_for_another_file_and_where_no_server_runs() {
    let mut live = Live::start(QUIET, &user("alice", ""));
    fs::copy(live.path("sterna.toml"), live.path("other.toml")).unwrap();

    let output = live.run("reload --config other.toml");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("this server runs with"), "{}", stderr(&output));
    assert!(live.ok("reload --state-dir state").contains("reloaded"));

    let socket = live.path("state/control");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    live.stop();
    assert!(!socket.exists());
    let output = live.run("reload");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no server runs"), "{}", stderr(&output));
}

#[test]
fn what_the_socket_does_not_understand_changes_nothing() {
    let live = Live::start(QUIET, &user("alice", ""));
    for request in ["{}\n", "reload\n", "{\"command\":\"lift\",\"sources\":\"x\"}\n"] {
        let mut stream = UnixStream::connect(live.path("state/control")).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).unwrap();
        let reply: Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(reply["reply"], "refused", "{request}");
    }
    assert_eq!(live.login("alice"), Some(0));
}

#[test]
fn penalties_are_listed_and_lifted_in_the_running_server_and_without_it() {
    let defence = "[defence.penalties]\nauth_failed_s = 500\nmin_s = 1\nmax_s = 600";
    let mut live = Live::start(defence, &user("alice", ""));
    assert_eq!(live.ok("penalties"), "");
    let wrong = live.client("ls", "alice", "wrong").output().unwrap();
    assert_eq!(wrong.status.code(), Some(5));
    // The offence is noted when the connection ends, which is before the next one is refused.
    while live.login("alice") == Some(0) {}

    let said = live.ok("penalties list --json");
    let row: Value = serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(row["source"], "127.0.0.1/32");
    assert_eq!(row["reason"], "failed authentication");
    let seconds = row["refused_for_s"].as_u64().unwrap();
    assert!((1..=500).contains(&seconds), "{said}");
    assert!(live.ok("penalties").contains("127.0.0.1/32"));

    assert_eq!(live.run("penalties rm 192.0.2.1").status.code(), Some(1));
    assert_eq!(live.run("penalties rm nonsense").status.code(), Some(2));
    assert_eq!(live.run("penalties rm all").status.code(), Some(2));
    assert_ne!(live.login("alice"), Some(0));
    live.ok("penalties rm 127.0.0.0/8");
    assert_eq!(live.login("alice"), Some(0));

    let wrong = live.client("ls", "alice", "wrong").output().unwrap();
    assert_eq!(wrong.status.code(), Some(5));
    while live.login("alice") == Some(0) {}
    let log = live.stop();
    assert!(log.contains("rule=\"password\"") || log.contains("rule=password"), "{log}");
    assert!(live.ok("penalties").contains("127.0.0.1/32"));
    live.ok("penalties rm --all");
    assert_eq!(live.ok("penalties"), "");
    assert!(TcpStream::connect(("127.0.0.1", live.port)).is_err());
}

#[test]
fn a_diff_with_the_running_server_says_what_a_reload_would_change() {
    let live = Live::start("max_auth_tries = 3", &(user("alice", "") + &user("carol", "")));
    assert_eq!(live.ok("config diff"), "");

    let text =
        settings("max_auth_tries = 4", &(user("alice", "enabled = false") + &user("bob", "")));
    let text =
        text.replace("127.0.0.1:0", "127.0.0.2:0").replacen("$saltstring$", "$saltother$", 1);
    fs::write(live.path("sterna.toml"), text).unwrap();
    let said = live.ok("config diff");
    for line in [
        "~ defence.max_auth_tries = 3 -> 4\n",
        "~ listen = [\"127.0.0.1:0\"] -> [\"127.0.0.2:0\"]  (needs a restart)\n",
        "+ user alice: enabled = false\n",
        "~ user alice: password\n",
        "- user carol\n",
        "+ user bob\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(said.lines().count(), 6, "{said}");
    assert!(!said.contains("saltstring"), "{said}");

    let reloaded = live.ok("reload");
    assert!(reloaded.contains("a restart is needed for listen"), "{reloaded}");
    assert_eq!(live.ok("config diff"), "");
}
