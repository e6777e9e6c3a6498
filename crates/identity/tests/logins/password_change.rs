//! Changing a password with the messages of RFC 4252 §8.

use sterna_identity::{Credential, User};

use crate::support::*;

const NEW: &[u8] = b"new and long";
const CHANGE: &str = "change The password must be changed.";

fn changing(new: &[u8]) -> Credential<'_> {
    Credential::PasswordChange { old: PASSWORD, new }
}

fn alice(must_change_password: bool, methods: &[&str]) -> User {
    User { must_change_password, ..full_user("alice", methods) }
}

#[test]
fn a_marked_password_opens_nothing_until_it_is_changed() {
    let (directory, world) = (directory([alice(true, &[])]), Script::default());
    let mut connection = Connection::new(&directory, &world, "alice");
    assert_eq!(connection.says(WRONG), "WrongPassword", "the mark does not show");
    assert_eq!(connection.says(RIGHT), CHANGE);
    assert_eq!(connection.says(RIGHT), CHANGE);
    let wrong = Credential::PasswordChange { old: b"wrong", new: NEW };
    assert_eq!(connection.says(wrong), "WrongPassword");
    for (new, why) in [
        (&b"short"[..], "The new one needs at least 8 characters."),
        (b"", "The new one needs at least 8 characters."),
        (&[b'x'; 1025], "The new one may have at most 1024 characters."),
    ] {
        assert_eq!(connection.says(changing(new)), format!("{CHANGE} {why}"));
    }
    assert!(world.changed.lock().unwrap().is_empty());
    assert_eq!(connection.says(changing(NEW)), "accept");
    assert_eq!(*world.changed.lock().unwrap(), [("alice".to_owned(), NEW.to_vec())]);
}

/// Otherwise whoever once saw a password could keep its owner out.
#[test]
fn nobody_changes_a_password_unasked() {
    let (directory, world) = (directory([alice(false, &[])]), Script::default());
    for name in ["alice", "nobody"] {
        let mut connection = Connection::new(&directory, &world, name);
        assert_ne!(connection.says(changing(NEW)), "accept");
    }
    assert!(world.changed.lock().unwrap().is_empty());
}

#[test]
fn a_change_is_a_step_like_the_password_and_obeys_the_chain() {
    let directory = directory([alice(true, &["publickey,password"])]);
    let (world, key) = (Script::default(), offered(1));
    let mut connection = Connection::new(&directory, &world, "alice");
    assert_eq!(connection.says(changing(NEW)), "MethodNotNext");
    assert_eq!(connection.says(RIGHT), "MethodNotNext");
    assert_eq!(connection.says(signed(&key)), "next password");
    assert_eq!(connection.says(RIGHT), CHANGE);
    assert_eq!(connection.says(changing(NEW)), "accept");
}

#[test]
fn what_cannot_be_stored_lets_nobody_in() {
    let directory = directory([alice(true, &[])]);
    let world = Script::broken();
    let mut connection = Connection::new(&directory, &world, "alice");
    assert_eq!(connection.says(changing(NEW)), "PasswordNotChanged");
}

#[test]
fn the_mark_does_not_concern_keys() {
    assert_eq!(once(&directory([alice(true, &[])]), "alice", signed(&offered(1))), "accept");
}

#[test]
fn an_empty_password_is_nobodys() {
    let empty = User { password: Some(hash_of(b"")), ..alice(false, &[]) };
    let directory = directory([empty]);
    assert_eq!(once(&directory, "alice", Credential::Password(b"")), "WrongPassword");
    let marked = Credential::PasswordChange { old: b"", new: NEW };
    assert_eq!(once(&directory, "alice", marked), "WrongPassword");
}
