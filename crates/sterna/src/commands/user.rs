//! `sterna user`: the users of a server, kept in its settings files without a byte of them lost that
//! was not meant.
//!
//! Every change goes the same way (`edit.rs`): lock, read, cut the text, judge the whole settings as
//! they would be, and only then replace the file.

mod add;
mod edit;
mod files;
mod key;
mod keys;
mod list;
mod passwd;
mod password;
mod qr;
mod rm;
mod show;
mod state;
mod totp;

use std::path::{Path, PathBuf};

pub use self::files::{refused, shown, shown_name};

use clap::{Args, Subcommand};
use sterna_identity::PasswordHash;

use crate::{
    args::{ColorChoice, GlobalArgs},
    exit::Exit,
    failure::Result,
    settings,
};

const EXAMPLES: &str = "\
Examples:
  sterna user add alice --root /srv/alice --key alice.pub
  sterna user add partner --root /srv/in --create-root --generate-password
  sterna user passwd alice --must-change
  sterna user key add alice 'ssh-ed25519 AAAA… alice@laptop'
  sterna user totp alice                  second factor: shows a QR code for the authenticator app
  sterna user disable alice && sterna reload
  sterna user list --json

The files are judged as a whole before one is replaced: what would not load is not written. Comments,
blank lines, order and quotes stay as they are.

Exit status: 0 done, 1 not done, 2 wrong usage or settings that would not load.";

/// Add, change, show and remove the users of a server
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct UserArgs {
    /// Settings file of the server (default: $STERNA_CONFIG, else /etc/sterna/sterna.toml)
    #[arg(long, value_name = "FILE", global = true)]
    pub config: Option<PathBuf>,
    #[command(subcommand)]
    pub command: UserCommand,
}

/// All commands, in the order of the help page.
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    Add(add::AddArgs),
    Passwd(passwd::PasswdArgs),
    Key(key::KeyArgs),
    Totp(totp::TotpArgs),
    Recovery(totp::RecoveryArgs),
    List(list::ListArgs),
    Show(show::ShowArgs),
    Disable(state::DisableArgs),
    Enable(state::EnableArgs),
    Rm(rm::RmArgs),
}

/// What every command works on and how it speaks.
pub struct Context<'g> {
    config: PathBuf,
    global: &'g GlobalArgs,
}

impl UserArgs {
    pub fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let context = Context { config: settings::file_or_default(self.config), global };
        match self.command {
            UserCommand::Add(args) => args.run(&context),
            UserCommand::Passwd(args) => args.run(&context),
            UserCommand::Key(args) => args.run(&context),
            UserCommand::Totp(args) => args.run(&context),
            UserCommand::Recovery(args) => args.run(&context),
            UserCommand::List(args) => args.run(&context),
            UserCommand::Show(args) => args.run(&context),
            UserCommand::Disable(args) => args.run(&context),
            UserCommand::Enable(args) => args.run(&context),
            UserCommand::Rm(args) => args.run(&context),
        }
    }
}

/// Stores a password that `name` chose at login, and takes the mark off that it must be changed.
///
/// # Errors
/// As `sterna user passwd` has them: no such user, or settings that would not load. Nothing was changed
/// then.
pub fn store_password(config: &Path, name: &str, hash: &PasswordHash) -> Result<()> {
    let global = GlobalArgs { verbose: 0, quiet: true, color: ColorChoice::Never };
    let context = Context { config: config.to_owned(), global: &global };
    passwd::store(&context, name, hash, false)
}

impl Context<'_> {
    /// Says on stderr what was changed, and how a running server learns of it: stdout is for
    /// results.
    fn changed(&self, what: &str) {
        if !self.global.quiet {
            eprintln!("{what}\n  hint: `sterna reload` lets a running server take it over");
        }
    }
}
