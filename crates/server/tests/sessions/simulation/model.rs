//! What the disk must hold: kept by the clients as they ask and are answered, compared with the disk in the end.
//!
//! There are two kinds of files. A *final* one is published when it is closed: under its name is one of the versions that
//! may be there, whole, or nothing if that may be. A *direct* one is written in place: of each of its pieces is known
//! whether it was sent, acknowledged, or acknowledged by an fsync. Both are kept for the running disk and for what a
//! power cut may leave.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IoSliceMut;

use sterna_storage::{Backend, Dir, OpenHow};
use sterna_testkit::storage::Disk;

use super::content::Version;

/// Where files are published when they are closed, where they are written in place, and where nobody writes.
pub const FINAL_DIR: &str = "/in";
pub const DIRECT_DIR: &str = "/d";
pub const FIXED_DIR: &str = "/pub";

#[derive(Default)]
pub struct Model {
    versions: u64,
    finals: BTreeMap<Vec<u8>, Final>,
    promises: Vec<Promise>,
    pub direct: Vec<Direct>,
    pub fixed: Vec<(Vec<u8>, Version)>,
}

/// A name under which files are published.
#[derive(Clone, Default)]
pub struct Final {
    /// What it may show: now, and after a power cut.
    live: Vec<Option<Version>>,
    cut: Vec<Option<Version>>,
    /// All whole versions that it may ever have shown.
    ever: Vec<Version>,
    /// Several clients write it: each upload may be over the others.
    is_shared: bool,
    /// A session ended before it was answered: what it asked may still happen, at any time.
    pub is_unsure: bool,
}

/// A version that was acknowledged must be under one of these names, even after a power cut.
struct Promise {
    version: Version,
    names: Vec<Vec<u8>>,
}

/// How sure one piece of a direct file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Piece {
    Unsent,
    /// It may be there, or a part of it.
    Sent,
    Written,
    Synced,
}

/// A file that is written in place.
pub struct Direct {
    pub owner: usize,
    /// The name that it has if all was done that was answered; behind it those that it may have.
    pub names: Vec<Vec<u8>>,
    pub version: Version,
    /// Where each piece begins and ends, and what is known of it.
    pub pieces: Vec<((u64, u64), Piece)>,
    pub is_open_acknowledged: bool,
    /// A power cut cannot take the name away.
    pub name_is_synced: bool,
    pub remove_sent: bool,
    pub is_removed: bool,
    pub is_unsure: bool,
}

impl Direct {
    /// All of it was acknowledged, and it is there for sure.
    pub fn is_whole(&self) -> bool {
        let written = |(_, piece): &((u64, u64), Piece)| *piece >= Piece::Written;
        self.is_open_acknowledged
            && self.names.len() == 1
            && !(self.remove_sent || self.is_unsure)
            && self.pieces.iter().all(written)
    }

    fn check(&self, disk: &Disk, needs: Piece, what: &str) {
        let mut found = self.names.iter().filter_map(|name| get(disk, name));
        let content = found.next();
        assert!(found.next().is_none(), "{what}: under two names: {:?}", shown(&self.names));
        let must_be = match needs {
            Piece::Synced => self.name_is_synced,
            _ => self.is_open_acknowledged,
        };
        let Some(content) = content else {
            let gone = !must_be || self.remove_sent || self.is_unsure;
            return assert!(gone, "{what}: {:?} is lost", shown(&self.names));
        };
        assert!(!self.is_removed || needs == Piece::Synced, "{what}: {:?}", shown(&self.names));
        let sent = self.pieces.iter().filter(|(_, piece)| *piece > Piece::Unsent);
        let end_max = sent.map(|((_, end), _)| *end).max().unwrap_or(0);
        assert!(content.len() as u64 <= end_max, "{what}: {:?} is too long", shown(&self.names));
        for ((begin, end), piece) in &self.pieces {
            let range = (*begin as usize).min(content.len())..(*end as usize).min(content.len());
            let is_sure = *piece >= needs;
            let name = shown(&self.names);
            let whole = range.len() as u64 == end - begin;
            assert!(whole || !is_sure, "{what}: {name:?} ends in {begin}..{end}, {piece:?}");
            let fits = self.version.looks_like(*begin, &content[range], !is_sure);
            assert!(fits, "{what}: {name:?} holds something else in {begin}..{end}, {piece:?}");
        }
    }
}

