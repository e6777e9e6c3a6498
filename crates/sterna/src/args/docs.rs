//! Shell completions and manual pages, made from the same declarations as the help.

use std::{fs, io::Write as _, path::PathBuf};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Cli;
use crate::{
    exit::Exit,
    failure::{self, Failure, Result},
};

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  sterna completions bash > ~/.local/share/bash-completion/completions/sterna
  sterna completions fish > ~/.config/fish/completions/sterna.fish";

/// Print the completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub struct CompletionsArgs {
    pub shell: Shell,
}

impl CompletionsArgs {
    pub fn run(self) -> Result<Exit> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "sterna", &mut script);
        print(&script)
    }
}

const MAN_EXAMPLES: &str = "\
Examples:
  sterna man | man -l -
  sterna man get | man -l -
  sterna man user add | man -l -
  sterna man --dir /usr/local/share/man/man1";

/// Print a manual page, or write all of them
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub struct ManArgs {
    /// Command whose page is wanted; none for the overview
    #[arg(conflicts_with = "dir")]
    pub command: Vec<String>,
    /// Directory into which all pages are written
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

impl ManArgs {
    pub fn run(self) -> Result<Exit> {
        let mut overview = Cli::command();
        // Passes global options and names like `sterna-get` on to the commands.
        overview.build();
        if let Some(dir) = self.dir {
            let mut pages = Vec::new();
            collect(&overview, "sterna".to_owned(), &mut pages);
            for (name, command) in pages {
                let path = dir.join(format!("{name}.1"));
                let page = page(command)?;
                fs::write(&path, page)
                    .map_err(|error| Failure::io(path.display().to_string(), &error))?;
            }
            return Ok(Exit::Done);
        }
        let mut command = &overview;
        for name in &self.command {
            command = command.find_subcommand(name).ok_or_else(|| {
                Failure::usage(self.command.join(" "), "no such command")
                    .hint("`sterna --help` lists the commands")
            })?;
        }
        print(&page(command)?)
    }
}

/// The pages of a command and of those below it, by name.
fn collect<'c>(
    command: &'c clap::Command,
    name: String,
    pages: &mut Vec<(String, &'c clap::Command)>,
) {
    for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
        collect(below, format!("{name}-{}", below.get_name()), pages);
    }
    pages.push((name, command));
}

fn page(command: &clap::Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut page)
        .map_err(|error| Failure::io("manual page", &error))?;
    Ok(page)
}

fn print(text: &[u8]) -> Result<Exit> {
    let mut stdout = std::io::stdout().lock();
    let written = stdout.write_all(text).and_then(|()| stdout.flush());
    written.map(|()| Exit::Done).map_err(|error| failure::output_failed(&error))
}
