//! Paramiko and AsyncSSH: one Python process for a whole test, told what to do line by line.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use sterna_testkit::processes::{Process, Stream};

use super::{Client, Stat, bytes, command_max, name};
use crate::binary::{peer_script, python};
use crate::names::OddName;
use crate::server::Server;
use crate::steps::{Failure, Outcome};
use crate::trees::Links;

/// A library of Python behind a script in `peers/`. Paths travel as hexadecimal bytes.
#[derive(Debug)]
pub struct PythonClient {
    name: &'static str,
    process: Process,
    answers: usize,
    any_bytes: bool,
    links: Links,
}

impl PythonClient {
    /// Paramiko, or `None` where it is not installed.
    pub fn paramiko(server: &Server) -> Option<Self> {
        Self::start("paramiko", "paramiko_client.py", server, &[])
            .map(|client| Self { any_bytes: false, ..client })
    }

    /// AsyncSSH with at most this SFTP version, or `None` where it is not installed.
    pub fn asyncssh(server: &Server, version: u32) -> Option<Self> {
        let version = version.to_string();
        Self::start("asyncssh", "asyncssh_client.py", server, &[&version])
    }

    fn start(name: &'static str, script: &str, server: &Server, more: &[&str]) -> Option<Self> {
        let mut command = Command::new(python()?);
        let login = &server.login;
        command.arg(peer_script(script)).arg(login.port.to_string()).arg(&login.user);
        command.arg(&login.key.private).arg(&login.known_hosts).args(more);
        let process = Process::start(name, &mut command).unwrap_or_else(|e| panic!("{e}"));
        Some(Self { name, process, answers: 0, any_bytes: true, links: Links::Kept })
    }

    fn ask(&mut self, operation: &str, arguments: &[Value]) -> Outcome<Value> {
        let failed = |why: String, process: &Process| {
            Failure::Failed(format!("{operation} {arguments:?}: {why}\n{}", process.log()))
        };
        let question = json!([operation, arguments]).to_string() + "\n";
        if let Err(e) = self.process.send(question.as_bytes()) {
            return Err(failed(e.to_string(), &self.process));
        }
        let wanted = self.answers;
        let line = self.process.wait_for_output(Stream::Stdout, command_max(), |printed| {
            let mut lines = printed.split_inclusive(|byte| *byte == b'\n');
            lines.nth(wanted).filter(|line| line.ends_with(b"\n")).map(<[u8]>::to_vec)
        });
        let line = line.map_err(|why| failed(why.to_owned(), &self.process))?;
        self.answers += 1;
        let mut answer: Value =
            serde_json::from_slice(&line).map_err(|e| failed(e.to_string(), &self.process))?;
        match answer.get("error") {
            Some(why) => Err(failed(why.to_string(), &self.process)),
            None => Ok(answer["ok"].take()),
        }
    }

    /// Which parts of a file of `size` bytes hold data, as the server says: offset and length each.
    ///
    /// # Errors
    /// `Failed` with what the library says.
    pub fn data_ranges(&mut self, path: &Path, size: u64) -> Outcome<Vec<(u64, u64)>> {
        let answer = self.ask("data_ranges", &[Self::path(path), size.into()])?;
        serde_json::from_value(answer).map_err(|e| Failure::Failed(e.to_string()))
    }

    fn path(path: &Path) -> Value {
        bytes(path).iter().map(|byte| format!("{byte:02x}")).collect::<String>().into()
    }
}

/// `"6f6b"` as the bytes `ok`.
fn unhex(value: &Value) -> OsString {
    let digits = value.as_str().unwrap_or_default().as_bytes();
    let byte = |pair: &[u8]| {
        let pair = str::from_utf8(pair).unwrap_or_default();
        u8::from_str_radix(pair, 16).unwrap_or(b'?')
    };
    name(&digits.chunks(2).map(byte).collect::<Vec<_>>())
}

impl Client for PythonClient {
    fn name(&self) -> &str {
        self.name
    }

    fn put(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.ask("put", &[Self::path(local), Self::path(remote)]).map(drop)
    }

    fn get(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.ask("get", &[Self::path(remote), Self::path(local)]).map(drop)
    }

    fn list(&mut self, dir: &Path) -> Outcome<Vec<OsString>> {
        let names = self.ask("list", &[Self::path(dir)])?;
        Ok(names.as_array().into_iter().flatten().map(unhex).collect())
    }

    fn stat(&mut self, path: &Path) -> Outcome<Stat> {
        let stat = self.ask("stat", &[Self::path(path)])?;
        Ok(Stat {
            size: stat["size"].as_u64(),
            mode: stat["mode"].as_u64().and_then(|mode| u32::try_from(mode & 0o7777).ok()),
            mtime: stat["mtime"].as_i64(),
        })
    }

    fn make_dir(&mut self, path: &Path) -> Outcome {
        self.ask("mkdir", &[Self::path(path)]).map(drop)
    }

    fn remove_dir(&mut self, path: &Path) -> Outcome {
        self.ask("rmdir", &[Self::path(path)]).map(drop)
    }

    fn remove(&mut self, path: &Path) -> Outcome {
        self.ask("remove", &[Self::path(path)]).map(drop)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Outcome {
        self.ask("rename", &[Self::path(from), Self::path(to)]).map(drop)
    }

    fn replace(&mut self, from: &Path, to: &Path) -> Outcome {
        self.ask("replace", &[Self::path(from), Self::path(to)]).map(drop)
    }

    fn chmod(&mut self, path: &Path, mode: u32) -> Outcome {
        self.ask("chmod", &[Self::path(path), mode.into()]).map(drop)
    }

    fn set_mtime(&mut self, path: &Path, mtime: i64) -> Outcome {
        self.ask("set_mtime", &[Self::path(path), mtime.into()]).map(drop)
    }

    fn truncate(&mut self, path: &Path, size: u64) -> Outcome {
        self.ask("truncate", &[Self::path(path), size.into()]).map(drop)
    }

    fn symlink(&mut self, target: &Path, link: &Path) -> Outcome {
        self.ask("symlink", &[Self::path(target), Self::path(link)]).map(drop)
    }

    fn read_link(&mut self, link: &Path) -> Outcome<OsString> {
        Ok(unhex(&self.ask("read_link", &[Self::path(link)])?))
    }

    fn hard_link(&mut self, existing: &Path, link: &Path) -> Outcome {
        if self.name == "paramiko" {
            return Err(Failure::Cannot("makes no hard links"));
        }
        self.ask("hard_link", &[Self::path(existing), Self::path(link)]).map(drop)
    }

    fn put_tree(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.ask("put_tree", &[Self::path(local), Self::path(remote)]).map(drop)
    }

    fn get_tree(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.ask("get_tree", &[Self::path(remote), Self::path(local)]).map(drop)
    }

    fn remove_tree(&mut self, path: &Path) -> Outcome {
        self.ask("remove_tree", &[Self::path(path)]).map(drop)
    }

    fn links(&self) -> Links {
        self.links
    }

    fn cannot_say(&self, odd: &OddName) -> Option<&'static str> {
        let utf8 = str::from_utf8(odd.name().as_bytes()).is_ok();
        (!self.any_bytes && !utf8).then_some("lists names that are not UTF-8 wrongly")
    }
}
