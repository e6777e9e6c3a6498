//! OpenSSH's `scp`, which speaks SFTP since 9.0.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use sterna_testkit::openssh::Login;

use super::{Client, bytes, name, run_checked};
use crate::names::OddName;
use crate::server::Server;
use crate::steps::Outcome;

/// One `scp` for each operation.
#[derive(Clone, Debug)]
pub struct Scp {
    login: Login,
}

impl Scp {
    pub fn new(server: &Server) -> Self {
        Self { login: server.login.clone() }
    }

    fn run(&self, flags: &[&str], from: OsString, to: OsString) -> Outcome {
        let mut scp = Command::new("scp");
        scp.args(["-s", "-vvv"]).args(flags).arg("-P").arg(self.login.port.to_string());
        scp.args(self.login.options()).arg("--").arg(from).arg(to);
        scp.env_remove("SSH_AUTH_SOCK").env("LC_ALL", "C.UTF-8");
        run_checked(&mut scp, b"").map(drop)
    }

    /// For a source, which is a pattern; what it means as such is escaped.
    fn source(&self, remote: &Path) -> OsString {
        let mut place = self.login.destination().into_bytes();
        place.push(b':');
        for byte in bytes(remote) {
            if b"\\*?[]".contains(byte) {
                place.push(b'\\');
            }
            place.push(*byte);
        }
        name(&place)
    }

    fn target(&self, remote: &Path) -> OsString {
        let mut place = OsString::from(self.login.destination() + ":");
        place.push(remote);
        place
    }
}

impl Client for Scp {
    fn name(&self) -> &str {
        "OpenSSH scp"
    }

    fn logs_in_often(&mut self) {
        self.login.cheap_kex = true;
    }

    fn put(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.run(&[], local.into(), self.target(remote))
    }

    fn get(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.run(&[], self.source(remote), local.into())
    }

    fn put_with_time(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.run(&["-p"], local.into(), self.target(remote))
    }

    fn get_with_time(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.run(&["-p"], self.source(remote), local.into())
    }

    fn put_tree(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.run(&["-r"], local.into(), self.target(remote))
    }

    fn get_tree(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.run(&["-r"], self.source(remote), local.into())
    }

    fn cannot_say(&self, name: &OddName) -> Option<&'static str> {
        name.has_newline().then_some("scp refuses names with a newline")
    }
}
