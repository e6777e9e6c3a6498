//! AsyncSSH's SFTP server, by the script `peers/asyncssh_server.py`.

use std::process::Command;

use sterna_testkit::openssh::{KeyFile, KeyKind, Login, generate_host_keys};
use sterna_testkit::processes::Process;

use super::Server;
use super::sterna::listening_port;
use crate::binary::{peer_script, python};
use crate::place::Place;

/// A server, or `None` when the Python peers are not installed.
///
/// # Panics
/// When it does not come up; the message has its output.
pub fn asyncssh() -> Option<Server> {
    let python = python()?;
    let place = Place::new();
    let root = place.dir("shared");
    let key = KeyFile::generate(&place.path().join("user_key"), KeyKind::Ed25519);
    let host_keys = generate_host_keys(place.path(), &[KeyKind::Ed25519]);
    let mut serve = Command::new(python);
    serve.arg(peer_script("asyncssh_server.py")).arg(&root);
    serve.arg(&key.public).arg(&host_keys[0].private);
    let process = Process::start("asyncssh", &mut serve).unwrap_or_else(|e| panic!("{e}"));
    let login = Login::new(place.path(), listening_port(&process), &key, &host_keys);
    Some(Server {
        name: "asyncssh server",
        login,
        host_keys,
        remote_root: root.clone(),
        root,
        lacks: vec![],
        process,
        place,
    })
}
