//! An SFTP session on a real directory with a model beside it: both get the same requests and must answer alike, and
//! after each one the file system must hold what the model holds.
//!
//! The model is the backend in memory, which was written apart. Where the two may differ (times, numbers of inodes, sizes
//! of directories, the order of a listing) nothing is compared.

use std::collections::BTreeMap;
use std::fs;
use std::io::IoSliceMut;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use sterna_server::sftp::{Resources, SessionPolicy, SftpSession, VecSink};
use sterna_sftp_proto::extension::{
    CheckFileHandle, CopyData, Extended, Fsync, Hardlink, PosixRename,
};
use sterna_sftp_proto::frame::FrameAssembler;
use sterna_sftp_proto::messages::{
    Close, Fsetstat, Fstat, Lstat, Mkdir, Open, Opendir, Read, Readdir, Readlink, Realpath, Remove,
    Rename, Rmdir, Setstat, Stat, Symlink, Write,
};
use sterna_sftp_proto::{Attrs, OpenFlags, Reply, Request, StatusCode};
use sterna_sshwire::Reader;
use sterna_storage::{Backend, FileKind, Local, Memory, OpenHow};

static RESOURCES: LazyLock<Resources> = LazyLock::new(|| Resources::new(1));

/// Longest wait for one answer.
const PATIENCE: Duration = Duration::from_secs(20);

const PATHS: [&[u8]; 16] = [
    b"/a", b"/b", b"/d", b"/d/a", b"/d/b", b"/d/e", b"/d/e/a", b"/l", b"/d/l", b"/", b"", b"a",
    b"/d/../a", b"/d/.", b"/a/", b"/l/a",
];
const TARGETS: [&[u8]; 8] = [b"a", b"/a", b"d", b"../a", b"/d/e", b"l", b"/nowhere", b"/../b"];

/// The type bits of `permissions`.
const KIND_MASK: u32 = 0o170_000;
const KIND_DIRECTORY: u32 = 0o040_000;

/// Input: requests of five bytes: which, then what it needs.
pub fn run(data: &[u8]) {
    let base = Path::new("/dev/shm");
    let dir = if base.is_dir() { tempfile::tempdir_in(base) } else { tempfile::tempdir() };
    let dir = dir.expect("a directory can be made");
    let memory = Memory::new();
    let local = Local::open(dir.path()).expect("the directory is there");
    let mut real = Session::new(Arc::new(local));
    let mut model = Session::new(Arc::new(memory.clone()));
    for words in data.chunks_exact(5).take(100) {
        let found = real.ask(words);
        let expected = model.ask(words);
        assert_eq!(found, expected, "{words:?}");
        let (there, should) = (tree_of(dir.path()), tree_in(&memory));
        assert_eq!(there, should, "behind {words:?}, answered {found}");
    }
}

