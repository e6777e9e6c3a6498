//! Numbers of one table, each within its bounds; what is wrong is said with its place.

use std::ops::RangeInclusive;

use toml::Spanned;

use super::Check;
use crate::settings::Source;

/// Reads numbers of the table and says which are wrong.
pub(super) struct Numbers<'c, 'f, 's> {
    pub(super) check: &'c mut Check<'f>,
    pub(super) source: &'s Source,
    /// Its name.
    pub(super) table: &'static str,
}

impl Numbers<'_, '_, '_> {
    pub(super) fn fail<T>(&mut self, value: &Spanned<T>, key: &str, why: impl Into<String>) {
        let key = format!("{}.{key}", self.table);
        self.check.errors.push(self.source.error(value.span(), &key, why));
    }

    /// `None` if nothing was said or it was wrong.
    pub(super) fn number(
        &mut self,
        value: &Option<Spanned<u64>>,
        key: &str,
        range: RangeInclusive<u64>,
        unit: &str,
    ) -> Option<u64> {
        let value = value.as_ref()?;
        if range.contains(value.get_ref()) {
            return Some(*value.get_ref());
        }
        self.fail(value, key, format!("not {} to {} {unit}", range.start(), range.end()));
        None
    }
}
