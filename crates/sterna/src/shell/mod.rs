//! The sftp shell: one connection, a directory on each side, and commands in the words of
//! OpenSSH's sftp.
//!
//! `line.rs` reads a line, this file carries it out, `input.rs` says where lines come from.

mod again;
mod complete;
mod help;
pub mod input;
pub mod line;
mod words;

use std::{
    env, fs,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
};

use sterna_client::{
    Attrs, Error, FileKind, Reconnect, Session, Sftp,
    transfer::{Options, Summary},
};
use sterna_sftp_proto::Owner;

use self::{
    again::Again,
    complete::Completion,
    line::{LsFlags, ShellCommand, TransferFlags},
    words::Word,
};
use crate::{
    commands::{chmod, df, onto::is_directory},
    exit::Exit,
    failure::{Failure, Result},
    glob::{self, PatternByte},
    listing::{self, Item, Order, Style},
    local_glob,
    output::{Meter, Output, Shown, display_name},
    remote_glob::{self, join},
    transfer::Transfers,
};

/// Defaults from the command line for every transfer.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults {
    pub preserve: bool,
    pub recursive: bool,
}

/// One session of the shell.
pub struct Shell {
    sftp: Sftp,
    /// Missing if the shell talks to a program.
    session: Option<Session>,
    /// Missing in a batch.
    again: Option<Arc<Again>>,
    /// The remote directory, absolute.
    directory: Vec<u8>,
    output: Output,
    defaults: Defaults,
    /// Whether progress is drawn (`progress` turns it on and off).
    progress: bool,
    verbose: bool,
}

/// Whether the shell goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Line,
    End,
}

impl Shell {
    /// Starts in the directory in which the login starts.
    ///
    /// # Errors
    /// If the server does not say where that is.
    pub async fn start(
        sftp: Sftp,
        session: Option<Session>,
        output: Output,
        defaults: Defaults,
        verbose: bool,
    ) -> Result<Self> {
        let directory = sftp.realpath(b".").await?;
        let progress = output.progress != Shown::Not;
        let again = None;
        Ok(Self { sftp, session, again, directory, output, defaults, progress, verbose })
    }

    /// What completes the names of this shell.
    fn completion(&self) -> Completion {
        Completion::new(self.sftp.clone(), self.directory.clone())
    }

    /// Goes to the directory that the command line names; a file is fetched instead, and then the
    /// shell is over.
    ///
    /// # Errors
    /// If neither is possible.
    pub async fn enter(&mut self, path: &[u8], target: Option<&Path>) -> Result<Next> {
        let path = join(&self.directory, path);
        if target.is_none() && is_directory(&self.sftp, &path).await {
            self.directory = self.sftp.realpath(&path).await?;
            return Ok(Next::Line);
        }
        let target = target.unwrap_or(Path::new("."));
        self.fetch(vec![path], target, TransferFlags::default()).await?;
        Ok(Next::End)
    }

