//! The same requests to OpenSSH's `sftp-server` and to a session of ours on pipes: the same answers,
//! but for the differences that are wanted, which stand here one by one.

use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use sterna_server::sftp::{Resources, SessionPolicy, SftpSession};
use sterna_server::stdio;
use sterna_sftp_proto::extension::{
    CopyData, Extended, Fsync, Hardlink, HomeDirectory, Lsetstat, PosixRename,
};
use sterna_sftp_proto::messages::{
    Close, Fsetstat, Fstat, Lstat, Mkdir, Open, Opendir, Read, Readdir, Readlink, Realpath, Remove,
    Rename, Rmdir, Setstat, Stat, Symlink, Write,
};
use sterna_sftp_proto::{Attrs, OpenFlags as F, Reply, Request, Times};
use sterna_sshwire::Reader;
use sterna_storage::Local;

const PROGRAM: &str = "/usr/lib/openssh/sftp-server";

/// A server behind two pipes.
struct Server {
    input: Box<dyn std::io::Write>,
    output: Box<dyn std::io::Read>,
    next_id: u32,
    handles: Vec<Vec<u8>>,
    dir: tempfile::TempDir,
}

impl Server {
    fn openssh() -> Self {
        let dir = tree();
        let mut child = Command::new(PROGRAM)
            .args(["-e", "-d"])
            .arg(dir.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("OpenSSH's sftp-server is installed");
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        // It ends with its input, which this test holds.
        std::thread::spawn(move || child.wait());
        Self::new(Box::new(input), Box::new(output), dir)
    }

    fn ours() -> Self {
        let dir = tree();
        let backend = Arc::new(Local::open("/").unwrap());
        let start_dir = dir.path().to_str().unwrap().as_bytes().to_vec();
        let policy = SessionPolicy { home: start_dir.clone(), start_dir, ..Default::default() };
        let session = SftpSession::new(backend, policy, &Resources::new(2));
        let (their_input, input) = std::io::pipe().unwrap();
        let (output, their_output) = std::io::pipe().unwrap();
        std::thread::spawn(move || stdio::serve(session, their_input, their_output));
        Self::new(Box::new(input), Box::new(output), dir)
    }

    fn new(
        input: Box<dyn std::io::Write>,
        output: Box<dyn std::io::Read>,
        dir: tempfile::TempDir,
    ) -> Self {
        let mut server = Self { input, output, next_id: 0, handles: Vec::new(), dir };
        server.input.write_all(&[0, 0, 0, 5, 1, 0, 0, 0, 3]).unwrap();
        assert_eq!(server.packet()[..5], [2, 0, 0, 0, 3]);
        server
    }

    fn packet(&mut self) -> Vec<u8> {
        let mut len = [0; 4];
        self.output.read_exact(&mut len).unwrap();
        let mut packet = vec![0; u32::from_be_bytes(len) as usize];
        self.output.read_exact(&mut packet).unwrap();
        packet
    }

    /// What the answer says, without what must differ: handles, inode numbers, times of now.
    fn ask(&mut self, request: &Request<'_>) -> String {
        let mut wire = Vec::new();
        request.encode(self.next_id, &mut wire);
        self.input.write_all(&wire).unwrap();
        let packet = self.packet();
        assert_eq!(packet[1..5], self.next_id.to_be_bytes());
        self.next_id += 1;
        let root = self.dir.path().to_str().unwrap();
        let show = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace(root, "ROOT");
        let attrs = |a: &Attrs<'_>| {
            let dir = a.permissions.is_some_and(|p| p & 0o170_000 == 0o040_000);
            let size = if dir { None } else { a.size };
            format!("{size:?} {:?} {:o}", a.owner, a.permissions.unwrap_or(0))
        };
        match Reply::decode(packet[0], &mut Reader::new(&packet[5..])).unwrap().unwrap() {
            Reply::Status(status) => format!("status {}", status.code.number()),
            Reply::Handle(handle) => {
                self.handles.push(handle.handle.to_vec());
                "handle".to_owned()
            }
            Reply::Data(data) => format!("data {}", show(data.data)),
            Reply::Attrs(a) => format!("attrs {}", attrs(&a)),
            Reply::Name(names) => {
                let mut rows: Vec<_> = names
                    .iter()
                    .map(|e| format!("{} {}", show(e.filename), attrs(&e.attrs)))
                    .collect();
                rows.sort();
                format!("names {rows:?}")
            }
            Reply::ExtendedReply(reply) => format!("extended {} bytes", reply.data.len()),
        }
    }
}

