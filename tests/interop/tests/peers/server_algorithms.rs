//! Everything that OpenSSH's client and our server have in common: key exchanges, ciphers, MACs,
//! host keys, user keys.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use sterna_interop::algorithms::{combinations, every_combination_moves_data, in_common};
use sterna_interop::client::Sftp;
use sterna_interop::raw::offer_of;
use sterna_interop::server;
use sterna_interop::steps::Steps;
use sterna_testkit::openssh::{KeyFile, KeyKind, PASSWORD};
use sterna_testkit::processes::run;

/// Each of these is part of the product; if it vanishes from the offer, a test must notice.
const KEX_EXPECTED: [&str; 10] = [
    "sntrup761x25519-sha512@openssh.com",
    "curve25519-sha256",
    "curve25519-sha256@libssh.org",
    "ecdh-sha2-nistp256",
    "ecdh-sha2-nistp384",
    "ecdh-sha2-nistp521",
    "diffie-hellman-group-exchange-sha256",
    "diffie-hellman-group14-sha256",
    "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
];
const CIPHERS_EXPECTED: [&str; 6] = [
    "aes128-gcm@openssh.com",
    "aes256-gcm@openssh.com",
    "chacha20-poly1305@openssh.com",
    "aes128-ctr",
    "aes192-ctr",
    "aes256-ctr",
];
const MACS_EXPECTED: [&str; 4] = [
    "hmac-sha2-256",
    "hmac-sha2-512",
    "hmac-sha2-256-etm@openssh.com",
    "hmac-sha2-512-etm@openssh.com",
];

#[test]
fn the_offer_has_what_the_product_promises_and_nothing_weak() {
    let server = server::sterna_with(&KeyKind::ALL, &[], |_| {});
    let offer = offer_of(server.login.address()).expect("an offer");

    for (expected, found) in [
        (&KEX_EXPECTED[..], &offer.kex),
        (&CIPHERS_EXPECTED[..], &offer.ciphers),
        (&MACS_EXPECTED[..], &offer.macs),
    ] {
        for name in expected {
            assert!(found.iter().any(|other| other == name), "{name} is not in {found:?}");
        }
    }
    if sterna_interop::binary::is_baseline() {
        return;
    }
    let all = [offer.kex, offer.ciphers, offer.macs, offer.host_keys].concat();
    for name in all {
        let weak = ["sha1", "-cbc", "3des", "arcfour", "ssh-dss", "group1-", "md5", "none"];
        assert!(name != "ssh-rsa" && !weak.iter().any(|part| name.contains(part)), "{name}");
    }
}

#[test]
fn every_kex_cipher_and_mac_in_common_moves_data() {
    let server = server::sterna();
    let offer = offer_of(server.login.address()).expect("an offer");

    every_combination_moves_data(&server, &combinations(&offer), || Sftp::openssh(&server));
}

#[test]
fn every_host_key_algorithm_in_common_is_accepted() {
    let server = server::sterna_with(&KeyKind::ALL, &[], |_| {});
    let offer = offer_of(server.login.address()).expect("an offer");
    let algorithms = in_common("HostKeyAlgorithms", &offer.host_keys);
    let mut steps = Steps::new("host keys");

    assert!(algorithms.len() >= 6, "{algorithms:?}");
    for algorithm in algorithms {
        let sftp = Sftp::openssh(&server).option(&format!("HostKeyAlgorithms={algorithm}"));
        steps.run(algorithm, || sftp.batch(b"pwd\n").map(drop));
    }

    steps.finish(|| server.process.log());
}

#[test]
fn every_kind_of_user_key_logs_in_and_a_stranger_does_not() {
    let keys_place = sterna_interop::place::Place::new();
    let keys: Vec<_> = KeyKind::ALL
        .iter()
        .map(|kind| KeyFile::generate(&keys_place.path().join(kind.name()), *kind))
        .collect();
    let server = server::sterna_with(&[KeyKind::Ed25519], &keys, |_| {});
    let mut steps = Steps::new("user keys");

    for (kind, key) in KeyKind::ALL.iter().zip(&keys) {
        let login = sterna_testkit::openssh::Login { key: key.clone(), ..server.login.clone() };
        let signatures: &[&str] = match kind {
            KeyKind::Rsa3072 => &["rsa-sha2-256", "rsa-sha2-512"],
            _ => &[""],
        };
        for signature in signatures {
            let mut sftp = Sftp::openssh(&server).login(login.clone());
            if !signature.is_empty() {
                sftp = sftp.option(&format!("PubkeyAcceptedAlgorithms={signature}"));
            }
            steps.run(format!("{} {signature}", kind.name()), || sftp.batch(b"pwd\n").map(drop));
        }
    }
    let stranger = KeyFile::generate(&keys_place.path().join("stranger"), KeyKind::Ed25519);
    let login = sterna_testkit::openssh::Login { key: stranger, ..server.login.clone() };
    steps.run("a stranger", || {
        let outcome = Sftp::openssh(&server).login(login).batch(b"pwd\n");
        sterna_interop::steps::check(outcome.is_err(), || "was let in".to_owned())
    });

    steps.finish(|| server.process.log());
}

/// Goal: the password of `--password-file` is accepted, another one is not.
/// Method: OpenSSH's client asks a program for the password, twice.
#[test]
fn a_password_logs_in_and_a_wrong_one_does_not() {
    let place = sterna_interop::place::Place::new();
    let password_file = place.path().join("password");
    fs::write(&password_file, format!("{PASSWORD}\n")).expect("write");
    fs::set_permissions(&password_file, fs::Permissions::from_mode(0o600)).expect("restrict");
    let server = server::sterna_with(&[KeyKind::Ed25519], &[], |serve| {
        serve.arg("--password-file").arg(&password_file);
    });
    let batch = place.path().join("batch");
    fs::write(&batch, "pwd\n").expect("write");
    let log_in = |password: &str| {
        let ask = place.path().join("ask");
        fs::write(&ask, format!("#!/bin/sh\necho '{password}'\n")).expect("write");
        fs::set_permissions(&ask, fs::Permissions::from_mode(0o700)).expect("make executable");
        let mut sftp = Command::new("sftp");
        sftp.args(["-vvv", "-o", "BatchMode=no", "-o", "PreferredAuthentications=password"]);
        sftp.args(["-o", "NumberOfPasswordPrompts=1", "-b"]).arg(&batch);
        sftp.args(["-P", &server.login.port.to_string()]).args(server.login.options());
        sftp.arg(server.login.destination()).env("SSH_ASKPASS", &ask);
        sftp.env("SSH_ASKPASS_REQUIRE", "force").env_remove("SSH_AUTH_SOCK");
        run(&mut sftp, b"", sterna_interop::client::command_max())
    };

    let (right, wrong) = (log_in(PASSWORD), log_in("wrong horse"));

    assert!(right.success(), "{}\n{}", right.describe(), server.process.log());
    assert!(!wrong.success(), "{}\n{}", wrong.describe(), server.process.log());
}
