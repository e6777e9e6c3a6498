//! Everything that OpenSSH's server and our client have in common: key exchanges, ciphers, MACs,
//! host keys, user keys.

use std::fs;

use sterna_interop::algorithms::{combinations, every_combination_moves_data, in_common};
use sterna_interop::client::Sftp;
use sterna_interop::raw::{Offer, offer_of_client};
use sterna_interop::server::{self, Server};
use sterna_interop::steps::Steps;
use sterna_testkit::openssh::{KeyFile, KeyKind, Login};
use sterna_testkit::processes::Process;

fn offer(server: &Server) -> Offer {
    let batch = server.place.path().join("offer_batch");
    fs::write(&batch, "pwd\n").expect("write");
    // Unknown at that port, it must not prefer the kinds of keys that it knows.
    let start = |port| {
        let login = Login { port, ..server.login.clone() };
        let sftp = Sftp::sterna(server).login(login).option("StrictHostKeyChecking=no");
        Process::start("client", &mut sftp.command(&batch)).expect("the client starts")
    };
    offer_of_client(start).expect("an offer")
}

#[test]
fn every_kex_cipher_and_mac_in_common_moves_data() {
    let server = server::openssh();
    let offer = offer(&server);

    every_combination_moves_data(&server, &combinations(&offer), || Sftp::sterna(&server));
}

#[test]
fn every_host_key_algorithm_in_common_is_accepted() {
    let server = server::openssh_with(&KeyKind::ALL, &[]);
    let algorithms = in_common("HostKeyAlgorithms", &offer(&server).host_keys);
    let mut steps = Steps::new("host keys");

    for expected in ["ssh-ed25519", "ecdsa-sha2-nistp384", "rsa-sha2-256", "rsa-sha2-512"] {
        assert!(algorithms.iter().any(|name| name == expected), "{algorithms:?}");
    }
    for algorithm in
        algorithms.iter().filter(|name| !name.contains("cert") && !name.starts_with("sk-"))
    {
        let sftp = Sftp::sterna(&server).option(&format!("HostKeyAlgorithms={algorithm}"));
        steps.run(algorithm, || sftp.batch(b"pwd\n").map(drop));
    }

    steps.finish(|| server.process.log());
}

#[test]
fn every_kind_of_user_key_logs_in() {
    let server = server::openssh();
    let mut steps = Steps::new("user keys");

    for kind in KeyKind::ALL {
        let key = KeyFile::generate(&server.place.path().join(kind.name()), kind);
        fs::write(&server.login.key.public, key.public_line.clone() + "\n").expect("authorize");
        let login = Login { key, ..server.login.clone() };
        let sftp = Sftp::sterna(&server).login(login);
        steps.run(kind.name(), || sftp.batch(b"pwd\n").map(drop));
    }

    steps.finish(|| server.process.log());
}