/// A client of one session, with a few handles.
struct Session {
    session: SftpSession,
    waker: Waker,
    sink: VecSink,
    frames: FrameAssembler,
    handles: [Vec<u8>; 4],
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Session {
    fn new(backend: Arc<dyn Backend>) -> Self {
        let policy = SessionPolicy { umask: Some(0o022), ..SessionPolicy::default() };
        let mut session = Self {
            session: SftpSession::new(backend, policy, &RESOURCES),
            waker: Waker::from(Arc::new(Unpark(thread::current()))),
            sink: VecSink::new(1 << 20),
            frames: FrameAssembler::for_client(),
            handles: Default::default(),
        };
        session.session.handle_data(&[0, 0, 0, 5, 1, 0, 0, 0, 3]);
        session.next_frame();
        session
    }

    /// The next packet, whole.
    fn next_frame(&mut self) -> Vec<u8> {
        loop {
            let mut context = Context::from_waker(&self.waker);
            self.session.poll(&mut context, &mut self.sink);
            let mut bytes = self.sink.bytes();
            let frame = self.frames.next(&mut bytes).expect("the server speaks SFTP");
            if let Some(frame) = frame {
                let frame = frame.to_vec();
                assert!(bytes.is_empty(), "one answer to one request");
                self.sink.clear();
                return frame;
            }
            self.sink.clear();
            let since = std::time::Instant::now();
            thread::park_timeout(PATIENCE);
            assert!(since.elapsed() < PATIENCE, "no answer");
        }
    }

    /// One request and its answer, as far as both sides must say the same.
    fn ask(&mut self, words: &[u8]) -> String {
        let [which, a, b, c, d] = *words else { unreachable!("five bytes") };
        let pick = |n: u8| usize::from(n);
        let path = PATHS[pick(a) % PATHS.len()];
        let other = PATHS[pick(b) % PATHS.len()];
        let slot = pick(b) % self.handles.len();
        let handle = self.handles[slot].clone();
        let second = self.handles[pick(c) % self.handles.len()].clone();
        let (handle, second) = (&handle[..], &second[..]);
        let offset = u64::from(c) * 7;
        let mode = 0o600 | (u32::from(c) & 0o177);
        let attrs = Attrs {
            size: (d & 1 != 0).then_some(u64::from(d) * 3),
            permissions: (d & 2 != 0).then_some(mode),
            ..Attrs::default()
        };
        let of_dir = Attrs { permissions: Some(0o700 | mode), ..Attrs::default() };
        let content = [d; 300];
        let data = &content[..usize::from(d) % 300];
        let flags = [
            OpenFlags::READ,
            OpenFlags::WRITE,
            OpenFlags::CREATE,
            OpenFlags::TRUNCATE,
            OpenFlags::APPEND,
            OpenFlags::EXCLUSIVE,
        ];
        let flags = flags.iter().enumerate().filter(|(bit, _)| c & (1 << bit) != 0);
        let flags = flags.fold(OpenFlags::default(), |all, (_, flag)| all | *flag);
        let opens = matches!(which % 24, 0..=3 | 8);
        let request: Request<'_> = match which % 24 {
            0 | 1 => Open { path, flags, attrs: Attrs::default() }.into(),
            2 => {
                let flags = OpenFlags::READ | OpenFlags::WRITE | OpenFlags::CREATE;
                Open { path, flags, attrs: Attrs { permissions: Some(mode), ..attrs } }.into()
            }
            3 => Open { path, flags: OpenFlags::READ, attrs: Attrs::default() }.into(),
            4 | 5 => Write { handle, offset, data }.into(),
            6 => Read { handle, offset, len: u32::from(d) * 5 }.into(),
            7 => Close { handle }.into(),
            8 => Opendir { path }.into(),
            9 => Readdir { handle }.into(),
            10 => Mkdir { path, attrs: of_dir }.into(),
            11 => Rmdir { path }.into(),
            12 => Remove { path }.into(),
            13 => Rename { old_path: path, new_path: other }.into(),
            14 => Request::Extended(PosixRename { old_path: path, new_path: other }.into()),
            15 => Symlink { target: TARGETS[pick(c) % TARGETS.len()], link: path }.into(),
            16 => Readlink { path }.into(),
            17 => Request::Extended(Hardlink { existing: path, new: other }.into()),
            18 => Realpath { path }.into(),
            19 => match d % 3 {
                0 => Stat { path }.into(),
                1 => Lstat { path }.into(),
                _ => Fstat { handle }.into(),
            },
            // A directory's own rights would keep out who is not root.
            20 => Setstat { path, attrs: Attrs { permissions: None, ..attrs } }.into(),
            21 => Fsetstat { handle, attrs }.into(),
            22 => {
                let copy = CopyData {
                    read_handle: handle,
                    read_offset: offset,
                    len: u64::from(d),
                    write_handle: second,
                    write_offset: u64::from(d) * 2,
                };
                Request::Extended(Extended::from(copy))
            }
            _ => match d % 2 {
                0 => Request::Extended(Fsync { handle }.into()),
                _ => {
                    let check = CheckFileHandle {
                        handle,
                        hash_list: b"sha256",
                        offset,
                        len: u64::from(d),
                        block_len: 0,
                    };
                    Request::Extended(check.into())
                }
            },
        };
        let mut wire = Vec::new();
        request.encode(7, &mut wire);
        self.session.handle_data(&wire);
        let frame = self.next_frame();
        let mut r = Reader::new(&frame[5..]);
        let reply = Reply::decode(frame[0], &mut r).expect("a good reply").expect("a known one");
        if let Reply::Handle(new) = &reply
            && opens
        {
            let new = new.handle.to_vec();
            let old = std::mem::replace(&mut self.handles[slot], new);
            if !old.is_empty() {
                // It may be closed already.
                let mut wire = Vec::new();
                Request::from(Close { handle: &old }).encode(8, &mut wire);
                self.session.handle_data(&wire);
                self.next_frame();
            }
        }
        said(&reply)
    }
}

