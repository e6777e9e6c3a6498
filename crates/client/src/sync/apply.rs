//! What a plan says, done: one file, link or directory.

use std::sync::Arc;

use sterna_ssh_crypto::DigestAlgorithm;

use super::compare::{Why, differing_attrs};
use super::directory::tell_dir;
use super::entry::{Entry, Kind};
use super::hard_links::First;
use super::plan::Task;
use super::remote_side::{RemoteSide, remote};
use super::shared::Shared;
use super::side::{Dir, Side, Wanted};
use super::xattrs::{self, At};
use crate::sftp::joined;
use crate::transfer::local::LocalDir;
use crate::transfer::{
    Action, Event, FileReport, LocalFile, Place, Verified, Verify, blocking, digest_local,
};
use crate::{Error, transfer};

/// One name that needs something.
#[derive(Debug)]
pub(crate) struct Job {
    /// The directory below both roots.
    pub(crate) rel: Arc<[u8]>,
    pub(crate) source: Entry,
    pub(crate) target: Option<Entry>,
    pub(crate) task: Task,
    /// Link it to this name of the same file.
    pub(crate) link_to: Option<First>,
}

/// How a job ended.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// Content travelled, or was made at the server.
    File(FileReport),
    /// It was right already.
    Unchanged,
    Changed(Action),
    /// A dry run: it would be done.
    Planned,
}

/// The two directories of a job. `target` is missing in a dry run where it is still to be made.
#[derive(Clone, Debug)]
pub(crate) struct Dirs {
    pub(crate) source: Dir,
    pub(crate) target: Option<Dir>,
}

impl Job {
    /// Its path below the root.
    pub(crate) fn rel_path(&self) -> Vec<u8> {
        joined(&self.rel, &self.source.name)
    }

    /// Does it, or tells what would be done.
    pub(crate) async fn run(
        &self,
        shared: &Shared,
        dirs: &Dirs,
        place: Place,
    ) -> Result<Outcome, Error> {
        if let Some(first) = &self.link_to {
            return self.link(shared, dirs, first, place).await;
        }
        match self.task {
            Task::Content(why) => self.content(shared, dirs, why, place).await,
            Task::Digests => self.compare_digests(shared, dirs, place).await,
            Task::LinkText => self.symlink(shared, dirs).await,
            Task::Attributes => self.attributes(shared, dirs).await,
            Task::Keep => self.keep(shared, dirs).await,
        }
    }

    async fn content(
        &self,
        shared: &Shared,
        dirs: &Dirs,
        why: Why,
        place: Place,
    ) -> Result<Outcome, Error> {
        if let Some(planned) = self.planned(shared, content_action(&self.target), why.as_str()) {
            return Ok(planned);
        }
        let Some(target) = &dirs.target else { return Ok(Outcome::Planned) };
        shared.take_bytes(self.source.size.unwrap_or(0), &self.shown(shared))?;
        let name = &self.source.name;
        let report = match (&shared.source, &dirs.source, target) {
            (_, Dir::Local(dir), Dir::Remote(path)) => {
                let file = LocalFile {
                    dir: dir.clone(),
                    name: name.to_vec(),
                    path: self.shown(shared),
                    follow: self.source.followed,
                };
                shared.mover.upload(file, joined(path, name), place).await?
            }
            (_, Dir::Remote(path), Dir::Local(dir)) => {
                let (path, attrs) = (joined(path, name), self.source.attrs());
                let target = (dir.clone(), name.to_vec());
                shared.mover.download(path, attrs, target, place).await?
            }
            (Side::Remote(from), Dir::Remote(source), Dir::Remote(path)) => {
                let Side::Remote(to) = &shared.target else { return Err(no_such_pair()) };
                super::relay::relay(
                    from,
                    to,
                    &joined(source, name),
                    &self.source,
                    &joined(path, name),
                )
                .await?
            }
            _ => return Err(no_such_pair()),
        };
        self.keep_owner(shared, target).await;
        let mode = self.source.mode;
        self.bring_xattrs(shared, dirs, mode).await?;
        Ok(Outcome::File(report))
    }

    /// Everything else is right already.
    async fn keep(&self, shared: &Shared, dirs: &Dirs) -> Result<Outcome, Error> {
        let mode = self.target.as_ref().and_then(|there| there.mode);
        if !self.bring_xattrs(shared, dirs, mode).await? {
            return Ok(Outcome::Unchanged);
        }
        let why = "extended attributes differ";
        match self.planned(shared, Action::Attributes, why) {
            Some(planned) => Ok(planned),
            None => self.did(shared, Action::Attributes, why),
        }
    }

