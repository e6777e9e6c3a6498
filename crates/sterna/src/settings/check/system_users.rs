//! Users of the machine as users of the server.

use std::sync::Arc;

use sterna_worker::{PasswordSource, Policy, SystemIdentity};
use toml::Spanned;

use super::Check;
use crate::settings::{Source, schema::SystemUsersTable};

/// Groups that may be named; each is looked up at every login.
const GROUPS_MAX: usize = 100;

impl Check<'_> {
    /// What the monitor is told when it starts, and who answers for users that the settings do not know.
    pub(super) fn system_users(
        &mut self,
        source: &Source,
        table: Option<&Spanned<SystemUsersTable>>,
        has_account: bool,
    ) -> Option<Policy> {
        const TABLE: &str = "system_users";
        let table = table?;
        let before = self.errors.len();
        if !has_account {
            let why = "needs run_as_user: what faces the network must not be root";
            self.errors.push(source.error(table.span(), TABLE, why));
        }
        if self.rules.external.is_some() {
            let why =
                "cannot stand beside [external_identity]: both know users that the settings do not";
            self.errors.push(source.error(table.span(), TABLE, why));
        }
        let mut policy = Policy::default();
        let SystemUsersTable {
            groups_allowed,
            min_uid,
            root,
            password,
            pam_service,
            umask,
            authorized_keys_file,
            read_only,
        } = table.get_ref();
        let key = |name: &str| format!("{TABLE}.{name}");
        if let Some(groups) = groups_allowed {
            if groups.get_ref().is_empty() || groups.get_ref().len() > GROUPS_MAX {
                let why = format!("names none, or more than {GROUPS_MAX}");
                self.errors.push(source.error(groups.span(), &key("groups_allowed"), why));
            }
            policy.groups_allowed = groups.get_ref().clone();
        }
        policy.min_uid = min_uid.as_ref().map_or(policy.min_uid, |uid| *uid.get_ref());
        for (name, value, to) in [
            ("root", root, &mut policy.root),
            ("authorized_keys_file", authorized_keys_file, &mut policy.authorized_keys_file),
        ] {
            let Some(value) = value else { continue };
            if !value.get_ref().starts_with('/') && !value.get_ref().starts_with("%h") {
                let why = "is neither an absolute path nor begins with %h";
                self.errors.push(source.error(value.span(), &key(name), why));
            }
            to.clone_from(value.get_ref());
        }
        if let Some(password) = password {
            let known = PasswordSource::ALL.into_iter().find(|s| s.name() == password.get_ref());
            match known {
                Some(source) => policy.password = source,
                None => {
                    let why = "is none of \"pam\", \"shadow\" and \"off\"";
                    self.errors.push(source.error(password.span(), &key("password"), why));
                }
            }
        }
        if let Some(service) = pam_service {
            let name = service.get_ref();
            if name.is_empty() || name.contains(['/', '\0']) {
                let why = "is no name of a file in /etc/pam.d";
                self.errors.push(source.error(service.span(), &key("pam_service"), why));
            }
            policy.pam_service.clone_from(name);
        }
        if let Some(umask) = umask {
            match u32::from_str_radix(umask.get_ref(), 8) {
                Ok(bits) if bits <= 0o777 => policy.umask = bits,
                _ => {
                    let why = "is no octal number up to 777, as \"022\"";
                    self.errors.push(source.error(umask.span(), &key("umask"), why));
                }
            }
        }
        policy.read_only = read_only.unwrap_or(false);
        self.rules.external = Some(Arc::new(SystemIdentity { read_only: policy.read_only }));
        (self.errors.len() == before).then_some(policy)
    }
}
