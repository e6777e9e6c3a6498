//! A layer in which calls fail: one wherever a test says, or many by a seed. It counts the calls, and what is open.

use std::any::Any;
use std::io::IoSliceMut;
use std::ops::Range;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use sterna_storage::{
    Attrs, Backend, Dir, DirEntry, Error, ErrorKind, File, OpenHow, Result, SetAttrs, Space, Xattr,
    XattrAnswer,
};

use crate::Seed;

/// What the failing call does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It fails and has done nothing.
    Before(ErrorKind),
    /// It has done its work, and says that it failed.
    After(ErrorKind),
    /// A write has done half of its work, as a full disk does; anything else as [`Fault::Before`].
    Half(ErrorKind),
}

/// Which call fails, and what was seen of all.
#[derive(Debug)]
pub struct Plan {
    fails: Fails,
    calls: AtomicU64,
    names: Mutex<Vec<&'static str>>,
    open: AtomicI64,
}

#[derive(Debug)]
enum Fails {
    None,
    Once(u64, Fault),
    /// One in so many, by the seed.
    Often {
        one_in: usize,
        seed: u64,
    },
}

/// Faults that a seed chooses from.
const FAULTS: [Fault; 8] = [
    // EIO
    Fault::Before(ErrorKind::Other),
    Fault::After(ErrorKind::Other),
    Fault::Half(ErrorKind::Other),
    Fault::Before(ErrorKind::NoSpace),
    Fault::Half(ErrorKind::NoSpace),
    Fault::After(ErrorKind::QuotaExceeded),
    Fault::Before(ErrorKind::TooManyOpen),
    Fault::Before(ErrorKind::Busy),
];

impl Plan {
    /// Nothing fails.
    pub fn none() -> Arc<Self> {
        Self::new(Fails::None)
    }

    /// The call number `at` fails, counted from 0.
    pub fn failing(at: u64, fault: Fault) -> Arc<Self> {
        Self::new(Fails::Once(at, fault))
    }

    /// One call in `one_in` fails, in one of all ways; which and how is the seed's.
    pub fn often(one_in: usize, seed: u64) -> Arc<Self> {
        Self::new(Fails::Often { one_in, seed })
    }

    fn new(fails: Fails) -> Arc<Self> {
        let (calls, open) = (AtomicU64::new(0), AtomicI64::new(0));
        Arc::new(Self { fails, calls, names: Mutex::default(), open })
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// The calls in order, by the names of the trait's methods.
    pub fn names(&self) -> Vec<&'static str> {
        self.names.lock().expect("no test panics inside").clone()
    }

    /// Files and directories that are open.
    pub fn open(&self) -> i64 {
        self.open.load(Ordering::Relaxed)
    }

    fn fault(&self, name: &'static str) -> Option<Fault> {
        self.names.lock().expect("no test panics inside").push(name);
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        self.fault_of(number)
    }

    fn fault_of(&self, number: u64) -> Option<Fault> {
        match self.fails {
            Fails::None => None,
            Fails::Once(at, fault) => (at == number).then_some(fault),
            Fails::Often { one_in, seed } => {
                let mut random = Seed::new(seed ^ number);
                // Neighbouring seeds begin alike.
                random.next_u64();
                (random.below(one_in) == 0).then(|| FAULTS[random.below(FAULTS.len())])
            }
        }
    }

    fn call<T>(&self, name: &'static str, call: impl FnOnce() -> Result<T>) -> Result<T> {
        match self.fault(name) {
            None => call(),
            Some(Fault::Before(kind) | Fault::Half(kind)) => Err(Error::new(kind, name)),
            Some(Fault::After(kind)) => {
                call()?;
                Err(Error::new(kind, name))
            }
        }
    }

    /// A call that may also say that it would have to wait: that is no call, unless it is the one that fails.
    fn try_call<T>(
        &self,
        name: &'static str,
        call: impl FnOnce() -> Option<Result<T>>,
    ) -> Option<Result<T>> {
        if let Some(Fault::Before(kind) | Fault::Half(kind)) = self.fault_of(self.calls()) {
            self.fault(name);
            return Some(Err(Error::new(kind, name)));
        }
        let done = call()?;
        Some(self.call(name, || done))
    }
}

/// Counts one that is open until it is dropped.
struct Open(Arc<Plan>);

impl Open {
    fn new(plan: &Arc<Plan>) -> Self {
        plan.open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(plan))
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// See the module.
pub struct Faulty {
    below: Arc<dyn Backend>,
    plan: Arc<Plan>,
}

impl Faulty {
    pub fn new(below: Arc<dyn Backend>, plan: &Arc<Plan>) -> Self {
        Self { below, plan: Arc::clone(plan) }
    }
}

impl Backend for Faulty {
    fn open(&self, path: &[u8], how: &OpenHow) -> Result<Box<dyn File>> {
        let below = self.plan.call("open", || self.below.open(path, how))?;
        Ok(Box::new(FaultyFile { below, open: Open::new(&self.plan) }))
    }

    fn stat(&self, path: &[u8], follow: bool) -> Result<Attrs> {
        self.plan.call("stat", || self.below.stat(path, follow))
    }

