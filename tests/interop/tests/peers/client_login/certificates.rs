//! User certificates at an `sshd` that knows no key, only an authority.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sterna_interop::place::Place;
use sterna_interop::server::{self, Server};
use sterna_interop::steps::Steps;
use sterna_testkit::openssh::{KeyFile, KeyKind, USER};

use crate::client_login::attempt::{Attempt, must_run};

/// An authority, and a server that trusts it and nothing else.
pub struct Authority {
    pub files: Place,
    pub key: KeyFile,
    pub server: Server,
}

impl Authority {
    pub fn new() -> Self {
        let files = Place::new();
        let key = KeyFile::generate(&files.path().join("ca"), KeyKind::Ed25519);
        let trusted = format!("TrustedUserCAKeys {}", key.public.display());
        let lines = ["AuthorizedKeysFile none", &trusted];
        let server = server::openssh_with(&[KeyKind::Ed25519], &lines);
        Self { files, key, server }
    }

    /// A new key, certified with these arguments of `ssh-keygen`, and its certificate.
    pub fn certified(&self, name: &str, kind: KeyKind, arguments: &[&str]) -> (KeyFile, PathBuf) {
        let key = KeyFile::generate(&self.files.path().join(name), kind);
        certify(&self.key, &key, arguments);
        let certificate = self.files.path().join(format!("{name}-cert.pub"));
        (key, certificate)
    }
}

fn certify(authority: &KeyFile, key: &KeyFile, arguments: &[&str]) {
    let mut keygen = Command::new("ssh-keygen");
    keygen.arg("-q").arg("-s").arg(&authority.private).args(["-I", "interop"]);
    must_run(keygen.args(arguments).arg(&key.public));
}

#[test]
fn a_certificate_of_every_kind_of_key_lets_in() {
    let authority = Authority::new();
    let mut steps = Steps::new("certificates");

    for kind in KeyKind::ALL {
        let (key, _) = authority.certified(kind.name(), kind, &["-n", USER]);
        steps.run(kind.name(), || Attempt::at(&authority.server).key(&key.private).succeeds());
    }
    steps.run("CertificateFile", || {
        let (key, certificate) = authority.certified("moved", KeyKind::Ed25519, &["-n", USER]);
        let elsewhere = authority.files.path().join("elsewhere");
        fs::rename(certificate, &elsewhere)?;
        let without = Attempt::at(&authority.server).key(&key.private);
        without.is_refused()?;
        without.option(&format!("CertificateFile={}", elsewhere.display())).succeeds()
    });

    steps.finish(|| authority.server.process.log());
}

#[test]
fn a_certificate_that_does_not_fit_is_refused() {
    let authority = Authority::new();
    let stranger = KeyFile::generate(&authority.files.path().join("stranger"), KeyKind::Ed25519);
    let mut steps = Steps::new("certificates that do not fit");

    for (name, arguments) in [
        ("expired", ["-n", USER, "-V", "20200101:20210101"]),
        ("not-yet-valid", ["-n", USER, "-V", "20900101:20910101"]),
        ("other-principal", ["-n", "somebody", "-V", "always:forever"]),
        ("other-source", ["-n", USER, "-O", "source-address=192.0.2.1"]),
    ] {
        let (key, _) = authority.certified(name, KeyKind::Ed25519, &arguments);
        steps.run(name, || {
            Attempt::at(&authority.server).key(&key.private).is_refused_with("certificate")
        });
    }
    steps.run("other authority", || {
        let key = KeyFile::generate(&authority.files.path().join("other"), KeyKind::Ed25519);
        certify(&stranger, &key, &["-n", USER]);
        Attempt::at(&authority.server).key(&key.private).is_refused()
    });

    steps.finish(|| authority.server.process.log());
}

/// A name, what revokes, and whose keys are refused then.
type Revocation<'a> = (&'a str, &'a dyn Fn(), &'a [&'a KeyFile]);

/// Goal: our client takes a revocation for what it is, and goes on with what is not revoked.
/// Method: an `sshd` that reads a list of plain keys or a KRL, written anew before each login.
#[test]
fn keys_and_certificates_that_the_server_has_revoked_are_refused() {
    let files = Place::new();
    let key = |name| KeyFile::generate(&files.path().join(name), KeyKind::Ed25519);
    let authority = key("ca");
    let (plain, other, bearer, rest) = (key("plain"), key("other"), key("bearer"), key("rest"));
    certify(&authority, &bearer, &["-n", USER, "-z", "7"]);
    certify(&authority, &rest, &["-n", USER, "-z", "8"]);
    let revoked = files.path().join("revoked");
    fs::write(&revoked, "").expect("write a list");
    let trusted = format!("TrustedUserCAKeys {}", authority.public.display());
    let lines = [&format!("RevokedKeys {}", revoked.display()), trusted.as_str()];
    let server = server::openssh_with(&[KeyKind::Ed25519], &lines);
    let both = format!("{}\n{}\n", plain.public_line, other.public_line);
    fs::write(&server.login.key.public, both).expect("authorize");
    let by = |key: &KeyFile| Attempt::at(&server).key(&key.private);
    let mut steps = Steps::new("RevokedKeys");

    let all = [&plain, &other, &bearer, &rest];
    steps.run("nothing is revoked", || all.into_iter().try_for_each(|key| by(key).succeeds()));
    let krl = |subject: &Path| {
        let mut keygen = Command::new("ssh-keygen");
        must_run(keygen.args(["-q", "-k", "-f"]).arg(&revoked).arg(subject));
    };
    let list = |key: &KeyFile| {
        fs::write(&revoked, format!("{}\n", key.public_line)).expect("write a list");
    };
    let certificate = files.path().join("bearer-cert.pub");
    let revocations: [Revocation<'_>; 6] = [
        ("a key in a list", &|| list(&plain), &[&plain]),
        ("a key in a KRL", &|| krl(&plain.public), &[&plain]),
        ("the key of a certificate in a list", &|| list(&bearer), &[&bearer]),
        ("a certificate in a KRL", &|| krl(&certificate), &[&bearer]),
        ("the authority in a list", &|| list(&authority), &[&bearer, &rest]),
        ("a list that is gone", &|| fs::remove_file(&revoked).expect("remove"), &all),
    ];
    for (name, revoke, refused) in revocations {
        steps.run(name, || {
            revoke();
            for key in all {
                let is_refused = refused.iter().any(|other| other.private == key.private);
                if is_refused { by(key).is_refused() } else { by(key).succeeds() }?;
            }
            Ok(())
        });
    }

    steps.finish(|| server.process.log());
}
