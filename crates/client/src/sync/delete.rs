//! What only the target has: gathered while both trees are read, judged at the end, then deleted.
//!
//! Nothing is deleted before everything has been transferred. Then either all of it goes or, if the
//! guard refuses, nothing. In a directory in which a transfer failed nothing goes.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::entry::{Entry, Kind};
use super::shared::Shared;
use super::side::Wanted;
use crate::Error;
use crate::limits::{SYNC_DELETE_DEFAULT, SYNC_DELETES_MAX, SYNC_EXTRAS_LEN_MAX};
use crate::sftp::joined;
use crate::transfer::{Action, Event, Links};

/// How much may be deleted. Above it nothing is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeleteMax {
    /// Files, links and directories.
    Count(u64),
    /// Of all that the target holds.
    Percent(u8),
}

/// What only the target has, directory by directory, each before those in it.
#[derive(Debug, Default)]
pub(crate) struct Extras {
    groups: Vec<Group>,
    count: u64,
    /// Bytes of names and what belongs to them.
    len: usize,
}

/// The extras of one directory.
#[derive(Debug)]
struct Group {
    rel: Arc<[u8]>,
    depth: usize,
    extras: Vec<Extra>,
    /// The group that holds this directory, if it is itself extra.
    parent: Option<usize>,
    /// Something in this directory went wrong: nothing in it is deleted.
    spoiled: bool,
    /// What the directory gets back afterwards; `None` if it goes itself.
    attrs: Option<Wanted>,
}

#[derive(Debug)]
struct Extra {
    name: Box<[u8]>,
    kind: Kind,
    /// A directory in which something is left alone.
    kept: bool,
}

/// Which group, and which of its entries.
pub(crate) type ExtraId = (usize, usize);

/// What the guard has to know.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Judged {
    /// Entries that the target has, or had.
    pub(crate) target_entries: u64,
    /// A part of the source could not be read.
    pub(crate) source_incomplete: bool,
    pub(crate) source_empty: bool,
    pub(crate) force: bool,
    pub(crate) max: Option<DeleteMax>,
}

impl Extras {
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Notes what a directory has too much; `parent` is the group that holds it, if it is extra itself.
    /// Returns the number of its group; `None` if there is no room for it: then only the number of extras
    /// grows, and the guard refuses to delete anything.
    pub(crate) fn add(
        &mut self,
        rel: &Arc<[u8]>,
        depth: usize,
        parent: Option<usize>,
        extras: &[Entry],
    ) -> Option<usize> {
        self.count += extras.len() as u64;
        let names: usize = extras.iter().map(|e| e.name.len() + size_of::<Extra>()).sum();
        self.len = self.len.saturating_add(names + rel.len() + size_of::<Group>());
        if self.len > SYNC_EXTRAS_LEN_MAX {
            return None;
        }
        let extras = extras.iter().map(Extra::new).collect();
        self.groups.push(Group {
            rel: rel.clone(),
            depth,
            extras,
            parent,
            spoiled: false,
            attrs: None,
        });
        Some(self.groups.len() - 1)
    }

    /// Something in this directory went wrong.
    pub(crate) fn spoil(&mut self, group: usize) {
        self.groups[group].spoiled = true;
    }

    /// The directory stays, and gets these attributes when its extras are gone.
    pub(crate) fn restore(&mut self, group: usize, attrs: Wanted) {
        self.groups[group].attrs = Some(attrs);
    }

    /// This directory cannot go: something in it is left alone.
    pub(crate) fn keep(&mut self, (group, index): ExtraId) {
        if let Some(extra) = self.groups[group].extras.get_mut(index)
            && !extra.kept
        {
            extra.kept = true;
            self.count -= 1;
        }
    }

    /// Why nothing may be deleted, if so.
    pub(crate) fn refusal(&self, judged: &Judged) -> Option<String> {
        if self.count == 0 {
            return None;
        }
        let count = self.count;
        if judged.source_incomplete && !judged.force {
            return Some("the source could not be read completely".to_owned());
        }
        if judged.source_empty && !judged.force {
            return Some(format!(
                "the source is empty and the target holds {} (--force-delete deletes all the same)",
                judged.target_entries
            ));
        }
        let max = match judged.max {
            Some(DeleteMax::Count(max)) => max,
            Some(DeleteMax::Percent(percent)) => {
                judged.target_entries.saturating_mul(percent.into()) / 100
            }
            None => SYNC_DELETE_DEFAULT.max(judged.target_entries / 2),
        };
        if count > max {
            return Some(format!(
                "{count} of {} would be deleted, at most {max} may be (--max-delete)",
                judged.target_entries
            ));
        }
        if self.len > SYNC_EXTRAS_LEN_MAX {
            return Some(format!("{count} names are too many for one run"));
        }
        None
    }

    /// Of each group, whether it or a directory around it is spoiled.
    fn spoiled(&self) -> Vec<bool> {
        let mut spoiled: Vec<bool> = Vec::with_capacity(self.groups.len());
        for group in &self.groups {
            spoiled.push(group.spoiled || group.parent.is_some_and(|parent| spoiled[parent]));
        }
        spoiled
    }

    /// Tells what would be deleted.
    pub(crate) fn tell(&self, shared: &Shared) {
        let spoiled = self.spoiled();
        for (group, _) in self.groups.iter().zip(spoiled).filter(|(_, spoiled)| !spoiled) {
            for extra in group.extras.iter().filter(|extra| !extra.kept) {
                tell(shared, &joined(&group.rel, &extra.name), true);
            }
        }
    }

