//! What a user or a group may say about logins, read; and how the two come together.

use std::sync::Arc;

use jiff::{
    civil,
    tz::{Offset, TimeZone},
};
use sterna_identity::{Chain, FolderRules, HostUser, Hours, Publish, limits::HOST_NAME_LEN_MAX};
use sterna_ssh_files::{AddressError, AddressList, KnownHosts, Shosts};
use toml::{Spanned, value::Datetime};

use super::{Check, Scope, at, paths};
use crate::settings::schema::{FolderTable, PolicyTable};

/// Bytes of a principal; longer names are no names.
const PRINCIPAL_LEN_MAX: usize = 1024;

/// Folders with rules of their own, of one user: each OPEN for writing looks through them.
const FOLDERS_MAX: usize = 100;

/// Each key as it was understood; `None` where nothing was said.
#[derive(Clone, Default)]
pub struct Policy {
    pub enabled: Option<bool>,
    pub read_only: Option<bool>,
    pub max_sessions: Option<usize>,
    pub methods: Option<Vec<Chain>>,
    pub principals: Option<Vec<String>>,
    pub host_based: Option<Vec<HostUser>>,
    pub shosts: Option<Arc<Shosts>>,
    pub known_hosts: Option<Arc<KnownHosts>>,
    pub allow_from: Option<AddressList>,
    /// Spans that read, still as text: the time zone may come from elsewhere.
    pub hours: Option<Vec<String>>,
    pub time_zone: Option<TimeZone>,
    pub expires: Option<Datetime>,
    pub publish: Option<Publish>,
    pub folders: Option<Vec<FolderRules>>,
}

impl Policy {
    /// What is said here, and what `other` says where nothing is said here.
    pub fn or(self, other: &Self) -> Self {
        Self {
            enabled: self.enabled.or(other.enabled),
            read_only: self.read_only.or(other.read_only),
            max_sessions: self.max_sessions.or(other.max_sessions),
            methods: self.methods.or_else(|| other.methods.clone()),
            principals: self.principals.or_else(|| other.principals.clone()),
            host_based: self.host_based.or_else(|| other.host_based.clone()),
            shosts: self.shosts.or_else(|| other.shosts.clone()),
            known_hosts: self.known_hosts.or_else(|| other.known_hosts.clone()),
            allow_from: self.allow_from.or_else(|| other.allow_from.clone()),
            hours: self.hours.or_else(|| other.hours.clone()),
            time_zone: self.time_zone.or_else(|| other.time_zone.clone()),
            expires: self.expires.or(other.expires),
            publish: self.publish.or(other.publish),
            folders: self.folders.or_else(|| other.folders.clone()),
        }
    }

    /// The hours in their zone.
    pub fn hours(&self) -> Option<Hours> {
        let texts = self.hours.as_ref()?;
        Hours::new(texts.iter().map(String::as_str), self.time_zone.clone()).ok()
    }

    /// The first second, since 1970, at which the account is over.
    pub fn expires(&self) -> Option<u64> {
        let zone = self.time_zone.clone().unwrap_or_else(TimeZone::system);
        // One that is before 1970 is over since ever.
        second_of(self.expires.as_ref()?, &zone).map(|second| u64::try_from(second).unwrap_or(0))
    }
}

