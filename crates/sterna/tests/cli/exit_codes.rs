//! What a script learns from how `sterna` ends.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, process::Command};

use crate::support::{Server, USER, stderr, stdout, sterna};

#[test]
fn wrong_usage_is_2() {
    for args in [&["frobnicate"][..], &["ls"], &["ls", "no-place"], &["chmod", "888", "h:x"]] {
        let output = sterna().args(args).output().unwrap();

        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
    }
}

#[test]
fn no_connection_is_3() {
    // A port that was free a moment ago and that nobody listens on.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();

    let output = sterna()
        .args(["ls", "-F", "none", "-P", &port.to_string(), "x@127.0.0.1:/"])
        .output()
        .unwrap();

    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
}

#[test]
fn an_unknown_host_key_is_4_and_nothing_is_learned() {
    let server = Server::start();

    let mut command = server.stranger("ls");
    command.args(["-o", "StrictHostKeyChecking=yes", &server.place("/")]);
    let output = command.output().unwrap();

    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(!server.local("known_hosts").exists());
}

#[test]
fn without_a_terminal_nobody_is_asked_about_an_unknown_host() {
    let server = Server::start();

    let inner = server.stranger("ls");
    // A session of its own has no controlling terminal, wherever this test runs.
    let mut command = Command::new("setsid");
    command.arg("--wait").arg(inner.get_program()).args(inner.get_args());
    command.arg(server.place("/")).env("HOME", server.local(""));
    let output = command.output().unwrap();

    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
}

#[test]
fn a_changed_host_key_is_4_although_the_host_is_known() {
    let (first, second) = (Server::start(), Server::start());
    first.ok("ls", [first.place("/")]);
    let known = fs::read_to_string(first.local("known_hosts")).unwrap();
    let renamed = known.replace(&format!("]:{}", first.port), &format!("]:{}", second.port));
    assert_ne!(known, renamed);
    fs::write(second.local("known_hosts"), renamed).unwrap();

    let output = second.run("ls", [second.place("/")]);

    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
}

#[test]
fn a_wrong_password_is_5() {
    let server = Server::start();
    fs::write(server.local("wrong"), "guess\n").unwrap();

    let mut command = server.stranger("ls");
    command.args(["-o", "StrictHostKeyChecking=accept-new", "--password-file", "wrong"]);
    let output = command.arg(server.place("/")).output().unwrap();

    assert_eq!(output.status.code(), Some(5), "{}", stderr(&output));
}

#[test]
fn the_password_may_come_from_the_environment() {
    let server = Server::start();

    let mut command = server.stranger("ls");
    command.args(["-o", "StrictHostKeyChecking=accept-new", &server.place("/")]);
    let output = command.env("STERNA_PASSWORD", crate::support::PASSWORD).output().unwrap();

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn help_and_version_are_0_and_go_to_stdout() {
    for args in [
        &["--help"][..],
        &["--version"],
        &["get", "--help"],
        &["completions", "bash"],
        &["man"],
        &["man", "serve"],
    ] {
        let output = sterna().args(args).output().unwrap();

        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn a_reader_that_leaves_ends_the_program_quietly() {
    let server = Server::start();
    fs::write(server.shared().join("big"), vec![b'x'; 4 << 20]).unwrap();

    let mut command = server.client("cat");
    command.arg(server.place("big")).stdout(std::process::Stdio::piped());
    command.stderr(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();

    assert_eq!(stderr(&output), "", "{USER}");
    assert_eq!(output.status.code(), Some(0));
}

#[test]
fn json_of_a_transfer_ends_with_a_summary_even_without_a_connection() {
    let server = Server::start();
    fs::write(server.local("f"), "x").unwrap();

    for (subcommand, places) in
        [("get", [server.place("f"), "g".to_owned()]), ("put", ["f".to_owned(), server.place("f")])]
    {
        let mut command = server.stranger(subcommand);
        command.args(["--json", "-o", "StrictHostKeyChecking=yes"]).args(places);
        let output = command.output().unwrap();

        assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
        let events: Vec<serde_json::Value> =
            stdout(&output).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(events[0]["event"], "error");
        assert_eq!(events[0]["exit"], 4);
        assert_eq!(events[1]["event"], "summary");
        assert_eq!(events[1]["failed"], 1);
    }
}

#[test]
fn a_key_that_cannot_be_offered_is_named_with_the_reason() {
    let keys = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        keys.path(),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBrsSTxm+vJdIU1ZNA8BCSSzBvrGL9aPZjsnOeeFf0xw",
    )
    .unwrap();
    let server = Server::start_with(&["--authorized-keys", keys.path().to_str().unwrap()]);
    fs::write(server.local("open"), "not for everybody").unwrap();
    fs::set_permissions(server.local("open"), fs::Permissions::from_mode(0o644)).unwrap();

    let mut command = server.stranger("ls");
    command.args(["-o", "StrictHostKeyChecking=no", "-i", "open", "-i", "missing"]);
    let output = command.arg(server.place("/")).output().unwrap();

    assert_eq!(output.status.code(), Some(5));
    let said = stderr(&output);
    assert!(said.contains("key open is left out: its mode 644 lets others read it"), "{said}");
    assert!(said.contains("key missing: no such file"), "{said}");
}
