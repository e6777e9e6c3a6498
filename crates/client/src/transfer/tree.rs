//! From what was asked for to single files: targets, directories, links, and many files at once.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FileType;
use sterna_sftp_proto::Times;
use sterna_sftp_proto::attrs::clamp_seconds;
use tokio::task::JoinSet;

use super::download::{Download, umask};
use super::local::{self, LocalDir};
use super::upload::Upload;
use super::{Context, Links, blocking, path_bytes};
use crate::Error;
use crate::limits::TREE_DEPTH_MAX;
use crate::sftp::{Attrs, FileKind, check_name, joined};

/// Files in flight; adding one waits while there are too many.
struct Flock {
    tasks: JoinSet<()>,
    max: usize,
}

impl Flock {
    fn new(context: &Context) -> Self {
        Self { tasks: JoinSet::new(), max: context.options.files_in_flight.max(1) }
    }

    async fn add(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.len() >= self.max {
            self.tasks.join_next().await;
        }
        self.tasks.spawn(task);
    }

    async fn join(mut self) {
        while self.tasks.join_next().await.is_some() {}
    }

    async fn download(&mut self, context: &Arc<Context>, file: Download) {
        let context = context.clone();
        self.add(async move {
            if context.is_stopped() {
                return context.failed(&file.source, Error::Cancelled);
            }
            match file.run(&context, &context.lanes.pick()).await {
                Ok(report) => context.done(&report),
                Err(error) => context.failed(&file.source, error),
            }
        })
        .await;
    }

    async fn upload(&mut self, context: &Arc<Context>, file: Upload) {
        let context = context.clone();
        self.add(async move {
            if context.is_stopped() {
                return context.failed(&file.source, Error::Cancelled);
            }
            match file.run(&context, &context.lanes.pick()).await {
                Ok(report) => context.done(&report),
                Err(error) => context.failed(&file.source, error),
            }
        })
        .await;
    }
}

// ---- downloads ----

