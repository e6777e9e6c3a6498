//! Our own server: `sterna serve`.

use std::fs;
use std::path::Path;
use std::process::Command;

use sterna_testkit::openssh::{KeyFile, KeyKind, Login, USER, generate_host_keys};
use sterna_testkit::processes::{Process, Stream};

use super::{Server, openssh};
use crate::binary;
use crate::place::Place;

/// A server with an ed25519 host key that shares one directory.
pub fn sterna() -> Server {
    sterna_with(&[KeyKind::Ed25519], &[], |_| {})
}

/// A server with these host keys, which lets the owner of any of `user_keys` in, beside its own
/// [`Login`]; `change` may add to its command line.
///
/// # Panics
/// When it does not come up; the message has its output.
pub fn sterna_with(
    host_key_kinds: &[KeyKind],
    user_keys: &[KeyFile],
    change: impl FnOnce(&mut Command),
) -> Server {
    let authorize = |own: &KeyFile| {
        let lines = [own].into_iter().chain(user_keys).map(|key| key.public_line.clone() + "\n");
        fs::write(&own.public, lines.collect::<String>()).expect("authorize the keys");
    };
    if binary::is_baseline() {
        let server = openssh::openssh_with(host_key_kinds, &[]);
        authorize(&server.login.key);
        return server;
    }
    let place = Place::new();
    let root = place.dir("shared");
    let key = KeyFile::generate(&place.path().join("user_key"), KeyKind::Ed25519);
    authorize(&key);
    let host_keys = generate_host_keys(place.path(), host_key_kinds);
    let mut serve = command(&place, &root, &key, &host_keys);
    change(&mut serve);
    let process = Process::start("sterna serve", &mut serve).unwrap_or_else(|e| panic!("{e}"));
    let login = Login::new(place.path(), listening_port(&process), &key, &host_keys);
    Server {
        name: "sterna serve",
        login,
        host_keys,
        root,
        remote_root: "/".into(),
        lacks: vec![],
        process,
        place,
    }
}

/// A server whose user's uploads are published on close; `None` in a baseline run.
///
/// # Panics
/// When it does not come up; the message has its output.
pub fn sterna_publishing_on_close() -> Option<Server> {
    sterna_with_settings("sterna serve, on-close", "", "publish = 'on-close'\n")
}

/// A server that records what is done in `audit.jsonl` of its place; `None` in a baseline run.
///
/// # Panics
/// When it does not come up; the message has its output.
pub fn sterna_with_audit() -> Option<Server> {
    sterna_with_settings("sterna serve, audit", "[audit]\nfile = 'audit.jsonl'\n", "")
}

/// A server from a settings file, with more tables and more keys of its users.
fn sterna_with_settings(name: &'static str, tables: &str, user_keys: &str) -> Option<Server> {
    if binary::is_baseline() {
        return None;
    }
    let place = Place::new();
    let root = place.dir("shared");
    let key = KeyFile::generate(&place.path().join("user_key"), KeyKind::Ed25519);
    let host_keys = generate_host_keys(place.path(), &[KeyKind::Ed25519]);
    let settings = place.path().join("sterna.toml");
    let user = |name: &str| {
        format!(
            "[[user]]\nname = '{name}'\nroot = 'shared'\nauthorized_keys = ['{}']\n\
             {user_keys}",
            key.public_line.trim()
        )
    };
    let text = format!(
        "listen = ['127.0.0.1:0']\nstate_dir = 'state'\nhost_keys = ['{}']\n\
         [defence]\nexempt = ['127.0.0.0/8']\n{tables}{}{}",
        host_keys[0].private.display(),
        user(USER),
        user("other"),
    );
    fs::write(&settings, text).expect("write the settings");
    let mut serve = Command::new(binary::sterna());
    serve.args(["serve", "--config"]).arg(&settings);
    let process = Process::start("sterna serve", &mut serve).unwrap_or_else(|e| panic!("{e}"));
    let login = Login::new(place.path(), listening_port(&process), &key, &host_keys);
    Some(Server {
        name,
        login,
        host_keys,
        root,
        remote_root: "/".into(),
        lacks: vec![],
        process,
        place,
    })
}

/// Kills the server as `kill -9` does and starts it again on another port, which is returned; the login
/// still names the old one. What [`sterna_with`]'s `change` added is not there any more.
///
/// # Panics
/// When it does not come up; the message has its output.
pub fn restart(server: &mut Server) -> u16 {
    let mut serve = command(&server.place, &server.root, &server.login.key, &server.host_keys);
    // The old one is killed when it is dropped here.
    server.process = Process::start("sterna serve", &mut serve).unwrap_or_else(|e| panic!("{e}"));
    listening_port(&server.process)
}

fn command(place: &Place, root: &Path, key: &KeyFile, host_keys: &[KeyFile]) -> Command {
    let mut serve = Command::new(binary::sterna());
    serve.arg("serve").arg(root);
    serve.args(["--listen", "127.0.0.1:0", "--user", USER]);
    serve.arg("--authorized-keys").arg(&key.public);
    serve.arg("--state-dir").arg(place.dir("state"));
    for host_key in host_keys {
        serve.arg("--host-key").arg(&host_key.private);
    }
    serve
}

/// The port in the line `listening on ADDR:PORT`.
///
/// # Panics
/// When the line does not come or has no port.
pub fn listening_port(process: &Process) -> u16 {
    let line = process
        .wait_for_line(Stream::Stdout, "listening on ")
        .unwrap_or_else(|why| panic!("{why}"));
    let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
    port.unwrap_or_else(|| panic!("no port in {line:?}"))
}
