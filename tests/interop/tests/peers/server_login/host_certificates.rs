//! Certificates of our host keys, in the eyes of OpenSSH's client.

use std::fs;

use sterna_interop::steps::{Steps, check};
use sterna_testkit::openssh::PASSWORD;

use crate::server_login::authority::Authority;
use crate::server_login::openssh::{Attempt, by_password};
use crate::server_login::scene::{Scene, password};

#[test]
fn who_trusts_only_the_authority_knows_us_by_our_certificate() {
    let rows: [(&str, &[&str], bool); 5] = [
        ("good", &["-n", "127.0.0.1"], true),
        ("one of several names", &["-n", "sftp.example.com,127.0.0.1"], true),
        ("other name", &["-n", "sftp.example.com"], false),
        ("expired", &["-n", "127.0.0.1", "-V", "20200101:20210101"], false),
        ("not yet valid", &["-n", "127.0.0.1", "-V", "20900101:20910101"], false),
    ];
    let mut steps = Steps::new("host certificates");

    for (name, arguments, is_known) in rows {
        let Some(mut scene) = Scene::new() else { return };
        let authority = Authority::new(&scene, "host_ca");
        authority.certify(&scene.host_key.public, &[&["-h"], arguments].concat());
        scene.top("host_certificates = ['host_key-cert.pub']");
        scene.user("tern", &password());
        let served = scene.start();
        let trusts = |line: &str| fs::write(&served.known_hosts, line);
        let attempt = Attempt::of(&served, "tern").password(PASSWORD);
        let is_unknown = || {
            let done = attempt.run("pwd\n")?;
            let text = String::from_utf8_lossy(&done.stderr);
            let unknown = text.contains("Host key verification failed");
            check(done.code() == Some(255) && unknown, || done.describe())
        };

        steps.run(name, || {
            trusts(&format!("@cert-authority * {}\n", authority.key.public_line))?;
            if is_known { attempt.succeeds() } else { is_unknown() }
        });
        steps.run(format!("{name}, another authority"), || {
            let other = scene.key("other_ca", sterna_testkit::openssh::KeyKind::Ed25519);
            trusts(&format!("@cert-authority * {}\n", other.public_line))?;
            is_unknown()
        });
        steps.run(format!("{name}, the plain key is known"), || {
            trusts(&format!("[127.0.0.1]:{} {}\n", served.port, scene.host_key.public_line))?;
            by_password(&served, "tern").succeeds()
        });
    }

    steps.finish(String::new);
}
