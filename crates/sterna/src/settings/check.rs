//! From what the file says to what the server needs: addresses, directories, rules, users. All mistakes
//! are collected, so that one look at the output shows what there is to repair.

mod confinement;
mod defence;
mod groups;
mod hooks;
mod limits;
mod listeners;
mod login_rules;
mod numbers;
mod observe;
mod policy;
mod system_users;
mod trust_files;
mod user;

use std::{
    collections::HashMap,
    fs, mem,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    ops::Range,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};

use sterna_identity::{
    AuthorizedKey, Directory, LoginRules, limits::AUTHORIZED_KEYS_LEN_MAX, parse_authorized_keys,
};
use sterna_server::{ListenAt, ServerLimits, defence::DefenceSettings};
use sterna_ssh_crypto::{CertificateKind, OfferedKey, names};
use sterna_ssh_proto::Algorithms;
use sterna_worker::Policy;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub use self::confinement::{Confinement, SandboxMode};
pub use self::limits::limits_default;
use self::{groups::Groups, trust_files::TrustFiles};
use super::{
    files::Files,
    schema::{
        AuditTable, DefenceTable, HookTable, HostBasedTable, LimitsTable, MetricsTable, OneOrMore,
        SystemUsersTable, TABLES, TopTable,
    },
    source::{SettingsError, Source},
};
use crate::{failure::io_reason, output::display_name};
pub use observe::{AuditSettings, ROTATE_MIB_DEFAULT, audit_state_in};

/// The port if nothing is said.
const PORT_DEFAULT: u16 = 2022;
/// Users of one server. Each costs some hundred bytes; more belong into a database.
pub const USERS_MAX: usize = 100_000;
/// Bytes of the text before login: a screen of it.
const BANNER_LEN_MAX: usize = 8 * 1024;
/// Bytes of a file with a host certificate.
const CERTIFICATE_LEN_MAX: u64 = 64 * 1024;

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Long enough for a weekend and the holiday behind it.
pub const KEEP_UNFINISHED_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long sessions may go on with what they do when the server is asked to end: a minute less than service managers
/// wait.
const DRAIN_DEFAULT: Duration = Duration::from_secs(30);
/// A day: the largest upload.
const DRAIN_S_MAX: u64 = 24 * 3600;
/// Ten years.
const KEEP_UNFINISHED_DAYS_MAX: u64 = 3650;

/// Settings that make sense.
#[derive(Debug)]
pub struct Settings {
    pub listen: Vec<ListenAt>,
    /// Nothing was said about where to listen.
    pub listens_by_default: bool,
    pub limits: ServerLimits,
    /// How long sessions may take to finish when the server ends.
    pub drain: Duration,
    /// `None`: the default of `serve`.
    pub state_dir: Option<PathBuf>,
    /// Empty: made once and kept in the state directory.
    pub host_keys: Vec<PathBuf>,
    /// Certificates of the host keys.
    pub host_certificates: Vec<PathBuf>,
    /// Shown before login.
    pub banner: Option<String>,
    pub strict_algorithms: bool,
    pub legacy: Legacy,
    pub defence: DefenceSettings,
    pub confinement: Confinement,
    /// `None`: nothing is recorded.
    pub audit: Option<AuditSettings>,
    /// Where figures may be asked for.
    pub metrics: Option<SocketAddr>,
    /// Who of the machine may log in; `None`: nobody.
    pub system_users: Option<Policy>,
    /// How long unfinished uploads stay where they are published on close.
    pub keep_unfinished: Duration,
    /// Users, and the rules that hold for all of them.
    pub users: Directory,
    /// What was left out although the settings stand, to be logged.
    pub warnings: Vec<String>,
}

/// Weak algorithms that the settings bring back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Legacy {
    kex: Vec<&'static str>,
    /// Of users and of client hosts: verified, never made.
    signatures: Vec<&'static str>,
}