/// Files, links, directories: the same for both.
fn tree() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    std::fs::write(at("file"), "0123456789").unwrap();
    std::fs::write(at("other"), "other").unwrap();
    std::fs::create_dir_all(at("full/sub")).unwrap();
    std::fs::create_dir(at("empty")).unwrap();
    std::os::unix::fs::symlink("file", at("link")).unwrap();
    std::os::unix::fs::symlink("nowhere", at("dangling")).unwrap();
    std::os::unix::fs::symlink("full", at("dirlink")).unwrap();
    dir
}

/// Makes a packet from the handles that were given out so far.
type MakePacket<'s> = Box<dyn Fn(&[Vec<u8>]) -> Vec<u8> + 's>;

/// One question, where the answers may differ: OpenSSH's, then ours.
type Step<'s> = (&'s str, MakePacket<'s>, Option<(&'s str, &'s str)>);

/// A step whose request needs no handle.
fn plain<'r>(request: impl Into<Request<'r>>) -> MakePacket<'r> {
    let mut frame = Vec::new();
    request.into().encode(0, &mut frame);
    Box::new(move |_| frame.clone())
}

/// A step that works on the handle of that number.
fn on<'r, R: Into<Request<'r>>>(
    nth: usize,
    make: impl Fn(&'r [u8]) -> R + 'static,
) -> MakePacket<'static> {
    Box::new(move |handles| {
        // Leaked: a test has few, and the request borrows for as long as it likes.
        let handle: &'static [u8] = handles[nth].clone().leak();
        let mut frame = Vec::new();
        make(handle).into().encode(0, &mut frame);
        frame
    })
}

fn attrs() -> Attrs<'static> {
    Attrs::default()
}

fn mode(bits: u32) -> Attrs<'static> {
    Attrs { permissions: Some(bits), ..Attrs::default() }
}

fn open(path: &[u8], flags: F) -> Request<'_> {
    Open { path, flags, attrs: attrs() }.into()
}

