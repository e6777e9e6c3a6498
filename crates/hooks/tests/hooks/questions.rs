//! Keyboard-interactive driven by programs and services.

use std::sync::Mutex;

use serde_json::{Value, json};
use sterna_hooks::limits::{ROUND_LEN_MAX, ROUNDS_MAX};
use sterna_hooks::{Hook, HookQuestioner};
use sterna_identity::hook::{Prompts, Questioner, Questions, Round};
use zeroize::Zeroizing;

use crate::support::{
    IMPATIENCE, LOCALHOST, Lifeline, PASSWORD, Server, lines_of, logged, program, respond, service,
};

fn begin(hook: &Hook, known: bool) -> Box<dyn Questions> {
    HookQuestioner::new(hook).unwrap().begin("alice", known, LOCALHOST, b"SSH-2.0-Test_1").unwrap()
}

fn answers(texts: &[&str]) -> Vec<Zeroizing<Vec<u8>>> {
    texts.iter().map(|text| Zeroizing::new(text.as_bytes().to_vec())).collect()
}

fn ask(instruction: &str, prompts: &[(&str, bool)]) -> Round {
    Round::Ask(Prompts {
        instruction: instruction.to_owned(),
        prompts: prompts.iter().map(|(text, echo)| ((*text).to_owned(), *echo)).collect(),
    })
}

fn parsed(lines: &[String]) -> Vec<Value> {
    lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Asks for a code and a colour, and lets in whoever says 123456 and red.
const CODE_AND_COLOUR: &str = r#"
    read -r line; echo "$line" >> "$1"
    echo '{"instruction":"Hello","prompts":[{"text":"Code: ","echo":false},{"text":"Colour: ","echo":true}]}'
    read -r line; echo "$line" >> "$1"
    case $line in
    '{"answers":["123456","red"]}') echo '{"result":"allow"}';;
    *) echo '{"result":"deny"}';;
    esac"#;

#[test]
fn a_program_asks_and_decides() {
    for (typed, expected) in [(["123456", "red"], Round::Allow), (["123456", "blue"], Round::Deny)]
    {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("told");
        let mut dialogue = begin(&program(CODE_AND_COLOUR, &[&file]), true);

        assert_eq!(dialogue.next(&[]), Ok(ask("Hello", &[("Code: ", false), ("Colour: ", true)])));
        assert_eq!(dialogue.next(&answers(&typed)), Ok(expected));

        assert_eq!(
            parsed(&lines_of(&file)),
            [
                json!({
                    "version": 1,
                    "user": "alice",
                    "known": true,
                    "source": "127.0.0.1",
                    "client_version": "SSH-2.0-Test_1",
                }),
                json!({"answers": typed}),
            ]
        );
        assert_eq!(dialogue.next(&answers(&typed)), Err("the dialogue is over".into()));
    }
}

#[test]
fn a_program_is_told_that_a_user_is_not_known() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("told");
    let script = "read -r line; echo \"$line\" > \"$1\"; echo '{\"result\":\"deny\"}'";
    let mut dialogue = begin(&program(script, &[&file]), false);

    assert_eq!(dialogue.next(&[]), Ok(Round::Deny));
    assert_eq!(parsed(&lines_of(&file))[0]["known"], json!(false));
}

/// Goal: whatever is not a clean dialogue lets nobody in, and ends it.
#[test]
fn a_program_that_breaks_the_dialogue_ends_it() {
    let long = format!("head -c {} /dev/zero | tr '\\0' ' '", ROUND_LEN_MAX + 1);
    for (script, why) in [
        ("exit 0", "ended in the middle"),
        ("echo yes", "does not read"),
        ("printf '{\"result\":\"allow\"}'", "ended in the middle"),
        ("echo '{\"result\":\"allow\"}'; exit 1", "exit status: 1"),
        ("echo '{\"result\":\"allow\"}'; read -r line; read -r line; exit 2", "exit status: 2"),
        ("printf '{\"prompts\":[]}\n{\"result\":\"allow\"}\n'", "more than one line"),
        ("echo '{\"result\":\"allow\"}'; sleep 0; echo '{\"result\":\"deny\"}'", "does not read"),
        ("exec yes", "more than one line"),
        (&*long, "longer than"),
        ("read -r line; echo \"$line\"", "does not read"),
    ] {
        let mut dialogue = begin(&program(script, &[]), true);

        let error = dialogue.next(&[]).unwrap_err();

        assert!(error.contains(why), "{script}: {error}");
        assert_eq!(dialogue.next(&[]), Err("the dialogue is over".into()), "{script}");
    }
}

#[test]
fn rounds_have_an_end() {
    let script =
        "while read -r line; do echo '{\"prompts\":[{\"text\":\"?\",\"echo\":true}]}'; done";
    let mut dialogue = begin(&program(script, &[]), true);
    let again = answers(&["x"]);

    assert_eq!(dialogue.next(&[]), Ok(ask("", &[("?", true)])));
    for _ in 1..ROUNDS_MAX {
        assert_eq!(dialogue.next(&again), Ok(ask("", &[("?", true)])));
    }
    assert!(dialogue.next(&again).unwrap_err().contains("rounds"));
}