impl Check<'_> {
    pub(super) fn policy(&mut self, scope: &Scope<'_>, table: &PolicyTable) -> Policy {
        let policy = Policy {
            enabled: table.enabled,
            read_only: table.read_only,
            max_sessions: self.max_sessions(scope, table.max_sessions.as_ref()),
            methods: self.methods(scope, table.methods.as_ref()),
            principals: self.principals(scope, table.principals.as_ref()),
            host_based: self.host_users(scope, table.host_based.as_ref()),
            shosts: table.shosts_file.as_ref().and_then(|file| {
                let path = scope.source.resolve(file.get_ref());
                let read = self.trust.shosts(&path);
                read.map_err(|why| {
                    let why = at(&path, &why);
                    self.errors.push(scope.error(file.span(), "shosts_file", why));
                })
                .ok()
            }),
            known_hosts: table.known_hosts_file.as_ref().and_then(|files| {
                let (paths, spans): (Vec<_>, Vec<_>) =
                    paths(scope.source, files).into_iter().unzip();
                let read = self.trust.known_hosts(paths.clone());
                read.map_err(|(index, why)| {
                    let why = at(&paths[index], &why);
                    let span = spans[index].clone();
                    self.errors.push(scope.error(span, "known_hosts_file", why));
                })
                .ok()
            }),
            allow_from: self.allow_from(scope, table.allow_from.as_ref()),
            hours: self.hours(scope, table.hours.as_ref()),
            time_zone: table.time_zone.as_ref().and_then(|name| {
                let zone = TimeZone::get(name.get_ref());
                let why = "not a time zone that this machine knows, such as \"Europe/Berlin\"";
                zone.map_err(|_| self.errors.push(scope.error(name.span(), "time_zone", why))).ok()
            }),
            expires: table.expires.as_ref().and_then(|expires| {
                let date = expires.get_ref().0;
                if second_of(&date, &TimeZone::UTC).is_some() {
                    return Some(date);
                }
                let why = "not a date, or a date and time";
                self.errors.push(scope.error(expires.span(), "expires", why));
                None
            }),
            publish: self.publish(scope, "publish", table.publish.as_ref()),
            folders: table.folder.as_ref().map(|folders| self.folders(scope, folders)),
        };
        self.needs_host_based(scope, table);
        policy
    }

    fn max_sessions(&mut self, scope: &Scope<'_>, typed: Option<&Spanned<u64>>) -> Option<usize> {
        let typed = typed?;
        if *typed.get_ref() == 0 {
            let why = "nobody could log in; `enabled = false` says so";
            self.errors.push(scope.error(typed.span(), "max_sessions", why));
        }
        usize::try_from(*typed.get_ref()).ok()
    }

    fn publish(
        &mut self,
        scope: &Scope<'_>,
        key: &str,
        typed: Option<&Spanned<String>>,
    ) -> Option<Publish> {
        let typed = typed?;
        match typed.get_ref().as_str() {
            "direct" => Some(Publish::Direct),
            "on-close" => Some(Publish::OnClose),
            _ => {
                let why = "neither \"direct\" nor \"on-close\"";
                self.errors.push(scope.error(typed.span(), key, why));
                None
            }
        }
    }

    fn folders(
        &mut self,
        scope: &Scope<'_>,
        typed: &Spanned<Vec<Spanned<FolderTable>>>,
    ) -> Vec<FolderRules> {
        let tables = typed.get_ref();
        if tables.len() > FOLDERS_MAX {
            let why = format!("more than {FOLDERS_MAX} folders");
            self.errors.push(scope.error(typed.span(), "folder", why));
            return Vec::new();
        }
        let mut folders: Vec<FolderRules> = Vec::new();
        for table in tables {
            let FolderTable { path, publish } = table.get_ref();
            let read = self.publish(scope, "folder.publish", publish.as_ref());
            if publish.is_none() {
                self.errors.push(scope.error(table.span(), "folder.publish", "is missing"));
            }
            let Some(path) = path else {
                self.errors.push(scope.error(table.span(), "folder.path", "is missing"));
                continue;
            };
            let text = path.get_ref().trim_end_matches('/');
            let why = if !path.get_ref().starts_with('/') {
                "not an absolute path, as the user sees it"
            } else if text.contains('\0') || text.split('/').any(|name| matches!(name, "." | ".."))
            {
                "not a plain path: no dots in it"
            } else if folders.iter().any(|folder| folder.path.trim_end_matches('/') == text) {
                "is there twice"
            } else {
                let path = if text.is_empty() { "/" } else { text }.to_owned();
                folders.push(FolderRules { path, publish: read.unwrap_or_default() });
                continue;
            };
            self.errors.push(scope.error(path.span(), "folder.path", why));
        }
        folders
    }

    /// What would never be looked at is a mistake.
    fn needs_host_based(&mut self, scope: &Scope<'_>, table: &PolicyTable) {
        if self.has_host_based {
            return;
        }
        for (key, span) in [
            ("host_based", table.host_based.as_ref().map(Spanned::span)),
            ("shosts_file", table.shosts_file.as_ref().map(Spanned::span)),
            ("known_hosts_file", table.known_hosts_file.as_ref().map(Spanned::span)),
        ] {
            let why = "needs a [host_based] with the known_hosts_file of client hosts";
            self.errors.extend(span.map(|span| scope.error(span, key, why)));
        }
    }

    fn methods(
        &mut self,
        scope: &Scope<'_>,
        typed: Option<&Spanned<Vec<Spanned<String>>>>,
    ) -> Option<Vec<Chain>> {
        let typed = typed?;
        if typed.get_ref().is_empty() {
            let why = "is empty; leave the key out to accept any method that the user has";
            self.errors.push(scope.error(typed.span(), "methods", why));
        }
        let mut chains = Vec::new();
        for text in typed.get_ref() {
            match text.get_ref().parse::<Chain>() {
                Ok(chain) => chains.push(chain),
                Err(error) => {
                    self.errors.push(scope.error(text.span(), "methods", error.to_string()));
                }
            }
        }
        Some(chains)
    }

    fn principals(
        &mut self,
        scope: &Scope<'_>,
        typed: Option<&Spanned<Vec<Spanned<String>>>>,
    ) -> Option<Vec<String>> {
        let typed = typed?;
        if typed.get_ref().is_empty() {
            let why = "is empty; leave the key out for the user's name alone";
            self.errors.push(scope.error(typed.span(), "principals", why));
        }
        for name in typed.get_ref() {
            let text = name.get_ref();
            if text.is_empty() || text.len() > PRINCIPAL_LEN_MAX || text.contains(char::is_control)
            {
                self.errors.push(scope.error(name.span(), "principals", "not a usable name"));
            }
        }
        Some(typed.get_ref().iter().map(|name| name.get_ref().clone()).collect())
    }

    fn host_users(
        &mut self,
        scope: &Scope<'_>,
        typed: Option<&Spanned<Vec<Spanned<String>>>>,
    ) -> Option<Vec<HostUser>> {
        let mut all = Vec::new();
        for text in typed?.get_ref() {
            match host_user(text.get_ref()) {
                Some((host, user)) => {
                    let place = Some(scope.source.place(&text.span()));
                    all.push(HostUser { host, user, place });
                }
                None => {
                    let why = "not HOST:USER, such as \"batch.example.com:erp\"";
                    self.errors.push(scope.error(text.span(), "host_based", why));
                }
            }
        }
        Some(all)
    }

    fn allow_from(
        &mut self,
        scope: &Scope<'_>,
        typed: Option<&Spanned<Vec<Spanned<String>>>>,
    ) -> Option<AddressList> {
        let typed = typed?;
        let mut all_read = true;
        for text in typed.get_ref() {
            let why = match AddressList::from_entries([text.get_ref().as_str()]) {
                // The list could hold names of hosts; those of users are not looked up.
                Ok(_) if !is_about_addresses(text.get_ref()) => {
                    AddressError::Entry(text.get_ref().clone()).to_string()
                }
                Ok(_) => continue,
                Err(error) => error.to_string(),
            };
            self.errors.push(scope.error(text.span(), "allow_from", why));
            all_read = false;
        }
        if !all_read {
            return None;
        }
        let why =
            match AddressList::from_entries(typed.get_ref().iter().map(|t| t.get_ref().as_str())) {
                Ok(_) if typed.get_ref().iter().all(|text| text.get_ref().starts_with('!')) => {
                    "lets nobody in: say from where, such as \"*\"".to_owned()
                }
                Ok(list) => return Some(list),
                Err(AddressError::Empty) => {
                    "is empty; leave the key out to let the user come from anywhere".to_owned()
                }
                Err(error) => error.to_string(),
            };
        self.errors.push(scope.error(typed.span(), "allow_from", why));
        None
    }

    fn hours(
        &mut self,
        scope: &Scope<'_>,
        typed: Option<&Spanned<Vec<Spanned<String>>>>,
    ) -> Option<Vec<String>> {
        let typed = typed?;
        let before = self.errors.len();
        for text in typed.get_ref() {
            if let Err(error) = Hours::new([text.get_ref().as_str()], None) {
                self.errors.push(scope.error(text.span(), "hours", error.to_string()));
            }
        }
        let texts: Vec<String> = typed.get_ref().iter().map(|t| t.get_ref().clone()).collect();
        if self.errors.len() > before {
            return None;
        }
        if texts.is_empty() {
            let why = "is empty; use enabled = false to let the user in at no time";
            self.errors.push(scope.error(typed.span(), "hours", why));
        } else if let Err(error) = Hours::new(texts.iter().map(String::as_str), None) {
            self.errors.push(scope.error(typed.span(), "hours", error.to_string()));
        }
        Some(texts)
    }
}

