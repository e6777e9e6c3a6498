//! One directory of both sides, name by name: what has to be done there. Pure.
//!
//! A directory is the unit of planning: its two listings are in memory at once, and nothing of other
//! directories. A tree of any size takes what its largest directories take.

use std::collections::HashSet;
use std::iter::Peekable;
use std::time::SystemTime;
use std::vec::IntoIter;

use super::compare::{Rules, Verdict, Why, compare};
use super::entry::{Entry, Kind};
use super::filter::Filter;
use crate::sftp::joined;
use crate::transfer::{COMPANIONS, Links, companion_name, is_companion};

/// What has to be done in one directory.
#[derive(Debug, Default)]
pub(crate) struct DirPlan {
    pub(crate) tasks: Vec<(Entry, Option<Entry>, Task)>,
    /// Directories of the source and what the target has in their place.
    pub(crate) dirs: Vec<(Entry, Option<Entry>)>,
    /// What only the target has.
    pub(crate) extras: Vec<Entry>,
    /// Files that are right as they are.
    pub(crate) unchanged: u64,
    /// Names that are left out on purpose and are told, and why.
    pub(crate) left_out: Vec<(Box<[u8]>, &'static str)>,
    /// Devices, pipes and sockets.
    pub(crate) special: Vec<Box<[u8]>>,
    /// Directories of the target that keep a file or link from its place.
    pub(crate) in_the_way: Vec<(Entry, Entry)>,
    /// The target holds names that are left alone.
    pub(crate) holds_excluded: bool,
}

/// What has to be done with one file or link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Content(Why),
    /// Compare digests; then perhaps content or attributes.
    Digests,
    LinkText,
    Attributes,
    /// Nothing but extended attributes, if they count; it may be what other names of the same file are linked
    /// to.
    Keep,
}

/// What the planning of all directories goes by.
#[derive(Clone, Debug)]
pub(crate) struct Policy {
    pub(crate) rules: Rules,
    pub(crate) filter: Filter,
    pub(crate) links: Links,
    pub(crate) hard_links: bool,
    /// Extended attributes are compared.
    pub(crate) xattrs: bool,
    pub(crate) delete_excluded: bool,
    /// When the sync began.
    pub(crate) now: SystemTime,
}

impl Policy {
    /// Whether a file that only the target has stays for its size.
    fn leaves_alone(&self, target: &Entry) -> bool {
        let is_file = target.kind == Kind::File;
        is_file && !self.delete_excluded && self.filter.out_of_size(target).is_some()
    }
}

impl DirPlan {
    /// Whether names of the target will change.
    pub(crate) fn changes_target(&self) -> bool {
        let idle = |task: &Task| matches!(task, Task::Keep | Task::Attributes);
        self.tasks.iter().any(|(_, _, task)| !idle(task))
            || self
                .dirs
                .iter()
                .any(|(_, target)| target.as_ref().is_none_or(|t| t.kind != Kind::Dir))
    }
}

/// Plans the directory `rel` from its two listings. `source` is `None` if only the target has it.
pub(crate) fn plan(
    rel: &[u8],
    source: Option<Vec<Entry>>,
    target: Vec<Entry>,
    policy: &Policy,
) -> DirPlan {
    let mut plan = DirPlan::default();
    let excluded = |entry: &Entry| {
        let is_dir = entry.kind == Kind::Dir;
        policy.filter.excludes(&joined(rel, &entry.name), is_dir)
            || (policy.links == Links::Skip && entry.kind == Kind::Link)
    };
    let mut source = source.unwrap_or_default();
    source.retain(|entry| !is_companion(&entry.name) && !excluded(entry));
    let parts = parts_of(&source, &target);
    let mut target = target;
    let before = target.len();
    if !policy.delete_excluded {
        target.retain(|entry| !excluded(entry));
    }
    plan.holds_excluded = target.len() < before;
    target.retain(|entry| !parts.contains(&*entry.name));
    for Pair { source, target } in join(source, target) {
        match (source, target) {
            (Some(source), target) => plan.add(source, target, policy),
            (None, Some(target)) if policy.leaves_alone(&target) => plan.holds_excluded = true,
            (None, Some(target)) => plan.extras.push(target),
            (None, None) => {}
        }
    }
    plan
}

