//! What differs between two settings, key by key; users and groups by their names.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use super::{effective::Effective, schema::SECRETS};
use crate::output::display_name;

/// Keys and tables at the top whose new values need a restart.
pub const NEEDS_RESTART: &[&str] = &[
    "listen",
    "listener",
    "state_dir",
    "host_keys",
    "host_certificates",
    "strict_algorithms",
    "legacy",
    "keep_unfinished_days",
    "drain_s",
    "run_as_user",
    "run_as_group",
    "sandbox",
    "sandbox_roots",
    "audit",
    "metrics",
    "system_users",
];

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// `user alice`, `group partners`, or empty for everything else.
    pub of: String,
    /// Dotted; empty if a user or group as a whole came or went.
    pub key: String,
    /// As TOML; missing if there was nothing, or if it is a secret.
    pub old: Option<String>,
    pub new: Option<String>,
    pub kind: Kind,
    pub needs_restart: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Added,
    Removed,
    Changed,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.kind {
            Kind::Added => "+ ",
            Kind::Removed => "- ",
            Kind::Changed => "~ ",
        })?;
        let what = [self.of.as_str(), self.key.as_str()].map(|part| display_name(part.as_bytes()));
        f.write_str(
            &what.iter().filter(|p| !p.is_empty()).cloned().collect::<Vec<_>>().join(": "),
        )?;
        let shown = |value: &String| display_name(value.as_bytes());
        match (&self.old, &self.new) {
            (Some(old), Some(new)) => write!(f, " = {} -> {}", shown(old), shown(new))?,
            (Some(one), None) | (None, Some(one)) => write!(f, " = {}", shown(one))?,
            (None, None) => {}
        }
        if self.needs_restart { f.write_str("  (needs a restart)") } else { Ok(()) }
    }
}

/// What is in `new` and not in `old`, and the other way round: first what holds for everybody.
pub fn between(old: &Effective, new: &Effective) -> Vec<Change> {
    let mut changes = Vec::new();
    tables("", old, &flat(old.table()), new, &flat(new.table()), &mut changes);
    for name in ["group", "user"] {
        let (before, after) = (by_name(old.table(), name), by_name(new.table(), name));
        let whole = |of: &str, kind| Change {
            of: format!("{name} {of}"),
            key: String::new(),
            old: None,
            new: None,
            kind,
            needs_restart: false,
        };
        for (of, table) in &before {
            match after.get(of) {
                None => changes.push(whole(of, Kind::Removed)),
                Some(other) => {
                    let of = format!("{name} {of}");
                    tables(&of, old, &flat(table), new, &flat(other), &mut changes);
                }
            }
        }
        let added = after.keys().filter(|of| !before.contains_key(*of));
        changes.extend(added.map(|of| whole(of, Kind::Added)));
    }
    changes
}

fn tables(
    of: &str,
    old: &Effective,
    before: &BTreeMap<String, &Value>,
    new: &Effective,
    after: &BTreeMap<String, &Value>,
    changes: &mut Vec<Change>,
) {
    let keys = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
    for key in keys {
        let (one, other) = (before.get(key), after.get(key));
        let is_secret = SECRETS.contains(&key.as_str());
        let same = match is_secret {
            true => old.secret(of, key) == new.secret(of, key),
            false => one == other,
        };
        if same {
            continue;
        }
        let shown = |value: &&Value| (!is_secret).then(|| value.to_string());
        changes.push(Change {
            of: of.to_owned(),
            key: key.clone(),
            old: one.and_then(shown),
            new: other.and_then(shown),
            kind: match (one, other) {
                (None, _) => Kind::Added,
                (_, None) => Kind::Removed,
                _ => Kind::Changed,
            },
            needs_restart: of.is_empty()
                && key.split('.').next().is_some_and(|first| NEEDS_RESTART.contains(&first)),
        });
    }
}

/// The values with dotted keys, without users and groups.
fn flat(table: &Table) -> BTreeMap<String, &Value> {
    let mut all = BTreeMap::new();
    let mut open: Vec<(String, &Table)> = vec![(String::new(), table)];
    while let Some((prefix, table)) = open.pop() {
        for (key, value) in table {
            match value {
                Value::Table(inner) => open.push((format!("{prefix}{key}."), inner)),
                // They have lines of their own.
                Value::Array(_)
                    if prefix.is_empty() && matches!(key.as_str(), "user" | "group") => {}
                other => drop(all.insert(format!("{prefix}{key}"), other)),
            }
        }
    }
    all
}

fn by_name<'t>(table: &'t Table, name: &str) -> BTreeMap<&'t str, &'t Table> {
    let items = table.get(name).and_then(Value::as_array);
    let tables = items.into_iter().flatten().filter_map(Value::as_table);
    tables.filter_map(|table| Some((table.get("name")?.as_str()?, table))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const HASHES: [&str; 2] = [
        "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZedOSjhFjjmHd73d9eE9vkD",
        "$5$rounds=10000$saltstringsaltst$4xv.VbSCBX41eDL9L3voZedOSjhFjjmHd73d9eE9vkD",
    ];

    #[test]
    fn every_difference_has_its_line_and_no_secret() {
        let dir = tempfile::tempdir().unwrap();
        let effective = |text: String| {
            let file = dir.path().join("sterna.toml");
            fs::write(&file, text).unwrap();
            Effective::load(&file, false).unwrap()
        };
        let user = |name: &str, hash: usize, more: &str| {
            format!(
                "[[user]]\nname = '{name}'\nroot = '.'\npassword = '{}'\n{more}\n",
                HASHES[hash]
            )
        };
        let [gone, stays] = ["carol", "dave"].map(|name| user(name, 0, ""));
        let old = effective(format!(
            "listen = ['127.0.0.1:1']\n[defence]\nmax_auth_tries = 3\n{}{gone}{stays}",
            user("alice", 0, "enabled = true")
        ));
        let new = effective(format!(
            "listen = ['127.0.0.1:2']\nbanner = 'x'\n{}{}{stays}",
            user("alice", 1, "enabled = false\nhours = ['mon 08:00-09:00']"),
            user("bob", 0, "")
        ));

        let lines: Vec<String> = between(&old, &new).iter().map(ToString::to_string).collect();

        assert_eq!(
            lines,
            [
                "- defence.max_auth_tries = 3",
                "~ listen = [\"127.0.0.1:1\"] -> [\"127.0.0.1:2\"]  (needs a restart)",
                "+ banner = \"x\"",
                "~ user alice: enabled = true -> false",
                "~ user alice: password",
                "+ user alice: hours = [\"mon 08:00-09:00\"]",
                "- user carol",
                "+ user bob",
            ]
        );
        assert!(between(&new, &new.clone()).is_empty());
    }
}
