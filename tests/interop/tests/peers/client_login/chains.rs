//! Several steps in one login (`AuthenticationMethods`), each right or wrong.

use sterna_interop::server;
use sterna_interop::steps::Steps;
use sterna_testkit::openssh::{KeyFile, KeyKind, PASSWORD};

use crate::client_login::attempt::Attempt;

#[test]
fn a_key_and_then_a_password_let_in_and_neither_alone() {
    let server =
        server::openssh_with(&[KeyKind::Ed25519], &["AuthenticationMethods publickey,password"]);
    let key = &server.login.key.private;
    let stranger = KeyFile::generate(&server.place.path().join("stranger"), KeyKind::Ed25519);
    let mut steps = Steps::new("publickey,password");

    steps.run("both", || Attempt::at(&server).key(key).password(PASSWORD).succeeds());
    steps.run("wrong password", || Attempt::at(&server).key(key).password("wrong").is_refused());
    steps.run("no password", || Attempt::at(&server).key(key).is_refused());
    steps.run("no key", || Attempt::at(&server).password(PASSWORD).is_refused());
    steps.run("wrong key", || {
        Attempt::at(&server).key(&stranger.private).password(PASSWORD).is_refused()
    });

    steps.finish(|| server.process.log());
}

#[test]
fn two_keys_let_in_and_the_same_key_twice_does_not() {
    let server =
        server::openssh_with(&[KeyKind::Ed25519], &["AuthenticationMethods publickey,publickey"]);
    let first = &server.login.key;
    let second = KeyFile::generate(&server.place.path().join("second"), KeyKind::EcdsaP256);
    let both = format!("{}\n{}\n", first.public_line, second.public_line);
    std::fs::write(&first.public, both).expect("authorize");
    let mut steps = Steps::new("publickey,publickey");

    steps.run("both", || Attempt::at(&server).key(&first.private).key(&second.private).succeeds());
    steps.run("one", || Attempt::at(&server).key(&first.private).is_refused());

    steps.finish(|| server.process.log());
}

#[test]
fn the_password_is_taken_if_it_is_right() {
    let server = server::openssh();
    let mut steps = Steps::new("password");

    steps.run("right", || Attempt::at(&server).password(PASSWORD).succeeds());
    steps.run("wrong", || Attempt::at(&server).password("wrong").is_refused());
    steps.run("not wanted", || {
        let attempt = Attempt::at(&server).password(PASSWORD);
        attempt.option("PreferredAuthentications=publickey").is_refused()
    });

    steps.finish(|| server.process.log());
}
