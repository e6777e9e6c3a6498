//! `sterna audit`: says whether an audit log is what the server wrote, and with which key it signs.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use sterna_audit::{Given, PublicKey, Report, head_in, public_key_in, row_of, verify};

use super::server_place::ServerArgs;
use crate::{
    args::GlobalArgs,
    exit::Exit,
    failure::{Failure, Result},
    output::{Object, Output, display_name},
    settings,
};

const EXAMPLES: &str = "\
Examples:
  sterna audit verify                         the log of the server of /etc/sterna/sterna.toml
  sterna audit verify --config ./sterna.toml
  sterna audit verify --key key.pub --head head archive/audit.jsonl*
  sterna audit verify --part audit.jsonl.000000004711
  sterna audit key                            prints the public key that verifies the log

A changed byte, a removed line, lines in another order, a cut end and a missing file are named with file
and line. Half a line at the end that the signed head does not speak of comes from a crash, and is said to.
Whoever verifies on another machine needs the public key from a time when the server could be trusted.

Exit status: 0 nothing is wrong, 1 a file cannot be read, 2 wrong usage, 6 something is wrong.";

/// Verify an audit log, or print its key
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, subcommand_required = true, arg_required_else_help = true)]
pub struct AuditArgs {
    #[command(subcommand)]
    pub command: AuditCommand,
}

/// What is done with it.
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    Verify(VerifyArgs),
    Key(KeyArgs),
}

/// Say whether the log is what was written, and what is wrong with it
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    /// Files of the log, in any order (default: all that the settings name)
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Public key that signed it (default: in the state directory)
    #[arg(long, value_name = "PUB")]
    pub key: Option<PathBuf>,
    /// Signed head that says where the log ends (default: in the state directory, unless --key is given)
    #[arg(long, value_name = "HEAD")]
    pub head: Option<PathBuf>,
    /// The files are a part of the log: others before and behind them are not missed
    #[arg(long, conflicts_with = "head")]
    pub part: bool,
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// Print the public key that verifies the log
#[derive(Debug, Args)]
pub struct KeyArgs {
    #[command(flatten)]
    pub server: ServerArgs,
}

impl AuditArgs {
    pub fn run(self, global: &GlobalArgs) -> Result<Exit> {
        match self.command {
            AuditCommand::Verify(args) => args.run(global),
            AuditCommand::Key(args) => args.run(global),
        }
    }
}

impl KeyArgs {
    fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let key = key_in(&public_key_in(&state(&self.server)?))?;
        Output::new(global, false).line(key.to_string())?;
        Ok(Exit::Done)
    }
}

impl VerifyArgs {
    fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let files = match self.files.is_empty() {
            true => self.files_of_settings()?,
            false => self.files.clone(),
        };
        let key = match &self.key {
            Some(file) => key_in(file)?,
            None => key_in(&public_key_in(&state(&self.server)?))?,
        };
        let head = match (&self.head, &self.key, self.part) {
            (Some(head), ..) => Some(head.clone()),
            (None, None, false) => Some(head_in(&state(&self.server)?)),
            _ => None,
        };
        let given = Given { key: Some(key), head };
        let report =
            verify(&files, &given).map_err(|(path, error)| Failure::io(shown(&path), &error))?;
        self.say(global, &report)?;
        Ok(if report.is_intact() { Exit::Done } else { Exit::Verification })
    }

    fn files_of_settings(&self) -> Result<Vec<PathBuf>> {
        let missing = |why: &str| {
            Err(Failure::usage("audit log", why).hint("name its files, or settings with --config"))
        };
        let Some(file) = self.server.file() else { return missing("no settings say where it is") };
        let loaded = settings::load(&file).map_err(|errors| {
            errors.iter().for_each(|error| eprintln!("sterna: {error}"));
            Failure::reported(Exit::Usage)
        })?;
        let Some(path) = loaded.audit.and_then(|audit| audit.targets.file) else {
            return missing("the settings name no file for it");
        };
        row_of(&path).map_err(|error| Failure::io(shown(&path), &error))
    }

    fn say(&self, global: &GlobalArgs, report: &Report) -> Result<()> {
        let output = Output::new(global, self.json);
        if self.json {
            for problem in &report.problems {
                output.object(
                    Object::event("problem")
                        .with_name("file", problem.file.as_os_str().as_encoded_bytes())
                        .with_some("line", problem.line)
                        .with("what", &*problem.what),
                )?;
            }
            for note in &report.notes {
                output.object(
                    Object::event("note")
                        .with_name("file", note.file.as_os_str().as_encoded_bytes())
                        .with("what", &*note.what),
                )?;
            }
            return output.object(
                Object::event("report")
                    .with("intact", report.is_intact())
                    .with("problems", report.problems.len() as u64 + report.more_problems)
                    .with("files", report.files)
                    .with("records", report.records)
                    .with("checkpoints", report.checkpoints)
                    .with("first", report.first)
                    .with("last", report.last)
                    .with("signed", report.signed),
            );
        }
        for problem in &report.problems {
            output.line(display_name(problem.to_string().as_bytes()))?;
        }
        if report.more_problems > 0 {
            output.line(format!("and {} more", report.more_problems))?;
        }
        if global.quiet {
            return Ok(());
        }
        for note in &report.notes {
            output.line(format!("{}: note: {}", shown(&note.file), note.what))?;
        }
        let Report { files, records, first, last, signed, .. } = report;
        let verdict = if report.is_intact() { "intact" } else { "NOT INTACT" };
        output.line(format!(
            "{verdict}: {records} records ({first} to {last}) in {files} files, signed up to {signed}"
        ))
    }
}

fn state(server: &ServerArgs) -> Result<PathBuf> {
    server.state_dir().map(|dir| settings::audit_state_in(&dir))
}

fn key_in(file: &Path) -> Result<PublicKey> {
    PublicKey::from_file(file).map_err(|error| {
        Failure::usage(shown(file), error.to_string())
            .hint("--key names a public key, and `sterna audit key` prints that of a server")
    })
}

fn shown(path: &Path) -> String {
    display_name(path.as_os_str().as_encoded_bytes())
}
