//! What may overtake what: a pure scheduler for the requests of one session.
//!
//! A request may start when no earlier unfinished request conflicts with it, and only then. So
//! READs run side by side, and a pipelined WRITE, CLOSE, RENAME, STAT ends in the final state
//! (draft-13 §4.1). Two requests conflict if
//! - one of them is a [`Class::Barrier`], or
//! - both use one handle and one of them needs it alone (a copy reads its source and needs its
//!   target alone), or
//! - both make, close or rename a file at one path, or
//! - one reads by path, and the other writes through a handle, copies, or makes or renames a file.
//!
//! So uploads of many small files overlap, and a long copy holds up its two handles and what asks
//! by path, while READs and WRITEs of other handles go on.
//!
//! How it works: there is a lock for barriers, one for writes against reads by path, and one for
//! each handle and each path in use. A lock is a queue of *groups*: the requests of a group get
//! along; the groups follow each other. A request may start once all its groups are at the front of
//! their queues. Admitting and finishing cost a constant number of steps for each request, however
//! many wait, and allocate nothing once the tables have grown.

use std::collections::{HashMap, VecDeque};

use crate::extension::Extended;
use crate::{OpenFlags, Request};

/// What a request touches, as far as order matters.
///
/// The key stands for an open handle. Two handles on one file may share a key: then their requests
/// keep their order as well.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Touches no file.
    Free,
    /// Reads through a handle: READ, FSTAT, `check-file-handle`.
    HandleRead { key: u64 },
    /// Needs the handle alone and changes no file: READDIR, CLOSE after reading.
    HandleStep { key: u64 },
    /// Needs the handle alone and may change its file: WRITE, FSETSTAT, `fsync`, CLOSE after
    /// writing.
    HandleWrite { key: u64 },
    /// Reads through one handle, and needs the other alone to write: `copy-data`. The two differ.
    Copy { from: u64, to: u64 },
    /// Makes or empties the file at a path that no open handle was opened by: OPEN with CREATE or
    /// TRUNCATE. `path` stands for the path; two paths may share a number.
    Make { path: u64 },
    /// CLOSE after writing: as [`Class::HandleWrite`], and the path by which it was opened names a file then.
    Close { key: u64, path: u64 },
    /// Gives a file that is not open another name. Nothing can be beneath either, so what goes on at other
    /// paths does not matter. The two differ.
    Rename { from: u64, to: u64 },
    /// Looks at names or attributes by path: STAT, OPENDIR, OPEN of what exists.
    PathRead,
    /// Changes names, or files by path: waits for everything earlier, holds everything later.
    Barrier,
}

/// What the server knows of a handle when a request on it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandleUse {
    pub key: u64,
    /// Opened for writing.
    pub writes: bool,
    /// Stands for the path by which it was opened, if nothing of this session can have changed since what
    /// that names.
    pub path: Option<u64>,
}

/// What the server knows of a path that an OPEN makes or empties, or that a RENAME names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathUse {
    /// No handle is open on it. The number stands for the path, however the client spelled it.
    Unused(u64),
    /// As that, and this session has closed a file of that name, or is about to: it names no directory.
    File(u64),
    /// A handle is open on it: its WRITEs must not be seen by the wrong side of a truncation.
    Open,
}

