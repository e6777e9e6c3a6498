//! The sync as it runs: directories are listed ahead of the transfers, each is planned when both its
//! listings are there, and finished when everything in it is.
//!
//! Bounded: listings under way, planned files that wait, files in flight. Directories that wait are
//! taken last in, first out, so a wide and deep tree is walked depth first. What waits for a directory
//! holds a name, not an open directory.

use std::collections::{HashMap, VecDeque};
use std::mem::take;
use std::sync::Arc;

use tokio::task::{JoinError, JoinSet};

use super::Report;
use super::apply::{Dirs, Job, Outcome, bring_dir_xattrs, set_dir_attrs, wanted_of_new_dir};
use super::compare::{Why, differing_attrs};
use super::delete::{ExtraId, Extras, Judged, refused};
use super::directory::{DirJob, Read, ReadError, read_dir, tell_dir};
use super::entry::{Entry, Kind};
use super::hard_links::{First, HardLinks, Step};
use super::plan::Task;
use super::shared::Shared;
use super::side::Wanted;
use crate::Error;
use crate::limits::{
    SYNC_DIRS_OPEN_MAX, SYNC_FILES_MAX, SYNC_LISTINGS_MAX, SYNC_WAITING_MAX, TREE_DEPTH_MAX,
};
use crate::sftp::joined;
use crate::transfer::{Action, Links, Places};

/// A directory of which something is not finished.
struct Node {
    job: DirJob,
    /// Files and directories in it that are not finished.
    open: usize,
    /// Of these, files and links: while there are any, its directories are held open.
    files: usize,
    /// Names in it, or its attributes, were changed.
    changed: bool,
    failed: bool,
    group: Option<usize>,
}

/// See the module.
pub(crate) struct Run {
    shared: Arc<Shared>,
    places: Places,
    nodes: HashMap<usize, Node>,
    next_node: usize,
    /// Directories with files that wait or are in flight: they are held open.
    dirs_open: usize,
    dirs: Vec<DirJob>,
    jobs: VecDeque<(usize, Arc<Dirs>, Job)>,
    listing: JoinSet<(DirJob, Result<Read, ReadError>)>,
    working: JoinSet<(usize, Job, Result<Outcome, Error>)>,
    finishing: JoinSet<()>,
    links: HardLinks<(usize, Arc<Dirs>, Job)>,
    extras: Extras,
    /// Files and links of the source for which a directory of the target has to go first.
    in_the_way: Vec<Job>,
    report: Report,
    target_entries: u64,
    source_incomplete: bool,
    source_empty: bool,
}

impl Run {
    pub(crate) fn new(shared: Arc<Shared>, places: Places) -> Self {
        Self {
            shared,
            places,
            nodes: HashMap::new(),
            next_node: 0,
            dirs_open: 0,
            dirs: Vec::new(),
            jobs: VecDeque::new(),
            listing: JoinSet::new(),
            working: JoinSet::new(),
            finishing: JoinSet::new(),
            links: HardLinks::default(),
            extras: Extras::default(),
            in_the_way: Vec::new(),
            report: Report::default(),
            target_entries: 0,
            source_incomplete: false,
            source_empty: false,
        }
    }

    /// Makes the target what the source is. `target` is its root if it is there.
    pub(crate) async fn run(mut self, source: Entry, target: Option<Entry>) -> Report {
        let root = DirJob {
            rel: b"".as_slice().into(),
            parent: None,
            depth: 0,
            source: Some(source),
            target,
            extra: None,
        };
        self.dirs.push(root);
        self.work().await;
        self.delete().await;
        self.finish().await
    }

    /// Lists, plans and transfers until nothing is left.
    async fn work(&mut self) {
        loop {
            self.begin();
            tokio::select! {
                Some(read) = self.listing.join_next() => {
                    let (job, read) = finished(read);
                    self.take_dir(job, read);
                }
                Some(done) = self.working.join_next() => {
                    let (node, job, outcome) = finished(done);
                    self.take_job(node, &job, outcome);
                }
                Some(done) = self.finishing.join_next() => finished(done),
                else => break,
            }
        }
        if self.shared.mover.is_stopped() {
            self.give_up();
        }
    }

