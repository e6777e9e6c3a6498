//! Keys that OpenSSH's `ssh-agent` holds: plain, certified, locked, and restricted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sterna_interop::binary;
use sterna_interop::client::command_max;
use sterna_interop::place::Place;
use sterna_interop::server;
use sterna_interop::steps::{Outcome, Steps, check};
use sterna_testkit::openssh::{KeyFile, KeyKind, USER};
use sterna_testkit::processes::{Finished, Process, Stream, run};

use crate::client_login::attempt::{Attempt, must_run, write_program};
use crate::client_login::certificates::Authority;

/// A running agent. It is asked through a program of the test where it would ask a person.
struct Agent {
    socket: PathBuf,
    askpass: PathBuf,
    _process: Process,
    _place: Place,
}

impl Agent {
    /// `confirms` is what a person would say to each use of a key that wants to be confirmed.
    fn start(confirms: bool) -> Self {
        let place = Place::new();
        let (socket, askpass) = (place.path().join("agent"), place.path().join("askpass"));
        let answer = if confirms { "true" } else { "false" };
        write_program(&place.path().join("confirm"), &format!("#!/bin/sh\nexec {answer}\n"));
        write_program(&askpass, "#!/bin/sh\necho agent secret\n");
        let mut agent = Command::new("ssh-agent");
        agent.arg("-D").arg("-a").arg(&socket);
        agent.env("SSH_ASKPASS", place.path().join("confirm"));
        agent.env("SSH_ASKPASS_REQUIRE", "force");
        let process = Process::start("ssh-agent", &mut agent).expect("ssh-agent starts");
        process.wait_for_line(Stream::Stdout, "SSH_AUTH_SOCK").expect("it listens");
        Self { socket, askpass, _process: process, _place: place }
    }

    /// Runs `ssh-add` with these arguments.
    fn add(&self, arguments: &[&str]) -> Finished {
        let mut add = Command::new("ssh-add");
        add.args(arguments).env("SSH_AUTH_SOCK", &self.socket);
        add.env("SSH_ASKPASS", &self.askpass).env("SSH_ASKPASS_REQUIRE", "force");
        must_run(&mut add)
    }

    fn add_key(&self, key: &Path, arguments: &[&str]) {
        self.add(&[arguments, &["-q", text(key)]].concat());
    }

