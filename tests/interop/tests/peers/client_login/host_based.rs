//! Host-based logins with this machine's own host keys: read by root, or through OpenSSH's
//! `ssh-keysign` by somebody who is not.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Command;

use sterna_interop::binary;
use sterna_interop::client::command_max;
use sterna_interop::machine::{self, NOBODY, Turn, open};
use sterna_interop::place::Place;
use sterna_interop::server::{self, Server};
use sterna_interop::steps::{Outcome, Steps, check};
use sterna_testkit::openssh::{KeyFile, KeyKind};
use sterna_testkit::processes::{find_program, run};

use crate::client_login::attempt::{Attempt, is_in, is_refused, must_run};

/// A host that this machine is not.
const ELSEWHERE: &str = "elsewhere.example.com";

/// A server that lets in by nothing else, and the files in which it says whom.
struct Trusting {
    server: Server,
    shosts: PathBuf,
    known_hosts: PathBuf,
    known: String,
    name: String,
}

impl Trusting {
    fn start(keys: &[String], algorithms: &str) -> Self {
        let accepted = format!("HostbasedAcceptedAlgorithms {algorithms}");
        let lines = [
            "AuthenticationMethods hostbased",
            "HostbasedAuthentication yes",
            // Nothing here depends on who can resolve what.
            "HostbasedUsesNameFromPacketOnly yes",
            "IgnoreRhosts no",
            "IgnoreUserKnownHosts no",
            &accepted,
        ];
        let server = server::openssh_with(&[KeyKind::Ed25519], &lines);
        let name = machine::own_name();
        fs::create_dir(server.root.join(".ssh")).expect("make .ssh");
        let known = keys.iter().map(|key| format!("{name} {key}\n")).collect();
        let trusting = Self {
            shosts: server.root.join(".shosts"),
            known_hosts: server.root.join(".ssh/known_hosts"),
            known,
            name,
            server,
        };
        trusting.knows(true);
        trusting
    }

    fn trusts(&self, user: &str) {
        self.trusts_at(&self.name, user);
    }

    fn trusts_at(&self, host: &str, user: &str) {
        fs::write(&self.shosts, format!("{host} {user}\n")).expect("write .shosts");
    }

    fn knows(&self, the_keys: bool) {
        self.knows_lines(if the_keys { &self.known } else { "" });
    }

    fn knows_lines(&self, lines: &str) {
        fs::write(&self.known_hosts, lines).expect("write known_hosts");
    }

    fn attempt(&self) -> Attempt {
        Attempt::at(&self.server)
            .option("HostbasedAuthentication=yes")
            .option("PreferredAuthentications=hostbased")
    }
}

#[test]
fn root_vouches_by_the_host_keys_and_only_where_the_server_trusts() {
    let keys = match machine::host_keys() {
        Ok(keys) => keys,
        Err(why) => return binary::miss(&why),
    };
    if binary::is_baseline() {
        // OpenSSH's client needs its helper, which another test enables.
        return;
    }
    let _turn = Turn::wait();
    let mut steps = Steps::new("host-based as root");

    for (key, algorithm) in keys.iter().map(|key| (key, key.split(' ').next().expect("a type"))) {
        let algorithm = algorithm.replace("ssh-rsa", "rsa-sha2-512");
        let trusting = Trusting::start(std::slice::from_ref(key), "*");
        trusting.trusts("root");
        steps.run(algorithm.clone(), || {
            let only = format!("HostbasedAcceptedAlgorithms={algorithm}");
            trusting.attempt().option(&only).succeeds()
        });
    }

    let trusting = Trusting::start(&keys, "*");
    trusting.trusts("root");
    let attempt = trusting.attempt();
    steps.run("all keys", || attempt.succeeds());
    steps.run("not wanted", || Attempt::at(&trusting.server).is_refused());
    trusting.trusts("somebody");
    steps.run("another user", || attempt.is_refused());
    trusting.trusts_at(ELSEWHERE, "root");
    steps.run("the same user of another host", || attempt.is_refused());
    trusting.trusts("root");
    steps.run("that user of this host", || attempt.succeeds());
    trusting.knows_lines(&trusting.known.replace(&trusting.name, ELSEWHERE));
    steps.run("the keys as another host's", || attempt.is_refused_with("host key"));
    trusting.knows(false);
    steps.run("unknown host keys", || attempt.is_refused_with("host key"));

    steps.finish(|| trusting.server.process.log());
}

/// A copy of the client and of what it reads that everybody may read, for somebody without rights.
struct AsNobody {
    place: Place,
    program: PathBuf,
}

impl AsNobody {
    fn new(server: &Server) -> Self {
        let place = Place::new();
        open(place.path());
        let program = place.path().join("sterna");
        fs::copy(binary::sterna(), &program).expect("copy the program");
        let home = place.dir("home");
        chown(&home, Some(NOBODY.1), Some(NOBODY.1)).expect("change the owner");
        open(server.place.path());
        Self { place, program }
    }

