//! The settings as the server understands them, for people and for comparing: users from everywhere in
//! one place, with what their groups say, absolute paths and no secrets.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    path::{Path, PathBuf, absolute},
    sync::OnceLock,
};

use sterna_identity::{Chain, Directory, Place};
use sterna_server::{
    ServerLimits,
    defence::{DefenceSettings, Overflow},
};
use toml::{Table, Value};
use toml_edit::{ArrayOfTables, DocumentMut, Item};

use super::{
    check::{ROTATE_MIB_DEFAULT, Settings, USERS_MAX, load_from},
    files::Files,
    places::Places,
    schema::{
        AuditTable, DefenceTable, FolderTable, GroupTable, HookTable, HostBasedTable, LimitsTable,
        ListenerTable, MetricsTable, PenaltiesTable, PolicyTable, SECRETS, SystemUsersTable,
        TABLES, TopTable, UserTable, keys_of,
    },
    source::{SettingsError, Source},
};
use crate::{output::display_name, state_dir};

/// Stands for a secret.
const HIDDEN: &str = "(hidden)";

/// Keys whose values are paths.
const PATHS: &[&str] = &[
    "state_dir",
    "host_keys",
    "host_certificates",
    "revoked_keys_file",
    "known_hosts_file",
    "shosts_file",
    "authorized_keys_file",
    "root",
    "sandbox_roots",
    "token_file",
    "ca_file",
    "file",
];

/// What a settings file comes to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Effective {
    table: Table,
    users_dir: Option<PathBuf>,
    /// What tells one secret from another within this process, and nothing else: by whose it is and
    /// its key.
    secrets: HashMap<(String, String), u64>,
}

impl Effective {
    /// Reads and judges the settings. Shows what they say; with `all`, what they leave to its default
    /// as well.
    ///
    /// # Errors
    /// As [`load`](super::load).
    pub fn load(path: &Path, all: bool) -> Result<Self, Vec<SettingsError>> {
        let files = Files::on_disk();
        let settings = load_from(path, &files)?;
        Self::of(path, &settings, all)
    }

    /// The same for settings that were just loaded from there.
    ///
    /// # Errors
    /// If the files are not any more what they were.
    pub fn of(path: &Path, settings: &Settings, all: bool) -> Result<Self, Vec<SettingsError>> {
        let files = Files::on_disk();
        let source = Source::read(path, &files).map_err(|error| vec![error])?;
        let mut table = table_of(&source)?;
        absolute_paths(&source, &mut table);
        let mut users = take_tables(&mut table, "user");
        let mut users_dir = None;
        if let Some(Value::String(dir)) = table.remove("users_dir") {
            let dir = source.resolve(Path::new(&dir));
            users.extend(users_in(&dir, &files)?);
            users_dir = Some(dir);
        }
        let groups = take_tables(&mut table, "group");
        for user in &mut users {
            inherit(user, &groups);
        }
        if all {
            add_defaults(&mut table, settings);
            users.iter_mut().for_each(|user| add_user_defaults(user, &settings.users));
        }
        let secrets = users.iter().flat_map(marks_of).collect();
        for (name, tables) in [("group", groups), ("user", users)] {
            if !tables.is_empty() {
                let tables = tables.into_iter().map(Value::Table).collect();
                table.insert(name.to_owned(), Value::Array(tables));
            }
        }
        hide_secrets(&mut table);
        Ok(Self { table, users_dir, secrets })
    }

    /// Tells whether a secret of `user NAME` is the same as in other settings; for this process only.
    pub fn secret(&self, of: &str, key: &str) -> Option<u64> {
        self.secrets.get(&(of.to_owned(), key.to_owned())).copied()
    }

    /// Where the files of users are.
    pub fn users_dir(&self) -> Option<&Path> {
        self.users_dir.as_deref()
    }

    /// Every path that the settings name, with its key.
    pub fn paths(&self) -> Vec<(&str, PathBuf)> {
        let mut all = Vec::new();
        paths_in(&self.table, &mut all);
        all
    }

