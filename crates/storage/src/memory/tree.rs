//! The tree behind `Memory`: nodes by number, names in directories, and how paths are resolved.

use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::limits::{
    LINKS_MAX, NAME_LEN_MAX, PATH_LEN_MAX, XATTR_NAME_LEN_MAX, XATTR_VALUE_LEN_MAX,
};
use crate::{
    Attrs, Error, ErrorKind, FileKind, Owner, Result, SetAttrs, Time, Xattr, XattrAnswer, XattrWhen,
};

pub(super) type NodeId = u64;

const ROOT: NodeId = 1;

/// The next tree's device number: each tree has one of its own, far from those of real devices.
static NEXT_DEVICE: AtomicU64 = AtomicU64::new(1 << 63);

const NANOS_PER_SECOND: u32 = 1_000_000_000;

pub(super) enum Content {
    Regular(Vec<u8>),
    Directory { parent: NodeId, names: BTreeMap<Vec<u8>, NodeId> },
    Link(Vec<u8>),
}

pub(super) struct Node {
    pub content: Content,
    /// Handles that are open on it: it stays while there are any, with or without a name.
    pub open: usize,
    /// Names that lead to it.
    names: u64,
    mode: u32,
    owner: (u32, u32),
    accessed: Time,
    modified: Time,
    changed: Time,
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Node {
    pub fn new(content: Content, mode: u32) -> Self {
        let now = now();
        Self {
            content,
            open: 0,
            names: 0,
            mode: mode & 0o1777,
            owner: (0, 0),
            accessed: now,
            modified: now,
            changed: now,
            xattrs: BTreeMap::new(),
        }
    }

    pub fn kind(&self) -> FileKind {
        match self.content {
            Content::Regular(_) => FileKind::Regular,
            Content::Directory { .. } => FileKind::Directory,
            Content::Link(_) => FileKind::Symlink,
        }
    }

    fn touch(&mut self) {
        self.modified = now();
        self.changed = self.modified;
    }
}

/// What a path leads to.
pub(super) struct Place {
    pub dir: NodeId,
    /// The name in `dir`; `None` if the path ends in dots or is `/`: then `found` is `dir`.
    pub name: Option<Vec<u8>>,
    pub found: Option<NodeId>,
    /// The path ended in a slash.
    pub slash: bool,
}

pub(super) struct Tree {
    device: u64,
    nodes: HashMap<NodeId, Node>,
    next: NodeId,
    len: u64,
    len_max: u64,
}

impl Tree {
    pub fn new(len_max: u64) -> Self {
        let content = Content::Directory { parent: ROOT, names: BTreeMap::new() };
        let mut root = Node::new(content, 0o755);
        root.names = 1;
        let device = NEXT_DEVICE.fetch_add(1, Ordering::Relaxed);
        Self { device, nodes: HashMap::from([(ROOT, root)]), next: ROOT + 1, len: 0, len_max }
    }

    pub fn len_max(&self) -> u64 {
        self.len_max
    }

    pub fn len_free(&self) -> u64 {
        self.len_max - self.len
    }

    pub fn holds(&self, id: NodeId) -> bool {
        self.nodes.contains_key(&id)
    }

    /// Whether only handles lead to it.
    pub fn is_removed(&self, id: NodeId) -> bool {
        id != ROOT && self.node(id).names == 0
    }

    /// A node that a name or a handle leads to; both keep it alive.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[&id]
    }

