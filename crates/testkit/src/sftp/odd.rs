//! A server that is honest except where a rule says otherwise; it can also reorder its answers and
//! refuse to do much at once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sterna_sftp_proto::extension::{Extended, UsersGroupsReply};
use sterna_sftp_proto::frame::FrameAssembler;
use sterna_sftp_proto::messages::{self, Init};
use sterna_sftp_proto::{OpenFlags, StatusCode};
use sterna_sshwire::{Reader, put_string, put_u32, put_u64};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};

use super::answer::{Answer, Named};
use super::rule::{Odd, Request};
use super::tree::{Node, Tree, absolute};
use crate::Seed;

/// Silence of the client after which held answers go out: it waits for one of them.
const QUIET: Duration = Duration::from_millis(2);

/// Bytes that each direction of an in-memory stream holds.
const PIPE_LEN: usize = 1 << 20;

/// Names in one answer of an honest listing.
const BATCH_LEN: usize = 100;

/// See the module.
pub struct OddServer {
    tree: Arc<Mutex<Tree>>,
    requests: Arc<Mutex<Vec<String>>>,
    extensions: Vec<(String, String)>,
    noise: Vec<u8>,
    rules: Vec<(Request, Odd)>,
    handles: HashMap<Vec<u8>, Open>,
    next_handle: u32,
    handles_max: usize,
    outstanding_max: usize,
    shuffle: Option<Seed>,
    /// Answers that wait for the client to fall silent.
    held: Vec<Vec<u8>>,
    /// `limits@openssh.com`: bytes of a READ and of a WRITE; 0 is not said.
    block_len: u64,
    /// Names by number.
    users: Vec<(u32, String)>,
    groups: Vec<(u32, String)>,
}

/// Behind a handle.
struct Open {
    path: Vec<u8>,
    what: Opened,
}

enum Opened {
    File {
        inode: u64,
    },
    /// Names that are still to be told.
    Dir {
        left: Vec<Named>,
    },
}

/// What the session does after a request.
enum Step {
    /// Goes on with these bytes.
    Send(Vec<u8>),
    /// Ends behind these bytes.
    End(Vec<u8>),
}

impl OddServer {
    /// An honest server of version 3 without extensions.
    pub fn new(tree: Tree) -> Self {
        Self {
            tree: Arc::new(Mutex::new(tree)),
            requests: Arc::default(),
            extensions: Vec::new(),
            noise: Vec::new(),
            rules: Vec::new(),
            handles: HashMap::new(),
            next_handle: 0,
            handles_max: usize::MAX,
            outstanding_max: usize::MAX,
            shuffle: None,
            held: Vec::new(),
            block_len: 0,
            users: Vec::new(),
            groups: Vec::new(),
        }
    }