    /// As a table, for whoever compares.
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// As TOML, with the keys in the order of the documentation and the place of each value in a
    /// comment behind it.
    pub fn to_toml(&self, places: &Places) -> String {
        let mut document = DocumentMut::new();
        let place = |path: &[String]| Some(self.place(places, path)?.to_string());
        fill(document.as_table_mut(), &self.table, "", &[], &place);
        document.to_string()
    }

    /// Where the value at `path` stands: with the user, or with the first group that has one.
    fn place<'p>(&self, places: &'p Places, path: &[String]) -> Option<&'p Place> {
        if let Some(place) = places.get(path) {
            return Some(place);
        }
        let [of, user, key] = path else { return None };
        if !keys_of::<PolicyTable>().contains(&key.as_str()) {
            return None;
        }
        let users = self.table.get(of).filter(|_| of == "user")?.as_array()?;
        let user = users.iter().find(|u| u.get("name").and_then(Value::as_str) == Some(user))?;
        let groups = user.get("groups")?.as_array()?.iter().filter_map(Value::as_str);
        let at = |group: &str| places.get(&["group".to_owned(), group.to_owned(), key.clone()]);
        groups.map(at).find_map(|place| place)
    }
}

/// The secrets of a user, each as what tells it from another one.
fn marks_of(user: &Table) -> Vec<((String, String), u64)> {
    static STATE: OnceLock<RandomState> = OnceLock::new();
    let state = STATE.get_or_init(RandomState::new);
    let of = format!("user {}", user.get("name").and_then(Value::as_str).unwrap_or_default());
    let held = SECRETS.iter().filter_map(|key| Some((*key, user.get(*key)?)));
    held.map(|(key, value)| ((of.clone(), key.to_owned()), state.hash_one(value.to_string())))
        .collect()
}

fn table_of(source: &Source) -> Result<Table, Vec<SettingsError>> {
    source.text().parse().map_err(|error: toml::de::Error| {
        vec![source.error(error.span().unwrap_or(0..0), "", error.message())]
    })
}

/// The users that have files of their own, each with its name.
fn users_in(dir: &Path, files: &Files) -> Result<Vec<Table>, Vec<SettingsError>> {
    let mut users = Vec::new();
    for path in files.users_in(dir, USERS_MAX).unwrap_or_default() {
        let source = Source::read(&path, files).map_err(|error| vec![error])?;
        let mut user = table_of(&source)?;
        absolute_paths(&source, &mut user);
        let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        user.entry("name").or_insert(Value::String(stem));
        users.push(user);
    }
    Ok(users)
}

fn take_tables(table: &mut Table, name: &str) -> Vec<Table> {
    let items = match table.remove(name) {
        Some(Value::Array(items)) => items,
        _ => Vec::new(),
    };
    items.into_iter().filter_map(|item| Table::try_from(item).ok()).collect()
}

/// A user's own value, else that of the first group that has one.
fn inherit(user: &mut Table, groups: &[Table]) {
    let Some(Value::Array(names)) = user.get("groups").cloned() else { return };
    for group in names.iter().filter_map(|name| groups.iter().find(|g| g.get("name") == Some(name)))
    {
        for key in keys_of::<PolicyTable>() {
            if let (None, Some(value)) = (user.get(*key), group.get(*key)) {
                user.insert((*key).to_owned(), value.clone());
            }
        }
    }
}

