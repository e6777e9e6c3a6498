//! The text shown before login, which may change while the server runs.

use std::sync::{Arc, Mutex, PoisonError};

/// Shared by a server and whoever changes its text. Connections that have begun show the old one.
#[derive(Clone, Debug, Default)]
pub struct Banner(Arc<Mutex<Option<String>>>);

impl Banner {
    /// `None` shows nothing.
    pub fn new(text: Option<String>) -> Self {
        Self(Arc::new(Mutex::new(text)))
    }

    /// From now on this text.
    pub fn replace(&self, text: Option<String>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// The text of this moment, if it is another one than `shown`.
    pub(crate) fn changed_from(&self, shown: Option<&str>) -> Option<Option<String>> {
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (text.as_deref() != shown).then(|| text.clone())
    }
}

impl From<&str> for Banner {
    fn from(text: &str) -> Self {
        Self::new(Some(text.to_owned()))
    }
}

impl From<String> for Banner {
    fn from(text: String) -> Self {
        Self::new(Some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replaced_text_is_seen_by_all_who_share_it() {
        let banner = Banner::from("old");
        let shared = banner.clone();

        shared.replace(Some("new".to_owned()));

        assert_eq!(banner.changed_from(Some("old")), Some(Some("new".to_owned())));
        assert_eq!(banner.changed_from(Some("new")), None);
        shared.replace(None);
        assert_eq!(banner.changed_from(Some("new")), Some(None));
    }
}
