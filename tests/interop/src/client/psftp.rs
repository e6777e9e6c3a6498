//! PuTTY's `psftp`.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sterna_testkit::openssh::Login;

use super::{Client, Stat, bytes, command_max, name, run_checked};
use crate::names::OddName;
use crate::server::Server;
use crate::steps::{Failure, Outcome};

/// One `psftp -b` for each operation.
#[derive(Clone, Debug)]
pub struct Psftp {
    login: Login,
    key: PathBuf,
    batch: PathBuf,
    home: PathBuf,
}

impl Psftp {
    /// # Panics
    /// When `puttygen` cannot convert the user's key.
    pub fn new(server: &Server) -> Self {
        let key = server.place.path().join("user_key.ppk");
        let mut puttygen = Command::new("puttygen");
        puttygen.arg(&server.login.key.private).args(["-O", "private", "-o"]).arg(&key);
        let done = sterna_testkit::processes::run(&mut puttygen, b"", command_max());
        assert!(done.success(), "{}", done.describe());
        Self {
            login: server.login.clone(),
            key,
            batch: server.place.path().join("psftp_batch"),
            home: server.place.dir("psftp_home"),
        }
    }

    fn line(&self, words: &[&[u8]]) -> Outcome<Vec<u8>> {
        fs::write(&self.batch, [&words.join(&b' ')[..], b"\n"].concat())?;
        let mut psftp = Command::new("psftp");
        psftp.args(["-v", "-batch", "-noagent", "-P", &self.login.port.to_string(), "-l"]);
        psftp.arg(&self.login.user).arg("-i").arg(&self.key);
        for fingerprint in &self.login.host_fingerprints {
            psftp.arg("-hostkey").arg(fingerprint);
        }
        psftp.arg("-b").arg(&self.batch).arg("127.0.0.1");
        psftp.env("HOME", &self.home).env_remove("SSH_AUTH_SOCK").env("LC_ALL", "C.UTF-8");
        Ok(run_checked(&mut psftp, b"")?.stdout)
    }

    fn long_names(&self, path: &Path) -> Outcome<Vec<Vec<u8>>> {
        let printed = self.line(&[b"ls", &quoted(path)])?;
        let lines = printed.split(|byte| *byte == b'\n');
        let is_long_name = |line: &&[u8]| line.first().is_some_and(|b| b"-dlbcps".contains(b));
        Ok(lines.filter(is_long_name).map(<[u8]>::to_vec).collect())
    }
}

/// One word of a command; a quote inside is doubled.
fn quoted(path: &Path) -> Vec<u8> {
    let mut word = vec![b'"'];
    for byte in bytes(path) {
        if *byte == b'"' {
            word.push(b'"');
        }
        word.push(*byte);
    }
    word.push(b'"');
    word
}

/// Fields before the name in `ls -l` style: mode, links, owner, group, size, month, day, time.
const FIELDS_BEFORE_NAME: usize = 8;

/// The name at the end of a line in the style of `ls -l`; the name itself may have spaces.
fn name_of(line: &[u8]) -> Option<&[u8]> {
    let mut rest = line;
    for _ in 0..FIELDS_BEFORE_NAME {
        let start = rest.iter().position(|byte| *byte != b' ')?;
        let len = rest[start..].iter().position(|byte| *byte == b' ')?;
        rest = &rest[start + len..];
    }
    rest.strip_prefix(b" ")
}

impl Client for Psftp {
    fn name(&self) -> &str {
        "psftp"
    }

    fn put(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.line(&[b"put", &quoted(local), &quoted(remote)]).map(drop)
    }

    fn get(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.line(&[b"get", &quoted(remote), &quoted(local)]).map(drop)
    }

    fn list(&mut self, dir: &Path) -> Outcome<Vec<OsString>> {
        let lines = self.long_names(dir)?;
        let names = lines.iter().filter_map(|line| name_of(line));
        Ok(names.filter(|found| *found != b"." && *found != b"..").map(name).collect())
    }

    fn stat(&mut self, path: &Path) -> Outcome<Stat> {
        // `ls` of a file is refused; that of its directory has it.
        let (dir, file) = (path.parent().unwrap_or(path), path.file_name().unwrap_or_default());
        let lines = self.long_names(dir)?;
        let line = lines.iter().find(|line| name_of(line).is_some_and(|n| name(n) == file));
        let line = line.ok_or_else(|| Failure::Failed(format!("{file:?} is not listed")))?;
        let text = String::from_utf8_lossy(line);
        let mut words = text.split_whitespace();
        let mode = words.next().and_then(super::sftp::mode_of_letters);
        Ok(Stat { size: words.nth(3).and_then(|size| size.parse().ok()), mode, mtime: None })
    }

    fn make_dir(&mut self, path: &Path) -> Outcome {
        self.line(&[b"mkdir", &quoted(path)]).map(drop)
    }

    fn remove_dir(&mut self, path: &Path) -> Outcome {
        self.line(&[b"rmdir", &quoted(path)]).map(drop)
    }

    fn remove(&mut self, path: &Path) -> Outcome {
        self.line(&[b"del", &quoted(path)]).map(drop)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Outcome {
        self.line(&[b"mv", &quoted(from), &quoted(to)]).map(drop)
    }

    fn chmod(&mut self, path: &Path, mode: u32) -> Outcome {
        self.line(&[b"chmod", format!("{mode:o}").as_bytes(), &quoted(path)]).map(drop)
    }

    fn put_tree(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.line(&[b"put -r", &quoted(local), &quoted(remote)]).map(drop)
    }

    fn get_tree(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.line(&[b"get -r", &quoted(remote), &quoted(local)]).map(drop)
    }

    fn removes_what_links_point_to(&self) -> bool {
        true
    }

    fn cannot_say(&self, odd: &OddName) -> Option<&'static str> {
        if odd.has_newline() {
            return Some("a batch file has one command a line");
        }
        if !odd.is_utf8() {
            return Some("psftp prints only names that are UTF-8");
        }
        odd.has_pattern_characters().then_some("psftp has no way to escape pattern characters")
    }
}