impl Legacy {
    fn add(&mut self, name: &str) -> bool {
        let of = |list: &[&'static str]| list.iter().copied().find(|known| *known == name);
        let kex = of(names::LEGACY_KEX).map(|known| self.kex.push(known));
        kex.or_else(|| of(names::LEGACY_SIGNATURE).map(|known| self.signatures.push(known)))
            .is_some()
    }

    /// Puts them behind all others.
    pub fn allow_in(&self, algorithms: &mut Algorithms) {
        algorithms.kex.extend(self.kex.iter().map(|name| (*name).to_owned()));
        algorithms.user_keys.extend(self.signatures.iter().map(|name| (*name).to_owned()));
    }
}

/// Reads and judges a file and everything that it names.
///
/// # Errors
/// Every mistake in it, in the order of the file.
pub fn load(path: &Path) -> Result<Settings, Vec<SettingsError>> {
    load_from(path, &Files::on_disk())
}

/// The same with one file as it would be after an edit.
///
/// # Errors
/// As [`load`].
pub fn load_from(path: &Path, files: &Files) -> Result<Settings, Vec<SettingsError>> {
    let source = Source::read(path, files).map_err(|error| vec![error])?;
    let mut check = Check::new(files);
    check.trust.look_at_own(source.path());
    let settings = check.settings(&source);
    match (check.errors.is_empty(), settings) {
        (true, Some(settings)) => {
            Ok(Settings { warnings: check.trust.take_warnings(), ..settings })
        }
        _ => {
            // The settings file first, from its first line to its last.
            check.errors.sort_by_key(|error| match error.file == path {
                true => (0, error.line),
                false => (1, None),
            });
            Err(check.errors)
        }
    }
}

/// Where the server listens if nothing is said: all addresses of both families, or of IPv4 alone on
/// a machine without IPv6.
pub fn listen_default() -> SocketAddr {
    // Asked once: behind its walls a server could not find out.
    static HAS_IPV6: LazyLock<bool> =
        LazyLock::new(|| UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok());
    let has_ipv6 = *HAS_IPV6;
    let everybody: IpAddr =
        if has_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    SocketAddr::new(everybody, PORT_DEFAULT)
}

/// Reads an address to listen on: `127.0.0.1:2022`, `[::1]:2022`, or `:2022` for all addresses.
pub fn parse_listen(text: &str) -> Option<SocketAddr> {
    match text.strip_prefix(':') {
        Some(port) => Some(SocketAddr::new(Ipv6Addr::UNSPECIFIED.into(), port.parse().ok()?)),
        None => text.parse().ok(),
    }
}

/// The keys of an authorized_keys file, and a sentence for each line that was left out.
///
/// # Errors
/// If the file cannot be read: then nobody knows who should have access.
pub fn authorized_keys_of(path: &Path) -> Result<(Vec<AuthorizedKey>, Vec<String>), String> {
    authorized_keys_in(path, &Files::on_disk())
}

fn authorized_keys_in(
    path: &Path,
    files: &Files,
) -> Result<(Vec<AuthorizedKey>, Vec<String>), String> {
    let bytes = files
        .read_regular(path, AUTHORIZED_KEYS_LEN_MAX as u64)
        .map_err(|error| io_reason(&error))?;
    let (keys, refused) = parse_authorized_keys(&bytes);
    let name = display_name(path.as_os_str().as_encoded_bytes());
    let refused = refused.iter().map(|line| format!("{name}:{}: {}", line.line, line.why));
    Ok((keys, refused.collect()))
}

/// What has been found so far.
struct Check<'f> {
    files: &'f Files,
    errors: Vec<SettingsError>,
    trust: TrustFiles<'f>,
    rules: LoginRules,
    /// Whether there is a `[host_based]`, good or not.
    has_host_based: bool,
    groups: Arc<Groups>,
    /// Where each user was first seen: file and line.
    names: HashMap<String, String>,
}

