//! What a transfer tells while it runs: the events behind the progress bar and `--json`.

use std::collections::BTreeMap;

use crate::Error;
use crate::limits::SUMMARY_ERRORS_MAX;

/// Hears every [`Event`]. Called from the transfer's task: be quick, never block.
pub trait Progress: Send + Sync {
    fn event(&self, event: &Event<'_>);
}

/// Listens to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Quiet;

impl Progress for Quiet {
    fn event(&self, _: &Event<'_>) {}
}

/// One thing that happened. `path` is always the *source* path, as bytes.
#[derive(Debug)]
pub enum Event<'e> {
    /// A file begins. `bytes`: its size, if it is known.
    Start { path: &'e [u8], bytes: Option<u64> },
    /// `done` bytes of the file are in place (the resumed part included).
    Progress { path: &'e [u8], done: u64, total: Option<u64> },
    /// Before it goes on, `done` of `total` bytes of a file are compared with what an earlier attempt left, or
    /// with what the file will replace.
    Comparing { path: &'e [u8], done: u64, total: u64 },
    /// Some of the file travels once more, and why: what an earlier attempt left cannot be used, or what
    /// arrived differs.
    Retry { path: &'e [u8], why: &'e str },
    /// A file is complete.
    Done(&'e FileReport),
    /// A file, directory or link is not there, and why.
    Error { path: &'e [u8], error: &'e Error },
    /// Left out on purpose (a link, a socket, `--links=skip`), and why.
    Skipped { path: &'e [u8], why: &'e str },
    /// A sync did this beside moving content, or would do it (`planned`). `path`: of the source; what is
    /// removed has only one at the target.
    Change { path: &'e [u8], action: Action, why: &'static str, planned: bool },
    /// The end of everything.
    Summary(&'e Summary),
}

/// What a sync does to the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// A file that was not there.
    Create,
    /// Other content in a file that was there.
    Update,
    MakeDir,
    Symlink,
    Hardlink,
    /// Mode, times or owner.
    Attributes,
    /// A file, link or empty directory goes.
    Delete,
}

impl Action {
    /// One word, for `--json` and people alike.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::MakeDir => "mkdir",
            Self::Symlink => "symlink",
            Self::Hardlink => "hardlink",
            Self::Attributes => "attributes",
            Self::Delete => "delete",
        }
    }
}

/// How one file ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileReport {
    /// Source path.
    pub path: Vec<u8>,
    /// Size of the file.
    pub bytes: u64,
    /// Bytes of content that travelled.
    pub bytes_sent: u64,
    /// First byte that travelled where an earlier attempt had left something, the size if nothing had
    /// to; 0 if it left nothing.
    pub resumed_from: u64,
    pub verified: Verified,
    /// What could not be done as it should be, each once.
    pub notes: Vec<Note>,
}

impl FileReport {
    /// A file that travelled whole.
    pub(crate) fn whole(path: &[u8], size: u64, verified: Verified, notes: Vec<Note>) -> Self {
        Self {
            path: path.to_vec(),
            bytes: size,
            bytes_sent: size,
            resumed_from: 0,
            verified,
            notes,
        }
    }

    /// Adds something that could not be done as it should be.
    pub(crate) fn note(&mut self, note: Note) {
        if !self.notes.contains(&note) {
            self.notes.push(note);
        }
    }
}

/// Something that a complete file lacks, or that was done in a lesser way, because the other side or the
/// file system could not do better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    /// The target was removed before the new one was renamed into place: it was missing for a moment.
    ReplacedInTwoSteps,
    /// The content may not be on stable storage yet.
    NotSynced,
    /// The mode is another one than that of the file that was replaced, or than was asked for.
    ModeNotKept,
    /// The file that was replaced had another owner or group.
    OwnerNotKept,
    /// The times were refused; or the server said that it had set them, and has others: of that only the
    /// first file of a transfer is looked at.
    TimesNotKept,
}

impl Note {
    /// In the words of a person, for one file or many.
    pub fn text(self) -> &'static str {
        match self {
            Self::ReplacedInTwoSteps => {
                "the old file was removed before the new one took its name: the server cannot replace \
                 in one step"
            }
            Self::NotSynced => "not known to be on stable storage: the server has no fsync",
            Self::ModeNotKept => "the mode was not kept",
            Self::OwnerNotKept => "the owner or group of the replaced file was not kept",
            Self::TimesNotKept => "the times were not kept",
        }
    }

