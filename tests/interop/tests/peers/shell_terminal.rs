//! `sterna sftp` at a terminal, as a person uses it: completion and history.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use sterna_interop::binary::{self, has_peer, is_baseline};
use sterna_interop::server::{self, Server};
use sterna_interop::terminal::converse;

/// The shell in the directory that it may fill, with a home of its own.
fn shell(server: &Server) -> Command {
    let mut command = Command::new(binary::sterna());
    command.arg("sftp").arg("-P").arg(server.login.port.to_string());
    command.args(server.login.options()).arg(server.login.destination());
    command.env("HOME", server.place.dir("home")).env_remove("SSH_AUTH_SOCK");
    command.env_remove("XDG_STATE_HOME").env("TERM", "xterm").env("LC_ALL", "C.UTF-8");
    command
}

#[test]
fn names_are_completed_and_lines_are_remembered() {
    if is_baseline() || !has_peer("script") {
        return;
    }
    let server = server::sterna();
    fs::create_dir(server.local("alpha")).unwrap();
    fs::write(server.local("alpha/a file.txt"), "found").unwrap();

    let target = server.place.dir("target");
    // The second answer is two lines at once, as from a person who pastes or types ahead.
    let dialogue = [
        ("sftp> ", "ls al\t".to_owned()),
        ("a file.txt", format!("lcd {}\nget al\ta\t", target.display())),
        ("1 file", "bye".to_owned()),
    ];
    let dialogue: Vec<_> = dialogue.iter().map(|(wait, say)| (*wait, say.as_str())).collect();
    let done = converse(&shell(&server), &dialogue).unwrap_or_else(|why| panic!("{why:?}"));

    assert!(done.success(), "{}", done.describe());
    assert_eq!(fs::read_to_string(target.join("a file.txt")).unwrap(), "found");
    let history = server.place.path().join("home/.local/state/sterna/sftp_history");
    let text = fs::read_to_string(&history).unwrap();
    assert!(text.contains("ls alpha/") && text.contains("get alpha/a"), "{text}");
    assert_eq!(fs::metadata(&history).unwrap().permissions().mode() & 0o777, 0o600);
}
