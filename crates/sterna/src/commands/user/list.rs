//! `sterna user list`: everybody at a glance.

use clap::Args;
use serde_json::Value as Json;

use super::{
    Context,
    files::{Located, UserFiles, refused, shown, shown_name},
    keys::keys_of,
    show::{password_kind, recovery_codes},
};
use crate::{
    exit::Exit,
    failure::Result,
    output::{Object, Output},
};

const EXAMPLES: &str = "\
Examples:
  sterna user list
  sterna user list --json | jq -r 'select(.totp | not).name'    who has no second factor";

/// List all users
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct ListArgs {
    /// Print JSON, one object a line
    #[arg(long)]
    pub json: bool,
}

/// What the list says of a user.
struct Row<'f> {
    user: Located<'f>,
    /// `None`: the file with the keys cannot be read.
    keys: Option<usize>,
}

impl ListArgs {
    pub fn run(self, context: &Context<'_>) -> Result<Exit> {
        let files = UserFiles::read(&context.config)?;
        let output = Output::new(context.global, self.json);
        let mut exit = Exit::Done;
        let mut rows = Vec::new();
        for user in files.users() {
            let keys = keys_of(user).inspect_err(|failure| {
                failure.report();
                exit = Exit::Incomplete;
            });
            rows.push(Row { user, keys: keys.ok().map(|keys| keys.len()) });
        }
        if self.json {
            rows.iter().try_for_each(|row| output.object(row.object()))?;
        } else {
            let header = ["USER", "STATE", "KEYS", "PASSWORD", "2ND FACTOR", "METHODS", "ROOT"];
            let mut table = vec![header.map(str::to_owned).to_vec()];
            table.iter_mut().for_each(|header| header.push("DEFINED AT".to_owned()));
            table.extend(rows.iter().map(Row::cells));
            aligned(&table).iter().try_for_each(|line| output.line(line))?;
        }
        match files.broken.is_empty() {
            true => Ok(exit),
            false => Err(refused(&files.broken)),
        }
    }
}

impl Row<'_> {
    fn object(&self) -> Object {
        let user = self.user;
        let root = user.text("root").map(|root| user.resolve(root));
        let root = root.unwrap_or_default();
        let methods: Vec<Json> = user.list("methods").into_iter().map(Json::from).collect();
        Object::new()
            .with("name", user.view.name.as_str())
            .with_name("root", root.as_os_str().as_encoded_bytes())
            .with("enabled", user.enabled())
            .with("methods", methods)
            .with("password", user.text("password").map(password_kind))
            .with("keys", self.keys)
            .with("totp", user.view.values.contains_key("totp_secret"))
            .with("recovery_codes", recovery_codes(user))
            .with_name("file", user.file.path.as_os_str().as_encoded_bytes())
            .with("line", user.view.line)
    }

    fn cells(&self) -> Vec<String> {
        let user = self.user;
        let methods = user.list("methods").join(" or ");
        let root = user.text("root").map(|root| shown(&user.resolve(root)));
        vec![
            shown_name(&user.view.name),
            if user.enabled() { "enabled" } else { "disabled" }.to_owned(),
            self.keys.map_or_else(|| "?".to_owned(), |keys| keys.to_string()),
            user.text("password").map_or("-", password_kind).to_owned(),
            if user.view.values.contains_key("totp_secret") { "totp" } else { "-" }.to_owned(),
            if methods.is_empty() { "any".to_owned() } else { shown_name(&methods) },
            root.unwrap_or_else(|| "-".to_owned()),
            user.place(),
        ]
    }
}

/// Rows of cells as lines, each column as wide as its widest cell.
fn aligned(rows: &[Vec<String>]) -> Vec<String> {
    const GAP: usize = 2;
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let mut widths = vec![0; columns];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<0$}", width + GAP));
        cells.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a", "bb"], ["ünï", ""], ["x", "y"]];
        let rows: Vec<_> = rows.map(|row| row.map(str::to_owned).to_vec()).into();

        assert_eq!(aligned(&rows), ["a    bb", "ünï", "x    y"]);
    }
}