    /// Carries out one command.
    ///
    /// # Errors
    /// What went wrong; the shell itself can go on unless the connection is gone.
    pub async fn carry_out(&mut self, command: ShellCommand) -> Result<Next> {
        match command {
            ShellCommand::Bye => return Ok(Next::End),
            ShellCommand::Help => self.output.line(help::TEXT.trim_end())?,
            ShellCommand::Version => self.output.line("SFTP protocol version 3")?,
            ShellCommand::Progress => {
                self.progress = !self.progress;
                let state = if self.progress { "on" } else { "off" };
                self.output.line(format!("Progress meter {state}"))?;
            }
            ShellCommand::Pwd => {
                let directory = self.output.name(&self.directory);
                self.output.line([b"Remote working directory: ", &directory[..]].concat())?;
            }
            ShellCommand::Lpwd => {
                let directory = env::current_dir().map_err(|e| Failure::io("lpwd", &e))?;
                let directory = self.output.name(directory.as_os_str().as_bytes());
                self.output.line([b"Local working directory: ", &directory[..]].concat())?;
            }
            ShellCommand::Cd { path } => self.cd(path).await?,
            ShellCommand::Lcd { path } => lcd(path)?,
            ShellCommand::Lls { arguments } => {
                run_locally(&[b"ls ", &arguments[..]].concat())?;
            }
            ShellCommand::Lmkdir { path } => {
                let path = local_path(&path);
                fs::create_dir(&path).map_err(|error| local_failure(&path, &error))?;
            }
            ShellCommand::Lumask { mask } => {
                rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
                self.output.line(format!("Local umask: {mask:03o}"))?;
            }
            ShellCommand::Local { command: None } => run_locally(b"exec \"${SHELL:-/bin/sh}\"")?,
            ShellCommand::Local { command: Some(command) } => run_locally(&command)?,
            ShellCommand::Ls { flags, path } => self.ls(flags, path).await?,
            ShellCommand::Get { flags, remote, local } => self.get(flags, &remote, local).await?,
            ShellCommand::Put { flags, local, remote } => self.put(flags, &local, remote).await?,
            ShellCommand::Mkdir { path } => self.sftp.mkdir(self.path(&path), None).await?,
            ShellCommand::Rmdir { path } => self.sftp.rmdir(self.path(&path)).await?,
            ShellCommand::Rename { from, to } => {
                self.sftp.rename(self.path(&from), self.path(&to)).await?;
            }
            ShellCommand::Ln { symbolic: true, existing, new } => {
                // The text of a symbolic link is not a path of ours: it stays as it was typed.
                self.sftp.symlink(existing.plain(), self.path(&new)).await?;
            }
            ShellCommand::Ln { symbolic: false, existing, new } => {
                self.sftp.hardlink(self.path(&existing), self.path(&new)).await?;
            }
            ShellCommand::Cp { from, to } => {
                self.sftp.copy_file(self.path(&from), self.path(&to)).await?;
            }
            ShellCommand::Rm { path } => {
                for path in self.matches(&path).await? {
                    self.say("Removing", &path)?;
                    self.sftp.remove(&path).await?;
                }
            }
            ShellCommand::Chmod { follow, mode, path } => {
                for path in self.matches(&path).await? {
                    self.say("Changing mode on", &path)?;
                    chmod::change(&self.sftp, &path, &mode, follow).await?;
                }
            }
            ShellCommand::Chown { follow, uid, path } => {
                self.change_owner(&path, follow, |owner| Owner { uid, ..owner }).await?;
            }
            ShellCommand::Chgrp { follow, gid, path } => {
                self.change_owner(&path, follow, |owner| Owner { gid, ..owner }).await?;
            }
            ShellCommand::Df { human, inodes, path } => {
                let path = path.map_or_else(|| self.directory.clone(), |path| self.path(&path));
                let usage = df::ask(&self.sftp, &path).await?;
                self.output.line(df::heading(inodes))?;
                self.output.line(usage.line(&path, human, inodes))?;
            }
        }
        Ok(Next::Line)
    }

    async fn cd(&mut self, path: Option<Word>) -> Result<()> {
        let path = match path {
            Some(path) => self.one_match(&path).await?,
            None => self.sftp.home_directory(b"").await?,
        };
        let resolved = self.sftp.realpath(&path).await?;
        if FileKind::of(&self.sftp.stat(&resolved).await?) != FileKind::Dir {
            return Err(remote_failure("cd", &resolved, "not a directory"));
        }
        self.directory = resolved;
        Ok(())
    }

    async fn ls(&self, flags: LsFlags, path: Option<Word>) -> Result<()> {
        let style = style_of(flags);
        let Some(word) = path else {
            let directory = self.directory.clone();
            return self.list(&directory, b"", flags, &style).await;
        };
        let matches = self.matches(&word).await?;
        if let [only] = &matches[..]
            && is_directory(&self.sftp, only).await
        {
            let shown = if word.has_magic() { self.relative(only) } else { word.plain() };
            return self.list(only, &shown, flags, &style).await;
        }
        let mut items = Vec::with_capacity(matches.len());
        for path in &matches {
            let mut item = Item::named(path, self.sftp.lstat(path).await?);
            item.name = if word.has_magic() { self.relative(path) } else { word.plain() };
            items.push(item);
        }
        listing::sort(&mut items, &style);
        listing::print(&self.sftp, &self.output, &items, &style).await
    }

