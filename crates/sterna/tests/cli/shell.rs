//! `sterna sftp -b`: batches as they were written for OpenSSH's sftp.

use std::fs;

use crate::support::{Server, feed, noise, stderr, stdout, sterna};

#[test]
fn a_batch_shows_its_commands_and_their_results() {
    let server = Server::start();
    fs::write(server.shared().join("a b"), "x").unwrap();

    let output = server.batch("# comment\npwd\n@pwd\nls -1\n");

    assert_eq!(
        stdout(&output),
        "sftp> # comment\nsftp> pwd\nRemote working directory: /\nRemote working directory: /\n\
         sftp> ls -1\na b\n"
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_batch_ends_at_the_first_failure_that_is_not_excused() {
    let server = Server::start();

    let output = server.batch("-rm missing\nmkdir made\nrm missing\nmkdir never\n");

    assert_eq!(output.status.code(), Some(1));
    assert!(server.shared().join("made").is_dir());
    assert!(!server.shared().join("never").exists());
}

#[test]
fn without_b_a_failure_does_not_stop_but_is_not_forgotten() {
    let server = Server::start();

    let mut command = server.client("sftp");
    command.arg(server.place(""));
    let output = feed(&mut command, b"rm missing\nmkdir made\n");

    assert_eq!(output.status.code(), Some(1));
    assert!(server.shared().join("made").is_dir());
}

#[test]
fn files_go_up_and_down_with_quotes_patterns_and_recursion() {
    let server = Server::start();
    let content = noise(200_000, 5);
    fs::write(server.local("a b"), &content).unwrap();
    fs::create_dir_all(server.local("t/u")).unwrap();
    fs::write(server.local("t/u/f"), "deep").unwrap();

    let output = server.batch(
        "put \"a b\" c\\ d\nmkdir dir\nput -r t dir\ncd dir/t\nget u/*\nlmkdir l\nlcd l\n\
         get -r /dir\nget \"/c d\" x.bin\nrename \"/c d\" /e\nls /e\n",
    );

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(fs::read(server.shared().join("e")).unwrap(), content);
    assert_eq!(fs::read(server.local("f")).unwrap(), b"deep");
    assert_eq!(fs::read(server.local("l/dir/t/u/f")).unwrap(), b"deep");
    assert_eq!(fs::read(server.local("l/x.bin")).unwrap(), content);
}

#[test]
fn reget_completes_a_file() {
    let server = Server::start();
    let content = noise(500_000, 11);
    fs::write(server.shared().join("f"), &content).unwrap();
    fs::write(server.local("f"), &content[..200_000]).unwrap();

    let output = server.batch("reget f\n");

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(fs::read(server.local("f")).unwrap(), content);
}

#[test]
fn every_small_command_does_its_thing() {
    let server = Server::start();
    fs::write(server.shared().join("f"), "x").unwrap();

    let output = server.batch(
        "version\nchmod 600 f\ncp f g\nln g h\nln -s g s\nls -la\nls -n *\ndf\ndf -hi\n\
         lumask 022\nlpwd\nprogress\nrm ?\nrmdir -- nothing\n",
    );

    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
    assert!(stderr(&output).contains("nothing"), "{}", stderr(&output));
    assert_eq!(fs::read_dir(server.shared()).unwrap().count(), 0);
}

#[test]
fn local_commands_run_here() {
    let server = Server::start();

    let output = server.batch("!touch made\nlls\n-!exit 3\n");

    assert!(server.local("made").exists());
    assert!(stdout(&output).contains("made"), "{}", stdout(&output));
    assert_eq!(output.status.code(), Some(0));
}

/// The shell on one end of a pipe and `sftp-server` on the other: no SSH between them.
fn on_pipes(options: &str, batch: &str, dir: &std::path::Path) -> std::process::Output {
    let mut command = sterna();
    let program = format!("'{}' sftp-server {options}", env!("CARGO_BIN_EXE_sterna"));
    command.args(["sftp", "-b", "-", "-D", &program]).current_dir(dir).env("HOME", dir);
    feed(&mut command, batch.as_bytes())
}

#[test]
fn sftp_server_serves_what_its_user_can_reach_from_where_it_was_told() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("in")).unwrap();
    fs::write(dir.path().join("f"), "x").unwrap();

    let output = on_pipes("-d in -u 077", "put f\nls -l\nget f back\n", dir.path());

    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("-rw-------"), "{}", stdout(&output));
    assert_eq!(fs::read(dir.path().join("back")).unwrap(), b"x");
}

#[test]
fn a_read_only_or_narrowed_sftp_server_refuses_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("f"), "x").unwrap();

    for options in ["-R", "-P remove,rmdir", "-p realpath,lstat,stat,opendir,readdir,close"] {
        let output = on_pipes(options, "rm f\n", dir.path());

        assert_eq!(output.status.code(), Some(1), "{options}");
        assert!(stderr(&output).contains("permission denied"), "{options}: {}", stderr(&output));
        assert!(dir.path().join("f").exists(), "{options}");
    }
}

#[test]
fn what_openssh_takes_is_taken_or_refused_with_a_reason() {
    let dir = tempfile::tempdir().unwrap();
    let taken = "-a -C -f -N -p -q -r -v -4 -B 32768 -R 64 -X nrequests=64 -X buffer=32768 -s sftp";
    let program = format!("'{}' sftp-server", env!("CARGO_BIN_EXE_sterna"));
    let run = |options: &str| {
        let mut command = sterna();
        command.args(["sftp", "-b", "-", "-D", &program]).args(options.split_whitespace());
        feed(command.current_dir(dir.path()).env("HOME", dir.path()), b"pwd\n")
    };

    let accepted = run(taken);
    assert_eq!(accepted.status.code(), Some(0), "{}", stderr(&accepted));
    for (refused, why) in [
        ("-A", "no"),
        ("-l 100", "bandwidth"),
        ("-S /usr/bin/ssh", "own ssh"),
        ("-s /usr/lib/sftp-server", "only the subsystem"),
        ("-X unknown=1", "nrequests=NUMBER"),
    ] {
        let output = run(refused);

        assert_eq!(output.status.code(), Some(2), "{refused}");
        assert!(stderr(&output).contains(why), "{refused}: {}", stderr(&output));
    }
}

#[test]
fn cd_tells_what_is_missing_from_what_is_no_directory() {
    let server = Server::start();
    fs::write(server.shared().join("f"), "x").unwrap();

    let missing = stderr(&server.batch("cd nowhere\n"));
    let file = stderr(&server.batch("cd f\n"));

    assert!(missing.contains("no such file or directory"), "{missing}");
    assert!(file.contains("not a directory"), "{file}");
}
