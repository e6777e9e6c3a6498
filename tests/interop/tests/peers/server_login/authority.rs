//! A certificate authority: `ssh-keygen -s`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sterna_testkit::openssh::{KeyFile, KeyKind};

use crate::server_login::scene::{Scene, must_run};

/// Signs keys. Its files lie in the scene's place.
#[derive(Debug)]
pub struct Authority {
    pub key: KeyFile,
    dir: PathBuf,
}

impl Authority {
    pub fn new(scene: &Scene, name: &str) -> Self {
        Self { key: scene.key(name, KeyKind::Ed25519), dir: scene.place.path().to_owned() }
    }

    /// A new key of a user with a certificate beside it, made with these arguments of `ssh-keygen`.
    pub fn certified(&self, name: &str, kind: KeyKind, arguments: &[&str]) -> KeyFile {
        let key = KeyFile::generate(&self.dir.join(name), kind);
        self.certify(&key.public, arguments);
        key
    }

    /// Signs the public key in this file; the certificate lies beside it.
    pub fn certify(&self, public: &Path, arguments: &[&str]) -> PathBuf {
        let mut keygen = Command::new("ssh-keygen");
        keygen.arg("-q").arg("-s").arg(&self.key.private);
        if !arguments.contains(&"-I") {
            keygen.args(["-I", "interop"]);
        }
        must_run(keygen.args(arguments).arg(public));
        let name = public.file_stem().and_then(|name| name.to_str()).expect("a name");
        public.with_file_name(format!("{name}-cert.pub"))
    }

    /// The certificate of this public line as a host's.
    pub fn certify_host(&self, public_line: &str, arguments: &[&str]) -> PathBuf {
        let public = self.dir.join("certified_host.pub");
        fs::write(&public, format!("{}\n", public_line.trim())).expect("write a public key");
        self.certify(&public, &[&["-h"], arguments].concat())
    }
}
