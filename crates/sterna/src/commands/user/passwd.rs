//! `sterna user passwd`: a new password.

use clap::Args;
use sterna_identity::PasswordHash;

use super::{
    Context,
    edit::cannot_edit,
    files::{UserFiles, shown_name},
    password::{NewPassword, PasswordArgs},
};
use crate::{
    exit::Exit,
    failure::Result,
    output::{Object, Output},
    users_file::Setting,
};

const EXAMPLES: &str = "\
Examples:
  sterna user passwd alice                          asks twice on the terminal
  sterna user passwd alice --generate-password --must-change
  pass show sftp/alice | sterna user passwd alice --password-stdin";

/// Set a user's password
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct PasswdArgs {
    pub name: String,
    #[command(flatten)]
    pub password: PasswordArgs,
    /// The user must choose another at the next login
    #[arg(long)]
    pub must_change: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl PasswdArgs {
    pub fn run(self, context: &Context<'_>) -> Result<Exit> {
        // Nobody should choose a password for a user who is not there.
        UserFiles::read(&context.config)?.find(&self.name)?;
        let NewPassword { hash, made } = self.password.given_or_asked()?;
        store(context, &self.name, &hash, self.must_change)?;
        context.changed(&format!("{}: password set", shown_name(&self.name)));
        let output = Output::new(context.global, self.json);
        if self.json {
            let object = Object::new().with("name", self.name);
            output.object(object.with_some("password", made.as_ref().map(|made| made.as_str())))?;
        } else if let Some(made) = made {
            output.line(format!("password: {}", made.as_str()))?;
        }
        Ok(Exit::Done)
    }
}

/// Puts a new password into the file of the user.
pub fn store(
    context: &Context<'_>,
    name: &str,
    hash: &PasswordHash,
    must_change: bool,
) -> Result<()> {
    context.edit_user(name, |user, text| {
        let fail = cannot_edit(user);
        text.set(name, "password", &Setting::Text(hash.as_str().to_owned())).map_err(&fail)?;
        match must_change {
            true => text.set(name, "must_change_password", &Setting::Flag(true)),
            false => text.remove(name, "must_change_password").map(drop),
        }
        .map_err(&fail)
    })
}
