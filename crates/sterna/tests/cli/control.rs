//! Commands to a running server: `reload`, `penalties`, `config diff`, over its control socket.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    os::unix::{fs::PermissionsExt, net::UnixStream},
};

use serde_json::Value;

use crate::{
    live::{Live, QUIET, lists, settings, user},
    support::stderr,
};

#[test]
fn a_broken_file_keeps_the_old_state_and_every_mistake_is_named() {
    let live = Live::start(QUIET, &user("alice", ""));
    assert_eq!(live.login("alice"), Some(0));

    let bad = "hours = ['never']\nallow_from = ['somewhere']";
    live.write(QUIET, &(user("alice", "enabled = false") + &user("bob", bad)));
    let output = live.run("reload");

    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    for place in ["sterna.toml:14: user.hours: ", "sterna.toml:15: user.allow_from: "] {
        assert!(said.contains(place), "{place}: {said}");
    }
    assert!(said.contains("the old ones are kept"), "{said}");
    assert_eq!(live.login("alice"), Some(0));
    assert_eq!(live.login("bob"), Some(5));

    live.write(QUIET, &user("bob", ""));
    assert!(live.ok("reload").contains("settings reloaded: 1 users"));
    assert_eq!(live.login("alice"), Some(5));
    assert_eq!(live.login("bob"), Some(0));
}

#[test]
fn a_reload_ends_the_sessions_of_a_disabled_user_and_no_others() {
    let live = Live::start(QUIET, &(user("alice", "") + &user("bob", "")));
    let (mut alice, mut bob) = (live.session("alice"), live.session("bob"));

    live.write(QUIET, &(user("alice", "enabled = false") + &user("bob", "read_only = true")));
    let said = live.ok("reload");

    assert!(said.contains("1 sessions ended"), "{said}");
    assert_eq!(lists(&mut bob), Some(true));
    assert_eq!(lists(&mut alice), None);
    assert!(!alice.wait().unwrap().success());
    assert_eq!(live.login("alice"), Some(5));
    drop(bob.stdin.take());
    assert!(bob.wait().unwrap().success());
}

#[test]
fn a_reload_is_refused_for_another_file_and_where_no_server_runs() {
    let mut live = Live::start(QUIET, &user("alice", ""));
    fs::copy(live.path("sterna.toml"), live.path("other.toml")).unwrap();

    let output = live.run("reload --config other.toml");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("this server runs with"), "{}", stderr(&output));
    assert!(live.ok("reload --state-dir state").contains("reloaded"));

    let socket = live.path("state/control");
    assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
    live.stop();
    assert!(!socket.exists());
    let output = live.run("reload");
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("no server runs"), "{}", stderr(&output));
}

#[test]
fn what_the_socket_does_not_understand_changes_nothing() {
    let live = Live::start(QUIET, &user("alice", ""));
    for request in ["{}\n", "reload\n", "{\"command\":\"lift\",\"sources\":\"x\"}\n"] {
        let mut stream = UnixStream::connect(live.path("state/control")).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut reply = String::new();
        BufReader::new(stream).read_line(&mut reply).unwrap();
        let reply: Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(reply["reply"], "refused", "{request}");
    }
    assert_eq!(live.login("alice"), Some(0));
}

#[test]
fn penalties_are_listed_and_lifted_in_the_running_server_and_without_it() {
    let defence = "[defence.penalties]\nauth_failed_s = 500\nmin_s = 1\nmax_s = 600";
    let mut live = Live::start(defence, &user("alice", ""));
    assert_eq!(live.ok("penalties"), "");
    let wrong = live.client("ls", "alice", "wrong").output().unwrap();
    assert_eq!(wrong.status.code(), Some(5));
    // The offence is noted when the connection ends, which is before the next one is refused.
    while live.login("alice") == Some(0) {}

    let said = live.ok("penalties list --json");
    let row: Value = serde_json::from_str(said.trim()).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!(row["source"], "127.0.0.1/32");
    assert_eq!(row["reason"], "failed authentication");
    let seconds = row["refused_for_s"].as_u64().unwrap();
    assert!((1..=500).contains(&seconds), "{said}");
    assert!(live.ok("penalties").contains("127.0.0.1/32"));

    assert_eq!(live.run("penalties rm 192.0.2.1").status.code(), Some(1));
    assert_eq!(live.run("penalties rm nonsense").status.code(), Some(2));
    assert_eq!(live.run("penalties rm all").status.code(), Some(2));
    assert_ne!(live.login("alice"), Some(0));
    live.ok("penalties rm 127.0.0.0/8");
    assert_eq!(live.login("alice"), Some(0));

    let wrong = live.client("ls", "alice", "wrong").output().unwrap();
    assert_eq!(wrong.status.code(), Some(5));
    while live.login("alice") == Some(0) {}
    let log = live.stop();
    assert!(log.contains("rule=\"password\"") || log.contains("rule=password"), "{log}");
    assert!(live.ok("penalties").contains("127.0.0.1/32"));
    live.ok("penalties rm --all");
    assert_eq!(live.ok("penalties"), "");
    assert!(TcpStream::connect(("127.0.0.1", live.port)).is_err());
}

#[test]
fn a_diff_with_the_running_server_says_what_a_reload_would_change() {
    let live = Live::start("max_auth_tries = 3", &(user("alice", "") + &user("carol", "")));
    assert_eq!(live.ok("config diff"), "");

    let text =
        settings("max_auth_tries = 4", &(user("alice", "enabled = false") + &user("bob", "")));
    let text =
        text.replace("127.0.0.1:0", "127.0.0.2:0").replacen("$saltstring$", "$saltother$", 1);
    fs::write(live.path("sterna.toml"), text).unwrap();
    let said = live.ok("config diff");
    for line in [
        "~ defence.max_auth_tries = 3 -> 4\n",
        "~ listen = [\"127.0.0.1:0\"] -> [\"127.0.0.2:0\"]  (needs a restart)\n",
        "+ user alice: enabled = false\n",
        "~ user alice: password\n",
        "- user carol\n",
        "+ user bob\n",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert_eq!(said.lines().count(), 6, "{said}");
    assert!(!said.contains("saltstring"), "{said}");

    let reloaded = live.ok("reload");
    assert!(reloaded.contains("a restart is needed for listen"), "{reloaded}");
    assert_eq!(live.ok("config diff"), "");
}
