//! Programs and services that are asked about logins.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use sterna_hooks::{Hook, HookIdentity, HookQuestioner, KeysCommand, MakeUser, Transport};
use toml::Spanned;

use super::{Check, Scope};
use crate::settings::{
    Files, Source,
    schema::{HookTable, TopTable},
};

impl Check<'_> {
    pub(super) fn keys_command(&mut self, source: &Source, top: &TopTable) {
        const KEY: &str = "authorized_keys_command";
        let timeout = &top.authorized_keys_command_timeout_s;
        let Some(command) = &top.authorized_keys_command else {
            let alone = timeout.as_ref().map(|value| {
                let key = "authorized_keys_command_timeout_s";
                source.error(value.span(), key, format!("there is no {KEY}"))
            });
            return self.errors.extend(alone);
        };
        let timeout = timeout.as_ref().map(|seconds| Duration::from_secs(*seconds.get_ref()));
        let made = KeysCommand::new(command.get_ref(), timeout.unwrap_or(Hook::TIMEOUT_DEFAULT));
        match made.and_then(|made| made.check().map(|()| made)) {
            Ok(made) => self.rules.key_lookup = Some(Arc::new(made)),
            Err(error) => {
                self.errors.push(source.error(command.span(), KEY, error.to_string()));
            }
        }
    }

    pub(super) fn questioner(&mut self, source: &Source, table: Option<&Spanned<HookTable>>) {
        const TABLE: &str = "keyboard_interactive";
        let Some(table) = table else { return };
        if let Some(cache) = &table.get_ref().cache_s {
            let why = "answers of a person are never kept";
            self.errors.push(source.error(cache.span(), "keyboard_interactive.cache_s", why));
        }
        let Some((hook, span)) = self.hook(source, TABLE, table) else { return };
        match HookQuestioner::new(&hook) {
            Ok(questioner) => self.rules.questioner = Some(Arc::new(questioner)),
            Err(error) => self.errors.push(source.error(span, TABLE, error.to_string())),
        }
    }

    /// The groups must be known: users from outside may belong to them.
    pub(super) fn external_identity(
        &mut self,
        source: &Source,
        table: Option<&Spanned<HookTable>>,
    ) {
        const TABLE: &str = "external_identity";
        let Some(table) = table else { return };
        let Some((hook, span)) = self.hook(source, TABLE, table) else { return };
        match HookIdentity::new(&hook, self.make_user(source)) {
            Ok(identity) => self.rules.external = Some(Arc::new(identity)),
            Err(error) => self.errors.push(source.error(span, TABLE, error.to_string())),
        }
    }

    /// Whom to ask, and where that stands; `None` if it cannot be asked (then it was said).
    fn hook(
        &mut self,
        source: &Source,
        name: &str,
        table: &Spanned<HookTable>,
    ) -> Option<(Hook, std::ops::Range<usize>)> {
        let before = self.errors.len();
        let HookTable { command, url, token_file, ca_file, allow_plain_http, timeout_s, cache_s } =
            table.get_ref();
        let service_only = [
            ("token_file", token_file.as_ref().map(Spanned::span)),
            ("ca_file", ca_file.as_ref().map(Spanned::span)),
            ("allow_plain_http", allow_plain_http.as_ref().map(Spanned::span)),
        ];
        let (transport, key, span) = match (command, url) {
            (Some(command), None) => {
                for (key, span) in service_only {
                    let why = "is for a url; there is a command";
                    let error = span.map(|span| source.error(span, &format!("{name}.{key}"), why));
                    self.errors.extend(error);
                }
                let transport = Transport::Exec { command: command.get_ref().clone() };
                (transport, "command", command.span())
            }
            (None, Some(url)) => {
                let path = |file: &Spanned<std::path::PathBuf>| source.resolve(file.get_ref());
                let transport = Transport::Http {
                    url: url.get_ref().clone(),
                    token_file: token_file.as_ref().map(path),
                    ca_file: ca_file.as_ref().map(path),
                    allow_plain_http: allow_plain_http.as_ref().is_some_and(|on| *on.get_ref()),
                };
                (transport, "url", url.span())
            }
            (None, None) | (Some(_), Some(_)) => {
                let why = "needs either a command or a url";
                self.errors.push(source.error(table.span(), name, why));
                return None;
            }
        };
        let seconds = |value: &Option<Spanned<u64>>, default| {
            value.as_ref().map_or(default, |value| Duration::from_secs(*value.get_ref()))
        };
        let hook = Hook {
            transport,
            timeout: seconds(timeout_s, Hook::TIMEOUT_DEFAULT),
            cache: seconds(cache_s, Hook::CACHE_DEFAULT),
        };
        if let Err(error) = hook.check() {
            let key = format!("{name}.{key}");
            self.errors.push(source.error(span.clone(), &key, error.to_string()));
        }
        (self.errors.len() == before).then_some((hook, span))
    }

    /// Judges the record of a user from outside as a `[[user]]` of the settings, with its groups and the
    /// rules for all.
    pub(super) fn make_user(&self, source: &Source) -> MakeUser {
        let (rules, groups) = (self.rules.clone(), Arc::clone(&self.groups));
        let path = source.path().with_file_name("external_identity");
        Arc::new(move |name: &str, record: Value| {
            // What the settings can say is what a TOML text can say.
            let text = toml::to_string(&record).map_err(|error| error.to_string())?;
            let files = Files::on_disk();
            let source = Source::new(&path, text);
            let mut check = Check::new(&files);
            check.has_host_based = rules.host_based.is_some();
            check.rules = rules.clone();
            check.groups = Arc::clone(&groups);
            let scope =
                Scope { source: &source, prefix: "user.", span: 0..0, default_name: Some(name) };
            let user =
                source.tables(&mut check.errors).and_then(|table| check.record(&scope, table));
            check.trust.take_warnings().iter().for_each(|warning| tracing::warn!("{warning}"));
            let said = |error: &crate::settings::SettingsError| match error.key.as_str() {
                "" => error.why.clone(),
                key => format!("{key}: {}", error.why),
            };
            match (user, check.errors.first()) {
                (Some(user), None) => Ok(user),
                (_, error) => Err(error.map_or_else(|| "not a user".to_owned(), said)),
            }
        })
    }
}
