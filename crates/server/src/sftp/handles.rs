//! Open files and directories of one session: slot and generation, so that a number used again is
//! another handle.

use std::collections::hash_map::{Entry, RandomState};
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use sterna_storage::File;

use super::handle_budget::HandleBudget;
use super::listing::OpenDir;
use super::path;
use crate::jobs::Cancel;
use crate::limits::CLOSED_PATHS_MAX;
use crate::observe::FileMoves;

/// A file that a client holds open, with what it was opened for.
pub(crate) struct OpenFile {
    pub(crate) file: Box<dyn File>,
    /// Its path, and what has moved through it.
    pub(crate) moves: Arc<FileMoves>,
    pub(crate) reads: bool,
    pub(crate) writes: bool,
    /// Every WRITE goes to the end, and no other one into the middle of it.
    pub(crate) appends: bool,
    /// The last READ needed no waiting. Used by the session's own task only.
    pub(crate) at_hand: AtomicBool,
    /// Storage refused a WRITE: what is there is not what the client sent. Closing says so once more.
    pub(crate) write_failed: AtomicBool,
    /// An fsync failed. Systems say that once, and yes to the next one, whatever became of the data.
    pub(crate) sync_failed: AtomicBool,
    /// The client has closed it: digests that are still computed stop.
    pub(crate) closing: Cancel,
}

/// What a handle is open on.
pub(crate) enum Open {
    File(Arc<OpenFile>),
    /// A listing moves on with every READDIR.
    Dir(Arc<OpenDir>),
}

impl Open {
    pub(crate) fn as_file(&self) -> Option<&OpenFile> {
        match self {
            Self::File(file) => Some(file),
            Self::Dir(_) => None,
        }
    }
}

/// Names one entry of [`Handles`]. On the wire: slot, then generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct HandleId {
    slot: u32,
    generation: u32,
}

impl HandleId {
    pub(crate) fn from_wire(wire: &[u8]) -> Option<Self> {
        let (slot, generation) = wire.split_first_chunk::<4>()?;
        Some(Self {
            slot: u32::from_be_bytes(*slot),
            generation: u32::from_be_bytes(generation.try_into().ok()?),
        })
    }

    pub(crate) fn to_wire(self) -> [u8; 8] {
        let both = u64::from(self.slot) << 32 | u64::from(self.generation);
        both.to_be_bytes()
    }
}

struct Slot {
    generation: u32,
    open: Option<Open>,
    /// The number of an open file's path.
    path: u64,
    /// Of [`Handles::names`] when it was opened; `None` if what the path names was about to change.
    names: Option<u64>,
}

/// The table. Bounded: room is reserved before a file is opened, so that an OPEN over the limit
/// creates nothing.
pub(crate) struct Handles {
    slots: Vec<Slot>,
    free: Vec<u32>,
    files_and_dirs: Room,
    dirs: Room,
    /// What all sessions have together.
    budget: HandleBudget,
    /// Makes a number of a path.
    path_numbers: RandomState,
    /// Open files by the numbers of their paths.
    files_of_path: HashMap<u64, usize>,
    /// Paths of files that were written and closed since any name was changed otherwise: they name no
    /// directory. [`CLOSED_PATHS_MAX`] at most.
    closed_files: HashSet<u64>,
    /// Counts what may change any name.
    names: u64,
}

/// Handles that exist or are promised, and their bound.
struct Room {
    used: usize,
    max: usize,
}

impl Room {
    fn take(&mut self) -> bool {
        let free = self.used < self.max;
        self.used += usize::from(free);
        free
    }
}

