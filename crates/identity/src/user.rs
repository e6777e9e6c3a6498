//! One user, as the settings describe it.

use std::path::PathBuf;

use crate::{AuthorizedKey, Chain, Method, PasswordHash};

/// Who may log in, by what, and what is shown then.
#[derive(Clone, Debug)]
pub struct User {
    /// The login name; compared byte by byte.
    pub name: String,
    /// The directory of this machine that is `/` for the user.
    pub root: PathBuf,
    pub password: Option<PasswordHash>,
    pub authorized_keys: Vec<AuthorizedKey>,
    /// Any one of these chains is enough. Empty: any one method that the user has.
    pub methods: Vec<Chain>,
    pub read_only: bool,
    /// `false`: refused whatever is proven.
    pub enabled: bool,
}

impl User {
    /// A user who cannot log in yet: add a password or keys.
    pub fn new(name: impl Into<String>, root: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            root: root.into(),
            password: None,
            authorized_keys: Vec::new(),
            methods: Vec::new(),
            read_only: false,
            enabled: true,
        }
    }

    /// Whether the settings hold what `method` needs.
    pub fn has(&self, method: Method) -> bool {
        match method {
            Method::Password => self.password.is_some(),
            Method::PublicKey => !self.authorized_keys.is_empty(),
        }
    }

    /// The chains of which one must be completed.
    pub fn chains(&self) -> Vec<Chain> {
        if !self.methods.is_empty() {
            return self.methods.clone();
        }
        Method::ALL.iter().copied().filter(|m| self.has(*m)).map(Chain::one).collect()
    }
}
