//! curl, which uses libssh2.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use sterna_testkit::openssh::Login;
use sterna_testkit::processes::Finished;

use super::{Client, bytes, name, run_checked, utc};
use crate::names::OddName;
use crate::server::Server;
use crate::steps::Outcome;

/// One `curl` for each operation; what is no transfer goes by `--quote`.
#[derive(Clone, Debug)]
pub struct Curl {
    login: Login,
    /// A directory that exists, for commands that need an address to go to.
    somewhere: std::path::PathBuf,
}

impl Curl {
    pub fn new(server: &Server) -> Self {
        Self { login: server.login.clone(), somewhere: server.remote_root.clone() }
    }

    fn run(&self, words: &[OsString], at: &Path, is_dir: bool) -> Outcome<Finished> {
        let mut curl = Command::new("curl");
        curl.args([
            "-q",
            "-sS",
            "-v",
            "--globoff",
            "--user",
            &format!("{}:", self.login.user),
            "--key",
        ]);
        curl.arg(&self.login.key.private).arg("--pubkey").arg(&self.login.key.public);
        let fingerprint = &self.login.host_fingerprints[0];
        curl.arg("--hostpubsha256").arg(fingerprint.trim_start_matches("SHA256:"));
        let mut url = format!("sftp://127.0.0.1:{}", self.login.port);
        for byte in bytes(at) {
            match byte {
                b'/' => url.push('/'),
                byte if byte.is_ascii_alphanumeric() => url.push(char::from(*byte)),
                byte => url += &format!("%{byte:02X}"),
            }
        }
        if is_dir && !url.ends_with('/') {
            url.push('/');
        }
        curl.args(words).arg(url).env_remove("SSH_AUTH_SOCK").env("LC_ALL", "C.UTF-8");
        run_checked(&mut curl, b"")
    }

    fn quote(&self, words: &[&[u8]]) -> Outcome {
        let quote = ["--quote".into(), name(&words.join(&b' ')), "-o".into(), "/dev/null".into()];
        self.run(&quote, &self.somewhere, true).map(drop)
    }
}

fn quoted(path: &Path) -> Vec<u8> {
    let mut word = vec![b'"'];
    for byte in bytes(path) {
        if b"\"\\".contains(byte) {
            word.push(b'\\');
        }
        word.push(*byte);
    }
    word.push(b'"');
    word
}

impl Client for Curl {
    fn name(&self) -> &str {
        "curl"
    }

    fn put(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.run(&["--upload-file".into(), local.into()], remote, false).map(drop)
    }

    fn get(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.run(&["--output".into(), local.into()], remote, false)?;
        // curl makes no file when there is nothing to write into it.
        if !local.exists() {
            std::fs::write(local, b"")?;
        }
        Ok(())
    }

    fn get_with_time(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.run(&["--remote-time".into(), "--output".into(), local.into()], remote, false)
            .map(drop)
    }

    fn list(&mut self, dir: &Path) -> Outcome<Vec<OsString>> {
        let printed = self.run(&["--list-only".into()], dir, true)?.stdout;
        let lines = printed.split(|byte| *byte == b'\n');
        Ok(lines.filter(|n| !n.is_empty() && *n != b"." && *n != b"..").map(name).collect())
    }

    fn make_dir(&mut self, path: &Path) -> Outcome {
        self.quote(&[b"mkdir", &quoted(path)])
    }

    fn remove_dir(&mut self, path: &Path) -> Outcome {
        self.quote(&[b"rmdir", &quoted(path)])
    }

    fn remove(&mut self, path: &Path) -> Outcome {
        self.quote(&[b"rm", &quoted(path)])
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Outcome {
        self.quote(&[b"rename", &quoted(from), &quoted(to)])
    }

    fn chmod(&mut self, path: &Path, mode: u32) -> Outcome {
        self.quote(&[b"chmod", format!("{mode:o}").as_bytes(), &quoted(path)])
    }

    fn set_mtime(&mut self, path: &Path, mtime: i64) -> Outcome {
        let date = utc(mtime, "\"%d %b %Y %H:%M:%S GMT\"");
        self.quote(&[b"mtime", date.as_bytes(), &quoted(path)])
    }

    fn symlink(&mut self, target: &Path, link: &Path) -> Outcome {
        self.quote(&[b"symlink", &quoted(target), &quoted(link)])
    }

    fn cannot_say(&self, name: &OddName) -> Option<&'static str> {
        if name.has_newline() {
            return Some("curl refuses addresses with a newline");
        }
        None
    }
}
