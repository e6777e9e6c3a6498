//! Two trees or files compared by the digests of their content. Nothing is changed.
//!
//! Times, modes and owners do not count: what is promised is that the bytes are there.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::apply::{Dirs, digests_agree};
use super::entry::{Entry, Kind};
use super::plan::{Pair, join};
use super::shared::Shared;
use super::side::{Dir, Listing};
use super::{SyncOptions, Tree, TreeSync};
use crate::limits::{SYNC_DIGESTS_MAX, TREE_DEPTH_MAX};
use crate::sftp::joined;
use crate::transfer::{FileReport, Links, Summary, Verified};
use crate::{Error, display_name};

/// How a comparison ended.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// `files`: equal ones; `failed`: all others.
    pub summary: Summary,
    /// What the source has and the target has not.
    pub missing: u64,
    /// What only the target has.
    pub extra: u64,
    /// Files and links of other content or kind.
    pub differing: u64,
    /// Bytes of content that came here only to be compared, because a server computes no digests.
    pub read_back: u64,
}

impl TreeSync {
    /// Compares instead: everything in the source must be in the target with equal content; unless
    /// `one_way`, the target must also have nothing else. Both may be single files. Of the options the
    /// filter counts.
    ///
    /// # Errors
    /// If it cannot begin. What differs, is missing or cannot be read is in the report.
    pub async fn verify(mut self, one_way: bool) -> Result<VerifyReport, Error> {
        self.options = SyncOptions { filter: self.options.filter, ..SyncOptions::default() };
        let kinds = (kind_of(&self.source).await?, kind_of(&self.target).await?);
        let single = match kinds {
            (Kind::Dir, Kind::Dir) => None,
            (Kind::File, Kind::File) => {
                let names = (split(&mut self.source)?, split(&mut self.target)?);
                Some(names)
            }
            _ => {
                let why = "one is a directory and the other is not";
                return Err(Error::Usage(why.into()));
            }
        };
        let shared = Arc::new(self.shared().await?);
        let mut walk =
            Walk { shared, one_way, report: VerifyReport::default(), digests: JoinSet::new() };
        match single {
            None => walk.trees().await,
            Some((source, target)) => walk.files(&source, &target).await?,
        }
        Ok(walk.finish().await)
    }
}

struct Walk {
    shared: Arc<Shared>,
    one_way: bool,
    report: VerifyReport,
    /// Comparisons under way.
    digests: JoinSet<Verdict>,
}

/// What came of one pair of files.
enum Verdict {
    Equal(FileReport),
    Differs { path: Vec<u8>, why: String },
    Failed { path: Vec<u8>, error: Error },
}

impl Walk {
    async fn trees(&mut self) {
        let mut waiting: Vec<(Arc<[u8]>, usize)> = vec![(b"".as_slice().into(), 0)];
        while let Some((rel, depth)) = waiting.pop() {
            if self.shared.mover.is_stopped() {
                let root = self.shared.source.shown(b"");
                return self.failed(&root, Error::Cancelled);
            }
            let shared = self.shared.clone();
            let links = shared.policy.links;
            let both = tokio::join!(
                list(&shared.source, &rel, links),
                list(&shared.target, &rel, Links::Keep)
            );
            let ((source_dir, source), (target_dir, target)) = match both {
                (Ok(source), Ok(target)) => (source, target),
                (Err(error), _) => {
                    self.failed(&shared.source.shown(&rel), error);
                    continue;
                }
                (_, Err(error)) => {
                    self.failed(&shared.target.shown(&rel), error);
                    continue;
                }
            };
            for (side, listing) in [(&shared.source, &source), (&shared.target, &target)] {
                for (name, error) in &listing.failed {
                    self.failed(&side.shown(&joined(&rel, name)), error.clone());
                }
            }
            let dirs = Arc::new(Dirs { source: source_dir, target: Some(target_dir) });
            let wanted = |entry: &Entry| {
                !shared.policy.filter.excludes(&joined(&rel, &entry.name), entry.kind == Kind::Dir)
            };
            for pair in join(source.entries, target.entries) {
                // What it is in the source decides, as in a sync.
                if !pair.source.as_ref().or(pair.target.as_ref()).is_some_and(wanted) {
                    continue;
                }
                match pair {
                    Pair { source: Some(source), target: Some(target) } => {
                        let path: Arc<[u8]> = joined(&rel, &source.name).into();
                        if (source.kind, target.kind) == (Kind::Dir, Kind::Dir) {
                            match depth + 1 < TREE_DEPTH_MAX {
                                true => waiting.push((path, depth + 1)),
                                false => {
                                    let shown = shared.source.shown(&path);
                                    let why = "directories are nested too deep";
                                    self.failed(&shown, Error::unsuitable("verify", &shown, why));
                                }
                            }
                            continue;
                        }
                        self.pair(&dirs, source, target, &path).await;
                    }
                    Pair { source: Some(source), target: None } => {
                        self.report.missing += 1;
                        let path = shared.target.shown(&joined(&rel, &source.name));
                        self.failed(&path, Error::unsuitable("verify", &path, "is missing"));
                    }
                    Pair { source: None, target: Some(target) } if !self.one_way => {
                        self.report.extra += 1;
                        let path = shared.target.shown(&joined(&rel, &target.name));
                        let why = "is not in the source";
                        self.failed(&path, Error::unsuitable("verify", &path, why));
                    }
                    Pair { .. } => {}
                }
            }
        }
    }

