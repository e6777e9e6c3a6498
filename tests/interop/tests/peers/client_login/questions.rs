//! Keyboard-interactive and the change of a password, at AsyncSSH's server, which a script lets ask.

use std::process::Command;

use sterna_interop::binary::{self, peer_script, python};
use sterna_interop::place::Place;
use sterna_interop::server::Server;
use sterna_interop::steps::{Steps, check};
use sterna_testkit::openssh::{KeyFile, KeyKind, Login, PASSWORD, generate_host_keys};
use sterna_testkit::processes::{Process, Stream};

use crate::client_login::attempt::{Attempt, is_in, is_refused};

/// A server that asks in one of the ways that the script knows.
fn asking(how: &str) -> Option<Server> {
    let python = python()?;
    let place = Place::new();
    let root = place.dir("shared");
    let key = KeyFile::generate(&place.path().join("user_key"), KeyKind::Ed25519);
    let host_keys = generate_host_keys(place.path(), &[KeyKind::Ed25519]);
    let mut serve = Command::new(python);
    serve.arg(peer_script("asyncssh_login_server.py")).arg(how).arg(&root);
    let process = Process::start("asyncssh", serve.arg(&host_keys[0].private)).expect("it starts");
    let line =
        process.wait_for_line(Stream::Stdout, "listening on").unwrap_or_else(|e| panic!("{e}"));
    let port = line.rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let login = Login::new(place.path(), port, &key, &host_keys);
    Some(Server {
        name: "asyncssh server",
        login,
        host_keys,
        remote_root: root.clone(),
        root,
        lacks: vec![],
        process,
        place,
    })
}

#[test]
fn every_round_of_keyboard_interactive_is_answered() {
    let Some(server) = asking("rounds") else { return };
    let attempt = Attempt::at(&server);
    let mut steps = Steps::new("keyboard-interactive");
    let (password, code) = ("(tern@127.0.0.1) Password: ", "(tern@127.0.0.1) Code: ");
    let colour = "(tern@127.0.0.1) Colour: ";

    steps.run("right answers", || {
        let dialogue = [(password, PASSWORD), (code, "123456"), (colour, "blue")];
        let done = attempt.converse(&dialogue)?;
        is_in(&done)?;
        let text = String::from_utf8_lossy(&done.stdout);
        check(text.contains("Two more questions"), || done.describe())?;
        // OpenSSH's client rings the bell.
        check(binary::is_baseline() || !text.contains('\x07'), || done.describe())?;
        check(text.contains("blue") && !text.contains("123456"), || {
            format!("only the answer with echo is seen\n{}", done.describe())
        })
    });
    steps.run("wrong code, then right", || {
        let wrong = [(password, PASSWORD), (code, "000000"), (colour, "blue")];
        let right = [(password, PASSWORD), (code, "123456"), (colour, "blue")];
        is_in(&attempt.converse(&[wrong, right].concat())?)
    });
    steps.run("wrong password", || {
        let once = attempt.clone().option("NumberOfPasswordPrompts=1");
        is_refused(&once.converse(&[(password, "wrong")])?)
    });
    steps.run("a given password is not enough", || attempt.clone().password(PASSWORD).is_refused());
    steps.run("nobody is asked in batch mode", || attempt.clone().is_refused());

    steps.finish(|| server.process.log());
}

#[test]
fn a_given_password_answers_one_question_that_asks_for_it() {
    let Some(server) = asking("one") else { return };
    if binary::is_baseline() {
        // OpenSSH's client has no password that was given beforehand.
        return;
    }
    let attempt = Attempt::at(&server);
    let mut steps = Steps::new("a given password");

    steps.run("right", || attempt.clone().password(PASSWORD).succeeds());
    steps.run("wrong", || attempt.clone().password("wrong").is_refused());

    let Some(server) = asking("echo") else { return };
    steps.run("never to a question with echo", || {
        Attempt::at(&server).password(PASSWORD).is_refused()
    });

    steps.finish(|| server.process.log());
}

#[test]
fn an_expired_password_is_changed_at_once() {
    let Some(server) = asking("expired") else { return };
    if binary::is_baseline() {
        // It asks for the old password again, in other words.
        return;
    }
    let mut steps = Steps::new("a change of the password");
    let (new, again) =
        ("New password of tern@127.0.0.1: ", "The new password of tern@127.0.0.1 again: ");

    steps.run("nobody to ask", || {
        let attempt = Attempt::at(&server).password(PASSWORD);
        attempt.is_refused_with("must be changed")
    });
    steps.run("a weak one, a mistyped one, a good one", || {
        let done = Attempt::at(&server).converse(&[
            ("Password of tern@127.0.0.1: ", PASSWORD),
            (new, "weak"),
            (again, "weak"),
            (new, "good staple"),
            (again, "god staple"),
            (new, "good staple"),
            (again, "good staple"),
        ])?;
        is_in(&done)?;
        let text = String::from_utf8_lossy(&done.stdout);
        check(text.contains("expired") && text.contains("too weak"), || done.describe())
    });
    steps.run("the old one is gone", || Attempt::at(&server).password(PASSWORD).is_refused());
    steps.run("the new one lets in", || Attempt::at(&server).password("good staple").succeeds());

    steps.finish(|| server.process.log());
}