impl DirPlan {
    fn add(&mut self, source: Entry, target: Option<Entry>, policy: &Policy) {
        if source.kind == Kind::File
            && let Some(why) = policy.filter.unwanted(&source, policy.now)
        {
            return self.left_out.push((source.name, why));
        }
        let several_names = policy.hard_links && source.kind == Kind::File && source.names > 1;
        let task = match compare(&source, target.as_ref(), &policy.rules) {
            Verdict::Same if several_names || policy.xattrs => Task::Keep,
            Verdict::Same => {
                self.unchanged += 1;
                return;
            }
            Verdict::Attributes => Task::Attributes,
            Verdict::Content(why) => Task::Content(why),
            Verdict::Digests => Task::Digests,
            Verdict::LinkText => Task::LinkText,
            Verdict::Enter => return self.dirs.push((source, target)),
            Verdict::DirInTheWay => return self.in_the_way.extend(target.map(|t| (source, t))),
            Verdict::Newer => return self.left_out.push((source.name, "newer at the target")),
            Verdict::Special => return self.special.push(source.name),
        };
        self.tasks.push((source, target, task));
    }
}

/// Names at the target that belong to files of the source: their transfer goes on with them.
fn parts_of(source: &[Entry], target: &[Entry]) -> HashSet<Vec<u8>> {
    if !target.iter().any(|entry| is_companion(&entry.name)) {
        return HashSet::new();
    }
    let names = source.iter().map(|entry| &entry.name);
    names.flat_map(|name| COMPANIONS.map(|suffix| companion_name(name, suffix))).collect()
}

/// What the sides have under one name; at least one has something.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) source: Option<Entry>,
    pub(crate) target: Option<Entry>,
}

/// Pairs in the order of the bytes of their names.
pub(crate) struct Pairs {
    source: Peekable<IntoIter<Entry>>,
    target: Peekable<IntoIter<Entry>>,
}

/// Joins two listings; see [`sorted`] for what is asked of them.
pub(crate) fn join(source: Vec<Entry>, target: Vec<Entry>) -> Pairs {
    Pairs { source: source.into_iter().peekable(), target: target.into_iter().peekable() }
}

/// Sorts a listing by the bytes of its names. A name that a server lists twice counts once.
pub(crate) fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    entries.dedup_by(|a, b| a.name == b.name);
    entries
}

impl Iterator for Pairs {
    type Item = Pair;