    /// The keys that it holds, one a line.
    fn list(&self) -> String {
        let mut add = Command::new("ssh-add");
        let done = run(add.arg("-L").env("SSH_AUTH_SOCK", &self.socket), b"", command_max());
        let text = String::from_utf8_lossy(&done.stdout);
        // Without keys it says so in words.
        text.lines().filter(|line| line.contains(" AAAA")).collect::<Vec<_>>().join("\n")
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("paths of tests are text")
}

#[test]
fn a_key_in_an_agent_lets_in_unless_the_agent_is_locked() {
    let server = server::openssh();
    let agent = Agent::start(true);
    let attempt = Attempt::at(&server).agent(&agent.socket);
    let mut steps = Steps::new("agent");

    steps.run("an empty agent", || attempt.is_refused());
    agent.add_key(&server.login.key.private, &[]);
    steps.run("with the key", || attempt.succeeds());
    steps.run("IdentitiesOnly without a file", || {
        attempt.clone().option("IdentitiesOnly=yes").is_refused()
    });
    steps.run("IdentitiesOnly with the public half", || {
        let public = &server.login.key.public;
        attempt.clone().option("IdentitiesOnly=yes").key(public).succeeds()
    });
    steps.run("IdentityAgent=none", || attempt.clone().option("IdentityAgent=none").is_refused());
    agent.add(&["-x"]);
    steps.run("locked", || attempt.is_refused_with("locked"));
    agent.add(&["-X"]);
    steps.run("unlocked", || attempt.succeeds());

    steps.finish(|| server.process.log());
}

#[test]
fn a_certificate_in_an_agent_lets_in() {
    let authority = Authority::new();
    let agent = Agent::start(true);
    let attempt = Attempt::at(&authority.server).agent(&agent.socket);
    let mut steps = Steps::new("certificates in the agent");

    for kind in [KeyKind::Ed25519, KeyKind::Rsa3072] {
        let (key, certificate) = authority.certified(kind.name(), kind, &["-n", USER]);
        // The key alone in the agent, its certificate in a file.
        let alone = authority.files.path().join("alone");
        fs::copy(&key.private, &alone).expect("copy");
        agent.add_key(&alone, &[]);
        steps.run(format!("{} in a file", kind.name()), || {
            attempt.is_refused()?;
            attempt.clone().option(&format!("CertificateFile={}", certificate.display())).succeeds()
        });
        agent.add(&["-q", "-D"]);
        agent.add_key(&key.private, &[]);
        steps.run(format!("{} in the agent", kind.name()), || attempt.succeeds());
        agent.add(&["-q", "-D"]);
    }

    steps.finish(|| authority.server.process.log());
}

#[test]
fn a_key_that_must_be_confirmed_is_used_only_if_it_is() {
    let server = server::openssh();
    let mut steps = Steps::new("confirmation");

    for confirms in [true, false] {
        let agent = Agent::start(confirms);
        agent.add_key(&server.login.key.private, &["-c"]);
        let attempt = Attempt::at(&server).agent(&agent.socket);
        steps.run(format!("confirmed: {confirms}"), || match confirms {
            true => attempt.succeeds(),
            false => attempt.is_refused_with("the agent did not sign"),
        });
        // Another key may still be good.
        let file = &server.login.key;
        let copy = server.place.path().join("other_key");
        let other = KeyFile::generate(&copy, KeyKind::Ed25519);
        let both = format!("{}\n{}\n", file.public_line, other.public_line);
        fs::write(&file.public, both).expect("authorize");
        steps.run(format!("confirmed: {confirms}, then a file"), || {
            attempt.clone().key(&other.private).succeeds()
        });
        fs::write(&file.public, file.public_line.clone() + "\n").expect("authorize");
        fs::remove_file(&other.private).expect("remove");
    }

    steps.finish(|| server.process.log());
}

/// Goal: the agent learns which server it signs for before it signs.
/// Method: keys that `ssh-add -h` restricts to this server, and to another one. Without
/// `session-bind@openssh.com` the agent would refuse both.
#[test]
fn a_key_restricted_to_a_server_works_there_and_nowhere_else() {
    let server = server::openssh();
    let files = Place::new();
    let other = KeyFile::generate(&files.path().join("other_host"), KeyKind::Ed25519);
    let hosts = files.path().join("hosts");
    let lines = format!("here {}\nthere {}\n", server.host_keys[0].public_line, other.public_line);
    fs::write(&hosts, lines).expect("write");
    let mut steps = Steps::new("restricted keys");

    for (host, works) in [("here", true), ("there", false)] {
        let agent = Agent::start(true);
        agent.add_key(&server.login.key.private, &["-H", text(&hosts), "-h", host]);
        let attempt = Attempt::at(&server).agent(&agent.socket);
        steps.run(host, || if works { attempt.succeeds() } else { attempt.is_refused() });
    }

    steps.finish(|| server.process.log());
}

#[test]
fn too_many_keys_are_a_refusal_that_says_what_helps() {
    let server = server::openssh_with(&[KeyKind::Ed25519], &["MaxAuthTries 3"]);
    let agent = Agent::start(true);
    for number in 0..5 {
        let key = server.place.path().join(format!("wrong{number}"));
        agent.add_key(&KeyFile::generate(&key, KeyKind::Ed25519).private, &[]);
    }
    let attempt = Attempt::at(&server).agent(&agent.socket).key(&server.login.key.private);
    let mut steps = Steps::new("too many keys");

    steps.run("five wrong ones first", || attempt.is_refused_with("IdentitiesOnly=yes"));
    steps.run("IdentitiesOnly", || attempt.clone().option("IdentitiesOnly=yes").succeeds());

    steps.finish(|| server.process.log());
}

#[test]
fn a_key_from_a_file_goes_to_the_agent_if_the_settings_say_so() {
    let authority = Authority::new();
    let (key, certificate) = authority.certified("user", KeyKind::EcdsaP256, &["-n", USER]);
    let certificate = fs::read_to_string(certificate).expect("a certificate");
    let blob = |line: &str| line.split(' ').nth(1).expect("a key line").to_owned();
    let (key_blob, certificate_blob) = (blob(&key.public_line), blob(&certificate));
    let mut steps = Steps::new("AddKeysToAgent");
    let holds = |agent: &Agent, expected: &[&str]| -> Outcome {
        let list = agent.list();
        let fits = list.lines().count() == expected.len()
            && expected.iter().all(|blob| list.contains(*blob));
        check(fits, || format!("the agent holds\n{list}"))
    };

    let agent = Agent::start(false);
    let attempt = Attempt::at(&authority.server).agent(&agent.socket);
    let by_file = attempt.clone().key(&key.private);
    steps.run("no", || {
        by_file.clone().option("AddKeysToAgent=no").succeeds()?;
        holds(&agent, &[])
    });
    steps.run("yes", || {
        by_file.clone().option("AddKeysToAgent=yes").succeeds()?;
        if binary::is_baseline() {
            // It adds the key without its certificate.
            return holds(&agent, &[&key_blob]);
        }
        holds(&agent, &[&key_blob, &certificate_blob])?;
        attempt.succeeds()
    });
    agent.add(&["-q", "-D"]);
    steps.run("confirm", || {
        by_file.clone().option("AddKeysToAgent=confirm 1h").succeeds()?;
        // Each use must be confirmed from then on, and nobody does.
        attempt.is_refused()
    });
    agent.add(&["-q", "-D"]);
    steps.run("ask", || {
        let ask = by_file.clone().option("AddKeysToAgent=ask");
        if binary::is_baseline() {
            return Ok(());
        }
        ask.converse(&[("to the agent?", "no")])?;
        holds(&agent, &[])?;
        ask.converse(&[("to the agent?", "yes")])?;
        holds(&agent, &[&key_blob, &certificate_blob])
    });

    steps.finish(|| authority.server.process.log());
}
