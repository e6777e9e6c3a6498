//! `rclone serve sftp`.

use std::process::Command;

use sterna_testkit::openssh::{KeyFile, KeyKind, Login, PASSWORD, USER, generate_host_keys};
use sterna_testkit::processes::{Process, Stream};

use super::{Ability, Server};
use crate::binary::has_peer;
use crate::place::Place;

/// A server, or `None` when rclone is not installed.
///
/// # Panics
/// When it does not come up; the message has its output.
pub fn rclone() -> Option<Server> {
    if !has_peer("rclone") {
        return None;
    }
    let place = Place::new();
    let root = place.dir("shared");
    let key = KeyFile::generate(&place.path().join("user_key"), KeyKind::Ed25519);
    let host_keys = generate_host_keys(place.path(), &[KeyKind::Ed25519]);
    let mut serve = Command::new("rclone");
    serve.args(["serve", "sftp", "-v", "--addr", "127.0.0.1:0", "--user", USER]);
    serve.args(["--pass", PASSWORD, "--config", "/dev/null"]);
    // Changes made behind its back, by the test, are seen at once.
    serve.args(["--dir-cache-time", "0s", "--poll-interval", "0"]);
    // With write cache: without it rclone refuses every write that is not strictly in order.
    serve.args(["--vfs-cache-mode", "writes", "--vfs-write-back", "0s"]);
    serve.arg("--cache-dir").arg(place.dir("cache"));
    serve.arg("--authorized-keys").arg(&key.public).arg("--key").arg(&host_keys[0].private);
    serve.arg(&root);
    let process = Process::start("rclone serve sftp", &mut serve).unwrap_or_else(|e| panic!("{e}"));
    let line = process
        .wait_for_line(Stream::Stderr, "SFTP server listening on 127.0.0.1:")
        .unwrap_or_else(|why| panic!("{why}"));
    let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
    let port = port.unwrap_or_else(|| panic!("no port in {line:?}"));
    let login = Login::new(place.path(), port, &key, &host_keys);
    Some(Server {
        name: "rclone serve sftp",
        login,
        host_keys,
        root,
        remote_root: "/".into(),
        lacks: vec![
            (Ability::Chmod, "rclone serve sftp keeps no modes"),
            (Ability::SymbolicLinks, "rclone serve sftp has no links"),
            (Ability::HardLinks, "rclone serve sftp has no links"),
            (Ability::AnyBytes, "rclone changes names that are not UTF-8"),
            (Ability::Newlines, "rclone shows a newline as another character"),
        ],
        process,
        place,
    })
}
