//! From what was asked for to single files: which target each source has, and trees.
//!
//! Directories are read side by side, and each file begins when it is seen and there is a place for it.
//! A directory in a directory is either read by a task of its own or, if there are enough of those,
//! before the one in which it was found goes on: nothing is kept but what is open, however large the
//! tree is.

mod down;
mod names;
mod up;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::download::Download;
use super::flock::Flock;
use super::lanes::Reached;
use super::local::LocalDir;
use super::upload::Upload;
use super::{Context, Lane, blocking, path_bytes};
use crate::Error;
use crate::sftp::{FileKind, check_name, joined};
use down::{Down, RemoteDir};
use up::{SourceDir, Up};

/// Why a part that an earlier transfer left is not taken for a file of a tree.
const UNFINISHED: &str = "left by a transfer that was not completed";

/// What the sources are called in the target. Two of one name would write to one file.
#[derive(Default)]
struct Names<'s>(HashMap<&'s [u8], &'s [u8]>);

impl<'s> Names<'s> {
    /// Whether nothing of this name has begun; else that is told.
    fn may_begin(&mut self, context: &Context, doing: &'static str, source: &'s [u8]) -> bool {
        let Some(name) = last_component(source) else { return true };
        match self.0.get(name) {
            None => {
                self.0.insert(name, source);
                return true;
            }
            Some(before) if *before == source => context.skipped(source, "it was named before"),
            Some(_) => {
                let why = "it would replace another source, which has the same name";
                context.failed(source, Error::unsuitable(doing, source, why));
            }
        }
        false
    }
}

// ---- downloads ----

/// Downloads every source to `target`; see [`Transfer::get`](super::Transfer::get).
pub(super) async fn get(
    context: &Arc<Context>,
    sources: &[Vec<u8>],
    target: &Path,
) -> Result<(), Error> {
    let place = Arc::new(LocalTarget::find(target.to_owned(), sources.len()).await?);
    Flock::run(context, async |flock| {
        let down = Down { context: context.clone(), flock };
        let mut names = Names::default();
        for source in sources {
            if !names.may_begin(context, "get", source) {
                continue;
            }
            let permit = down.flock.dir().await;
            let (down, place, source) = (down.clone(), place.clone(), source.clone());
            down.flock.clone().start(async move {
                if let Err(error) = get_one(&down, &source, &place).await {
                    down.context.failed(&source, error);
                }
                drop(permit);
            });
        }
    })
    .await;
    Ok(())
}

/// Where downloads go.
enum LocalTarget {
    /// Into this directory, each under its own name.
    Into(Arc<LocalDir>),
    /// To this name in this directory.
    As(Arc<LocalDir>, Vec<u8>),
}

impl LocalTarget {
    async fn find(target: PathBuf, sources: usize) -> Result<Self, Error> {
        blocking(move || {
            // Links in a path that the user typed are the user's choice, the last one too.
            let target = std::fs::canonicalize(&target).unwrap_or(target);
            if target.is_dir() {
                return LocalDir::open(&target).map(Self::Into);
            }
            let typed = path_bytes(&target);
            if sources > 1 || typed.ends_with(b"/") {
                let error = std::io::Error::from(std::io::ErrorKind::NotADirectory);
                return Err(Error::local("write into", target, error));
            }
            let name = target.file_name().map(|n| n.as_encoded_bytes().to_vec());
            let name = name.ok_or_else(|| Error::Usage("the target names no file".into()))?;
            let parent =
                target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Ok(Self::As(LocalDir::open(parent)?, name))
        })
        .await?
    }
}

async fn get_one(down: &Down, source: &[u8], place: &LocalTarget) -> Result<(), Error> {
    if down.context.is_stopped() {
        return Err(Error::Cancelled);
    }
    let stat = |lane: Arc<Lane>| async move { lane.sftp.stat(source).await };
    let attrs = down.context.on_lane(source, &Reached::default(), stat).await?;
    let own_name = last_component(source).map(<[u8]>::to_vec);
    match FileKind::of(&attrs) {
        FileKind::Dir if !down.context.options.recursive => {
            Err(Error::unsuitable("get", source, Error::IS_DIRECTORY))
        }
        FileKind::Dir => {
            let (parent, name) = match place {
                LocalTarget::As(dir, name) => (dir.clone(), Some(name.clone())),
                // Without a name of its own ("." or "/") its content goes into the target itself.
                LocalTarget::Into(dir) => (dir.clone(), own_name),
            };
            let path = source.to_vec();
            down.clone().walk(RemoteDir { path, attrs, parent, name, depth: 0, above: None }).await
        }
        FileKind::File | FileKind::Unknown => {
            let (dir, name) = match place {
                LocalTarget::As(dir, name) => (dir.clone(), name.clone()),
                LocalTarget::Into(dir) => {
                    let name =
                        own_name.ok_or_else(|| Error::Usage("the source names no file".into()))?;
                    (dir.clone(), name)
                }
            };
            down.file(Download::new(source.to_vec(), attrs, dir, name), None).await;
            Ok(())
        }
        FileKind::Symlink | FileKind::Other => Err(not_regular("get", source)),
    }
}

