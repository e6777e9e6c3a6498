//! What can be seen of a running server: `sessions`, `kick`, the audit log.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::Stdio,
};

use serde_json::Value;

use crate::{
    live::{Live, QUIET, lists, user},
    support::stderr,
};

const AUDIT: &str = "exempt = ['127.0.0.1']\n[audit]\nfile = 'audit.jsonl'\nrotate_mib = 1";

fn objects(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn records(live: &Live) -> Vec<Value> {
    objects(&fs::read_to_string(live.path("audit.jsonl")).unwrap())
}

fn events(live: &Live, event: &str) -> Vec<Value> {
    records(live).into_iter().filter(|line| line["event"] == event).collect()
}

#[test]
fn sessions_are_listed_with_what_they_do_and_ended_with_a_reason() {
    let mut live = Live::start(AUDIT, &(user("alice", "") + &user("bob", "")));
    assert_eq!(live.ok("sessions --json"), "");
    let mut alice = {
        let mut client = live.client("sftp", "alice", "Hello world!");
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        client.spawn().unwrap()
    };
    assert_eq!(lists(&mut alice), Some(true));
    let mut bob = live.session("bob");

    let rows = objects(&live.ok("sessions --json"));
    let users: Vec<_> = rows.iter().map(|row| row["user"].as_str().unwrap()).collect();
    assert_eq!(users, ["alice", "bob"]);
    assert!(rows[0]["source"].as_str().unwrap().starts_with("127.0.0.1:"));
    assert_eq!(rows[0]["login"][0], "password");
    assert!(rows[0]["client"].as_str().unwrap().contains("terna"), "{}", rows[0]);
    assert!(live.ok("sessions").contains("alice"));

    for (args, status) in [
        ("kick nobody", 1),
        ("kick --user carol", 1),
        ("kick --source 192.0.2.0/24", 1),
        ("kick --source office", 1),
        ("kick", 2),
        ("kick x --all", 2),
    ] {
        assert_eq!(live.run(args).status.code(), Some(status), "{args}");
    }
    let id = rows[0]["id"].as_str().unwrap();
    let ended = objects(&live.ok(&format!("kick {id} --why enough-for-today --json")));
    assert_eq!(ended[0]["user"], "alice");
    assert_eq!(lists(&mut alice), None);
    let mut told = String::new();
    alice.stderr.take().unwrap().read_to_string(&mut told).unwrap();
    assert!(told.contains("enough-for-today"), "{told}");
    assert!(!alice.wait().unwrap().success());
    assert_eq!(lists(&mut bob), Some(true));
    live.ok("kick --source 127.0.0.0/8");
    assert_eq!(lists(&mut bob), None);
    assert!(!bob.wait().unwrap().success());

    live.stop();
    let kicks = events(&live, "kick");
    let logouts = events(&live, "logout");
    assert_eq!((kicks.len(), logouts.len()), (2, 2));
    assert_eq!((&kicks[0]["session"], &kicks[0]["why"]), (&id.into(), &"enough-for-today".into()));
    assert_eq!(logouts[0]["why"], "enough-for-today");
    assert_eq!(live.run("sessions").status.code(), Some(1));
    assert_eq!(live.run("kick --all").status.code(), Some(1));
    live.ok("audit verify");
}

#[test]
fn the_log_has_logins_refusals_and_acts_and_goes_on_after_a_restart() {
    let mut live = Live::start(AUDIT, &user("alice", "read_only = true"));
    let wrong = live.client("ls", "alice", "Tr0ub4dor&3").output().unwrap();
    assert_eq!(wrong.status.code(), Some(5));
    let mut session = live.session("alice");
    let stdin = session.stdin.as_mut().unwrap();
    stdin.write_all(b"-mkdir d\n").unwrap();
    assert_eq!(lists(&mut session), Some(true));
    drop(session.stdin.take());
    session.wait().unwrap();
    live.ok("reload");
    live.stop();

    let text = fs::read_to_string(live.path("audit.jsonl")).unwrap();
    assert!(!text.contains("Tr0ub4dor&3") && !text.contains("Hello world!"), "{text}");
    let refused = events(&live, "login-refused");
    assert_eq!(
        (&refused[0]["rule"], &refused[0]["method"]),
        (&"password".into(), &"password".into())
    );
    let refused = events(&live, "refused");
    assert_eq!(refused.len(), 1, "{text}");
    for (key, value) in [("rule", "user.read_only"), ("operation", "mkdir"), ("path", "/d")] {
        assert_eq!(refused[0][key], value, "{text}");
    }
    assert_eq!(events(&live, "settings-reloaded")[0]["result"], "ok");
    let last = records(&live).pop().unwrap();
    assert_eq!((&last["event"], &last["why"]), (&"checkpoint".into(), &"end".into()));

    let before = records(&live).len();
    live.restart();
    live.stop();
    let all = records(&live);
    assert_eq!(all[before]["event"], "start");
    assert_eq!(all[before]["seq"], before + 1);
    let report = objects(&live.ok("audit verify --json")).pop().unwrap();
    assert_eq!((&report["intact"], &report["records"]), (&true.into(), &all.len().into()));
    let key = live.ok("audit key");
    assert_eq!(key, fs::read_to_string(live.path("state/audit/key.pub")).unwrap());

    fs::write(live.path("audit.jsonl"), text.replacen("alice", "elice", 1)).unwrap();
    let output = live.run("audit verify");
    assert_eq!(output.status.code(), Some(6), "{}", stderr(&output));
    let said = String::from_utf8(output.stdout).unwrap();
    let line = text.lines().position(|line| line.contains("alice")).unwrap() + 1;
    assert!(said.contains(&format!("audit.jsonl:{line}: ")), "{said}");
    assert_eq!(live.run("audit verify --key sterna.toml audit.jsonl").status.code(), Some(2));
}

/// A directory in place of the file: what a disk does that takes nothing for a while.
fn break_log(live: &Live) {
    fs::rename(live.path("audit.jsonl"), live.path("kept")).unwrap();
    fs::create_dir(live.path("audit.jsonl")).unwrap();
}

fn repair_log(live: &Live) {
    fs::remove_dir(live.path("audit.jsonl")).unwrap();
    fs::rename(live.path("kept"), live.path("audit.jsonl")).unwrap();
}

#[test]
fn a_log_that_cannot_be_written_stops_service_until_it_can() {
    let mut live = Live::start(AUDIT, &user("alice", ""));
    let mut session = live.session("alice");
    break_log(&live);

    session.stdin.as_mut().unwrap().write_all(b"mkdir d\n").unwrap();
    while lists(&mut session).is_some() {}
    assert!(!session.wait().unwrap().success());
    assert_ne!(live.login("alice"), Some(0));

    repair_log(&live);
    // It is tried again every second.
    while live.login("alice") != Some(0) {}
    live.stop();
    assert_eq!(events(&live, "mkdir").len(), 1, "what was done before is on record");
    assert_eq!(events(&live, "resumed").len(), 1);
    live.ok("audit verify");
}

#[test]
fn a_log_that_cannot_be_written_may_be_done_without() {
    let table = format!("{AUDIT}\non_failure = 'continue'");
    let mut live = Live::start(&table, &user("alice", ""));
    let mut session = live.session("alice");
    break_log(&live);

    session.stdin.as_mut().unwrap().write_all(b"mkdir d\n").unwrap();
    assert_eq!(lists(&mut session), Some(true));
    assert_eq!(live.login("alice"), Some(0));
    repair_log(&live);
    drop(session.stdin.take());
    assert!(session.wait().unwrap().success());
    live.stop();
    live.ok("audit verify");
}

#[test]
fn a_log_that_cannot_be_begun_is_a_mistake_in_the_settings() {
    let live = Live::start(QUIET, &user("alice", ""));
    let settings = fs::read_to_string(live.path("sterna.toml")).unwrap();
    for (table, why) in [
        ("[audit]\nsync = 'batch'", "records go nowhere"),
        ("[audit]\nfile = 'a'\nsync = 'never'", "audit.sync: not \"batch\" or \"record\""),
        ("[audit]\nfile = 'a'\nrotate_mib = 100000000", "audit.rotate_mib: not 0 to 1048576 MiB"),
        ("[metrics]\nlisten = '0.0.0.0:9187'", "allow_remote"),
        ("[metrics]", "metrics.listen: missing"),
    ] {
        fs::write(live.path("sterna.toml"), format!("{settings}{table}\n")).unwrap();
        let output = live.run("serve --config sterna.toml --check");
        assert_eq!(output.status.code(), Some(2), "{table}");
        assert!(stderr(&output).contains(why), "{table}: {}", stderr(&output));
    }
}

/// What the server says to an HTTP request.
fn http(live: &Live, request: &str) -> String {
    let line = live.greeting.lines().find_map(|line| line.strip_prefix("metrics on http://"));
    let address = line.unwrap().strip_suffix("/metrics").unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// The value of one line of the page.
fn figure(page: &str, name: &str) -> f64 {
    let found = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("no {name}: {page}")).parse().unwrap()
}

#[test]
fn figures_say_what_happened_and_nothing_of_users_and_paths() {
    let table = format!("{AUDIT}\n[metrics]\nlisten = '127.0.0.1:0'");
    let mut live = Live::start(&table, &user("alice", ""));
    let scrape = || http(&live, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let before = scrape();
    assert!(before.starts_with("HTTP/1.1 200 OK\r\n"), "{before}");
    assert_eq!(figure(&before, "sterna_sessions"), 0.0);
    assert!(figure(&before, "process_resident_memory_bytes") > 1e6);
    assert!(figure(&before, "process_open_fds") > 3.0);

    fs::write(live.path("source"), vec![1; 300_000]).unwrap();
    let mut session = live.session("alice");
    let source = live.path("source");
    let command = format!("put {} secret-name\n", source.display());
    session.stdin.as_mut().unwrap().write_all(command.as_bytes()).unwrap();
    assert_eq!(lists(&mut session), Some(true));
    let wrong = live.client("ls", "alice", "wrong").output().unwrap();
    assert_eq!(wrong.status.code(), Some(5));
    let during = scrape();

    assert_eq!(figure(&during, "sterna_sessions"), 1.0, "{during}");
    for (name, least) in [
        ("sterna_file_bytes_in_total", 300_000.0),
        ("sterna_connections_total", 2.0),
        ("sterna_logins_total{method=\"password\"}", 1.0),
        ("sterna_login_refusals_total{rule=\"password\"}", 1.0),
        ("sterna_transfers_total", 1.0),
        ("sterna_request_seconds_count{operation=\"write\"}", 1.0),
        ("sterna_request_seconds_count{operation=\"open\"}", 1.0),
        ("sterna_request_seconds_bucket{operation=\"open\",le=\"+Inf\"}", 1.0),
        ("sterna_audit_written_total", 1.0),
    ] {
        assert!(figure(&during, name) >= least, "{name}: {during}");
    }
    assert!(figure(&during, "sterna_waiting_seconds_total{cause=\"crypto\"}") > 0.0, "{during}");
    for (name, none) in [("sterna_audit_lost_total", 0.0), ("sterna_audit_failing", 0.0)] {
        assert_eq!(figure(&during, name), none);
    }
    assert!(!during.contains("alice") && !during.contains("secret-name"), "{during}");
    assert!(http(&live, "GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404 "));
    assert!(http(&live, "POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405 "));

    drop(session.stdin.take());
    assert!(session.wait().unwrap().success());
    let mut after = scrape();
    while figure(&after, "sterna_sessions") > 0.0 {
        after = scrape();
    }
    let bytes = |page: &str| figure(page, "sterna_file_bytes_in_total");
    // The sums of a session that is over have not gone with it.
    while bytes(&after) < bytes(&during) {
        after = scrape();
    }
    live.stop();
}