    pub fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("names and handles keep nodes alive")
    }

    pub fn attrs(&self, id: NodeId) -> Attrs {
        let node = self.node(id);
        let size = match &node.content {
            Content::Regular(bytes) => bytes.len(),
            Content::Directory { .. } => 0,
            Content::Link(text) => text.len(),
        };
        Attrs {
            kind: node.kind(),
            size: size as u64,
            mode: node.mode,
            uid: node.owner.0,
            gid: node.owner.1,
            accessed: node.accessed,
            modified: node.modified,
            changed: node.changed,
            links: node.names,
            id: (self.device, id),
        }
    }

    /// Resolves `path`, whose last component may be missing.
    pub fn resolve(&self, path: &[u8], follow: bool, doing: &'static str) -> Result<Place> {
        self.walk(path, follow, doing).map(|(place, _)| place)
    }

    /// As `resolve` for calls on a name: a slash behind it does not make a link be followed.
    pub fn resolve_name(&self, path: &[u8], doing: &'static str) -> Result<Place> {
        let kept = path.iter().rposition(|&b| b != b'/').map_or(0, |at| at + 1);
        if kept == 0 || kept == path.len() {
            return self.resolve(path, false, doing);
        }
        Ok(Place { slash: true, ..self.resolve(&path[..kept], false, doing)? })
    }

    pub fn existing(&self, path: &[u8], follow: bool, doing: &'static str) -> Result<NodeId> {
        self.resolve(path, follow, doing)?.found.ok_or(Error::new(ErrorKind::NotFound, doing))
    }

    pub fn canonical(&self, path: &[u8]) -> Result<Vec<u8>> {
        let (place, mut names) = self.walk(path, true, "realpath")?;
        names.extend(place.name);
        let mut path: Vec<u8> =
            names.into_iter().flat_map(|n| [b"/".to_vec(), n].concat()).collect();
        if path.is_empty() {
            path.push(b'/');
        }
        Ok(path)
    }

    /// Walks `path`; returns its place and the names of the directories down to `place.dir`.
    fn walk(
        &self,
        path: &[u8],
        follow: bool,
        doing: &'static str,
    ) -> Result<(Place, Vec<Vec<u8>>)> {
        let fail = |kind| Error::new(kind, doing);
        if path.is_empty() {
            return Err(fail(ErrorKind::NotFound));
        }
        if path.len() > PATH_LEN_MAX {
            return Err(fail(ErrorKind::NameTooLong));
        }
        if path.contains(&0) {
            return Err(fail(ErrorKind::Invalid));
        }
        let mut trail: Vec<(Vec<u8>, NodeId)> = Vec::new();
        let mut ahead = components(path);
        let mut slash = path.ends_with(b"/");
        let mut links_left = LINKS_MAX;
        while let Some(name) = ahead.pop() {
            let here = trail.last().map_or(ROOT, |step| step.1);
            let last = ahead.is_empty();
            match name.as_slice() {
                b"." => continue,
                b".." => {
                    trail.pop();
                    continue;
                }
                _ if name.len() > NAME_LEN_MAX => return Err(fail(ErrorKind::NameTooLong)),
                _ => {}
            }
            let found = self.names_of(here).and_then(|names| names.get(&name)).copied();
            let kind = found.map(|id| self.node(id));
            match kind.map(|node| &node.content) {
                Some(Content::Link(text)) if !last || follow || slash => {
                    links_left = links_left.checked_sub(1).ok_or(fail(ErrorKind::LinkLoop))?;
                    if text.starts_with(b"/") {
                        trail.clear();
                    }
                    if last {
                        slash |= text.ends_with(b"/");
                    }
                    ahead.extend(components(text));
                }
                Some(Content::Regular(_)) if !last || slash => {
                    return Err(fail(ErrorKind::NotADirectory));
                }
                None if !last => return Err(fail(ErrorKind::NotFound)),
                Some(Content::Directory { .. }) if !last => {
                    trail.extend(found.map(|id| (name, id)));
                }
                _ => {
                    let names = trail.into_iter().map(|step| step.0).collect();
                    return Ok((Place { dir: here, name: Some(name), found, slash }, names));
                }
            }
        }
        let here = trail.last().map_or(ROOT, |step| step.1);
        let place = Place { dir: here, name: None, found: Some(here), slash };
        Ok((place, trail.into_iter().map(|step| step.0).collect()))
    }

    /// Whether `inner` is `outer` or somewhere below it.
    pub fn is_within(&self, mut inner: NodeId, outer: NodeId) -> bool {
        while inner != outer {
            match self.nodes.get(&inner).map(|node| &node.content) {
                Some(Content::Directory { parent, .. }) if *parent != inner => inner = *parent,
                _ => return false,
            }
        }
        true
    }

    /// The first name after `last` in a directory, in byte order.
    pub fn name_after(&self, dir: NodeId, last: Option<&[u8]>) -> Option<(&[u8], NodeId)> {
        let from = last.map_or(Bound::Unbounded, Bound::Excluded);
        let mut names = self.names_of(dir)?.range::<[u8], _>((from, Bound::Unbounded));
        names.next().map(|(name, id)| (name.as_slice(), *id))
    }

    /// Adds a new node under `name`, which is free.
    pub fn add(&mut self, dir: NodeId, name: Vec<u8>, node: Node) -> NodeId {
        let id = self.next;
        self.next += 1;
        self.nodes.insert(id, node);
        self.link(dir, name, id);
        id
    }

    /// Gives `id` one more name, which is free.
    pub fn link(&mut self, dir: NodeId, name: Vec<u8>, id: NodeId) {
        let node = self.node_mut(id);
        node.names += 1;
        node.changed = now();
        if let Content::Directory { parent, .. } = &mut node.content {
            *parent = dir;
        }
        let dir = self.node_mut(dir);
        dir.touch();
        if let Content::Directory { names, .. } = &mut dir.content {
            names.insert(name, id);
        }
    }

    /// Takes a name away; the node goes with its last name and handle.
    pub fn detach(&mut self, dir: NodeId, name: &[u8]) {
        let dir = self.node_mut(dir);
        dir.touch();
        if let Content::Directory { names, .. } = &mut dir.content
            && let Some(id) = names.remove(name)
        {
            let node = self.node_mut(id);
            node.names -= 1;
            node.changed = now();
            self.drop_unused(id);
        }
    }

    pub fn move_name(&mut self, from: NodeId, old: &[u8], to: NodeId, new: Vec<u8>) {
        let Some(&id) = self.names_of(from).and_then(|names| names.get(old)) else {
            return;
        };
        // The new name first: with none at all the node would go.
        self.link(to, new, id);
        self.detach(from, old);
    }

    /// A handle on `id` was closed.
    pub fn closed(&mut self, id: NodeId) {
        self.node_mut(id).open -= 1;
        self.drop_unused(id);
    }

    pub fn bytes(&self, id: NodeId) -> &[u8] {
        match &self.node(id).content {
            Content::Regular(bytes) => bytes,
            _ => &[],
        }
    }

    /// Writes at `offset`, or at the end if `None`.
    pub fn write(&mut self, id: NodeId, data: &[u8], offset: Option<u64>) -> Result<()> {
        if data.is_empty() {
            return Ok(());
        }
        let old_len = self.bytes(id).len() as u64;
        let start = offset.unwrap_or(old_len);
        let end = start.saturating_add(data.len() as u64);
        if end > old_len {
            self.resize(id, end, "write")?;
        }
        let node = self.node_mut(id);
        node.touch();
        if let Content::Regular(bytes) = &mut node.content {
            // `resize` has shown that `end` fits memory.
            bytes[start as usize..end as usize].copy_from_slice(data);
        }
        Ok(())
    }

    pub fn resize(&mut self, id: NodeId, size: u64, doing: &'static str) -> Result<()> {
        let old = self.bytes(id).len() as u64;
        let others = self.len - old;
        if size > self.len_max - others {
            return Err(Error::new(ErrorKind::NoSpace, doing));
        }
        let node = self.node_mut(id);
        node.touch();
        if let Content::Regular(bytes) = &mut node.content {
            let len = usize::try_from(size).map_err(|_| Error::new(ErrorKind::NoSpace, doing))?;
            bytes.resize(len, 0);
        }
        self.len = others + size;
        Ok(())
    }

    pub fn set_attrs(&mut self, id: NodeId, change: &SetAttrs, doing: &'static str) -> Result<()> {
        let mut result = Ok(());
        if let Some(size) = change.size {
            result = match self.node(id).kind() {
                FileKind::Regular => self.resize(id, size, doing),
                FileKind::Directory => Err(Error::new(ErrorKind::IsADirectory, doing)),
                _ => Err(Error::new(ErrorKind::LinkLoop, doing)),
            };
        }
        let node = self.node_mut(id);
        if let Some(mode) = change.mode {
            match node.content {
                Content::Link(_) => result = Err(Error::unsupported(doing)),
                _ => node.mode = mode & 0o1777,
            }
        }
        if let Some((accessed, modified)) = change.times {
            if accessed.nanos.max(modified.nanos) >= NANOS_PER_SECOND {
                result = Err(Error::new(ErrorKind::Invalid, doing));
            } else {
                (node.accessed, node.modified) = (accessed, modified);
            }
        }
        if let Some(Owner { uid, gid }) = change.owner {
            node.owner = (uid.unwrap_or(node.owner.0), gid.unwrap_or(node.owner.1));
        }
        if *change != SetAttrs::default() {
            node.changed = now();
        }
        result
    }

    /// All names and values of one node together have at most [`XATTR_VALUE_LEN_MAX`] bytes.
    pub fn xattr(&mut self, id: NodeId, asked: &Xattr<'_>) -> Result<XattrAnswer> {
        let fail = |kind| Error::new(kind, "xattr");
        let node = self.node_mut(id);
        if let Xattr::Get(name) | Xattr::Set { name, .. } | Xattr::Remove(name) = asked {
            if !name.starts_with(b"user.") {
                return Err(fail(ErrorKind::PermissionDenied));
            }
            if name.len() > XATTR_NAME_LEN_MAX {
                return Err(fail(ErrorKind::NameTooLong));
            }
        }
        match *asked {
            Xattr::Get(name) => {
                let value = node.xattrs.get(name).ok_or(fail(ErrorKind::NotFound))?;
                return Ok(XattrAnswer::Value(value.clone()));
            }
            Xattr::List => return Ok(XattrAnswer::Names(node.xattrs.keys().cloned().collect())),
            Xattr::Set { name, value, when } => {
                match (when, node.xattrs.contains_key(name)) {
                    (XattrWhen::Missing, true) => return Err(fail(ErrorKind::AlreadyExists)),
                    (XattrWhen::There, false) => return Err(fail(ErrorKind::NotFound)),
                    _ => {}
                }
                let others = node.xattrs.iter().filter(|(other, _)| *other != name);
                let len: usize = others.map(|(name, value)| name.len() + value.len()).sum();
                if len + name.len() + value.len() > XATTR_VALUE_LEN_MAX {
                    return Err(fail(ErrorKind::NoSpace));
                }
                node.xattrs.insert(name.to_vec(), value.to_vec());
            }
            Xattr::Remove(name) => {
                node.xattrs.remove(name).ok_or(fail(ErrorKind::NotFound))?;
            }
        }
        node.changed = now();
        Ok(XattrAnswer::Done)
    }

    fn names_of(&self, dir: NodeId) -> Option<&BTreeMap<Vec<u8>, NodeId>> {
        match &self.nodes.get(&dir)?.content {
            Content::Directory { names, .. } => Some(names),
            _ => None,
        }
    }

    fn drop_unused(&mut self, id: NodeId) {
        let node = self.node(id);
        if node.open == 0 && node.names == 0 {
            self.len -= self.bytes(id).len() as u64;
            self.nodes.remove(&id);
        }
    }
}

/// The names in a path, the first one last.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let names = path.split(|&b| b == b'/').filter(|name| !name.is_empty());
    names.rev().map(<[u8]>::to_vec).collect()
}

fn now() -> Time {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { seconds: since.as_secs() as i64, nanos: since.subsec_nanos() }
}
