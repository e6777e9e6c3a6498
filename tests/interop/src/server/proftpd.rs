//! ProFTPD with `mod_sftp`.

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sterna_testkit::openssh::{
    KeyFile, KeyKind, Login, PASSWORD_CRYPT, USER, generate_host_keys, start_on_free_port,
};
use sterna_testkit::processes::{Process, find_program, run};

use super::{Ability, Server};
use crate::binary::{has_peer, miss};
use crate::place::Place;

/// Longest run of `ssh-keygen -e`.
const EXPORT_MAX: Duration = Duration::from_secs(30);

/// A server, or `None` when ProFTPD is not installed or may not run.
///
/// # Panics
/// When it does not come up; the message has its output.
pub fn proftpd() -> Option<Server> {
    if !has_peer("proftpd") {
        return None;
    }
    if !rustix::process::getuid().is_root() {
        miss("ProFTPD wants to be started by root");
        return None;
    }
    let program = find_program("proftpd").expect("just found");
    let place = Place::new();
    let root = place.dir("shared");
    let key = KeyFile::generate(&place.path().join("user_key"), KeyKind::Ed25519);
    let host_keys = generate_host_keys(place.path(), &[KeyKind::Ed25519, KeyKind::Rsa3072]);
    write_private(&place.path().join("authorized"), &rfc4716(&key));
    write_private(
        &place.path().join("passwd"),
        format!("{USER}:{PASSWORD_CRYPT}:0:0:{USER}:{}:/bin/sh\n", root.display()).as_bytes(),
    );
    let (process, port) = start_on_free_port(|port| {
        let config = place.path().join("proftpd.conf");
        write_private(&config, configuration(place.path(), port, &host_keys).as_bytes());
        let mut proftpd = Command::new(&program);
        proftpd.args(["--nodaemon", "--quiet", "--config"]).arg(&config);
        let mut process = Process::start("proftpd", &mut proftpd).map_err(|e| e.to_string())?;
        process.wait_for_port((Ipv4Addr::LOCALHOST, port).into())?;
        Ok(process)
    });
    let login = Login::new(place.path(), port, &key, &host_keys);
    Some(Server {
        name: "ProFTPD mod_sftp",
        login,
        host_keys,
        remote_root: root.clone(),
        root,
        lacks: vec![
            (Ability::Newlines, "ProFTPD refuses paths with control characters"),
            (Ability::ShowsLinks, "ProFTPD's LSTAT follows links"),
        ],
        process,
        place,
    })
}

fn configuration(dir: &Path, port: u16, host_keys: &[KeyFile]) -> String {
    let dir = dir.display();
    let mut text = format!(
        "ServerType standalone\n\
         DefaultAddress 127.0.0.1\n\
         SocketBindTight on\n\
         UseIPv6 off\n\
         Port {port}\n\
         User root\n\
         Group root\n\
         PidFile {dir}/proftpd.pid\n\
         ScoreboardFile {dir}/proftpd.scoreboard\n\
         DelayTable none\n\
         WtmpLog off\n\
         TransferLog none\n\
         ModulePath /usr/lib/proftpd\n\
         LoadModule mod_sftp.c\n\
         AuthOrder mod_auth_file.c\n\
         AuthUserFile {dir}/passwd\n\
         RootLogin on\n\
         RequireValidShell off\n\
         AllowOverwrite on\n\
         UseEncoding off\n\
         SFTPEngine on\n\
         SFTPLog {dir}/sftp.log\n\
         SFTPAuthorizedUserKeys file:{dir}/authorized\n"
    );
    for host_key in host_keys {
        text += &format!("SFTPHostKey {}\n", host_key.private.display());
    }
    text
}

/// The public key in the format that ProFTPD reads.
fn rfc4716(key: &KeyFile) -> Vec<u8> {
    let done = run(Command::new("ssh-keygen").arg("-ef").arg(&key.public), b"", EXPORT_MAX);
    assert!(done.success(), "{}", done.describe());
    done.stdout
}

fn write_private(path: &Path, bytes: &[u8]) {
    fs::write(path, bytes).expect("write a file of ProFTPD");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("restrict the file");
}
