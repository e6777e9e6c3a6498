//! Keyboard-interactive at OpenSSH's `sshd`, where PAM asks.

use std::sync::Arc;

use sterna_interop::binary::{self, miss};
use sterna_interop::place::Place;
use sterna_interop::server::{self, Server};
use sterna_interop::steps::Steps;
use sterna_testkit::openssh::{KeyFile, KeyKind, PASSWORD};
use sterna_testkit::pam::Pam;

use crate::client_login::attempt::{Attempt, is_in, is_refused};

const QUESTION: &str = "(tern@127.0.0.1) Password: ";

/// An `sshd` that asks by keyboard-interactive and takes no password in any other way.
struct Asking {
    server: Server,
    // Behind the server, which must have ended before its files go.
    _pam: Arc<Pam>,
    _files: Place,
}

impl Asking {
    fn start(line: &str) -> Option<Self> {
        let files = Place::new();
        let Some(pam) = Pam::new(files.path(), "sshd").map(Arc::new) else {
            miss("pam_wrapper is not installed");
            return None;
        };
        let lines = ["PasswordAuthentication no", "KbdInteractiveAuthentication yes", line];
        Some(Self { server: server::openssh_with_pam(&pam, &lines), _pam: pam, _files: files })
    }
}

#[test]
fn what_pam_asks_is_answered_and_pam_decides() {
    let Some(asking) = Asking::start("") else { return };
    let attempt =
        Attempt::at(&asking.server).option("PreferredAuthentications=keyboard-interactive");
    let once = attempt.clone().option("NumberOfPasswordPrompts=1");
    let mut steps = Steps::new("keyboard-interactive at sshd with PAM");

    steps.run("right", || is_in(&attempt.converse(&[(QUESTION, PASSWORD)])?));
    steps.run("wrong", || is_refused(&once.converse(&[(QUESTION, "wrong")])?));
    steps.run("wrong, then right", || {
        is_in(&attempt.converse(&[(QUESTION, "wrong"), (QUESTION, PASSWORD)])?)
    });
    steps.run("nothing", || is_refused(&once.converse(&[(QUESTION, "")])?));
    steps.run("a given password, right", || attempt.clone().password(PASSWORD).succeeds());
    steps.run("a given password, wrong", || attempt.clone().password("wrong").is_refused());
    steps.run("nobody to ask", || attempt.is_refused());
    steps.run("not wanted", || {
        let other = Attempt::at(&asking.server).option("KbdInteractiveAuthentication=no");
        other.password(PASSWORD).is_refused()
    });

    steps.finish(|| asking.server.process.log());
}

#[test]
fn a_key_and_then_an_answer_let_in_and_neither_alone() {
    let chain = "AuthenticationMethods publickey,keyboard-interactive";
    let Some(asking) = Asking::start(chain) else { return };
    let server = &asking.server;
    let stranger = KeyFile::generate(&server.place.path().join("stranger"), KeyKind::Ed25519);
    let by_key = Attempt::at(server).key(&server.login.key.private);
    let mut steps = Steps::new("publickey,keyboard-interactive");

    steps.run("both", || by_key.clone().password(PASSWORD).succeeds());
    steps.run("both, at a terminal", || is_in(&by_key.converse(&[(QUESTION, PASSWORD)])?));
    steps.run("wrong answer", || by_key.clone().password("wrong").is_refused());
    steps.run("no answer", || by_key.is_refused());
    steps.run("no key", || Attempt::at(server).password(PASSWORD).is_refused());
    steps.run("wrong key", || {
        Attempt::at(server).key(&stranger.private).password(PASSWORD).is_refused()
    });
    if !binary::is_baseline() {
        steps.run("nobody is asked without the key", || {
            is_refused(&Attempt::at(server).key(&stranger.private).converse(&[])?)
        });
    }

    steps.finish(|| server.process.log());
}
