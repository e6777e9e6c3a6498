//! `serve`: what it prints, keeps, and does at its end.

use std::{fs, os::unix::fs::PermissionsExt};

use crate::support::{Server, port_of, spawn_until_listening, stderr, sterna};

#[test]
fn the_greeting_has_fingerprints_a_command_to_paste_and_the_real_port() {
    let server = Server::start();

    assert_ne!(server.port, 0);
    assert!(server.greeting.contains("SHA256:"), "{}", server.greeting);
    assert!(server.greeting.contains(&format!("-P {}", server.port)), "{}", server.greeting);
    assert!(!server.greeting.contains(crate::support::PASSWORD), "{}", server.greeting);
}

#[test]
fn without_password_and_keys_one_is_made_and_works() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = sterna();
    command
        .arg("serve")
        .arg(dir.path())
        .args(["--listen", "127.0.0.1:0", "--user", "u", "--state-dir"])
        .arg(dir.path().join("state"));
    let (mut child, greeting) = spawn_until_listening(&mut command);
    let password = greeting
        .lines()
        .find_map(|line| line.trim_start().strip_prefix("password:"))
        .unwrap_or_else(|| panic!("{greeting}"))
        .trim();

    let output = sterna()
        .args(["ls", "-F", "none", "-o", "StrictHostKeyChecking=no", "-o"])
        .args(["UserKnownHostsFile=/dev/null", "-P", &port_of(&greeting).to_string()])
        .arg("u@127.0.0.1:/")
        .env("STERNA_PASSWORD", password)
        .env("HOME", dir.path())
        .output()
        .unwrap();
    child.kill().unwrap();
    child.wait().unwrap();

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn host_keys_are_made_once_and_kept() {
    let dir = tempfile::tempdir().unwrap();
    let fingerprints = || {
        let mut command = sterna();
        command
            .arg("serve")
            .arg(dir.path())
            .args(["--listen", "127.0.0.1:0", "--state-dir"])
            .arg(dir.path().join("state"));
        let (mut child, greeting) = spawn_until_listening(&mut command);
        child.kill().unwrap();
        child.wait().unwrap();
        let lines = greeting.lines().filter(|line| line.contains("SHA256:"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };

    let first = fingerprints();
    let second = fingerprints();

    assert!(!first.is_empty());
    assert_eq!(first, second);
}

#[test]
fn a_read_only_share_can_be_read_and_not_changed() {
    let server = Server::start_with(&["--read-only"]);
    fs::write(server.shared().join("f"), "x").unwrap();

    server.ok("cat", [server.place("f")]);
    let output = server.run("rm", [server.place("f")]);

    assert_eq!(output.status.code(), Some(1));
    assert!(server.shared().join("f").exists());
}

#[test]
fn sigterm_and_sigint_end_it_gracefully() {
    for signal in ["TERM", "INT"] {
        let mut server = Server::start();

        server.signal(signal);

        assert_eq!(server.wait(), Some(0), "{signal}");
    }
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let output = sterna().args(["serve", "/does/not/exist"]).output().unwrap();

    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("/does/not/exist"), "{}", stderr(&output));
}

#[test]
fn a_port_in_use_is_named() {
    let server = Server::start();
    let address = format!("127.0.0.1:{}", server.port);
    let dir = tempfile::tempdir().unwrap();

    let output = sterna()
        .arg("serve")
        .arg(dir.path())
        .args(["--listen", &address, "--state-dir"])
        .arg(dir.path().join("state"))
        .output()
        .unwrap();

    assert_ne!(output.status.code(), Some(0));
    assert!(stderr(&output).contains(&address), "{}", stderr(&output));
}

#[test]
fn the_state_directory_is_private_if_it_is_made_here() {
    let server = Server::start();

    let mode = fs::metadata(server.local("../state")).unwrap().permissions().mode();

    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn a_password_file_that_does_not_exist_is_wrong_usage() {
    let dir = tempfile::tempdir().unwrap();

    let mut command = sterna();
    command.arg("serve").arg(dir.path()).args(["--password-file", "/does/not/exist"]);
    let output = command.output().unwrap();

    assert_eq!(output.status.code(), Some(2));
    assert_eq!(stderr(&output), "sterna: /does/not/exist: no such file or directory\n");
}
