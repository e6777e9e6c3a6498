//! Sync: one tree made equal to another, from here to a server, back, or from server to server.
//!
//! What is *in* the source goes into the target, which becomes equal to it. Files that are right
//! already are left alone; the others go through the same engine as [`transfer`](crate::transfer), so
//! they are resumable and verified. What only the target has stays, unless deleting is asked for; then
//! a guard keeps a source that is empty or unreadable from emptying the target.
//!
//! `entry.rs` is what both sides say of a name, `one_name.rs` finds names that are one at the target,
//! `compare.rs` and `plan.rs` decide (pure), `filter.rs`
//! says what takes part; `side.rs` is a tree of either kind; `owners.rs` and `xattrs.rs` are about what is
//! kept on request; `run.rs` walks, `directory.rs` reads one directory, `apply.rs` and `relay.rs`
//! do, `delete.rs` is what goes at the end. `verify.rs` compares two trees, `manifest.rs` reads and writes
//! lists of digests.

mod apply;
mod compare;
mod delete;
mod directory;
mod entry;
mod filter;
mod hard_links;
mod local_side;
mod manifest;
mod one_name;
mod owners;
mod plan;
mod relay;
mod remote_side;
mod run;
mod shared;
mod side;
mod verify;
mod xattrs;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

pub use compare::Basis;
pub use delete::DeleteMax;
pub use filter::{Filter, FilterBuilder};
pub use manifest::ManifestLine;
pub use verify::VerifyReport;

use crate::sftp::{Sftp, joined};
use crate::transfer::{Cancel, Mover, Options, Progress, Quiet, Summary, Transfer};
use crate::{Error, Reconnect, Session};
use compare::Rules;
use local_side::LocalSide;
use plan::Policy;
use remote_side::RemoteSide;
use run::Run;
use shared::Shared;
use side::Side;

/// A tree that takes part in a sync.
#[derive(Clone)]
pub enum Tree {
    Local(PathBuf),
    Remote {
        sftp: Sftp,
        /// Lets a server without means of SFTP compute digests by a command.
        session: Option<Session>,
        /// Lets it go on by itself when the connection is lost.
        reconnect: Option<Arc<dyn Reconnect>>,
        path: Vec<u8>,
    },
}

/// What a sync does beside transferring; how files travel is in [`Options`].
#[derive(Clone, Debug, Default)]
pub struct SyncOptions {
    /// How it is known that a file need not travel.
    pub basis: Basis,
    /// A file that is newer at the target stays.
    pub update: bool,
    /// What only the target has is deleted at the end.
    pub delete: bool,
    /// Even if the source is empty or could not be read completely.
    pub force_delete: bool,
    /// If more would go, nothing does; default: 1000, or half of the target if that is more.
    pub delete_max: Option<DeleteMax>,
    /// What is excluded is deleted too.
    pub delete_excluded: bool,
    /// Everything is told, nothing is changed.
    pub dry_run: bool,
    pub filter: Filter,
    /// Bytes of files that may begin to travel.
    pub transfer_max: Option<u64>,
    /// Names of one file stay names of one file.
    pub hard_links: bool,
    /// User and group: by name where both sides know it, else by number.
    pub owner: bool,
    pub group: bool,
    /// By number in any case.
    pub numeric_ids: bool,
    /// Extended attributes (`user.*`) of files and directories.
    pub xattrs: bool,
}

/// How a sync ended.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Of the files; `skipped` counts those that were right already or are left out.
    pub summary: Summary,
    /// Files and links that were right already.
    pub unchanged: u64,
    pub dirs_made: u64,
    pub links_made: u64,
    pub hard_links_made: u64,
    pub attributes_set: u64,
    /// Files, links and directories of the target.
    pub deleted: u64,
    /// In a dry run: what would be done to names that are there or will be.
    pub planned: u64,
    /// What the target could not keep, by kind; [`USER_NAME`] and [`GROUP_NAME`] count users and groups.
    pub not_kept: Vec<(&'static str, u64)>,
    /// Bytes of content that came here only to be compared, because a server computes no digests.
    pub read_back: u64,
}

/// In [`Report::not_kept`]: users of the source whose name is not known on both sides; their numbers were kept.
pub const USER_NAME: &str = "user by name";
/// The same of groups.
pub const GROUP_NAME: &str = "group by name";
/// In [`Report::not_kept`]: times that the target said it had set and has otherwise. Only the first are looked at.
pub const TIMES: &str = "times";

/// One tree to be made equal to another.
pub struct TreeSync {
    source: Tree,
    target: Tree,
    options: SyncOptions,
    transfer: Options,
    progress: Arc<dyn Progress>,
    cancel: Cancel,
}

