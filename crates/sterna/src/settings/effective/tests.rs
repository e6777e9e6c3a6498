//! What the settings come to, and that `docs/settings.md` names every key and no other.

use std::fs;

use sterna_server::ServerLimits;

use super::*;

const HASH: &str = "$5$rounds=10000$saltstringsaltst$3xv.VbSCBX41eDL9L3voZedOSjhFjjmHd73d9eE9vkD";

/// A main file, and one of a user beside it.
fn folder(text: &str, user: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir_all(dir.path().join("users/root")).unwrap();
    fs::write(dir.path().join("sterna.toml"), text).unwrap();
    fs::write(dir.path().join("users/bob.toml"), user).unwrap();
    dir
}

fn effective(dir: &tempfile::TempDir, all: bool) -> (String, Table) {
    let effective = Effective::load(&dir.path().join("sterna.toml"), all).unwrap();
    let toml = effective.to_toml(&Places::default());
    assert_eq!(&toml.parse::<Table>().unwrap(), effective.table(), "{toml}");
    (toml, effective.table)
}

#[test]
fn users_from_everywhere_stand_in_one_place_with_what_their_groups_say() {
    let text = "state_dir = 'state'\nusers_dir = 'users'\n\
                [[group]]\nname = 'slow'\nread_only = true\nhours = ['mon 08:00-09:00']\n\
                [[group]]\nname = 'far'\nread_only = false\nallow_from = ['192.0.2.0/24']\n";
    let user = format!(
        "root = 'root'\npassword = '{HASH}'\ngroups = ['slow', 'far']\nhours = ['fri']\n\
         totp_secret = 'JBSWY3DPEHPK3PXP'\nrecovery_codes = ['sha256:{}']\n",
        "0".repeat(64)
    );
    let dir = folder(text, &user);

    let (toml, table) = effective(&dir, false);

    let bob = table["user"][0].as_table().unwrap();
    assert_eq!(bob["name"].as_str(), Some("bob"));
    assert_eq!(bob["root"].as_str(), dir.path().join("users/root").to_str());
    assert_eq!(bob["read_only"].as_bool(), Some(true), "the first group wins");
    assert_eq!(bob["hours"][0].as_str(), Some("fri"), "the user's own wins");
    assert_eq!(bob["allow_from"][0].as_str(), Some("192.0.2.0/24"));
    assert_eq!(table["state_dir"].as_str(), dir.path().join("state").to_str());
    for secret in [HASH, "JBSWY3DPEHPK3PXP", "sha256:"] {
        assert!(!toml.contains(secret), "{toml}");
    }
    assert!(!table.contains_key("defence") && !bob.contains_key("methods"), "not said");
}

#[test]
fn everything_is_shown_with_its_default_if_asked_for() {
    let user = format!("root = 'root'\npassword = '{HASH}'\ntotp_secret = 'JBSWY3DPEHPK3PXP'\n");
    let dir = folder("users_dir = 'users'\n[defence]\nmax_auth_tries = 3\n", &user);

    let (_, table) = effective(&dir, true);

    assert_eq!(table["defence"]["max_auth_tries"].as_integer(), Some(3));
    assert_eq!(table["defence"]["penalties"]["auth_failed_s"].as_integer(), Some(5));
    let bob = table["user"][0].as_table().unwrap();
    assert_eq!(bob["methods"][0].as_str(), Some("keyboard-interactive"));
    assert_eq!(bob["principals"][0].as_str(), Some("bob"));
    assert_eq!(bob["enabled"].as_bool(), Some(true));
    for key in keys_in("defence") {
        assert!(table["defence"].get(key).is_some(), "{key}");
    }
    for key in keys_in("defence.penalties") {
        assert!(table["defence"]["penalties"].get(key).is_some(), "{key}");
    }
}

