//! `sterna hash-password`: what stands as `password` in the settings of `serve`.

use std::{
    io::{self, IsTerminal},
    path::PathBuf,
};

use clap::Args;
use sterna_identity::PasswordHash;
use sterna_ssh_crypto::SystemRandom;

use crate::{
    args::GlobalArgs,
    exit::Exit,
    failure::{Failure, Result},
    output::Output,
    prompt,
};

const EXAMPLES: &str = "\
Examples:
  sterna hash-password                           asks twice, prints $argon2id$…
  sterna hash-password --password-file secret
  pass show sftp/alice | sterna hash-password";

/// Turn a password into the hash for the settings of `serve`
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct HashPasswordArgs {
    /// File whose first line is the password; else it is read from a pipe or asked on the terminal
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

impl HashPasswordArgs {
    pub fn run(self, global: &GlobalArgs) -> Result<Exit> {
        let password = match &self.password_file {
            Some(file) => prompt::read_password_file(file)?,
            None if !io::stdin().is_terminal() => prompt::read_password_stdin()?,
            None => ask_twice()?,
        };
        let hash = PasswordHash::make(password.as_bytes(), &mut SystemRandom)
            .map_err(|error| Failure::usage("password", error.to_string()))?;
        Output::new(global, false).line(hash.as_str())?;
        Ok(Exit::Done)
    }
}

/// Asks for a new password on the terminal, and once more.
///
/// # Errors
/// If there is no terminal, or the two differ or are empty.
pub fn ask_twice() -> Result<sterna_client::Zeroizing<String>> {
    let no_terminal = || {
        Failure::usage("password", "there is no terminal to ask on")
            .hint("use --password-file FILE")
    };
    let password = prompt::ask_secret("Password: ").ok_or_else(no_terminal)?;
    let again = prompt::ask_secret("Once more: ").ok_or_else(no_terminal)?;
    if password.is_empty() {
        return Err(Failure::usage("password", "is empty"));
    }
    if *password != *again {
        return Err(Failure::usage("password", "the two differ"));
    }
    Ok(password)
}
