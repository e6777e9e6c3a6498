//! Tab completion in the sftp shell: commands, then remote or local names, quoted as a line is read.
//!
//! Names that are no text, or hold control characters, cannot be typed and are left out.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use sterna_client::{Error, FileKind, Sftp};
use tokio::runtime::Handle;

use super::words::{self, Unfinished};
use crate::output::display_name;
use crate::remote_glob::join;

/// Longest wait for the server's names: who types does not want to wait for a slow link.
const WAIT_MAX: Duration = Duration::from_secs(3);
/// Entries of one directory that are looked at.
const ENTRIES_MAX: usize = 20_000;

/// Every command's name, for completing it; aliases are left to those who know them.
const COMMANDS: [&str; 32] = [
    "bye", "cd", "chgrp", "chmod", "chown", "cp", "df", "exit", "get", "help", "lcd", "lls",
    "lmkdir", "ln", "lpwd", "ls", "lumask", "mkdir", "progress", "put", "pwd", "quit", "reget",
    "rename", "reput", "rm", "rmdir", "symlink", "version", "mget", "mput", "mv",
];

/// Where names come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Remote,
    Local,
}

/// What may stand at the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    Command,
    Name { side: Side, only_dirs: bool },
    Nothing,
}

/// A name that fits.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Found {
    name: String,
    /// `None`: a link, which may lead to one.
    is_dir: Option<bool>,
}

/// Completes lines of one shell.
pub struct Completion {
    pub sftp: Sftp,
    /// The remote directory that relative paths count from.
    pub directory: Vec<u8>,
    runtime: Handle,
}

impl Completion {
    /// Must be made inside of the runtime that serves `sftp`; completes on other threads.
    pub fn new(sftp: Sftp, directory: Vec<u8>) -> Self {
        Self { sftp, directory, runtime: Handle::current() }
    }

    /// Names in a directory that begin with `prefix`. A directory that cannot be read has none.
    fn names(&self, side: Side, dir: &[u8], prefix: &[u8]) -> Vec<Found> {
        match side {
            Side::Local => local_names(dir, prefix),
            Side::Remote => {
                let listing = self.remote_names(self.absolute(dir), prefix);
                let names = async { tokio::time::timeout(WAIT_MAX, listing).await };
                self.runtime.block_on(names).ok().and_then(Result::ok).unwrap_or_default()
            }
        }
    }

    async fn remote_names(&self, dir: Vec<u8>, prefix: &[u8]) -> Result<Vec<Found>, Error> {
        let mut dir = self.sftp.open_dir(&dir).await?;
        let (mut found, mut seen) = (Vec::new(), 0);
        while let Some(batch) = dir.next_batch().await? {
            seen += batch.len();
            for entry in batch {
                let is_dir = match entry.kind() {
                    FileKind::Dir => Some(true),
                    FileKind::Symlink | FileKind::Unknown => None,
                    FileKind::File | FileKind::Other => Some(false),
                };
                found.extend(fitting(&entry.name, prefix, is_dir));
            }
            if seen > ENTRIES_MAX {
                break;
            }
        }
        Ok(found)
    }

    /// Whether a path leads to a directory.
    fn leads_to_dir(&self, side: Side, path: &[u8]) -> bool {
        match side {
            Side::Local => fs::metadata(OsStr::from_bytes(path)).is_ok_and(|m| m.is_dir()),
            Side::Remote => {
                let path = self.absolute(path);
                let stat = async { tokio::time::timeout(WAIT_MAX, self.sftp.stat(&path)).await };
                let attrs = self.runtime.block_on(stat).ok().and_then(Result::ok);
                attrs.is_some_and(|attrs| FileKind::of(&attrs) == FileKind::Dir)
            }
        }
    }

    fn absolute(&self, path: &[u8]) -> Vec<u8> {
        if path.starts_with(b"/") { path.to_vec() } else { join(&self.directory, path) }
    }

