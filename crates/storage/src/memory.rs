//! A backend that lives in memory: for tests, for embedding, and as the contract's second reading.
//!
//! It has files, directories, links and attributes, and no owners' rights: whoever holds it may do
//! everything. All data together is bounded.

mod tree;

use std::any::Any;
use std::io::IoSliceMut;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::tree::{Content, Node, NodeId, Tree};
use crate::limits::{ENTRIES_MAX, MEMORY_LEN_DEFAULT, NAME_LEN_MAX};
use crate::{
    Attrs, Backend, Dir, DirEntry, Error, ErrorKind, File, FileKind, OpenHow, Result, SetAttrs,
    Space, Xattr, XattrAnswer,
};

/// Bytes of a block in [`Backend::statvfs`] answers.
const BLOCK_LEN: u64 = 4096;

/// Files in memory. Clones show the same tree.
#[derive(Clone)]
pub struct Memory {
    tree: Arc<Mutex<Tree>>,
}

impl Memory {
    /// An empty tree that may hold [`MEMORY_LEN_DEFAULT`] bytes.
    pub fn new() -> Self {
        Self::with_capacity(MEMORY_LEN_DEFAULT)
    }

    /// An empty tree whose files may hold `len_max` bytes together, holes included; more is
    /// [`ErrorKind::NoSpace`].
    pub fn with_capacity(len_max: u64) -> Self {
        Self { tree: Arc::new(Mutex::new(Tree::new(len_max))) }
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        lock(&self.tree)
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Every change of the tree is complete before anything in it can panic, so a poisoned lock holds
/// a good tree.
fn lock(tree: &Mutex<Tree>) -> MutexGuard<'_, Tree> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Backend for Memory {
    fn open(&self, path: &[u8], how: &OpenHow) -> Result<Box<dyn File>> {
        let mut tree = self.tree();
        let fail = |kind| Error::new(kind, "open");
        let follow = !(how.create && how.exclusive);
        let place = tree.resolve(path, follow, "open")?;
        let id = match place.found {
            Some(_) if how.create && how.exclusive => return Err(fail(ErrorKind::AlreadyExists)),
            Some(id) => match tree.node(id).content {
                Content::Regular(_) => id,
                Content::Directory { .. } => return Err(fail(ErrorKind::IsADirectory)),
                Content::Link(_) => return Err(fail(ErrorKind::LinkLoop)),
            },
            None if !how.create => return Err(fail(ErrorKind::NotFound)),
            None => {
                if place.slash {
                    return Err(fail(ErrorKind::IsADirectory));
                }
                let node = Node::new(Content::Regular(Vec::new()), how.mode.unwrap_or(0o666));
                let name = place.name.ok_or(fail(ErrorKind::IsADirectory))?;
                tree.add(place.dir, name, node)
            }
        };
        if how.truncate {
            tree.resize(id, 0, "open")?;
        }
        tree.node_mut(id).open += 1;
        let write = how.write || how.append;
        let file = MemoryFile {
            tree: self.tree.clone(),
            id,
            read: how.read || !write,
            write,
            append: how.append,
        };
        Ok(Box::new(file))
    }

    fn stat(&self, path: &[u8], follow: bool) -> Result<Attrs> {
        let tree = self.tree();
        let id = tree.existing(path, follow, "stat")?;
        Ok(tree.attrs(id))
    }

    fn try_stat(&self, path: &[u8], follow: bool) -> Option<Result<Attrs>> {
        Some(self.stat(path, follow))
    }

    fn open_dir(&self, path: &[u8]) -> Result<Box<dyn Dir>> {
        let mut tree = self.tree();
        let id = tree.existing(path, true, "opendir")?;
        let Content::Directory { parent, .. } = tree.node(id).content else {
            return Err(Error::new(ErrorKind::NotADirectory, "opendir"));
        };
        tree.node_mut(id).open += 1;
        let dir = MemoryDir { tree: self.tree.clone(), id, parent, next: Next::Dots(0) };
        Ok(Box::new(dir))
    }

    fn set_attrs(&self, path: &[u8], attrs: &SetAttrs, follow: bool) -> Result<()> {
        let mut tree = self.tree();
        let id = tree.existing(path, follow, "setstat")?;
        tree.set_attrs(id, attrs, "setstat")
    }

    fn remove(&self, path: &[u8]) -> Result<()> {
        let mut tree = self.tree();
        let fail = |kind| Error::new(kind, "remove");
        let place = tree.resolve(path, false, "remove")?;
        let name = place.name.ok_or(fail(ErrorKind::IsADirectory))?;
        let id = place.found.ok_or(fail(ErrorKind::NotFound))?;
        match tree.node(id).kind() {
            FileKind::Directory => Err(fail(ErrorKind::IsADirectory)),
            _ => {
                tree.detach(place.dir, &name);
                Ok(())
            }
        }
    }

    fn mkdir(&self, path: &[u8], mode: Option<u32>) -> Result<()> {
        let mut tree = self.tree();
        let place = tree.resolve_name(path, "mkdir")?;
        if place.found.is_some() {
            return Err(Error::new(ErrorKind::AlreadyExists, "mkdir"));
        }
        let name = place.name.ok_or(Error::new(ErrorKind::AlreadyExists, "mkdir"))?;
        let content = Content::Directory { parent: place.dir, names: Default::default() };
        tree.add(place.dir, name, Node::new(content, mode.unwrap_or(0o777)));
        Ok(())
    }

    fn rmdir(&self, path: &[u8]) -> Result<()> {
        let mut tree = self.tree();
        let fail = |kind| Error::new(kind, "rmdir");
        let place = tree.resolve_name(path, "rmdir")?;
        let name = place.name.ok_or(fail(ErrorKind::Invalid))?;
        let id = place.found.ok_or(fail(ErrorKind::NotFound))?;
        match &tree.node(id).content {
            Content::Directory { names, .. } if names.is_empty() => {
                tree.detach(place.dir, &name);
                Ok(())
            }
            Content::Directory { .. } => Err(fail(ErrorKind::DirectoryNotEmpty)),
            _ => Err(fail(ErrorKind::NotADirectory)),
        }
    }

    fn rename(&self, from: &[u8], to: &[u8], replace: bool) -> Result<()> {
        let mut tree = self.tree();
        let fail = |kind| Error::new(kind, "rename");
        let from = tree.resolve_name(from, "rename")?;
        let to = tree.resolve_name(to, "rename")?;
        let from_name = from.name.ok_or(fail(ErrorKind::Invalid))?;
        let moved = from.found.ok_or(fail(ErrorKind::NotFound))?;
        let Some(to_name) = to.name else {
            return Err(fail(if replace { ErrorKind::Invalid } else { ErrorKind::AlreadyExists }));
        };
        let moved_is_dir = tree.node(moved).kind() == FileKind::Directory;
        if (from.slash || to.slash) && !moved_is_dir {
            return Err(fail(ErrorKind::NotADirectory));
        }
        if moved_is_dir && tree.is_within(to.dir, moved) {
            return Err(fail(ErrorKind::Invalid));
        }
        if let Some(old) = to.found {
            if !replace {
                return Err(fail(ErrorKind::AlreadyExists));
            }
            // Two names of one file: rename(2) does nothing, so does this.
            if old == moved {
                return Ok(());
            }
            match (&tree.node(old).content, moved_is_dir) {
                (Content::Directory { .. }, false) => return Err(fail(ErrorKind::IsADirectory)),
                (Content::Directory { names, .. }, true) if !names.is_empty() => {
                    return Err(fail(ErrorKind::DirectoryNotEmpty));
                }
                (Content::Directory { .. }, true) => {}
                (_, true) => return Err(fail(ErrorKind::NotADirectory)),
                (_, false) => {}
            }
            tree.detach(to.dir, &to_name);
        }
        tree.move_name(from.dir, &from_name, to.dir, to_name);
        Ok(())
    }

    fn realpath(&self, path: &[u8]) -> Result<Vec<u8>> {
        self.tree().canonical(path)
    }

    fn readlink(&self, path: &[u8]) -> Result<Vec<u8>> {
        let tree = self.tree();
        let id = tree.existing(path, false, "readlink")?;
        match &tree.node(id).content {
            Content::Link(text) => Ok(text.clone()),
            _ => Err(Error::new(ErrorKind::WrongKind, "readlink")),
        }
    }

    fn symlink(&self, target: &[u8], link: &[u8]) -> Result<()> {
        let mut tree = self.tree();
        let fail = |kind| Error::new(kind, "symlink");
        if target.contains(&0) {
            return Err(fail(ErrorKind::Invalid));
        }
        if target.is_empty() {
            return Err(fail(ErrorKind::NotFound));
        }
        let place = tree.resolve_name(link, "symlink")?;
        if place.found.is_some() {
            return Err(fail(ErrorKind::AlreadyExists));
        }
        if place.slash {
            return Err(fail(ErrorKind::NotFound));
        }
        let name = place.name.ok_or(fail(ErrorKind::AlreadyExists))?;
        tree.add(place.dir, name, Node::new(Content::Link(target.to_vec()), 0o777));
        Ok(())
    }

    fn hardlink(&self, existing: &[u8], new: &[u8]) -> Result<()> {
        let mut tree = self.tree();
        let fail = |kind| Error::new(kind, "hardlink");
        let id = tree.resolve(existing, false, "hardlink")?.found;
        let id = id.ok_or(fail(ErrorKind::NotFound))?;
        let place = tree.resolve_name(new, "hardlink")?;
        if place.found.is_some() {
            return Err(fail(ErrorKind::AlreadyExists));
        }
        if tree.node(id).kind() == FileKind::Directory {
            return Err(fail(ErrorKind::PermissionDenied));
        }
        if place.slash {
            return Err(fail(ErrorKind::NotFound));
        }
        let name = place.name.ok_or(fail(ErrorKind::AlreadyExists))?;
        tree.link(place.dir, name, id);
        Ok(())
    }

    fn statvfs(&self, path: &[u8]) -> Result<Space> {
        let tree = self.tree();
        tree.existing(path, true, "statvfs")?;
        let free = tree.len_free() / BLOCK_LEN;
        Ok(Space {
            block_size: BLOCK_LEN,
            fragment_size: BLOCK_LEN,
            blocks: tree.len_max() / BLOCK_LEN,
            blocks_free: free,
            blocks_available: free,
            name_len_max: NAME_LEN_MAX as u64,
            ..Space::default()
        })
    }

    fn xattr(&self, path: &[u8], asked: &Xattr<'_>) -> Result<XattrAnswer> {
        let mut tree = self.tree();
        let id = tree.existing(path, true, "xattr")?;
        tree.xattr(id, asked)
    }
}

struct MemoryFile {
    tree: Arc<Mutex<Tree>>,
    id: NodeId,
    read: bool,
    write: bool,
    append: bool,
}

impl File for MemoryFile {
    fn read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Result<usize> {
        if !self.read {
            return Err(Error::new(ErrorKind::PermissionDenied, "read"));
        }
        let tree = lock(&self.tree);
        let bytes = tree.bytes(self.id);
        let mut rest = usize::try_from(offset).ok().and_then(|at| bytes.get(at..)).unwrap_or(&[]);
        let mut read = 0;
        for buffer in buffers {
            let len = buffer.len().min(rest.len());
            buffer[..len].copy_from_slice(&rest[..len]);
            rest = &rest[len..];
            read += len;
        }
        Ok(read)
    }

