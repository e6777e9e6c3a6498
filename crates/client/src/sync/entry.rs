//! What both sides say about one name: the common form of local and remote attributes.

use rustix::fs::{FileType, Stat};
use sterna_sftp_proto::Times;
use sterna_sftp_proto::attrs::clamp_seconds;

use crate::sftp::{Attrs, FileKind};

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File,
    Dir,
    Link,
    /// A device, pipe or socket: never transferred.
    Other,
}

/// A point in time, as exact as a side says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Moment {
    pub(crate) seconds: i64,
    /// `None`: only seconds are known, and only those from 1970 to 2106.
    pub(crate) nanos: Option<u32>,
}

/// A name of a directory and its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) name: Box<[u8]>,
    pub(crate) kind: Kind,
    /// The name is a link and everything else is about what it leads to.
    pub(crate) followed: bool,
    /// Bytes; `None` if a server does not say.
    pub(crate) size: Option<u64>,
    /// Permission bits, without those of the kind.
    pub(crate) mode: Option<u32>,
    pub(crate) accessed: Option<Moment>,
    pub(crate) modified: Option<Moment>,
    /// User and group by number; of the source: their numbers at the target.
    pub(crate) owner: Option<(u32, u32)>,
    /// Equal for two names of one file; only as good as within one listing side.
    pub(crate) id: Option<(u64, u64)>,
    /// Names of the file, this one included; 1 if it is not known.
    pub(crate) names: u64,
}

impl Moment {
    /// Whether both mean the same time, as far as the less exact one says.
    pub(crate) fn agrees(self, other: Self) -> bool {
        match (self.nanos, other.nanos) {
            (Some(a), Some(b)) => (self.seconds, a) == (other.seconds, b),
            _ => self.clamped() == other.clamped(),
        }
    }

    /// Whether this is later by a second or more, or by what both sides know.
    pub(crate) fn is_after(self, other: Self) -> bool {
        match (self.nanos, other.nanos) {
            (Some(a), Some(b)) => (self.seconds, a) > (other.seconds, b),
            _ => self.clamped() > other.clamped(),
        }
    }

    /// Seconds as version 3 can say them.
    pub(crate) fn clamped(self) -> u32 {
        clamp_seconds(self.seconds)
    }
}

impl Entry {
    /// From a local look; `name` is looked at itself unless `followed`.
    pub(crate) fn local(name: &[u8], stat: &Stat, followed: bool) -> Self {
        let moment = |seconds, nanos: i64| Moment { seconds, nanos: u32::try_from(nanos).ok() };
        Self {
            name: name.into(),
            kind: match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => Kind::File,
                FileType::Directory => Kind::Dir,
                FileType::Symlink => Kind::Link,
                _ => Kind::Other,
            },
            followed,
            size: u64::try_from(stat.st_size).ok(),
            mode: Some(stat.st_mode & 0o7777),
            accessed: Some(moment(stat.st_atime, stat.st_atime_nsec as i64)),
            modified: Some(moment(stat.st_mtime, stat.st_mtime_nsec as i64)),
            owner: Some((stat.st_uid, stat.st_gid)),
            id: Some((stat.st_dev, stat.st_ino)),
            names: stat.st_nlink,
        }
    }

    /// From what a server says. `kind` is settled by the caller, who may know more.
    pub(crate) fn remote(name: &[u8], kind: FileKind, attrs: &Attrs, followed: bool) -> Self {
        let moment = |seconds: u32, nanos| Moment { seconds: seconds.into(), nanos };
        Self {
            name: name.into(),
            kind: match kind {
                FileKind::File | FileKind::Unknown => Kind::File,
                FileKind::Dir => Kind::Dir,
                FileKind::Symlink => Kind::Link,
                FileKind::Other => Kind::Other,
            },
            followed,
            size: attrs.size,
            mode: attrs.permissions.map(|mode| mode & 0o7777),
            accessed: attrs.times.map(|t| moment(t.accessed, attrs.accessed_nanos())),
            modified: attrs.times.map(|t| moment(t.modified, attrs.modified_nanos())),
            owner: attrs.owner.map(|owner| (owner.uid, owner.gid)),
            id: attrs.file_id().map(|id| (0, id)),
            names: attrs.links().unwrap_or(1).into(),
        }
    }

    /// What a server said about it, as far as the engine needs it.
    pub(crate) fn attrs(&self) -> Attrs {
        let kind = match self.kind {
            Kind::File => sterna_sftp_proto::attrs::kind::REGULAR,
            Kind::Dir => sterna_sftp_proto::attrs::kind::DIRECTORY,
            Kind::Link | Kind::Other => 0,
        };
        let attrs = Attrs {
            size: self.size,
            permissions: self.mode.map(|mode| mode | kind),
            ..Attrs::default()
        };
        self.with_times_of(attrs)
    }

    /// The same attributes with the times of this entry.
    pub(crate) fn with_times_of(&self, attrs: Attrs) -> Attrs {
        match self.modified {
            Some(modified) => with_times(attrs, self.accessed.unwrap_or(modified), modified),
            None => attrs,
        }
    }
}

/// The same attributes with these times, as exact as both are.
pub(crate) fn with_times(attrs: Attrs, accessed: Moment, modified: Moment) -> Attrs {
    let times = Times { accessed: accessed.clamped(), modified: modified.clamped() };
    let attrs = Attrs { times: Some(times), ..attrs };
    match (accessed.nanos, modified.nanos) {
        (accessed, Some(modified)) => attrs.with_nanos(accessed.unwrap_or(0), modified),
        (_, None) => attrs,
    }
}

#[cfg(test)]
impl Entry {
    /// An empty file of which nothing else is known.
    pub(crate) fn of_file(name: &[u8]) -> Self {
        Self {
            name: name.into(),
            kind: Kind::File,
            followed: false,
            size: Some(0),
            mode: None,
            accessed: None,
            modified: None,
            owner: None,
            id: None,
            names: 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_agree_as_far_as_the_less_exact_side_says() {
        let exact = |seconds, nanos| Moment { seconds, nanos: Some(nanos) };
        let coarse = |seconds| Moment { seconds, nanos: None };

        assert!(exact(7, 5).agrees(coarse(7)));
        assert!(!exact(7, 5).agrees(coarse(8)));
        assert!(!exact(7, 5).agrees(exact(7, 6)));
        assert!(exact(7, 6).is_after(exact(7, 5)));
        assert!(!exact(7, 6).is_after(coarse(7)));
        // Before 1970 nothing can be said in version 3; it must not differ for ever.
        assert!(exact(-1, 0).agrees(coarse(0)));
    }
}