    /// Makes extended attributes those of the source, if they count; whether any differed. `mode` is the
    /// one that the target has.
    async fn bring_xattrs(
        &self,
        shared: &Shared,
        dirs: &Dirs,
        mode: Option<u32>,
    ) -> Result<bool, Error> {
        let Some(target) = dirs.target.as_ref().filter(|_| shared.options.xattrs) else {
            return Ok(false);
        };
        let name = Some(&*self.source.name);
        let source = At { dir: &dirs.source, name, follow: self.source.followed };
        let target = At { dir: target, name, follow: false };
        xattrs::bring(shared, source, target, mode).await
    }

    /// Gives the new file its owner. A server that does not let us is no failure of the file.
    async fn keep_owner(&self, shared: &Shared, target: &Dir) {
        let Some(owner) = shared.owner_of_new(&self.source, target).await else {
            if shared.options.owner || shared.options.group {
                shared.not_kept("owner");
            }
            return;
        };
        let wanted = Wanted { owner: Some(owner), ..Wanted::default() };
        let set = shared.target.set_attrs(target, Some(&self.source.name), &wanted).await;
        if set.is_err() {
            shared.not_kept("owner");
        }
    }

    async fn compare_digests(
        &self,
        shared: &Shared,
        dirs: &Dirs,
        place: Place,
    ) -> Result<Outcome, Error> {
        let name = &self.source.name;
        if digests_agree(shared, dirs, (name, name), &self.source).await?.is_none() {
            return self.content(shared, dirs, Why::Content, place).await;
        }
        let rules = shared.rules();
        match &self.target {
            Some(target) if differing_attrs(&self.source, target, &rules) => {
                self.attributes(shared, dirs).await
            }
            _ => self.keep(shared, dirs).await,
        }
    }

    async fn symlink(&self, shared: &Shared, dirs: &Dirs) -> Result<Outcome, Error> {
        let name = &self.source.name;
        let text = shared.source.read_link(&dirs.source, name).await?;
        let there = match (&self.target, &dirs.target) {
            (Some(entry), Some(target)) if entry.kind == Kind::Link => {
                Some(shared.target.read_link(target, name).await?)
            }
            _ => None,
        };
        if there.as_ref() == Some(&text) {
            return Ok(Outcome::Unchanged);
        }
        let why = if there.is_some() { "says something else" } else { Why::New.as_str() };
        if let Some(planned) = self.planned(shared, Action::Symlink, why) {
            return Ok(planned);
        }
        if let Some(target) = &dirs.target {
            shared.target.make_link(target, name, &text, self.target.is_some()).await?;
        }
        self.did(shared, Action::Symlink, why)
    }

    async fn attributes(&self, shared: &Shared, dirs: &Dirs) -> Result<Outcome, Error> {
        let why = "mode, time or owner differs";
        if let Some(planned) = self.planned(shared, Action::Attributes, why) {
            return Ok(planned);
        }
        let (Some(target), Some(there)) = (&dirs.target, &self.target) else {
            return Ok(Outcome::Unchanged);
        };
        self.bring_xattrs(shared, dirs, there.mode).await?;
        let wanted = shared.wanted(&self.source, Some(there));
        let name = &self.source.name;
        if let Err(error) = shared.target.set_attrs(target, Some(name), &wanted).await {
            if error.ends_channel() {
                return Err(error);
            }
            // A store without them: content is right, and the summary says what is not kept.
            shared.not_kept("mode, time or owner");
            return Ok(Outcome::Unchanged);
        }
        shared.learn_attrs(target, name, &self.source, there).await;
        self.did(shared, Action::Attributes, why)
    }

