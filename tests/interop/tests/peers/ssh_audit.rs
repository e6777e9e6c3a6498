//! What `ssh-audit` says about a server that was just installed, and about one with strict algorithms.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use sterna_interop::place::Place;
use sterna_interop::{binary, server};
use sterna_testkit::processes::{Process, run};

const AUDIT_MAX: Duration = Duration::from_secs(120);

/// What it says of the default algorithms. None of it is a fault that is known to help anybody; each is there for clients
/// of the last ten years, as it is in the defaults of OpenSSH. `strict_algorithms = true` leaves all of it out.
const ACCEPTED: &[(&str, &[&str])] = &[
    // OpenSSH before 8.5, PuTTY and WinSCP before 0.78, Paramiko, libssh2 have nothing that outlives quantum computers.
    (
        "does not provide protection against post-quantum attacks",
        &[
            "curve25519-sha256",
            "curve25519-sha256@libssh.org",
            "ecdh-sha2-nistp256",
            "ecdh-sha2-nistp384",
            "ecdh-sha2-nistp521",
            "diffie-hellman-group16-sha512",
            "diffie-hellman-group18-sha512",
            "diffie-hellman-group14-sha256",
            "diffie-hellman-group-exchange-sha256 (2048-bit)",
        ],
    ),
    // JSch 0.1.54 and older MINA SSHD have no other curve, and no Ed25519 host keys.
    (
        "using elliptic curves that are suspected as being backdoored by the U.S. National Security Agency",
        &["ecdh-sha2-nistp256", "ecdh-sha2-nistp384", "ecdh-sha2-nistp521", "ecdsa-sha2-nistp256"],
    ),
    // Said of every ECDSA key: whoever signs with bad random numbers gives it away.
    ("using weak random number generator could reveal the key", &["ecdsa-sha2-nistp256"]),
    // Java 8 began with 2048 bits at most.
    (
        "2048-bit modulus only provides 112-bits of symmetric strength",
        &["diffie-hellman-group14-sha256", "diffie-hellman-group-exchange-sha256 (2048-bit)"],
    ),
    // libssh2 before 1.11, Dropbear 2022 and JSch 0.1.54 have no other MAC.
    ("using encrypt-and-MAC mode", &["hmac-sha2-256", "hmac-sha2-512"]),
];

/// All `[fail]` and `[warn]` of one audit: what of, and what.
fn audit(process: &Process) -> Option<BTreeSet<(String, String)>> {
    let program = binary::python()?.with_file_name("ssh-audit");
    if !program.exists() {
        binary::miss("ssh-audit; tests/run installs it");
        return None;
    }
    let port = server::listening_port(process).to_string();
    let mut command = Command::new(program);
    command.args(["-n", "-v", "--skip-rate-test", "-p", &port, "127.0.0.1"]);
    let done = run(&mut command, b"", AUDIT_MAX);
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(
        text.contains("Sterna") && text.contains("mlkem768x25519-sha256"),
        "{}",
        done.describe()
    );

    // `(kex) NAME    -- [warn] WHAT`, the name on each line.
    let mut found = BTreeSet::new();
    for line in text.lines() {
        let Some((name, what)) = line.split_once("-- [") else { continue };
        let Some((level, what)) = what.split_once("] ") else { continue };
        if level == "fail" || level == "warn" {
            let name = name.split_once(") ").map_or(name, |(_, name)| name).trim();
            found.insert((name.to_owned(), what.trim().to_owned()));
        }
    }
    Some(found)
}

#[test]
fn of_the_default_algorithms_only_what_old_clients_need_is_doubted() {
    if binary::is_baseline() {
        return;
    }
    let place = Place::new();
    let root = place.dir("shared");
    let mut serve = Command::new(binary::sterna());
    serve.arg("serve").arg(&root).args(["--listen", "127.0.0.1:0"]);
    serve.arg("--state-dir").arg(place.dir("state"));
    let process = Process::start("sterna serve", &mut serve).unwrap_or_else(|e| panic!("{e}"));

    let Some(found) = audit(&process) else { return };

    let accepted: BTreeSet<_> = ACCEPTED
        .iter()
        .flat_map(|(what, names)| names.iter().map(|name| (name.to_string(), what.to_string())))
        .collect();
    let new: Vec<_> = found.difference(&accepted).collect();
    let gone: Vec<_> = accepted.difference(&found).collect();
    assert!(new.is_empty() && gone.is_empty(), "new: {new:#?}\nno longer said: {gone:#?}");
}

#[test]
fn nothing_is_said_of_strict_algorithms() {
    if binary::is_baseline() {
        return;
    }
    let place = Place::new();
    place.dir("shared");
    let settings = place.path().join("sterna.toml");
    let text = "listen = ['127.0.0.1:0']\nstate_dir = 'state'\nstrict_algorithms = true\n\
                [defence]\nexempt = ['127.0.0.0/8']\n\
                [[user]]\nname = 'alice'\nroot = 'shared'\n\
                password = '$5$rounds=1000$abcdefgh$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa'\n";
    fs::write(&settings, text).expect("write the settings");
    let mut serve = Command::new(binary::sterna());
    serve.args(["serve", "--config"]).arg(&settings);
    let process = Process::start("sterna serve", &mut serve).unwrap_or_else(|e| panic!("{e}"));

    let Some(found) = audit(&process) else { return };

    assert!(found.is_empty(), "{found:#?}");
}