impl Model {
    pub fn new_version(&mut self, len: u64) -> Version {
        self.versions += 1;
        Version { tag: self.versions, len }
    }

    /// A name that all clients write, with what it shows at first.
    pub fn share(&mut self, name: &[u8], version: Version) {
        let now = vec![Some(version)];
        let of = Final {
            live: now.clone(),
            cut: now,
            ever: vec![version],
            is_shared: true,
            is_unsure: false,
        };
        self.finals.insert(name.to_vec(), of);
    }

    fn at(&mut self, name: &[u8]) -> &mut Final {
        let new = || Final { live: vec![None], cut: vec![None], ..Final::default() };
        self.finals.entry(name.to_vec()).or_insert_with(new)
    }

    pub fn final_of(&mut self, name: &[u8]) -> Final {
        self.at(name).clone()
    }

    /// The one version that is there for sure, if there is one.
    pub fn sure(&mut self, name: &[u8]) -> Option<Version> {
        match self.at(name) {
            Final { live, is_unsure: false, is_shared: false, .. } if live.len() == 1 => live[0],
            _ => None,
        }
    }

    /// Every whole version that a reader may have found.
    pub fn ever(&mut self, name: &[u8]) -> Vec<Version> {
        self.at(name).ever.clone()
    }

    /// A CLOSE behind all WRITEs was sent: from now on the version may be there.
    pub fn close_sent(&mut self, name: &[u8], version: Version) {
        self.promises.retain(|promise| !promise.names.iter().any(|it| it == name));
        let of = self.at(name);
        of.live.push(Some(version));
        of.cut.push(Some(version));
        of.ever.push(version);
        of.is_unsure = true;
    }

    /// … and answered; `written`: were all WRITEs, too?
    pub fn close_answered(&mut self, name: &[u8], version: Version, written: bool, closed: bool) {
        let of = self.at(name);
        of.is_unsure = false;
        if !written {
            of.live.retain(|it| *it != Some(version));
            of.cut.retain(|it| *it != Some(version));
            of.ever.retain(|it| *it != version);
        } else if closed && !of.is_shared {
            of.live = vec![Some(version)];
            of.cut = vec![Some(version)];
            self.promises.push(Promise { version, names: vec![name.to_vec()] });
        }
    }

    pub fn rename_sent(&mut self, from: &[u8], to: &[u8]) {
        for promise in &mut self.promises {
            if promise.names.iter().any(|it| it == from) {
                promise.names.push(to.to_vec());
            }
        }
        let of = self.at(from);
        let some =
            |of: &[Option<Version>]| of.iter().flatten().copied().map(Some).collect::<Vec<_>>();
        let (live, cut) = (some(&of.live), some(&of.cut));
        of.live.push(None);
        of.cut.push(None);
        of.is_unsure = true;
        let of = self.at(to);
        of.live.extend(&live);
        of.cut.extend(&cut);
        of.ever.extend(live.iter().flatten());
        of.is_unsure = true;
    }

    pub fn rename_answered(&mut self, from: &[u8], to: &[u8], done: bool) {
        for name in [from, to] {
            self.at(name).is_unsure = false;
        }
        if done {
            self.at(from).live = vec![None];
            self.at(to).live.retain(Option::is_some);
        }
    }

    pub fn remove_sent(&mut self, name: &[u8]) {
        self.promises.retain(|promise| !promise.names.iter().any(|it| it == name));
        let of = self.at(name);
        of.live.push(None);
        of.cut.push(None);
        of.is_unsure = true;
    }