    async fn link(
        &self,
        shared: &Shared,
        dirs: &Dirs,
        first: &First,
        place: Place,
    ) -> Result<Outcome, Error> {
        let there = self.target.as_ref().filter(|there| there.kind == Kind::File);
        let is_linked = there.and_then(|there| there.id).zip(first.id).map(|(a, b)| a == b);
        // Where identities are not told, a file that is right is taken for linked.
        if is_linked.unwrap_or(self.task == Task::Keep) {
            return Ok(Outcome::Unchanged);
        }
        let why = "another name of the same file";
        if let Some(planned) = self.planned(shared, Action::Hardlink, why) {
            return Ok(planned);
        }
        let Some(target) = &dirs.target else { return Ok(Outcome::Planned) };
        let from = shared.target.open(&first.rel, transfer::Links::Keep).await?;
        let (name, replaces) = (&self.source.name, self.target.is_some());
        match shared.target.hard_link((&from, &first.name), target, name, replaces).await {
            Ok(()) => self.did(shared, Action::Hardlink, why),
            Err(error) if error.ends_channel() => Err(error),
            // It becomes a file of its own.
            Err(_) => {
                shared.not_kept("hard link");
                match self.task {
                    Task::Keep => self.keep(shared, dirs).await,
                    Task::Digests => self.compare_digests(shared, dirs, place).await,
                    Task::Attributes => self.attributes(shared, dirs).await,
                    Task::Content(why) => self.content(shared, dirs, why, place).await,
                    Task::LinkText => Ok(Outcome::Unchanged),
                }
            }
        }
    }

    /// The path of the source for messages.
    pub(crate) fn shown(&self, shared: &Shared) -> Vec<u8> {
        shared.source.shown(&self.rel_path())
    }

    /// In a dry run: tells what would be done.
    fn planned(&self, shared: &Shared, action: Action, why: &'static str) -> Option<Outcome> {
        shared.options.dry_run.then(|| {
            let path = self.shown(shared);
            shared.mover.event(&Event::Change { path: &path, action, why, planned: true });
            Outcome::Planned
        })
    }

    fn did(&self, shared: &Shared, action: Action, why: &'static str) -> Result<Outcome, Error> {
        let path = self.shown(shared);
        shared.mover.event(&Event::Change { path: &path, action, why, planned: false });
        Ok(Outcome::Changed(action))
    }
}

fn content_action(target: &Option<Entry>) -> Action {
    match target {
        Some(_) => Action::Update,
        None => Action::Create,
    }
}

fn no_such_pair() -> Error {
    Error::Usage("one of the two sides must be on a server".into())
}

/// Makes the extended attributes of a directory of the target those of the source; `mode` is the one that the
/// target has.
pub(crate) async fn bring_dir_xattrs(shared: &Shared, rel: &[u8], mode: Option<u32>) {
    let bring = async {
        let source = shared.source.open(rel, shared.policy.links).await?;
        let target = shared.target.open(rel, transfer::Links::Keep).await?;
        let at = |dir| At { dir, name: None, follow: false };
        xattrs::bring(shared, at(&source), at(&target), mode).await
    };
    match bring.await {
        Ok(false) => {}
        Ok(true) => {
            let (planned, why) = (shared.options.dry_run, "extended attributes differ");
            tell_dir(shared, rel, Action::Attributes, why, planned);
        }
        Err(error) => shared.mover.failed(&shared.source.shown(rel), error),
    }
}

/// What a directory that was made gets, its owner among it.
pub(crate) async fn wanted_of_new_dir(
    shared: &Shared,
    rel: &[u8],
    source: &Entry,
    wanted: Wanted,
) -> Wanted {
    let Some(above) = rel.strip_suffix(&*source.name) else { return wanted };
    let above = above.strip_suffix(b"/").unwrap_or(above);
    match shared.target.open(above, transfer::Links::Keep).await {
        Ok(dir) => Wanted { owner: shared.owner_of_new(source, &dir).await, ..wanted },
        Err(_) => wanted,
    }
}

/// Sets the attributes of a directory of the target. Stores without them are no failure.
pub(crate) async fn set_dir_attrs(shared: &Shared, rel: &[u8], wanted: &Wanted) {
    let set = async {
        let dir = shared.target.open(rel, transfer::Links::Keep).await?;
        shared.target.set_attrs(&dir, None, wanted).await
    };
    match set.await {
        Ok(()) => {}
        Err(error) if error.ends_channel() => {
            shared.mover.failed(&shared.target.shown(rel), error);
        }
        Err(_) => shared.not_kept("mode, time or owner"),
    }
}

