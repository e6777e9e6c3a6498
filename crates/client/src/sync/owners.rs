//! Users and groups by name: which number at the target has the name that an owner has at the source.
//!
//! Version 3 knows numbers only. What a number is called is asked of the machine itself on the local side,
//! and of servers with `users-groups-by-id@openssh.com`, which cannot be asked the other way round: the
//! number of a name is known there if a listing showed it, if both sides call the source's number so, or
//! (users) if it owns that user's home directory. Where no number is known, the number stays as it is.

use std::collections::{BTreeSet, HashMap, HashSet};

use nix::unistd::{Gid, Group, Uid, User};
use tokio::sync::Mutex;

use super::entry::Entry;
use super::remote_side::RemoteSide;
use super::side::Side;
use crate::Error;
use crate::limits::{OWNERS_ASKED_MAX, SYNC_OWNERS_MAX};
use crate::sftp::Sftp;
use crate::transfer::blocking;

/// Longest name of a user or group that counts, in bytes (`LOGIN_NAME_MAX` of Linux).
const NAME_LEN_MAX: usize = 256;

/// A name of a user or group: not empty, no zero byte, no slash.
type Name = Box<[u8]>;

/// What is known of the owners of both sides. See the module.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    /// Held while something is asked: nobody asks for the same twice.
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    source: Both<Names>,
    target: Both<Names>,
    /// Numbers of the source that the target has no number for.
    unmapped: Both<HashSet<u32>>,
    source_is_silent: bool,
    target_is_silent: bool,
}

/// Something of users and the same of groups.
#[derive(Debug, Default)]
struct Both<T> {
    users: T,
    groups: T,
}

/// Names of users, or of groups, of one side.
#[derive(Debug, Default)]
struct Names {
    /// `None`: it was asked for and has no name.
    by_id: HashMap<u32, Option<Name>>,
    /// `None`: it was looked for and has no number.
    by_name: HashMap<Name, Option<u32>>,
}

impl Names {
    /// Those of `ids` that were not asked for yet, as far as there is room for them.
    fn unasked(&self, ids: &BTreeSet<u32>) -> Vec<u32> {
        let room = SYNC_OWNERS_MAX.saturating_sub(self.by_id.len());
        ids.iter().filter(|id| !self.by_id.contains_key(id)).take(room).copied().collect()
    }

    /// Takes the answer to what a number is called. The first number of a name has it.
    fn learn(&mut self, id: u32, name: &[u8]) {
        let usable = !name.is_empty()
            && name.len() <= NAME_LEN_MAX
            && !name.contains(&0)
            && !name.contains(&b'/');
        let name = usable.then(|| Name::from(name));
        if let Some(name) = &name {
            let known = self.by_name.entry(name.clone()).or_default();
            *known = known.or(Some(id));
        }
        self.by_id.insert(id, name);
    }

    fn name(&self, id: u32) -> Option<&Name> {
        self.by_id.get(&id)?.as_ref()
    }

    /// The number of a name. `0` is for those who are `0` at both sides.
    fn id(&self, name: &[u8]) -> Option<u32> {
        self.by_name.get(name).copied().flatten().filter(|id| *id != 0)
    }
}

/// Numbers of users and groups of a listing. 0 is 0 everywhere.
fn ids_of(entries: &[Entry]) -> Both<BTreeSet<u32>> {
    let owners = || entries.iter().filter_map(|entry| entry.owner);
    Both {
        users: owners().map(|owner| owner.0).filter(|id| *id != 0).collect(),
        groups: owners().map(|owner| owner.1).filter(|id| *id != 0).collect(),
    }
}

impl Owners {
    /// Gives the entries of the source the numbers that their owners have at the target. `there` is what the
    /// target has in the same directory.
    ///
    /// # Errors
    /// If a server's channel ends meanwhile.
    pub(crate) async fn translate(
        &self,
        (source, target): (&Side, &Side),
        entries: &mut [Entry],
        there: &[Entry],
    ) -> Result<(), Error> {
        let ours = ids_of(entries);
        if ours.users.is_empty() && ours.groups.is_empty() {
            return Ok(());
        }
        let mut known = self.known.lock().await;
        let Known { source: names, source_is_silent, .. } = &mut *known;
        learn(source, names, &ours, source_is_silent).await?;
        if let Side::Remote(target) = target {
            let mut theirs = ids_of(there);
            theirs.users.extend(&ours.users);
            theirs.groups.extend(&ours.groups);
            let Known { target: names, target_is_silent, .. } = &mut *known;
            learn_there(target, names, &theirs, target_is_silent).await?;
        }
        known.find(target, &ours).await?;
        for entry in entries {
            let Some((user, group)) = &mut entry.owner else { continue };
            *user = known.at_target(*user, |both| &both.users);
            *group = known.at_target(*group, |both| &both.groups);
        }
        for user in ours.users {
            known.note_unmapped(user, |both| &both.users, |both| &mut both.users);
        }
        for group in ours.groups {
            known.note_unmapped(group, |both| &both.groups, |both| &mut both.groups);
        }
        Ok(())
    }