    /// Two files, wherever they are and whatever they are called.
    async fn files(&mut self, source: &[u8], target: &[u8]) -> Result<(), Error> {
        let shared = self.shared.clone();
        let source_dir = shared.source.open(b"", Links::Follow).await?;
        let target_dir = shared.target.open(b"", Links::Follow).await?;
        let source = shared.source.look_through(&source_dir, source).await?;
        let target = shared.target.look_through(&target_dir, target).await?;
        let path = source.name.to_vec();
        let dirs = Arc::new(Dirs { source: source_dir, target: Some(target_dir) });
        self.pair(&dirs, source, target, &path).await;
        Ok(())
    }

    async fn pair(&mut self, dirs: &Arc<Dirs>, source: Entry, target: Entry, rel: &[u8]) {
        let (shared, dirs) = (self.shared.clone(), dirs.clone());
        let path = shared.source.shown(rel);
        while self.digests.len() >= SYNC_DIGESTS_MAX {
            let verdict = self.digests.join_next().await;
            self.take(verdict.and_then(Result::ok));
        }
        self.digests.spawn(async move {
            match compare(&shared, &dirs, &source, &target, &path).await {
                Ok(verdict) => verdict,
                Err(error) => Verdict::Failed { path, error },
            }
        });
    }

    fn take(&mut self, verdict: Option<Verdict>) {
        match verdict {
            Some(Verdict::Equal(report)) => self.shared.mover.done(&report),
            Some(Verdict::Differs { path, why }) => {
                self.report.differing += 1;
                let error = Error::VerificationFailed { path: path.clone(), why };
                self.failed(&path, error);
            }
            Some(Verdict::Failed { path, error }) => self.failed(&path, error),
            None => {}
        }
    }

    fn failed(&self, path: &[u8], error: Error) {
        self.shared.mover.failed(path, error);
    }

    async fn finish(mut self) -> VerifyReport {
        while let Some(verdict) = self.digests.join_next().await {
            self.take(verdict.ok());
        }
        self.report.read_back = self.shared.bytes_read_back();
        VerifyReport { summary: self.shared.mover.finish(), ..self.report }
    }
}

async fn compare(
    shared: &Shared,
    dirs: &Dirs,
    source: &Entry,
    target: &Entry,
    path: &[u8],
) -> Result<Verdict, Error> {
    let differs = |why: String| Ok(Verdict::Differs { path: path.to_vec(), why });
    if source.kind != target.kind {
        return differs(format!("{} here, {} there", word(source.kind), word(target.kind)));
    }
    let equal = |bytes, verified| {
        let report = FileReport {
            path: path.to_vec(),
            bytes,
            bytes_sent: 0,
            resumed_from: 0,
            verified,
            notes: Vec::new(),
        };
        Ok(Verdict::Equal(report))
    };
    match source.kind {
        Kind::File => {
            if let (Some(ours), Some(theirs)) = (source.size, target.size)
                && ours != theirs
            {
                return differs(format!("{ours} bytes here, {theirs} there"));
            }
            let names = (&source.name, &target.name);
            match digests_agree(shared, dirs, (names.0, names.1), source).await? {
                Some(algorithm) => {
                    equal(source.size.unwrap_or(0), Verified::Digest(algorithm.name()))
                }
                None => differs(format!("{} differs", shared.algorithm.name())),
            }
        }
        Kind::Link => {
            let Some(target_dir) = &dirs.target else { return differs("is missing".into()) };
            let (ours, theirs) = tokio::join!(
                shared.source.read_link(&dirs.source, &source.name),
                shared.target.read_link(target_dir, &target.name)
            );
            let (ours, theirs) = (ours?, theirs?);
            if ours == theirs {
                return equal(0, Verified::None);
            }
            differs(format!(
                "the link says \"{}\" here, \"{}\" there",
                display_name(&ours),
                display_name(&theirs)
            ))
        }
        Kind::Dir | Kind::Other => Err(Error::unsuitable("verify", path, "is not a regular file")),
    }
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::File => "a file",
        Kind::Dir => "a directory",
        Kind::Link => "a link",
        Kind::Other => "a special file",
    }
}

async fn list(side: &super::side::Side, rel: &[u8], links: Links) -> Result<(Dir, Listing), Error> {
    let dir = side.open(rel, links).await?;
    let listing = side.list(&dir, links).await?;
    Ok((dir, listing))
}

/// What the root of a tree is, links followed.
async fn kind_of(tree: &Tree) -> Result<Kind, Error> {
    match tree {
        Tree::Local(path) => {
            let path = path.clone();
            let looked = crate::transfer::blocking(move || {
                std::fs::metadata(&path).map_err(|e| Error::local("verify", &path, e))
            });
            let metadata = looked.await??;
            Ok(match metadata.is_dir() {
                true => Kind::Dir,
                false if metadata.is_file() => Kind::File,
                false => Kind::Other,
            })
        }
        Tree::Remote { sftp, path, .. } => {
            let attrs = sftp.stat(path).await?;
            let kind = crate::FileKind::of(&attrs);
            Ok(Entry::remote(b".", kind, &attrs, true).kind)
        }
    }
}

/// Makes a tree of the directory around a file; returns the file's name in it.
fn split(tree: &mut Tree) -> Result<Vec<u8>, Error> {
    let no_name = || Error::Usage("the path names no file".into());
    match tree {
        Tree::Local(path) => {
            let name = path.file_name().ok_or_else(no_name)?.as_encoded_bytes().to_vec();
            let above = path.parent().filter(|above| !above.as_os_str().is_empty());
            *path = above.unwrap_or(".".as_ref()).to_owned();
            Ok(name)
        }
        Tree::Remote { path, .. } => {
            let at = path.iter().rposition(|b| *b == b'/').map_or(0, |slash| slash + 1);
            let name = path.split_off(at);
            if path.len() > 1 {
                path.truncate(path.len() - 1);
            }
            if name.is_empty() { Err(no_name()) } else { Ok(name) }
        }
    }
}
