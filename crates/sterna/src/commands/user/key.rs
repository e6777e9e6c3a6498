//! `sterna user key`: keys join and leave, in the settings or in the file that they name.

use std::{fs, path::Path};

use clap::{Args, Subcommand};
use sterna_identity::AuthorizedKey;

use super::{
    Context,
    edit::{Change, cannot_edit},
    files::{Located, UserFiles, shown, shown_name},
    keys::{KeyPlace, UserKey, given_keys, keys_file, keys_of, read_keys_file, shown_key},
};
use crate::{
    exit::Exit,
    failure::{Failure, Result},
    users_file::key_lines::{with_line, without_line},
};

const EXAMPLES: &str = "\
Examples:
  sterna user key add alice ~/alice.pub
  sterna user key add alice 'restrict ssh-ed25519 AAAA… alice@laptop'
  sterna user key rm alice alice@laptop";

const ADD_EXAMPLES: &str = "\
Examples:
  sterna user key add alice ~/alice.pub
  sterna user key add alice 'from=\"192.0.2.0/24\" ssh-ed25519 AAAA… alice@laptop'";

const RM_EXAMPLES: &str = "\
Examples:
  sterna user key rm alice SHA256:Xa3…      by its fingerprint
  sterna user key rm alice alice@laptop     by its comment
  sterna user key rm alice 2                by its number in `sterna user show alice`";

/// Add or remove a public key of a user
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES, arg_required_else_help = true)]
pub struct KeyArgs {
    #[command(subcommand)]
    pub command: KeyCommand,
}

#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Let a user log in with one more key
    #[command(after_help = ADD_EXAMPLES)]
    Add {
        name: String,
        /// File of public keys, or the line itself
        #[arg(value_name = "FILE|LINE", required = true)]
        key: Vec<String>,
    },
    /// Take a key from a user
    #[command(after_help = RM_EXAMPLES)]
    Rm {
        name: String,
        /// Fingerprint, comment or number of the key
        #[arg(value_name = "FINGERPRINT|COMMENT|NUMBER")]
        key: String,
    },
}

impl KeyArgs {
    pub fn run(self, context: &Context<'_>) -> Result<Exit> {
        match self.command {
            KeyCommand::Add { name, key } => add(context, &name, &given_keys(&key)?),
            KeyCommand::Rm { name, key } => remove(context, &name, &key),
        }
    }
}

fn add(context: &Context<'_>, name: &str, lines: &[String]) -> Result<Exit> {
    let place = context.edit(|files| {
        let user = files.find(name)?;
        let in_file = keys_file(user).filter(|_| !user.view.values.contains_key("authorized_keys"));
        match in_file {
            Some(path) => add_to_file(user, &path, lines),
            None => add_to_settings(user, lines),
        }
    })?;
    for line in lines {
        if let Ok(key) = line.parse::<AuthorizedKey>() {
            context.changed(&format!("{}: {} added to {place}", shown_name(name), shown_key(&key)));
        }
    }
    Ok(Exit::Done)
}

fn add_to_settings(user: Located<'_>, lines: &[String]) -> Result<(Change, String)> {
    refuse_known(lines, &keys_of(user)?)?;
    let mut text = user.file.text.clone();
    for line in lines {
        text.push(&user.view.name, "authorized_keys", line).map_err(cannot_edit(user))?;
    }
    Ok((Change::of(&user.file.path, &text), user.place()))
}

fn add_to_file(user: Located<'_>, path: &Path, lines: &[String]) -> Result<(Change, String)> {
    refuse_link(path)?;
    let there = path.exists();
    let mut content = Vec::new();
    if there {
        refuse_known(lines, &keys_of(user)?)?;
        content = read_keys_file(path, true)?;
    }
    for line in lines {
        content = with_line(&content, line);
    }
    let path = path.to_owned();
    let place = shown(&path);
    Ok(match there {
        true => (Change::WriteHere { path, content }, place),
        false => (Change::Create { path, content }, place),
    })
}

fn remove(context: &Context<'_>, name: &str, wanted: &str) -> Result<Exit> {
    let what = context.edit(|files| remove_from(files, name, wanted))?;
    context.changed(&format!("{}: {what} removed", shown_name(name)));
    Ok(Exit::Done)
}

/// The change, and which key it takes.
fn remove_from(files: &UserFiles, name: &str, wanted: &str) -> Result<(Change, String)> {
    let user = files.find(name)?;
    let keys = keys_of(user)?;
    let key = find(&keys, name, wanted)?;
    let what = match &key.key {
        Ok(key) => shown_key(key),
        Err(_) => format!("key {}", key.number),
    };
    let change = match &key.place {
        KeyPlace::Array(index) => {
            let mut text = user.file.text.clone();
            text.remove_item(name, "authorized_keys", *index).map_err(cannot_edit(user))?;
            Change::of(&user.file.path, &text)
        }
        KeyPlace::File(path, line) => {
            refuse_link(path)?;
            let content = without_line(&read_keys_file(path, true)?, *line);
            Change::WriteHere { path: path.clone(), content }
        }
    };
    Ok((change, what))
}

/// The one key that is meant: by fingerprint, else by number, else by comment.
fn find<'k>(keys: &'k [UserKey], name: &str, wanted: &str) -> Result<&'k UserKey> {
    let fits = |key: &&UserKey| match &key.key {
        Ok(key) => key.key.fingerprint() == wanted || key.comment == wanted,
        Err(_) => false,
    };
    let number = wanted.parse().ok().filter(|number| (1..=keys.len()).contains(number));
    if let Some(key) = number.and_then(|number: usize| keys.get(number - 1)) {
        return Ok(key);
    }
    let found: Vec<&UserKey> = keys.iter().filter(fits).collect();
    let what = || format!("key {} of {}", shown_name(wanted), shown_name(name));
    let hint = format!("`sterna user show {}` lists the keys with numbers", shown_name(name));
    match found.as_slice() {
        [key] => Ok(key),
        [] => Err(Failure::incomplete(what(), "no such key").hint(hint)),
        _ => Err(Failure::incomplete(what(), "several keys are meant").hint(hint)),
    }
}

/// A key that the user has is not added again.
fn refuse_known(lines: &[String], keys: &[UserKey]) -> Result<()> {
    for line in lines {
        let Ok(new) = line.parse::<AuthorizedKey>() else { continue };
        let known = keys.iter().find(|known| known.key.as_ref().is_ok_and(|k| k.key == new.key));
        if let Some(known) = known {
            let why = format!("the user has this key already, as number {}", known.number);
            return Err(Failure::incomplete(shown_key(&new), why));
        }
    }
    Ok(())
}

/// A keys file may stand where its user can write: following a link there would change any file.
fn refuse_link(path: &Path) -> Result<()> {
    match fs::symlink_metadata(path) {
        Ok(meta) if meta.is_symlink() => {
            Err(Failure::incomplete(shown(path), "is a symbolic link and is not followed")
                .hint("edit the file that it points to"))
        }
        _ => Ok(()),
    }
}
