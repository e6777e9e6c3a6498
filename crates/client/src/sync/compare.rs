//! Two entries of one name: what has to be done, and why. Pure: nothing is asked or changed here.

use super::entry::{Entry, Kind};

/// How it is known that a file need not travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Basis {
    /// Size and modification time are equal.
    #[default]
    SizeAndTime,
    /// Size and digest are equal.
    Checksum,
    /// Sizes are equal.
    Size,
}

/// What of an entry counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Rules {
    pub(crate) basis: Basis,
    /// A file that is newer at the target stays.
    pub(crate) update: bool,
    pub(crate) user: bool,
    pub(crate) group: bool,
    /// The target cannot hold modes: they are not compared.
    pub(crate) no_modes: bool,
}

/// What has to be done with one name of the source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Same,
    /// Content is right, mode, times or owner are not.
    Attributes,
    /// Content has to travel.
    Content(Why),
    /// Only digests can tell.
    Digests,
    /// Both are links, or the target's does not exist: their texts tell.
    LinkText,
    /// A directory, there or to be made.
    Enter,
    /// The target has a directory where the source has none.
    DirInTheWay,
    /// `update`: the target's is newer.
    Newer,
    /// Never transferred.
    Special,
}

/// Why content travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    New,
    Size,
    Time,
    Content,
    Kind,
}

impl Why {
    /// As `--dry-run` says it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Size => "size differs",
            Self::Time => "time differs",
            Self::Content => "content differs",
            Self::Kind => "was something else",
        }
    }
}

/// Judges one name of the source by what the target has there.
pub(crate) fn compare(source: &Entry, target: Option<&Entry>, rules: &Rules) -> Verdict {
    match (source.kind, target.map(|target| target.kind)) {
        (Kind::Other, _) => Verdict::Special,
        (Kind::Dir, _) => Verdict::Enter,
        (_, Some(Kind::Dir)) => Verdict::DirInTheWay,
        (Kind::Link, _) => Verdict::LinkText,
        (Kind::File, None) => Verdict::Content(Why::New),
        (Kind::File, Some(Kind::File)) => match target {
            Some(target) => compare_files(source, target, rules),
            None => Verdict::Content(Why::New),
        },
        (Kind::File, Some(_)) => Verdict::Content(Why::Kind),
    }
}

fn compare_files(source: &Entry, target: &Entry, rules: &Rules) -> Verdict {
    let times = source.modified.zip(target.modified);
    if rules.update && times.is_some_and(|(source, target)| target.is_after(source)) {
        return Verdict::Newer;
    }
    if source.size.is_none() || source.size != target.size {
        return Verdict::Content(Why::Size);
    }
    match rules.basis {
        Basis::Checksum => Verdict::Digests,
        Basis::SizeAndTime if !times.is_some_and(|(source, target)| source.agrees(target)) => {
            Verdict::Content(Why::Time)
        }
        Basis::SizeAndTime | Basis::Size if differing_attrs(source, target, rules) => {
            Verdict::Attributes
        }
        Basis::SizeAndTime | Basis::Size => Verdict::Same,
    }
}

/// Whether mode, times or owner of the target are not those of the source. What a side does not say
/// does not differ.
pub(crate) fn differing_attrs(source: &Entry, target: &Entry, rules: &Rules) -> bool {
    let modes = source.mode.zip(target.mode).filter(|_| !rules.no_modes);
    let times = source.modified.zip(target.modified);
    let owners = source.owner.zip(target.owner);
    modes.is_some_and(|(a, b)| a & 0o777 != b & 0o777)
        || times.is_some_and(|(a, b)| !a.agrees(b))
        || owners.is_some_and(|(a, b)| (rules.user && a.0 != b.0) || (rules.group && a.1 != b.1))
}

#[cfg(test)]
mod tests {
    use super::super::entry::Moment;
    use super::*;