    /// How many users and groups of the source have no number by name at the target.
    pub(crate) async fn unmapped(&self) -> (u64, u64) {
        let known = self.known.lock().await;
        (known.unmapped.users.len() as u64, known.unmapped.groups.len() as u64)
    }
}

impl Known {
    /// The number at the target by name; the same number if there is none.
    fn at_target(&self, id: u32, of: impl Fn(&Both<Names>) -> &Names) -> u32 {
        let name = of(&self.source).name(id);
        name.and_then(|name| of(&self.target).id(name)).unwrap_or(id)
    }

    fn note_unmapped(
        &mut self,
        id: u32,
        of: impl Fn(&Both<Names>) -> &Names,
        set: impl Fn(&mut Both<HashSet<u32>>) -> &mut HashSet<u32>,
    ) {
        let name = of(&self.source).name(id);
        let is_mapped = name.is_some_and(|name| of(&self.target).id(name).is_some());
        let unmapped = set(&mut self.unmapped);
        match is_mapped {
            // A later directory may show what an earlier one did not.
            true => drop(unmapped.remove(&id)),
            false if unmapped.len() < SYNC_OWNERS_MAX => drop(unmapped.insert(id)),
            false => {}
        }
    }

    /// Looks for numbers of names that no listing of the target has shown.
    async fn find(&mut self, target: &Side, ours: &Both<BTreeSet<u32>>) -> Result<(), Error> {
        let missing = |source: &Names, target: &Names, ids: &BTreeSet<u32>| -> Vec<Name> {
            let names = ids.iter().filter_map(|id| source.name(*id));
            names.filter(|name| !target.by_name.contains_key(*name)).cloned().collect()
        };
        let users = missing(&self.source.users, &self.target.users, &ours.users);
        let groups = missing(&self.source.groups, &self.target.groups, &ours.groups);
        match target {
            Side::Local(_) => {
                let found = blocking(move || {
                    let users: Vec<_> = users.into_iter().map(with_local_user).collect();
                    let groups: Vec<_> = groups.into_iter().map(with_local_group).collect();
                    (users, groups)
                });
                let (users, groups) = found.await?;
                self.target.users.by_name.extend(users);
                self.target.groups.by_name.extend(groups);
            }
            // Without names nothing that a home directory says could be believed.
            Side::Remote(_) if self.target_is_silent => {}
            Side::Remote(side) => {
                for name in users {
                    if let Some((user, group)) = owner_of_home(side, &name).await? {
                        let shown = Both { users: [user].into(), groups: [group].into() };
                        let silent = &mut self.target_is_silent;
                        learn_there(side, &mut self.target, &shown, silent).await?;
                    }
                    self.target.users.by_name.entry(name).or_default();
                }
            }
        }
        Ok(())
    }
}

/// Asks a side what these numbers are called.
async fn learn(
    side: &Side,
    names: &mut Both<Names>,
    ids: &Both<BTreeSet<u32>>,
    is_silent: &mut bool,
) -> Result<(), Error> {
    let side = match side {
        Side::Remote(side) => return learn_there(side, names, ids, is_silent).await,
        Side::Local(_) => (names.users.unasked(&ids.users), names.groups.unasked(&ids.groups)),
    };
    let (users, groups) = side;
    if users.is_empty() && groups.is_empty() {
        return Ok(());
    }
    let asked = blocking(move || {
        let users: Vec<_> = users.into_iter().map(|id| (id, local_user_name(id))).collect();
        let groups: Vec<_> = groups.into_iter().map(|id| (id, local_group_name(id))).collect();
        (users, groups)
    });
    let (users, groups) = asked.await?;
    users.into_iter().for_each(|(id, name)| names.users.learn(id, name.as_bytes()));
    groups.into_iter().for_each(|(id, name)| names.groups.learn(id, name.as_bytes()));
    Ok(())
}

/// Asks a server what these numbers are called. One that does not say is not asked again.
async fn learn_there(
    side: &RemoteSide,
    names: &mut Both<Names>,
    ids: &Both<BTreeSet<u32>>,
    is_silent: &mut bool,
) -> Result<(), Error> {
    let (users, groups) = (names.users.unasked(&ids.users), names.groups.unasked(&ids.groups));
    let (mut users, mut groups) = (&users[..], &groups[..]);
    loop {
        if *is_silent || (users.is_empty() && groups.is_empty()) {
            return Ok(());
        }
        let some_users = &users[..users.len().min(OWNERS_ASKED_MAX)];
        let some_groups = &groups[..groups.len().min(OWNERS_ASKED_MAX)];
        let ask = |sftp: Sftp| async move { sftp.users_groups(some_users, some_groups).await };
        match side.ask(side.root(), ask).await {
            Ok((user_names, group_names)) => {
                some_users.iter().zip(user_names).for_each(|(id, n)| names.users.learn(*id, &n));
                some_groups.iter().zip(group_names).for_each(|(id, n)| names.groups.learn(*id, &n));
            }
            Err(Error::Unsupported { .. } | Error::Refused { .. }) => *is_silent = true,
            Err(error) => return Err(error),
        }
        (users, groups) = (&users[some_users.len()..], &groups[some_groups.len()..]);
    }
}

