//! One user: a `[[user]]`, a file of the users directory, or the record of a program outside.

use std::{fs, path::PathBuf};

use sterna_identity::{
    Directory, PasswordHash, RecoveryHash, TotpSecret, User, UserError, UserKey,
};
use toml::{Spanned, de::DeTable};

use super::{Check, Scope, USERS_MAX, at, paths, policy::Policy};
use crate::{
    failure::io_reason,
    output::display_name,
    settings::{
        SettingsError, Source,
        schema::{PolicyTable, UserTable, keys_of},
    },
};

impl Check<'_> {
    /// One file each.
    pub(super) fn users_dir(
        &mut self,
        source: &Source,
        dir: &Spanned<PathBuf>,
        users: &mut Vec<User>,
    ) {
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
            self.trust.look_at_own(&file);
            match Source::read(&file, self.files) {
                Ok(source) => {
                    let default_name = file.file_stem().and_then(|stem| stem.to_str());
                    let scope = Scope { source: &source, prefix: "", span: 0..0, default_name };
                    let table = source.tables(&mut self.errors);
                    users.extend(table.and_then(|table| self.user(&scope, table)));
                }
                Err(error) => self.errors.push(error),
            }
        }
    }

    /// Looks at nothing but the shapes of users and groups.
    pub(super) fn user_shapes(
        &mut self,
        source: &Source,
        groups: Vec<Spanned<DeTable<'_>>>,
        users: Vec<Spanned<DeTable<'_>>>,
    ) {
        let scope = |prefix, span| Scope { source, prefix, span, default_name: None };
        for table in groups {
            self.group_tables(&scope("group.", table.span()), table.into_inner());
        }
        for table in users {
            self.user_tables(&scope("user.", table.span()), table.into_inner());
        }
    }

    /// One user of the settings; `None` if it cannot be one (then something was said).
    pub(super) fn user(&mut self, scope: &Scope<'_>, table: DeTable<'_>) -> Option<User> {
        let before = self.errors.len();
        let (table, policy) = self.user_tables(scope, table)?;
        let user = self.fill(scope, &table, &policy)?;
        let rules = self.rules.clone();
        let chains = match Directory::with_rules([user.clone()], rules) {
            Ok(alone) => alone.chains(&user),
            Err(error) => {
                self.refuse(scope, &table, &policy, &error.why, error.to_string());
                return None;
            }
        };
        // A file of keys may fill later, and whoever is disabled needs nothing.
        if chains.is_empty() && table.authorized_keys_file.is_none() && user.enabled {
            let why = "has neither a password nor authorized_keys nor host_based, and could never \
                       log in";
            self.errors.push(scope.error(scope.span.clone(), "password", why));
        }
        let asks = sterna_identity::Method::KeyboardInteractive;
        if user.totp.is_some() && !chains.iter().any(|chain| chain.steps().contains(&asks)) {
            let place = scope.source.place(&scope.span);
            let name = display_name(user.name.as_bytes());
            self.trust.warn(format!("{place}: {name}: no methods ask for the totp_secret"));
        }
        (self.errors.len() == before).then_some(user)
    }

    /// A user from outside, who may need nothing to log in with.
    pub(super) fn record(&mut self, scope: &Scope<'_>, table: DeTable<'_>) -> Option<User> {
        let (table, policy) = self.user_tables(scope, table)?;
        self.fill(scope, &table, &policy)
    }

    /// The table in its schema.
    fn user_tables(
        &mut self,
        scope: &Scope<'_>,
        mut table: DeTable<'_>,
    ) -> Option<(UserTable, PolicyTable)> {
        let mut common = DeTable::new();
        for key in keys_of::<PolicyTable>() {
            if let Some((key, value)) = table.remove_entry(*key) {
                common.insert(key, value);
            }
        }
        let (span, source) = (scope.span.clone(), scope.source);
        let policy = source.read_table(common, span.clone(), scope.prefix, &mut self.errors);
        let own = source.read_table(table, span, scope.prefix, &mut self.errors);
        Some((own?, policy?))
    }

    fn fill(&mut self, scope: &Scope<'_>, table: &UserTable, policy: &PolicyTable) -> Option<User> {
        let before = self.errors.len();
        let mut policy = self.policy(scope, policy);
        let mut groups = Vec::new();
        for group in table.groups.iter().flatten() {
            match self.groups.get(group.get_ref()) {
                Some(of_group) => policy = policy.or(of_group),
                None => {
                    let why = format!("there is no [[group]] {:?}", group.get_ref());
                    self.errors.push(scope.error(group.span(), "groups", why));
                }
            }
            groups.push(group.get_ref().clone());
        }
        let name = self.name(scope, table.name.as_ref());
        let root = self.root(scope, table.root.as_ref());
        let password = table.password.as_ref().and_then(|text| self.password(scope, text));
        let authorized_keys = self.authorized_keys(scope, table);
        let (totp, recovery_codes) = self.second_factor(scope, table);
        let must_change = table.must_change_password.as_ref();
        if let Some(must_change) = must_change.filter(|must| *must.get_ref())
            && table.password.is_none()
        {
            let why = "there is no password to change";
            self.errors.push(scope.error(must_change.span(), "must_change_password", why));
        }
        let (hours, expires) = (policy.hours(), policy.expires());
        let Policy { methods, principals, host_based, shosts, known_hosts, allow_from, .. } =
            policy;
        let user = User {
            place: Some(scope.source.place(&scope.span)),
            groups,
            password,
            must_change_password: must_change.is_some_and(|must| *must.get_ref()),
            authorized_keys,
            principals: principals.unwrap_or_default(),
            host_based: host_based.unwrap_or_default(),
            shosts,
            known_hosts,
            totp,
            recovery_codes,
            methods: methods.unwrap_or_default(),
            allow_from,
            hours,
            expires,
            read_only: policy.read_only.unwrap_or(false),
            sessions_max: policy.max_sessions,
            publish: policy.publish.unwrap_or_default(),
            folders: policy.folders.unwrap_or_default(),
            enabled: policy.enabled.unwrap_or(true),
            ..User::new(name?, root?)
        };
        (self.errors.len() == before).then_some(user)
    }

    /// Says which key keeps the user from being one.
    fn refuse(
        &mut self,
        scope: &Scope<'_>,
        table: &UserTable,
        policy: &PolicyTable,
        error: &UserError,
        why: String,
    ) {
        let (key, span) = match error {
            UserError::Lacks(_)
            | UserError::LacksKeys
            | UserError::CodeAlone
            | UserError::TooManyChains => ("methods", policy.methods.as_ref().map(Spanned::span)),
            UserError::TooManyKeys => ("authorized_keys", None),
            UserError::TooManyPrincipals => {
                ("principals", policy.principals.as_ref().map(Spanned::span))
            }
            UserError::TooManyHostUsers => {
                ("host_based", policy.host_based.as_ref().map(Spanned::span))
            }
            UserError::TooManyRecoveryCodes => {
                ("recovery_codes", table.recovery_codes.as_ref().map(Spanned::span))
            }
            _ => ("name", table.name.as_ref().map(Spanned::span)),
        };
        let span = span.unwrap_or_else(|| scope.span.clone());
        self.errors.push(scope.error(span, key, why));
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

    fn authorized_keys(&mut self, scope: &Scope<'_>, table: &UserTable) -> Vec<UserKey> {
        let mut keys: Vec<UserKey> = Vec::new();
        for line in table.authorized_keys.iter().flatten() {
            match line.get_ref().parse() {
                Ok(key) => {
                    let place = Some(scope.source.place(&line.span()));
                    keys.push(UserKey { key, place });
                }
                Err(why) => {
                    let why = format!("not a usable key: {why}");
                    self.errors.push(scope.error(line.span(), "authorized_keys", why));
                }
            }
        }
        let files = table.authorized_keys_file.as_ref();
        for (path, span) in files.map(|files| paths(scope.source, files)).unwrap_or_default() {
            match self.trust.authorized_keys(&path) {
                Ok(from_file) => keys.extend(from_file),
                Err(why) => {
                    let why = at(&path, &why);
                    self.errors.push(scope.error(span, "authorized_keys_file", why));
                }
            }
        }
        keys
    }

    fn second_factor(
        &mut self,
        scope: &Scope<'_>,
        table: &UserTable,
    ) -> (Option<TotpSecret>, Vec<RecoveryHash>) {
        let secret = table.totp_secret.as_ref().and_then(|text| {
            let read = TotpSecret::from_base32(text.get_ref());
            read.map_err(|error| {
                self.errors.push(scope.error(text.span(), "totp_secret", error.to_string()));
            })
            .ok()
        });
        let mut codes = Vec::new();
        if let Some(typed) = &table.recovery_codes {
            if table.totp_secret.is_none() {
                let why = "stand in for one-time codes, but there is no totp_secret";
                self.errors.push(scope.error(typed.span(), "recovery_codes", why));
            }
            for text in typed.get_ref() {
                match RecoveryHash::parse(text.get_ref()) {
                    Ok(hash) => codes.push(hash),
                    Err(error) => {
                        let error = scope.error(text.span(), "recovery_codes", error.to_string());
                        self.errors.push(error);
                    }
                }
            }
        }
        (secret, codes)
    }
}