#[test]
fn answers_must_be_text_and_as_many_as_prompts() {
    let script = "read -r line; echo '{\"prompts\":[{\"text\":\"?\",\"echo\":true}]}'; \
                  read -r line; echo '{\"result\":\"allow\"}'";
    let after_first = |second: &[Zeroizing<Vec<u8>>]| {
        let mut dialogue = begin(&program(script, &[]), true);
        dialogue.next(&[]).unwrap();
        dialogue.next(second)
    };

    assert_eq!(after_first(&answers(&["x"])), Ok(Round::Allow));
    assert_eq!(after_first(&[Zeroizing::new(vec![0xff])]), Ok(Round::Deny));
    assert_eq!(after_first(&answers(&[&"x".repeat(1025)])), Ok(Round::Deny));
    assert!(after_first(&answers(&["x", "y"])).is_err());
    assert!(after_first(&[]).is_err());
    assert!(begin(&program(script, &[]), true).next(&answers(&["x"])).is_err());
}

#[test]
fn a_program_that_hangs_in_a_round_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let lifeline = Lifeline::new(dir.path());
    let mut hook = program("exec 9> \"$1\"; sleep 1000 & wait", &[&lifeline.path]);
    hook.timeout = 5 * IMPATIENCE;

    assert_eq!(begin(&hook, true).next(&[]), Err("no answer in time".into()));
    lifeline.assert_cut();
}

/// Goal: whoever leaves in the middle leaves no process behind.
#[test]
fn dropping_a_dialogue_ends_its_program_and_what_it_started() {
    let dir = tempfile::tempdir().unwrap();
    let lifeline = Lifeline::new(dir.path());
    let script = "exec 9> \"$1\"; trap '' TERM HUP; sleep 1000 & \
                  echo '{\"prompts\":[{\"text\":\"?\",\"echo\":true}]}'; wait; sleep 1000";
    let mut dialogue = begin(&program(script, &[&lifeline.path]), true);
    assert_eq!(dialogue.next(&[]), Ok(ask("", &[("?", true)])));

    drop(dialogue);

    lifeline.assert_cut();
}

#[test]
fn a_service_asks_and_decides() {
    let server = Server::start(|request, stream| {
        let body = match (&request.body["round"], &request.body["answers"]) {
            (round, Value::Null) if round == 1 => {
                r#"{"instruction":"Hello","prompts":[{"text":"Code: ","echo":false}]}"#
            }
            (round, given) if round == 2 && *given == json!(["123456"]) => r#"{"result":"allow"}"#,
            _ => r#"{"result":"deny"}"#,
        };
        respond(stream, "200 OK", body);
    });
    let hook = service(&server.url);
    let run = |code: &str| {
        let mut dialogue = begin(&hook, true);
        assert_eq!(dialogue.next(&[]), Ok(ask("Hello", &[("Code: ", false)])));
        let round = dialogue.next(&answers(&[code]));
        assert_eq!(dialogue.next(&[]), Err("the dialogue is over".into()));
        round
    };

    assert_eq!(run("123456"), Ok(Round::Allow));
    assert_eq!(run("654321"), Ok(Round::Deny));

    let bodies: Vec<_> = server.taken().iter().map(|request| request.body.clone()).collect();
    assert_eq!(bodies.len(), 4);
    let (first, second) = (&bodies[0]["dialogue"], &bodies[2]["dialogue"]);
    assert_eq!(first.as_str().unwrap().len(), 32);
    assert_ne!(first, second);
    let about = |mut with: Value| {
        with["version"] = json!(1);
        with["user"] = json!("alice");
        with["known"] = json!(true);
        with["source"] = json!("127.0.0.1");
        with["client_version"] = json!("SSH-2.0-Test_1");
        with
    };
    assert_eq!(bodies[0], about(json!({"dialogue": first, "round": 1})));
    assert_eq!(bodies[1], about(json!({"dialogue": first, "round": 2, "answers": ["123456"]})));
}

#[test]
fn a_service_that_fails_ends_the_dialogue() {
    for (status, body) in
        [("500 Oops", r#"{"result":"allow"}"#), ("200 OK", "yes"), ("200 OK", "{}")]
    {
        let server = Server::start(move |_, stream| respond(stream, status, body));
        let mut dialogue = begin(&service(&server.url), true);

        assert!(dialogue.next(&[]).is_err(), "{status} {body}");
        assert_eq!(dialogue.next(&[]), Err("the dialogue is over".into()));
    }
}

#[test]
fn names_that_could_mislead_a_program_do_not_reach_it() {
    let questioner = HookQuestioner::new(&program("exit 0", &[])).unwrap();

    for user in ["", "a\nb", "a\0"] {
        assert!(questioner.begin(user, false, LOCALHOST, b"").is_err(), "{user:?}");
    }
}

#[test]
fn no_answer_is_logged_or_shown() {
    let shown = Mutex::new(String::new());
    let script = "read -r line; echo '{\"prompts\":[{\"text\":\"?\",\"echo\":false}]}'; \
                  read -r line; echo complaint >&2; echo \"$line\"";

    let ((), log) = logged(|| {
        let mut dialogue = begin(&program(script, &[]), true);
        dialogue.next(&[]).unwrap();
        let error = dialogue.next(&answers(&[PASSWORD])).unwrap_err();
        *shown.lock().unwrap() = format!("{error} {dialogue:?}");
    });

    assert_eq!(log.len(), 1, "{log:?}");
    let shown = format!("{} {log:?}", shown.lock().unwrap());
    assert!(!shown.contains("horse"), "{shown}");
}