    /// One word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReplacedInTwoSteps => "replaced_in_two_steps",
            Self::NotSynced => "not_synced",
            Self::ModeNotKept => "mode_not_kept",
            Self::OwnerNotKept => "owner_not_kept",
            Self::TimesNotKept => "times_not_kept",
        }
    }
}

/// How it is known that the content arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verified {
    /// Digests of both sides are equal, by this algorithm (`"blake3"`, `"sha256"`, …).
    Digest(&'static str),
    /// The remote file was read once more and every byte compared.
    ReadBack,
    /// Only the sizes were compared.
    Size,
    /// Nothing was compared.
    None,
}

impl Verified {
    /// The word of the JSON contract.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Digest(name) => name,
            Self::ReadBack => "read_back",
            Self::Size => "size",
            Self::None => "none",
        }
    }
}

/// How everything ended.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Files that are complete.
    pub files: u64,
    /// Files, directories and links that failed.
    pub failed: u64,
    pub skipped: u64,
    /// Sum of the sizes of the complete files.
    pub bytes: u64,
    /// Bytes of content that travelled.
    pub bytes_sent: u64,
    pub seconds: f64,
    /// Complete files by how they were verified; those that were read back count as if by digest.
    pub verified_by_digest: u64,
    pub verified_by_size: u64,
    pub unverified: u64,
    /// Of how many files something is to be said.
    pub notes: BTreeMap<Note, u64>,
    /// What failed, at most `limits::SUMMARY_ERRORS_MAX` entries; `failed` counts all.
    pub errors: Vec<(Vec<u8>, Error)>,
    /// The most telling exit status of all that failed, also of what `errors` has no room for; 0: nothing.
    pub worst: u8,
    /// Something ended because the user asked to stop.
    pub cancelled: bool,
}

impl Summary {
    /// 0 if everything asked for was done, else the most telling status: 4 or 5 if a lost connection could
    /// not be made again for the host key or the login, 7 interrupted, 6 content differs, 1 anything else.
    pub fn exit_code(&self) -> u8 {
        match self.failed {
            0 => 0,
            _ => self.worst.max(1),
        }
    }

    /// Counts a file that is complete.
    pub fn count(&mut self, report: &FileReport) {
        self.files += 1;
        self.bytes += report.bytes;
        self.bytes_sent += report.bytes_sent;
        match report.verified {
            Verified::Digest(_) | Verified::ReadBack => self.verified_by_digest += 1,
            Verified::Size => self.verified_by_size += 1,
            Verified::None => self.unverified += 1,
        }
        for note in &report.notes {
            *self.notes.entry(*note).or_default() += 1;
        }
    }

    /// Counts a file, directory or link that failed.
    pub fn count_failed(&mut self, path: &[u8], error: Error) {
        self.failed += 1;
        self.worst = more_telling(self.worst, error.exit_code());
        self.cancelled |= matches!(error, Error::Cancelled);
        if self.errors.len() < SUMMARY_ERRORS_MAX {
            self.errors.push((path.to_vec(), error));
        }
    }

    /// Adds another transfer's result to this one.
    pub fn merge(&mut self, other: Summary) {
        self.files += other.files;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.bytes += other.bytes;
        self.bytes_sent += other.bytes_sent;
        self.seconds += other.seconds;
        self.verified_by_digest += other.verified_by_digest;
        self.verified_by_size += other.verified_by_size;
        self.unverified += other.unverified;
        for (note, files) in other.notes {
            *self.notes.entry(note).or_default() += files;
        }
        self.worst = more_telling(self.worst, other.worst);
        self.cancelled |= other.cancelled;
        let room = SUMMARY_ERRORS_MAX.saturating_sub(self.errors.len());
        self.errors.extend(other.errors.into_iter().take(room));
    }
}

/// Of two exit statuses the one that says more; 0 says nothing.
fn more_telling(one: u8, other: u8) -> u8 {
    [4, 5, 7, 6]
        .into_iter()
        .find(|code| [one, other].contains(code))
        .unwrap_or(one.max(other).min(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_of_all_that_failed_however_much_did() {
        let mut summary = Summary::default();
        for _ in 0..=SUMMARY_ERRORS_MAX {
            summary.count_failed(b"f", Error::unsuitable("get", b"f", "is no file"));
        }
        assert_eq!((summary.exit_code(), summary.cancelled), (1, false));

        summary.count_failed(b"f", Error::Cancelled);
        let mut all = Summary::default();
        all.merge(summary);

        assert_eq!(
            (all.exit_code(), all.cancelled, all.errors.len()),
            (7, true, SUMMARY_ERRORS_MAX)
        );
    }
}
