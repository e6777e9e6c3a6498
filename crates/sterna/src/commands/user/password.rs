//! Where a new password comes from.

use std::{
    io::{self, IsTerminal as _},
    path::PathBuf,
};

use clap::Args;
use sterna_identity::PasswordHash;
use sterna_ssh_crypto::SystemRandom;
use zeroize::Zeroizing;

use crate::{
    commands::{hash_password::ask_twice, serve::make_password},
    failure::{Failure, Result},
    prompt,
};

/// At most one of them.
#[derive(Debug, Args)]
#[group(id = "password_source", multiple = false)]
pub struct PasswordArgs {
    /// File whose first line is the password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// Read the password from the first line of standard input
    #[arg(long)]
    pub password_stdin: bool,
    /// Make a password and print it, this once
    #[arg(long)]
    pub generate_password: bool,
}

/// A password that was chosen.
pub struct NewPassword {
    pub hash: PasswordHash,
    /// To be printed, if nobody knows it yet.
    pub made: Option<Zeroizing<String>>,
}

impl PasswordArgs {
    /// The password that the options name; `None` if they name none.
    ///
    /// # Errors
    /// If it cannot be read, or is no password.
    pub fn given(&self) -> Result<Option<NewPassword>> {
        if self.generate_password {
            let made = Zeroizing::new(make_password(&mut SystemRandom));
            return Ok(Some(NewPassword { hash: hash(&made)?, made: Some(made) }));
        }
        let password = match &self.password_file {
            Some(file) => prompt::read_password_file(file)?,
            None if self.password_stdin => prompt::read_password_stdin()?,
            None => return Ok(None),
        };
        Ok(Some(NewPassword { hash: hash(&password)?, made: None }))
    }

    /// The same, or asked on the terminal.
    ///
    /// # Errors
    /// As [`PasswordArgs::given`]; without a terminal there must be an option.
    pub fn given_or_asked(&self) -> Result<NewPassword> {
        if let Some(password) = self.given()? {
            return Ok(password);
        }
        if !io::stdin().is_terminal() {
            return Err(Failure::usage("password", "there is no terminal to ask on")
                .hint("use --password-file FILE, --password-stdin or --generate-password"));
        }
        Ok(NewPassword { hash: hash(&ask_twice()?)?, made: None })
    }
}

fn hash(password: &str) -> Result<PasswordHash> {
    PasswordHash::make(password.as_bytes(), &mut SystemRandom)
        .map_err(|error| Failure::usage("password", error.to_string()))
}
