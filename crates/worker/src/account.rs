//! A user of the machine, as far as the policy lets it be one here.

use std::ffi::CString;
use std::path::{Path, PathBuf};

use nix::unistd::{Gid, Group, User, getgrouplist};
use sterna_sandbox::Account;

use crate::limits::{GROUPS_MAX, HOME_MAX, USER_NAME_MAX};
use crate::policy::{Policy, expand};

/// Shells of those who may not log in.
const NO_LOGIN: [&str; 2] = ["nologin", "false"];

/// Somebody who may log in.
#[derive(Clone, Debug)]
pub(crate) struct SystemUser {
    pub name: String,
    pub account: Account,
    pub home: PathBuf,
    /// What is shown as `/`.
    pub root: PathBuf,
    /// The home as seen from there, where it is beneath.
    pub start_dir: Vec<u8>,
    pub keys_file: PathBuf,
}

/// Looks `name` up.
///
/// # Errors
/// Why nobody of this name may log in, for the log.
pub(crate) fn find(policy: &Policy, name: &str) -> Result<SystemUser, String> {
    if name.is_empty() || name.len() > USER_NAME_MAX || name.contains(['/', '\0', '\n']) {
        return Err("not a name of a user".to_owned());
    }
    let found = User::from_name(name).map_err(|error| error.to_string())?;
    let user = found.ok_or("the machine has no such user")?;
    if user.name != name {
        return Err(format!("the machine calls this user {:?}", user.name));
    }
    // Root, whatever it is called here and whatever the policy says.
    if user.uid.is_root() || user.uid.as_raw() < policy.min_uid {
        return Err(format!("user number {} is below min_uid or root", user.uid));
    }
    let shell = user.shell.file_name().unwrap_or_default();
    if NO_LOGIN.iter().any(|no| shell == *no) {
        return Err(format!("the shell {} lets nobody log in", user.shell.display()));
    }
    let c_name = CString::new(name).map_err(|error| error.to_string())?;
    let groups = getgrouplist(&c_name, user.gid).map_err(|error| error.to_string())?;
    if groups.len() > GROUPS_MAX {
        return Err(format!("more than {GROUPS_MAX} groups"));
    }
    if !policy.groups_allowed.is_empty() && !is_member(&policy.groups_allowed, &groups) {
        return Err("no member of groups_allowed".to_owned());
    }
    let home = user.dir.to_str().filter(|home| home.starts_with('/') && home.len() <= HOME_MAX);
    let home = home.ok_or("the home is no absolute path")?;
    let root = expand(&policy.root, name, home);
    if !root.is_absolute() {
        return Err(format!("{}: the root is no absolute path", root.display()));
    }
    Ok(SystemUser {
        name: name.to_owned(),
        account: Account {
            uid: user.uid.as_raw(),
            gid: user.gid.as_raw(),
            groups: groups.into_iter().map(Gid::as_raw).collect(),
        },
        start_dir: seen_from(&root, Path::new(home)),
        keys_file: expand(&policy.authorized_keys_file, name, home),
        home: home.into(),
        root,
    })
}

fn is_member(allowed: &[String], groups: &[Gid]) -> bool {
    let gid = |name: &String| Group::from_name(name).ok().flatten().map(|group| group.gid);
    allowed.iter().filter_map(gid).any(|allowed| groups.contains(&allowed))
}

/// `home` as a path in `root`; `/` if it is elsewhere.
fn seen_from(root: &Path, home: &Path) -> Vec<u8> {
    match home.strip_prefix(root) {
        Ok(below) => [b"/", below.as_os_str().as_encoded_bytes()].concat(),
        Err(_) => b"/".to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_home_is_seen_from_the_root() {
        let seen = |root: &str, home: &str| seen_from(Path::new(root), Path::new(home));
        assert_eq!(seen("/", "/home/ann"), b"/home/ann");
        assert_eq!(seen("/home/ann", "/home/ann"), b"/");
        assert_eq!(seen("/srv/ann", "/home/ann"), b"/");
    }

    #[test]
    fn root_never_logs_in() {
        let policy = Policy { min_uid: 0, ..Policy::default() };
        assert!(find(&policy, "root").is_err_and(|why| why.contains("root")));
        for name in ["", "no such user here", "a/b", "root\0"] {
            assert!(find(&policy, name).is_err(), "{name:?}");
        }
    }
}
