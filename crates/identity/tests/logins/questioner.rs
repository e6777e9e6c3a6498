//! keyboard-interactive that a program outside drives.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use sterna_identity::hook::{Prompts, Questioner, Questions, Round};
use sterna_identity::{LoginRules, User};
use zeroize::Zeroizing;

use crate::support::*;

/// Asks once; `yes` is allowed, `again` is asked again, `fail` fails.
#[derive(Debug)]
struct Scripted;

impl Questions for Scripted {
    fn next(&mut self, answers: &[Zeroizing<Vec<u8>>]) -> Result<Round, String> {
        let question =
            Prompts { instruction: String::new(), prompts: vec![("Well?".to_owned(), true)] };
        match answers {
            [] => Ok(Round::Ask(question)),
            [answer] if **answer == b"yes" => Ok(Round::Allow),
            [answer] if **answer == b"again" => Ok(Round::Ask(question)),
            [answer] if **answer == b"fail" => Err("it crashed".to_owned()),
            _ => Ok(Round::Deny),
        }
    }
}

#[derive(Default)]
struct Program {
    begun: Mutex<Vec<(String, bool)>>,
    broken: bool,
}

impl Questioner for Program {
    fn begin(
        &self,
        user: &str,
        known: bool,
        _: IpAddr,
        _: &[u8],
    ) -> Result<Box<dyn Questions>, String> {
        self.begun.lock().unwrap().push((user.to_owned(), known));
        if self.broken { Err("no such file".to_owned()) } else { Ok(Box::new(Scripted)) }
    }
}

fn rules(program: &Arc<Program>) -> LoginRules {
    LoginRules { questioner: Some(program.clone()), ..LoginRules::default() }
}

fn users() -> [User; 3] {
    [
        full_user("a", &[]),
        User { enabled: false, ..full_user("disabled", &[]) },
        full_user("second", &["publickey,keyboard-interactive"]),
    ]
}

#[test]
fn the_program_decides_and_policy_stays() {
    let program = Arc::new(Program::default());
    let (directory, world) = (with_rules(users(), rules(&program)), Script::default());
    for (user, answers, said) in [
        ("a", &["yes"][..], "accept"),
        ("a", &["again", "yes"], "accept"),
        ("a", &["no"], "HookDenied"),
        ("a", &["right"], "HookDenied"),
        ("a", &["fail"], "HookFailed"),
        ("disabled", &["yes"], "UserDisabled"),
        ("nobody", &["yes"], "UnknownUser"),
        ("second", &["yes"], "MethodNotNext"),
    ] {
        let mut connection = Connection::new(&directory, &world, user);
        assert_eq!(connection.says(ASK_ME), "ask Well?", "{user}");
        let mut last = String::new();
        for answer in answers {
            last = connection.answers(&[answer.as_bytes()]);
        }
        assert_eq!(last, said, "{user} {answers:?}");
        if said != "accept" {
            assert_eq!(connection.answers(&[b"yes"]), "NoDialogue", "{user} {answers:?}");
        }
    }
    let begun = program.begun.lock().unwrap();
    let known = |name: &str| begun.iter().find(|(user, _)| user == name).unwrap().1;
    assert!(known("a") && known("disabled") && !known("nobody"));
}

#[test]
fn behind_a_key_its_word_is_the_second_step() {
    let program = Arc::new(Program::default());
    let (directory, world) = (with_rules(users(), rules(&program)), Script::default());
    let mut connection = Connection::new(&directory, &world, "second");
    assert_eq!(connection.says(signed(&offered(1))), "next keyboard-interactive");
    assert_eq!(connection.says(ASK_ME), "ask Well?");
    assert_eq!(connection.answers(&[b"yes"]), "accept");
}

#[test]
fn a_program_that_does_not_run_lets_nobody_in() {
    let program = Arc::new(Program { broken: true, ..Program::default() });
    let directory = with_rules(users(), rules(&program));
    for name in ["a", "nobody"] {
        assert_eq!(once(&directory, name, ASK_ME), "HookFailed");
    }
    assert_eq!(once(&directory, "a", RIGHT), "accept", "other methods go on");
}
