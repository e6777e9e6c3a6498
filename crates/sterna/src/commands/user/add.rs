//! `sterna user add`: a new user, in a file of its own where there is a users directory, else at the
//! end of the settings file.

use std::{
    fs,
    io::{self, IsTerminal as _},
    path::{Path, PathBuf},
};

use clap::Args;
use sterna_identity::limits::USER_NAME_LEN_MAX;

use super::{
    Context,
    edit::Change,
    files::{UserFiles, shown, shown_name},
    keys::given_keys,
    password::{NewPassword, PasswordArgs},
};
use crate::{
    exit::Exit,
    failure::{Failure, Result},
    output::{Object, Output},
    users_file::{EditError, Setting, UserText},
};

const EXAMPLES: &str = "\
Examples:
  sterna user add alice --root /srv/alice                       asks twice for a password
  sterna user add alice --root /srv/alice --key alice.pub --no-password
  sterna user add batch --root /srv/batch --create-root --key batch.pub --allow-from 192.0.2.0/24
  sterna user add carol --root /srv/carol --generate-password --key carol.pub \\
      --methods publickey,password";

/// Add a user
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct AddArgs {
    /// Name to log in with
    pub name: String,
    /// Directory that the user sees as /
    #[arg(long, value_name = "DIR")]
    pub root: PathBuf,
    /// Make the directory if it is not there
    #[arg(long)]
    pub create_root: bool,
    #[command(flatten)]
    pub password: PasswordArgs,
    /// The user has no password
    #[arg(long, conflicts_with = "password_source")]
    pub no_password: bool,
    /// Public key to log in with: a file, or the line itself (may be repeated)
    #[arg(long, value_name = "FILE|LINE")]
    pub key: Vec<String>,
    /// Group whose settings the user takes over (may be repeated)
    #[arg(long, value_name = "GROUP")]
    pub group: Vec<String>,
    /// Methods that must all succeed, in this order; one such list is enough (may be repeated)
    #[arg(long, value_name = "LIST")]
    pub methods: Vec<String>,
    /// Network that the user may come from (may be repeated)
    #[arg(long, value_name = "CIDR")]
    pub allow_from: Vec<String>,
    /// Refuse everything that would change something
    #[arg(long)]
    pub read_only: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

impl AddArgs {
    pub fn run(self, context: &Context<'_>) -> Result<Exit> {
        check_name(&self.name)?;
        let root = self.absolute_root()?;
        let keys = given_keys(&self.key)?;
        // Known before anybody is asked for a password.
        refuse_known(&UserFiles::read(&context.config)?, &self.name)?;
        let password = self.password(!keys.is_empty())?;
        let values = self.values(&root, keys, password.as_ref());
        let made_dirs = self.make_root(&root)?;
        let added = context.edit(|files| self.plan(files, &values));
        let (path, line) = added.inspect_err(|_| unmake(&made_dirs))?;
        let place = format!("{}:{line}", shown(&path));
        context.changed(&format!("{}: added in {place}", shown_name(&self.name)));
        let made = password.and_then(|password| password.made);
        let output = Output::new(context.global, self.json);
        if self.json {
            let object = Object::new()
                .with("name", self.name)
                .with_name("file", path.as_os_str().as_encoded_bytes())
                .with("line", line);
            output.object(object.with_some("password", made.as_ref().map(|made| made.as_str())))?;
        } else if let Some(made) = made {
            output.line(format!("password: {}", made.as_str()))?;
        }
        Ok(Exit::Done)
    }

    fn absolute_root(&self) -> Result<String> {
        let fail = |why: &str| Failure::usage(shown(&self.root), why);
        let root = std::path::absolute(&self.root).map_err(|_| fail("is no directory name"))?;
        // Settings are text.
        let text = root.to_str().ok_or_else(|| fail("is not UTF-8 and cannot be written down"))?;
        match fs::metadata(&root) {
            Ok(meta) if meta.is_dir() => Ok(text.to_owned()),
            Ok(_) => Err(fail("not a directory")),
            Err(error) if error.kind() == io::ErrorKind::NotFound && self.create_root => {
                Ok(text.to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                Err(fail("no such directory").hint("--create-root makes it"))
            }
            Err(error) => Err(fail(&crate::failure::io_reason(&error))),
        }
    }

    /// Without an option a password is asked for where there is a terminal. Keys are enough.
    fn password(&self, has_keys: bool) -> Result<Option<NewPassword>> {
        if self.no_password {
            return Ok(None);
        }
        match self.password.given()? {
            Some(password) => Ok(Some(password)),
            None if has_keys && !io::stdin().is_terminal() => Ok(None),
            None => self.password.given_or_asked().map(Some),
        }
    }

    fn values(
        &self,
        root: &str,
        keys: Vec<String>,
        password: Option<&NewPassword>,
    ) -> Vec<(&'static str, Setting)> {
        let mut values = vec![("root", Setting::Text(root.to_owned()))];
        if let Some(password) = password {
            values.push(("password", Setting::Text(password.hash.as_str().to_owned())));
        }
        for (key, items) in [
            ("authorized_keys", keys),
            ("methods", self.methods.clone()),
            ("groups", self.group.clone()),
            ("allow_from", self.allow_from.clone()),
        ] {
            if !items.is_empty() {
                values.push((key, Setting::List(items)));
            }
        }
        if self.read_only {
            values.push(("read_only", Setting::Flag(true)));
        }
        values
    }

    /// The change, and where the user then stands.
    fn plan(
        &self,
        files: &UserFiles,
        values: &[(&str, Setting)],
    ) -> Result<(Change, (PathBuf, usize))> {
        refuse_known(files, &self.name)?;
        if let Some(dir) = &files.users_dir {
            let path = dir.join(format!("{}.toml", self.name));
            if fs::symlink_metadata(&path).is_ok() {
                return Err(Failure::incomplete(shown(&path), "is there already"));
            }
            let content = UserText::own(&self.name, values).text().as_bytes().to_vec();
            return Ok((Change::Create { path: path.clone(), content }, (path, 1)));
        }
        let main = files.main().ok_or_else(|| Failure::incomplete("settings", "not read"))?;
        let fail = |error: EditError| Failure::incomplete(shown(&main.path), error.to_string());
        let mut text = main.text.clone();
        text.add_user(&self.name, values).map_err(fail)?;
        let users = text.users().map_err(fail)?;
        let line = users.iter().find(|user| user.name == self.name).map_or(1, |user| user.line);
        Ok((Change::of(&main.path, &text), (main.path.clone(), line)))
    }

    /// Makes the root directory if that was asked for; returns what was made, the outermost first.
    fn make_root(&self, root: &str) -> Result<Vec<PathBuf>> {
        let missing = Path::new(root).ancestors().take_while(|dir| !dir.exists());
        let mut missing: Vec<PathBuf> = missing.map(Path::to_owned).collect();
        missing.reverse();
        if self.create_root {
            fs::create_dir_all(root).map_err(|e| Failure::io(shown(&self.root), &e))?;
        }
        Ok(missing)
    }
}

/// Takes back directories that were made for nobody. What is not empty stays.
fn unmake(dirs: &[PathBuf]) {
    for dir in dirs.iter().rev() {
        if fs::remove_dir(dir).is_err() {
            break;
        }
    }
}

fn refuse_known(files: &UserFiles, name: &str) -> Result<()> {
    match files.get(name) {
        Some(user) => {
            let why = format!("is there already, at {}", user.place());
            Err(Failure::incomplete(shown_name(name), why))
        }
        None => Ok(()),
    }
}

/// Names end up in paths, logs and command lines.
fn check_name(name: &str) -> Result<()> {
    let why = if name.is_empty() {
        "is empty".to_owned()
    } else if name.len() > USER_NAME_LEN_MAX {
        format!("is longer than {USER_NAME_LEN_MAX} bytes")
    } else if name.starts_with(['.', '-']) {
        "begins with a dot or a dash".to_owned()
    } else if name.chars().any(|c| c == '/' || c.is_control()) {
        "holds a slash or a control character".to_owned()
    } else if name.trim() != name {
        "begins or ends with a blank".to_owned()
    } else {
        return Ok(());
    };
    Err(Failure::usage(format!("user name \"{}\"", shown_name(name)), why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_surprise_are_refused() {
        for good in ["alice", "a.b-c_d", "Ünï", "user@example.com", "a b"] {
            assert!(check_name(good).is_ok(), "{good}");
        }
        let long = "x".repeat(USER_NAME_LEN_MAX + 1);
        for bad in ["", ".", "..", ".a", "-a", "a/b", "../a", "a\n", "a\0", " a", "a ", &long] {
            assert_eq!(check_name(bad).unwrap_err().exit(), Exit::Usage, "{bad:?}");
        }
    }
}