fn absolute_paths(source: &Source, table: &mut Table) {
    // Its paths are patterns.
    let system_users = table.remove("system_users");
    let make = |value: &mut Value| {
        if let Value::String(text) = value {
            let path = source.resolve(Path::new(text.as_str()));
            *text = absolute(&path).unwrap_or(path).to_string_lossy().into_owned();
        }
    };
    for (key, value) in table.iter_mut() {
        match value {
            Value::Table(inner) => absolute_paths(source, inner),
            Value::Array(items) if items.iter().any(Value::is_table) => {
                let tables = items.iter_mut().filter_map(Value::as_table_mut);
                tables.for_each(|inner| absolute_paths(source, inner));
            }
            // A text is the path of a file here; an array is the keys themselves.
            Value::String(_) if key == "trusted_user_ca_keys" => make(value),
            Value::Array(items) if PATHS.contains(&key.as_str()) => items.iter_mut().for_each(make),
            _ if PATHS.contains(&key.as_str()) => make(value),
            _ => {}
        }
    }
    table.extend(system_users.map(|system_users| ("system_users".to_owned(), system_users)));
}

fn paths_in<'t>(table: &'t Table, all: &mut Vec<(&'t str, PathBuf)>) {
    for (key, value) in table {
        match value {
            Value::Table(_) if key == "system_users" => {}
            Value::Table(inner) => paths_in(inner, all),
            Value::String(path)
                if PATHS.contains(&key.as_str()) || key == "trusted_user_ca_keys" =>
            {
                all.push((key, path.into()));
            }
            Value::Array(items) => {
                items.iter().filter_map(Value::as_table).for_each(|inner| paths_in(inner, all));
                if PATHS.contains(&key.as_str()) {
                    let paths = items.iter().filter_map(Value::as_str);
                    all.extend(paths.map(|path| (key.as_str(), path.into())));
                }
            }
            _ => {}
        }
    }
}

fn hide_secrets(table: &mut Table) {
    for (key, value) in table.iter_mut() {
        match value {
            _ if SECRETS.contains(&key.as_str()) => *value = Value::from(HIDDEN),
            Value::Table(inner) => hide_secrets(inner),
            Value::Array(items) => {
                items.iter_mut().filter_map(Value::as_table_mut).for_each(hide_secrets);
            }
            _ => {}
        }
    }
}

fn add_defaults(table: &mut Table, settings: &Settings) {
    let has_listeners = table.contains_key("listener");
    let mut add = |key: &str, value: Value| {
        table.entry(key).or_insert(value);
    };
    if !has_listeners {
        add(
            "listen",
            settings.listen.iter().map(|at| at.address.to_string()).collect::<Vec<_>>().into(),
        );
    }
    add("drain_s", i64::try_from(settings.drain.as_secs()).unwrap_or(i64::MAX).into());
    if let Some(dir) = state_dir::default() {
        add("state_dir", dir.to_string_lossy().into_owned().into());
    }
    add("ca_signature_algorithms", settings.users.rules().ca_signature_algorithms.clone().into());
    add("strict_algorithms", settings.strict_algorithms.into());
    add("legacy", Vec::<String>::new().into());
    let days = settings.keep_unfinished.as_secs() / (24 * 3600);
    add("sandbox", settings.confinement.sandbox.name().into());
    add("keep_unfinished_days", i64::try_from(days).unwrap_or(i64::MAX).into());
    if let Some(Value::Table(host_based)) = table.get_mut("host_based") {
        host_based.entry("check_address").or_insert(true.into());
    }
    let seconds = |length: std::time::Duration| Value::from(length.as_secs() as i64);
    for (name, cached) in [("external_identity", true), ("keyboard_interactive", false)] {
        if let Some(Value::Table(hook)) = table.get_mut(name) {
            hook.entry("timeout_s").or_insert(seconds(sterna_hooks::Hook::TIMEOUT_DEFAULT));
            if cached {
                hook.entry("cache_s").or_insert(seconds(sterna_hooks::Hook::CACHE_DEFAULT));
            }
        }
    }
    if let (Some(Value::Table(table)), Some(policy)) =
        (table.get_mut("system_users"), &settings.system_users)
    {
        for (key, value) in [
            ("min_uid", Value::from(i64::from(policy.min_uid))),
            ("root", policy.root.clone().into()),
            ("password", policy.password.name().into()),
            ("pam_service", policy.pam_service.clone().into()),
            ("umask", format!("{:03o}", policy.umask).into()),
            ("authorized_keys_file", policy.authorized_keys_file.clone().into()),
            ("read_only", policy.read_only.into()),
        ] {
            table.entry(key).or_insert(value);
        }
    }
    if table.contains_key("authorized_keys_command") {
        let timeout = seconds(sterna_hooks::Hook::TIMEOUT_DEFAULT);
        table.entry("authorized_keys_command_timeout_s").or_insert(timeout);
    }
    if let Some(Value::Table(audit)) = table.get_mut("audit") {
        for (key, value) in audit_defaults() {
            audit.entry(key).or_insert(value);
        }
    }
    if let Some(Value::Table(metrics)) = table.get_mut("metrics") {
        metrics.entry("allow_remote").or_insert(false.into());
    }
    table.insert("defence".to_owned(), Value::Table(defence(&settings.defence)));
    table.insert("limits".to_owned(), Value::Table(limits(&settings.limits)));
}