    fn complete_name(&self, typed: &Unfinished, side: Side, only_dirs: bool) -> Vec<Pair> {
        // What is a pattern is not the start of a name.
        if typed.word.has_magic() {
            return Vec::new();
        }
        let path = typed.word.plain();
        let (dir, prefix) =
            path.split_at(path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1));
        let Ok(dir_text) = std::str::from_utf8(dir) else { return Vec::new() };
        let mut found = self.names(side, dir, prefix);
        found.retain(|found| !only_dirs || found.is_dir != Some(false));
        found.sort_by(|a, b| a.name.cmp(&b.name));
        if let [only] = &mut found[..]
            && only.is_dir.is_none()
        {
            only.is_dir = Some(self.leads_to_dir(side, &[dir, only.name.as_bytes()].concat()));
        }
        let is_only = found.len() == 1;
        found.iter().map(|found| pair(found, dir_text, typed.quote, is_only)).collect()
    }
}

impl Completer for Completion {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let line = line.get(..pos).unwrap_or_default();
        let Some((start, typed)) = typed(line) else { return Ok((pos, Vec::new())) };
        let candidates = match wanted(&typed) {
            Wanted::Command => commands(&typed.word.text()),
            Wanted::Name { side, only_dirs } => self.complete_name(&typed, side, only_dirs),
            Wanted::Nothing => Vec::new(),
        };
        Ok((start, candidates))
    }
}

impl Helper for Completion {}

impl Hinter for Completion {
    type Hint = String;
}

impl Highlighter for Completion {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        Cow::Borrowed(line)
    }
}

impl Validator for Completion {}

/// The word at the end of a line, and the byte of the line at which it begins.
fn typed(line: &str) -> Option<(usize, Unfinished)> {
    let command = line.trim_start().trim_start_matches(['-', '@']).trim_start();
    // Another shell reads what stands behind it.
    if command.starts_with('!') {
        return None;
    }
    let typed = words::unfinished(command.as_bytes())?;
    Some((line.len() - command.len() + typed.start, typed))
}

fn wanted(typed: &Unfinished) -> Wanted {
    use Side::{Local, Remote};
    let Some((command, operands)) = typed.before.split_first() else { return Wanted::Command };
    let mut only_operands = false;
    let mut at = 0;
    for word in operands {
        let text = word.text();
        if only_operands || !text.starts_with('-') {
            at += 1;
        }
        only_operands |= text == "--";
    }
    let name = |side| Wanted::Name { side, only_dirs: false };
    let dir = |side| Wanted::Name { side, only_dirs: true };
    match (command.text().to_ascii_lowercase().as_str(), at) {
        ("cd" | "chdir" | "mkdir" | "rmdir", 0) => dir(Remote),
        ("lcd" | "lchdir" | "lmkdir", 0) => dir(Local),
        ("lls", _) => name(Local),
        ("ls" | "dir" | "rm" | "delete" | "df", 0) => name(Remote),
        ("rename" | "mv" | "cp" | "copy" | "ln" | "symlink", 0 | 1) => name(Remote),
        ("chmod" | "chown" | "chgrp", 1) => name(Remote),
        ("get" | "mget" | "reget", 0) | ("put" | "mput" | "reput", 1) => name(Remote),
        ("put" | "mput" | "reput", 0) | ("get" | "mget" | "reget", 1) => name(Local),
        _ => Wanted::Nothing,
    }
}

fn commands(prefix: &str) -> Vec<Pair> {
    let mut found: Vec<&str> =
        COMMANDS.into_iter().filter(|name| name.starts_with(prefix)).collect();
    found.sort_unstable();
    let pair = |name: &str| Pair { display: name.to_owned(), replacement: format!("{name} ") };
    found.into_iter().map(pair).collect()
}

fn pair(found: &Found, dir: &str, quote: Option<u8>, is_only: bool) -> Pair {
    let slash = if found.is_dir == Some(true) { "/" } else { "" };
    let display = display_name(found.name.as_bytes()) + slash;
    let mut replacement = words::quoted(&format!("{dir}{}{slash}", found.name), quote);
    // A word that is complete; behind a directory more may come.
    if is_only && found.is_dir != Some(true) {
        replacement.extend(quote.map(char::from));
        replacement.push(' ');
    }
    Pair { display, replacement }
}

/// Names that begin with a dot need a dot to be found by.
fn fitting(name: &[u8], prefix: &[u8], is_dir: Option<bool>) -> Option<Found> {
    let hidden = name.starts_with(b".") && !prefix.starts_with(b".");
    let text = std::str::from_utf8(name).ok().filter(|text| !text.chars().any(char::is_control))?;
    let fits = name.starts_with(prefix) && !hidden;
    fits.then(|| Found { name: text.to_owned(), is_dir })
}

