//! External identity: what a program is told, what its answers mean, and every way to fail.

use std::time::Duration;

use serde_json::{Value, json};
use sterna_hooks::limits::{ANSWER_LEN_MAX, LOGGED_LEN_MAX, TIMEOUT_MAX};
use sterna_hooks::{Hook, HookError, Transport};
use sterna_identity::hook::ExternalIdentity;
use sterna_identity::{Attempt, Credential, HostClaim, Signature};
use sterna_ssh_crypto::TokenUse;

use crate::support::{
    IMPATIENCE, Lifeline, PASSWORD, USER_CERTIFICATE, USER_KEY, ask_password, attempt, identity,
    lines_of, logged, offered, program, said, sh,
};

/// Reads the question and says `answer`.
fn saying(answer: &str) -> Hook {
    program(&format!("cat > /dev/null; echo '{answer}'"), &[])
}

#[test]
fn answers_mean_deny_allow_or_judge() {
    for (answer, expected) in [
        (r#"{"result":"deny"}"#, "deny"),
        (r#"{"result":"allow","user":{"root":"/srv/a"}}"#, "allow alice /srv/a"),
        (r#"{"result":"judge","user":{"root":"/srv/a"}}"#, "judge alice /srv/a"),
        (r#"{"result":"allow","user":{"name":"alice","root":"/srv/a"}}"#, "allow alice /srv/a"),
    ] {
        assert_eq!(ask_password(&saying(answer)), expected, "{answer}");
    }
}

#[test]
fn what_is_no_answer_lets_nobody_in() {
    for (answer, why) in [
        ("", "EOF"),
        ("yes", "expected value"),
        (r#"{"result":"allow"}"#, "no user"),
        (r#"{"result":"judge","user":null}"#, "no user"),
        (r#"{"result":"maybe","user":{"root":"/"}}"#, "unknown variant"),
        (r#"{"user":{"root":"/"}}"#, "missing field"),
        (r#"{"result":"deny","user":{"root":"/"}}"#, "a user beside"),
        (r#"{"result":"allow","user":{"root":"/"},"admin":true}"#, "unknown field `admin`"),
        (r#"{"result":"deny","result":"allow","user":{"root":"/"}}"#, "duplicate field"),
        (r#"{"result":"allow","user":{"root":"/","colour":"red"}}"#, "unknown key colour"),
        (r#"{"result":"allow","user":{}}"#, "root is missing"),
        (r#"{"result":"allow","user":"alice"}"#, "no table"),
        (r#"{"result":"allow","user":{"name":"bob","root":"/"}}"#, "another user"),
        ("{\"result\":\"allow\",\"user\":{\"root\":\"/\"}}\n{}", "trailing characters"),
    ] {
        let said = ask_password(&saying(answer));
        assert!(said.starts_with("error: the answer does not read: "), "{answer}: {said}");
        assert!(said.contains(why), "{answer}: {said}");
    }
}

/// Goal: the exit status counts, whatever was said before.
#[test]
fn a_program_that_fails_lets_nobody_in() {
    let allow = r#"echo '{"result":"allow","user":{"root":"/"}}'"#;

    assert_eq!(ask_password(&program(allow, &[])), "allow alice /");
    for (end, why) in [("exit 1", "exit status: 1"), ("kill -TERM $$", "signal: 15")] {
        let said = ask_password(&program(&format!("{allow}; {end}"), &[]));
        assert!(said.starts_with("error: ") && said.contains(why), "{end}: {said}");
    }

    let mut missing = program("", &[]);
    missing.transport = Transport::Exec { command: vec!["/nonexistent/hook".into()] };
    assert!(ask_password(&missing).starts_with("error: look at /nonexistent/hook: "));
}

#[test]
fn output_has_an_end() {
    let padded = |len: usize| {
        let script =
            r#"echo '{"result":"allow","user":{"root":"/"}}'; head -c LEN /dev/zero | tr '\0' ' '"#;
        ask_password(&program(&script.replace("LEN", &len.to_string()), &[]))
    };
    let line = "{\"result\":\"allow\",\"user\":{\"root\":\"/\"}}\n".len();
    let too_long = format!("error: the answer does not read: longer than {ANSWER_LEN_MAX} bytes");

    assert_eq!(padded(ANSWER_LEN_MAX - line), "allow alice /");
    assert_eq!(padded(ANSWER_LEN_MAX - line + 1), too_long);
    assert_eq!(ask_password(&program("exec yes", &[])), too_long);
}

/// Goal: when the time is over, the program is gone and so is what it started.
/// Method: both hold a pipe open until they end.
#[test]
fn a_program_that_hangs_is_killed_with_its_children() {
    let dir = tempfile::tempdir().unwrap();
    let lifeline = Lifeline::new(dir.path());
    let mut hook = program("exec 9> \"$1\"; sleep 1000 & wait", &[&lifeline.path]);
    hook.timeout = 5 * IMPATIENCE;

    assert_eq!(ask_password(&hook), "error: no answer in time");
    lifeline.assert_cut();
}

#[test]
fn time_is_over_for_programs_that_close_their_output_or_complain_for_ever() {
    for script in ["exec > /dev/null 2>&1; exec sleep 1000", "exec yes complaint >&2"] {
        let mut hook = program(script, &[]);
        hook.timeout = IMPATIENCE;

        let (said, log) = logged(|| ask_password(&hook));

        assert_eq!(said, "error: no answer in time", "{script}");
        assert!(log.iter().map(String::len).sum::<usize>() < 2 * LOGGED_LEN_MAX, "{log:?}");
    }
}

/// Goal: what a program leaves behind in the background does not hold the login up, and is ended.
#[test]
fn what_a_program_leaves_behind_ends_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let lifeline = Lifeline::new(dir.path());
    let script = "exec 9> \"$1\"; sleep 1000 & echo '{\"result\":\"deny\"}'";

    assert_eq!(ask_password(&program(script, &[&lifeline.path])), "deny");
    lifeline.assert_cut();
}

#[test]
fn a_program_need_not_read_what_it_is_told() {
    let long = "x".repeat(1024);
    let hook = program("exec 0<&-; echo '{\"result\":\"deny\"}'", &[]);

    let answer = identity(&hook).ask(&attempt("alice", Credential::Password(long.as_bytes())));

    assert_eq!(said(answer), "deny");
}

/// Asks once, and gives back what the program was told and the answer.
fn told(attempt: &Attempt<'_>, answer: &str) -> (Value, String) {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("told");
    let hook = program(&format!("cat > \"$1\"; echo '{answer}'"), &[&file]);

    let said = said(identity(&hook).ask(attempt));

    let lines = lines_of(&file);
    assert!(lines.len() <= 1, "{lines:?}");
    (lines.first().map_or(Value::Null, |line| serde_json::from_str(line).unwrap()), said)
}

const ALLOW: &str = r#"{"result":"allow","user":{"root":"/"}}"#;
const JUDGE: &str = r#"{"result":"judge","user":{"root":"/"}}"#;

#[test]
fn each_method_is_told_with_what_it_offers() {
    let (key, certificate) = (offered(USER_KEY), offered(USER_CERTIFICATE));
    let key_text = key.key().to_openssh("");
    let certificate_text = USER_CERTIFICATE.split(' ').take(2).collect::<Vec<_>>().join(" ");
    let claim = |signature_valid| {
        Credential::HostBased(HostClaim {
            key: &key,
            client_host: b"batch.example.com.",
            client_user: b"erp",
            signature_valid,
        })
    };
    let signed = |signature| Credential::PublicKey { key: &key, signature };

    for (credential, expected) in [
        (
            Credential::Password(PASSWORD.as_bytes()),
            json!({"method": "password", "password": PASSWORD}),
        ),
        (
            Credential::PublicKeyQuery(&key),
            json!({"method": "publickey-query", "public_key": key_text}),
        ),
        (signed(Signature::Valid), json!({"method": "publickey", "public_key": key_text})),
        (
            Credential::PublicKey { key: &certificate, signature: Signature::Valid },
            json!({
                "method": "publickey",
                "public_key": key_text,
                "certificate": certificate_text,
            }),
        ),
        (
            claim(true),
            json!({
                "method": "hostbased",
                "public_key": key_text,
                "client_host": "batch.example.com.",
                "client_user": "erp",
            }),
        ),
    ] {
        let (question, said) = told(&attempt("alice", credential), ALLOW);
        let mut expected = expected;
        expected["version"] = json!(1);
        expected["user"] = json!("alice");
        expected["source"] = json!("192.0.2.7");
        expected["client_version"] = json!("SSH-2.0-Test_1");
        assert_eq!(question, expected);
        assert_eq!(said, "allow alice /", "{question}");
    }
}

#[test]
fn who_offers_nothing_is_judged_but_never_let_in() {
    for (credential, method) in [
        (Credential::None, "none"),
        (Credential::KeyboardInteractive, "keyboard-interactive"),
        (Credential::Answers(&[]), "keyboard-interactive"),
    ] {
        let (question, said) = told(&attempt("alice", credential), JUDGE);
        assert_eq!(question["method"], method);
        assert_eq!(said, "judge alice /");

        let (_, said) = told(&attempt("alice", credential), ALLOW);
        assert_eq!(
            said,
            "error: the answer does not read: \\\"allow\\\" although nothing was offered"
        );
    }
}

#[test]
fn what_cannot_be_good_is_denied_without_asking() {
    let key = offered(USER_KEY);
    let long = "x".repeat(256);
    let long_password = [b'x'; 1025];
    let good = || Credential::Password(b"x");
    let claim = |client_host, client_user, signature_valid| {
        Credential::HostBased(HostClaim { key: &key, client_host, client_user, signature_valid })
    };
    let unsigned = Credential::PublicKey { key: &key, signature: Signature::Invalid };

    for (user, credential) in [
        ("", good()),
        ("a\nb", good()),
        (&*long, good()),
        ("alice", Credential::Password(b"\xff")),
        ("alice", Credential::Password(&long_password)),
        ("alice", unsigned),
        ("alice", claim(b"h", b"u", false)),
        ("alice", claim(b"h\xff", b"u", true)),
        ("alice", claim(b"h", b"u\0", true)),
        ("alice", Credential::Other(b"gssapi-with-mic")),
    ] {
        let (question, said) = told(&attempt(user, credential), ALLOW);
        assert_eq!((question, &*said), (Value::Null, "deny"), "{user} {credential:?}");
    }
    let not_text = Attempt { user: b"\xff", ..attempt("", good()) };
    assert_eq!(told(&not_text, ALLOW), (Value::Null, "deny".into()));

    let change = Credential::PasswordChange { old: b"a", new: b"b" };
    let (question, said) = told(&attempt("alice", change), ALLOW);
    assert_eq!(question, Value::Null);
    assert_eq!(said, "error: passwords of external users are not changed here");
}

#[test]
fn a_security_key_that_was_not_touched_is_not_let_in_by_allow() {
    let key = offered(USER_KEY);
    let with = |touched, answer| {
        let token = TokenUse { touched, user_verified: false, counter: 1 };
        let signature = Signature::ByToken(token);
        told(&attempt("alice", Credential::PublicKey { key: &key, signature }), answer).1
    };

    assert_eq!(with(true, ALLOW), "allow alice /");
    assert_eq!(with(false, ALLOW), "deny");
    assert_eq!(with(false, JUDGE), "judge alice /");
}

/// Goal: a positive answer serves the same question again, and no other one.
/// Method: the program counts how often it runs.
#[test]
fn a_positive_answer_is_kept_for_the_same_question_only() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("runs");
    let counting = |answer: &str, cache| {
        let mut hook = program(&format!("echo run >> \"$1\"; echo '{answer}'"), &[&file]);
        hook.cache = cache;
        identity(&hook)
    };
    let long = Duration::from_secs(3600);
    let (key, certificate) = (offered(USER_KEY), offered(USER_CERTIFICATE));
    let runs = || lines_of(&file).len();
    let password = || attempt("alice", Credential::Password(b"a"));

    let hook = counting(ALLOW, long);
    for _ in 0..3 {
        assert_eq!(said(hook.ask(&password())), "allow alice /");
    }
    assert_eq!(runs(), 1);

    let elsewhere = Attempt { source: "192.0.2.8".parse().unwrap(), ..password() };
    let others = [
        elsewhere,
        attempt("bob", Credential::Password(b"a")),
        attempt("alice", Credential::Password(b"b")),
        attempt("alice", Credential::PublicKeyQuery(&key)),
        attempt("alice", Credential::PublicKey { key: &key, signature: Signature::Valid }),
        attempt("alice", Credential::PublicKey { key: &certificate, signature: Signature::Valid }),
    ];
    for (index, other) in others.iter().enumerate() {
        assert!(hook.ask(other).is_ok());
        assert_eq!(runs(), 2 + index, "{other:?}");
    }

    for (answer, cache) in
        [(ALLOW, Duration::ZERO), (r#"{"result":"deny"}"#, long), ("no answer", long)]
    {
        let (hook, before) = (counting(answer, cache), runs());
        let _ = hook.ask(&password());
        let _ = hook.ask(&password());
        assert_eq!(runs(), before + 2, "{answer}");
    }
}

#[test]
fn a_program_that_others_may_write_is_neither_run_nor_passes_the_check() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let script = dir.path().join("hook");
    std::fs::write(&script, "#!/bin/sh\necho '{\"result\":\"deny\"}'\n").unwrap();
    let hook = Hook {
        transport: Transport::Exec { command: vec![script.to_str().unwrap().into()] },
        ..program("", &[])
    };
    let set_mode = |mode| {
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(mode)).unwrap();
    };

    set_mode(0o755);
    assert_eq!(hook.check(), Ok(()));
    set_mode(0o757);
    assert!(matches!(hook.check(), Err(HookError::Untrusted { .. })));
    assert!(ask_password(&hook).ends_with("may be written by others than its owner"));
}

#[test]
fn the_check_finds_what_cannot_work() {
    let good = program("", &[]);
    assert_eq!(good.check(), Ok(()));

    let exec = |command: &[&str]| Transport::Exec {
        command: command.iter().map(|&word| word.to_owned()).collect(),
    };
    for hook in [
        Hook { transport: exec(&[]), ..good.clone() },
        Hook { transport: exec(&["sh"]), ..good.clone() },
        Hook { timeout: Duration::ZERO, ..good.clone() },
        Hook { timeout: TIMEOUT_MAX + Duration::from_millis(1), ..good.clone() },
        Hook { cache: Duration::from_secs(3601), ..good.clone() },
    ] {
        assert!(matches!(hook.check(), Err(HookError::Setting(_))), "{hook:?}");
    }
    let missing = Hook { transport: exec(&["/nonexistent/hook"]), ..good };
    assert!(matches!(missing.check(), Err(HookError::Failed(_))));
}

#[test]
fn a_program_runs_without_our_environment_and_in_the_root_directory() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("environment");
    // Cargo's own variables are in every test's environment.
    assert!(std::env::var_os("CARGO_MANIFEST_DIR").is_some());
    let hook = program("{ pwd; exec env; } > \"$1\"", &[&file]);

    let _ = ask_password(&hook);

    let lines = lines_of(&file);
    assert_eq!(lines[0], "/");
    assert!(lines.iter().any(|line| line.starts_with("PATH=")), "{lines:?}");
    // The shell itself adds the last two.
    let expected = ["PATH", "LANG", "PWD", "OLDPWD", "SHLVL", "_"];
    for line in &lines[1..] {
        let name = line.split('=').next().unwrap();
        assert!(expected.contains(&name) || name.starts_with("STERNA_"), "{line}");
    }
}

/// Goal: passwords are told to nobody but the program.
/// Method: log and debug texts of a good answer, a complaint, an error and a time-out.
#[test]
fn no_password_is_logged_or_shown() {
    for script in [
        "cat > /dev/null; echo '{\"result\":\"allow\",\"user\":{\"root\":\"/\"}}'",
        "cat > /dev/null; echo complaint >&2; exit 3",
        // Repeats the question: an error, which must not quote it.
        "exec cat",
        "exec sleep 1000",
    ] {
        let mut hook = program(script, &[]);
        hook.cache = Duration::from_secs(60);
        if script.contains("sleep") {
            hook.timeout = IMPATIENCE;
        }
        let identity = identity(&hook);
        let attempt = attempt("alice", Credential::Password(PASSWORD.as_bytes()));

        let (answer, log) = logged(|| identity.ask(&attempt));

        assert_eq!(log.len(), usize::from(script.contains("complaint")), "{log:?}");
        assert!(log.iter().all(|line| line.contains("message=complaint")), "{log:?}");
        let shown = format!("{} {log:?} {identity:?} {attempt:?}", said(answer));
        assert!(!shown.contains("horse"), "{shown}");
    }
}

#[test]
fn arguments_reach_the_program_without_a_shell() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("args");
    let mut command = sh("for a; do echo \"[$a]\"; done > \"$1\"", &[&file]);
    command.extend(["$HOME `id` ; rm *".into(), String::new()]);
    let hook = Hook { transport: Transport::Exec { command }, ..program("", &[]) };

    let _ = ask_password(&hook);

    assert_eq!(lines_of(&file)[1..], ["[$HOME `id` ; rm *]", "[]"]);
}