/// Downloads every source to `target`; see [`Transfer::get`](super::Transfer::get).
pub(super) async fn get(
    context: &Arc<Context>,
    sources: &[Vec<u8>],
    target: &Path,
) -> Result<(), Error> {
    let place = LocalTarget::find(target.to_owned(), sources.len()).await?;
    let mut flock = Flock::new(context);
    for source in sources {
        let result = get_one(context, &mut flock, source, &place).await;
        if let Err(error) = result {
            context.failed(source, error);
        }
    }
    flock.join().await;
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

async fn get_one(
    context: &Arc<Context>,
    flock: &mut Flock,
    source: &[u8],
    place: &LocalTarget,
) -> Result<(), Error> {
    let attrs = context.lanes.pick().sftp.stat(source).await?;
    let own_name = last_component(source);
    match (FileKind::of(&attrs), place) {
        (FileKind::Dir, _) if !context.options.recursive => Err(is_directory(source)),
        (FileKind::Dir, LocalTarget::As(dir, name)) => {
            let (dir, name) = (dir.clone(), name.clone());
            let root = blocking(move || dir.make_dir(&name)).await??;
            get_tree(context, flock, source, attrs, root).await
        }
        (FileKind::Dir, LocalTarget::Into(dir)) => {
            let dir = dir.clone();
            let root = match own_name.map(<[u8]>::to_vec) {
                Some(name) => blocking(move || dir.make_dir(&name)).await??,
                // "." or "/": its content goes into the target itself.
                None => dir,
            };
            get_tree(context, flock, source, attrs, root).await
        }
        (FileKind::File | FileKind::Unknown, place) => {
            let (dir, name) = match place {
                LocalTarget::As(dir, name) => (dir.clone(), name.clone()),
                LocalTarget::Into(dir) => {
                    let name =
                        own_name.ok_or_else(|| Error::Usage("the source names no file".into()))?;
                    (dir.clone(), name.to_vec())
                }
            };
            flock.download(context, Download { source: source.to_vec(), attrs, dir, name }).await;
            Ok(())
        }
        (FileKind::Symlink | FileKind::Other, _) => Err(not_regular("get", source)),
    }
}

/// A directory of the server that is still to be read: where it is and where it goes.
struct RemoteDir {
    path: Vec<u8>,
    attrs: Attrs,
    parent: Arc<LocalDir>,
    /// `None`: `parent` itself.
    name: Option<Vec<u8>>,
    /// Names below the root, for setting times afterwards.
    below: Vec<Vec<u8>>,
}

async fn get_tree(
    context: &Arc<Context>,
    flock: &mut Flock,
    source: &[u8],
    attrs: Attrs,
    root: Arc<LocalDir>,
) -> Result<(), Error> {
    let first = RemoteDir {
        path: source.to_vec(),
        attrs,
        parent: root.clone(),
        name: None,
        below: Vec::new(),
    };
    let mut waiting = vec![first];
    let mut made = Vec::new();
    while let Some(dir) = waiting.pop() {
        if context.is_stopped() {
            return Err(Error::Cancelled);
        }
        let path = dir.path.clone();
        let entry = (dir.below.clone(), dir.attrs);
        match get_dir(context, flock, dir, &mut waiting).await {
            Ok(()) => made.push(entry),
            Err(error) if path == source => return Err(error),
            Err(error) => context.failed(&path, error),
        }
    }
    if context.options.preserve {
        // Files must be there first: writing them changes the times of their directories.
        while flock.tasks.join_next().await.is_some() {}
        keep_dir_attrs(root, made).await?;
    }
    Ok(())
}

async fn get_dir(
    context: &Arc<Context>,
    flock: &mut Flock,
    dir: RemoteDir,
    waiting: &mut Vec<RemoteDir>,
) -> Result<(), Error> {
    let RemoteDir { path, parent, name, below, .. } = dir;
    let local = match name {
        Some(name) => blocking(move || parent.make_dir(&name)).await??,
        None => parent,
    };
    let mut listing = context.lanes.pick().sftp.open_dir(&path).await?;
    while let Some(batch) = listing.next_batch().await? {
        for entry in batch {
            if context.is_stopped() {
                return Err(Error::Cancelled);
            }
            let source = joined(&path, &entry.name);
            let (mut kind, mut attrs) = (entry.kind(), entry.attrs);
            if kind == FileKind::Unknown
                || (kind == FileKind::Symlink && context.options.links == Links::Follow)
            {
                let looked = if kind == FileKind::Unknown {
                    context.lanes.pick().sftp.lstat(&source).await
                } else {
                    context.lanes.pick().sftp.stat(&source).await
                };
                match looked {
                    Ok(found) => (kind, attrs) = (FileKind::of(&found), found),
                    Err(error) => {
                        context.failed(&source, error);
                        continue;
                    }
                }
            }
            match kind {
                FileKind::File | FileKind::Unknown => {
                    flock
                        .download(
                            context,
                            Download { source, attrs, dir: local.clone(), name: entry.name },
                        )
                        .await;
                }
                FileKind::Dir if below.len() + 1 >= TREE_DEPTH_MAX => {
                    context.failed(&source, too_deep(&source));
                }
                FileKind::Dir => {
                    let below = [&below[..], std::slice::from_ref(&entry.name)].concat();
                    waiting.push(RemoteDir {
                        path: source,
                        attrs,
                        parent: local.clone(),
                        name: Some(entry.name),
                        below,
                    });
                }
                FileKind::Symlink if context.options.links == Links::Keep => {
                    let made = async {
                        let target = context.lanes.pick().sftp.read_link(&source).await?;
                        let (local, name) = (local.clone(), entry.name.clone());
                        blocking(move || local.symlink(&target, &name)).await?
                    };
                    if let Err(error) = made.await {
                        context.failed(&source, error);
                    }
                }
                FileKind::Symlink => context.skipped(&source, "a symbolic link"),
                FileKind::Other => context.failed(&source, not_regular("get", &source)),
            }
        }
    }
    Ok(())
}

/// Gives directories their modes and times, the deepest first. Each is reached from the root without
/// following links: somebody may have changed the tree meanwhile.
async fn keep_dir_attrs(
    root: Arc<LocalDir>,
    made: Vec<(Vec<Vec<u8>>, Attrs)>,
) -> Result<(), Error> {
    blocking(move || {
        for (below, attrs) in made.iter().rev() {
            let mut dir = root.clone();
            for name in below {
                dir = dir.open_dir(name)?;
            }
            let mode = attrs.permissions.map(|mode| mode & 0o777);
            dir.set_attrs(mode, local::timestamps(attrs))?;
        }
        Ok(())
    })
    .await?
}

// ---- uploads ----

/// Uploads every source to `target`; see [`Transfer::put`](super::Transfer::put).
pub(super) async fn put(
    context: &Arc<Context>,
    sources: &[PathBuf],
    target: &[u8],
) -> Result<(), Error> {
    let (into, why_not_into) = match context.lanes.pick().sftp.stat(target).await {
        Ok(attrs) => (FileKind::of(&attrs) == FileKind::Dir, "not a directory"),
        Err(error) if error.ends_channel() => return Err(error),
        Err(_) => (target.is_empty(), "no such directory"),
    };
    if !into && (sources.len() > 1 || target.ends_with(b"/")) {
        return Err(Error::unsuitable("write into", target, why_not_into));
    }
    let mut flock = Flock::new(context);
    for source in sources {
        let result = put_one(context, &mut flock, source, target, into).await;
        if let Err(error) = result {
            context.failed(path_bytes(source), error);
        }
    }
    flock.join().await;
    Ok(())
}

async fn put_one(
    context: &Arc<Context>,
    flock: &mut Flock,
    source: &Path,
    target: &[u8],
    into: bool,
) -> Result<(), Error> {
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
        if !context.options.recursive {
            return Err(Error::unsuitable("put", path_bytes(source), Error::IS_DIRECTORY));
        }
        let path = source.to_owned();
        let root = blocking(move || LocalDir::open(&path)).await??;
        return put_tree(context, flock, path_bytes(source), root, target).await;
    }
    let path = looked.1.unwrap_or_else(|_| source.to_owned());
    let name = path.file_name().map(|n| n.as_encoded_bytes().to_vec());
    let name = name.ok_or_else(|| Error::Usage("the source names no file".into()))?;
    let parent = path.parent().unwrap_or(Path::new("/")).to_owned();
    let dir = blocking(move || LocalDir::open(&parent)).await??;
    let source = path_bytes(source).to_vec();
    flock.upload(context, Upload { dir, name, source, follow: true, target }).await;
    Ok(())
}

