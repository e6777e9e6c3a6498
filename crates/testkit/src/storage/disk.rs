//! A disk that remembers what was synced, and forgets the rest when the power is cut.
//!
//! Every write and every change of a name is *pending* until somebody syncs: a file's content and size with the file, a
//! name with the directory that holds it. A power cut comes at a call that a test chooses; afterwards nothing works any
//! more. [`Disk::after_cut`] is the disk that the machine finds when it starts again: what was synced, and of the rest
//! whatever [`Kept`] says, in any order and torn within a write.
//!
//! A rename is one change, as on every file system with a journal: both names or neither. There are files and directories,
//! no links.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::IoSliceMut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sterna_storage::{
    Attrs, Backend, Dir, DirEntry, Error, ErrorKind, File, FileKind, OpenHow, Result, SetAttrs,
    Space, Time,
};

use crate::Seed;

/// What a power cut leaves of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    All,
    /// Names and sizes; the content is zeros.
    Names,
    /// Whatever the seed says: any of it, torn.
    Some(u64),
}

/// Bytes that a device writes whole.
const SECTOR_LEN: usize = 512;

/// See the module. Clones show the same disk.
#[derive(Clone)]
pub struct Disk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    calls: u64,
    cut_at: Option<u64>,
    clock: i64,
    inodes: Vec<Inode>,
    /// Canonical paths; the root is `/`.
    names: Names,
    synced: Names,
    pending: Vec<NameChange>,
    open: usize,
    journal: bool,
    /// Says which calls need not be waited for.
    at_hand: Option<Seed>,
    /// Says which syncs of files fail: one in so many.
    bad_syncs: Option<(usize, Seed)>,
}

type Names = BTreeMap<Vec<u8>, usize>;

#[derive(Clone, Default)]
struct Inode {
    is_dir: bool,
    mode: u32,
    changed: i64,
    data: Vec<u8>,
    synced: Vec<u8>,
    pending: Vec<Change>,
}

/// A change of a file's content that was not synced.
#[derive(Clone)]
enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Resize(usize),
}

/// A change of names that was not synced.
#[derive(Clone)]
struct NameChange {
    removed: Option<Vec<u8>>,
    /// With what it names.
    added: Option<(Vec<u8>, usize)>,
}

