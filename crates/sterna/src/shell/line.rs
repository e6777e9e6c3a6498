//! One line of the sftp shell: its prefixes, its command, its flags and operands.

use super::words::{self, Word};
use crate::mode::ModeChange;

/// A line as it is to be carried out.
#[derive(Debug, PartialEq, Eq)]
pub struct Line {
    pub prefixes: Prefixes,
    /// `None` for an empty line or a comment.
    pub command: Option<ShellCommand>,
}

/// What stands in front of a command.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefixes {
    /// A leading `-`: a batch goes on if this fails, or cannot be read.
    pub ignore_failure: bool,
    /// A leading `@`: a batch does not show this line.
    pub silent: bool,
}

impl Prefixes {
    /// Those of a line, and what is behind them.
    pub fn of(line: &[u8]) -> (Self, &[u8]) {
        let mut rest = line.trim_ascii();
        let mut prefixes = Self::default();
        while let [first @ (b'-' | b'@'), tail @ ..] = rest {
            prefixes.ignore_failure |= *first == b'-';
            prefixes.silent |= *first == b'@';
            rest = tail;
        }
        (prefixes, rest.trim_ascii_start())
    }
}

/// What can be asked for, with the words of OpenSSH's sftp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShellCommand {
    Bye,
    Help,
    Version,
    Progress,
    Pwd,
    Lpwd,
    Cd {
        path: Option<Word>,
    },
    Lcd {
        path: Option<Word>,
    },
    /// The rest of the line, for the local `ls`.
    Lls {
        arguments: Vec<u8>,
    },
    Lmkdir {
        path: Word,
    },
    Lumask {
        mask: u32,
    },
    Ls {
        flags: LsFlags,
        path: Option<Word>,
    },
    Get {
        flags: TransferFlags,
        remote: Word,
        local: Option<Word>,
    },
    Put {
        flags: TransferFlags,
        local: Word,
        remote: Option<Word>,
    },
    Mkdir {
        path: Word,
    },
    Rm {
        path: Word,
    },
    Rmdir {
        path: Word,
    },
    Rename {
        from: Word,
        to: Word,
    },
    Ln {
        symbolic: bool,
        existing: Word,
        new: Word,
    },
    Chmod {
        follow: bool,
        mode: ModeChange,
        path: Word,
    },
    Chown {
        follow: bool,
        uid: u32,
        path: Word,
    },
    Chgrp {
        follow: bool,
        gid: u32,
        path: Word,
    },
    Cp {
        from: Word,
        to: Word,
    },
    Df {
        human: bool,
        inodes: bool,
        path: Option<Word>,
    },
    /// A command for the local shell; without one, the shell itself.
    Local {
        command: Option<Vec<u8>>,
    },
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LsFlags {
    pub one_per_line: bool,
    pub all: bool,
    pub unsorted: bool,
    pub human: bool,
    pub long: bool,
    pub numeric: bool,
    pub reverse: bool,
    pub by_size: bool,
    pub by_time: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransferFlags {
    pub resume: bool,
    pub sync: bool,
    pub preserve: bool,
    pub recursive: bool,
}

/// Reads a line.
///
/// # Errors
/// A sentence that names what is wrong with it.
pub fn parse(line: &[u8]) -> Result<Line, String> {
    let (prefixes, rest) = Prefixes::of(line);
    Ok(Line { prefixes, command: parse_command(rest)? })
}

fn parse_command(rest: &[u8]) -> Result<Option<ShellCommand>, String> {
    // These hand their line to another shell, which has its own quoting.
    if let Some(command) = rest.strip_prefix(b"!") {
        let command = command.trim_ascii();
        let command = (!command.is_empty()).then(|| command.to_vec());
        return Ok(Some(ShellCommand::Local { command }));
    }
    let name_len = rest.iter().position(u8::is_ascii_whitespace).unwrap_or(rest.len());
    if rest[..name_len].eq_ignore_ascii_case(b"lls") {
        let arguments = rest[name_len..].trim_ascii().to_vec();
        return Ok(Some(ShellCommand::Lls { arguments }));
    }
    let mut words = words::split(rest)?.into_iter();
    let Some(name) = words.next() else { return Ok(None) };
    let name = name.text().to_ascii_lowercase();
    let mut operands = Operands { command: &name, words: words.collect() };
    let command = command_named(&name, &mut operands)?;
    operands.end()?;
    Ok(Some(command))
}

fn command_named(name: &str, operands: &mut Operands<'_>) -> Result<ShellCommand, String> {
    Ok(match name {
        "bye" | "exit" | "quit" => ShellCommand::Bye,
        "help" | "?" => ShellCommand::Help,
        "version" => ShellCommand::Version,
        "progress" => ShellCommand::Progress,
        "pwd" => ShellCommand::Pwd,
        "lpwd" => ShellCommand::Lpwd,
        "cd" | "chdir" => ShellCommand::Cd { path: operands.optional() },
        "lcd" | "lchdir" => ShellCommand::Lcd { path: operands.optional() },
        "lmkdir" => ShellCommand::Lmkdir { path: operands.required("a path")? },
        "lumask" => ShellCommand::Lumask { mask: operands.octal("a mask", 0o777)? },
        "ls" | "dir" => {
            let flags = ls_flags(operands)?;
            ShellCommand::Ls { flags, path: operands.optional() }
        }
        "get" | "mget" | "reget" => {
            let flags = transfer_flags(operands, name == "reget")?;
            let remote = operands.required("a remote path")?;
            ShellCommand::Get { flags, remote, local: operands.optional() }
        }
        "put" | "mput" | "reput" => {
            let flags = transfer_flags(operands, name == "reput")?;
            let local = operands.required("a local path")?;
            ShellCommand::Put { flags, local, remote: operands.optional() }
        }
        "mkdir" => ShellCommand::Mkdir { path: operands.required("a path")? },
        "rm" | "delete" => ShellCommand::Rm { path: operands.required("a path")? },
        "rmdir" => ShellCommand::Rmdir { path: operands.required("a path")? },
        "rename" | "mv" => {
            let (from, to) = operands.pair()?;
            ShellCommand::Rename { from, to }
        }
        "ln" | "symlink" => {
            let flags = operands.flags("s")?;
            let (existing, new) = operands.pair()?;
            let symbolic = name == "symlink" || flags.contains(&'s');
            ShellCommand::Ln { symbolic, existing, new }
        }
        "chmod" => {
            let follow = !operands.flags("h")?.contains(&'h');
            let mode = operands.required("a mode")?.text();
            let mode = ModeChange::parse(&mode).ok_or_else(|| format!("{mode}: not a mode"))?;
            ShellCommand::Chmod { follow, mode, path: operands.required("a path")? }
        }
        "chown" => {
            let follow = !operands.flags("h")?.contains(&'h');
            let uid = operands.number("a numeric user id")?;
            ShellCommand::Chown { follow, uid, path: operands.required("a path")? }
        }
        "chgrp" => {
            let follow = !operands.flags("h")?.contains(&'h');
            let gid = operands.number("a numeric group id")?;
            ShellCommand::Chgrp { follow, gid, path: operands.required("a path")? }
        }
        "cp" | "copy" => {
            let (from, to) = operands.pair()?;
            ShellCommand::Cp { from, to }
        }
        "df" => {
            let flags = operands.flags("hi")?;
            let (human, inodes) = (flags.contains(&'h'), flags.contains(&'i'));
            ShellCommand::Df { human, inodes, path: operands.optional() }
        }
        _ => return Err(format!("{}: no such command (try `help`)", name.escape_debug())),
    })
}

fn ls_flags(operands: &mut Operands<'_>) -> Result<LsFlags, String> {
    let given = operands.flags("1afhlnrSt")?;
    let has = |flag| given.contains(&flag);
    Ok(LsFlags {
        one_per_line: has('1'),
        all: has('a'),
        unsorted: has('f'),
        human: has('h'),
        long: has('l') || has('n'),
        numeric: has('n'),
        reverse: has('r'),
        by_size: has('S'),
        by_time: has('t'),
    })
}

fn transfer_flags(operands: &mut Operands<'_>, resume: bool) -> Result<TransferFlags, String> {
    let given = operands.flags("afpPrR")?;
    let has = |flag| given.contains(&flag);
    Ok(TransferFlags {
        resume: resume || has('a'),
        sync: has('f'),
        preserve: has('p') || has('P'),
        recursive: has('r') || has('R'),
    })
}

/// The words after a command's name, taken from the front.
struct Operands<'l> {
    command: &'l str,
    words: std::collections::VecDeque<Word>,
}