    /// Begins as much as the bounds allow.
    fn begin(&mut self) {
        if self.shared.mover.is_stopped() {
            return;
        }
        while self.listing.len() < SYNC_LISTINGS_MAX
            && self.jobs.len() < SYNC_WAITING_MAX
            && self.dirs_open + self.listing.len() + self.finishing.len() < SYNC_DIRS_OPEN_MAX
            && let Some(job) = self.dirs.pop()
        {
            let shared = self.shared.clone();
            self.listing.spawn(async move {
                let read = read_dir(&shared, &job).await;
                (job, read)
            });
        }
        while self.working.len() < SYNC_FILES_MAX
            && let Some((node, dirs, job)) = self.jobs.pop_front()
        {
            let (shared, places) = (self.shared.clone(), self.places.clone());
            self.working.spawn(async move {
                let place = places.place().await;
                let outcome = match shared.mover.is_stopped() {
                    true => Err(Error::Cancelled),
                    false => job.run(&shared, &dirs, place).await,
                };
                (node, job, outcome)
            });
        }
    }

    /// After a cancellation, or when the channel has ended: what waits is counted as not done.
    fn give_up(&mut self) {
        let left = self.jobs.len() + self.dirs.len();
        if left > 0 && self.shared.mover.cancel().is_cancelled() {
            self.shared.mover.failed(&self.shared.source.shown(b""), Error::Cancelled);
        }
        (self.jobs, self.dirs) = (VecDeque::new(), Vec::new());
    }

    // ---- directories ----

    fn take_dir(&mut self, job: DirJob, read: Result<Read, ReadError>) {
        let shared = self.shared.clone();
        let read = match read {
            Ok(read) => read,
            Err(ReadError { error, of_source }) => {
                let side = if of_source { &shared.source } else { &shared.target };
                shared.mover.failed(&side.shown(&job.rel), error);
                self.source_incomplete |= of_source;
                if let Some(parent) = job.parent {
                    self.spoil(parent);
                    self.closed(parent);
                }
                return;
            }
        };
        let rel = job.rel.clone();
        self.target_entries += read.target_entries;
        if read.made {
            self.report.dirs_made += 1;
        }
        if rel.is_empty() {
            self.source_empty = read.source_entries == 0;
        }
        let (depth, is_extra, above) = (job.depth, job.extra.is_some(), job.extra);
        let node = self.next_node;
        self.next_node += 1;
        let changed = read.made || read.opened_up;
        if let Some(parent) = job.parent.filter(|_| read.made) {
            self.changed(parent);
        }
        self.nodes
            .insert(node, Node { job, open: 1, files: 0, changed, failed: false, group: None });
        for (name, error) in read.failed {
            // What it is remains unknown: neither it nor anything beside it may be deleted.
            self.source_incomplete = true;
            shared.mover.failed(&shared.source.shown(&joined(&rel, &name)), error);
        }
        for (name, why) in read.plan.left_out {
            shared.mover.skipped(&shared.source.shown(&joined(&rel, &name)), why);
        }
        for name in read.plan.special {
            let path = shared.source.shown(&joined(&rel, &name));
            let error = Error::unsuitable("sync", &path, "is not a regular file");
            shared.mover.failed(&path, error);
        }
        self.unchanged(read.plan.unchanged);
        if read.plan.holds_excluded && is_extra {
            self.keep(node);
        }
        let mut extras = read.plan.extras;
        extras.extend(self.note_in_the_way(node, &rel, read.plan.in_the_way));
        self.note_extras(node, &rel, depth, above, extras);
        for (source, target) in read.plan.dirs {
            let path = joined(&rel, &source.name);
            if depth + 1 >= TREE_DEPTH_MAX {
                let shown = shared.source.shown(&path);
                let why = "directories are nested too deep";
                shared.mover.failed(&shown, Error::unsuitable("sync", &shown, why));
                self.source_incomplete = true;
                continue;
            }
            self.open(node);
            self.dirs.push(DirJob {
                rel: path.into(),
                parent: Some(node),
                depth: depth + 1,
                source: Some(source),
                target,
                extra: None,
            });
        }
        if let Some(dirs) = read.dirs.map(Arc::new) {
            if let Some(node) = self.nodes.get_mut(&node).filter(|_| !read.plan.tasks.is_empty()) {
                node.files = read.plan.tasks.len();
                self.dirs_open += 1;
            }
            for (source, target, task) in read.plan.tasks {
                let job = Job { rel: rel.clone(), source, target, task, link_to: None };
                self.open(node);
                self.route(node, dirs.clone(), job);
            }
        }
        self.closed(node);
    }

