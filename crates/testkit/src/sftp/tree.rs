//! The files of a server in a test: a few, in memory, by absolute path.
//!
//! Links are followed in the last component only. There are no users: modes and owners are kept and mean
//! nothing.

use std::collections::BTreeMap;

use sterna_sftp_proto::attrs::{Owner, kind};
use sterna_sftp_proto::{Attrs, StatusCode, Times};

/// Links that are followed one after the other.
const LINKS_MAX: usize = 8;

/// What stands at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    File(Vec<u8>),
    Dir,
    /// Where it points, as it was written.
    Link(Vec<u8>),
}

#[derive(Clone, Debug)]
struct Inode {
    node: Node,
    /// Permission bits.
    mode: u32,
    /// User and group by number; what has none says none.
    owner: Option<Owner>,
    /// Seconds since 1970.
    modified: u32,
}

/// See the module. Files outlive their names while they are open.
#[derive(Clone, Debug)]
pub struct Tree {
    names: BTreeMap<Vec<u8>, u64>,
    inodes: BTreeMap<u64, Inode>,
    next: u64,
    /// Of what is made from now on.
    maker: Option<Owner>,
}

type Result<T> = std::result::Result<T, StatusCode>;

impl Default for Tree {
    fn default() -> Self {
        Self::new()
    }
}

impl Tree {
    /// An empty root directory.
    pub fn new() -> Self {
        let mut tree =
            Self { names: BTreeMap::new(), inodes: BTreeMap::new(), next: 0, maker: None };
        tree.put("/", Node::Dir);
        tree
    }

    /// With this file; the directories above it are made.
    #[must_use]
    pub fn file(mut self, path: &str, content: impl Into<Vec<u8>>) -> Self {
        self.put(path, Node::File(content.into()));
        self
    }

    /// With this directory.
    #[must_use]
    pub fn dir(mut self, path: &str) -> Self {
        self.put(path, Node::Dir);
        self
    }

    /// With this link.
    #[must_use]
    pub fn link(mut self, path: &str, target: &str) -> Self {
        self.put(path, Node::Link(target.into()));
        self
    }

    /// Gives what stands at a path to this user and group.
    ///
    /// # Panics
    /// If nothing stands there.
    #[must_use]
    pub fn owned(mut self, path: &str, uid: u32, gid: u32) -> Self {
        let inode = self.names[&absolute(path.as_bytes())];
        if let Some(inode) = self.inodes.get_mut(&inode) {
            inode.owner = Some(Owner { uid, gid });
        }
        self
    }

    /// Gives what is made from now on to this user and group.
    pub fn made_by(mut self, uid: u32, gid: u32) -> Self {
        self.maker = Some(Owner { uid, gid });
        self
    }

    /// User and group of what stands at a path, a link not followed.
    pub fn owner(&self, path: &str) -> Option<(u32, u32)> {
        let inode = self.names.get(&absolute(path.as_bytes()))?;
        self.inodes[inode].owner.map(|owner| (owner.uid, owner.gid))
    }

    /// Puts something at a path, in place of what is there.
    pub fn put(&mut self, path: &str, node: Node) {
        let path = absolute(path.as_bytes());
        let above = parent(&path).to_vec();
        if path != b"/" && !self.names.contains_key(&above) {
            self.put(&String::from_utf8_lossy(&above), Node::Dir);
        }
        self.insert(path, node, 0o644);
    }

    /// The content of the file of that name, a link not followed.
    pub fn content(&self, path: &str) -> Option<&[u8]> {
        let inode = self.names.get(&absolute(path.as_bytes()))?;
        match &self.inodes[inode].node {
            Node::File(content) => Some(content),
            Node::Dir | Node::Link(_) => None,
        }
    }

    /// All paths but the root, sorted.
    pub fn paths(&self) -> Vec<String> {
        let paths = self.names.keys().filter(|path| *path != b"/");
        paths.map(|path| String::from_utf8_lossy(path).into_owned()).collect()
    }

    // ---- what requests ask for ----

    /// The inode at a path; `follow`: links lead on.
    pub(super) fn find(&self, path: &[u8], follow: bool) -> Result<u64> {
        let mut path = absolute(path);
        for _ in 0..LINKS_MAX {
            let inode = *self.names.get(&path).ok_or(StatusCode::NoSuchFile)?;
            match &self.inodes[&inode].node {
                Node::Link(target) if follow => path = beside(&path, target),
                _ => return Ok(inode),
            }
        }
        Err(StatusCode::Failure)
    }

    pub(super) fn node(&self, inode: u64) -> &Node {
        &self.inodes[&inode].node
    }

    /// The bytes of an open file.
    pub(super) fn bytes(&mut self, inode: u64) -> Result<&mut Vec<u8>> {
        match self.inodes.get_mut(&inode).map(|inode| &mut inode.node) {
            Some(Node::File(content)) => Ok(content),
            _ => Err(StatusCode::Failure),
        }
    }

