//! Our own client: `sterna get`, `put`, `ls` and the other commands.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use sterna_testkit::openssh::Login;
use sterna_testkit::processes::{Finished, run};

use super::{Client, Stat, checked, command_max, name};
use crate::binary;
use crate::server::Server;
use crate::steps::{Failure, Outcome};
use crate::trees::Links;

/// One `sterna` for each operation.
#[derive(Clone, Debug)]
pub struct Sterna {
    login: Login,
    home: PathBuf,
    extra: Vec<OsString>,
}

impl Sterna {
    pub fn new(server: &Server) -> Self {
        Self { login: server.login.clone(), home: server.place.dir("sterna_home"), extra: vec![] }
    }

    /// The same with `-o KEY=VALUE`.
    #[must_use]
    pub fn option(mut self, option: &str) -> Self {
        self.extra.extend(["-o".into(), option.into()]);
        self
    }

    /// The command line of `sterna VERB FLAGS… -- WORDS…`.
    pub fn command(&self, verb: &str, flags: &[&str], words: &[OsString]) -> Command {
        let mut sterna = Command::new(binary::sterna());
        sterna.arg(verb).args(flags).arg("-P").arg(self.login.port.to_string());
        sterna.args(self.login.options()).args(&self.extra).arg("--").args(words);
        sterna.env("HOME", &self.home).env_remove("SSH_AUTH_SOCK").env_remove("STERNA_PASSWORD");
        sterna.env("LC_ALL", "C.UTF-8");
        sterna
    }

    /// Runs `sterna VERB FLAGS… -- WORDS…` to its end, however that is.
    pub fn run(&self, verb: &str, flags: &[&str], words: &[OsString]) -> Finished {
        run(&mut self.command(verb, flags, words), b"", command_max())
    }

    /// `user@127.0.0.1:PATH`
    pub fn place(&self, path: impl AsRef<OsStr>) -> OsString {
        let mut place = OsString::from(self.login.destination() + ":");
        place.push(path);
        place
    }

    fn done(&self, verb: &str, flags: &[&str], words: &[OsString]) -> Outcome<Finished> {
        checked(self.run(verb, flags, words))
    }

    /// The objects, one a line, that a command with `--json` printed.
    fn objects(done: &Finished) -> Outcome<Vec<Value>> {
        let lines = done.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        lines
            .map(serde_json::from_slice)
            .collect::<Result<_, _>>()
            .map_err(|e| Failure::Failed(format!("{e}\n{}", done.describe())))
    }

    /// A transfer with `--json`: the summary must say what the exit status says.
    fn transfer(&self, verb: &str, flags: &[&str], words: &[OsString]) -> Outcome {
        let done = self.done(verb, &[&["--json"], flags].concat(), words)?;
        let events = Self::objects(&done)?;
        let summary = events.iter().find(|e| e["event"] == "summary");
        let failed = summary.and_then(|summary| summary["failed"].as_u64());
        if failed != Some(0) {
            let what = "status 0, but no summary with 0 failed";
            return Err(Failure::Failed(format!("{what}\n{}", done.describe())));
        }
        Ok(())
    }
}

impl Client for Sterna {
    fn name(&self) -> &str {
        "sterna"
    }

    fn put(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.transfer("put", &[], &[local.into(), self.place(remote)])
    }

    fn get(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.transfer("get", &[], &[self.place(remote), local.into()])
    }

    fn put_with_time(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.transfer("put", &["-p"], &[local.into(), self.place(remote)])
    }

    fn get_with_time(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.transfer("get", &["-p"], &[self.place(remote), local.into()])
    }

    fn list(&mut self, dir: &Path) -> Outcome<Vec<OsString>> {
        let done = self.done("ls", &["-a", "--json"], &[self.place(dir)])?;
        let names = Self::objects(&done)?.iter().map(name_of).collect::<Outcome<Vec<_>>>()?;
        Ok(names.into_iter().filter(|name| name != "." && name != "..").collect())
    }

    fn stat(&mut self, path: &Path) -> Outcome<Stat> {
        let done = self.done("stat", &["--json"], &[self.place(path)])?;
        let objects = Self::objects(&done)?;
        let [object] = &objects[..] else {
            return Err(Failure::Failed(done.describe()));
        };
        let mode = match &object["mode"] {
            Value::String(octal) => u32::from_str_radix(octal, 8).ok(),
            number => number.as_u64().and_then(|mode| u32::try_from(mode).ok()),
        };
        Ok(Stat {
            size: object["size"].as_u64(),
            mode: mode.map(|mode| mode & 0o7777),
            mtime: object["mtime"].as_i64(),
        })
    }

    fn make_dir(&mut self, path: &Path) -> Outcome {
        self.done("mkdir", &[], &[self.place(path)]).map(drop)
    }

    fn remove_dir(&mut self, path: &Path) -> Outcome {
        self.done("rmdir", &[], &[self.place(path)]).map(drop)
    }

    fn remove(&mut self, path: &Path) -> Outcome {
        self.done("rm", &[], &[self.place(path)]).map(drop)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Outcome {
        self.done("mv", &[], &[self.place(from), self.place(to)]).map(drop)
    }

    fn replace(&mut self, from: &Path, to: &Path) -> Outcome {
        self.rename(from, to)
    }

    fn chmod(&mut self, path: &Path, mode: u32) -> Outcome {
        let mode = format!("{mode:o}").into();
        self.done("chmod", &[], &[mode, self.place(path)]).map(drop)
    }

    fn symlink(&mut self, target: &Path, link: &Path) -> Outcome {
        self.done("ln", &["-s"], &[target.into(), self.place(link)]).map(drop)
    }

    fn read_link(&mut self, link: &Path) -> Outcome<OsString> {
        let done = self.done("stat", &["--json"], &[self.place(link)])?;
        let objects = Self::objects(&done)?;
        let target = objects.first().and_then(|object| object["link"].as_str());
        target.map(OsString::from).ok_or_else(|| Failure::Failed(done.describe()))
    }

    fn hard_link(&mut self, existing: &Path, link: &Path) -> Outcome {
        self.done("ln", &[], &[self.place(existing), self.place(link)]).map(drop)
    }

    fn put_tree(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.transfer("put", &["-r"], &[local.into(), self.place(remote)])
    }

    fn get_tree(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.transfer("get", &["-r"], &[self.place(remote), local.into()])
    }

    fn remove_tree(&mut self, path: &Path) -> Outcome {
        self.done("rm", &["-r"], &[self.place(path)]).map(drop)
    }

    fn links(&self) -> Links {
        Links::Kept
    }
}

/// The name in an object of `sterna ls --json`: exact in `name_base64` if it is not UTF-8.
fn name_of(object: &Value) -> Outcome<OsString> {
    let exact = object["name_base64"].as_str().map(|text| STANDARD.decode(text));
    let name = match exact {
        Some(decoded) => decoded.ok().map(|bytes| name(&bytes)),
        None => object["name"].as_str().map(OsString::from),
    };
    name.ok_or_else(|| Failure::Failed(format!("no name in {object}")))
}