    /// Deletes everything: first what is no directory, then directories from the deepest up. Returns
    /// how many went, and the attributes that directories then get back.
    pub(crate) async fn delete(self, shared: &Arc<Shared>) -> (u64, Vec<(Arc<[u8]>, Wanted)>) {
        let mut deleted = 0;
        let (mut files, mut dirs) = (Vec::new(), BTreeMap::<usize, Vec<_>>::new());
        let mut restore = Vec::new();
        let spoiled = self.spoiled();
        for (group, spoiled) in self.groups.into_iter().zip(spoiled) {
            if spoiled {
                continue;
            }
            let Group { rel, depth, extras, attrs, .. } = group;
            restore.extend(attrs.map(|attrs| (rel.clone(), attrs)));
            for Extra { name, kind, .. } in extras.into_iter().filter(|extra| !extra.kept) {
                match kind {
                    Kind::Dir => dirs.entry(depth).or_default().push((rel.clone(), name, kind)),
                    _ => files.push((rel.clone(), name, kind)),
                }
            }
        }
        for (rel, attrs) in &restore {
            // Its attributes are in place already; without the right to write nothing can go.
            if let Some(mode) = attrs.mode.filter(|mode| mode & 0o300 != 0o300) {
                let wanted = Wanted { mode: Some(mode | 0o700), ..Wanted::default() };
                super::apply::set_dir_attrs(shared, rel, &wanted).await;
            }
        }
        deleted += remove_all(shared, files).await;
        for (_, dirs) in dirs.into_iter().rev() {
            deleted += remove_all(shared, dirs).await;
        }
        if shared.mover.cancel().is_cancelled() {
            shared.mover.failed(&shared.target.shown(b""), Error::Cancelled);
        }
        (deleted, restore)
    }
}

impl Extra {
    fn new(entry: &Entry) -> Self {
        Self { name: entry.name.clone(), kind: entry.kind, kept: false }
    }
}

type Doomed = (Arc<[u8]>, Box<[u8]>, Kind);

/// Removes names, many at once. Their order does not matter.
async fn remove_all(shared: &Arc<Shared>, doomed: Vec<Doomed>) -> u64 {
    let mut removals: JoinSet<bool> = JoinSet::new();
    let mut deleted = 0;
    for (rel, name, kind) in doomed {
        if removals.len() >= SYNC_DELETES_MAX {
            deleted +=
                removals.join_next().await.map_or(0, |gone| u64::from(gone.unwrap_or(false)));
        }
        if shared.mover.is_stopped() {
            break;
        }
        let shared = shared.clone();
        removals.spawn(async move {
            let removed = async {
                let dir = shared.target.open(&rel, Links::Keep).await?;
                shared.target.remove(&dir, &name, kind).await
            };
            let path = joined(&rel, &name);
            match removed.await {
                Ok(()) => tell(&shared, &path, false),
                Err(error) => {
                    shared.mover.failed(&shared.target.shown(&path), error);
                    return false;
                }
            }
            true
        });
    }
    while let Some(gone) = removals.join_next().await {
        deleted += u64::from(gone.unwrap_or(false));
    }
    deleted
}

fn tell(shared: &Shared, rel: &[u8], planned: bool) {
    let path = shared.target.shown(rel);
    let why = "not in the source";
    shared.mover.event(&Event::Change { path: &path, action: Action::Delete, why, planned });
}

/// What to say when nothing was deleted.
pub(crate) fn refused(root: &[u8], why: &str) -> Error {
    Error::NotDeleted { path: root.to_vec(), why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extras(count: u64) -> Extras {
        Extras { count, ..Extras::default() }
    }

    const JUDGED: Judged = Judged {
        target_entries: 10_000,
        source_incomplete: false,
        source_empty: false,
        force: false,
        max: None,
    };

    #[test]
    fn nothing_to_delete_is_never_refused() {
        let judged = Judged { source_empty: true, source_incomplete: true, ..JUDGED };

        assert_eq!(extras(0).refusal(&judged), None);
    }

    #[test]
    fn a_source_that_is_empty_or_half_read_deletes_nothing_unless_forced() {
        for judged in
            [Judged { source_empty: true, ..JUDGED }, Judged { source_incomplete: true, ..JUDGED }]
        {
            assert!(extras(1).refusal(&judged).is_some());
            assert_eq!(extras(1).refusal(&Judged { force: true, ..judged }), None);
        }
    }

    #[test]
    fn by_default_a_thousand_or_half_of_the_target_may_go() {
        assert_eq!(extras(5000).refusal(&JUDGED), None);
        assert!(extras(5001).refusal(&JUDGED).is_some());
        let small = Judged { target_entries: 900, ..JUDGED };
        assert_eq!(extras(900).refusal(&small), None);
    }

    #[test]
    fn what_has_no_room_is_counted_and_refused() {
        let name = [b'n'; 255];
        let extra = Entry::of_file(&name);
        let crowd = vec![extra; SYNC_EXTRAS_LEN_MAX / 256];
        let mut extras = Extras::default();

        let group = extras.add(&b"d".as_slice().into(), 1, None, &crowd);

        let judged = Judged { force: true, max: Some(DeleteMax::Count(u64::MAX)), ..JUDGED };
        assert_eq!((group, extras.count()), (None, crowd.len() as u64));
        assert!(extras.refusal(&judged).is_some());
    }

    #[test]
    fn a_bound_that_is_given_holds_even_when_forced() {
        let count = Judged { max: Some(DeleteMax::Count(3)), force: true, ..JUDGED };
        let percent = Judged { max: Some(DeleteMax::Percent(1)), ..JUDGED };

        assert!(extras(4).refusal(&count).is_some());
        assert_eq!(extras(3).refusal(&count), None);
        assert!(extras(101).refusal(&percent).is_some());
        assert_eq!(extras(100).refusal(&percent), None);
    }
}