/// The algorithm by which both sides have the same content under these names, or `None` if it differs.
///
/// # Errors
/// If one of them cannot be read.
pub(crate) async fn digests_agree(
    shared: &Shared,
    dirs: &Dirs,
    (ours, theirs): (&[u8], &[u8]),
    entry: &Entry,
) -> Result<Option<DigestAlgorithm>, Error> {
    let Some(target) = &dirs.target else { return Ok(None) };
    let algorithm = shared.algorithm;
    let (ours, theirs) = tokio::join!(
        digest(shared, &shared.source, &dirs.source, ours, entry),
        digest(shared, &shared.target, target, theirs, entry)
    );
    Ok((ours? == theirs?).then_some(algorithm))
}

/// The digest of a file of one side; `entry` says its size and whether links are followed.
async fn digest(
    shared: &Shared,
    side: &Side,
    dir: &Dir,
    name: &[u8],
    entry: &Entry,
) -> Result<Vec<u8>, Error> {
    let algorithm = shared.algorithm;
    let work = async {
        match (side, dir) {
            (Side::Remote(side), dir) => {
                let path = joined(remote(dir), name);
                let (digest, was_read) = side.mover.digest(&path, algorithm).await?;
                if was_read {
                    shared.read_back(entry.size.unwrap_or(0));
                }
                Ok(digest)
            }
            (Side::Local(_), Dir::Local(dir)) => {
                let fd = open_local(dir, name, entry.followed).await?;
                digest_local(Arc::new(fd), algorithm).await
            }
            (Side::Local(_), Dir::Remote(_)) => Err(no_such_pair()),
        }
    };
    tokio::select! {
        digest = work => digest,
        () = shared.mover.cancel().cancelled() => Err(Error::Cancelled),
    }
}

async fn open_local(
    dir: &Arc<LocalDir>,
    name: &[u8],
    follow: bool,
) -> Result<std::os::fd::OwnedFd, Error> {
    let (dir, name) = (dir.clone(), name.to_vec());
    blocking(move || match follow {
        true => {
            let path = dir.path_of(&name);
            let file = std::fs::File::open(&path).map_err(|e| Error::local("open", &path, e))?;
            Ok(file.into())
        }
        false => dir.open_file(&name, rustix::fs::OFlags::RDONLY, 0),
    })
    .await?
}

/// The best algorithm that both sides compute by themselves; else the one that commands know best.
pub(crate) async fn common_algorithm(
    source: &Side,
    target: &Side,
) -> Result<DigestAlgorithm, Error> {
    let of = async |side: &Side| match side {
        Side::Local(_) => Ok::<_, Error>(None),
        Side::Remote(side) => Ok(Some(side.mover.check_algorithms().await?)),
    };
    let best = match (of(source).await?, of(target).await?) {
        (Some(ours), Some(theirs)) => ours.into_iter().find(|a| theirs.contains(a)),
        (Some(one), None) | (None, Some(one)) => one.first().copied(),
        (None, None) => None,
    };
    Ok(best.unwrap_or(DigestAlgorithm::Sha256))
}

/// How the copy of a file between two servers is known to be right.
pub(crate) async fn verify_copy(
    (from, source): (&RemoteSide, &[u8]),
    (to, copy): (&RemoteSide, &[u8]),
    size: u64,
) -> Result<Verified, Error> {
    let verify = to.mover.options().verify;
    if verify == Verify::Off {
        return Ok(Verified::None);
    }
    let theirs = to.mover.check_algorithms().await?;
    let by_check = from.mover.check_algorithms().await?.into_iter().find(|a| theirs.contains(a));
    let algorithm = by_check.unwrap_or(DigestAlgorithm::Sha256);
    let both = tokio::join!(
        from.mover.digest_at_server(source, algorithm),
        to.mover.digest_at_server(copy, algorithm)
    );
    let differs = |why: String| Error::VerificationFailed { path: source.to_vec(), why };
    match both {
        (Ok(Some(ours)), Ok(Some(theirs))) if ours == theirs => {
            Ok(Verified::Digest(algorithm.name()))
        }
        (Ok(Some(_)), Ok(Some(_))) => {
            Err(differs(format!("{} of the copy differs", algorithm.name())))
        }
        (Err(error), _) | (_, Err(error)) => Err(error),
        (Ok(_), Ok(_)) if verify == Verify::Require => {
            Err(differs("the servers have no digest in common".to_owned()))
        }
        (Ok(_), Ok(_)) => match to.mover.sftp(copy).await?.stat(copy).await?.size {
            Some(there) if there != size => {
                Err(differs(format!("{size} bytes were sent, the server has {there}")))
            }
            Some(_) => Ok(Verified::Size),
            None => Ok(Verified::None),
        },
    }
}
