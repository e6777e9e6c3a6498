//! OpenSSH's `sftp` with a batch file, and `sterna sftp`, which takes the same.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use sterna_testkit::openssh::Login;
use sterna_testkit::processes::Finished;

use super::{Client, Stat, bytes, name, run_checked};
use crate::binary;
use crate::names::OddName;
use crate::server::Server;
use crate::steps::{Failure, Outcome};
use crate::trees::Links;

/// One `sftp -b` for each operation.
#[derive(Clone, Debug)]
pub struct Sftp {
    program: Vec<OsString>,
    login: Login,
    extra: Vec<OsString>,
    batch: PathBuf,
    home: PathBuf,
}

impl Sftp {
    /// OpenSSH's.
    pub fn openssh(server: &Server) -> Self {
        Self::new(server, vec!["sftp".into()]).argument("-vvv")
    }

    /// Ours; OpenSSH's in a baseline run.
    pub fn sterna(server: &Server) -> Self {
        if binary::is_baseline() {
            return Self::openssh(server);
        }
        Self::new(server, vec![binary::sterna().into(), "sftp".into()]).argument("-v")
    }

    fn new(server: &Server, program: Vec<OsString>) -> Self {
        // Several run at the same time: each has a batch file of its own.
        static MADE: AtomicUsize = AtomicUsize::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self {
            program,
            login: server.login.clone(),
            extra: vec![],
            batch: server.place.path().join(format!("batch-{number}")),
            home: server.place.dir("client_home"),
        }
    }

    fn is_openssh(&self) -> bool {
        self.program.len() == 1
    }

    /// The same with the cheapest key exchange.
    #[must_use]
    pub fn cheap_kex(mut self) -> Self {
        self.login.cheap_kex = true;
        self
    }

    /// The same with `-o KEY=VALUE`.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.extra.extend(["-o".into(), option.into()]);
        self
    }

    /// The same with another argument before the destination, for example `-v`.
    #[must_use]
    pub fn argument(mut self, argument: &str) -> Self {
        self.extra.push(argument.into());
        self
    }

    /// The same with another key, or as somebody else.
    #[must_use]
    pub fn login(mut self, login: Login) -> Self {
        self.login = login;
        self
    }

    /// The command line that runs the batch file at `batch`.
    pub fn command(&self, batch: &Path) -> Command {
        let mut command = Command::new(&self.program[0]);
        command.args(&self.program[1..]).arg("-b").arg(batch);
        command.arg("-P").arg(self.login.port.to_string());
        command.args(self.login.options()).args(&self.extra).arg(self.login.destination());
        command.env("HOME", &self.home).env_remove("SSH_AUTH_SOCK").env("LC_ALL", "C.UTF-8");
        command
    }

    /// Runs lines of a batch file and returns what they printed.
    ///
    /// # Errors
    /// `Failed` with the output when the program does not end with status 0.
    pub fn batch(&self, lines: &[u8]) -> Outcome<Vec<u8>> {
        Ok(self.batch_at(&self.batch, lines)?.stdout)
    }

    /// The same by a batch file of its own, for several at the same time.
    ///
    /// # Errors
    /// `Failed` with the output when the program does not end with status 0.
    pub fn batch_at(&self, batch: &Path, lines: &[u8]) -> Outcome<Finished> {
        fs::write(batch, lines)?;
        run_checked(&mut self.command(batch), b"")
    }

    fn line(&self, words: &[&[u8]]) -> Outcome<Vec<u8>> {
        self.batch(&[&words.join(&b' ')[..], b"\n"].concat())
    }
}

/// One word of a batch line. Within quotes, pattern characters mean themselves.
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

impl Client for Sftp {
    fn name(&self) -> &str {
        if self.is_openssh() { "OpenSSH sftp" } else { "sterna sftp -b" }
    }

    fn logs_in_often(&mut self) {
        self.login.cheap_kex = self.is_openssh();
    }

    fn put(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.line(&[b"put", &quoted(local), &quoted(remote)]).map(drop)
    }

    fn get(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.line(&[b"get", &quoted(remote), &quoted(local)]).map(drop)
    }

    fn put_with_time(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.line(&[b"put -p", &quoted(local), &quoted(remote)]).map(drop)
    }

