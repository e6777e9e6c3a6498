//! New keys every 1 MiB under full load, in each direction and in both at once, by the cheapest key exchange: the
//! renewals are to come fast, and what each exchange does is tested elsewhere.

use std::fs;
use std::process::Command;
use std::thread;

use sterna_interop::binary::is_full;
use sterna_interop::client::{Sftp, command_max};
use sterna_interop::content::{compare_files, write_file};
use sterna_interop::server::{self, Server};
use sterna_interop::steps::{Outcome, Steps, check};
use sterna_testkit::openssh::{KeyKind, Login};
use sterna_testkit::processes::{Process, Stream, run};

/// Bytes moved each way; 512 MiB with `STERNA_FULL=1`.
fn moved() -> u64 {
    if is_full() { 512 << 20 } else { 128 << 20 }
}

/// Key exchanges that must at least have been seen: one for each 8 MiB, because OpenSSH asks for the
/// next one only after what is in flight has been taken. How much that is, the sockets' buffers decide,
/// which grow with the speed at which they are filled: on a busy machine one for each 4.1 MiB was seen.
fn rekeys_min() -> u64 {
    moved() / (8 << 20)
}

/// What OpenSSH's programs say in a debug log each time new keys are in use.
const NEW_KEYS: &[u8] = b"SSH2_MSG_NEWKEYS received";

fn count_new_keys(log: &[u8]) -> Outcome {
    let found = log.windows(NEW_KEYS.len()).filter(|window| *window == NEW_KEYS).count() as u64;
    check(found >= rekeys_min(), || format!("{found} key exchanges, {} expected", rekeys_min()))
}

#[test]
fn our_server_survives_a_client_that_rekeys_every_mebibyte() {
    let server = server::sterna();
    let here = server.place.dir("client");
    let (source, back) = (here.join("source"), here.join("back"));
    write_file(&source, moved(), 3);
    let sftp = Sftp::openssh(&server).cheap_kex().option("RekeyLimit=1M");
    let mut steps = Steps::new("rekey by OpenSSH sftp");
    let remote = server.remote("file");
    let line = |words: [&str; 3]| format!("{}\n", words.join(" ")).into_bytes();

    steps.run("up", || {
        let put = line(["put", &source.display().to_string(), &remote.display().to_string()]);
        let done = sftp.batch_at(&here.join("batch"), &put)?;
        count_new_keys(&done.stderr)?;
        Ok(compare_files(&source, &server.local("file"))?)
    });
    steps.run("down", || {
        fs::copy(&source, server.local("file"))?;
        let get = line(["get", &remote.display().to_string(), &back.display().to_string()]);
        let done = sftp.batch_at(&here.join("batch"), &get)?;
        count_new_keys(&done.stderr)?;
        Ok(compare_files(&source, &back)?)
    });

    steps.finish(|| server.process.log());
}

/// Goal: data flows in both directions of one connection while its keys change.
/// Method: two `sftp` share one connection of OpenSSH's `ssh`.
#[test]
fn our_server_rekeys_while_data_flows_both_ways() {
    let server = server::sterna();
    let here = server.place.dir("client");
    let (source, back) = (here.join("source"), here.join("back"));
    write_file(&source, moved(), 4);
    fs::copy(&source, server.local("down")).expect("prepare");
    let control = here.join("control");
    let mut master = Command::new("ssh");
    master.args(["-vvv", "-M", "-N", "-o", "RekeyLimit=1M", "-S"]).arg(&control);
    let login = Login { cheap_kex: true, ..server.login.clone() };
    master.args(["-p", &login.port.to_string()]).args(login.options());
    master.arg(login.destination()).env_remove("SSH_AUTH_SOCK");
    let master = Process::start("ssh -M", &mut master).expect("ssh starts");
    // It listens on the control socket before it says so.
    master
        .wait_for_line(Stream::Stderr, "Entering interactive session")
        .unwrap_or_else(|why| panic!("{why}"));
    let shared = || Sftp::openssh(&server).option(&format!("ControlPath={}", control.display()));
    let mut steps = Steps::new("rekey with two transfers in one connection");

    let (up, down) = thread::scope(|scope| {
        let put = format!("put {} {}\n", source.display(), server.remote("up").display());
        let get = format!("get {} {}\n", server.remote("down").display(), back.display());
        let up_batch = here.join("up_batch");
        let up = scope.spawn(move || shared().batch_at(&up_batch, put.as_bytes()));
        let down = shared().batch_at(&here.join("down_batch"), get.as_bytes());
        (up.join().expect("no panic"), down)
    });

    steps.run("up", || up.and_then(|_| Ok(compare_files(&source, &server.local("up"))?)));
    steps.run("down", || down.and_then(|_| Ok(compare_files(&source, &back)?)));
    steps.run("keys were changed", || count_new_keys(&master.printed(Stream::Stderr)));
    steps.finish(|| format!("{}\n{}", server.process.log(), master.log()));
}

#[test]
fn our_client_survives_a_server_that_rekeys_every_mebibyte() {
    let settings = ["RekeyLimit 1M", "LogLevel DEBUG1", "KexAlgorithms curve25519-sha256"];
    let server = server::openssh_with(&[KeyKind::Ed25519], &settings);
    our_client_moves(&server, "rekey by OpenSSH sshd");
}

fn our_client_moves(server: &Server, title: &str) {
    let here = server.place.dir("client");
    let (source, back) = (here.join("source"), here.join("back"));
    write_file(&source, moved(), 5);
    let mut client = sterna_interop::client::sterna(server);
    let mut steps = Steps::new(title);

    steps.run("up", || {
        client.put(&source, &server.remote("file"))?;
        Ok(compare_files(&source, &server.local("file"))?)
    });
    steps.run("keys were changed", || count_new_keys(&server.process.printed(Stream::Stderr)));
    steps.run("down", || {
        client.get(&server.remote("file"), &back)?;
        Ok(compare_files(&source, &back)?)
    });
    steps.run("no request was lost", || {
        let sftp = Sftp::sterna(server);
        let done = run(&mut sftp.command(&write_batch(server)), b"", command_max());
        check(done.success(), || done.describe())
    });

    steps.finish(|| server.process.log());
}

fn write_batch(server: &Server) -> std::path::PathBuf {
    let batch = server.place.path().join("last_batch");
    let list = format!("ls -l {}\n", server.remote("").display());
    fs::write(&batch, list).expect("write");
    batch
}