    /// Lists a directory; names are shown below `shown`, the way the directory was named.
    async fn list(&self, path: &[u8], shown: &[u8], flags: LsFlags, style: &Style) -> Result<()> {
        let mut dir = self.sftp.open_dir(path).await?;
        let mut items = Vec::new();
        while let Some(batch) = dir.next_batch().await? {
            for entry in batch.into_iter().filter(|e| flags.all || !e.name.starts_with(b".")) {
                let mut item = Item::entry(path, entry);
                item.name = join(shown, &item.name);
                items.push(item);
            }
        }
        listing::sort(&mut items, style);
        listing::print(&self.sftp, &self.output, &items, style).await
    }

    async fn get(&self, flags: TransferFlags, remote: &Word, local: Option<Word>) -> Result<()> {
        let sources = self.matches(remote).await?;
        let target = local.map_or_else(|| PathBuf::from("."), |local| local_path(&local));
        if sources.len() > 1 && !target.is_dir() {
            let name = display_name(target.as_os_str().as_bytes());
            return Err(Failure::incomplete(name, "several files match, and this is no directory"));
        }
        self.fetch(sources, &target, flags).await
    }

    async fn fetch(
        &self,
        sources: Vec<Vec<u8>>,
        target: &Path,
        flags: TransferFlags,
    ) -> Result<()> {
        let transfers = self.transfers(flags);
        let meter = transfers.meter.clone();
        let result = transfers.get(&sources, target).await;
        said(&meter, result)
    }

    async fn put(&self, flags: TransferFlags, local: &Word, remote: Option<Word>) -> Result<()> {
        let sources = local_glob::expand(&local.0);
        if sources.is_empty() {
            return Err(Failure::incomplete(
                display_name(&local.plain()),
                "no such file or directory",
            ));
        }
        let target = remote.map_or_else(|| self.directory.clone(), |remote| self.path(&remote));
        if sources.len() > 1 && !is_directory(&self.sftp, &target).await {
            let name = display_name(&target);
            return Err(Failure::incomplete(name, "several files match, and this is no directory"));
        }
        let transfers = self.transfers(flags);
        let meter = transfers.meter.clone();
        let result = transfers.put(&sources, &target).await;
        said(&meter, result)
    }

    async fn change_owner(
        &self,
        path: &Word,
        follow: bool,
        change: impl Fn(Owner) -> Owner,
    ) -> Result<()> {
        for path in self.matches(path).await? {
            self.say("Changing owner on", &path)?;
            let old = match follow {
                true => self.sftp.stat(&path).await?,
                false => self.sftp.lstat(&path).await?,
            };
            // Version 3 sets both or none: the other one must be known.
            let Some(owner) = old.owner else {
                return Err(remote_failure("change owner", &path, "the server tells no owner"));
            };
            let new = Attrs { owner: Some(change(owner)), ..Attrs::default() };
            match follow {
                true => self.sftp.set_attrs(&path, &new).await?,
                false => self.sftp.set_link_attrs(&path, &new).await?,
            }
        }
        Ok(())
    }

    fn transfers(&self, flags: TransferFlags) -> Transfers<'_> {
        let output = self.output.with_progress((!self.progress).then_some(false));
        Transfers {
            sftp: &self.sftp,
            session: self.session.as_ref(),
            reconnect: self.again.clone().map(|again| again as Arc<dyn Reconnect>),
            // `reget` and `-a` ask for what is done anyway: a part is proven and continued. So
            // does `-f`: content is brought to stable storage before it gets its name.
            options: Options {
                recursive: flags.recursive || self.defaults.recursive,
                preserve: flags.preserve || self.defaults.preserve,
                ..Options::default()
            },
            meter: Arc::new(Meter::new(output, self.verbose)),
        }
    }

    /// The absolute path that a word means.
    fn path(&self, word: &Word) -> Vec<u8> {
        let path = word.plain();
        if path.starts_with(b"/") { path } else { join(&self.directory, &path) }
    }

    /// A path as seen from the current directory, for showing it.
    fn relative(&self, path: &[u8]) -> Vec<u8> {
        let below = path.strip_prefix(&self.directory[..]).map(|below| {
            below.strip_prefix(b"/").unwrap_or(if self.directory == b"/" { below } else { path })
        });
        below.filter(|below| !below.is_empty()).unwrap_or(path).to_vec()
    }

    /// Paths that a word means: what it matches as a pattern, else the path itself.
    async fn matches(&self, word: &Word) -> Result<Vec<Vec<u8>>> {
        if !word.has_magic() {
            return Ok(vec![self.path(word)]);
        }
        let mut pattern: Vec<PatternByte> = Vec::new();
        if word.0.first().is_none_or(|first| first.byte != b'/') {
            let directory = self.directory.iter().chain(b"/");
            pattern.extend(directory.map(|&byte| PatternByte { byte, special: false }));
        }
        pattern.extend(&word.0);
        let found = remote_glob::expand(&self.sftp, &pattern).await?;
        if found.is_empty() {
            return Err(remote_failure("find", &glob::plain(&pattern), "nothing matches"));
        }
        Ok(found)
    }

    async fn one_match(&self, word: &Word) -> Result<Vec<u8>> {
        let mut found = self.matches(word).await?;
        match found.len() {
            1 => Ok(found.remove(0)),
            _ => Err(remote_failure("find", &word.plain(), "matches more than one")),
        }
    }

    /// Says what happens to a path, when a person or a protocol of a batch looks on.
    fn say(&self, doing: &str, path: &[u8]) -> Result<()> {
        if self.output.quiet {
            return Ok(());
        }
        let name = self.output.name(path);
        self.output.line([doing.as_bytes(), b" ", &name].concat())
    }
}

