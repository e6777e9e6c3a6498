//! `[[group]]`: what several users have in common.

use std::{collections::HashMap, sync::Arc};

use toml::{Spanned, de::DeTable};

use super::{Check, Scope, policy::Policy};
use crate::settings::{
    Source,
    schema::{GroupTable, PolicyTable, UserTable, keys_of},
};

/// The groups by name.
pub type Groups = HashMap<String, Policy>;

impl Check<'_> {
    pub(super) fn groups(&mut self, source: &Source, tables: Vec<Spanned<DeTable<'_>>>) {
        let mut groups = Groups::new();
        for table in tables {
            let span = table.span();
            let scope = Scope { source, prefix: "group.", span, default_name: None };
            let Some((group, policy)) = self.group_tables(&scope, table.into_inner()) else {
                continue;
            };
            let policy = self.policy(&scope, &policy);
            match group.name {
                None => {
                    self.errors.push(scope.error(scope.span.clone(), "name", "is missing"));
                }
                Some(name) if groups.contains_key(name.get_ref()) => {
                    let why = format!("{:?} is there twice", name.get_ref());
                    self.errors.push(scope.error(name.span(), "name", why));
                }
                Some(name) => {
                    groups.insert(name.into_inner(), policy);
                }
            }
        }
        self.groups = Arc::new(groups);
    }

    /// The table in its schema.
    pub(super) fn group_tables(
        &mut self,
        scope: &Scope<'_>,
        mut table: DeTable<'_>,
    ) -> Option<(GroupTable, PolicyTable)> {
        let mut own = DeTable::new();
        for key in keys_of::<UserTable>() {
            let Some((key, value)) = table.remove_entry(*key) else { continue };
            if keys_of::<GroupTable>().contains(&key.get_ref().as_ref()) {
                own.insert(key, value);
            } else {
                let why = "belongs to a user, not to a group";
                self.errors.push(scope.error(key.span(), key.get_ref(), why));
            }
        }
        let read = |table, errors: &mut _| {
            scope.source.read_table(table, scope.span.clone(), scope.prefix, errors)
        };
        let policy = read(table, &mut self.errors);
        let span = scope.span.clone();
        let own = scope.source.read_table(own, span, scope.prefix, &mut self.errors);
        Some((own?, policy?))
    }
}
