//! What OpenSSH's sftp does at our server stands in the audit log, and nobody changes that unseen.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use sterna_interop::binary;
use sterna_interop::client::Sftp;
use sterna_interop::server;
use sterna_testkit::openssh::{KeyFile, KeyKind, Login, USER};
use sterna_testkit::processes::{Finished, run};

/// How long the server may take to end, and a verification to say what it found.
const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn every_act_of_a_client_is_on_record_and_the_record_is_sealed() {
    let Some(mut server) = server::sterna_with_audit() else { return };
    let path = server.place.path().join("audit.jsonl");
    let source = server.place.path().join("source");
    fs::write(&source, vec![7; 100_000]).unwrap();
    let odd = std::path::PathBuf::from(
        <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"odd-\xff"),
    );
    fs::write(server.local(&odd), b"odd").unwrap();
    let here = server.place.path().display();
    let sftp = Sftp::openssh(&server);
    let batch = format!(
        "put {here}/source a\nget a {here}/back\nmkdir d\nrename a d/b\nsymlink d/b l\nln d/b h\n\
         chmod 600 h\nrm h\nrm l\nget odd-* {here}/odd\n-get absent {here}/absent\n"
    );
    sftp.batch(batch.as_bytes()).unwrap();
    sftp.batch(b"rm d/b\nrmdir d\n").unwrap();
    let stranger = KeyFile::generate(&server.place.path().join("stranger"), KeyKind::Ed25519);
    let stranger = Login::new(server.place.path(), server.login.port, &stranger, &server.host_keys);
    let refused = sftp.clone().login(stranger).batch(b"ls\n");
    assert!(refused.is_err(), "a key that nobody knows");
    server.process.signal(Signal::TERM);
    assert!(server.process.wait_exit(PATIENCE).is_some_and(|status| status.success()));

    let text = fs::read_to_string(&path).unwrap();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |event: &str| lines.iter().filter(|line| line["event"] == event).collect::<Vec<_>>();
    let one = |event: &str| {
        let all = of(event);
        assert_eq!(all.len(), 1, "{event}: {text}");
        all[0]
    };

    let logins = of("login");
    assert_eq!(logins.len(), 2, "{text}");
    let login = logins[0];
    let fingerprint = server.login.key.fingerprint();
    let by = login["by"][0].as_str().unwrap();
    assert!(by.starts_with("publickey ") && by.contains(&fingerprint), "{login}");
    assert_eq!(login["user"], USER);
    assert!(login["source"].as_str().unwrap().starts_with("127.0.0.1:"), "{login}");
    assert!(login["client"].as_str().unwrap().contains("OpenSSH"), "{login}");
    assert_eq!(of("logout").len(), 2);
    let sessions: BTreeSet<_> = logins.iter().map(|line| line["session"].to_string()).collect();
    assert_eq!(sessions.len(), 2);
    let refusals = of("login-refused");
    assert!(!refusals.is_empty(), "{text}");
    for refusal in refusals {
        assert_eq!((&refusal["rule"], &refusal["user"]), (&"authorized_keys".into(), &USER.into()));
    }

    let transfers = of("transfer");
    let transfer = |direction: &str, path: &str| {
        let found = transfers.iter().find(|t| t["direction"] == direction && t["path"] == path);
        found.unwrap_or_else(|| panic!("no {direction} of {path}: {text}"))
    };
    let upload = transfer("upload", "/a");
    assert_eq!((&upload["result"], &upload["written_bytes"]), (&"ok".into(), &100_000.into()));
    assert_eq!((&upload["written_from"], &upload["written_to"]), (&0.into(), &100_000.into()));
    assert_eq!(upload["session"], login["session"]);
    let download = transfer("download", "/a");
    assert_eq!((&download["read_from"], &download["read_to"]), (&0.into(), &100_000.into()));
    let odd = transfer("download", "/odd-\u{fffd}");
    assert_eq!(odd["path_hex"], "2f6f64642dff");
    assert_eq!(transfers.len(), 3, "{text}");

    assert_eq!(one("mkdir")["path"], "/d");
    assert_eq!(one("rmdir")["path"], "/d");
    let renames = [of("rename"), of("posix-rename@openssh.com")].concat();
    assert_eq!((&renames[0]["path"], &renames[0]["to"]), (&"/a".into(), &"/d/b".into()));
    let link = one("symlink");
    assert_eq!((&link["path"], &link["target"]), (&"/l".into(), &"d/b".into()));
    let link = one("hardlink@openssh.com");
    assert_eq!((&link["path"], &link["to"]), (&"/d/b".into(), &"/h".into()));
    let changes = of("setstat");
    assert!(changes.iter().any(|c| c["path"] == "/h" && c["mode"] == "0600"), "{text}");
    let removed: Vec<_> = of("remove").iter().map(|line| line["path"].clone()).collect();
    assert_eq!(removed, ["/h", "/l", "/d/b"]);

    let verify = || -> Finished {
        let mut command = Command::new(binary::sterna());
        let settings = server.place.path().join("sterna.toml");
        command.args(["audit", "verify", "--config"]).arg(settings);
        run(&mut command, b"", PATIENCE)
    };
    let whole = verify();
    assert_eq!(whole.code(), Some(0), "{}", whole.describe());
    let all: Vec<&str> = text.lines().collect();
    let without = |at: usize| -> String {
        all.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, l)| format!("{l}\n")).collect()
    };
    let mut swapped = all.clone();
    swapped.swap(3, 4);
    for (what, changed) in [
        ("a changed byte", text.replacen("100000", "100001", 1)),
        ("a removed line", without(5)),
        ("swapped lines", swapped.join("\n") + "\n"),
        ("a cut end", without(all.len() - 1)),
    ] {
        fs::write(&path, changed).unwrap();
        let found = verify();
        assert_eq!(found.code(), Some(6), "{what}: {}", found.describe());
    }
}