    /// Notes what only the target has in a directory, and looks into it.
    fn note_extras(
        &mut self,
        node: usize,
        rel: &Arc<[u8]>,
        depth: usize,
        above: Option<ExtraId>,
        extras: Vec<Entry>,
    ) {
        if extras.is_empty() || !self.shared.options.delete {
            return;
        }
        let above = above.map(|(group, _)| group);
        let Some(group) = self.extras.add(rel, depth, above, &extras) else { return };
        if let Some(node) = self.nodes.get_mut(&node) {
            node.group = Some(group);
        }
        for (index, extra) in extras.into_iter().enumerate() {
            if extra.kind != Kind::Dir {
                continue;
            }
            if depth + 1 >= TREE_DEPTH_MAX {
                let path = self.shared.target.shown(&joined(rel, &extra.name));
                let why = "directories are nested too deep";
                self.shared.mover.failed(&path, Error::unsuitable("delete", &path, why));
                self.extras.keep((group, index));
                self.keep(node);
                continue;
            }
            self.open(node);
            self.dirs.push(DirJob {
                rel: joined(rel, &extra.name).into(),
                parent: Some(node),
                depth: depth + 1,
                source: None,
                target: Some(extra),
                extra: Some((group, index)),
            });
        }
    }

    /// Directories of the target stand where the source has files or links: they go like what is extra,
    /// and what takes their place comes afterwards. Returns the directories.
    fn note_in_the_way(
        &mut self,
        node: usize,
        rel: &Arc<[u8]>,
        pairs: Vec<(Entry, Entry)>,
    ) -> Vec<Entry> {
        let mut dirs = Vec::new();
        for (source, dir) in pairs {
            if !self.shared.options.delete {
                let path = self.shared.source.shown(&joined(rel, &source.name));
                let why = "a directory has its name at the target (--delete removes it)";
                self.shared.mover.failed(&path, Error::unsuitable("sync", &path, why));
                self.spoil(node);
                continue;
            }
            let task = match source.kind {
                Kind::Link => Task::LinkText,
                _ => Task::Content(Why::Kind),
            };
            let job = Job { rel: rel.clone(), source, target: None, task, link_to: None };
            self.in_the_way.push(job);
            dirs.push(dir);
        }
        dirs
    }