/// A local directory that is still to be read.
struct SourceDir {
    parent: Arc<LocalDir>,
    /// `None`: `parent` itself.
    name: Option<Vec<u8>>,
    source: Vec<u8>,
    target: Vec<u8>,
    depth: usize,
}

async fn put_tree(
    context: &Arc<Context>,
    flock: &mut Flock,
    source: &[u8],
    root: Arc<LocalDir>,
    target: Vec<u8>,
) -> Result<(), Error> {
    let mut waiting =
        vec![SourceDir { parent: root, name: None, source: source.to_vec(), target, depth: 0 }];
    let mut made = Vec::new();
    while let Some(dir) = waiting.pop() {
        if context.is_stopped() {
            return Err(Error::Cancelled);
        }
        let path = dir.source.clone();
        match put_dir(context, flock, dir, &mut waiting).await {
            Ok(entry) => made.push(entry),
            Err(error) if path == source => return Err(error),
            Err(error) => context.failed(&path, error),
        }
    }
    // A directory that its owner cannot write is made writable while it is filled; modes and times are
    // set when everything is in it, the deepest first.
    let late = |attrs: &Attrs| {
        context.options.preserve || attrs.permissions.is_some_and(|mode| mode & 0o700 != 0o700)
    };
    if made.iter().any(|(_, attrs)| late(attrs)) {
        while flock.tasks.join_next().await.is_some() {}
        for (path, attrs) in made.iter().rev().filter(|(_, attrs)| late(attrs)) {
            let attrs =
                if context.options.preserve { *attrs } else { Attrs { times: None, ..*attrs } };
            context.lanes.pick().sftp.set_attrs(path, &attrs).await?;
        }
    }
    Ok(())
}