/// What is shown with all defaults is a settings file that says the same.
#[test]
fn what_is_shown_could_be_loaded_but_for_the_secrets() {
    let dir = folder("users_dir = 'users'\n", &format!("root = 'root'\npassword = '{HASH}'\n"));
    let (toml, table) = effective(&dir, true);
    let again = dir.path().join("again.toml");
    fs::write(&again, toml.replace(HIDDEN, HASH)).unwrap();

    let shown = Effective::load(&again, true).unwrap();

    assert_eq!(shown.table, table);
}

/// A row of the document: the table that it is in, the key, and the default.
struct Row {
    table: String,
    key: String,
    default: String,
}

/// Reads the document: a heading with the table's name in backticks, then rows with key, type, default
/// and meaning.
fn documented() -> Vec<Row> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/settings.md");
    let text = fs::read_to_string(path).unwrap();
    let mut table = String::new();
    let mut rows = Vec::new();
    for line in text.lines() {
        if line.starts_with("## ") {
            let name = line.split('`').nth(1).unwrap_or_default();
            table = name.trim_matches(['[', ']']).to_owned();
        } else if line.starts_with("| `") {
            let cells: Vec<_> = line.split('|').map(|cell| cell.trim().replace('`', "")).collect();
            let (key, default) = (cells[1].clone(), cells[3].clone());
            rows.push(Row { table: table.clone(), key, default });
        }
    }
    rows
}

/// Goal: the reference names every key that there is, in its table, and nothing else.
#[test]
fn the_reference_has_every_key_and_no_other() {
    let documented = documented();
    let keys = |name: &str| {
        let rows = documented.iter().filter(|row| row.table == name);
        let mut keys: Vec<&str> = rows.map(|row| row.key.as_str()).collect();
        keys.sort_unstable();
        keys
    };
    let sorted = |mut keys: Vec<&'static str>| {
        keys.sort_unstable();
        keys
    };

    // The tables have sections instead of rows.
    let top = keys_in("").into_iter().filter(|key| !TABLES.contains(key)).collect();
    assert_eq!(keys(""), sorted(top));
    for name in [
        "host_based",
        "external_identity",
        "keyboard_interactive",
        "defence",
        "limits",
        "listener",
        "audit",
        "metrics",
    ] {
        assert_eq!(keys(name), sorted(keys_in(name)), "{name}");
    }
    assert_eq!(keys("defence.penalties"), sorted(keys_in("defence.penalties")));
    // What users and groups share is documented once.
    let shared = keys_of::<PolicyTable>().to_vec();
    assert_eq!(keys("user"), sorted(keys_of::<UserTable>().to_vec()));
    assert_eq!(keys("user.folder"), sorted(keys_in("user.folder")));
    assert_eq!(keys("group"), sorted([keys_of::<GroupTable>(), &shared].concat()));
}

#[test]
fn the_reference_tells_the_defaults_that_hold() {
    let in_force = defence(&DefenceSettings::default());
    let penalties = in_force["penalties"].as_table().unwrap();
    let limits = limits(&ServerLimits::default());
    let audit = Table::from_iter(audit_defaults().map(|(key, value)| (key.to_owned(), value)));
    let mut looked_at = 0;

    for Row { table, key, default } in documented() {
        let value = match table.as_str() {
            "defence" => &in_force[&key],
            "defence.penalties" => &penalties[&key],
            // Those that depend on the machine are told in words.
            "limits" if limits.get(&key).is_some() && !default.contains(' ') => &limits[&key],
            "audit" if key != "file" => &audit[&key],
            _ => continue,
        };
        let shown = match value {
            Value::Array(_) => "none".to_owned(),
            Value::Table(_) => "true".to_owned(),
            other => other.to_string(),
        };
        assert_eq!(default, shown, "{table}.{key}");
        looked_at += 1;
    }

    // All limits but the five that the machine gives.
    let limits = limits.len() - 5;
    assert_eq!(looked_at, in_force.len() + penalties.len() + audit.len() + limits);
}