    fn open(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.open += 1;
        }
    }

    /// Something in a directory failed.
    fn spoil(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.failed = true;
        }
    }

    /// Something is left alone in a directory that only the target has: it stays, and so do those above.
    fn keep(&mut self, mut node: usize) {
        while let Some(found) = self.nodes.get(&node)
            && let Some(extra) = found.job.extra
        {
            self.extras.keep(extra);
            match found.job.parent {
                Some(parent) => node = parent,
                None => return,
            }
        }
    }

    /// One file or link in a directory is finished.
    fn file_closed(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.files -= 1;
            if node.files == 0 {
                self.dirs_open -= 1;
            }
        }
        self.closed(node);
    }

    /// One thing in a directory is finished; perhaps it was the last.
    fn closed(&mut self, node: usize) {
        let Some(found) = self.nodes.get_mut(&node) else { return };
        found.open -= 1;
        if found.open > 0 {
            return;
        }
        let Some(node) = self.nodes.remove(&node) else { return };
        self.finish_dir(&node);
        if let Some(parent) = node.job.parent {
            self.closed(parent);
        }
    }

    /// Everything in a directory is there: it gets its attributes, now or when its extras are gone.
    fn finish_dir(&mut self, node: &Node) {
        if let Some(group) = node.group.filter(|_| node.failed) {
            self.extras.spoil(group);
        }
        let Some(source) = &node.job.source else { return };
        let there = node.job.target.as_ref().filter(|there| there.kind == Kind::Dir);
        let mut rules = self.shared.rules();
        let mut wanted = self.shared.wanted(source, there);
        if node.job.rel.is_empty() && there.is_some() {
            // Who may enter a directory that was there before, perhaps a home, is not ours to change.
            rules.no_modes = true;
            wanted = Wanted { mode: None, owner: None, ..wanted };
        }
        let differs = there.is_none_or(|there| differing_attrs(source, there, &rules));
        if let Some(group) = node.group {
            self.extras.restore(group, wanted);
        }
        let sets_attrs = node.changed || differs;
        let is_new = there.is_none();
        // Their names are not told by a listing. A directory that a dry run does not make has none.
        let brings_xattrs = self.shared.options.xattrs && !(is_new && self.shared.options.dry_run);
        if !(sets_attrs || brings_xattrs) || self.shared.mover.is_stopped() {
            return;
        }
        let rel = node.job.rel.clone();
        let shared = self.shared.clone();
        // A new one has been made writable.
        let mode = there.and_then(|there| there.mode);
        if shared.options.dry_run {
            // A directory that will be made was told already.
            if !is_new && differs && !node.changed {
                tell_dir(&shared, &rel, Action::Attributes, "mode, time or owner differs", true);
            }
            if brings_xattrs {
                self.finishing.spawn(async move { bring_dir_xattrs(&shared, &rel, mode).await });
            }
            return;
        }
        if differs && !is_new && !node.changed {
            self.report.attributes_set += 1;
        }
        let made = source.clone();
        self.finishing.spawn(async move {
            if brings_xattrs {
                bring_dir_xattrs(&shared, &rel, mode).await;
            }
            if sets_attrs {
                let wanted = match is_new {
                    true => wanted_of_new_dir(&shared, &rel, &made, wanted).await,
                    false => wanted,
                };
                set_dir_attrs(&shared, &rel, &wanted).await;
            }
        });
    }

    // ---- files ----

    /// Sends a job on its way, by way of the names that its file has.
    fn route(&mut self, node: usize, dirs: Arc<Dirs>, job: Job) {
        let id = job.source.id.filter(|_| {
            self.shared.policy.hard_links && job.source.names > 1 && job.source.kind == Kind::File
        });
        let Some(id) = id else { return self.jobs.push_back((node, dirs, job)) };
        let names = job.source.names;
        match self.links.next(id, names, (node, dirs, job)) {
            Step::First(job) => self.jobs.push_back(job),
            Step::Waits => {}
            Step::Link((node, dirs, mut job), first) => {
                job.link_to = Some(first);
                self.jobs.push_back((node, dirs, job));
            }
            Step::Alone(job) => {
                self.shared.not_kept("hard link");
                self.jobs.push_back(job);
            }
        }
    }

    fn take_job(&mut self, node: usize, job: &Job, outcome: Result<Outcome, Error>) {
        let is_first = self.shared.policy.hard_links
            && job.source.names > 1
            && job.source.kind == Kind::File
            && job.link_to.is_none();
        let failed = outcome.is_err();
        match outcome {
            Ok(Outcome::File(report)) => {
                self.changed(node);
                self.shared.mover.done(&report);
            }
            Ok(Outcome::Unchanged) => self.unchanged(1),
            Ok(Outcome::Changed(action)) => {
                match action {
                    Action::Attributes => self.report.attributes_set += 1,
                    _ => self.changed(node),
                }
                match action {
                    Action::Symlink => self.report.links_made += 1,
                    Action::Hardlink => self.report.hard_links_made += 1,
                    _ => {}
                }
            }
            Ok(Outcome::Planned) => self.report.planned += 1,
            Err(error) => {
                self.changed(node);
                self.spoil(node);
                self.shared.mover.failed(&job.shown(&self.shared), error);
            }
        }
        if is_first && let Some(id) = job.source.id {
            self.first_is_done(id, job, failed);
        }
        self.file_closed(node);
    }

    /// The first name of a file is there, or is not: those that waited for it go on.
    fn first_is_done(&mut self, id: (u64, u64), job: &Job, failed: bool) {
        if failed {
            self.jobs.extend(self.links.failed(id));
            return;
        }
        // A transfer makes a new file: what had the old one's identity is another file now.
        let id_there = match job.task {
            Task::Keep | Task::Attributes => job.target.as_ref().and_then(|there| there.id),
            Task::Content(_) | Task::Digests | Task::LinkText => None,
        };
        let first = First { rel: job.rel.clone(), name: job.source.name.clone(), id: id_there };
        for (node, dirs, mut job) in self.links.ready(id, &first) {
            job.link_to = Some(first.clone());
            self.jobs.push_back((node, dirs, job));
        }
    }

    fn changed(&mut self, node: usize) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.changed = true;
        }
    }

    fn unchanged(&mut self, count: u64) {
        self.report.unchanged += count;
        self.shared.mover.unchanged(count);
    }

    // ---- the end ----

    /// Deletes what only the target has, if the guard lets it, and fills the places that became free.
    async fn delete(&mut self) {
        let shared = self.shared.clone();
        let (extras, in_the_way) = (take(&mut self.extras), take(&mut self.in_the_way));
        if shared.mover.is_stopped() {
            let is_left = extras.count() > 0 || !in_the_way.is_empty();
            if is_left && shared.mover.cancel().is_cancelled() {
                shared.mover.failed(&shared.target.shown(b""), Error::Cancelled);
            }
            return;
        }
        let judged = Judged {
            target_entries: self.target_entries,
            source_incomplete: self.source_incomplete,
            source_empty: self.source_empty,
            force: shared.options.force_delete,
            max: shared.options.delete_max,
        };
        if let Some(why) = extras.refusal(&judged) {
            let root = shared.target.shown(b"");
            shared.mover.failed(&root, refused(&root, &why));
            for job in in_the_way {
                let path = job.shown(&shared);
                let why = "a directory that was not deleted has its name at the target";
                shared.mover.failed(&path, Error::unsuitable("sync", &path, why));
            }
            return;
        }
        let mut restore = Vec::new();
        if shared.options.dry_run {
            self.report.planned += extras.count();
            extras.tell(&shared);
        } else {
            (self.report.deleted, restore) = extras.delete(&shared).await;
        }
        for job in in_the_way {
            let done = async {
                let source = shared.source.open(&job.rel, shared.policy.links).await?;
                let target = shared.target.open(&job.rel, Links::Keep).await?;
                let place = self.places.place().await;
                job.run(&shared, &Dirs { source, target: Some(target) }, place).await
            };
            match done.await {
                Ok(Outcome::File(report)) => shared.mover.done(&report),
                Ok(Outcome::Changed(_)) => self.report.links_made += 1,
                Ok(Outcome::Planned) => self.report.planned += 1,
                Ok(Outcome::Unchanged) => {}
                Err(error) => shared.mover.failed(&job.shown(&shared), error),
            }
        }
        for (rel, attrs) in restore {
            set_dir_attrs(&shared, &rel, &attrs).await;
        }
    }

    async fn finish(self) -> Report {
        let Self { shared, mut report, .. } = self;
        report.not_kept = shared.counts_not_kept().await;
        report.read_back = shared.bytes_read_back();
        shared.mover.settle_names().await;
        report.summary = shared.mover.finish();
        report
    }
}

/// What a task of ours returned; its panic is ours.
fn finished<T>(done: Result<T, JoinError>) -> T {
    done.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}
