//! One user, as the settings describe it.

use std::path::PathBuf;
use std::sync::Arc;

use sterna_ssh_files::{AddressList, KnownHosts, Place, Shosts};

use crate::{AuthorizedKey, Chain, Hours, Method, PasswordHash, RecoveryHash, TotpSecret};

/// Who may log in, by what, from where and when, and what is shown then.
#[derive(Clone, Debug)]
pub struct User {
    /// The login name; compared byte by byte.
    pub name: String,
    /// Where the settings describe the user.
    pub place: Option<Place>,
    /// Names of the groups whose settings are in here already; for people.
    pub groups: Vec<String>,
    /// The directory of this machine that is `/` for the user.
    pub root: PathBuf,
    pub password: Option<PasswordHash>,
    /// The next login by password sets a new one.
    pub must_change_password: bool,
    pub authorized_keys: Vec<UserKey>,
    /// Names in a certificate that are this user; empty: the login name.
    pub principals: Vec<String>,
    /// Users of other hosts who are this user.
    pub host_based: Vec<HostUser>,
    /// The same, in the format of `.shosts`.
    pub shosts: Option<Arc<Shosts>>,
    /// Keys of client hosts for this user, beside those for everybody.
    pub known_hosts: Option<Arc<KnownHosts>>,
    /// The second factor, asked in keyboard-interactive behind the password.
    pub totp: Option<TotpSecret>,
    /// Taken in place of a one-time code, each once.
    pub recovery_codes: Vec<RecoveryHash>,
    /// Any one of these chains is enough. Empty: any one method that the user has.
    pub methods: Vec<Chain>,
    /// Where logins may come from; `None`: anywhere.
    pub allow_from: Option<AddressList>,
    /// When logins may happen; `None`: always.
    pub hours: Option<Hours>,
    /// The first second, since 1970, at which the account is over.
    pub expires: Option<u64>,
    pub read_only: bool,
    /// Sessions at a time; `None`: what the server allows everybody.
    pub sessions_max: Option<usize>,
    /// When others see what the user uploads.
    pub publish: Publish,
    /// Directories in which other rules hold; that with the longest path decides.
    pub folders: Vec<FolderRules>,
    /// `false`: refused whatever is proven.
    pub enabled: bool,
    /// The settings do not know the user; a program or service outside does.
    pub is_external: bool,
    /// It is a user of this machine: a process with its rights serves its files.
    pub system: Option<SystemAccount>,
}

/// What a session of a user of this machine needs to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemAccount {
    /// The home, seen from the root: where relative paths begin.
    pub start_dir: Vec<u8>,
    /// Another one for every time that the user was looked up: tells one login's session from another.
    pub login: u64,
}

/// When an upload becomes visible under its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Publish {
    /// While it grows.
    #[default]
    Direct,
    /// When it is complete, synced and closed.
    OnClose,
}

/// What holds in one directory and everything in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderRules {
    /// Absolute, as the user sees it.
    pub path: String,
    pub publish: Publish,
}

/// A key of a user, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserKey {
    pub key: AuthorizedKey,
    pub place: Option<Place>,
}

impl From<AuthorizedKey> for UserKey {
    fn from(key: AuthorizedKey) -> Self {
        Self { key, place: None }
    }
}

/// `host:user`: a user of a client host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostUser {
    /// Lower case, without a dot at the end; no patterns.
    pub host: String,
    /// Compared byte by byte.
    pub user: String,
    pub place: Option<Place>,
}

impl User {
    /// A user who cannot log in yet: add a password or keys.
    pub fn new(name: impl Into<String>, root: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            place: None,
            groups: Vec::new(),
            root: root.into(),
            password: None,
            must_change_password: false,
            authorized_keys: Vec::new(),
            principals: Vec::new(),
            host_based: Vec::new(),
            shosts: None,
            known_hosts: None,
            totp: None,
            recovery_codes: Vec::new(),
            methods: Vec::new(),
            allow_from: None,
            hours: None,
            expires: None,
            read_only: false,
            sessions_max: None,
            publish: Publish::Direct,
            folders: Vec::new(),
            enabled: true,
            is_external: false,
            system: None,
        }
    }

    /// Whether the user's own settings hold what `method` needs. What the server adds for everybody,
    /// such as an authority for certificates, is not looked at.
    pub fn has(&self, method: Method) -> bool {
        match method {
            Method::PublicKey => !self.authorized_keys.is_empty(),
            Method::HostBased => !self.host_based.is_empty() || self.shosts.is_some(),
            Method::Password => self.password.is_some(),
            Method::KeyboardInteractive => self.password.is_some() || self.totp.is_some(),
        }
    }

    /// Names of which a certificate must hold one.
    pub fn certificate_principals(&self) -> Vec<&str> {
        match &self.principals[..] {
            [] => vec![&self.name],
            names => names.iter().map(String::as_str).collect(),
        }
    }
}