impl Class {
    /// The class of `request`. A handle that `find` does not know makes the request
    /// [`Class::Free`]: it fails at once. `path` is asked about the path of an OPEN that makes or
    /// empties a file, and about those of a RENAME.
    pub fn of(
        request: &Request<'_>,
        find: impl Fn(&[u8]) -> Option<HandleUse>,
        path: impl Fn(&[u8]) -> PathUse,
    ) -> Self {
        let read = |handle| find(handle).map_or(Self::Free, |h| Self::HandleRead { key: h.key });
        let write = |handle| find(handle).map_or(Self::Free, |h| Self::HandleWrite { key: h.key });
        match request {
            Request::Open(open) => {
                let makes =
                    open.flags.has(OpenFlags::CREATE) || open.flags.has(OpenFlags::TRUNCATE);
                match makes.then(|| path(open.path)) {
                    Some(PathUse::Unused(path) | PathUse::File(path)) => Self::Make { path },
                    Some(PathUse::Open) => Self::Barrier,
                    None => Self::PathRead,
                }
            }
            Request::Close(close) => match find(close.handle) {
                Some(HandleUse { key, writes: true, path: Some(path) }) => {
                    Self::Close { key, path }
                }
                Some(HandleUse { key, writes: true, path: None }) => Self::HandleWrite { key },
                Some(HandleUse { key, writes: false, .. }) => Self::HandleStep { key },
                None => Self::Free,
            },
            Request::Read(message) => read(message.handle),
            Request::Fstat(message) => read(message.handle),
            Request::Write(message) => write(message.handle),
            Request::Fsetstat(message) => write(message.handle),
            Request::Readdir(message) => {
                find(message.handle).map_or(Self::Free, |h| Self::HandleStep { key: h.key })
            }
            Request::Lstat(_)
            | Request::Stat(_)
            | Request::Opendir(_)
            | Request::Realpath(_)
            | Request::Readlink(_) => Self::PathRead,
            Request::Setstat(_)
            | Request::Remove(_)
            | Request::Mkdir(_)
            | Request::Rmdir(_)
            | Request::Symlink(_) => Self::Barrier,
            Request::Rename(rename) => Self::rename(path(rename.old_path), path(rename.new_path)),
            Request::Extended(extended) => match extended {
                Extended::Fsync(message) => write(message.handle),
                Extended::Fstatvfs(message) => read(message.handle),
                Extended::CheckFileHandle(message) => read(message.handle),
                Extended::Md5HashHandle(message) => read(message.handle),
                Extended::Ranges(message) => read(message.handle),
                Extended::Fgetxattr(message) => read(message.handle),
                Extended::Flistxattr(message) => read(message.handle),
                Extended::Fsetxattr(message) => write(message.handle),
                Extended::Fremovexattr(message) => write(message.handle),
                Extended::Statvfs(_)
                | Extended::CheckFileName(_)
                | Extended::Md5Hash(_)
                | Extended::Getxattr(_)
                | Extended::Listxattr(_)
                | Extended::SpaceAvailable(_)
                | Extended::ExpandPath(_)
                | Extended::HomeDirectory(_) => Self::PathRead,
                Extended::PosixRename(rename) => {
                    Self::rename(path(rename.old_path), path(rename.new_path))
                }
                Extended::Hardlink(_)
                | Extended::Lsetstat(_)
                | Extended::Setxattr(_)
                | Extended::Removexattr(_) => Self::Barrier,
                Extended::CopyData(message) => {
                    match (find(message.read_handle), find(message.write_handle)) {
                        (Some(from), Some(to)) if from.key == to.key => {
                            Self::HandleWrite { key: to.key }
                        }
                        (Some(from), Some(to)) => Self::Copy { from: from.key, to: to.key },
                        (None, _) | (_, None) => Self::Free,
                    }
                }
                Extended::Limits(_)
                | Extended::UsersGroups(_)
                | Extended::PosixAttrsRequest(_)
                | Extended::VendorId(_)
                | Extended::Unknown { .. } => Self::Free,
            },
        }
    }

    fn rename(from: PathUse, to: PathUse) -> Self {
        match (from, to) {
            (PathUse::File(from), PathUse::Unused(to) | PathUse::File(to)) if from != to => {
                Self::Rename { from, to }
            }
            // It may be a directory, and everything beneath it moves.
            _ => Self::Barrier,
        }
    }
}

/// A request that may run now; give it to [`Order::done`] when it has.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a ticket that is dropped holds up later requests for ever"]
pub struct Ticket {
    slot: u32,
}

impl Ticket {
    /// The number that [`Order::admit`] gave.
    pub fn slot(&self) -> usize {
        self.slot as usize
    }
}

/// The requests of one session that are not finished.
#[derive(Debug)]
pub struct Order {
    capacity: usize,
    slots: Vec<Slot>,
    free_slots: Vec<u32>,
    groups: Vec<Group>,
    free_groups: Vec<u32>,
    locks: Vec<Lock>,
    free_locks: Vec<u32>,
    /// The locks of the handles and paths in use by unfinished requests.
    keyed: HashMap<Key, u32>,
    ready: VecDeque<u32>,
    unfinished: usize,
}