    fn file(size: u64, seconds: i64) -> Entry {
        Entry {
            name: b"f".as_slice().into(),
            kind: Kind::File,
            followed: false,
            size: Some(size),
            mode: Some(0o644),
            accessed: None,
            modified: Some(Moment { seconds, nanos: None }),
            owner: Some((1000, 1000)),
            id: None,
            names: 1,
        }
    }

    fn of_kind(kind: Kind) -> Entry {
        Entry { kind, ..file(0, 0) }
    }

    #[test]
    fn equal_size_and_time_is_the_same_file() {
        let rules = Rules::default();

        assert_eq!(compare(&file(3, 9), Some(&file(3, 9)), &rules), Verdict::Same);
        assert_eq!(compare(&file(3, 9), None, &rules), Verdict::Content(Why::New));
        assert_eq!(compare(&file(3, 9), Some(&file(4, 9)), &rules), Verdict::Content(Why::Size));
        assert_eq!(compare(&file(3, 9), Some(&file(3, 8)), &rules), Verdict::Content(Why::Time));
    }

    #[test]
    fn a_mode_that_differs_moves_no_content() {
        let changed = Entry { mode: Some(0o600), ..file(3, 9) };

        let with = |no_modes| {
            let rules = Rules { no_modes, ..Rules::default() };
            compare(&changed, Some(&file(3, 9)), &rules)
        };

        assert_eq!(with(false), Verdict::Attributes);
        assert_eq!(with(true), Verdict::Same);
    }

    #[test]
    fn an_owner_counts_only_on_request() {
        let other = Entry { owner: Some((0, 1000)), ..file(3, 9) };
        let with = |user, group| {
            compare(&other, Some(&file(3, 9)), &Rules { user, group, ..Rules::default() })
        };

        assert_eq!(with(false, false), Verdict::Same);
        assert_eq!(with(false, true), Verdict::Same);
        assert_eq!(with(true, false), Verdict::Attributes);
    }

    #[test]
    fn checksum_looks_at_content_only_where_sizes_agree() {
        let rules = Rules { basis: Basis::Checksum, ..Rules::default() };

        assert_eq!(compare(&file(3, 9), Some(&file(3, 1)), &rules), Verdict::Digests);
        assert_eq!(compare(&file(3, 9), Some(&file(4, 9)), &rules), Verdict::Content(Why::Size));
    }

    #[test]
    fn update_keeps_what_is_newer_at_the_target() {
        let rules = Rules { update: true, ..Rules::default() };

        assert_eq!(compare(&file(3, 9), Some(&file(4, 10)), &rules), Verdict::Newer);
        assert_eq!(compare(&file(3, 9), Some(&file(4, 9)), &rules), Verdict::Content(Why::Size));
        assert_eq!(compare(&file(3, 9), Some(&file(4, 8)), &rules), Verdict::Content(Why::Size));
    }

    #[test]
    fn a_size_that_is_not_said_is_never_called_equal() {
        let silent = Entry { size: None, ..file(0, 9) };

        let verdict = compare(&silent, Some(&silent), &Rules::default());

        assert_eq!(verdict, Verdict::Content(Why::Size));
    }

    #[test]
    fn what_is_of_another_kind_is_replaced_and_a_directory_only_on_request() {
        let rules = Rules::default();
        let verdict = |source, target| compare(&of_kind(source), Some(&of_kind(target)), &rules);

        assert_eq!(verdict(Kind::File, Kind::Link), Verdict::Content(Why::Kind));
        assert_eq!(verdict(Kind::File, Kind::Dir), Verdict::DirInTheWay);
        assert_eq!(verdict(Kind::Link, Kind::Dir), Verdict::DirInTheWay);
        assert_eq!(verdict(Kind::Link, Kind::File), Verdict::LinkText);
        assert_eq!(verdict(Kind::Dir, Kind::File), Verdict::Enter);
        assert_eq!(verdict(Kind::Other, Kind::File), Verdict::Special);
    }
}