/// The tables of the settings file, each in its schema.
struct Tables<'t> {
    top: TopTable,
    host_based: Option<HostBasedTable>,
    external_identity: Option<Spanned<HookTable>>,
    keyboard_interactive: Option<Spanned<HookTable>>,
    system_users: Option<Spanned<SystemUsersTable>>,
    defence: DefenceTable,
    limits: LimitsTable,
    listeners: Vec<Spanned<DeTable<'t>>>,
    audit: Option<Spanned<AuditTable>>,
    metrics: Option<Spanned<MetricsTable>>,
    groups: Vec<Spanned<DeTable<'t>>>,
    users: Vec<Spanned<DeTable<'t>>>,
}

impl<'f> Check<'f> {
    fn new(files: &'f Files) -> Self {
        Self {
            files,
            errors: Vec::new(),
            trust: TrustFiles::new(files),
            rules: LoginRules::default(),
            has_host_based: false,
            groups: Arc::default(),
            names: HashMap::new(),
        }
    }

    fn settings(&mut self, source: &Source) -> Option<Settings> {
        let tables = self.tables(source)?;
        let top = &tables.top;
        let host_keys = top.host_keys.iter().flatten();
        let host_keys = host_keys.map(|key| self.file(source, "host_keys", key)).collect();
        let host_certificates = self.host_certificates(source, top.host_certificates.as_deref());
        let banner = top.banner.as_ref().and_then(|text| self.banner(source, "banner", text));
        let strict_algorithms = top.strict_algorithms.unwrap_or(false);
        let legacy = self.legacy(source, top.legacy.as_deref());
        let defence = self.defence(source, &tables.defence);
        let confinement = self.confinement(source, top);
        let audit = self.audit(source, tables.audit.as_ref());
        let metrics = self.metrics(source, tables.metrics.as_ref());
        self.login_rules(source, &tables);
        self.groups(source, tables.groups);
        let listens_by_default = top.listen.is_none() && tables.listeners.is_empty();
        let listen = self.listeners(source, top.listen.as_deref(), tables.listeners);
        let limits = self.limits(source, &tables.limits);
        // Behind the groups, to which its users may belong.
        self.external_identity(source, tables.external_identity.as_ref());
        let has_account = tables.top.run_as_user.is_some();
        let system_users = self.system_users(source, tables.system_users.as_ref(), has_account);
        let has_users = !tables.users.is_empty()
            || top.users_dir.is_some()
            || tables.external_identity.is_some()
            || tables.system_users.is_some();
        if !has_users {
            self.errors.push(SettingsError {
                file: source.path().to_owned(),
                line: None,
                key: "user".to_owned(),
                why: "there is none; add a [[user]], or a users_dir".to_owned(),
            });
        }
        let mut users = Vec::new();
        for table in tables.users {
            let scope = Scope { source, prefix: "user.", span: table.span(), default_name: None };
            users.extend(self.user(&scope, table.into_inner()));
        }
        if let Some(dir) = &top.users_dir {
            self.users_dir(source, dir, &mut users);
        }
        let users = match Directory::with_rules(users, mem::take(&mut self.rules)) {
            Ok(users) => users,
            // Each user was checked by itself; what is left concerns all of them.
            Err(error) => {
                self.errors.push(SettingsError {
                    file: source.path().to_owned(),
                    line: None,
                    key: "user".to_owned(),
                    why: error.to_string(),
                });
                return None;
            }
        };
        let keep_unfinished = self.keep_unfinished(source, top.keep_unfinished_days.as_ref());
        let drain = self.drain(source, top.drain_s.as_ref());
        let state_dir = tables.top.state_dir.map(|dir| source.resolve(dir.get_ref()));
        Some(Settings {
            listen,
            listens_by_default,
            limits,
            drain,
            state_dir,
            host_keys,
            host_certificates,
            banner,
            strict_algorithms,
            legacy,
            defence,
            confinement,
            audit,
            metrics,
            system_users,
            keep_unfinished,
            users,
            warnings: Vec::new(),
        })
    }