// ---- uploads ----

/// Uploads every source to `target`; see [`Transfer::put`](super::Transfer::put).
pub(super) async fn put(
    context: &Arc<Context>,
    sources: &[PathBuf],
    target: &[u8],
) -> Result<(), Error> {
    let stat = |lane: Arc<Lane>| async move { lane.sftp.stat(target).await };
    let (into, why_not_into) = match context.on_lane(target, &Reached::default(), stat).await {
        Ok(attrs) => (FileKind::of(&attrs) == FileKind::Dir, "not a directory"),
        Err(error @ Error::Refused { .. }) => {
            tracing::debug!(%error, "the target");
            (target.is_empty(), "no such directory")
        }
        Err(error) => return Err(error),
    };
    if !into && (sources.len() > 1 || target.ends_with(b"/")) {
        return Err(Error::unsuitable("write into", target, why_not_into));
    }
    Flock::run(context, async |flock| {
        let up = Up { context: context.clone(), flock };
        let mut names = Names::default();
        for source in sources {
            if !names.may_begin(context, "put", path_bytes(source)) {
                continue;
            }
            let permit = up.flock.dir().await;
            let (up, source, target) = (up.clone(), source.clone(), target.to_vec());
            up.flock.clone().start(async move {
                if let Err(error) = put_one(&up, &source, &target, into).await {
                    up.context.failed(path_bytes(&source), error);
                }
                drop(permit);
            });
        }
    })
    .await;
    Ok(())
}

async fn put_one(up: &Up, source: &Path, target: &[u8], into: bool) -> Result<(), Error> {
    if up.context.is_stopped() {
        return Err(Error::Cancelled);
    }
    let path = source.to_owned();
    let looked = blocking(move || (std::fs::metadata(&path), std::path::absolute(&path))).await?;
    let metadata = looked.0.map_err(|e| Error::local("stat", source, e))?;
    let own_name = last_component(path_bytes(source));
    let target = match (into, own_name) {
        (true, Some(name)) => joined(target, name),
        // "." or "/": its content goes into the target itself.
        (true, None) if metadata.is_dir() => target.to_vec(),
        (true, None) => return Err(Error::Usage("the source names no file".into())),
        (false, _) => target.to_vec(),
    };
    if metadata.is_dir() {
        if !up.context.options.recursive {
            return Err(Error::unsuitable("put", path_bytes(source), Error::IS_DIRECTORY));
        }
        let path = source.to_owned();
        let parent = blocking(move || LocalDir::open(&path)).await??;
        let source = path_bytes(source).to_vec();
        let root = SourceDir { parent, name: None, source, target, depth: 0, above: None };
        return up.clone().walk(root).await;
    }
    let path = looked.1.unwrap_or_else(|_| source.to_owned());
    let name = path.file_name().map(|n| n.as_encoded_bytes().to_vec());
    let name = name.ok_or_else(|| Error::Usage("the source names no file".into()))?;
    let parent = path.parent().unwrap_or(Path::new("/")).to_owned();
    let dir = blocking(move || LocalDir::open(&parent)).await??;
    let source = path_bytes(source).to_vec();
    up.file(Upload::new(dir, name, source, true, target), None).await;
    Ok(())
}

/// The last component if it is a name: what a transfer into a directory is called there.
fn last_component(path: &[u8]) -> Option<&[u8]> {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1);
    let trimmed = &path[..end];
    let name = trimmed.rsplit(|b| *b == b'/').next().unwrap_or(trimmed);
    check_name(name).is_ok().then_some(name)
}

fn not_regular(doing: &'static str, path: &[u8]) -> Error {
    Error::unsuitable(doing, path, "is not a regular file")
}

/// A tree without end: by a link or mount that leads back up, or by a hostile server.
fn too_deep(path: &[u8]) -> Error {
    Error::unsuitable("transfer", path, "directories are nested too deep")
}
