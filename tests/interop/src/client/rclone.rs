//! rclone with its `sftp` backend.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sterna_testkit::processes::Finished;

use super::{Client, Stat, run_checked, utc};
use crate::names::OddName;
use crate::server::Server;
use crate::steps::{Failure, Outcome};
use crate::trees::Links;

/// One `rclone` for each operation.
#[derive(Clone, Debug)]
pub struct Rclone {
    config: PathBuf,
}

impl Rclone {
    /// # Panics
    /// When its configuration cannot be written.
    pub fn new(server: &Server) -> Self {
        let login = &server.login;
        let config = server.place.path().join("rclone.conf");
        let text = format!(
            "[peer]\ntype = sftp\nhost = 127.0.0.1\nport = {}\nuser = {}\nkey_file = {}\n\
             known_hosts_file = {}\n",
            login.port,
            login.user,
            login.key.private.display(),
            login.known_hosts.display()
        );
        fs::write(&config, text).expect("write rclone.conf");
        Self { config }
    }

    /// Runs `rclone` with these words.
    ///
    /// # Errors
    /// `Failed` with the output when the program does not end with status 0.
    pub fn run(&self, words: &[OsString]) -> Outcome<Finished> {
        let mut rclone = Command::new("rclone");
        rclone.arg("--config").arg(&self.config).args(["-v", "--retries", "1"]);
        rclone.args(["--low-level-retries", "1"]).args(words);
        rclone.env_remove("SSH_AUTH_SOCK").env("LC_ALL", "C.UTF-8");
        run_checked(&mut rclone, b"")
    }

    /// `peer:PATH`
    pub fn place(path: &Path) -> OsString {
        let mut place = OsString::from("peer:");
        place.push(path);
        place
    }

    fn on(&self, verb: &str, path: &Path) -> Outcome<Finished> {
        self.run(&[verb.into(), Self::place(path)])
    }

    fn entries(&self, path: &Path) -> Outcome<Vec<Value>> {
        let done = self.on("lsjson", path)?;
        let text = String::from_utf8_lossy(&done.stdout);
        serde_json::from_str(&text).map_err(|e| Failure::Failed(format!("{e}: {text}")))
    }
}

impl Client for Rclone {
    fn name(&self) -> &str {
        "rclone"
    }

    fn put(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.run(&["copyto".into(), "--ignore-times".into(), local.into(), Self::place(remote)])
            .map(drop)
    }

    fn get(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.run(&["copyto".into(), "--ignore-times".into(), Self::place(remote), local.into()])
            .map(drop)
    }

    fn put_with_time(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.put(local, remote)
    }

    fn get_with_time(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.get(remote, local)
    }

    fn list(&mut self, dir: &Path) -> Outcome<Vec<OsString>> {
        let entries = self.entries(dir)?;
        Ok(entries.iter().filter_map(|e| e["Name"].as_str()).map(OsString::from).collect())
    }

    fn stat(&mut self, path: &Path) -> Outcome<Stat> {
        let entries = self.entries(path)?;
        let [entry] = &entries[..] else {
            return Err(Failure::Failed(format!("not one entry: {entries:?}")));
        };
        Ok(Stat { size: entry["Size"].as_u64(), mode: None, mtime: None })
    }

    fn make_dir(&mut self, path: &Path) -> Outcome {
        self.on("mkdir", path).map(drop)
    }

    fn remove_dir(&mut self, path: &Path) -> Outcome {
        self.on("rmdir", path).map(drop)
    }

    fn remove(&mut self, path: &Path) -> Outcome {
        self.on("deletefile", path).map(drop)
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Outcome {
        self.run(&["moveto".into(), Self::place(from), Self::place(to)]).map(drop)
    }

    fn replace(&mut self, from: &Path, to: &Path) -> Outcome {
        self.run(&["moveto".into(), "--ignore-times".into(), Self::place(from), Self::place(to)])
            .map(drop)
    }

    fn set_mtime(&mut self, path: &Path, mtime: i64) -> Outcome {
        self.run(&[
            "touch".into(),
            "--no-create".into(),
            "--timestamp".into(),
            utc(mtime, "%Y-%m-%dT%H:%M:%S").into(),
            Self::place(path),
        ])
        .map(drop)
    }

    fn put_tree(&mut self, local: &Path, remote: &Path) -> Outcome {
        self.run(&[
            "copy".into(),
            "--create-empty-src-dirs".into(),
            "--copy-links".into(),
            local.into(),
            Self::place(remote),
        ])?;
        // Compares with the digests that the server's `sha1sum` or `md5sum` gives, if it has one.
        self.run(&["check".into(), "--copy-links".into(), local.into(), Self::place(remote)])
            .map(drop)
    }

    fn get_tree(&mut self, remote: &Path, local: &Path) -> Outcome {
        self.run(&[
            "copy".into(),
            "--create-empty-src-dirs".into(),
            "--copy-links".into(),
            Self::place(remote),
            local.into(),
        ])
        .map(drop)
    }

    fn remove_tree(&mut self, path: &Path) -> Outcome {
        self.on("purge", path).map(drop)
    }

    fn links(&self) -> Links {
        Links::Followed
    }

    fn cannot_say(&self, name: &OddName) -> Option<&'static str> {
        (!name.is_utf8()).then_some("rclone quotes names that are not UTF-8 in its own way")
    }
}
