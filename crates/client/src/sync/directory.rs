//! One directory: both sides listed, the target's made if it is missing, and a plan for what is in it.

use std::sync::Arc;

use super::apply::Dirs;
use super::delete::ExtraId;
use super::entry::{Entry, Kind};
use super::one_name::under_one_name;
use super::plan::{DirPlan, Policy, plan};
use super::shared::Shared;
use super::side::{Dir, Listing, Side, Wanted};
use crate::Error;
use crate::sftp::joined;
use crate::transfer::{Action, Event, Links};

/// A directory that is still to be read.
pub(crate) struct DirJob {
    /// Where it is below both roots.
    pub(crate) rel: Arc<[u8]>,
    pub(crate) parent: Option<usize>,
    pub(crate) depth: usize,
    /// `None`: only the target has it.
    pub(crate) source: Option<Entry>,
    pub(crate) target: Option<Entry>,
    /// Of a directory that only the target has: where it is noted.
    pub(crate) extra: Option<ExtraId>,
}

/// A directory that was read and its plan.
pub(crate) struct Read {
    pub(crate) dirs: Option<Dirs>,
    pub(crate) plan: DirPlan,
    pub(crate) target_entries: u64,
    pub(crate) source_entries: u64,
    /// Names of the source that could not be looked at.
    pub(crate) failed: Vec<(Box<[u8]>, Error)>,
    pub(crate) made: bool,
    /// It was made writable to be changed, and gets its mode back.
    pub(crate) opened_up: bool,
}

/// Why a directory could not be read, and on which side.
pub(crate) struct ReadError {
    pub(crate) error: Error,
    pub(crate) of_source: bool,
}

/// Lists both sides of a directory, making the target's if it is missing, and plans it.
pub(crate) async fn read_dir(shared: &Shared, job: &DirJob) -> Result<Read, ReadError> {
    let of_source = |error| ReadError { error, of_source: true };
    let of_target = |error| ReadError { error, of_source: false };
    let policy = Policy { rules: shared.rules(), ..shared.policy.clone() };
    let there = job.target.as_ref().filter(|there| there.kind == Kind::Dir);
    let (source, target) = tokio::join!(
        async {
            match job.source {
                Some(_) => list(&shared.source, &job.rel, policy.links).await.map(Some),
                None => Ok(None),
            }
        },
        async {
            match there {
                Some(_) => list(&shared.target, &job.rel, Links::Keep).await.map(Some),
                None => Ok(None),
            }
        }
    );
    let (mut source, target) = (source.map_err(of_source)?, target.map_err(of_target)?);
    if let Some((_, source)) = &mut source {
        let there = target.as_ref().map_or(&[][..], |(_, target)| &target.entries);
        shared.translate_owners(&mut source.entries, there).await.map_err(of_source)?;
    }

    let made = target.is_none();
    let (target_dir, target) = match target {
        Some((dir, listing)) => (Some(dir), listing),
        None => (make_dir(shared, job).await.map_err(of_target)?, Listing::default()),
    };
    // Names that the target does not want to show are in nobody's way until they are.
    let target_entries = target.entries.len() as u64;
    let (source_dir, source) =
        source.map_or((None, None), |(dir, listing)| (Some(dir), Some(listing)));
    let (entries, mut failed) = source.map_or((None, Vec::new()), |s| (Some(s.entries), s.failed));
    failed.retain(|(name, _)| !policy.filter.excludes(&joined(&job.rel, name), false));
    let source_entries = entries.as_ref().map_or(0, |entries| entries.len() as u64);
    let there_entries = match (&entries, &target_dir) {
        (Some(entries), Some(dir)) => {
            let looks_up = |name: Box<[u8]>| async move {
                matches!(shared.target.look(dir, &name).await, Ok(Some(_)))
            };
            under_one_name(entries, target.entries, looks_up).await
        }
        _ => target.entries,
    };
    let mut plan = plan(&job.rel, entries, there_entries, &policy);
    // What could not be looked at in the source is not "only at the target".
    plan.extras.retain(|extra| !failed.iter().any(|(name, _)| *name == extra.name));
    let mut opened_up = false;
    if let (Some(dir), Some(there)) = (&target_dir, there)
        && plan.changes_target()
        && !shared.options.dry_run
        && let Some(mode) = there.mode.filter(|mode| mode & 0o300 != 0o300)
    {
        // A directory that its owner cannot write is made writable while it is changed.
        let wanted = Wanted { mode: Some(mode & 0o777 | 0o700), ..Wanted::default() };
        opened_up = shared.target.set_attrs(dir, None, &wanted).await.is_ok();
    }
    let dirs = source_dir.map(|source| Dirs { source, target: target_dir });
    Ok(Read { dirs, plan, target_entries, source_entries, failed, made, opened_up })
}

async fn list(side: &Side, rel: &[u8], links: Links) -> Result<(Dir, Listing), Error> {
    let dir = side.open(rel, links).await?;
    let listing = side.list(&dir, links).await?;
    Ok((dir, listing))
}

/// Makes a directory at the target, in the place of a file or link if there is one; `None` in a dry run.
async fn make_dir(shared: &Shared, job: &DirJob) -> Result<Option<Dir>, Error> {
    let why = if job.target.is_some() { "was something else" } else { "new" };
    if shared.options.dry_run {
        tell_dir(shared, &job.rel, Action::MakeDir, why, true);
        return Ok(None);
    }
    let dir = match &job.target {
        _ if job.rel.is_empty() => shared.target.make_root().await?,
        None => shared.target.make_dir(&job.rel, mode_of(job)).await?,
        Some(there) => {
            let above = &job.rel[..job.rel.len() - there.name.len()];
            let above =
                shared.target.open(above.strip_suffix(b"/").unwrap_or(above), Links::Keep).await?;
            shared.target.remove(&above, &there.name, there.kind).await?;
            shared.target.make_dir(&job.rel, mode_of(job)).await?
        }
    };
    tell_dir(shared, &job.rel, Action::MakeDir, why, false);
    Ok(Some(dir))
}

/// A directory that its owner cannot write is made writable while it is filled.
fn mode_of(job: &DirJob) -> u32 {
    job.source.as_ref().and_then(|source| source.mode).unwrap_or(0o755) & 0o777 | 0o700
}

/// Tells of a change to a directory of the target.
pub(crate) fn tell_dir(
    shared: &Shared,
    rel: &[u8],
    action: Action,
    why: &'static str,
    planned: bool,
) {
    let path = shared.source.shown(rel);
    shared.mover.event(&Event::Change { path: &path, action, why, planned });
}
