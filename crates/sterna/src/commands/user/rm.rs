//! `sterna user rm`: a user goes, the files stay.

use std::io::{self, IsTerminal as _};

use clap::Args;

use super::{
    Context,
    edit::{Change, cannot_edit},
    files::{UserFiles, shown, shown_name},
};
use crate::{
    exit::Exit,
    failure::{Failure, Result},
    prompt,
    users_file::Form,
};

const EXAMPLES: &str = "\
Examples:
  sterna user rm alice            asks first
  sterna user rm alice --yes      in scripts";

/// Remove a user; the root directory and what is in it stay
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct RmArgs {
    pub name: String,
    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,
}

impl RmArgs {
    pub fn run(self, context: &Context<'_>) -> Result<Exit> {
        let place = UserFiles::read(&context.config)?.find(&self.name)?.place();
        if !self.yes {
            self.ask(&place)?;
        }
        let root = context.edit(|files| {
            let user = files.find(&self.name)?;
            let root = user.text("root").map(|root| user.resolve(root));
            let change = match user.file.text.form() {
                Form::Own(_) => Change::Remove { path: user.file.path.clone() },
                Form::Listed => {
                    let mut text = user.file.text.clone();
                    text.remove_user(&self.name).map_err(cannot_edit(user))?;
                    Change::of(&user.file.path, &text)
                }
            };
            Ok((change, root))
        })?;
        let stays = root.map(|root| format!("; {} stays as it is", shown(&root)));
        let name = shown_name(&self.name);
        context.changed(&format!("{name}: removed from {place}{}", stays.unwrap_or_default()));
        Ok(Exit::Done)
    }

    fn ask(&self, place: &str) -> Result<()> {
        let name = shown_name(&self.name);
        if !io::stdin().is_terminal() {
            return Err(Failure::usage(name, "there is no terminal to ask on")
                .hint("--yes removes without asking"));
        }
        let answer = prompt::ask(&format!("Remove the user {name} ({place})? (yes / no): "));
        match answer.as_deref() {
            Some("yes" | "y") => Ok(()),
            _ => Err(Failure::incomplete(name, "not removed")),
        }
    }
}