impl TreeSync {
    /// What is in `source` goes into `target`.
    pub fn new(source: Tree, target: Tree) -> Self {
        Self {
            source,
            target,
            options: SyncOptions::default(),
            transfer: Options::default(),
            progress: Arc::new(Quiet),
            cancel: Cancel::new(),
        }
    }

    #[must_use]
    pub fn options(mut self, options: SyncOptions) -> Self {
        self.options = options;
        self
    }

    /// How files travel. Modes and times are always kept.
    #[must_use]
    pub fn transfer(mut self, options: Options) -> Self {
        self.transfer =
            Options { recursive: true, preserve: true, attrs_may_fail: true, ..options };
        self
    }

    #[must_use]
    pub fn progress(mut self, progress: Arc<dyn Progress>) -> Self {
        self.progress = progress;
        self
    }

    #[must_use]
    pub fn cancel(mut self, cancel: Cancel) -> Self {
        self.cancel = cancel;
        self
    }

    /// Makes the target equal to the source. The target is made if it is missing.
    ///
    /// # Errors
    /// If it cannot begin: a root cannot be read or is not a directory, or one lies in the other. What
    /// fails later is in the report.
    ///
    /// # Cancelling
    /// Dropping the future stops everything at once; the same sync goes on where it stopped.
    pub async fn run(self) -> Result<Report, Error> {
        self.check_apart().await?;
        let shared = self.shared().await?;
        let Some((_, mut source)) = shared.source.open_root().await? else {
            return Err(Error::unsuitable("sync", &shared.source.shown(b""), "no such directory"));
        };
        let target = shared.target.open_root().await?.map(|(_, entry)| entry);
        shared.translate_owners(std::slice::from_mut(&mut source), target.as_slice()).await?;
        let (mover, shared) = (shared.mover.clone(), Arc::new(shared));
        Ok(mover.in_flight(|places| Run::new(shared, places).run(source, target)).await)
    }

    async fn shared(&self) -> Result<Shared, Error> {
        let (source, source_mover) = self.side(&self.source).await?;
        let (target, target_mover) = self.side(&self.target).await?;
        let mover = target_mover.or(source_mover);
        let mover =
            mover.ok_or_else(|| Error::Usage("one of the two must be on a server".into()))?;
        Shared::new(source, target, mover, self.options.clone(), self.policy()).await
    }

    fn policy(&self) -> Policy {
        let options = &self.options;
        Policy {
            rules: Rules {
                basis: options.basis,
                update: options.update,
                user: options.owner,
                group: options.group,
                no_modes: false,
            },
            filter: options.filter.clone(),
            links: self.transfer.links,
            hard_links: options.hard_links,
            xattrs: options.xattrs,
            delete_excluded: options.delete_excluded,
            now: SystemTime::now(),
        }
    }

    async fn side(&self, tree: &Tree) -> Result<(Side, Option<Mover>), Error> {
        match tree {
            Tree::Local(path) => Ok((Side::Local(LocalSide::new(path)), None)),
            Tree::Remote { sftp, session, reconnect, path } => {
                let mut transfer = Transfer::new(sftp);
                if let Some(session) = session {
                    transfer = transfer.session(session);
                }
                if let Some(reconnect) = reconnect {
                    transfer = transfer.reconnect(reconnect.clone());
                }
                let transfer = transfer
                    .options(self.transfer.clone())
                    .progress(self.progress.clone())
                    .cancel(self.cancel.clone());
                let mover = transfer.mover().await?;
                let side = RemoteSide::new(mover.clone(), path);
                Ok((Side::Remote(side), Some(mover)))
            }
        }
    }

    /// Two trees of one server must not lie in each other.
    async fn check_apart(&self) -> Result<(), Error> {
        let (Tree::Remote { sftp: a, path: from, .. }, Tree::Remote { sftp: b, path: to, .. }) =
            (&self.source, &self.target)
        else {
            return Ok(());
        };
        if !a.is_same(b) {
            return Ok(());
        }
        let from = a.realpath(from).await?;
        // What is not there yet is told apart by its parents, as far as they are there.
        let to = match b.realpath(to).await {
            Ok(to) => to,
            Err(error) if error.ends_channel() => return Err(error),
            Err(_) => to.clone(),
        };
        let inside = |one: &[u8], other: &[u8]| {
            joined(one, b"").starts_with(&joined(other, b"")) || one == other
        };
        if inside(&from, &to) || inside(&to, &from) {
            let why = "source and target lie in each other";
            return Err(Error::unsuitable("sync", &to, why));
        }
        Ok(())
    }
}