impl Order {
    /// At most `capacity` unfinished requests.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            slots: Vec::new(),
            free_slots: Vec::new(),
            groups: Vec::new(),
            free_groups: Vec::new(),
            locks: vec![Lock::EMPTY; 2],
            free_locks: Vec::new(),
            keyed: HashMap::new(),
            ready: VecDeque::new(),
            unfinished: 0,
        }
    }

    /// Takes the next request of the session, in the order of arrival. Returns the number of its
    /// slot, below `capacity` and its own until it is done; `None` if there is no room.
    pub fn admit(&mut self, class: Class) -> Option<usize> {
        if self.unfinished == self.capacity {
            return None;
        }
        self.unfinished += 1;
        let slot = take_index(&mut self.free_slots, &mut self.slots, Slot::EMPTY);
        self.slots[slot as usize] = Slot::EMPTY;
        match class {
            Class::Free => {}
            Class::HandleRead { key } => {
                self.join(slot, 0, BARRIERS, Mode::Shared);
                self.join_keyed(slot, 1, Key::Handle(key), Mode::Shared);
            }
            Class::HandleStep { key } => {
                self.join(slot, 0, BARRIERS, Mode::Shared);
                self.join_keyed(slot, 1, Key::Handle(key), Mode::Alone);
            }
            Class::HandleWrite { key } => {
                self.join(slot, 0, BARRIERS, Mode::Shared);
                self.join_keyed(slot, 1, Key::Handle(key), Mode::Alone);
                self.join(slot, 2, WRITES_AND_PATHS, Mode::Writers);
            }
            Class::Copy { from, to } => {
                debug_assert_ne!(from, to, "a request would wait for itself");
                self.join(slot, 0, BARRIERS, Mode::Shared);
                self.join_keyed(slot, 1, Key::Handle(to), Mode::Alone);
                self.join(slot, 2, WRITES_AND_PATHS, Mode::Writers);
                self.join_keyed(slot, 3, Key::Handle(from), Mode::Shared);
            }
            Class::Make { path } => {
                self.join(slot, 0, BARRIERS, Mode::Shared);
                self.join_keyed(slot, 1, Key::Path(path), Mode::Alone);
                self.join(slot, 2, WRITES_AND_PATHS, Mode::Writers);
            }
            Class::Close { key, path } => {
                self.join(slot, 0, BARRIERS, Mode::Shared);
                self.join_keyed(slot, 1, Key::Handle(key), Mode::Alone);
                self.join(slot, 2, WRITES_AND_PATHS, Mode::Writers);
                self.join_keyed(slot, 3, Key::Path(path), Mode::Alone);
            }
            Class::Rename { from, to } => {
                debug_assert_ne!(from, to, "a request would wait for itself");
                self.join(slot, 0, BARRIERS, Mode::Shared);
                self.join_keyed(slot, 1, Key::Path(from), Mode::Alone);
                self.join(slot, 2, WRITES_AND_PATHS, Mode::Writers);
                self.join_keyed(slot, 3, Key::Path(to), Mode::Alone);
            }
            Class::PathRead => {
                self.join(slot, 0, BARRIERS, Mode::Shared);
                self.join(slot, 2, WRITES_AND_PATHS, Mode::Shared);
            }
            Class::Barrier => self.join(slot, 0, BARRIERS, Mode::Alone),
        }
        if self.slots[slot as usize].waits == 0 {
            self.ready.push_back(slot);
        }
        Some(slot as usize)
    }

    /// A request that may start now; each is returned once.
    pub fn next_ready(&mut self) -> Option<Ticket> {
        self.ready.pop_front().map(|slot| Ticket { slot })
    }

    /// Ends a request, which may make others ready.
    ///
    /// # Panics
    /// If the ticket is from another `Order`: our own mistake, no peer byte leads here.
    pub fn done(&mut self, ticket: Ticket) {
        for member in self.slots[ticket.slot()].members {
            if member.group != NONE {
                self.leave(member);
            }
        }
        self.free_slots.push(ticket.slot);
        self.unfinished -= 1;
    }

    /// Requests that were admitted and are not done.
    pub fn len(&self) -> usize {
        self.unfinished
    }

    pub fn is_empty(&self) -> bool {
        self.unfinished == 0
    }

    /// [`Order::join`] with the lock of a handle or a path, which is made if it is not in use.
    fn join_keyed(&mut self, slot: u32, nth: usize, key: Key, mode: Mode) {
        let lock = match self.keyed.get(&key) {
            Some(lock) => *lock,
            None => {
                let lock = take_index(&mut self.free_locks, &mut self.locks, Lock::EMPTY);
                self.locks[lock as usize] = Lock { key: Some(key), ..Lock::EMPTY };
                self.keyed.insert(key, lock);
                lock
            }
        };
        self.join(slot, nth, lock, mode);
    }

    /// Puts `slot` at the end of the queue of `lock`, as its member number `nth`.
    fn join(&mut self, slot: u32, nth: usize, lock: u32, mode: Mode) {
        let Lock { front, back, .. } = self.locks[lock as usize];
        let joins_last =
            back != NONE && mode != Mode::Alone && self.groups[back as usize].mode == mode;
        let group = if joins_last { back } else { self.append_group(lock, mode) };
        let waits = front != NONE && group != front;
        let entry = &mut self.groups[group as usize];
        entry.unfinished += 1;
        let mut next = NONE;
        if waits {
            next = std::mem::replace(&mut entry.newest, slot);
        }
        let slot = &mut self.slots[slot as usize];
        slot.waits += u8::from(waits);
        slot.members[nth] = Member { lock, group, next };
    }

    fn append_group(&mut self, lock: u32, mode: Mode) -> u32 {
        let group = Group { mode, unfinished: 0, newest: NONE, next: NONE };
        let index = take_index(&mut self.free_groups, &mut self.groups, group);
        self.groups[index as usize] = group;
        let lock = &mut self.locks[lock as usize];
        match lock.back {
            NONE => lock.front = index,
            back => self.groups[back as usize].next = index,
        }
        lock.back = index;
        index
    }

    /// Takes one finished request out of its group. The last one of a group opens the next.
    fn leave(&mut self, member: Member) {
        let group = &mut self.groups[member.group as usize];
        group.unfinished -= 1;
        if group.unfinished > 0 {
            return;
        }
        let opened = group.next;
        self.free_groups.push(member.group);
        let lock = &mut self.locks[member.lock as usize];
        lock.front = opened;
        if opened == NONE {
            lock.back = NONE;
            if let Some(key) = lock.key {
                self.keyed.remove(&key);
                self.free_locks.push(member.lock);
            }
            return;
        }
        self.open_group(member.lock, opened);
    }

    fn open_group(&mut self, lock: u32, group: u32) {
        let first_new = self.ready.len();
        let mut slot = std::mem::replace(&mut self.groups[group as usize].newest, NONE);
        while slot != NONE {
            let entry = &mut self.slots[slot as usize];
            entry.waits -= 1;
            if entry.waits == 0 {
                self.ready.push_back(slot);
            }
            let member = entry.members.iter().find(|m| m.group != NONE && m.lock == lock);
            slot = member.map_or(NONE, |member| member.next);
        }
        // The list runs from the newest to the oldest; requests start in order of arrival.
        self.ready.make_contiguous()[first_new..].reverse();
    }
}

