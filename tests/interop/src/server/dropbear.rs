//! Dropbear, which runs OpenSSH's `sftp-server` for SFTP.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::Duration;

use sterna_testkit::openssh::{
    Account, KeyFile, KeyKind, Login, generate_host_keys, start_on_free_port,
};
use sterna_testkit::processes::{Process, run};

use super::Server;
use crate::binary::has_peer;
use crate::place::Place;

/// Longest run of `dropbearconvert`.
const CONVERT_MAX: Duration = Duration::from_secs(30);

/// A server, or `None` when Dropbear is not installed.
///
/// # Panics
/// When it does not come up; the message has its output.
pub fn dropbear() -> Option<Server> {
    if !has_peer("dropbear") || !has_peer("dropbearconvert") {
        return None;
    }
    let place = Place::new();
    let root = place.dir("shared");
    let home = place.dir("home");
    let key = KeyFile::generate(&place.path().join("user_key"), KeyKind::Ed25519);
    let host_keys = generate_host_keys(place.path(), &[KeyKind::Ed25519]);
    let host_key = place.path().join("dropbear_host_key");
    let mut convert = Command::new("dropbearconvert");
    convert.args(["openssh", "dropbear"]).arg(&host_keys[0].private).arg(&host_key);
    let converted = run(&mut convert, b"", CONVERT_MAX);
    assert!(converted.success(), "{}", converted.describe());
    // It reads this file and no other, and wants nobody else to be able to write it.
    let ssh_dir = place.dir("home/.ssh");
    fs::copy(&key.public, ssh_dir.join("authorized_keys")).expect("authorize the key");
    restrict(&home);
    restrict(&ssh_dir);
    restrict(place.path());
    let account = Account::new(place.path(), &home);
    let (process, port) = start_on_free_port(|port| {
        let mut dropbear = Command::new("dropbear");
        account.apply(&mut dropbear);
        dropbear.args(["-F", "-E", "-p", &format!("127.0.0.1:{port}"), "-P"]);
        dropbear.arg(place.path().join("dropbear.pid")).arg("-r").arg(&host_key);
        let mut process = Process::start("dropbear", &mut dropbear).map_err(|e| e.to_string())?;
        process.wait_for_port((Ipv4Addr::LOCALHOST, port).into())?;
        Ok(process)
    });
    let login = Login::new(place.path(), port, &key, &host_keys);
    Some(Server {
        name: "Dropbear with OpenSSH sftp-server",
        login,
        host_keys,
        remote_root: root.clone(),
        root,
        lacks: vec![],
        process,
        place,
    })
}

fn restrict(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o700)).expect("restrict a directory");
}