fn audit_defaults() -> [(&'static str, Value); 7] {
    [
        ("stdout", false.into()),
        ("journald", false.into()),
        ("rotate_mib", (ROTATE_MIB_DEFAULT as i64).into()),
        ("rotate_hours", 0.into()),
        ("keep_files", 0.into()),
        ("sync", "batch".into()),
        ("on_failure", "stop".into()),
    ]
}

fn add_user_defaults(user: &mut Table, directory: &Directory) {
    let Some(name) = user.get("name").and_then(Value::as_str).map(str::to_owned) else { return };
    if let Some(known) = directory.user(name.as_bytes()) {
        let chains = directory.chains(known).iter().map(chain).collect::<Vec<_>>();
        user.entry("methods").or_insert(chains.into());
    }
    for (key, value) in [
        ("enabled", Value::from(true)),
        ("read_only", false.into()),
        ("must_change_password", false.into()),
        ("principals", vec![name].into()),
        ("publish", "direct".into()),
    ] {
        user.entry(key).or_insert(value);
    }
}

fn chain(chain: &Chain) -> String {
    let names: Vec<&str> = chain.steps().iter().map(|method| method.name()).collect();
    names.join(",")
}

/// Every number in force.
fn defence(settings: &DefenceSettings) -> Table {
    let seconds = |length: std::time::Duration| Value::from(length.as_secs() as i64);
    let count = |count: usize| Value::from(count as i64);
    let mut table = Table::new();
    let exempt: Vec<String> = settings.exempt.iter().map(ToString::to_string).collect();
    for (key, value) in [
        ("exempt", exempt.into()),
        ("login_grace_s", seconds(settings.login_grace)),
        ("max_startups", settings.max_startups.to_string().into()),
        (
            "per_source_max_startups",
            settings.per_source_max_startups.map_or("none".into(), |max| i64::from(max).into()),
        ),
        ("per_source_net_block_size", settings.per_source_net_block_size.to_string().into()),
        ("max_auth_tries", i64::from(settings.max_auth_tries).into()),
    ] {
        table.insert(key.to_owned(), value);
    }
    let penalties = match &settings.per_source_penalties {
        None => false.into(),
        Some(all) => {
            let overflow = match all.overflow {
                Overflow::Permissive => "permissive",
                Overflow::DenyAll => "deny-all",
            };
            let all = [
                ("crash_s", seconds(all.crash)),
                ("protocol_error_s", seconds(all.protocol_error)),
                ("auth_failed_s", seconds(all.auth_failed)),
                ("invalid_user_s", seconds(all.invalid_user)),
                ("no_auth_s", seconds(all.no_auth)),
                ("grace_exceeded_s", seconds(all.grace_exceeded)),
                ("refused_s", seconds(all.refused)),
                ("min_s", seconds(all.min)),
                ("max_s", seconds(all.max)),
                ("max_repeated_s", seconds(all.max_repeated)),
                ("forget_after_s", seconds(all.forget_after)),
                ("max_sources4", count(all.max_sources4)),
                ("max_sources6", count(all.max_sources6)),
                ("overflow", overflow.into()),
            ];
            Value::Table(all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
        }
    };
    table.insert("penalties".to_owned(), penalties);
    table
}

/// Every limit in force.
fn limits(limits: &ServerLimits) -> Table {
    let count = |count: usize| Value::from(count as i64);
    let or_none = |number: Option<u64>| number.map_or("none".into(), |n| Value::from(n as i64));
    let all = [
        ("connections", count(limits.connections)),
        ("connections_per_source", count(limits.connections_per_source)),
        ("sessions_per_user", count(limits.sessions_per_user)),
        ("channels", count(limits.channels)),
        ("handles", count(limits.handles)),
        ("dir_handles", count(limits.dir_handles)),
        ("handles_total", count(limits.handles_total)),
        ("requests", count(limits.requests)),
        ("long_jobs", count(limits.long_jobs)),
        ("idle_s", or_none(limits.idle.map(|idle| idle.as_secs()))),
        ("memory_mib", or_none(limits.memory.map(|bytes| bytes >> 20))),
    ];
    all.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The keys of a table in the order in which they are documented.
pub fn keys_in(table: &str) -> Vec<&'static str> {
    match table {
        "" => [keys_of::<TopTable>(), TABLES].concat(),
        "host_based" => keys_of::<HostBasedTable>().to_vec(),
        "external_identity" => keys_of::<HookTable>().to_vec(),
        // A person's answers are not kept.
        "keyboard_interactive" => {
            keys_of::<HookTable>().iter().copied().filter(|key| *key != "cache_s").collect()
        }
        "system_users" => keys_of::<SystemUsersTable>().to_vec(),
        "defence" => keys_of::<DefenceTable>().to_vec(),
        "audit" => keys_of::<AuditTable>().to_vec(),
        "metrics" => keys_of::<MetricsTable>().to_vec(),
        "defence.penalties" => keys_of::<PenaltiesTable>().to_vec(),
        "limits" => keys_of::<LimitsTable>().to_vec(),
        "listener" => keys_of::<ListenerTable>().to_vec(),
        "group" => [keys_of::<GroupTable>(), keys_of::<PolicyTable>()].concat(),
        "user" => [keys_of::<UserTable>(), keys_of::<PolicyTable>()].concat(),
        "user.folder" | "group.folder" => keys_of::<FolderTable>().to_vec(),
        _ => Vec::new(),
    }
}

fn fill(
    document: &mut toml_edit::Table,
    table: &Table,
    name: &str,
    path: &[String],
    place: &dyn Fn(&[String]) -> Option<String>,
) {
    for key in keys_in(name) {
        let Some(value) = table.get(key) else { continue };
        let path = [path, &[key.to_owned()]].concat();
        let inner = if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
        let item = match value {
            Value::Table(table) => {
                let mut filled = toml_edit::Table::new();
                fill(&mut filled, table, &inner, &path, place);
                Item::Table(filled)
            }
            Value::Array(items) if items.iter().any(Value::is_table) => {
                let mut tables = ArrayOfTables::new();
                for table in items.iter().filter_map(Value::as_table) {
                    let mut filled = toml_edit::Table::new();
                    let name =
                        ["name", "path", "address"].into_iter().find_map(|key| table.get(key));
                    let name = name.and_then(Value::as_str).unwrap_or_default();
                    let path = [&path[..], &[name.to_owned()]].concat();
                    fill(&mut filled, table, &inner, &path, place);
                    tables.push(filled);
                }
                Item::ArrayOfTables(tables)
            }
            // What is written is what was read.
            other => other.to_string().parse().map_or(Item::None, |mut value: toml_edit::Value| {
                if let Some(place) = place(&path) {
                    // A line that ends within would end the comment.
                    let place = display_name(place.as_bytes());
                    value.decor_mut().set_suffix(format!("  # {place}"));
                }
                Item::Value(value)
            }),
        };
        document.insert(key, item);
    }
}

#[cfg(test)]
mod tests;