    /// Takes the text apart. `None` if something does not have its shape: what it means is then not
    /// looked at, because one mistake would look like many.
    fn tables<'t>(&mut self, source: &'t Source) -> Option<Tables<'t>> {
        let mut all = source.tables(&mut self.errors)?;
        let mut tables: HashMap<&str, Spanned<DeValue<'t>>> = HashMap::new();
        for name in TABLES {
            if let Some(value) = all.remove(*name) {
                tables.insert(name, value);
            }
        }
        let errors = &mut self.errors;
        let top = source.read_table(all, 0..0, "", errors);
        let host_based = one(source, "host_based", &mut tables, errors);
        let external_identity = one(source, "external_identity", &mut tables, errors);
        let keyboard_interactive = one(source, "keyboard_interactive", &mut tables, errors);
        let system_users = one(source, "system_users", &mut tables, errors);
        let defence = one(source, "defence", &mut tables, errors);
        let limits = one(source, "limits", &mut tables, errors);
        let listeners = several(source, "listener", &mut tables, errors);
        let audit = one(source, "audit", &mut tables, errors);
        let metrics = one(source, "metrics", &mut tables, errors);
        let groups = several(source, "group", &mut tables, errors);
        let users = several(source, "user", &mut tables, errors);
        if !self.errors.is_empty() {
            // Those of users are told at once as well.
            self.user_shapes(source, groups, users);
            return None;
        }
        Some(Tables {
            top: top?,
            host_based: host_based.map(Spanned::into_inner),
            external_identity,
            keyboard_interactive,
            system_users,
            defence: defence.map(Spanned::into_inner).unwrap_or_default(),
            limits: limits.map(Spanned::into_inner).unwrap_or_default(),
            listeners,
            audit,
            metrics,
            groups,
            users,
        })
    }

    fn keep_unfinished(&mut self, source: &Source, days: Option<&Spanned<u64>>) -> Duration {
        let Some(days) = days else { return KEEP_UNFINISHED_DEFAULT };
        if !(1..=KEEP_UNFINISHED_DAYS_MAX).contains(days.get_ref()) {
            let why = format!("not between 1 and {KEEP_UNFINISHED_DAYS_MAX}");
            self.errors.push(source.error(days.span(), "keep_unfinished_days", why));
        }
        DAY.saturating_mul((*days.get_ref()).try_into().unwrap_or(u32::MAX))
    }

    fn drain(&mut self, source: &Source, seconds: Option<&Spanned<u64>>) -> Duration {
        let Some(seconds) = seconds else { return DRAIN_DEFAULT };
        if *seconds.get_ref() > DRAIN_S_MAX {
            let why = format!("not 0 to {DRAIN_S_MAX} seconds");
            self.errors.push(source.error(seconds.span(), "drain_s", why));
        }
        Duration::from_secs(*seconds.get_ref())
    }

    /// The path of a file that must exist.
    fn file(&mut self, source: &Source, key: &str, path: &Spanned<PathBuf>) -> PathBuf {
        let resolved = source.resolve(path.get_ref());
        match fs::metadata(&resolved) {
            Ok(meta) if meta.is_file() => {}
            Ok(_) => self.errors.push(source.error(path.span(), key, at(&resolved, "not a file"))),
            Err(error) => {
                self.errors.push(source.error(path.span(), key, at(&resolved, &io_reason(&error))));
            }
        }
        resolved
    }

    /// Whether they belong to the host keys is seen where those are read.
    fn host_certificates(
        &mut self,
        source: &Source,
        typed: Option<&[Spanned<PathBuf>]>,
    ) -> Vec<PathBuf> {
        let mut all = Vec::new();
        for file in typed.unwrap_or_default() {
            let path = source.resolve(file.get_ref());
            let why = match self.files.read_regular(&path, CERTIFICATE_LEN_MAX) {
                Err(error) => Some(io_reason(&error)),
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes);
                    let key = OfferedKey::from_openssh(text.trim());
                    let is_for_hosts = key.as_ref().is_ok_and(|(key, _)| {
                        key.certificate().is_some_and(|c| c.kind == CertificateKind::Host)
                    });
                    (!is_for_hosts).then(|| "not a host certificate".to_owned())
                }
            };
            let key = "host_certificates";
            self.errors.extend(why.map(|why| source.error(file.span(), key, at(&path, &why))));
            all.push(path);
        }
        all
    }

    fn banner(&mut self, source: &Source, key: &str, text: &Spanned<String>) -> Option<String> {
        if text.get_ref().len() > BANNER_LEN_MAX {
            let why = format!("longer than {BANNER_LEN_MAX} bytes");
            self.errors.push(source.error(text.span(), key, why));
            return None;
        }
        let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\r' | '\t');
        if text.get_ref().contains(is_control) {
            let why = "holds control characters, which terminals would obey";
            self.errors.push(source.error(text.span(), key, why));
            return None;
        }
        // A terminal goes on in the line where the text ends.
        let text = text.get_ref().trim_end_matches('\n');
        (!text.is_empty()).then(|| format!("{text}\n"))
    }

    fn legacy(&mut self, source: &Source, typed: Option<&[Spanned<String>]>) -> Legacy {
        let mut legacy = Legacy::default();
        for name in typed.unwrap_or_default() {
            if !legacy.add(name.get_ref()) {
                let known = [names::LEGACY_KEX, names::LEGACY_SIGNATURE].concat().join(" and ");
                let why = format!("{:?} cannot be brought back, only {known}", name.get_ref());
                self.errors.push(source.error(name.span(), "legacy", why));
            }
        }
        legacy
    }
}