    pub(super) fn attrs(&self, inode: u64) -> Attrs<'static> {
        let Inode { node, mode, owner, modified } = &self.inodes[&inode];
        let (kind, size) = match node {
            Node::File(content) => (kind::REGULAR, content.len()),
            Node::Dir => (kind::DIRECTORY, 4096),
            Node::Link(target) => (kind::SYMLINK, target.len()),
        };
        Attrs {
            size: Some(size as u64),
            owner: *owner,
            permissions: Some(kind | mode),
            times: Some(Times { accessed: *modified, modified: *modified }),
            ..Attrs::default()
        }
    }

    pub(super) fn set_attrs(&mut self, inode: u64, attrs: &Attrs<'_>) -> Result<()> {
        if let Some(size) = attrs.size {
            let size = usize::try_from(size).map_err(|_| StatusCode::Failure)?;
            self.bytes(inode)?.resize(size, 0);
        }
        let inode = self.inodes.get_mut(&inode).ok_or(StatusCode::Failure)?;
        inode.mode = attrs.permissions.map_or(inode.mode, |mode| mode & 0o7777);
        inode.modified = attrs.times.map_or(inode.modified, |times| times.modified);
        inode.owner = attrs.owner.or(inode.owner);
        Ok(())
    }

    /// Names in a directory, with what stands there.
    pub(super) fn children(&self, path: &[u8]) -> Vec<(Vec<u8>, u64)> {
        let above = absolute(path);
        let children = self.names.iter().filter(|(path, _)| *path != b"/" && parent(path) == above);
        children.map(|(path, inode)| (last(path).to_vec(), *inode)).collect()
    }

    /// Makes something where nothing is.
    pub(super) fn make(&mut self, path: &[u8], node: Node, mode: u32) -> Result<u64> {
        let path = absolute(path);
        if self.names.contains_key(&path) {
            return Err(StatusCode::Failure);
        }
        let above = self.find(parent(&path), true)?;
        if *self.node(above) != Node::Dir {
            return Err(StatusCode::NoSuchFile);
        }
        Ok(self.insert(path, node, mode))
    }

    pub(super) fn remove(&mut self, path: &[u8], dir: bool) -> Result<()> {
        let inode = self.find(path, false)?;
        let is_dir = *self.node(inode) == Node::Dir;
        if is_dir != dir || (is_dir && !self.children(path).is_empty()) {
            return Err(StatusCode::Failure);
        }
        self.names.remove(&absolute(path));
        Ok(())
    }

    /// `replace`: an existing target is replaced, else it is a failure.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8], replace: bool) -> Result<()> {
        let (from, to) = (absolute(from), absolute(to));
        self.find(&from, false)?;
        if self.names.contains_key(&to) && !replace {
            return Err(StatusCode::Failure);
        }
        let below = [&from[..], b"/"].concat();
        let moved: Vec<_> =
            self.names.keys().filter(|p| **p == from || p.starts_with(&below)).cloned().collect();
        for path in moved {
            if let Some(inode) = self.names.remove(&path) {
                self.names.insert([&to[..], &path[from.len()..]].concat(), inode);
            }
        }
        Ok(())
    }

    fn insert(&mut self, path: Vec<u8>, node: Node, mode: u32) -> u64 {
        let inode = self.next;
        self.next += 1;
        let mode = if node == Node::Dir { 0o755 } else { mode & 0o7777 };
        self.inodes.insert(inode, Inode { node, mode, owner: self.maker, modified: 1_000_000_000 });
        self.names.insert(path, inode);
        inode
    }
}

/// The absolute form of a path, without `.`, `..` and doubled slashes.
pub(super) fn absolute(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    [b"/", &parts.join(&b'/')[..]].concat()
}

fn beside(link: &[u8], target: &[u8]) -> Vec<u8> {
    match target.first() {
        Some(b'/') => absolute(target),
        _ => absolute(&[parent(link), b"/", target].concat()),
    }
}

fn parent(path: &[u8]) -> &[u8] {
    match path.iter().rposition(|byte| *byte == b'/') {
        Some(0) | None => b"/",
        Some(slash) => &path[..slash],
    }
}

fn last(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_move_with_what_is_below_them_and_links_lead_on() {
        let mut tree = Tree::new().file("/a/b/f", "x").link("/l", "a/b/f");

        tree.rename(b"/a", b"/c", false).unwrap();

        assert_eq!(tree.paths(), ["/c", "/c/b", "/c/b/f", "/l"]);
        assert_eq!(tree.find(b"/l", true), Err(StatusCode::NoSuchFile));
        tree.rename(b"c", b"a", false).unwrap();
        let found = tree.find(b"/l", true).unwrap();
        assert_eq!(tree.node(found), &Node::File(b"x".to_vec()));
        assert_eq!(tree.rename(b"/a/b/f", b"/l", false), Err(StatusCode::Failure));
        tree.rename(b"/a/b/f", b"/l", true).unwrap();
        assert_eq!(tree.content("/l"), Some(&b"x"[..]));
    }
}
