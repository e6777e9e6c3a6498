//! Names of users and groups: for the lines of listings and `users-groups-by-id@openssh.com`.

use std::collections::HashMap;
use std::path::Path;

use sterna_sftp_proto::extension::{UsersGroups, UsersGroupsReply};
use sterna_sftp_proto::limits::PACKET_LEN_MAX;

use super::reply::Answer;
use super::table::{Serving, Start};

/// What numeric ids are called, and where users live. Called on I/O threads and in the session's
/// task, so it answers from memory.
pub trait Names: Send + Sync + 'static {
    fn user(&self, uid: u32) -> Option<String>;

    fn group(&self, gid: u32) -> Option<String>;

    /// The home directory of a user, for `~user`; `None` also where that is nobody's business.
    fn home(&self, user: &[u8]) -> Option<Vec<u8>>;
}

/// Nobody has a name: listings show numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNames;

impl Names for NoNames {
    fn user(&self, _uid: u32) -> Option<String> {
        None
    }

    fn group(&self, _gid: u32) -> Option<String> {
        None
    }

    fn home(&self, _user: &[u8]) -> Option<Vec<u8>> {
        None
    }
}

/// The users and groups of this machine, as its files say; other name services are not asked.
#[derive(Clone, Debug, Default)]
pub struct SystemNames {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
    homes: HashMap<Vec<u8>, Vec<u8>>,
}

impl SystemNames {
    /// Reads `/etc/passwd` and `/etc/group`; what cannot be read is empty.
    pub fn load() -> Self {
        Self::from_files(Path::new("/etc/passwd"), Path::new("/etc/group"))
    }

    fn from_files(passwd: &Path, group: &Path) -> Self {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let mut names = Self::default();
        for line in read(passwd).lines() {
            let fields: Vec<_> = line.split(':').collect();
            let [name, _, uid, _, _, home, ..] = fields[..] else { continue };
            let Ok(uid) = uid.parse() else { continue };
            // The first line of an id wins, as with getpwuid.
            names.users.entry(uid).or_insert_with(|| name.to_owned());
            names.homes.entry(name.into()).or_insert_with(|| home.into());
        }
        for line in read(group).lines() {
            let fields: Vec<_> = line.split(':').collect();
            let [name, _, gid, ..] = fields[..] else { continue };
            let Ok(gid) = gid.parse() else { continue };
            names.groups.entry(gid).or_insert_with(|| name.to_owned());
        }
        names
    }
}

impl Names for SystemNames {
    fn user(&self, uid: u32) -> Option<String> {
        self.users.get(&uid).cloned()
    }

    fn group(&self, gid: u32) -> Option<String> {
        self.groups.get(&gid).cloned()
    }

    fn home(&self, user: &[u8]) -> Option<Vec<u8>> {
        self.homes.get(user).cloned()
    }
}

/// An unknown id gets an empty name, so that positions hold.
pub(super) fn users_groups(request: &UsersGroups<'_>, at: &mut Serving<'_>) -> Start {
    let names = &*at.policy.names;
    let mut body = Vec::new();
    UsersGroupsReply::encode_names(
        request.uids.iter().map(|uid| names.user(uid).unwrap_or_default()),
        request.gids.iter().map(|gid| names.group(gid).unwrap_or_default()),
        &mut body,
    );
    if body.len() + 5 > PACKET_LEN_MAX {
        return Start::Now(Answer::failure("users-groups-by-id: too many names for one reply"));
    }
    Start::Now(Answer::Extended(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_of_an_id_names_it_and_broken_lines_are_skipped() {
        let dir = tempfile::tempdir().unwrap();
        let passwd = dir.path().join("passwd");
        let group = dir.path().join("group");
        std::fs::write(&passwd, "root:x:0:0:r:/root:/bin/sh\ntoor:x:0:0::/t:/bin/sh\n\nbad:x:no\n")
            .unwrap();
        std::fs::write(&group, "wheel:x:0:\nbroken\nusers:x:100:a,b\n").unwrap();

        let names = SystemNames::from_files(&passwd, &group);

        assert_eq!(names.user(0).as_deref(), Some("root"));
        assert_eq!(names.user(1), None);
        assert_eq!(names.group(100).as_deref(), Some("users"));
        assert_eq!(names.home(b"toor").as_deref(), Some(&b"/t"[..]));
        assert_eq!(names.home(b"bad"), None);
    }
}