/// A reply without what may differ.
fn said(reply: &Reply<'_>) -> String {
    match reply {
        Reply::Status(status) if status.code == StatusCode::Ok => "ok".to_owned(),
        // Which of two reasons is named depends on what is looked at first.
        Reply::Status(status) => match status.code {
            StatusCode::NoSuchFile
            | StatusCode::PermissionDenied
            | StatusCode::Failure
            | StatusCode::BadMessage => "refused".to_owned(),
            code => format!("{code:?}"),
        },
        Reply::Handle(_) => "a handle".to_owned(),
        Reply::Data(data) => format!("data {:?}", data.data),
        Reply::Name(names) => {
            let mut names: Vec<_> =
                names.iter().map(|n| n.filename.escape_ascii().to_string()).collect();
            names.sort();
            format!("names {names:?}")
        }
        Reply::Attrs(attrs) => {
            let mode = attrs.permissions.unwrap_or_default();
            let is_dir = mode & KIND_MASK == KIND_DIRECTORY;
            let size = attrs.size.filter(|_| !is_dir);
            // Those of a link mean nothing.
            let is_link = mode & KIND_MASK == 0o120_000;
            let mode = if is_link { mode & KIND_MASK } else { mode };
            // Nobody set those of the root.
            format!("attrs {mode:o} {size:?}")
        }
        Reply::ExtendedReply(reply) => format!("reply {:?}", reply.data),
    }
}

/// What a name is, and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Node {
    File(Vec<u8>, u32),
    Dir,
    Link(Vec<u8>),
}

type Tree = BTreeMap<Vec<u8>, Node>;

fn tree_of(root: &Path) -> Tree {
    let (mut tree, mut left) = (Tree::new(), vec![(root.to_owned(), Vec::new())]);
    while let Some((dir, path)) = left.pop() {
        for entry in fs::read_dir(dir).expect("a directory can be listed") {
            let entry = entry.expect("an entry");
            let path = [&path[..], b"/", entry.file_name().as_bytes()].concat();
            let attrs = entry.metadata().expect("attributes");
            let node = if attrs.is_symlink() {
                Node::Link(
                    fs::read_link(entry.path()).expect("a link").as_os_str().as_bytes().to_vec(),
                )
            } else if attrs.is_dir() {
                left.push((entry.path(), path.clone()));
                Node::Dir
            } else {
                let mode = attrs.permissions().mode() & 0o7777;
                Node::File(fs::read(entry.path()).expect("a file"), mode)
            };
            tree.insert(path, node);
        }
    }
    tree
}

fn tree_in(memory: &Memory) -> Tree {
    let (mut tree, mut left) = (Tree::new(), vec![Vec::new()]);
    while let Some(path) = left.pop() {
        let place = if path.is_empty() { b"/".to_vec() } else { path.clone() };
        let (mut dir, mut entries) = (memory.open_dir(&place).expect("a directory"), Vec::new());
        while dir.next_entries(100, &mut entries).expect("a listing") {}
        for entry in entries.into_iter().filter(|e| e.name != b"." && e.name != b"..") {
            let path = [&path[..], b"/", &entry.name].concat();
            let node = match entry.attrs.kind {
                FileKind::Symlink => Node::Link(memory.readlink(&path).expect("a link")),
                FileKind::Directory => {
                    left.push(path.clone());
                    Node::Dir
                }
                _ => {
                    let how = OpenHow { read: true, ..OpenHow::default() };
                    let file = memory.open(&path, &how).expect("a file");
                    let mut bytes = vec![0; entry.attrs.size as usize];
                    let len = file.read_at(&mut [IoSliceMut::new(&mut bytes)], 0).expect("content");
                    assert_eq!(len, bytes.len());
                    Node::File(bytes, entry.attrs.mode)
                }
            };
            tree.insert(path, node);
        }
    }
    tree
}