    fn get_with_time(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.line(&[b"get -p", &quoted(remote), &quoted(local)]).map(drop)
    }

    fn list(&mut self, dir: &Path) -> Outcome<Vec<OsString>> {
        let printed = self.line(&[b"cd", &quoted(dir), b"\n@ls -1a"])?;
        Ok(lines_of(&printed)
            .filter(|line| line != b"." && line != b"..")
            .map(|l| name(&l))
            .collect())
    }

    fn stat(&mut self, path: &Path) -> Outcome<Stat> {
        let printed = self.line(&[b"@ls -ln", &quoted(path)])?;
        let text = String::from_utf8_lossy(&printed);
        let line = text.lines().find(|line| !line.starts_with("sftp> ")).unwrap_or_default();
        let mut words = line.split_whitespace();
        let mode = words.next().and_then(mode_of_letters);
        let size = words.nth(3).and_then(|size| size.parse().ok());
        if mode.is_none() || size.is_none() {
            return Err(Failure::Failed(format!("cannot read {text:?}")));
        }
        Ok(Stat { size, mode, mtime: None })
    }

    fn make_dir(&mut self, path: &Path) -> Outcome {
        self.line(&[b"mkdir", &quoted(path)]).map(drop)
    }

    fn remove_dir(&mut self, path: &Path) -> Outcome {
        self.line(&[b"rmdir", &quoted(path)]).map(drop)
    }

    fn remove(&mut self, path: &Path) -> Outcome {
        self.line(&[b"rm", &quoted(path)]).map(drop)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Outcome {
        self.line(&[b"rename", &quoted(from), &quoted(to)]).map(drop)
    }

    fn replace(&mut self, from: &Path, to: &Path) -> Outcome {
        self.rename(from, to)
    }

    fn chmod(&mut self, path: &Path, mode: u32) -> Outcome {
        self.line(&[b"chmod", format!("{mode:o}").as_bytes(), &quoted(path)]).map(drop)
    }

    fn symlink(&mut self, target: &Path, link: &Path) -> Outcome {
        self.line(&[b"ln -s", &quoted(target), &quoted(link)]).map(drop)
    }

    fn hard_link(&mut self, existing: &Path, link: &Path) -> Outcome {
        self.line(&[b"ln", &quoted(existing), &quoted(link)]).map(drop)
    }

    fn put_tree(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.line(&[b"put -R", &quoted(local), &quoted(remote)]).map(drop)
    }

    fn get_tree(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.line(&[b"get -R", &quoted(remote), &quoted(local)]).map(drop)
    }

    fn links(&self) -> Links {
        Links::Skipped
    }

    fn cannot_say(&self, name: &OddName) -> Option<&'static str> {
        name.has_newline().then_some("a batch file has one command a line")
    }
}

/// Lines printed by commands, without the echo of the commands, with the octal escapes of OpenSSH
/// (`\374` for a byte that is no character) turned back.
fn lines_of(printed: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    printed
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty() && !line.starts_with(b"sftp> "))
        .map(unescape_octal)
}

fn unescape_octal(line: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(line.len());
    let mut rest = line;
    while let [first, tail @ ..] = rest {
        let digits = if *first == b'\\' { tail.get(..3) } else { None };
        let value = digits
            .and_then(|digits| str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match value {
            Some(byte) => {
                plain.push(byte);
                rest = &tail[3..];
            }
            None => {
                plain.push(*first);
                rest = tail;
            }
        }
    }
    plain
}

/// `-rw-r-----` as a number.
pub(super) fn mode_of_letters(letters: &str) -> Option<u32> {
    let letters = letters.as_bytes().get(1..10)?;
    let mut mode = 0;
    for (index, letter) in letters.iter().enumerate() {
        let bit = 0o400 >> index;
        match letter {
            b'-' => {}
            b'r' | b'w' | b'x' => mode |= bit,
            b's' | b't' => mode |= bit | special(index),
            b'S' | b'T' => mode |= special(index),
            _ => return None,
        }
    }
    Some(mode)
}

fn special(index: usize) -> u32 {
    match index {
        2 => 0o4000,
        5 => 0o2000,
        _ => 0o1000,
    }
}
