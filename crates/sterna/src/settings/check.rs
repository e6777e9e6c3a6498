//! From what the file says to what the server needs: addresses, directories, users. All mistakes
//! are collected, so that one look at the output shows what there is to repair.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    time::Duration,
};

use sterna_identity::{
    AuthorizedKey, Chain, Directory, PasswordHash, User, UserError,
    limits::AUTHORIZED_KEYS_LEN_MAX, parse_authorized_keys,
};
use toml::Spanned;

use super::{
    files::Files,
    schema::{Later, SettingsFile, UserTable},
    source::{SettingsError, Source},
};
use crate::{failure::io_reason, output::display_name};

/// The port if nothing is said.
const PORT_DEFAULT: u16 = 2022;
/// Users of one server. Each costs some hundred bytes; more belong into a database.
pub const USERS_MAX: usize = 100_000;
/// The longest grace that makes sense (seconds): OpenSSH's default is two minutes.
const LOGIN_GRACE_S_MAX: u64 = 3600;

/// Settings that make sense.
#[derive(Debug)]
pub struct Settings {
    pub listen: Vec<SocketAddr>,
    /// `None`: the default of `serve`.
    pub state_dir: Option<PathBuf>,
    /// Empty: made once and kept in the state directory.
    pub host_keys: Vec<PathBuf>,
    pub users: Directory,
    pub login_grace: Option<Duration>,
    /// What was left out although the settings stand, to be logged.
    pub warnings: Vec<String>,
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
    let file: SettingsFile = source.parse().map_err(|error| vec![error])?;
    let mut check =
        Check { files, errors: Vec::new(), warnings: Vec::new(), names: HashMap::new() };
    let settings = check.settings(&source, file);
    match (check.errors.is_empty(), settings) {
        (true, Some(settings)) => Ok(Settings { warnings: check.warnings, ..settings }),
        _ => Err(check.errors),
    }
}

/// Where the server listens if nothing is said: all addresses of both families, or of IPv4 alone on
/// a machine without IPv6.
pub fn listen_default() -> SocketAddr {
    let has_ipv6 = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0)).is_ok();
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
        .read(path, AUTHORIZED_KEYS_LEN_MAX as u64)
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
    warnings: Vec<String>,
    /// Where each user was first seen: file and line.
    names: HashMap<String, String>,
}

