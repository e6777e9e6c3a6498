//! OpenSSH's `sshd`, with its own SFTP server or with `sterna sftp-server`.

use std::sync::Arc;

use sterna_testkit::openssh::{KeyKind, Sshd, SshdSettings};
use sterna_testkit::pam::Pam;

use super::Server;
use crate::binary;
use crate::place::Place;

/// `sshd` with `internal-sftp`.
pub fn openssh() -> Server {
    openssh_with(&[KeyKind::Ed25519], &[])
}

/// `sshd` with these host keys and further lines of `sshd_config`.
pub fn openssh_with(host_keys: &[KeyKind], lines: &[&str]) -> Server {
    let settings = SshdSettings {
        host_keys: host_keys.to_vec(),
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        ..SshdSettings::default()
    };
    start("OpenSSH sshd", &settings)
}

/// `sshd` that leaves passwords and keyboard-interactive to PAM.
pub fn openssh_with_pam(pam: &Arc<Pam>, lines: &[&str]) -> Server {
    let settings = SshdSettings {
        pam: Some(Arc::clone(pam)),
        lines: lines.iter().map(|line| (*line).to_owned()).collect(),
        ..SshdSettings::default()
    };
    start("OpenSSH sshd with PAM", &settings)
}

/// `sshd` that runs `sterna sftp-server` as its SFTP subsystem.
pub fn openssh_with_our_sftp_server() -> Server {
    let mut settings = SshdSettings::default();
    if !binary::is_baseline() {
        settings.sftp = format!("{} sftp-server", binary::sterna().display());
    }
    start("OpenSSH sshd with sterna sftp-server", &settings)
}

fn start(name: &'static str, settings: &SshdSettings) -> Server {
    let place = Place::new();
    let root = place.dir("shared");
    let sshd = Sshd::start(place.path(), &root, settings);
    Server {
        name,
        login: sshd.login,
        host_keys: sshd.host_keys,
        remote_root: root.clone(),
        root,
        lacks: vec![],
        process: sshd.process,
        place,
    }
}
