//! This machine and the person at it, as configuration files see them.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Names that tokens, `Match localuser` and `~` refer to.
#[derive(Clone, Debug)]
pub(super) struct Local {
    /// Looked up when it is first asked for: mostly a person says whom to log in as.
    pub(super) user: OnceLock<String>,
    pub(super) uid: u32,
    /// As the system calls itself; may carry a domain.
    pub(super) host: String,
    pub(super) home: Option<PathBuf>,
}

impl Local {
    /// Asks the system. The home directory is `home`, else `$HOME`.
    pub(super) fn new(home: Option<PathBuf>) -> Self {
        let uid = rustix::process::getuid().as_raw();
        Self {
            user: OnceLock::new(),
            uid,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            home: home.or_else(|| std::env::var_os("HOME").map(PathBuf::from)),
        }
    }

    /// The account that we run as.
    pub(super) fn user(&self) -> &str {
        self.user.get_or_init(local_user)
    }

    /// `text` as a path, with `~/` and `~user/` at its beginning filled in.
    pub(super) fn path(&self, text: &str) -> PathBuf {
        let Some(rest) = text.strip_prefix('~') else { return PathBuf::from(text) };
        let (user, below) = rest.split_once('/').unwrap_or((rest, ""));
        let home = if user.is_empty() {
            self.home.clone()
        } else {
            passwd_field(5, |fields| fields.first() == Some(&user)).map(PathBuf::from)
        };
        match home {
            Some(home) if below.is_empty() => home,
            Some(home) => home.join(below.trim_start_matches('/')),
            None => PathBuf::from(text),
        }
    }

    /// `NAME` below the person's `~/.ssh`.
    pub(super) fn below_dot_ssh(&self, name: impl AsRef<Path>) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(".ssh").join(name))
    }
}

/// The name of the account that we run as, else what the environment says.
pub(crate) fn local_user() -> String {
    let uid = rustix::process::getuid().as_raw().to_string();
    passwd_field(0, |fields| fields.get(2) == Some(&uid.as_str()))
        .or_else(|| std::env::var("USER").ok())
        .or_else(|| std::env::var("LOGNAME").ok())
        .filter(|u| !u.is_empty())
        .unwrap_or_else(|| "root".to_owned())
}

/// A field of the first line of /etc/passwd that is wanted.
fn passwd_field(index: usize, wanted: impl Fn(&[&str]) -> bool) -> Option<String> {
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        if wanted(&fields) { fields.get(index).map(|f| (*f).to_owned()) } else { None }
    })
}