impl Disk {
    /// An empty disk.
    pub fn new() -> Self {
        let mut state = State::default();
        let root = state.new_inode(true, 0o755);
        state.names.insert(b"/".to_vec(), root);
        state.synced.insert(b"/".to_vec(), root);
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// As [`Disk::new`], where syncing a file brings its name to stable storage too, as the file systems of Linux do
    /// for a new one.
    pub fn with_journal() -> Self {
        let disk = Self::new();
        disk.state().journal = true;
        disk
    }

    /// From now on half of the calls that may be answered without waiting are, by this seed.
    pub fn answers_at_once(&self, seed: u64) {
        self.state().at_hand = Some(Seed::new(seed));
    }

    /// From now on one sync of a file in `one_in` fails, by this seed, as Linux does it: what was to be synced can be read
    /// until the power goes, and no later sync brings it to stable storage.
    pub fn syncs_fail(&self, one_in: usize, seed: u64) {
        self.state().bad_syncs = Some((one_in, Seed::new(seed)));
    }

    /// Moves the clock that files have their times from, in seconds, also back.
    pub fn move_clock(&self, by: i64) {
        self.state().clock += by;
    }

    /// The power goes at the call number `at`, counted from 0: that one and all later ones fail.
    pub fn cut_at(&self, at: u64) {
        self.state().cut_at = Some(at);
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Files and directories that are open.
    pub fn open_count(&self) -> usize {
        self.state().open
    }

    /// Brings everything to stable storage, as if it had been there for long.
    pub fn settle(&self) {
        let mut state = self.state();
        state.synced = state.names.clone();
        state.pending.clear();
        for inode in &mut state.inodes {
            inode.sync();
        }
    }

    /// What the machine finds when it starts again.
    pub fn after_cut(&self, kept: Kept) -> Self {
        let before = self.state();
        let mut random = Seed::new(match kept {
            Kept::Some(seed) => seed,
            _ => 0,
        });
        let mut names = before.synced.clone();
        for change in &before.pending {
            let keeps = match kept {
                Kept::Nothing => false,
                Kept::All | Kept::Names => true,
                Kept::Some(_) => random.below(2) == 0,
            };
            if keeps {
                change.apply(&mut names);
            }
        }
        // What is in no directory any more is lost.
        let reachable: Vec<_> =
            names.keys().filter(|path| is_reachable(&names, path)).cloned().collect();
        names.retain(|path, _| reachable.contains(path));
        let inodes = before.inodes.iter().map(|inode| inode.after_cut(kept, &mut random)).collect();
        let (clock, journal) = (before.clock, before.journal);
        let synced = names.clone();
        let state = State { inodes, synced, names, clock, journal, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this call need not be waited for.
    fn is_at_hand(&self) -> bool {
        self.state().at_hand.as_mut().is_some_and(|random| random.below(2) == 0)
    }

    /// One call: the clock goes on, and the power may be gone.
    fn call(&self, doing: &'static str) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        let number = state.calls;
        state.calls += 1;
        state.clock += 1;
        match state.cut_at {
            Some(at) if number >= at => Err(Error::new(ErrorKind::Other, doing)),
            _ => Ok(state),
        }
    }
}

impl Default for Disk {
    fn default() -> Self {
        Self::new()
    }
}

fn is_reachable(names: &Names, path: &[u8]) -> bool {
    path == b"/" || names.contains_key(parent(path)) && is_reachable(names, parent(path))
}

fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        None | Some(0) => b"/",
        Some(at) => &path[..at],
    }
}

/// Absolute, without dots and double slashes.
fn canonical(path: &[u8]) -> Vec<u8> {
    let mut names: Vec<&[u8]> = Vec::new();
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    if names.is_empty() {
        return b"/".to_vec();
    }
    names.iter().flat_map(|name| [&b"/"[..], name].concat()).collect()
}

impl Inode {
    fn write(&mut self, at: usize, bytes: &[u8]) {
        apply_write(&mut self.data, at, bytes);
        self.pending.push(Change::Write { at, bytes: bytes.to_vec() });
    }

    fn resize(&mut self, len: usize) {
        self.data.resize(len, 0);
        self.pending.push(Change::Resize(len));
    }

    fn sync(&mut self) {
        for change in self.pending.drain(..) {
            match change {
                Change::Write { at, bytes } => apply_write(&mut self.synced, at, &bytes),
                Change::Resize(len) => self.synced.resize(len, 0),
            }
        }
    }

    fn after_cut(&self, kept: Kept, random: &mut Seed) -> Self {
        let mut data = self.synced.clone();
        for change in &self.pending {
            match (kept, change) {
                (Kept::Nothing, _) => {}
                (Kept::All, Change::Write { at, bytes }) => apply_write(&mut data, *at, bytes),
                (Kept::Names, Change::Write { at, bytes }) => {
                    let end = at + bytes.len();
                    data.resize(data.len().max(end), 0);
                }
                (Kept::Some(_), Change::Write { at, bytes }) => {
                    for (number, sector) in bytes.chunks(SECTOR_LEN).enumerate() {
                        if random.below(4) > 0 {
                            apply_write(&mut data, at + number * SECTOR_LEN, sector);
                        }
                    }
                }
                (Kept::Some(_), Change::Resize(_)) if random.below(2) == 0 => {}
                (_, Change::Resize(len)) => data.resize(*len, 0),
            }
        }
        Self { synced: data.clone(), data, pending: Vec::new(), ..self.clone() }
    }
}

fn apply_write(data: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    let end = at + bytes.len();
    if data.len() < end {
        data.resize(end, 0);
    }
    data[at..end].copy_from_slice(bytes);
}

impl NameChange {
    fn apply(&self, names: &mut Names) {
        if let Some(removed) = &self.removed {
            names.remove(removed);
        }
        if let Some((added, inode)) = &self.added {
            names.insert(added.clone(), *inode);
        }
    }

    fn is_in(&self, dir: &[u8]) -> bool {
        let added = self.added.as_ref().map(|(path, _)| path);
        self.removed.iter().chain(added).any(|path| parent(path) == dir)
    }
}

impl State {
    fn new_inode(&mut self, is_dir: bool, mode: u32) -> usize {
        let changed = self.clock;
        self.inodes.push(Inode { is_dir, mode, changed, ..Inode::default() });
        self.inodes.len() - 1
    }

    fn find(&self, path: &[u8], doing: &'static str) -> Result<usize> {
        let found = self.names.get(&canonical(path)).copied();
        found.ok_or(Error::new(ErrorKind::NotFound, doing))
    }

    fn change_names(&mut self, change: NameChange) {
        change.apply(&mut self.names);
        self.pending.push(change);
    }

    /// Brings those changes of names to stable storage.
    fn sync_names(&mut self, which: impl Fn(&NameChange) -> bool) {
        let (these, others) = self.pending.drain(..).partition::<Vec<_>, _>(which);
        for change in these {
            change.apply(&mut self.synced);
        }
        self.pending = others;
    }

    fn attrs(&self, inode: usize) -> Attrs {
        let of = &self.inodes[inode];
        let time = Time { seconds: of.changed, nanos: 0 };
        Attrs {
            kind: if of.is_dir { FileKind::Directory } else { FileKind::Regular },
            size: of.data.len() as u64,
            mode: of.mode,
            uid: 0,
            gid: 0,
            accessed: time,
            modified: time,
            changed: time,
            links: 1,
            id: (1, 1 + inode as u64),
        }
    }

    fn set_attrs(&mut self, inode: usize, attrs: &SetAttrs) {
        let clock = self.clock;
        let of = &mut self.inodes[inode];
        if let Some(size) = attrs.size {
            of.resize(size as usize);
        }
        of.mode = attrs.mode.unwrap_or(of.mode);
        of.changed = clock;
    }
}

impl Backend for Disk {
    fn open(&self, path: &[u8], how: &OpenHow) -> Result<Box<dyn File>> {
        let mut state = self.call("open")?;
        let path = canonical(path);
        let fail = |kind| Error::new(kind, "open");
        let inode = match state.names.get(&path).copied() {
            Some(_) if how.create && how.exclusive => return Err(fail(ErrorKind::AlreadyExists)),
            Some(inode) if state.inodes[inode].is_dir => return Err(fail(ErrorKind::IsADirectory)),
            Some(inode) => inode,
            None if !how.create => return Err(fail(ErrorKind::NotFound)),
            None => {
                state.find(parent(&path), "open")?;
                let inode = state.new_inode(false, how.mode.unwrap_or(0o644));
                state.change_names(NameChange { removed: None, added: Some((path, inode)) });
                inode
            }
        };
        if how.truncate && !state.inodes[inode].data.is_empty() {
            state.inodes[inode].resize(0);
        }
        state.open += 1;
        Ok(Box::new(DiskFile { disk: self.clone(), inode, append: how.append }))
    }

    fn stat(&self, path: &[u8], _follow: bool) -> Result<Attrs> {
        let state = self.call("stat")?;
        let inode = state.find(path, "stat")?;
        Ok(state.attrs(inode))
    }

    fn try_stat(&self, path: &[u8], follow: bool) -> Option<Result<Attrs>> {
        self.is_at_hand().then(|| self.stat(path, follow))
    }

    fn open_dir(&self, path: &[u8]) -> Result<Box<dyn Dir>> {
        let mut state = self.call("opendir")?;
        let inode = state.find(path, "opendir")?;
        if !state.inodes[inode].is_dir {
            return Err(Error::new(ErrorKind::NotADirectory, "opendir"));
        }
        state.open += 1;
        Ok(Box::new(DiskDir { disk: self.clone(), path: canonical(path), done: false }))
    }

    fn set_attrs(&self, path: &[u8], attrs: &SetAttrs, _follow: bool) -> Result<()> {
        let mut state = self.call("setstat")?;
        let inode = state.find(path, "setstat")?;
        state.set_attrs(inode, attrs);
        Ok(())
    }

    fn remove(&self, path: &[u8]) -> Result<()> {
        let mut state = self.call("remove")?;
        let inode = state.find(path, "remove")?;
        if state.inodes[inode].is_dir {
            return Err(Error::new(ErrorKind::IsADirectory, "remove"));
        }
        state.change_names(NameChange { removed: Some(canonical(path)), added: None });
        Ok(())
    }

    fn mkdir(&self, path: &[u8], mode: Option<u32>) -> Result<()> {
        let mut state = self.call("mkdir")?;
        let path = canonical(path);
        if state.names.contains_key(&path) {
            return Err(Error::new(ErrorKind::AlreadyExists, "mkdir"));
        }
        state.find(parent(&path), "mkdir")?;
        let inode = state.new_inode(true, mode.unwrap_or(0o755));
        state.change_names(NameChange { removed: None, added: Some((path, inode)) });
        Ok(())
    }

    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> Result<()> {
        let mut state = self.call("rename")?;
        let (from, to) = (canonical(from), canonical(to));
        let inode = state.find(&from, "rename")?;
        state.find(parent(&to), "rename")?;
        if state.inodes[inode].is_dir {
            return Err(Error::unsupported("rename"));
        }
        if state.names.contains_key(&to) && !replace {
            return Err(Error::new(ErrorKind::AlreadyExists, "rename"));
        }
        state.change_names(NameChange { removed: Some(from), added: Some((to, inode)) });
        Ok(())
    }

    fn realpath(&self, path: &[u8]) -> Result<Vec<u8>> {
        let state = self.call("realpath")?;
        let path = canonical(path);
        state.find(parent(&path), "realpath")?;
        Ok(path)
    }

    fn statvfs(&self, _path: &[u8]) -> Result<Space> {
        self.call("statvfs").map(|_| Space { block_size: 4096, ..Space::default() })
    }
}

struct DiskFile {
    disk: Disk,
    inode: usize,
    append: bool,
}

impl Drop for DiskFile {
    fn drop(&mut self) {
        self.disk.state().open -= 1;
    }
}

impl File for DiskFile {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        let state = self.disk.call("read")?;
        let data = &state.inodes[self.inode].data;
        let mut rest = data.get(offset as usize..).unwrap_or_default();
        let before = rest.len();
        for buffer in buffers {
            let len = rest.len().min(buffer.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
        }
        Ok(before - rest.len())
    }

    fn try_read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Option<Result<usize>> {
        self.disk.is_at_hand().then(|| self.read_at(buffers, offset))
    }

    fn try_write_at(&self, data: &[u8], offset: u64) -> Option<Result<()>> {
        if self.disk.is_at_hand() {
            return Some(self.write_at(data, offset));
        }
        if !self.append && self.disk.is_at_hand() {
            // Some of it is written, and then it would have to wait.
            let _ = self.write_at(&data[..data.len() / 2], offset);
        }
        None
    }

    fn try_stat(&self) -> Option<Result<Attrs>> {
        self.disk.is_at_hand().then(|| File::stat(self))
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        let mut state = self.disk.call("write")?;
        let clock = state.clock;
        let inode = &mut state.inodes[self.inode];
        let at = if self.append { inode.data.len() } else { offset as usize };
        inode.write(at, data);
        inode.changed = clock;
        Ok(())
    }

    fn stat(&self) -> Result<Attrs> {
        Ok(self.disk.call("fstat")?.attrs(self.inode))
    }

    fn set_attrs(&self, attrs: &SetAttrs) -> Result<()> {
        self.disk.call("fsetstat")?.set_attrs(self.inode, attrs);
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        let mut state = self.disk.call("fsync")?;
        let fails = match &mut state.bad_syncs {
            Some((one_in, random)) => random.below(*one_in) == 0,
            None => false,
        };
        if fails {
            state.inodes[self.inode].pending.clear();
            return Err(Error::new(ErrorKind::Other, "fsync"));
        }
        state.inodes[self.inode].sync();
        if state.journal {
            let of_this = |change: &NameChange| {
                change.added.as_ref().is_some_and(|(_, inode)| *inode == self.inode)
            };
            state.sync_names(of_this);
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.disk.call("close").map(drop)
    }
}

struct DiskDir {
    disk: Disk,
    path: Vec<u8>,
    done: bool,
}

impl Drop for DiskDir {
    fn drop(&mut self) {
        self.disk.state().open -= 1;
    }
}

impl Dir for DiskDir {
    fn next_entries(&mut self, _max: usize, entries: &mut Vec<DirEntry>) -> Result<bool> {
        let state = self.disk.call("readdir")?;
        if std::mem::replace(&mut self.done, true) {
            return Ok(false);
        }
        for (path, inode) in state.names.iter().filter(|(path, _)| *path != b"/") {
            if parent(path) == self.path {
                let name =
                    path[path.iter().rposition(|b| *b == b'/').map_or(0, |at| at + 1)..].to_vec();
                entries.push(DirEntry { name, attrs: state.attrs(*inode) });
            }
        }
        Ok(false)
    }

    fn stat(&self) -> Result<Attrs> {
        let state = self.disk.call("fstat")?;
        let inode = state.find(&self.path, "fstat")?;
        Ok(state.attrs(inode))
    }

    /// All changes of names in this directory.
    fn sync(&self) -> Result<()> {
        self.disk.call("fsync")?.sync_names(|change| change.is_in(&self.path));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPLOAD: OpenHow = OpenHow {
        read: false,
        write: true,
        append: false,
        create: true,
        truncate: true,
        exclusive: false,
        mode: None,
    };

    fn content(disk: &Disk, path: &str) -> Option<Vec<u8>> {
        let state = disk.state();
        let inode = state.names.get(path.as_bytes())?;
        Some(state.inodes[*inode].data.clone())
    }

    #[test]
    fn what_was_synced_stays_and_of_the_rest_what_was_kept() {
        let disk = Disk::new();
        let file = disk.open(b"/f", &UPLOAD).unwrap();
        file.write_at(b"first", 0).unwrap();
        assert_eq!(content(&disk.after_cut(Kept::Nothing), "/f"), None);
        assert_eq!(content(&disk.after_cut(Kept::Names), "/f").unwrap(), [0; 5]);
        assert_eq!(content(&disk.after_cut(Kept::All), "/f").unwrap(), b"first");

        file.sync().unwrap();
        assert_eq!(content(&disk.after_cut(Kept::Nothing), "/f"), None, "no name yet");
        assert_eq!(content(&disk.after_cut(Kept::Names), "/f").unwrap(), b"first");
        disk.open_dir(b"/").unwrap().sync().unwrap();
        file.write_at(b"more", 5).unwrap();

        assert_eq!(content(&disk.after_cut(Kept::Nothing), "/f").unwrap(), b"first");
        let some: std::collections::BTreeSet<_> =
            (0..20).map(|seed| content(&disk.after_cut(Kept::Some(seed)), "/f").unwrap()).collect();
        assert_eq!(some.len(), 2, "{some:?}");
    }

    #[test]
    fn what_a_failed_sync_should_have_brought_stays_away_after_the_next_one() {
        let disk = Disk::with_journal();
        let file = disk.open(b"/f", &UPLOAD).unwrap();
        file.write_at(b"first", 0).unwrap();
        disk.syncs_fail(1, 0);
        assert!(file.sync().is_err());
        disk.syncs_fail(usize::MAX, 0);
        file.write_at(b"more", 5).unwrap();
        file.sync().unwrap();

        assert_eq!(content(&disk, "/f").unwrap(), b"firstmore");
        assert_eq!(content(&disk.after_cut(Kept::All), "/f").unwrap(), b"\0\0\0\0\0more");
    }

    #[test]
    fn after_the_cut_nothing_works_any_more() {
        let disk = Disk::new();
        let file = disk.open(b"/f", &UPLOAD).unwrap();
        disk.cut_at(2);
        file.write_at(b"first", 0).unwrap();
        assert!(file.write_at(b"more", 5).is_err() && file.sync().is_err());
        assert!(disk.stat(b"/f", true).is_err());
        assert_eq!(content(&disk.after_cut(Kept::All), "/f").unwrap(), b"first");
    }

    #[test]
    fn a_rename_is_there_whole_or_not_at_all() {
        let disk = Disk::new();
        disk.open(b"/part", &UPLOAD).unwrap().write_at(b"new", 0).unwrap();
        disk.settle();
        disk.rename(b"/part", b"/f", true).unwrap();
        for kept in [Kept::Nothing, Kept::All, Kept::Names, Kept::Some(1), Kept::Some(2)] {
            let after = disk.after_cut(kept);
            let found = [content(&after, "/part"), content(&after, "/f")];
            assert_eq!(found.iter().flatten().collect::<Vec<_>>(), [b"new"], "{kept:?}");
        }
    }
}