/// `host:user`, with an IPv6 address in brackets. The host as clients claim it: lower case, without
/// the dot at its end.
fn host_user(text: &str) -> Option<(String, String)> {
    let (host, user) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, user) = rest.split_once("]:")?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, user)
        }
        None => text.split_once(':')?,
    };
    let host = host.strip_suffix('.').unwrap_or(host);
    let usable = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    let good = !host.is_empty()
        && host.len() <= HOST_NAME_LEN_MAX
        && host.chars().all(usable)
        && !user.is_empty()
        && !user.contains(char::is_control);
    good.then(|| (host.to_ascii_lowercase(), user.to_owned()))
}

/// Whether an entry of an address list is a network, or a pattern that addresses can match.
fn is_about_addresses(entry: &str) -> bool {
    let entry = entry.strip_prefix('!').unwrap_or(entry);
    let only = |allowed: fn(char) -> bool| entry.chars().all(|c| allowed(c) || "*?".contains(c));
    entry.contains('/')
        || only(|c| c.is_ascii_digit() || c == '.')
        || (entry.contains(':') && only(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '.')))
}

/// Seconds since 1970. A date begins with its first second; without an offset it is in `zone`.
fn second_of(moment: &Datetime, zone: &TimeZone) -> Option<i64> {
    let date = moment.date?;
    let date = civil::Date::new(
        i16::try_from(date.year).ok()?,
        i8::try_from(date.month).ok()?,
        i8::try_from(date.day).ok()?,
    )
    .ok()?;
    let time = match moment.time {
        // A leap second is over with the second before.
        Some(time) => civil::Time::new(
            i8::try_from(time.hour).ok()?,
            i8::try_from(time.minute).ok()?,
            i8::try_from(time.second.unwrap_or(0)).ok()?.min(59),
            0,
        )
        .ok()?,
        None => civil::Time::midnight(),
    };
    let zone = match moment.offset {
        None => zone.clone(),
        Some(toml::value::Offset::Z) => TimeZone::UTC,
        Some(toml::value::Offset::Custom { minutes }) => {
            TimeZone::fixed(Offset::from_seconds(i32::from(minutes) * 60).ok()?)
        }
    };
    Some(date.to_datetime(time).to_zoned(zone).ok()?.timestamp().as_second())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_of_hosts_are_read_as_clients_claim_them() {
        for (text, expected) in [
            ("batch.example.com:erp", Some(("batch.example.com", "erp"))),
            ("Batch.Example.COM.:erp", Some(("batch.example.com", "erp"))),
            ("192.0.2.7:erp", Some(("192.0.2.7", "erp"))),
            ("[2001:DB8::1]:erp", Some(("2001:db8::1", "erp"))),
            ("host:user:name", Some(("host", "user:name"))),
            ("host", None),
            (":erp", None),
            ("host:", None),
            (".:erp", None),
            ("*.example.com:erp", None),
            ("two hosts:erp", None),
            ("[host]:erp", None),
            ("[2001:db8::1]erp", None),
        ] {
            let read = host_user(text);
            let read = read.as_ref().map(|(host, user)| (host.as_str(), user.as_str()));
            assert_eq!(read, expected, "{text}");
        }
    }

    #[test]
    fn entries_about_names_are_told_from_those_about_addresses() {
        for entry in ["192.0.2.0/24", "192.0.2.*", "*", "!10.?.0.1", "2001:db8:*", "::1", "::/0"] {
            assert!(is_about_addresses(entry), "{entry}");
        }
        for entry in ["office", "bad.de", "*.example.com", "!cafe", "a.b.c.d"] {
            assert!(!is_about_addresses(entry), "{entry}");
        }
    }

    #[test]
    fn a_date_begins_with_its_first_second_in_its_zone() {
        let berlin = TimeZone::fixed(Offset::constant(1));
        for (text, expected) in [
            ("1970-01-02", 86_400 - 3600),
            ("1970-01-02T00:00:00", 86_400 - 3600),
            ("1970-01-02 12:30:15", 86_400 + 12 * 3600 + 30 * 60 + 15 - 3600),
            ("1970-01-02T00:00:00Z", 86_400),
            ("1970-01-02T00:00:00-01:30", 86_400 + 90 * 60),
            ("1969-12-31T00:00:00Z", -86_400),
        ] {
            assert_eq!(second_of(&text.parse().unwrap(), &berlin), Some(expected), "{text}");
        }
        assert_eq!(second_of(&"12:00:00".parse().unwrap(), &berlin), None);
    }
}
