//! Rules for the logins of all users: authorities, revoked keys, hosts that speak for their users.

use std::sync::Arc;

use sterna_identity::{Authority, HostBasedRules, Revoked};
use sterna_ssh_crypto::{PublicKey, names};
use toml::Spanned;

use super::{Check, Tables, at, paths};
use crate::settings::{
    SettingsError, Source,
    schema::{HostBasedTable, OneOrMore},
};

/// Bytes of a file of authorities: a thousand of the largest keys.
const AUTHORITIES_LEN_MAX: usize = 4 << 20;
/// Authorities whose certificates log in users; each login by certificate looks at all of them.
const AUTHORITIES_MAX: usize = 1000;

impl Check<'_> {
    pub(super) fn login_rules(&mut self, source: &Source, tables: &Tables<'_>) {
        let top = &tables.top;
        if let Some(keys) = &top.trusted_user_ca_keys {
            self.rules.user_authorities = self.authorities(source, keys);
        }
        if let Some(algorithms) = &top.ca_signature_algorithms {
            self.rules.ca_signature_algorithms = self.ca_algorithms(source, algorithms);
        }
        if let Some(file) = &top.revoked_keys_file {
            let path = source.resolve(file.get_ref());
            match self.trust.revoked(&path) {
                Ok(keys) => {
                    let place = Some(source.place(&file.span()));
                    self.rules.revoked = Some(Revoked { keys: Arc::new(keys), place });
                }
                Err(why) => {
                    let why = at(&path, &why);
                    self.errors.push(source.error(file.span(), "revoked_keys_file", why));
                }
            }
        }
        self.has_host_based = tables.host_based.is_some();
        if let Some(table) = &tables.host_based {
            self.rules.host_based = self.host_based(source, table);
        }
        self.keys_command(source, top);
        self.questioner(source, tables.keyboard_interactive.as_ref());
    }

    fn host_based(&mut self, source: &Source, table: &HostBasedTable) -> Option<HostBasedRules> {
        let files = table.known_hosts_file.as_ref().map(|files| paths(source, files));
        let (files, spans): (Vec<_>, Vec<_>) = files.unwrap_or_default().into_iter().unzip();
        match self.trust.known_hosts(files.clone()) {
            Ok(known_hosts) => {
                let check_address = table.check_address.unwrap_or(true);
                Some(HostBasedRules { known_hosts, check_address })
            }
            Err((index, why)) => {
                let (path, span) = (&files[index], spans[index].clone());
                let key = "host_based.known_hosts_file";
                self.errors.push(source.error(span, key, at(path, &why)));
                None
            }
        }
    }

    /// Keys as lines, or the file that holds them.
    fn authorities(&mut self, source: &Source, value: &Spanned<OneOrMore>) -> Vec<Authority> {
        const KEY: &str = "trusted_user_ca_keys";
        let before = self.errors.len();
        let mut all = Vec::new();
        match value.get_ref() {
            OneOrMore::More(lines) => {
                for line in lines {
                    let place = Some(source.place(&line.span()));
                    match authority(line.get_ref()) {
                        Ok(key) => all.push(Authority { key, place }),
                        Err(why) => self.errors.push(source.error(line.span(), KEY, why)),
                    }
                }
            }
            OneOrMore::One(file) => {
                let path = source.resolve(file.as_ref());
                let text = self.trust.read(&path, AUTHORITIES_LEN_MAX).and_then(|bytes| {
                    let text = String::from_utf8(bytes).map_err(|_| "not UTF-8".to_owned())?;
                    let fits = text.len() <= AUTHORITIES_LEN_MAX;
                    fits.then_some(text).ok_or(format!("longer than {AUTHORITIES_LEN_MAX} bytes"))
                });
                let text = text.unwrap_or_else(|why| {
                    self.errors.push(source.error(value.span(), KEY, at(&path, &why)));
                    String::new()
                });
                let file = Source::new(&path, String::new());
                for (index, line) in text.lines().map(str::trim).enumerate() {
                    if line.is_empty() || line.starts_with('#') {
                        continue;
                    }
                    let place = sterna_identity::Place { line: index + 1, ..file.place(&(0..0)) };
                    match authority(line) {
                        Ok(key) => all.push(Authority { key, place: Some(place) }),
                        Err(why) => self.errors.push(SettingsError {
                            file: path.clone(),
                            line: Some(index + 1),
                            key: KEY.to_owned(),
                            why,
                        }),
                    }
                }
            }
        }
        if self.errors.len() == before && all.is_empty() {
            let why = "holds no key; leave it out to trust nobody's certificates";
            self.errors.push(source.error(value.span(), KEY, why));
        }
        if all.len() > AUTHORITIES_MAX {
            let why = format!("more than {AUTHORITIES_MAX} keys");
            self.errors.push(source.error(value.span(), KEY, why));
        }
        all
    }

    fn ca_algorithms(
        &mut self,
        source: &Source,
        typed: &Spanned<Vec<Spanned<String>>>,
    ) -> Vec<String> {
        const KEY: &str = "ca_signature_algorithms";
        if typed.get_ref().is_empty() {
            let why = "is empty; leave it out for the default";
            self.errors.push(source.error(typed.span(), KEY, why));
        }
        let mut all = Vec::new();
        for name in typed.get_ref() {
            if names::CA_SIGNATURE_DEFAULT.contains(&name.get_ref().as_str()) {
                all.push(name.get_ref().clone());
            } else {
                let known = names::CA_SIGNATURE_DEFAULT.join(", ");
                let why = format!("{:?} is none of {known}", name.get_ref());
                self.errors.push(source.error(name.span(), KEY, why));
            }
        }
        all
    }
}

/// One line of authorities: a key without options.
fn authority(line: &str) -> Result<PublicKey, String> {
    let key = PublicKey::from_openssh(line.trim());
    key.map(|(key, _)| key).map_err(|error| format!("not a usable key: {error}"))
}
