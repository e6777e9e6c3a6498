//! The shape of the settings file, exactly as it may be written. What it means is in `check.rs`.
//!
//! A key that is not here is an error, and so is one whose feature does not exist yet ([`Later`]):
//! a server that ignored `allow_from` would be open to everybody.

use std::path::PathBuf;

use serde::Deserialize;
use toml::Spanned;

/// A key whose feature is not built yet: its presence is an error with its place.
pub type Later = Option<Spanned<toml::Value>>;

/// The whole file.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsFile {
    /// `ADDRESS:PORT` each; `[::]:2022` if missing.
    pub listen: Option<Vec<Spanned<String>>>,
    /// Where host keys and other things that must survive a restart are kept.
    pub state_dir: Option<Spanned<PathBuf>>,
    /// Private key files; if missing, keys are made once and kept in the state directory.
    pub host_keys: Option<Vec<Spanned<PathBuf>>>,
    /// A directory of files `NAME.toml`, one user each, with the keys of [`UserTable`].
    pub users_dir: Option<Spanned<PathBuf>>,
    #[serde(default)]
    pub user: Vec<Spanned<UserTable>>,
    pub defence: Option<DefenceTable>,
    pub trusted_user_ca_keys: Later,
    pub revoked_keys_file: Later,
    pub host_based: Later,
}

/// One `[[user]]`, or one file of the users directory.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UserTable {
    /// May be missing in a file of its own: then it is the file's name without `.toml`.
    pub name: Option<Spanned<String>>,
    /// The directory that the user sees as `/`.
    pub root: Option<Spanned<PathBuf>>,
    /// A hash as PHC, bcrypt or crypt(3) string; never the password itself.
    pub password: Option<Spanned<String>>,
    /// Lines as in OpenSSH's file of that name.
    pub authorized_keys: Option<Vec<Spanned<String>>>,
    /// Such a file, read at start and at reload.
    pub authorized_keys_file: Option<Spanned<PathBuf>>,
    pub read_only: Option<bool>,
    /// `direct` (the default): an upload is visible while it grows.
    pub publish: Option<Spanned<String>>,
    /// Each item a way to log in: method names joined by commas, all of which are needed.
    pub methods: Option<Spanned<Vec<Spanned<String>>>>,
    pub principals: Later,
    pub host_based: Later,
    pub totp_secret: Later,
    pub allow_from: Later,
}

/// What keeps strangers from costing anything.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefenceTable {
    /// Seconds within which a login must be done.
    pub login_grace_s: Option<Spanned<u64>>,
    pub exempt: Later,
}