    /// Announces an extension. Of those with requests it serves `posix-rename@openssh.com`,
    /// `fsync@openssh.com`, `limits@openssh.com`, `users-groups-by-id@openssh.com` and, for `~user`,
    /// `expand-path@openssh.com`: `/home/user`.
    #[must_use]
    pub fn offering(mut self, name: &str, value: &str) -> Self {
        self.extensions.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Announces `limits@openssh.com`: blocks of so many bytes, and as many handles as there may be.
    #[must_use]
    pub fn with_limits(mut self, block_len: u64) -> Self {
        self.block_len = block_len;
        self.offering("limits@openssh.com", "1")
    }

    /// Says these names of users and of groups (`users-groups-by-id@openssh.com`).
    #[must_use]
    pub fn naming(mut self, users: &[(u32, &str)], groups: &[(u32, &str)]) -> Self {
        let owned =
            |names: &[(u32, &str)]| names.iter().map(|(id, n)| (*id, (*n).into())).collect();
        (self.users, self.groups) = (owned(users), owned(groups));
        self.offering("users-groups-by-id@openssh.com", "1")
    }

    /// Prints this before VERSION, as a login script does.
    #[must_use]
    pub fn noise(mut self, text: impl Into<Vec<u8>>) -> Self {
        self.noise = text.into();
        self
    }

    /// Adds a rule. The first that is for a request holds.
    #[must_use]
    pub fn on(mut self, request: Request, odd: Odd) -> Self {
        self.rules.push((request, odd));
        self
    }

    /// Refuses to open more than `max` files and directories at once: FAILURE.
    #[must_use]
    pub fn handles_max(mut self, max: usize) -> Self {
        self.handles_max = max;
        self
    }

    /// Answers a request with FAILURE while `max` others have no answer yet. Answers go out when the
    /// client has sent all it wants.
    #[must_use]
    pub fn outstanding_max(mut self, max: usize) -> Self {
        self.outstanding_max = max;
        self
    }

    /// Answers in an order of its own, by this seed.
    #[must_use]
    pub fn shuffled(mut self, seed: u64) -> Self {
        self.shuffle = Some(Seed::new(seed));
        self
    }

    /// The files of the server, for looking at them afterwards.
    pub fn tree(&self) -> Arc<Mutex<Tree>> {
        self.tree.clone()
    }

    /// Every request so far: its word and its path.
    pub fn requests(&self) -> Arc<Mutex<Vec<String>>> {
        self.requests.clone()
    }

    /// Serves on a task of its own; returns the client's end of the stream.
    pub fn start(self) -> DuplexStream {
        let (theirs, ours) = tokio::io::duplex(PIPE_LEN);
        tokio::spawn(self.serve(ours));
        theirs
    }

    /// Serves until the client leaves or a rule ends it.
    pub async fn serve<IO: AsyncRead + AsyncWrite + Unpin>(mut self, mut io: IO) {
        let mut assembler = FrameAssembler::for_server();
        let mut input = vec![0; 64 << 10];
        if io.write_all(&std::mem::take(&mut self.noise)).await.is_err() {
            return;
        }
        loop {
            if io.flush().await.is_err() {
                return;
            }
            let reading = io.read(&mut input);
            let read = match self.held.is_empty() {
                true => reading.await,
                false => match tokio::time::timeout(QUIET, reading).await {
                    Ok(read) => read,
                    Err(_) => {
                        if io.write_all(&self.released()).await.is_err() {
                            return;
                        }
                        continue;
                    }
                },
            };
            let Ok(len @ 1..) = read else { return };
            let mut bytes = &input[..len];
            while let Ok(Some(frame)) = assembler.next(&mut bytes) {
                let (out, ends) = match self.take(&frame) {
                    Step::Send(out) => (out, false),
                    Step::End(out) => (out, true),
                };
                if io.write_all(&out).await.is_err() || ends {
                    let _ = io.shutdown().await;
                    return;
                }
            }
        }
    }

    /// Held answers, in the order in which they go out.
    fn released(&mut self) -> Vec<u8> {
        let mut held = std::mem::take(&mut self.held);
        if let Some(seed) = &mut self.shuffle {
            for at in (1..held.len()).rev() {
                held.swap(at, seed.below(at + 1));
            }
        }
        held.concat()
    }

    fn take(&mut self, frame: &[u8]) -> Step {
        if frame.first() == Some(&Init::TYPE) {
            return Step::Send(self.version());
        }
        let mut r = Reader::new(frame);
        let (Ok(wire_type), Ok(id)) = (r.u8("type"), r.u32("id")) else {
            return Step::End(Vec::new());
        };
        let Some(Ok(request)) = sterna_sftp_proto::Request::decode(wire_type, &mut r) else {
            return Step::Send(Answer::Status(StatusCode::OpUnsupported).encode(id));
        };
        let path = self.path_of(&request);
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).push(format!(
            "{} {}",
            request.name(),
            String::from_utf8_lossy(&path)
        ));
        if self.held.len() >= self.outstanding_max {
            self.held.push(Answer::Status(StatusCode::Failure).encode(id));
            return Step::Send(Vec::new());
        }
        let mut rules = std::mem::take(&mut self.rules);
        // Every rule counts, whichever holds.
        let mut rule = None;
        for (on, odd) in &mut rules {
            if on.takes(request.name(), &path) {
                rule = rule.or(Some(odd));
            }
        }
        let step = match rule {
            Some(odd) => self.answer_oddly(id, &request, odd),
            None => Step::Send(self.answer(&request).encode(id)),
        };
        self.rules = rules;
        match step {
            Step::Send(out) if self.shuffle.is_some() || self.outstanding_max != usize::MAX => {
                self.held.push(out);
                Step::Send(Vec::new())
            }
            step => step,
        }
    }

