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
  sterna man --dir /usr/local/share/man/man1";

/// Print a manual page, or write all of them
#[derive(Debug, Args)]
#[command(after_help = MAN_EXAMPLES)]
pub struct ManArgs {
    /// Command whose page is wanted; none for the overview
    #[arg(conflicts_with = "dir")]
    pub command: Option<String>,
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
            for command in overview.get_subcommands().chain([&overview]) {
                let name = page_name(command);
                let path = dir.join(format!("{name}.1"));
                let page = page(command)?;
                fs::write(&path, page)
                    .map_err(|error| Failure::io(path.display().to_string(), &error))?;
            }
            return Ok(Exit::Done);
        }
        match self.command {
            None => print(&page(&overview)?),
            Some(name) => match overview.find_subcommand(&name) {
                Some(command) => print(&page(command)?),
                None => Err(Failure::usage(name, "no such command")
                    .hint("`sterna --help` lists the commands")),
            },
        }
    }
}

fn page_name(command: &clap::Command) -> String {
    match command.get_name() {
        "sterna" => "sterna".to_owned(),
        name => format!("sterna-{name}"),
    }
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
