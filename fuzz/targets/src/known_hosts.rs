//! Known hosts files, and the lines that are written into them.

use sterna_ssh_crypto::PublicKey;
use sterna_ssh_files::known_hosts::line_for;
use sterna_ssh_files::{KnownHosts, Lookup};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAOhB7/zzhC+HXDdGOdLwJln5NYwm6UNX4bdyGZBJVMb";

/// Input: a line with the host's name, then the file.
pub fn run(data: &[u8]) {
    let name_len = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let (name, file) = data.split_at(name_len);
    let Ok(name) = std::str::from_utf8(name) else { return };
    let key = PublicKey::from_openssh(KEY).expect("a key").0;
    let mut known = KnownHosts::default();
    known.add_text("file", file).expect("short");

    let lookup = known.lookup(&[name], &key);
    let revoked = known.is_revoked(&[name], &key).is_some();
    assert_eq!(matches!(lookup, Lookup::Revoked(_)), revoked);
    assert!(!revoked || known.certificate_authority(&[name], &key).is_none());
    if known.records_exactly(name, &key.to_wire()) {
        assert!(revoked || matches!(lookup, Lookup::Known(_)));
    }
    let mut algorithms = ["ssh-ed25519", "rsa-sha2-256-cert-v01@openssh.com"].map(str::to_owned);
    known.lead_with_recorded(&[name], &mut algorithms);

    for salt in [None, Some(&[7; 20])] {
        let Ok(line) = line_for(name, &key, salt) else { continue };
        assert!(!line.contains('\n'));
        let mut known = known.clone();
        known.add_text("new", line.as_bytes()).expect("short");
        assert!(revoked || matches!(known.lookup(&[name], &key), Lookup::Known(_)));
        assert!(known.records_exactly(name, &key.to_wire()));
    }
}
