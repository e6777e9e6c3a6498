//! Our client on its way through other servers and through commands.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use sterna_interop::binary;
use sterna_interop::place::Place;
use sterna_interop::server::{self, Server};
use sterna_testkit::openssh::{KeyKind, Login, Sshd, SshdSettings, USER};
use sterna_testkit::processes::{Finished, run};

const COMMAND_MAX: Duration = Duration::from_secs(60);

/// A target with one file, and what a person has who wants to fetch it.
struct Scene {
    target: Server,
    place: Place,
}

impl Scene {
    fn new() -> Self {
        let target = server::openssh();
        fs::write(target.root.join("f"), CONTENT).unwrap();
        Self { target, place: Place::new() }
    }

    /// An `sshd` to go through, under the name `name`.
    fn hop(&self, name: &str, lines: &[&str]) -> Hop {
        let dir = self.place.dir(name);
        let settings = SshdSettings {
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            ..SshdSettings::default()
        };
        let sshd = Sshd::start(&dir, &self.place.dir(&format!("{name}_home")), &settings);
        let login = sshd.login.clone();
        Hop { name: name.to_owned(), login, _sshd: sshd }
    }

    /// Writes a configuration with the target and these hops.
    fn config(&self, hops: &[&Login], names: &[&str], more: &str) -> PathBuf {
        let mut text = more.to_owned();
        for (login, name) in
            hops.iter().copied().chain([&self.target.login]).zip(names.iter().chain(&["target"]))
        {
            text += &format!(
                "Host {name}\n HostName 127.0.0.1\n Port {}\n User {USER}\n IdentityFile {}\n \
                 UserKnownHostsFile {}\n",
                login.port,
                login.key.private.display(),
                login.known_hosts.display(),
            );
        }
        text += "Host *\n GlobalKnownHostsFile none\n IdentitiesOnly yes\n BatchMode yes\n \
                 StrictHostKeyChecking yes\n";
        let file = self.place.path().join("ssh_config");
        fs::write(&file, text).unwrap();
        file
    }

    fn get(&self, config: &Path, flags: &[&str]) -> Finished {
        let local = self.place.path().join("fetched");
        let _ = fs::remove_file(&local);
        let from = self.target.remote_root.join("f");
        let mut place = OsString::from("target:");
        place.push(from);
        let mut sterna = Command::new(binary::sterna());
        sterna.arg("get").arg("-F").arg(config).args(flags).arg("--").arg(place).arg(&local);
        sterna.env("HOME", self.place.path()).env("SHELL", "/bin/sh");
        sterna.env_remove("SSH_AUTH_SOCK").env_remove("STERNA_PASSWORD");
        let done = run(&mut sterna, b"", COMMAND_MAX);
        if done.success() {
            assert_eq!(fs::read(&local).unwrap(), CONTENT, "{}", done.describe());
        }
        done
    }
}

const CONTENT: &[u8] = b"carried the longest way";

struct Hop {
    name: String,
    login: Login,
    _sshd: Sshd,
}

fn said(done: &Finished) -> String {
    String::from_utf8_lossy(&done.stderr).into_owned()
}

#[test]
fn a_file_comes_through_one_server_and_through_two() {
    let scene = Scene::new();
    let (first, second) = (scene.hop("first", &[]), scene.hop("second", &[]));
    let logins = [&first.login, &second.login];
    let names = [first.name.as_str(), second.name.as_str()];
    let plain = scene.config(&logins, &names, "");

    for way in ["first", "first,second", "ssh://tern@second"] {
        let done = scene.get(&plain, &["-J", way]);
        assert!(done.success(), "{way}: {}", done.describe());
    }
    let nested = scene.config(
        &logins,
        &names,
        "Host target\n ProxyJump second\nHost second\n ProxyJump first\n",
    );
    let done = scene.get(&nested, &[]);
    assert!(done.success(), "{}", done.describe());
    let circle = scene.config(
        &logins,
        &names,
        "Host target\n ProxyJump second\nHost second\n ProxyJump first\nHost first\n ProxyJump second\n",
    );
    let done = scene.get(&circle, &[]);
    assert_eq!(done.code(), Some(3), "{}", done.describe());
    assert!(said(&done).contains("circle"), "{}", said(&done));
}