#[test]
fn the_answers_are_those_of_openssh_but_for_the_listed_differences() {
    const NEW: F = F(0x0a);
    let steps: Vec<Step<'_>> = vec![
        ("realpath .", plain(Realpath { path: b"." }), None),
        ("realpath empty", plain(Realpath { path: b"" }), None),
        ("realpath missing", plain(Realpath { path: b"missing" }), None),
        ("realpath missing/x", plain(Realpath { path: b"missing/x" }), None),
        ("realpath link", plain(Realpath { path: b"dirlink/sub/../../file" }), None),
        ("realpath //", plain(Realpath { path: b"//" }), None),
        ("realpath ../..", plain(Realpath { path: b"/../.." }), None),
        ("stat file", plain(Stat { path: b"file" }), None),
        ("stat link", plain(Stat { path: b"link" }), None),
        ("stat dangling", plain(Stat { path: b"dangling" }), None),
        ("stat missing", plain(Stat { path: b"missing" }), None),
        ("stat file/x", plain(Stat { path: b"file/x" }), None),
        ("stat dir", plain(Stat { path: b"full" }), None),
        ("lstat link", plain(Lstat { path: b"link" }), None),
        ("lstat dangling", plain(Lstat { path: b"dangling" }), None),
        ("readlink link", plain(Readlink { path: b"link" }), None),
        // EINVAL: 5 there, a failure in our table.
        ("readlink file", plain(Readlink { path: b"file" }), Some(("status 5", "status 4"))),
        ("readlink missing", plain(Readlink { path: b"missing" }), None),
        ("open read", plain(open(b"file", F::READ)), None), // handle 0
        ("open flags 0", plain(open(b"file", F(0))), None), // handle 1
        ("open new", plain(open(b"new", NEW)), None),       // handle 2
        ("open missing", plain(open(b"missing", F::READ)), None),
        ("open in missing", plain(open(b"missing/x", NEW)), None),
        ("open exclusive", plain(open(b"file", F(0x2a))), None),
        ("open exclusive link", plain(open(b"dangling", F(0x2a))), None),
        ("open dir for writing", plain(open(b"full", F::WRITE)), None),
        ("read", on(0, |handle| Read { handle, offset: 3, len: 4 }), None),
        ("read to the end", on(0, |handle| Read { handle, offset: 8, len: 100 }), None),
        ("read at the end", on(0, |handle| Read { handle, offset: 10, len: 1 }), None),
        ("read beyond", on(0, |handle| Read { handle, offset: 1 << 40, len: 1 }), None),
        ("read nothing", on(0, |handle| Read { handle, offset: 0, len: 0 }), None),
        ("read nothing at end", on(0, |handle| Read { handle, offset: 10, len: 0 }), None),
        // EBADF: 2 there.
        (
            "read write-only",
            on(2, |handle| Read { handle, offset: 0, len: 1 }),
            Some(("status 2", "status 4")),
        ),
        ("write", on(2, |handle| Write { handle, offset: 5, data: b"abc" }), None),
        ("write nothing", on(2, |handle| Write { handle, offset: 0, data: b"" }), None),
        (
            "write read-only",
            on(0, |handle| Write { handle, offset: 0, data: b"x" }),
            Some(("status 2", "status 4")),
        ),
        ("fstat", on(2, |handle| Fstat { handle }), None),
        ("fsetstat mode", on(2, |handle| Fsetstat { handle, attrs: mode(0o600) }), None),
        (
            "fsetstat size",
            on(2, |handle| Fsetstat { handle, attrs: Attrs { size: Some(2), ..attrs() } }),
            None,
        ),
        ("fsync", on(2, |handle| Request::Extended(Fsync { handle }.into())), None),
        ("fstat again", on(2, |handle| Fstat { handle }), None),
        ("close", on(2, |handle| Close { handle }), None),
        ("close twice", on(2, |handle| Close { handle }), Some(("status 2", "status 4"))),
        ("opendir", plain(Opendir { path: b"full" }), None), // handle 3
        ("readdir", on(3, |handle| Readdir { handle }), None),
        ("readdir end", on(3, |handle| Readdir { handle }), None),
        // OpenSSH has no fstat of a directory handle.
        (
            "fstat dir",
            on(3, |handle| Fstat { handle }),
            Some(("status 4", "attrs None Some(Owner { uid: 0, gid: 0 }) 40755")),
        ),
        ("close dir", on(3, |handle| Close { handle }), None),
        ("opendir missing", plain(Opendir { path: b"missing" }), None),
        ("opendir file", plain(Opendir { path: b"file" }), None),
        ("mkdir", plain(Mkdir { path: b"made", attrs: mode(0o750) }), None),
        ("stat made", plain(Stat { path: b"made" }), None),
        ("mkdir again", plain(Mkdir { path: b"made", attrs: attrs() }), None),
        ("mkdir in missing", plain(Mkdir { path: b"missing/x", attrs: attrs() }), None),
        ("mkdir in file", plain(Mkdir { path: b"file/x", attrs: attrs() }), None),
        ("rmdir full", plain(Rmdir { path: b"full" }), None),
        ("rmdir file", plain(Rmdir { path: b"file" }), None),
        ("rmdir missing", plain(Rmdir { path: b"missing" }), None),
        ("rmdir", plain(Rmdir { path: b"made" }), None),
        ("remove dir", plain(Remove { path: b"empty" }), None),
        ("remove missing", plain(Remove { path: b"missing" }), None),
        ("rename", plain(Rename { old_path: b"new", new_path: b"newer" }), None),
        ("rename over", plain(Rename { old_path: b"newer", new_path: b"other" }), None),
        ("rename over link", plain(Rename { old_path: b"newer", new_path: b"dangling" }), None),
        ("rename missing", plain(Rename { old_path: b"missing", new_path: b"x" }), None),
        ("rename dir", plain(Rename { old_path: b"empty", new_path: b"emptier" }), None),
        // EINVAL: 5 there.
        (
            "rename into itself",
            plain(Rename { old_path: b"full", new_path: b"full/sub/x" }),
            Some(("status 5", "status 4")),
        ),
        (
            "posix-rename",
            plain(Extended::from(PosixRename { old_path: b"newer", new_path: b"other" })),
            None,
        ),
        ("stat other", plain(Stat { path: b"other" }), None),
        ("symlink", plain(Symlink { target: b"to", link: b"made-link" }), None),
        ("symlink exists", plain(Symlink { target: b"to", link: b"file" }), None),
        ("readlink made", plain(Readlink { path: b"made-link" }), None),
        ("hardlink", plain(Extended::from(Hardlink { existing: b"file", new: b"hard" })), None),
        (
            "hardlink exists",
            plain(Extended::from(Hardlink { existing: b"file", new: b"other" })),
            None,
        ),
        ("setstat mode", plain(Setstat { path: b"file", attrs: mode(0o640) }), None),
        ("setstat missing", plain(Setstat { path: b"missing", attrs: mode(0o640) }), None),
        // Ours looks whether the file is there.
        (
            "setstat nothing, missing",
            plain(Setstat { path: b"missing", attrs: attrs() }),
            Some(("status 0", "status 2")),
        ),
        (
            "lsetstat times",
            plain(Extended::from(Lsetstat {
                path: b"dangling",
                attrs: Attrs { times: Some(Times { accessed: 1, modified: 2 }), ..attrs() },
            })),
            None,
        ),
        ("stat file at last", plain(Stat { path: b"file" }), None),
        ("long name", plain(Stat { path: &[b'x'; 300] }), Some(("status 5", "status 4"))),
        (
            "copy-data onto itself",
            Box::new(|handles: &[Vec<u8>]| {
                let mut frame = Vec::new();
                let copy = CopyData {
                    read_handle: &handles[0],
                    read_offset: 0,
                    len: 0,
                    write_handle: &handles[0],
                    write_offset: 0,
                };
                Request::Extended(copy.into()).encode(0, &mut frame);
                frame
            }),
            None,
        ),
        (
            "home-directory of nobody",
            plain(Extended::from(HomeDirectory { user: b"no-such-user" })),
            // 9.2 to 10.5 say 4, the text "no such user"; `~user` has 2 everywhere.
            Some(("status 4", "status 2")),
        ),
    ];
    let (mut theirs, mut ours) = (Server::openssh(), Server::ours());
    let mut wrong = Vec::new();

    for (name, frame_of, difference) in &steps {
        let ask = |server: &mut Server| {
            let frame = frame_of(&server.handles);
            let mut r = Reader::new(&frame[9..]);
            let request = Request::decode(frame[4], &mut r).unwrap().unwrap();
            server.ask(&request)
        };
        let (their, our) = (ask(&mut theirs), ask(&mut ours));
        let expected = match difference {
            Some((only_there, only_here)) => their == *only_there && our == *only_here,
            None => their == our,
        };
        if !expected {
            wrong.push(format!("{name}: OpenSSH says {their}, we say {our}"));
        }
    }

    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(same_tree(theirs.dir.path(), ours.dir.path()));
}

fn same_tree(a: &Path, b: &Path) -> bool {
    let names = |dir: &Path| {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    names(a) == names(b)
}
