//! lftp, which has an SFTP of its own and leaves SSH to OpenSSH's `ssh`.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use sterna_testkit::openssh::Login;

use super::{Client, Stat, bytes, name, run_checked};
use crate::names::OddName;
use crate::server::Server;
use crate::steps::{Failure, Outcome};
use crate::trees::Links;

/// One `lftp -c` for each operation.
#[derive(Clone, Debug)]
pub struct Lftp {
    login: Login,
    home: PathBuf,
}

impl Lftp {
    pub fn new(server: &Server) -> Self {
        Self { login: server.login.clone(), home: server.place.dir("lftp_home") }
    }

    fn run(&self, words: &[&[u8]]) -> Outcome<Vec<u8>> {
        let options: Vec<_> = self.login.options().into_iter().map(to_text).collect();
        let mut script = format!(
            "set sftp:connect-program \"ssh -v -a -x {}\"\nset net:max-retries 1\n\
             set cmd:fail-exit yes\nset xfer:clobber yes\nset sftp:charset UTF-8\n\
             set file:charset UTF-8\nopen -u {},x -p {} sftp://127.0.0.1\n",
            options.join(" "),
            self.login.user,
            self.login.port
        )
        .into_bytes();
        script.extend(words.join(&b' '));
        script.push(b'\n');
        let mut lftp = Command::new("lftp");
        lftp.arg("--norc").arg("-c").arg(name(&script));
        lftp.env("HOME", &self.home).env_remove("SSH_AUTH_SOCK").env("LC_ALL", "C.UTF-8");
        let done = run_checked(&mut lftp, b"")?;
        // Some commands of lftp fail with exit status 0.
        if done.stderr.windows(15).any(|w| w == b"Access failed: ") {
            return Err(Failure::Failed(done.describe()));
        }
        Ok(done.stdout)
    }
}

fn to_text(option: OsString) -> String {
    option.to_string_lossy().into_owned()
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

impl Client for Lftp {
    fn name(&self) -> &str {
        "lftp"
    }

    fn logs_in_often(&mut self) {
        self.login.cheap_kex = true;
    }

    fn put(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.run(&[b"put", &quoted(local), b"-o", &quoted(remote)]).map(drop)
    }

    fn get(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.run(&[b"get", &quoted(remote), b"-o", &quoted(local)]).map(drop)
    }

    fn put_with_time(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.put(local, remote)
    }

    fn get_with_time(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.get(remote, local)
    }

    fn list(&mut self, dir: &Path) -> Outcome<Vec<OsString>> {
        let printed = self.run(&[b"cd", &quoted(dir), b"\ncls -1a"])?;
        let lines = printed.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        Ok(lines
            .map(|line| line.strip_suffix(b"/").unwrap_or(line))
            .filter(|line| *line != b"." && *line != b"..")
            .map(name)
            .collect())
    }

    fn stat(&mut self, path: &Path) -> Outcome<Stat> {
        let printed = self.run(&[b"cls -l --time-style=%s", &quoted(path)])?;
        let text = String::from_utf8_lossy(&printed).into_owned();
        let words: Vec<_> = text.split_whitespace().collect();
        let mode = words.first().and_then(|mode| super::sftp::mode_of_letters(mode));
        let number = |word: &&str| word.parse::<u64>().ok();
        // After the letters come owner, group, size and time; some may be missing.
        let mut numbers = words.iter().filter_map(number).rev();
        let mtime = numbers.next().and_then(|time| i64::try_from(time).ok());
        let size = numbers.next();
        if size.is_none() {
            return Err(Failure::Failed(format!("cannot read {text:?}")));
        }
        Ok(Stat { size, mode, mtime })
    }

    fn make_dir(&mut self, path: &Path) -> Outcome {
        self.run(&[b"mkdir", &quoted(path)]).map(drop)
    }

    fn remove_dir(&mut self, path: &Path) -> Outcome {
        self.run(&[b"rmdir", &quoted(path)]).map(drop)
    }

    fn remove(&mut self, path: &Path) -> Outcome {
        self.run(&[b"rm", &quoted(path)]).map(drop)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Outcome {
        self.run(&[b"mv", &quoted(from), &quoted(to)]).map(drop)
    }

    fn chmod(&mut self, path: &Path, mode: u32) -> Outcome {
        self.run(&[b"chmod", format!("{mode:o}").as_bytes(), &quoted(path)]).map(drop)
    }

    fn symlink(&mut self, target: &Path, link: &Path) -> Outcome {
        self.run(&[b"ln -s", &quoted(target), &quoted(link)]).map(drop)
    }

    fn put_tree(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.run(&[b"mirror -R", &quoted(local), &quoted(remote)]).map(drop)
    }

    fn get_tree(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.run(&[b"mirror", &quoted(remote), &quoted(local)]).map(drop)
    }

    fn remove_tree(&mut self, path: &Path) -> Outcome {
        self.run(&[b"rm -r", &quoted(path)]).map(drop)
    }

    fn links(&self) -> Links {
        Links::Kept
    }

    fn cannot_say(&self, name: &OddName) -> Option<&'static str> {
        if name.has_newline() {
            return Some("an lftp script has one command a line");
        }
        (!name.is_utf8()).then_some("lftp converts names between character sets")
    }
}