    pub fn remove_answered(&mut self, name: &[u8], done: bool) {
        let of = self.at(name);
        of.is_unsure = false;
        if done {
            of.live = vec![None];
        }
    }

    /// What was true for a disk after a power cut is now true for a running one.
    pub fn take_cut(&mut self) {
        for of in self.finals.values_mut() {
            of.live.clone_from(&of.cut);
            of.is_unsure = false;
        }
        for of in &mut self.direct {
            of.is_open_acknowledged = of.name_is_synced;
            (of.is_removed, of.is_unsure) = (false, false);
            for (_, piece) in &mut of.pieces {
                if *piece == Piece::Written {
                    *piece = Piece::Sent;
                }
            }
        }
    }

    /// The disk of a server that has ended in peace.
    pub fn check_running(&self, disk: &Disk) {
        for (name, of) in &self.finals {
            let may = if of.is_shared {
                of.ever.iter().copied().map(Some).collect()
            } else {
                of.live.clone()
            };
            check_final(disk, name, &may, "the running disk");
        }
        for of in &self.direct {
            of.check(disk, Piece::Written, "the running disk");
        }
        self.check_names(disk, "the running disk");
    }

    /// The disk that a machine finds after a power cut.
    pub fn check_cut(&self, disk: &Disk, what: &str) {
        for (name, of) in &self.finals {
            let may = if of.is_shared {
                of.ever.iter().copied().map(Some).collect()
            } else {
                of.cut.clone()
            };
            check_final(disk, name, &may, what);
        }
        for promise in &self.promises {
            let is_there = |name: &Vec<u8>| {
                get(disk, name).is_some_and(|found| is_version(&found, promise.version))
            };
            let kept = promise.names.iter().any(is_there);
            assert!(kept, "{what}: {:?} was acknowledged and is lost", shown(&promise.names));
        }
        for of in &self.direct {
            of.check(disk, Piece::Synced, what);
        }
        self.check_names(disk, what);
    }

    /// There is nothing that nobody has asked for.
    fn check_names(&self, disk: &Disk, what: &str) {
        let direct: BTreeSet<_> = self.direct.iter().flat_map(|of| &of.names).collect();
        for dir in [FINAL_DIR, DIRECT_DIR] {
            let mut entries = Vec::new();
            let mut listing: Box<dyn Dir> = disk.open_dir(dir.as_bytes()).unwrap();
            while listing.next_entries(1000, &mut entries).unwrap() {}
            for entry in entries {
                let name = [dir.as_bytes(), b"/", &entry.name].concat();
                let known = self.finals.contains_key(&name) || direct.contains(&name);
                let known = known || entry.name == b".sterna-staging";
                assert!(known, "{what}: nobody has made {:?}", name.escape_ascii().to_string());
            }
        }
    }
}

fn check_final(disk: &Disk, name: &[u8], may: &[Option<Version>], what: &str) {
    let found = get(disk, name);
    let fits = may.iter().any(|may| match (may, &found) {
        (None, None) => true,
        (Some(version), Some(found)) => is_version(found, *version),
        _ => false,
    });
    let (name, len) = (name.escape_ascii().to_string(), found.map(|found| found.len()));
    assert!(fits, "{what}: {name} has {len:?} bytes; may be {may:?}");
}

fn is_version(found: &[u8], version: Version) -> bool {
    found.len() as u64 == version.len && version.looks_like(0, found, false)
}

fn shown(names: &[Vec<u8>]) -> Vec<String> {
    names.iter().map(|name| name.escape_ascii().to_string()).collect()
}

/// All of a file; `None` if there is none.
fn get(disk: &Disk, name: &[u8]) -> Option<Vec<u8>> {
    let file = disk.open(name, &OpenHow { read: true, ..OpenHow::default() }).ok()?;
    let mut bytes = vec![0; file.stat().unwrap().size as usize];
    let len = file.read_at(&mut [IoSliceMut::new(&mut bytes)], 0).unwrap();
    assert_eq!(len, bytes.len());
    Some(bytes)
}