    fn try_stat(&self, path: &[u8], follow: bool) -> Option<Result<Attrs>> {
        self.plan.try_call("stat", || self.below.try_stat(path, follow))
    }

    fn open_dir(&self, path: &[u8]) -> Result<Box<dyn Dir>> {
        let below = self.plan.call("open_dir", || self.below.open_dir(path))?;
        Ok(Box::new(FaultyDir { below, open: Open::new(&self.plan) }))
    }

    fn set_attrs(&self, path: &[u8], attrs: &SetAttrs, follow: bool) -> Result<()> {
        self.plan.call("set_attrs", || self.below.set_attrs(path, attrs, follow))
    }

    fn remove(&self, path: &[u8]) -> Result<()> {
        self.plan.call("remove", || self.below.remove(path))
    }

    fn mkdir(&self, path: &[u8], mode: Option<u32>) -> Result<()> {
        self.plan.call("mkdir", || self.below.mkdir(path, mode))
    }

    fn rmdir(&self, path: &[u8]) -> Result<()> {
        self.plan.call("rmdir", || self.below.rmdir(path))
    }

    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> Result<()> {
        self.plan.call("rename", || self.below.rename(from, to, replace))
    }

    fn realpath(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.plan.call("realpath", || self.below.realpath(path))
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.plan.call("readlink", || self.below.readlink(path))
    }

    fn symlink(&self, target: &[u8], link: &[u8]) -> Result<()> {
        self.plan.call("symlink", || self.below.symlink(target, link))
    }

    fn hardlink(&self, existing: &[u8], new: &[u8]) -> Result<()> {
        self.plan.call("hardlink", || self.below.hardlink(existing, new))
    }

    fn statvfs(&self, path: &[u8]) -> Result<Space> {
        self.plan.call("statvfs", || self.below.statvfs(path))
    }

    fn xattr(&self, path: &[u8], asked: &Xattr<'_>) -> Result<XattrAnswer> {
        self.plan.call("xattr", || self.below.xattr(path, asked))
    }
}

struct FaultyFile {
    below: Box<dyn File>,
    open: Open,
}

impl FaultyFile {
    fn plan(&self) -> &Plan {
        &self.open.0
    }
}

impl File for FaultyFile {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        self.plan().call("file.read_at", || self.below.read_at(buffers, offset))
    }

    fn try_read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Option<Result<usize>> {
        self.plan().try_call("file.read_at", || self.below.try_read_at(buffers, offset))
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        match self.plan().fault("file.write_at") {
            None => self.below.write_at(data, offset),
            Some(Fault::Before(kind)) => Err(Error::new(kind, "write")),
            Some(Fault::After(kind)) => {
                self.below.write_at(data, offset)?;
                Err(Error::new(kind, "write"))
            }
            Some(Fault::Half(kind)) => {
                self.below.write_at(&data[..data.len() / 2], offset)?;
                Err(Error::new(kind, "write"))
            }
        }
    }

    fn try_write_at(&self, data: &[u8], offset: u64) -> Option<Result<()>> {
        self.plan().try_call("file.write_at", || self.below.try_write_at(data, offset))
    }

    fn stat(&self) -> Result<Attrs> {
        self.plan().call("file.stat", || self.below.stat())
    }

    fn try_stat(&self) -> Option<Result<Attrs>> {
        self.plan().try_call("file.stat", || self.below.try_stat())
    }

    fn set_attrs(&self, attrs: &SetAttrs) -> Result<()> {
        self.plan().call("file.set_attrs", || self.below.set_attrs(attrs))
    }

    fn times_tell_of_changes(&self) -> bool {
        self.below.times_tell_of_changes()
    }

    fn sync(&self) -> Result<()> {
        self.plan().call("file.sync", || self.below.sync())
    }

    fn data_ranges(&self, asked: Range<u64>, max: usize) -> Result<(Vec<Range<u64>>, bool)> {
        self.plan().call("file.data_ranges", || self.below.data_ranges(asked, max))
    }

    fn xattr(&self, asked: &Xattr<'_>) -> Result<XattrAnswer> {
        self.plan().call("file.xattr", || self.below.xattr(asked))
    }

    fn copy_to(&self, from: u64, len: u64, target: &dyn File, to: u64) -> Option<Result<u64>> {
        let target = target.as_any().downcast_ref::<Self>()?;
        self.plan().try_call("file.copy_to", || self.below.copy_to(from, len, &*target.below, to))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn close(self: Box<Self>) -> Result<()> {
        let Self { below, open } = *self;
        open.0.call("file.close", || below.close())
    }
}

struct FaultyDir {
    below: Box<dyn Dir>,
    open: Open,
}

impl Dir for FaultyDir {
    fn next_entries(&mut self, max: usize, entries: &mut Vec<DirEntry>) -> Result<bool> {
        let (below, open) = (&mut self.below, &self.open);
        open.0.call("dir.next_entries", || below.next_entries(max, entries))
    }

    fn stat(&self) -> Result<Attrs> {
        self.open.0.call("dir.stat", || self.below.stat())
    }

    fn sync(&self) -> Result<()> {
        self.open.0.call("dir.sync", || self.below.sync())
    }
}