    fn try_read_at(&self, buffers: &mut [IoSliceMut<'_>], offset: u64) -> Option<Result<usize>> {
        Some(self.read_at(buffers, offset))
    }

    fn write_at(&self, data: &[u8], offset: u64) -> Result<()> {
        if !self.write {
            return Err(Error::new(ErrorKind::PermissionDenied, "write"));
        }
        lock(&self.tree).write(self.id, data, (!self.append).then_some(offset))
    }

    fn try_write_at(&self, data: &[u8], offset: u64) -> Option<Result<()>> {
        Some(self.write_at(data, offset))
    }

    fn stat(&self) -> Result<Attrs> {
        Ok(lock(&self.tree).attrs(self.id))
    }

    fn try_stat(&self) -> Option<Result<Attrs>> {
        Some(File::stat(self))
    }

    fn set_attrs(&self, attrs: &SetAttrs) -> Result<()> {
        if attrs.size.is_some() && !self.write {
            return Err(Error::new(ErrorKind::PermissionDenied, "fsetstat"));
        }
        lock(&self.tree).set_attrs(self.id, attrs, "fsetstat")
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }

    fn xattr(&self, asked: &Xattr<'_>) -> Result<XattrAnswer> {
        lock(&self.tree).xattr(self.id, asked)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for MemoryFile {
    fn drop(&mut self) {
        lock(&self.tree).closed(self.id);
    }
}

struct MemoryDir {
    tree: Arc<Mutex<Tree>>,
    id: NodeId,
    parent: NodeId,
    next: Next,
}

/// Where a listing stands: names come in order, so the last one given is enough.
enum Next {
    Dots(u8),
    After(Option<Vec<u8>>),
}

impl Dir for MemoryDir {
    fn next_entries(&mut self, max: usize, entries: &mut Vec<DirEntry>) -> Result<bool> {
        let tree = lock(&self.tree);
        if tree.is_removed(self.id) {
            return Ok(false);
        }
        for _ in 0..max.clamp(1, ENTRIES_MAX) {
            match &mut self.next {
                Next::Dots(0) => {
                    entries.push(DirEntry { name: b".".to_vec(), attrs: tree.attrs(self.id) });
                    self.next = Next::Dots(1);
                }
                Next::Dots(_) => {
                    // The parent may be gone together with this directory.
                    let parent = if tree.holds(self.parent) { self.parent } else { self.id };
                    entries.push(DirEntry { name: b"..".to_vec(), attrs: tree.attrs(parent) });
                    self.next = Next::After(None);
                }
                Next::After(last) => {
                    let Some((name, id)) = tree.name_after(self.id, last.as_deref()) else {
                        return Ok(false);
                    };
                    entries.push(DirEntry { name: name.to_vec(), attrs: tree.attrs(id) });
                    *last = Some(name.to_vec());
                }
            }
        }
        Ok(true)
    }

    fn stat(&self) -> Result<Attrs> {
        Ok(lock(&self.tree).attrs(self.id))
    }
}

impl Drop for MemoryDir {
    fn drop(&mut self) {
        lock(&self.tree).closed(self.id);
    }
}