impl Check<'_> {
    fn settings(&mut self, source: &Source, file: SettingsFile) -> Option<Settings> {
        self.later(source, "trusted_user_ca_keys", &file.trusted_user_ca_keys);
        self.later(source, "revoked_keys_file", &file.revoked_keys_file);
        self.later(source, "host_based", &file.host_based);
        let listen = self.listen(source, file.listen.as_deref());
        let mut login_grace = None;
        if let Some(defence) = &file.defence {
            self.later(source, "defence.exempt", &defence.exempt);
            login_grace = defence.login_grace_s.as_ref().and_then(|s| self.login_grace(source, s));
        }
        let host_keys = file.host_keys.iter().flatten();
        let host_keys = host_keys.map(|key| self.file(source, "host_keys", key)).collect();
        if file.user.is_empty() && file.users_dir.is_none() {
            self.errors.push(SettingsError {
                file: source.path.clone(),
                line: None,
                key: "user".to_owned(),
                why: "there is none; add a [[user]], or a users_dir".to_owned(),
            });
        }
        let mut users = Vec::new();
        for table in file.user {
            let span = table.span();
            let scope = Scope { source, prefix: "user.", span, default_name: None };
            users.extend(self.user(&scope, table.into_inner()));
        }
        if let Some(dir) = &file.users_dir {
            self.users_dir(source, dir, &mut users);
        }
        let users = match Directory::new(users) {
            Ok(users) => users,
            // Each user was checked by itself; what is left concerns all of them.
            Err(error) => {
                self.errors.push(SettingsError {
                    file: source.path.clone(),
                    line: None,
                    key: "user".to_owned(),
                    why: error.to_string(),
                });
                return None;
            }
        };
        let state_dir = file.state_dir.map(|dir| source.resolve(dir.get_ref()));
        Some(Settings { listen, state_dir, host_keys, users, login_grace, warnings: Vec::new() })
    }

    /// A key of a feature that does not exist must not be ignored.
    fn later(&mut self, source: &Source, key: &str, value: &Later) {
        if let Some(value) = value {
            self.errors.push(source.error(value.span(), key, "is not supported yet"));
        }
    }

    fn listen(&mut self, source: &Source, typed: Option<&[Spanned<String>]>) -> Vec<SocketAddr> {
        let Some(typed) = typed else { return vec![listen_default()] };
        let mut listen = Vec::new();
        for text in typed {
            match parse_listen(text.get_ref()) {
                Some(address) => listen.push(address),
                None => self.errors.push(source.error(
                    text.span(),
                    "listen",
                    "not an address such as \"127.0.0.1:2022\" or \"[::]:2022\"",
                )),
            }
        }
        listen
    }

    fn login_grace(&mut self, source: &Source, seconds: &Spanned<u64>) -> Option<Duration> {
        match *seconds.get_ref() {
            seconds @ 1..=LOGIN_GRACE_S_MAX => Some(Duration::from_secs(seconds)),
            _ => {
                let why = format!("not 1 to {LOGIN_GRACE_S_MAX} seconds");
                self.errors.push(source.error(seconds.span(), "defence.login_grace_s", why));
                None
            }
        }
    }

    /// The path of a file that must exist.
    fn file(&mut self, source: &Source, key: &str, path: &Spanned<PathBuf>) -> PathBuf {
        let resolved = source.resolve(path.get_ref());
        match fs::metadata(&resolved) {
            Ok(meta) if meta.is_file() => {}
            Ok(_) => self.errors.push(source.error(path.span(), key, "not a file")),
            Err(error) => {
                self.errors.push(source.error(path.span(), key, at(&resolved, &io_reason(&error))));
            }
        }
        resolved
    }

    fn users_dir(&mut self, source: &Source, dir: &Spanned<PathBuf>, users: &mut Vec<User>) {
        let path = source.resolve(dir.get_ref());
        let files = self.files.users_in(&path, USERS_MAX).unwrap_or_else(|error| {
            let why = at(&path, &io_reason(&error));
            self.errors.push(source.error(dir.span(), "users_dir", why));
            Vec::new()
        });
        if files.len() > USERS_MAX {
            let why = format!("more than {USERS_MAX} users");
            self.errors.push(source.error(dir.span(), "users_dir", why));
            return;
        }
        for file in files {
            let parsed = Source::read(&file, self.files).and_then(|source| {
                let table: UserTable = source.parse()?;
                Ok((source, table))
            });
            match parsed {
                Ok((source, table)) => {
                    let default_name = file.file_stem().and_then(|stem| stem.to_str());
                    let scope = Scope { source: &source, prefix: "", span: 0..0, default_name };
                    users.extend(self.user(&scope, table));
                }
                Err(error) => self.errors.push(error),
            }
        }
    }

    /// One user; `None` if it cannot be one (then something was said).
    fn user(&mut self, scope: &Scope<'_>, table: UserTable) -> Option<User> {
        let before = self.errors.len();
        for (key, value) in [
            ("principals", &table.principals),
            ("host_based", &table.host_based),
            ("totp_secret", &table.totp_secret),
            ("allow_from", &table.allow_from),
        ] {
            if let Some(value) = value {
                self.errors.push(scope.error(value.span(), key, "is not supported yet"));
            }
        }
        if let Some(publish) = &table.publish {
            let why = match publish.get_ref().as_str() {
                "direct" => None,
                "on-close" => Some("\"on-close\" is not supported yet"),
                _ => Some("not \"direct\""),
            };
            let errors = why.map(|why| scope.error(publish.span(), "publish", why));
            self.errors.extend(errors);
        }
        let name = self.name(scope, table.name.as_ref());
        let root = self.root(scope, table.root.as_ref());
        let password = table.password.as_ref().and_then(|text| self.password(scope, text));
        let authorized_keys = self.authorized_keys(scope, &table);
        let methods = self.methods(scope, table.methods.as_ref());
        let can_log_in = table.password.is_some()
            || table.authorized_keys.as_ref().is_some_and(|keys| !keys.is_empty())
            || table.authorized_keys_file.is_some();
        if !can_log_in && self.errors.len() == before {
            let why = "has neither a password nor authorized_keys, and could never log in";
            self.errors.push(scope.error(scope.span.clone(), "password", why));
        }
        let mut user = User::new(name?, root?);
        user.password = password;
        user.authorized_keys = authorized_keys;
        user.methods = methods;
        user.read_only = table.read_only.unwrap_or(false);
        if self.errors.len() > before {
            return None;
        }
        if let Err(error) = Directory::new([user.clone()]) {
            let (key, span) = match error.why {
                UserError::Name => ("name", table.name.as_ref().map(Spanned::span)),
                UserError::TooManyKeys => ("authorized_keys", None),
                UserError::Lacks(_) | UserError::LacksKeys | UserError::TooManyChains => {
                    ("methods", table.methods.as_ref().map(Spanned::span))
                }
                _ => ("name", None),
            };
            let span = span.unwrap_or_else(|| scope.span.clone());
            self.errors.push(scope.error(span, key, error.to_string()));
            return None;
        }
        Some(user)
    }

    fn name(&mut self, scope: &Scope<'_>, name: Option<&Spanned<String>>) -> Option<String> {
        let (name, span) = match (name, scope.default_name) {
            (Some(name), _) => (name.get_ref().clone(), name.span()),
            (None, Some(default)) => (default.to_owned(), scope.span.clone()),
            (None, None) => {
                self.errors.push(scope.error(scope.span.clone(), "name", "is missing"));
                return None;
            }
        };
        let here = scope.error(span, "name", String::new());
        if let Some(first) = self.names.get(&name) {
            let why = format!("{name:?} is there twice; first at {first}");
            self.errors.push(SettingsError { why, ..here });
            return None;
        }
        let place = display_name(here.file.as_os_str().as_encoded_bytes());
        self.names.insert(name.clone(), format!("{place}:{}", here.line.unwrap_or(1)));
        Some(name)
    }

    fn root(&mut self, scope: &Scope<'_>, root: Option<&Spanned<PathBuf>>) -> Option<PathBuf> {
        let Some(root) = root else {
            self.errors.push(scope.error(scope.span.clone(), "root", "is missing"));
            return None;
        };
        let path = scope.source.resolve(root.get_ref());
        let why = match fs::metadata(&path) {
            Ok(meta) if meta.is_dir() => return Some(path),
            Ok(_) => at(&path, "not a directory"),
            Err(error) => at(&path, &io_reason(&error)),
        };
        self.errors.push(scope.error(root.span(), "root", why));
        None
    }

    fn password(&mut self, scope: &Scope<'_>, text: &Spanned<String>) -> Option<PasswordHash> {
        let why = match text.get_ref().parse() {
            Ok(hash) => return Some(hash),
            Err(_) if text.get_ref().is_empty() => {
                "is empty; leave the key out to forbid passwords".to_owned()
            }
            // The text itself is never shown: it may be the password.
            Err(_) if !text.get_ref().starts_with('$') => {
                "is not a password hash; `sterna hash-password` makes one".to_owned()
            }
            Err(error) => error.to_string(),
        };
        self.errors.push(scope.error(text.span(), "password", why));
        None
    }

    fn authorized_keys(&mut self, scope: &Scope<'_>, table: &UserTable) -> Vec<AuthorizedKey> {
        let mut keys: Vec<AuthorizedKey> = Vec::new();
        for line in table.authorized_keys.iter().flatten() {
            match line.get_ref().parse() {
                Ok(key) => keys.push(key),
                Err(why) => {
                    let why = format!("not a usable key: {why}");
                    self.errors.push(scope.error(line.span(), "authorized_keys", why));
                }
            }
        }
        if let Some(file) = &table.authorized_keys_file {
            let path = scope.source.resolve(file.get_ref());
            match authorized_keys_in(&path, self.files) {
                Ok((from_file, refused)) => {
                    keys.extend(from_file);
                    self.warnings.extend(refused);
                }
                Err(why) => {
                    let why = at(&path, &why);
                    self.errors.push(scope.error(file.span(), "authorized_keys_file", why));
                }
            }
        }
        keys
    }

    fn methods(
        &mut self,
        scope: &Scope<'_>,
        typed: Option<&Spanned<Vec<Spanned<String>>>>,
    ) -> Vec<Chain> {
        let Some(typed) = typed else { return Vec::new() };
        if typed.get_ref().is_empty() {
            let why = "is empty; leave the key out to accept any method that the user has";
            self.errors.push(scope.error(typed.span(), "methods", why));
        }
        let mut chains = Vec::new();
        for text in typed.get_ref() {
            match text.get_ref().parse::<Chain>() {
                Ok(chain) => chains.push(chain),
                Err(error) => {
                    let later = ["keyboard-interactive", "hostbased"];
                    let why = match later.iter().find(|name| text.get_ref().contains(*name)) {
                        Some(name) => format!("{name} is not supported yet"),
                        None => error.to_string(),
                    };
                    self.errors.push(scope.error(text.span(), "methods", why));
                }
            }
        }
        chains
    }
}

/// Where one user stands.
struct Scope<'s> {
    source: &'s Source,
    /// Before the names of keys: `user.` in the main file.
    prefix: &'static str,
    /// What to point at when something is missing.
    span: std::ops::Range<usize>,
    /// The name of a user who has a file of its own.
    default_name: Option<&'s str>,
}

impl Scope<'_> {
    fn error(
        &self,
        span: std::ops::Range<usize>,
        key: &str,
        why: impl Into<String>,
    ) -> SettingsError {
        self.source.error(span, &format!("{}{key}", self.prefix), why)
    }
}

fn at(path: &Path, why: &str) -> String {
    format!("{}: {why}", display_name(path.as_os_str().as_encoded_bytes()))
}

#[cfg(test)]
mod tests;