/// User and group of a user's home directory, by number; what they are called is still to be asked.
async fn owner_of_home(side: &RemoteSide, name: &[u8]) -> Result<Option<(u32, u32)>, Error> {
    let tilde = &[b"~", name].concat()[..];
    let look = |sftp: Sftp| async move {
        let home = match sftp.expand_path(tilde).await {
            Err(Error::Refused { .. } | Error::Unsupported { .. }) => {
                sftp.home_directory(name).await?
            }
            home => home?,
        };
        sftp.stat(home).await
    };
    match side.ask(tilde, look).await {
        Ok(attrs) => Ok(attrs.owner.map(|owner| (owner.uid, owner.gid))),
        Err(error) if error.ends_channel() => Err(error),
        // No such user, or nobody's business.
        Err(_) => Ok(None),
    }
}

/// Empty if it has none; a name service that does not answer is no failure of a sync.
fn local_user_name(id: u32) -> String {
    let user = User::from_uid(Uid::from_raw(id)).ok().flatten();
    user.map(|user| user.name).unwrap_or_default()
}

fn local_group_name(id: u32) -> String {
    let group = Group::from_gid(Gid::from_raw(id)).ok().flatten();
    group.map(|group| group.name).unwrap_or_default()
}

fn with_local_user(name: Name) -> (Name, Option<u32>) {
    let text = std::str::from_utf8(&name).ok();
    let user = text.and_then(|text| User::from_name(text).ok().flatten());
    (name, user.map(|user| user.uid.as_raw()))
}

fn with_local_group(name: Name) -> (Name, Option<u32>) {
    let text = std::str::from_utf8(&name).ok();
    let group = text.and_then(|text| Group::from_name(text).ok().flatten());
    (name, group.map(|group| group.gid.as_raw()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(pairs: &[(u32, &str)]) -> Names {
        let mut names = Names::default();
        pairs.iter().for_each(|(id, name)| names.learn(*id, name.as_bytes()));
        names
    }

    fn known(source: &[(u32, &str)], target: &[(u32, &str)]) -> Known {
        Known {
            source: Both { users: names(source), groups: Names::default() },
            target: Both { users: names(target), groups: Names::default() },
            ..Known::default()
        }
    }

    #[test]
    fn a_name_that_both_know_gives_the_number_and_others_keep_theirs() {
        let known = known(&[(10, "alice"), (11, "bob"), (12, "")], &[(20, "alice"), (11, "carol")]);
        let at_target = |id| known.at_target(id, |both| &both.users);

        assert_eq!([10, 11, 12, 13].map(at_target), [20, 11, 12, 13]);
    }

    #[test]
    fn nobody_becomes_root_by_a_name_and_root_stays_root() {
        let known = known(&[(10, "root"), (0, "toor")], &[(0, "root"), (7, "toor")]);

        assert_eq!(known.at_target(10, |both| &both.users), 10);
        assert_eq!(ids_of(&[]).users.len(), 0);
        let entry = Entry { owner: Some((0, 5)), ..Entry::of_file(b"f") };
        assert_eq!(ids_of(&[entry]).users, BTreeSet::new(), "0 is not asked for");
    }

    #[test]
    fn a_name_that_cannot_be_one_is_none_and_the_first_number_of_a_name_has_it() {
        let long = "x".repeat(NAME_LEN_MAX + 1);
        let mut names = names(&[(1, "a/b"), (2, "a\0"), (3, &long), (4, "twice"), (5, "twice")]);

        assert_eq!([1, 2, 3].map(|id| names.name(id).cloned()), [None, None, None]);
        assert_eq!(names.id(b"twice"), Some(4));
        assert_eq!(names.unasked(&[3, 4, 6].into()), [6]);
        names.by_name.insert(b"late".as_slice().into(), None);
        names.learn(9, b"late");
        assert_eq!(names.id(b"late"), Some(9), "what was not found before is shown now");
    }

    #[test]
    fn what_is_shown_later_is_not_called_unmapped_any_more() {
        let mut known = known(&[(10, "alice")], &[]);
        let note = |known: &mut Known| {
            known.note_unmapped(10, |both| &both.users, |both| &mut both.users);
            known.unmapped.users.len()
        };

        assert_eq!(note(&mut known), 1);
        known.target.users.learn(20, b"alice");
        assert_eq!(note(&mut known), 0);
    }

    #[test]
    fn this_machine_tells_names_and_numbers() {
        let group = local_group_name(0);
        assert_eq!(local_user_name(0), "root");
        assert_eq!(with_local_user(b"root".as_slice().into()).1, Some(0));
        assert_eq!(with_local_group(group.as_bytes().into()).1, Some(0));
        assert_eq!(with_local_user(b"no\xffbody".as_slice().into()).1, None);
    }
}