async fn put_dir(
    context: &Arc<Context>,
    flock: &mut Flock,
    dir: SourceDir,
    waiting: &mut Vec<SourceDir>,
) -> Result<(Vec<u8>, Attrs), Error> {
    let SourceDir { parent, name, source, target, depth } = dir;
    let (local, stat, entries) = blocking(move || {
        let local = match name {
            Some(name) => parent.open_dir(&name)?,
            None => parent,
        };
        let (stat, entries) = (local.own_stat()?, local.entries()?);
        Ok::<_, Error>((local, stat, entries))
    })
    .await??;
    let mode = stat.st_mode & 0o777;
    context.lanes.pick().sftp.ensure_dir(&target, Some(mode | 0o700)).await?;
    for entry in entries {
        let (entry_source, entry_target) =
            (joined(&source, &entry.name), joined(&target, &entry.name));
        let mut kind = entry.kind;
        if kind == FileType::Symlink && context.options.links == Links::Follow {
            let path = local.path_of(&entry.name);
            match blocking(move || std::fs::metadata(path)).await? {
                Ok(metadata) if metadata.is_dir() => kind = FileType::Directory,
                Ok(_) => kind = FileType::RegularFile,
                Err(error) => {
                    context.failed(
                        &entry_source,
                        Error::local("follow", local.path_of(&entry.name), error),
                    );
                    continue;
                }
            }
        }
        match kind {
            FileType::RegularFile => {
                let follow = entry.kind == FileType::Symlink;
                let upload = Upload {
                    dir: local.clone(),
                    name: entry.name,
                    source: entry_source,
                    follow,
                    target: entry_target,
                };
                flock.upload(context, upload).await;
            }
            FileType::Directory if depth + 1 >= TREE_DEPTH_MAX => {
                context.failed(&entry_source, too_deep(&entry_source));
            }
            FileType::Directory => {
                let (parent, name) = if entry.kind == FileType::Symlink {
                    let path = local.path_of(&entry.name);
                    match blocking(move || LocalDir::open(&path)).await? {
                        Ok(dir) => (dir, None),
                        Err(error) => {
                            context.failed(&entry_source, error);
                            continue;
                        }
                    }
                } else {
                    (local.clone(), Some(entry.name))
                };
                waiting.push(SourceDir {
                    parent,
                    name,
                    source: entry_source,
                    target: entry_target,
                    depth: depth + 1,
                });
            }
            FileType::Symlink if context.options.links == Links::Keep => {
                if let Err(error) = put_link(context, &local, &entry.name, &entry_target).await {
                    context.failed(&entry_source, error);
                }
            }
            FileType::Symlink => context.skipped(&entry_source, "a symbolic link"),
            _ => context.failed(&entry_source, not_regular("put", &entry_source)),
        }
    }
    let times =
        Times { accessed: clamp_seconds(stat.st_atime), modified: clamp_seconds(stat.st_mtime) };
    let mode = if context.options.preserve { mode } else { mode & !umask() };
    Ok((target, Attrs { permissions: Some(mode), times: Some(times), ..Attrs::default() }))
}

/// Makes a link again at the server. One that says the same already is fine; one that says something
/// else is replaced.
async fn put_link(
    context: &Context,
    local: &Arc<LocalDir>,
    name: &[u8],
    target: &[u8],
) -> Result<(), Error> {
    let (dir, name) = (local.clone(), name.to_vec());
    let says = blocking(move || dir.read_link(&name)).await??;
    let Err(error) = context.lanes.pick().sftp.symlink(&says, target).await else { return Ok(()) };
    match context.lanes.pick().sftp.read_link(target).await {
        Ok(there) if there == says => Ok(()),
        Ok(_) => {
            context.lanes.pick().sftp.remove(target).await?;
            context.lanes.pick().sftp.symlink(&says, target).await
        }
        Err(_) => Err(error),
    }
}

/// The last component if it is a name: what a transfer into a directory is called there.
fn last_component(path: &[u8]) -> Option<&[u8]> {
    let end = path.iter().rposition(|b| *b != b'/').map_or(0, |last| last + 1);
    let trimmed = &path[..end];
    let name = trimmed.rsplit(|b| *b == b'/').next().unwrap_or(trimmed);
    check_name(name).is_ok().then_some(name)
}

fn is_directory(path: &[u8]) -> Error {
    Error::unsuitable("get", path, Error::IS_DIRECTORY)
}

fn not_regular(doing: &'static str, path: &[u8]) -> Error {
    Error::unsuitable(doing, path, "is not a regular file")
}

/// A tree without end: by a link or mount that leads back up, or by a hostile server.
fn too_deep(path: &[u8]) -> Error {
    Error::unsuitable("transfer", path, "directories are nested too deep")
}