impl Operands<'_> {
    /// Takes leading words such as `-lrt`; `--` ends them.
    fn flags(&mut self, allowed: &str) -> Result<Vec<char>, String> {
        let mut flags = Vec::new();
        while let Some(first) = self.words.front() {
            let text = first.text();
            let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
                break;
            };
            if letters != "-" {
                // `chmod -x file` is a mode, not a flag.
                if self.command == "chmod" && letters != "h" {
                    break;
                }
                if let Some(unknown) = letters.chars().find(|&flag| !allowed.contains(flag)) {
                    return Err(format!("{}: no flag -{}", self.command, unknown.escape_debug()));
                }
                flags.extend(letters.chars());
            }
            self.words.pop_front();
            if letters == "-" {
                break;
            }
        }
        Ok(flags)
    }

    fn optional(&mut self) -> Option<Word> {
        self.words.pop_front()
    }

    fn required(&mut self, what: &str) -> Result<Word, String> {
        self.words.pop_front().ok_or_else(|| format!("{}: needs {what}", self.command))
    }

    fn pair(&mut self) -> Result<(Word, Word), String> {
        let what = "an old and a new path";
        Ok((self.required(what)?, self.required(what)?))
    }

    fn octal(&mut self, what: &str, max: u32) -> Result<u32, String> {
        let text = self.required(what)?.text();
        let value = u32::from_str_radix(&text, 8).ok().filter(|value| *value <= max);
        value.ok_or_else(|| format!("{}: {}: not {what}", self.command, text.escape_debug()))
    }

    fn number(&mut self, what: &str) -> Result<u32, String> {
        let text = self.required(what)?.text();
        let value = text.parse().ok();
        value.ok_or_else(|| format!("{}: {}: not {what}", self.command, text.escape_debug()))
    }

    /// Whatever is left was not meant: with a forgotten quote, `rm a b` would remove the wrong file.
    fn end(mut self) -> Result<(), String> {
        match self.words.pop_front() {
            None => Ok(()),
            Some(extra) => {
                let extra = crate::output::display_name(&extra.plain());
                Err(format!("{}: one argument too many: {extra}", self.command))
            }
        }
    }
}

#[cfg(test)]
mod tests;