#[test]
fn a_hop_is_trusted_and_forwards_or_there_is_no_connection() {
    let scene = Scene::new();
    let closed = scene.hop("closed", &["AllowTcpForwarding no"]);
    let config = scene.config(&[&closed.login], &["closed"], "");
    let done = scene.get(&config, &["-J", "closed"]);
    assert_eq!(done.code(), Some(3), "{}", done.describe());
    assert!(said(&done).contains("through 127.0.0.1"), "{}", said(&done));

    // The target's record is not the hop's: nothing is sent to a hop that is not known.
    let mut strange = closed.login.clone();
    strange.known_hosts = scene.place.path().join("empty");
    let config = scene.config(&[&strange], &["closed"], "");
    let done = scene.get(&config, &["-J", "closed"]);
    assert_eq!(done.code(), Some(4), "{}", done.describe());
    // Nor are the options for the destination.
    let done = scene.get(&config, &["-J", "closed", "-o", "StrictHostKeyChecking=no"]);
    assert_eq!(done.code(), Some(4), "{}", done.describe());
}

#[test]
fn our_own_server_lets_nobody_through() {
    let scene = Scene::new();
    let ours = server::sterna_with(&[KeyKind::Ed25519], &[], |_| {});
    let config = scene.config(&[&ours.login], &["ours"], "");

    let done = scene.get(&config, &["-J", "ours"]);

    assert_eq!(done.code(), Some(3), "{}", done.describe());
    let refusal = "this server transfers files and forwards no connections";
    assert!(said(&done).contains(refusal), "{}", said(&done));
}

#[test]
fn a_command_carries_the_bytes_and_ends_with_the_session() {
    let scene = Scene::new();
    let hop = scene.hop("hop", &[]);
    let config = scene.config(&[&hop.login], &["hop"], "");
    let through_ssh = format!("ProxyCommand=ssh -F {} -W %h:%p hop", config.display());
    let done = scene.get(&config, &["-o", &through_ssh]);
    assert!(done.success(), "{}", done.describe());

    let mark = scene.place.path().join("pid");
    let relay = "import os,socket,sys,threading\n\
        open(sys.argv[3],'w').write(str(os.getpid()))\n\
        s=socket.create_connection((sys.argv[1],int(sys.argv[2])))\n\
        def up():\n\
        \x20while d:=os.read(0,65536): s.sendall(d)\n\
        threading.Thread(target=up,daemon=True).start()\n\
        while d:=s.recv(65536): os.write(1,d)\n\
        threading.Event().wait()\n";
    let script = scene.place.path().join("relay.py");
    fs::write(&script, relay).unwrap();
    let command = format!("ProxyCommand=python3 {} %h %p {}", script.display(), mark.display());
    let done = scene.get(&config, &["-o", &command]);
    assert!(done.success(), "{}", done.describe());
    // It would wait for ever: only its end makes the directory go.
    let pid = fs::read_to_string(&mark).unwrap();
    let proc = PathBuf::from(format!("/proc/{pid}/cmdline"));
    let runs = || fs::read(&proc).is_ok_and(|text| text.windows(8).any(|w| w == b"relay.py"));
    let deadline = std::time::Instant::now() + Duration::from_secs(20);
    while runs() {
        assert!(std::time::Instant::now() < deadline, "the command outlived the session");
        std::thread::yield_now();
    }

    let done = scene.get(&config, &["-o", "ProxyCommand=/no/such/command"]);
    assert_eq!(done.code(), Some(3), "{}", done.describe());
    assert!(said(&done).contains("ProxyCommand: /no/such/command"), "{}", said(&done));
    let done = scene.get(&config, &["-o", "ProxyCommand=touch %r", "-o", "User=\"a b\""]);
    assert_eq!(done.code(), Some(2), "{}", done.describe());
}