    fn version(&self) -> Vec<u8> {
        let mut body = vec![2, 0, 0, 0, 3];
        for (name, value) in &self.extensions {
            put_string(&mut body, name.as_bytes());
            put_string(&mut body, value.as_bytes());
        }
        let mut out = Vec::new();
        put_string(&mut out, &body);
        out
    }

    fn answer_oddly(
        &mut self,
        id: u32,
        request: &sterna_sftp_proto::Request<'_>,
        odd: &mut Odd,
    ) -> Step {
        let bare = |code: u32| {
            let mut out = vec![0, 0, 0, 9, 101];
            put_u32(&mut out, id);
            put_u32(&mut out, code);
            out
        };
        Step::Send(match odd {
            Odd::Status(code) => Answer::Status(StatusCode::from_number(*code)).encode(id),
            Odd::BareStatus(code) => bare(*code),
            Odd::NoStrings => match self.answer(request) {
                Answer::Status(code) => bare(code.number()),
                answer => answer.encode(id),
            },
            Odd::Names(names) => Answer::Names(names.clone()).encode(id),
            Odd::Data(data) => Answer::Data(data.clone()).encode(id),
            Odd::Path(path) => {
                let attrs = sterna_sftp_proto::Attrs::default();
                Answer::Names(vec![Named { name: path.clone(), attrs }]).encode(id)
            }
            Odd::Short(max) => {
                let mut answer = self.answer(request);
                if let Answer::Data(data) = &mut answer {
                    data.truncate(*max);
                }
                answer.encode(id)
            }
            Odd::Size(size) => self.answer(request).with_size(*size).encode(id),
            Odd::OtherId => self.answer(request).encode(id.wrapping_add(0x5555)),
            Odd::Twice => {
                let once = self.answer(request).encode(id);
                [&once[..], &once].concat()
            }
            Odd::Stall => Vec::new(),
            Odd::Cut => return Step::End(Vec::new()),
            Odd::CutInside => {
                let mut out = self.answer(request).encode(id);
                out.truncate(out.len() / 2);
                return Step::End(out);
            }
            Odd::After(change) => {
                change(&mut self.locked());
                self.answer(request).encode(id)
            }
        })
    }

    fn locked(&self) -> MutexGuard<'_, Tree> {
        self.tree.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The path that a request is about, by its handle if it has one.
    fn path_of(&self, request: &sterna_sftp_proto::Request<'_>) -> Vec<u8> {
        use sterna_sftp_proto::Request as R;
        let opened = |handle: &[u8]| {
            self.handles.get(handle).map_or_else(Vec::new, |open| open.path.clone())
        };
        match request {
            R::Open(m) => absolute(m.path),
            R::Lstat(m) => absolute(m.path),
            R::Setstat(m) => absolute(m.path),
            R::Opendir(m) => absolute(m.path),
            R::Remove(m) => absolute(m.path),
            R::Mkdir(m) => absolute(m.path),
            R::Rmdir(m) => absolute(m.path),
            R::Realpath(m) => absolute(m.path),
            R::Stat(m) => absolute(m.path),
            R::Rename(m) => absolute(m.old_path),
            R::Readlink(m) => absolute(m.path),
            R::Symlink(m) => absolute(m.link),
            R::Close(m) => opened(m.handle),
            R::Read(m) => opened(m.handle),
            R::Write(m) => opened(m.handle),
            R::Fstat(m) => opened(m.handle),
            R::Fsetstat(m) => opened(m.handle),
            R::Readdir(m) => opened(m.handle),
            R::Extended(Extended::PosixRename(m)) => absolute(m.old_path),
            R::Extended(Extended::Fsync(m)) => opened(m.handle),
            R::Extended(_) => Vec::new(),
        }
    }