fn style_of(flags: LsFlags) -> Style {
    let order = match (flags.unsorted, flags.by_time, flags.by_size) {
        (true, ..) => Order::None,
        (_, true, _) => Order::Time,
        (_, _, true) => Order::Size,
        _ => Order::Name,
    };
    Style {
        long: flags.long,
        one_per_line: flags.one_per_line,
        human: flags.human,
        numeric: flags.numeric,
        order,
        reverse: flags.reverse,
    }
}

/// Says how a transfer went.
fn said(meter: &Meter, result: std::result::Result<Summary, Error>) -> Result<()> {
    match result {
        Ok(summary) => {
            let ended = ended(&summary);
            meter.finish(&summary, ended.as_ref().is_err_and(Failure::is_cancelled));
            ended
        }
        Err(error) => {
            meter.clear();
            Err(error.into())
        }
    }
}

/// The end of a transfer whose single failures were already reported.
fn ended(summary: &Summary) -> Result<()> {
    let lost = |error: &Error| error.ends_channel() && !matches!(error, Error::Cancelled);
    match Exit::from_status(summary.exit_code()) {
        Exit::Done => Ok(()),
        Exit::Interrupted if !summary.errors.iter().any(|(_, error)| lost(error)) => {
            Err(Failure::cancelled())
        }
        exit => Err(Failure::reported(exit)),
    }
}

fn lcd(path: Option<Word>) -> Result<()> {
    let path = match path {
        Some(path) => local_path(&path),
        None => env::home_dir().ok_or_else(|| Failure::incomplete("lcd", "no home directory"))?,
    };
    env::set_current_dir(&path).map_err(|error| local_failure(&path, &error))
}

/// Runs a line in the local shell. How it ends is its own affair, as in OpenSSH.
fn run_locally(line: &[u8]) -> Result<()> {
    let line = std::ffi::OsStr::from_bytes(line);
    let status = Command::new("/bin/sh").arg("-c").arg(line).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => eprintln!("sterna: local command: {status}"),
        Err(error) => return Err(Failure::io("/bin/sh", &error)),
    }
    Ok(())
}

fn local_path(word: &Word) -> PathBuf {
    std::ffi::OsString::from_vec(word.plain()).into()
}

fn local_failure(path: &Path, error: &std::io::Error) -> Failure {
    Failure::io(display_name(path.as_os_str().as_bytes()), error)
}

fn remote_failure(doing: &str, path: &[u8], why: &str) -> Failure {
    Failure::incomplete(format!("{doing} \"{}\"", display_name(path)), why)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ended_with(error: Error) -> Failure {
        let mut summary = Summary::default();
        summary.count_failed(b"f", error);
        ended(&summary).unwrap_err()
    }

    #[test]
    fn a_person_who_stops_a_transfer_stays_in_the_shell() {
        let lost = Error::Interrupted { doing: "write", why: "connection lost".into() };

        assert!(ended_with(Error::Cancelled).is_cancelled());
        assert!(!ended_with(lost).is_cancelled());
    }
}