    fn run(&self, attempt: &Attempt) -> sterna_testkit::processes::Finished {
        let command = attempt.clone().option("BatchMode=yes").command();
        let mut setpriv = Command::new("setpriv");
        let ids = [format!("--reuid={}", NOBODY.1), format!("--regid={}", NOBODY.1)];
        setpriv.args(ids).arg("--clear-groups");
        setpriv.arg(if binary::is_baseline() {
            command.get_program()
        } else {
            self.program.as_ref()
        });
        setpriv.args(command.get_args()).env("HOME", self.place.path().join("home"));
        setpriv.env_remove("SSH_AUTH_SOCK").env("LC_ALL", "C.UTF-8").current_dir("/");
        run(&mut setpriv, b"", command_max())
    }
}

/// Whether OpenSSH's helper can be tried; says so if not.
fn has_keysign() -> bool {
    let found =
        find_program("setpriv").is_some() && Path::new("/usr/lib/openssh/ssh-keysign").exists();
    if !found {
        binary::miss("setpriv or OpenSSH's ssh-keysign is not installed");
    }
    found
}

#[test]
fn somebody_without_rights_vouches_through_ssh_keysign() {
    let keys = match machine::host_keys() {
        Ok(keys) => keys,
        Err(why) => return binary::miss(&why),
    };
    if !has_keysign() {
        return;
    }
    let turn = Turn::wait();
    let trusting = Trusting::start(&keys, "*");
    trusting.trusts(NOBODY.0);
    let nobody = AsNobody::new(&trusting.server);
    let attempt = trusting.attempt();
    let mut steps = Steps::new("host-based through ssh-keysign");

    steps.run("not enabled", || -> Outcome {
        let done = nobody.run(&attempt);
        is_refused(&done)?;
        let text = String::from_utf8_lossy(&done.stderr);
        check(text.contains("not enabled"), || done.describe())
    });
    let enabled = match turn.enable_keysign() {
        Ok(enabled) => enabled,
        Err(why) => return binary::miss(&why),
    };
    steps.run("enabled", || is_in(&nobody.run(&attempt)));
    for algorithm in ["ssh-ed25519", "ecdsa-sha2-nistp256", "rsa-sha2-512", "rsa-sha2-256"] {
        let only = attempt.clone().option(&format!("HostbasedAcceptedAlgorithms={algorithm}"));
        steps.run(algorithm, || is_in(&nobody.run(&only)));
    }
    trusting.trusts("root");
    steps.run("another user", || is_refused(&nobody.run(&attempt)));
    drop(enabled);

    steps.finish(|| trusting.server.process.log());
}

/// Certifies this public line as a host's; the certificate as text.
fn certified(authority: &KeyFile, files: &Place, public: &str, arguments: &[&str]) -> String {
    let file = files.path().join("host.pub");
    fs::write(&file, public).expect("write a public key");
    let mut keygen = Command::new("ssh-keygen");
    keygen.args(["-q", "-h", "-I", "interop", "-s"]).arg(&authority.private);
    must_run(keygen.args(arguments).arg(&file));
    fs::read_to_string(files.path().join("host-cert.pub")).expect("a certificate")
}

/// Goal: a host whose key nobody has written down vouches by what an authority says of it.
/// Method: an `sshd` that knows the authority and no key. Root signs with the machine's key, somebody
/// without rights through `ssh-keysign`; the same without the certificate is refused.
#[test]
fn a_certificate_of_this_host_vouches_where_its_authority_is_trusted() {
    if let Err(why) = machine::host_keys() {
        return binary::miss(&why);
    }
    if !has_keysign() {
        return;
    }
    let turn = Turn::wait();
    let enabled = match turn.enable_keysign() {
        Ok(enabled) => enabled,
        Err(why) => return binary::miss(&why),
    };
    let files = Place::new();
    let authority = KeyFile::generate(&files.path().join("authority"), KeyKind::Ed25519);
    let trusting = Trusting::start(&[], "*");
    let name = trusting.name.as_str();
    let nobody = AsNobody::new(&trusting.server);
    let attempt = trusting.attempt();
    let trusted = format!("@cert-authority {name} {}\n", authority.public_line);
    let elsewhere = format!("@cert-authority {ELSEWHERE} {}\n", authority.public_line);
    let revoked = format!("{trusted}@revoked * {}\n", authority.public_line);
    let mut steps = Steps::new("host-based by a certificate");

    for (what, arguments, known, is_good) in [
        ("good", &["-n", name][..], &trusted, true),
        ("one of several names", &["-n", &format!("{ELSEWHERE},{name}")], &trusted, true),
        ("the name of another host", &["-n", ELSEWHERE], &trusted, false),
        ("expired", &["-n", name, "-V", "20200101:20210101"], &trusted, false),
        ("an authority of other hosts", &["-n", name], &elsewhere, false),
        ("a revoked authority", &["-n", name], &revoked, false),
    ] {
        trusting.knows_lines(known);
        let certificate =
            turn.certify_host_key(|public| certified(&authority, &files, public, arguments));
        let certificate = match certificate {
            Ok(certificate) => certificate,
            Err(why) => return binary::miss(&why),
        };
        let judge = |done| if is_good { is_in(&done) } else { is_refused(&done) };
        trusting.trusts("root");
        steps.run(format!("{what}, as root"), || judge(attempt.run()));
        trusting.trusts(NOBODY.0);
        steps.run(format!("{what}, as nobody"), || judge(nobody.run(&attempt)));
        drop(certificate);
        steps.run(format!("{what}, without it"), || is_refused(&nobody.run(&attempt)));
    }
    drop(enabled);

    steps.finish(|| trusting.server.process.log());
}