/// One table by its name; `None` if it is not there, or not as it should be (then it was said).
fn one<'t, T: serde::Deserialize<'t>>(
    source: &Source,
    name: &str,
    tables: &mut HashMap<&str, Spanned<DeValue<'t>>>,
    errors: &mut Vec<SettingsError>,
) -> Option<Spanned<T>> {
    let value = tables.remove(name)?;
    let span = value.span();
    match value.into_inner() {
        DeValue::Table(table) => {
            let read = source.read_table(table, span.clone(), &format!("{name}."), errors)?;
            Some(Spanned::new(span, read))
        }
        _ => {
            errors.push(source.error(span, name, format!("not a table; write [{name}]")));
            None
        }
    }
}

/// All tables of an array, unread.
fn several<'t>(
    source: &Source,
    name: &str,
    tables: &mut HashMap<&str, Spanned<DeValue<'t>>>,
    errors: &mut Vec<SettingsError>,
) -> Vec<Spanned<DeTable<'t>>> {
    let Some(value) = tables.remove(name) else { return Vec::new() };
    let mut not_tables = |span| {
        errors.push(source.error(span, name, format!("not an array of tables; write [[{name}]]")));
    };
    let span = value.span();
    let DeValue::Array(items) = value.into_inner() else {
        not_tables(span);
        return Vec::new();
    };
    let mut all = Vec::new();
    for item in items {
        let span = item.span();
        match item.into_inner() {
            DeValue::Table(table) => all.push(Spanned::new(span, table)),
            _ => not_tables(span),
        }
    }
    all
}

/// Where one user or group stands.
struct Scope<'s> {
    source: &'s Source,
    /// Before the names of keys: `user.` in the main file.
    prefix: &'static str,
    /// What to point at when something is missing.
    span: Range<usize>,
    /// The name of a user who has a file of its own.
    default_name: Option<&'s str>,
}

impl Scope<'_> {
    fn error(&self, span: Range<usize>, key: &str, why: impl Into<String>) -> SettingsError {
        self.source.error(span, &format!("{}{key}", self.prefix), why)
    }
}

/// The paths that a key names, each with its place.
fn paths(source: &Source, value: &Spanned<OneOrMore>) -> Vec<(PathBuf, Range<usize>)> {
    match value.get_ref() {
        OneOrMore::One(path) => vec![(source.resolve(Path::new(path)), value.span())],
        OneOrMore::More(all) => {
            let resolved = |path: &Spanned<String>| source.resolve(Path::new(path.get_ref()));
            all.iter().map(|path| (resolved(path), path.span())).collect()
        }
    }
}

fn at(path: &Path, why: &str) -> String {
    format!("{}: {why}", display_name(path.as_os_str().as_encoded_bytes()))
}

#[cfg(test)]
mod tests;