impl Handles {
    pub(crate) fn new(max: usize, dirs_max: usize, budget: HandleBudget) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            files_and_dirs: Room { used: 0, max },
            dirs: Room { used: 0, max: dirs_max },
            budget,
            path_numbers: RandomState::new(),
            files_of_path: HashMap::new(),
            closed_files: HashSet::new(),
            names: 0,
        }
    }

    pub(crate) fn max(&self) -> usize {
        self.files_and_dirs.max
    }

    /// No handle is open or promised.
    pub(crate) fn is_empty(&self) -> bool {
        self.files_and_dirs.used == 0
    }

    /// Promises room for one handle; `false` at the limit.
    pub(crate) fn reserve(&mut self, dir: bool) -> bool {
        if dir && !self.dirs.take() {
            return false;
        }
        let mut free = self.files_and_dirs.take();
        if free && !self.budget.take() {
            self.files_and_dirs.used -= 1;
            free = false;
        }
        if !free && dir {
            self.dirs.used -= 1;
        }
        free
    }

    /// Gives back a promise that was not used.
    pub(crate) fn release(&mut self, dir: bool) {
        self.files_and_dirs.used -= 1;
        self.dirs.used -= usize::from(dir);
        self.budget.give_back(1);
    }

    /// Uses a promise. `names_change`: something waits to run that may change what the path names.
    pub(crate) fn insert(&mut self, open: Open, names_change: bool) -> HandleId {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, open: None, path: 0, names: None });
            self.slots.len() as u32 - 1
        });
        let path = match &open {
            Open::File(file) => self.number_of(&file.moves.path),
            Open::Dir(_) => 0,
        };
        if matches!(open, Open::File(_)) {
            *self.files_of_path.entry(path).or_default() += 1;
        }
        let entry = &mut self.slots[slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        entry.open = Some(open);
        entry.path = path;
        entry.names = (!names_change).then_some(self.names);
        HandleId { slot, generation: entry.generation }
    }

    pub(crate) fn get(&self, id: HandleId) -> Option<&Open> {
        let slot = self.slots.get(id.slot as usize)?;
        slot.open.as_ref().filter(|_| slot.generation == id.generation)
    }

    pub(crate) fn file(&self, id: HandleId) -> Option<&Arc<OpenFile>> {
        match self.get(id)? {
            Open::File(file) => Some(file),
            Open::Dir(_) => None,
        }
    }

    /// Stands for a path, however it is spelled. Two paths may share a number; nobody can make them.
    pub(crate) fn number_of(&self, path: &[u8]) -> u64 {
        let mut number = self.path_numbers.build_hasher();
        path::components(path).for_each(|name| name.hash(&mut number));
        number.finish()
    }

    /// The number of the path by which a file was opened, if that must still name the file as far as this
    /// session is concerned.
    pub(crate) fn path_of(&self, id: HandleId) -> Option<u64> {
        self.file(id)?;
        let slot = self.slots.get(id.slot as usize)?;
        (slot.names == Some(self.names)).then_some(slot.path)
    }

    /// Something was asked that may change what any path names.
    pub(crate) fn names_change(&mut self) {
        self.names += 1;
        self.closed_files.clear();
    }

    /// A file of this path is closed, and what the path names has not changed since it was opened.
    pub(crate) fn note_closed(&mut self, path: u64) {
        if self.closed_files.len() >= CLOSED_PATHS_MAX {
            self.closed_files.clear();
        }
        self.closed_files.insert(path);
    }

    /// The file of this path gets another name.
    pub(crate) fn note_renamed(&mut self, path: u64) {
        self.closed_files.remove(&path);
    }

    /// Forgets what it only helps to know, for its memory.
    pub(crate) fn forget_closed(&mut self) {
        self.closed_files = HashSet::new();
    }

    /// Whether this path names a file if it names anything.
    pub(crate) fn names_file(&self, path: u64) -> bool {
        self.closed_files.contains(&path)
    }

    /// Whether a file is open by a path of this number.
    pub(crate) fn is_open(&self, path: u64) -> bool {
        self.files_of_path.contains_key(&path)
    }

    /// Ends a handle and gives its room back.
    pub(crate) fn remove(&mut self, id: HandleId) -> Option<Open> {
        self.get(id)?;
        let slot = &mut self.slots[id.slot as usize];
        let open = slot.open.take()?;
        if let (Open::File(_), Entry::Occupied(mut files)) =
            (&open, self.files_of_path.entry(slot.path))
        {
            *files.get_mut() -= 1;
            if *files.get() == 0 {
                files.remove();
            }
        }
        self.free.push(id.slot);
        self.release(matches!(open, Open::Dir(_)));
        Some(open)
    }

    /// Takes everything out, at the end of a session.
    pub(crate) fn drain(&mut self) -> Vec<Open> {
        self.files_of_path.clear();
        self.slots.iter_mut().filter_map(|slot| slot.open.take()).collect()
    }
}

impl Drop for Handles {
    /// Gives back what a session that was cut had taken or was promised.
    fn drop(&mut self) {
        self.budget.give_back(self.files_and_dirs.used);
    }
}

#[cfg(test)]
mod tests {
    use sterna_storage::{Backend, Dir, DirEntry};

    use super::*;

    struct Empty;

    impl Dir for Empty {
        fn next_entries(
            &mut self,
            _max: usize,
            _entries: &mut Vec<DirEntry>,
        ) -> sterna_storage::Result<bool> {
            Ok(false)
        }

        fn stat(&self) -> sterna_storage::Result<sterna_storage::Attrs> {
            Err(sterna_storage::Error::unsupported("stat"))
        }
    }

    fn dir() -> Open {
        Open::Dir(Arc::new(OpenDir::new(Box::new(Empty), b"/".to_vec())))
    }