/// "No index": end of a list, or a lock that the request does not use.
const NONE: u32 = u32::MAX;

/// The lock between barriers and everything else.
const BARRIERS: u32 = 0;

/// The lock between what changes single files and reads by path.
const WRITES_AND_PATHS: u32 = 1;

/// What a lock that comes and goes is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    Handle(u64),
    Path(u64),
}

/// Locks that one request waits for at most: those of a copy or a rename.
const MEMBERS_MAX: usize = 4;

/// Requests of one mode get along, except those that need the lock alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Shared,
    Writers,
    Alone,
}

#[derive(Clone, Copy, Debug)]
struct Lock {
    /// The group whose requests have the lock.
    front: u32,
    back: u32,
    key: Option<Key>,
}

impl Lock {
    const EMPTY: Self = Self { front: NONE, back: NONE, key: None };
}

#[derive(Clone, Copy, Debug)]
struct Group {
    mode: Mode,
    unfinished: u32,
    /// Head of the list of slots that wait for this group to come to the front.
    newest: u32,
    next: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// Locks that the request still waits for.
    waits: u8,
    members: [Member; MEMBERS_MAX],
}

impl Slot {
    const EMPTY: Self =
        Self { waits: 0, members: [Member { lock: NONE, group: NONE, next: NONE }; MEMBERS_MAX] };
}

/// A request's place in one lock.
#[derive(Clone, Copy, Debug)]
struct Member {
    lock: u32,
    group: u32,
    /// The next older slot that waits in the same group.
    next: u32,
}

fn take_index<E>(free: &mut Vec<u32>, table: &mut Vec<E>, empty: E) -> u32 {
    free.pop().unwrap_or_else(|| {
        table.push(empty);
        (table.len() - 1) as u32
    })
}

#[cfg(test)]
mod tests;
