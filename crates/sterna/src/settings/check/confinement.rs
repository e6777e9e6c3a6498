//! What the server may do once it runs: as whom, and behind which walls.

use std::path::PathBuf;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};
use sterna_sandbox::Account;
use toml::Spanned;

use super::Check;
use crate::settings::{Source, schema::TopTable};

/// Directories beneath which users' directories may lie, at most: each is a rule that the kernel looks at.
const SANDBOX_ROOTS_MAX: usize = 1000;

/// As whom the server runs, and which walls are put up around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Confinement {
    /// `None`: as whoever starts it.
    pub account: Option<Account>,
    pub sandbox: SandboxMode,
    /// Beneath these lie the directories of users; those that the settings name are added.
    pub roots: Vec<PathBuf>,
}

/// Whether there must be walls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SandboxMode {
    /// What the kernel offers.
    #[default]
    Auto,
    /// Without all of it the server does not start.
    Require,
    Off,
}

impl SandboxMode {
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Require => "require",
            Self::Off => "off",
        }
    }
}

impl Check<'_> {
    pub(super) fn confinement(&mut self, source: &Source, top: &TopTable) -> Confinement {
        let sandbox = match top.sandbox.as_ref().map(|mode| (mode.get_ref().as_str(), mode)) {
            None | Some(("auto", _)) => SandboxMode::Auto,
            Some(("require", _)) => SandboxMode::Require,
            Some(("off", _)) => SandboxMode::Off,
            Some((_, mode)) => {
                let why = "is none of \"auto\", \"require\" and \"off\"";
                self.errors.push(source.error(mode.span(), "sandbox", why));
                SandboxMode::Auto
            }
        };
        let named = top.sandbox_roots.as_deref().unwrap_or_default();
        if let Some(first) = named.first()
            && named.len() > SANDBOX_ROOTS_MAX
        {
            let why = format!("more than {SANDBOX_ROOTS_MAX} directories");
            self.errors.push(source.error(first.span(), "sandbox_roots", why));
        }
        let mut roots = Vec::new();
        for root in named {
            let path = source.resolve(root.get_ref());
            if !path.is_dir() {
                let why = super::at(&path, "not a directory");
                self.errors.push(source.error(root.span(), "sandbox_roots", why));
            }
            roots.push(path);
        }
        let account = self.account(source, top);
        Confinement { account, sandbox, roots }
    }

    fn account(&mut self, source: &Source, top: &TopTable) -> Option<Account> {
        let Some(user) = &top.run_as_user else {
            if let Some(group) = &top.run_as_group {
                let why = "there is no run_as_user";
                self.errors.push(source.error(group.span(), "run_as_group", why));
            }
            return None;
        };
        let group = match &top.run_as_group {
            None => None,
            Some(group) => match group_of(group) {
                Some(gid) => Some(gid),
                None => {
                    let why = format!("there is no group {:?}", group.get_ref());
                    self.errors.push(source.error(group.span(), "run_as_group", why));
                    return None;
                }
            },
        };
        match account_of(user.get_ref(), group) {
            Ok(account) if account.uid == 0 => {
                let why = "is root; leave it out to keep the rights of whoever starts the server";
                self.errors.push(source.error(user.span(), "run_as_user", why));
                None
            }
            Ok(account) => Some(account),
            Err(why) => {
                self.errors.push(source.error(user.span(), "run_as_user", why));
                None
            }
        }
    }
}

fn group_of(group: &Spanned<String>) -> Option<Gid> {
    let name = group.get_ref().as_str();
    let known = Group::from_name(name).ok().flatten().map(|group| group.gid);
    known.or_else(|| name.parse().ok().map(Gid::from_raw))
}

/// A user by name or number. A number that no user has needs a group beside it.
fn account_of(user: &str, group: Option<Gid>) -> Result<Account, String> {
    let mut known = User::from_name(user).map_err(|error| error.to_string())?;
    let number = user.parse::<u32>().ok().map(Uid::from_raw);
    if let (None, Some(uid)) = (&known, number) {
        known = User::from_uid(uid).map_err(|error| error.to_string())?;
    }
    let Some(known) = known else {
        return match (number, group) {
            (Some(uid), Some(gid)) => {
                Ok(Account { uid: uid.as_raw(), gid: gid.as_raw(), groups: Vec::new() })
            }
            (Some(_), None) => Err("no user has this number; add run_as_group".to_owned()),
            (None, _) => Err(format!("there is no user {user:?}")),
        };
    };
    let gid = group.unwrap_or(known.gid);
    let name = std::ffi::CString::new(known.name).map_err(|error| error.to_string())?;
    let groups = getgrouplist(&name, gid).map_err(|error| error.to_string())?;
    let groups = groups.into_iter().map(Gid::as_raw).collect();
    Ok(Account { uid: known.uid.as_raw(), gid: gid.as_raw(), groups })
}