    #[test]
    fn a_closed_handle_stays_dead_when_its_slot_is_used_again() {
        let mut handles = Handles::new(2, 2, HandleBudget::default());
        assert!(handles.reserve(true));
        let old = handles.insert(dir(), false);
        assert!(handles.remove(old).is_some());
        assert!(handles.reserve(true));

        let new = handles.insert(dir(), false);

        assert_ne!(old, new);
        assert!(handles.get(old).is_none());
        assert!(handles.remove(old).is_none());
        assert!(handles.get(new).is_some());
    }

    fn file(path: &str) -> Open {
        let how = sterna_storage::OpenHow { create: true, write: true, ..Default::default() };
        let file = sterna_storage::Memory::new().open(b"/f", &how).unwrap();
        Open::File(Arc::new(OpenFile {
            file,
            moves: Arc::new(FileMoves::new(path.as_bytes().to_vec())),
            reads: false,
            writes: true,
            appends: false,
            at_hand: AtomicBool::new(false),
            write_failed: AtomicBool::new(false),
            sync_failed: AtomicBool::new(false),
            closing: Cancel::default(),
        }))
    }

    #[test]
    fn a_path_is_open_until_its_last_handle_is_closed() {
        let mut handles = Handles::new(4, 4, HandleBudget::default());
        let is_open =
            |handles: &Handles, path: &str| handles.is_open(handles.number_of(path.as_bytes()));
        for dir in [false, false, false, true] {
            assert!(handles.reserve(dir));
        }
        handles.insert(dir(), false);
        assert!(!is_open(&handles, "/"), "directories do not count");

        let [first, second] = ["/a//f", "/a/f"].map(|path| handles.insert(file(path), false));
        let other = handles.insert(file("/a/g"), false);
        assert!(is_open(&handles, "/a/./f") && is_open(&handles, "/a/g"));
        assert!(!is_open(&handles, "/a") && !is_open(&handles, "/af"));

        handles.remove(first).unwrap();
        assert!(is_open(&handles, "/a/f"));
        handles.remove(other).unwrap();
        handles.remove(second).unwrap();
        assert!(!is_open(&handles, "/a/f") && handles.files_of_path.is_empty());
    }

    #[test]
    fn a_path_names_a_closed_file_until_names_change() {
        let mut handles = Handles::new(10, 1, HandleBudget::default());
        (0..4).for_each(|_| assert!(handles.reserve(false)));
        let known = handles.insert(file("/a"), false);
        let unsure = handles.insert(file("/b"), true);
        let path = handles.path_of(known).unwrap();
        assert_eq!(path, handles.number_of(b"/a"));
        assert_eq!(handles.path_of(unsure), None);

        handles.note_closed(path);
        assert!(handles.names_file(path) && !handles.names_file(handles.number_of(b"/b")));
        handles.note_renamed(path);
        assert!(!handles.names_file(path));

        handles.note_closed(path);
        handles.names_change();
        assert!(!handles.names_file(path));
        assert_eq!(handles.path_of(known), None, "it may have been renamed");
        let later = handles.insert(file("/c"), false);
        assert!(handles.path_of(later).is_some());
        (0..2 * CLOSED_PATHS_MAX as u64).for_each(|path| handles.note_closed(path));
        assert!(handles.closed_files.len() <= CLOSED_PATHS_MAX);
    }

    #[test]
    fn nothing_but_its_own_eight_bytes_names_a_handle() {
        let mut handles = Handles::new(2, 2, HandleBudget::default());
        assert!(handles.reserve(true));
        let id = handles.insert(dir(), false);
        let wire = id.to_wire();

        assert_eq!(HandleId::from_wire(&wire), Some(id));
        for bad in [&wire[..7], &[], &[wire, wire].concat(), &[0; 257]] {
            assert_eq!(HandleId::from_wire(bad), None);
        }
        for bad in [[0xff; 8], [0; 8]] {
            assert!(HandleId::from_wire(&bad).and_then(|id| handles.get(id)).is_none());
        }
    }

    #[test]
    fn promises_count_and_come_back() {
        let mut handles = Handles::new(3, 1, HandleBudget::default());

        assert!(handles.reserve(true));
        assert!(!handles.reserve(true), "one directory");
        assert!(handles.reserve(false));
        assert!(handles.reserve(false));
        assert!(!handles.reserve(false), "three in all");
        handles.release(false);
        assert!(handles.reserve(false));
    }

    #[test]
    fn all_sessions_together_have_a_budget() {
        let budget = HandleBudget::default();
        budget.set_max(3);
        let mut one = Handles::new(10, 10, budget.clone());
        let mut other = Handles::new(10, 10, budget.clone());

        assert!(one.reserve(false) && one.reserve(true) && other.reserve(false));
        assert!(!other.reserve(false) && !one.reserve(true));
        one.release(true);
        assert!(other.reserve(true), "what is given back is for everybody");

        drop(other);
        assert_eq!(budget.used(), 1, "a session that is cut gives back what it had");
        drop(one);
        assert_eq!(budget.used(), 0);
    }
}
