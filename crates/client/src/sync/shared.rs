//! What all parts of one sync share: both trees, the settings, and what was learned on the way.

use std::collections::BTreeMap;
use std::mem::take;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use sterna_ssh_crypto::DigestAlgorithm;

use super::apply::common_algorithm;
use super::compare::Rules;
use super::entry::Entry;
use super::owners::Owners;
use super::plan::Policy;
use super::side::{Dir, Side, Wanted};
use super::{GROUP_NAME, SyncOptions, TIMES, USER_NAME};
use crate::Error;
use crate::transfer::Mover;

/// What all parts of one sync share.
pub(crate) struct Shared {
    pub(crate) source: Side,
    pub(crate) target: Side,
    /// Counts and tells; the engine towards the server, or towards the target where both are servers.
    pub(crate) mover: Mover,
    pub(crate) options: SyncOptions,
    pub(crate) policy: Policy,
    pub(crate) algorithm: DigestAlgorithm,
    owners: Owners,
    no_modes: AtomicBool,
    modes_known: AtomicBool,
    times_known: AtomicBool,
    /// Bytes that may still begin to travel.
    bytes_left: AtomicU64,
    not_kept: Mutex<BTreeMap<&'static str, u64>>,
    read_back: AtomicU64,
}

impl Shared {
    pub(crate) async fn new(
        source: Side,
        target: Side,
        mover: Mover,
        options: SyncOptions,
        policy: Policy,
    ) -> Result<Self, Error> {
        Ok(Self {
            algorithm: common_algorithm(&source, &target).await?,
            source,
            target,
            mover,
            bytes_left: AtomicU64::new(options.transfer_max.unwrap_or(u64::MAX)),
            options,
            policy,
            owners: Owners::default(),
            no_modes: AtomicBool::new(false),
            modes_known: AtomicBool::new(false),
            times_known: AtomicBool::new(false),
            not_kept: Mutex::default(),
            read_back: AtomicU64::new(0),
        })
    }

    /// What counts when two entries are compared now.
    pub(crate) fn rules(&self) -> Rules {
        let no_modes = self.no_modes.load(Ordering::Relaxed);
        Rules { no_modes, ..self.policy.rules }
    }

    /// The attributes that the target of `source` should have.
    pub(crate) fn wanted(&self, source: &Entry, there: Option<&Entry>) -> Wanted {
        let no_modes = self.no_modes.load(Ordering::Relaxed);
        Wanted {
            // Set-id bits are never taken over (CLT-9).
            mode: source.mode.map(|mode| mode & 0o777).filter(|_| !no_modes),
            times: source.modified.map(|time| (source.accessed.unwrap_or(time), time)),
            owner: self.owner_of(source, there),
        }
    }

    /// The owner that the target should have, if that is asked for. Where only one half is, the other
    /// one of what is `there` is kept; of nothing it is not known.
    pub(crate) fn owner_of(&self, source: &Entry, there: Option<&Entry>) -> Option<(u32, u32)> {
        let ours = source.owner?;
        let theirs = || there.and_then(|there| there.owner);
        match (self.options.owner, self.options.group) {
            (true, true) => Some(ours),
            (true, false) => theirs().map(|theirs| (ours.0, theirs.1)),
            (false, true) => theirs().map(|theirs| (theirs.0, ours.1)),
            (false, false) => None,
        }
    }

    /// The same for what is new in `dir`.
    pub(crate) async fn owner_of_new(&self, source: &Entry, dir: &Dir) -> Option<(u32, u32)> {
        if !(self.options.owner || self.options.group) {
            return None;
        }
        let there = match self.options.owner && self.options.group {
            true => None,
            false => self.target.look(dir, &source.name).await.ok().flatten(),
        };
        self.owner_of(source, there.as_ref())
    }

    /// Gives entries of the source the numbers that their owners have at the target, if owners count and go
    /// by name. `there` is what the target has in the same directory.
    ///
    /// # Errors
    /// If a server's channel ends meanwhile.
    pub(crate) async fn translate_owners(
        &self,
        entries: &mut [Entry],
        there: &[Entry],
    ) -> Result<(), Error> {
        let SyncOptions { owner, group, numeric_ids, .. } = self.options;
        if numeric_ids || !(owner || group) {
            return Ok(());
        }
        self.owners.translate((&self.source, &self.target), entries, there).await
    }

    /// Something of a file could not be kept; the report counts it.
    pub(crate) fn not_kept(&self, what: &'static str) {
        let mut counts = self.not_kept.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(what).or_default() += 1;
    }

    /// Content came here only to be compared.
    pub(crate) fn read_back(&self, bytes: u64) {
        self.read_back.fetch_add(bytes.max(1), Ordering::Relaxed);
    }

    /// Bytes of content that came here only to be compared.
    pub(crate) fn bytes_read_back(&self) -> u64 {
        self.read_back.load(Ordering::Relaxed)
    }

    /// Takes `bytes` from what may still travel.
    pub(crate) fn take_bytes(&self, bytes: u64, path: &[u8]) -> Result<(), Error> {
        let take = |left: u64| left.checked_sub(bytes);
        let taken = self.bytes_left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
        let why = "--max-transfer is reached";
        taken.map(drop).map_err(|_| Error::unsuitable("transfer", path, why))
    }

    /// What could not be kept, by kind.
    pub(crate) async fn counts_not_kept(&self) -> Vec<(&'static str, u64)> {
        let (users, groups) = self.owners.unmapped().await;
        let mut counts = self.not_kept.lock().unwrap_or_else(PoisonError::into_inner);
        let unmapped =
            [(USER_NAME, users, self.options.owner), (GROUP_NAME, groups, self.options.group)];
        let unmapped = unmapped.into_iter().filter(|(_, count, counts)| *counts && *count > 0);
        let unmapped = unmapped.map(|(what, count, _)| (what, count));
        take(&mut *counts).into_iter().chain(unmapped).collect()
    }

    /// Looks once whether the target keeps modes at all, and once whether it keeps times: after the first that
    /// were set.
    pub(crate) async fn learn_attrs(&self, dir: &Dir, name: &[u8], source: &Entry, there: &Entry) {
        let modes_differ =
            |there: &Entry| source.mode.map(|m| m & 0o777) != there.mode.map(|m| m & 0o777);
        let times_differ = |there: &Entry| {
            source.modified.zip(there.modified).is_some_and(|(ours, theirs)| !ours.agrees(theirs))
        };
        let modes = modes_differ(there) && !self.modes_known.swap(true, Ordering::Relaxed);
        let times = times_differ(there) && !self.times_known.swap(true, Ordering::Relaxed);
        if !(modes || times) {
            return;
        }
        let Ok(Some(there)) = self.target.look(dir, name).await else { return };
        if modes && modes_differ(&there) {
            self.no_modes.store(true, Ordering::Relaxed);
            self.not_kept("mode");
        }
        if times && times_differ(&there) {
            self.not_kept(TIMES);
        }
    }
}