    fn next(&mut self) -> Option<Pair> {
        use std::cmp::Ordering::{Equal, Greater, Less};
        let order = match (self.source.peek(), self.target.peek()) {
            (None, None) => return None,
            (Some(_), None) => Less,
            (None, Some(_)) => Greater,
            (Some(source), Some(target)) => source.name.cmp(&target.name),
        };
        let (source, target) = match order {
            Less => (self.source.next(), None),
            Equal => (self.source.next(), self.target.next()),
            Greater => (None, self.target.next()),
        };
        Some(Pair { source, target })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;

    fn entry(name: &[u8]) -> Entry {
        Entry::of_file(name)
    }

    fn policy() -> Policy {
        Policy {
            rules: Rules::default(),
            filter: Filter::default(),
            links: Links::Keep,
            hard_links: false,
            xattrs: false,
            delete_excluded: false,
            now: SystemTime::UNIX_EPOCH,
        }
    }

    fn names(entries: &[Entry]) -> Vec<&[u8]> {
        entries.iter().map(|entry| &*entry.name).collect()
    }

    #[test]
    fn what_is_excluded_is_neither_sent_nor_called_extra() {
        let mut builder = super::super::filter::FilterBuilder::new();
        builder.exclude("*.tmp").unwrap();
        let filter = builder.build().unwrap();
        let here = || vec![entry(b"a"), entry(b"a.tmp")];
        let there = || vec![entry(b"b"), entry(b"b.tmp")];
        let policy = Policy { filter, ..policy() };

        let kept = plan(b"", Some(here()), there(), &policy);
        let asked = Policy { delete_excluded: true, ..policy };
        let deleted = plan(b"", Some(here()), there(), &asked);

        assert_eq!(kept.tasks.len(), 1);
        assert_eq!(names(&kept.extras), [b"b"]);
        assert!(kept.holds_excluded);
        assert_eq!(deleted.tasks.len(), 1);
        assert_eq!(names(&deleted.extras), [&b"b"[..], b"b.tmp"]);
    }

    /// A pattern with a slash is anchored at the root of the tree, not at each directory.
    #[test]
    fn patterns_see_the_path_below_the_root() {
        let mut builder = super::super::filter::FilterBuilder::new();
        builder.exclude("/d/a").unwrap();
        let policy = Policy { filter: builder.build().unwrap(), ..policy() };

        let in_root = plan(b"", Some(vec![entry(b"a")]), vec![], &policy);
        let in_d = plan(b"d", Some(vec![entry(b"a")]), vec![], &policy);

        assert_eq!((in_root.tasks.len(), in_d.tasks.len()), (1, 0));
    }

    #[test]
    fn a_part_belongs_to_its_file_and_is_extra_without_it() {
        let there = || {
            let names = [&b".a.sterna-part"[..], b".a.sterna-part2", b".gone.sterna-part"];
            names.map(entry).to_vec()
        };

        let plan = plan(b"", Some(vec![entry(b"a"), entry(b".x.sterna-part")]), there(), &policy());

        assert_eq!(plan.tasks.len(), 1);
        assert_eq!(names(&plan.extras), [b".gone.sterna-part"]);
    }

    #[test]
    fn a_file_outside_the_bounds_is_not_sent_and_its_copy_is_not_extra() {
        let filter = Filter { size_max: Some(10), ..Filter::default() };
        let big = Entry { size: Some(11), ..entry(b"big") };
        let policy = Policy { filter, ..policy() };

        let plan = plan(b"", Some(vec![big]), vec![entry(b"big")], &policy);

        assert!(plan.tasks.is_empty() && plan.extras.is_empty());
        assert_eq!(plan.left_out.len(), 1);
    }

    #[test]
    fn a_file_outside_the_bounds_that_only_the_target_has_stays_with_its_directory() {
        let filter = Filter { size_max: Some(10), ..Filter::default() };
        let there = || vec![Entry { size: Some(11), ..entry(b"big") }, entry(b"small")];
        let policy = Policy { filter, ..policy() };

        let kept = plan(b"", None, there(), &policy);
        let asked = Policy { delete_excluded: true, ..policy };
        let deleted = plan(b"", None, there(), &asked);

        assert_eq!(names(&kept.extras), [b"small"]);
        assert!(kept.holds_excluded);
        assert_eq!(names(&deleted.extras), [&b"big"[..], b"small"]);
    }

    proptest! {
        /// Every name comes once, with exactly the sides that have it, in order of its bytes.
        #[test]
        fn a_join_is_the_union_of_both_sides(
            source in prop::collection::vec(prop::collection::vec(1_u8.., 1..3), 0..20),
            target in prop::collection::vec(prop::collection::vec(1_u8.., 1..3), 0..20),
        ) {
            let list = |names: &Vec<Vec<u8>>| sorted(names.iter().map(|name| entry(name)).collect());
            let mut expected: BTreeMap<Vec<u8>, (bool, bool)> = BTreeMap::new();
            for name in source.iter().collect::<BTreeSet<_>>() {
                expected.entry(name.clone()).or_default().0 = true;
            }
            for name in target.iter().collect::<BTreeSet<_>>() {
                expected.entry(name.clone()).or_default().1 = true;
            }

            let pairs: Vec<_> = join(list(&source), list(&target)).collect();

            let found: Vec<_> = pairs
                .iter()
                .map(|pair| {
                    let name = pair.source.as_ref().or(pair.target.as_ref()).unwrap().name.to_vec();
                    (name, (pair.source.is_some(), pair.target.is_some()))
                })
                .collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }
    }
}
