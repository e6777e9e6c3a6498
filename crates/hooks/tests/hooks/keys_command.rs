//! `authorized_keys_command` with real programs.

use std::path::Path;

use sterna_hooks::KeysCommand;
use sterna_identity::hook::KeyLookup;
use sterna_identity::limits::AUTHORIZED_KEYS_LEN_MAX;

use crate::support::{
    IMPATIENCE, Lifeline, PATIENCE, USER_CERTIFICATE, USER_KEY, lines_of, logged, offered, sh,
};

fn command(script: &str, args: &[&str]) -> KeysCommand {
    let mut words = sh(script, &[]);
    words.extend(args.iter().map(|&arg| arg.to_owned()));
    KeysCommand::new(&words, PATIENCE).unwrap()
}

#[test]
fn printed_lines_are_keys_and_bad_ones_are_logged() {
    let lines = format!("# all of alice's\nnonsense\nfrom=\"192.0.2.0/24\" {}", USER_KEY.trim());
    let lookup = command("printf '%%s\\n' \"$1\"", &[&lines]);
    let key = offered(USER_KEY);

    let (keys, log) = logged(|| lookup.keys("alice", &key).unwrap());

    assert_eq!(keys.len(), 1);
    assert_eq!(&keys[0].key, key.key());
    assert!(keys[0].options.from.is_some());
    assert_eq!(keys[0].line, 3);
    assert_eq!(log.len(), 1, "{log:?}");
    assert!(log[0].contains("line=2") && log[0].contains("alice"), "{log:?}");
}

#[test]
fn tokens_tell_user_and_key() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("args");
    let args = [file.to_str().unwrap(), "%u", "--type=%t", "%k", "%f", "100%%"];
    let lookup = command("for a; do echo \"$a\"; done > \"$1\"", &args);

    for text in [USER_KEY, USER_CERTIFICATE] {
        let key = offered(text);
        let words: Vec<&str> = text.split(' ').collect();

        assert_eq!(lookup.keys("al ice$(id)", &key), Ok(Vec::new()));

        let fingerprint = key.fingerprint();
        let kind = format!("--type={}", words[0]);
        assert_eq!(lines_of(&file)[1..], ["al ice$(id)", &kind, words[1], &fingerprint, "100%"]);
    }
}

/// Goal: a name is never taken for an option, or for two lines.
#[test]
fn names_that_could_mislead_a_program_do_not_reach_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("runs");
    let lookup = command("echo run >> \"$1\"", &[file.to_str().unwrap(), "%u"]);
    let key = offered(USER_KEY);

    for user in ["-rf", "-", "a\0b", "a\nb", "a\u{1b}", "", &"x".repeat(256)] {
        assert!(lookup.keys(user, &key).is_err(), "{user:?}");
    }
    assert_eq!(lines_of(&file).len(), 0);
    assert!(lookup.keys("a-b", &key).is_ok());
    assert_eq!(lines_of(&file).len(), 1);
}

#[test]
fn a_program_that_fails_gives_no_keys() {
    let key = offered(USER_KEY);
    let print = "printf '%%s\\n' \"$1\"";

    assert_eq!(command(print, &[USER_KEY.trim()]).keys("alice", &key).unwrap().len(), 1);
    let failing = command(&format!("{print}; exit 1"), &[USER_KEY.trim()]);
    assert!(failing.keys("alice", &key).unwrap_err().contains("exit status: 1"));
    let endless = command("exec yes", &[]);
    assert_eq!(
        endless.keys("alice", &key).unwrap_err(),
        format!("the answer does not read: longer than {AUTHORIZED_KEYS_LEN_MAX} bytes")
    );
}

#[test]
fn a_program_that_hangs_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let lifeline = Lifeline::new(dir.path());
    let words = sh("exec 9> \"$1\"; sleep 1000 & wait", &[&lifeline.path]);
    let lookup = KeysCommand::new(&words, 5 * IMPATIENCE).unwrap();

    assert_eq!(lookup.keys("alice", &offered(USER_KEY)).unwrap_err(), "no answer in time");
    lifeline.assert_cut();
}

#[test]
fn the_check_looks_at_the_program() {
    let new = |program: &Path| {
        KeysCommand::new(&[program.to_str().unwrap().into(), "%u".into()], PATIENCE).unwrap()
    };

    assert!(new(Path::new("/bin/sh")).check().is_ok());
    assert!(new(Path::new("/nonexistent/keys")).check().is_err());
}