    /// The right answer.
    fn answer(&mut self, request: &sterna_sftp_proto::Request<'_>) -> Answer {
        self.carry_out(request).unwrap_or_else(Answer::Status)
    }

    fn carry_out(
        &mut self,
        request: &sterna_sftp_proto::Request<'_>,
    ) -> Result<Answer, StatusCode> {
        use sterna_sftp_proto::Request as R;
        const DONE: Answer = Answer::Status(StatusCode::Ok);
        let tree = self.tree.clone();
        let mut tree = tree.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match request {
            R::Open(open) => {
                let inode = open_file(&mut tree, open)?;
                return self.new_handle(open.path, Opened::File { inode });
            }
            R::Opendir(m) => {
                let inode = tree.find(m.path, true)?;
                if *tree.node(inode) != Node::Dir {
                    return Err(StatusCode::NoSuchFile);
                }
                let dots = [b"." as &[u8], b".."].map(|name| (name.to_vec(), inode));
                let all = dots.into_iter().chain(tree.children(m.path));
                let left = all.map(|(name, i)| Named { name, attrs: tree.attrs(i) }).collect();
                return self.new_handle(m.path, Opened::Dir { left });
            }
            R::Close(m) => {
                self.handles.remove(m.handle).ok_or(StatusCode::Failure)?;
                DONE
            }
            R::Readdir(m) => match self.handles.get_mut(m.handle).map(|open| &mut open.what) {
                Some(Opened::Dir { left }) if left.is_empty() => return Err(StatusCode::Eof),
                Some(Opened::Dir { left }) => {
                    Answer::Names(left.drain(..left.len().min(BATCH_LEN)).collect())
                }
                _ => return Err(StatusCode::Failure),
            },
            R::Read(m) => {
                let bytes = tree.bytes(self.inode(m.handle)?)?;
                let from = usize::try_from(m.offset).unwrap_or(usize::MAX).min(bytes.len());
                let to = from.saturating_add(m.len as usize).min(bytes.len());
                if from == to {
                    return Err(StatusCode::Eof);
                }
                Answer::Data(bytes[from..to].to_vec())
            }
            R::Write(m) => {
                let bytes = tree.bytes(self.inode(m.handle)?)?;
                let from = usize::try_from(m.offset).map_err(|_| StatusCode::Failure)?;
                bytes.resize(bytes.len().max(from + m.data.len()), 0);
                bytes[from..from + m.data.len()].copy_from_slice(m.data);
                DONE
            }
            R::Lstat(m) => Answer::Attrs(tree.attrs(tree.find(m.path, false)?)),
            R::Stat(m) => Answer::Attrs(tree.attrs(tree.find(m.path, true)?)),
            R::Fstat(m) => Answer::Attrs(tree.attrs(self.inode(m.handle)?)),
            R::Setstat(m) => {
                let inode = tree.find(m.path, true)?;
                tree.set_attrs(inode, &m.attrs)?;
                DONE
            }
            R::Fsetstat(m) => {
                tree.set_attrs(self.inode(m.handle)?, &m.attrs)?;
                DONE
            }
            R::Remove(m) => tree.remove(m.path, false).map(|()| DONE)?,
            R::Rmdir(m) => tree.remove(m.path, true).map(|()| DONE)?,
            R::Mkdir(m) => tree.make(m.path, Node::Dir, 0o755).map(|_| DONE)?,
            R::Symlink(m) => {
                tree.make(m.link, Node::Link(m.target.to_vec()), 0o777).map(|_| DONE)?
            }
            R::Realpath(m) => single(absolute(m.path)),
            R::Readlink(m) => match tree.node(tree.find(m.path, false)?) {
                Node::Link(target) => single(target.clone()),
                Node::File(_) | Node::Dir => return Err(StatusCode::Failure),
            },
            R::Rename(m) => tree.rename(m.old_path, m.new_path, false).map(|()| DONE)?,
            R::Extended(extended) if !self.offers(extended) => {
                return Err(StatusCode::OpUnsupported);
            }
            R::Extended(Extended::PosixRename(m)) => {
                tree.rename(m.old_path, m.new_path, true).map(|()| DONE)?
            }
            R::Extended(Extended::Fsync(m)) => self.inode(m.handle).map(|_| DONE)?,
            R::Extended(Extended::UsersGroups(m)) => {
                let mut out = Vec::new();
                let name = |names: &[(u32, String)], id| {
                    let found = names.iter().find(|(known, _)| *known == id);
                    found.map_or(String::new(), |(_, name)| name.clone())
                };
                UsersGroupsReply::encode_names(
                    m.uids.iter().map(|id| name(&self.users, id)),
                    m.gids.iter().map(|id| name(&self.groups, id)),
                    &mut out,
                );
                Answer::Extended(out)
            }
            R::Extended(Extended::ExpandPath(m)) => match m.path.strip_prefix(b"~") {
                Some(user) => single([b"/home/", user].concat()),
                None => single(absolute(m.path)),
            },
            R::Extended(Extended::Limits(_)) => {
                let mut out = Vec::new();
                let handles = if self.handles_max == usize::MAX { 0 } else { self.handles_max };
                for number in [0, self.block_len, self.block_len, handles as u64] {
                    put_u64(&mut out, number);
                }
                Answer::Extended(out)
            }
            R::Extended(_) => return Err(StatusCode::OpUnsupported),
        })
    }

    fn offers(&self, extended: &Extended<'_>) -> bool {
        let row = extended.row();
        row.is_some_and(|row| self.extensions.iter().any(|(name, _)| name == row.announced))
    }

    fn inode(&self, handle: &[u8]) -> Result<u64, StatusCode> {
        match self.handles.get(handle) {
            Some(Open { what: Opened::File { inode }, .. }) => Ok(*inode),
            _ => Err(StatusCode::Failure),
        }
    }

    fn new_handle(&mut self, path: &[u8], what: Opened) -> Result<Answer, StatusCode> {
        if self.handles.len() >= self.handles_max {
            return Err(StatusCode::Failure);
        }
        self.next_handle += 1;
        let handle = self.next_handle.to_be_bytes().to_vec();
        self.handles.insert(handle.clone(), Open { path: absolute(path), what });
        Ok(Answer::Handle(handle))
    }
}

fn single(path: Vec<u8>) -> Answer {
    Answer::Names(vec![Named { name: path, attrs: sterna_sftp_proto::Attrs::default() }])
}

fn open_file(tree: &mut Tree, open: &messages::Open<'_>) -> Result<u64, StatusCode> {
    let has = |flag| open.flags.has(flag);
    let inode = match tree.find(open.path, true) {
        Ok(_) if has(OpenFlags::CREATE) && has(OpenFlags::EXCLUSIVE) => {
            return Err(StatusCode::Failure);
        }
        Ok(inode) => inode,
        Err(StatusCode::NoSuchFile) if has(OpenFlags::CREATE) => {
            let mode = open.attrs.permissions.unwrap_or(0o644);
            tree.make(open.path, Node::File(Vec::new()), mode)?
        }
        Err(code) => return Err(code),
    };
    let bytes = tree.bytes(inode)?;
    if has(OpenFlags::TRUNCATE) {
        bytes.clear();
    }
    Ok(inode)
}

#[cfg(test)]
mod tests;
