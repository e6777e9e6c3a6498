//! The command line: what may be typed. Each command's own options stand in its file; help, manual
//! pages and completions come from the same declarations (`docs.rs`).

mod client;
mod docs;
mod filter;

use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum};

pub use client::{ClientArgs, RemotePath, bytes_of};
pub use docs::{CompletionsArgs, ManArgs};
pub use filter::{PatternArgs, parse_age, parse_bytes};

use crate::commands;

const EXAMPLES: &str = "\
Examples:
  sterna serve ~/inbox                        share a folder; prints the command for the other side
  sterna put -r photos alice@nas:             send a tree; run it again to go on after a break
  sterna get alice@nas:big.iso .              fetch a file, verified at the end
  sterna sync photos alice@nas:photos         make a tree equal to another; again, and it does nothing
  sterna ls -l sftp://alice@nas:2022/in/      list a folder
  sterna sftp -b nightly.txt alice@nas        run a batch of sftp commands

A PLACE is [user@]host:path or sftp://[user@]host[:port]/path. ~/.ssh/config, known_hosts, the
agent and default keys are used as ssh uses them. A password is asked on the terminal, or taken
from --password-file or $STERNA_PASSWORD.

Exit status: 0 all done, 1 something was not, 2 wrong usage, 3 no connection, 4 host key not
trusted, 5 login failed, 6 content differs, 7 interrupted (run again to resume).";

/// Moves files by SFTP, and receives them
#[derive(Debug, Parser)]
#[command(name = "sterna", version, about, after_help = EXAMPLES, max_term_width = 100)]
#[command(propagate_version = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: GlobalArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every command takes.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Output")]
pub struct GlobalArgs {
    /// Say more; twice for debugging ($RUST_LOG picks details)
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
    /// Say nothing but errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// When to use colour
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        hide_default_value = true
    )]
    pub color: ColorChoice,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ColorChoice {
    Auto,
    Always,
    Never,
}

/// All commands, in the order of the help page.
#[derive(Debug, Subcommand)]
pub enum Command {
    Serve(commands::serve::ServeArgs),
    SftpServer(commands::sftp_server::SftpServerArgs),
    Get(commands::get::GetArgs),
    Put(commands::put::PutArgs),
    Sync(commands::sync::SyncArgs),
    Verify(commands::verify::VerifyArgs),
    Sftp(commands::sftp::SftpArgs),
    Ls(commands::ls::LsArgs),
    Stat(commands::stat::StatArgs),
    Cat(commands::cat::CatArgs),
    Mkdir(commands::mkdir::MkdirArgs),
    Rm(commands::rm::RmArgs),
    Rmdir(commands::rmdir::RmdirArgs),
    Mv(commands::mv::MvArgs),
    Cp(commands::cp::CpArgs),
    Ln(commands::ln::LnArgs),
    Chmod(commands::chmod::ChmodArgs),
    Df(commands::df::DfArgs),
    Sum(commands::sum::SumArgs),
    User(commands::user::UserArgs),
    Config(commands::config::ConfigArgs),
    Reload(commands::reload::ReloadArgs),
    Upgrade(commands::upgrade::UpgradeArgs),
    Explain(commands::explain::ExplainArgs),
    Penalties(commands::penalties::PenaltiesArgs),
    Sessions(commands::sessions::SessionsArgs),
    Kick(commands::kick::KickArgs),
    Audit(commands::audit::AuditArgs),
    HashPassword(commands::hash_password::HashPasswordArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
    #[command(hide = true)]
    HookRunner(commands::serve::helpers::HookRunnerArgs),
    #[command(hide = true)]
    Monitor(commands::serve::helpers::MonitorArgs),
    #[command(hide = true)]
    UserHelper(commands::serve::helpers::UserHelperArgs),
}

#[cfg(test)]
mod tests;
