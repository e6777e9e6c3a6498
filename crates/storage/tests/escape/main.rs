//! Escape attempts from behind the walls of the server and of a worker, with path checks switched off: files are opened
//! by their plain names here, as somebody would who had taken over the process. The kernel must refuse each of them, and
//! each must succeed without the walls, or this test would prove nothing.
//!
//! Every attempt is a process of its own: this test binary again, told by the environment what to try.

mod attempts;
mod raw;
mod stage;

use std::env;
use std::process::Command;

use sterna_sandbox::{Calls, Capability, Files, Landlock, restrict_files};

use self::attempts::ATTEMPTS;
use self::stage::Stage;

/// What a process of the test is to do: the walls, the attempt, and where the scene is.
const WALLS: &str = "STERNA_ESCAPE_WALLS";
const ATTEMPT: &str = "STERNA_ESCAPE_ATTEMPT";

/// What root keeps behind the walls of a server.
const FILE_CAPABILITIES: Capability = Capability::CHOWN
    .union(Capability::DAC_OVERRIDE)
    .union(Capability::DAC_READ_SEARCH)
    .union(Capability::FOWNER)
    .union(Capability::FSETID);

/// Not a test of its own: what the others start.
#[test]
#[ignore = "is started by the other tests"]
fn one_attempt() {
    let Ok(name) = env::var(ATTEMPT) else { return };
    let stage = Stage::from_env();
    let attempt = ATTEMPTS.iter().find(|attempt| attempt.name == name).unwrap();
    let walls = env::var(WALLS).unwrap();
    if walls != "none" {
        sterna_sandbox::forbid_new_privileges().unwrap();
        sterna_sandbox::keep_capabilities(FILE_CAPABILITIES).unwrap();
        let files = Files { write: vec![stage.inside()], ..Files::default() };
        assert!(matches!(
            restrict_files(&files).unwrap(),
            Landlock::Full(_) | Landlock::Partial(_)
        ));
        let calls = match walls.as_str() {
            "server" => Calls::of_server(false),
            "server with names" => Calls::of_server(true),
            _ => Calls::of_worker(),
        };
        calls.restrict().unwrap();
    }
    match (attempt.tried)(&stage) {
        Ok(()) => println!("outcome: succeeded"),
        Err(error) => println!("outcome: refused {}", error.raw_os_error().unwrap_or(0)),
    }
    // Threads of the test harness may have been left in a state that they do not like.
    std::process::exit(0);
}

/// Runs one attempt; `Err` with the error number if it was refused.
fn outcome(stage: &Stage, walls: &str, name: &str) -> Result<(), i32> {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "one_attempt", "--ignored", "--nocapture", "--test-threads=1"]);
    command.env(WALLS, walls).env(ATTEMPT, name);
    stage.to_env(&mut command);
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.split("outcome: ").nth(1));
    match line.and_then(|line| line.split(' ').nth(1)) {
        Some(number) => Err(number.parse().unwrap()),
        None if line == Some("succeeded") => Ok(()),
        // An attempt that became another program, or ended this one.
        None if output.status.success() => Ok(()),
        None => panic!("{name}: {text}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

fn every_attempt_is_refused(walls: &str) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: without root most attempts would fail anyway");
        return;
    }
    let mut wrong = Vec::new();
    for attempt in ATTEMPTS {
        if attempt.allowed_behind.contains(&walls) {
            continue;
        }
        let stage = Stage::new();
        let held = outcome(&stage, walls, attempt.name);
        if !held.is_err_and(|number| attempt.refusals().contains(&number)) {
            wrong.push(format!("{} behind the walls: {held:?}", attempt.name));
        }
        stage.assert_untouched(attempt.name);
        // A fresh scene: what follows may change it.
        let free = outcome(&Stage::new(), "none", attempt.name);
        if free.is_err() {
            match attempt.may_be_missing {
                true => eprintln!("{}: this machine refuses it anyway: {free:?}", attempt.name),
                false => wrong.push(format!("{} without walls: {free:?}", attempt.name)),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn nothing_escapes_from_a_server() {
    every_attempt_is_refused("server");
}

#[test]
fn nothing_escapes_from_a_server_that_looks_up_names() {
    every_attempt_is_refused("server with names");
}

#[test]
fn nothing_escapes_from_a_worker() {
    every_attempt_is_refused("worker");
}