fn local_names(dir: &[u8], prefix: &[u8]) -> Vec<Found> {
    let dir = if dir.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(dir) };
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    let entries = entries.flatten().take(ENTRIES_MAX);
    let found = entries.filter_map(|entry| {
        let kind = entry.file_type().ok()?;
        let is_dir = if kind.is_symlink() { None } else { Some(kind.is_dir()) };
        fitting(entry.file_name().as_bytes(), prefix, is_dir)
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use sterna_client::SftpOptions;
    use sterna_testkit::sftp::{OddServer, Tree};

    use super::*;

    fn wanted_at(line: &str) -> Wanted {
        typed(line).map_or(Wanted::Nothing, |(_, typed)| wanted(&typed))
    }

    #[test]
    fn each_operand_is_completed_from_its_own_side() {
        let name = |side| Wanted::Name { side, only_dirs: false };
        let dir = |side| Wanted::Name { side, only_dirs: true };
        for (line, expected) in [
            ("", Wanted::Command),
            ("-@ge", Wanted::Command),
            ("get ", name(Side::Remote)),
            ("get -r -p ", name(Side::Remote)),
            ("get -- -x ", name(Side::Local)),
            ("get a ", name(Side::Local)),
            ("get a b ", Wanted::Nothing),
            ("put 'a b", name(Side::Local)),
            ("put a ", name(Side::Remote)),
            ("chmod 6", Wanted::Nothing),
            ("chmod -h 600 ", name(Side::Remote)),
            ("cd ", dir(Side::Remote)),
            ("lcd ", dir(Side::Local)),
            ("lls -l ", name(Side::Local)),
            ("!cat ", Wanted::Nothing),
            ("ls # ", Wanted::Nothing),
            ("nonsense ", Wanted::Nothing),
        ] {
            assert_eq!(wanted_at(line), expected, "{line}");
        }
    }

    /// Completes at the end of `line`: the whole line with each candidate in place.
    async fn completed(tree: Tree, line: &'static str) -> Vec<String> {
        let server = OddServer::new(tree);
        let sftp = Sftp::over(server.start(), SftpOptions::default()).await.unwrap();
        let completion = Completion::new(sftp, b"/home".to_vec());
        let done = tokio::task::spawn_blocking(move || {
            let history = rustyline::history::MemHistory::new();
            let context = Context::new(&history);
            let (start, pairs) = completion.complete(line, line.len(), &context).unwrap();
            pairs.iter().map(|p| format!("{}{}", &line[..start], p.replacement)).collect()
        });
        done.await.unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn remote_names_come_quoted_and_directories_with_a_slash() {
        let tree = || {
            Tree::new()
                .file("/home/a file.txt", "")
                .file("/home/.hidden", "")
                .file("/home/bad\u{7}name", "")
                .dir("/home/dir name")
                .file("/home/dir name/x'y", "")
                .link("/home/link", "dir name")
                .file("/home/q1", "")
                .file("/home/q2", "")
        };
        for (line, expected) in [
            ("get a", &["get a\\ file.txt "][..]),
            ("get \"a", &["get \"a file.txt\" "]),
            ("get 'a f", &["get 'a file.txt' "]),
            ("get d", &["get dir\\ name/"]),
            ("get dir\\ name/", &["get dir\\ name/x\\'y "]),
            ("get 'dir name/x", &["get 'dir name/x\\'y' "]),
            ("cd l", &["cd link/"]),
            ("cd q", &[]),
            ("get q", &["get q1", "get q2"]),
            ("get .", &["get .hidden "]),
            ("get bad", &[]),
            ("get q*", &[]),
            ("get /home/q1", &["get /home/q1 "]),
            ("put x /ho", &["put x /home/"]),
            ("ls nowhere/", &[]),
            ("rena", &["rename "]),
        ] {
            assert_eq!(completed(tree(), line).await, expected, "{line}");
        }
    }

    #[test]
    fn every_name_that_is_completed_is_a_command() {
        for name in COMMANDS {
            let parsed = super::super::line::parse(name.as_bytes());

            assert!(
                parsed.is_ok_and(|line| line.command.is_some()) || {
                    let why = super::super::line::parse(name.as_bytes()).unwrap_err();
                    why.contains("needs")
                },
                "{name}"
            );
        }
    }
}
