//! What is tried. Files by their plain names: whatever resolves paths carefully is not asked here.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;

use crate::raw;
use crate::stage::{SECRET, Stage};

pub struct Attempt {
    pub name: &'static str,
    pub tried: fn(&Stage) -> io::Result<()>,
    /// Walls behind which this is no escape.
    pub allowed_behind: &'static [&'static str],
    /// Some machines refuse it to everybody.
    pub may_be_missing: bool,
    /// Error numbers of a refusal beside `EPERM` and `EACCES`.
    also: &'static [i32],
}

impl Attempt {
    pub fn refusals(&self) -> Vec<i32> {
        [&[libc::EPERM, libc::EACCES], self.also].concat()
    }
}

const fn no(name: &'static str, tried: fn(&Stage) -> io::Result<()>) -> Attempt {
    Attempt { name, tried, allowed_behind: &[], may_be_missing: false, also: &[] }
}

/// Not everywhere, even without walls: a container or a kernel without it refuses first.
const fn rare(name: &'static str, tried: fn(&Stage) -> io::Result<()>) -> Attempt {
    Attempt { may_be_missing: true, ..no(name, tried) }
}

/// Landlock tells of a name that may not move by "another device".
const fn moved(name: &'static str, tried: fn(&Stage) -> io::Result<()>) -> Attempt {
    Attempt { also: &[libc::EXDEV], ..no(name, tried) }
}

const fn names(name: &'static str, tried: fn(&Stage) -> io::Result<()>) -> Attempt {
    Attempt { allowed_behind: &["server with names"], ..no(name, tried) }
}

pub const ATTEMPTS: &[Attempt] = &[
    // Reading what is not there.
    no("read /etc/shadow", |_| read_any(Path::new("/etc/shadow"))),
    no("read another user's file", |s| read_secret(&s.secret())),
    no("read it by dots", |s| read_secret(&s.inside().join("sub/../../outside/secret"))),
    no("read it by a link", |s| {
        symlink(s.secret(), s.inside().join("link"))?;
        read_secret(&s.inside().join("link"))
    }),
    no("read it by a relative link", |s| {
        symlink("../outside", s.inside().join("link"))?;
        read_secret(&s.inside().join("link/secret"))
    }),
    no("read it by /proc/self/root", |s| {
        read_secret(&Path::new("/proc/self/root").join(s.secret().strip_prefix("/").unwrap()))
    }),
    no("read it by /proc/self/cwd", |s| {
        let to_root = "../".repeat(40);
        let secret = s.secret();
        let path =
            format!("/proc/self/cwd/{to_root}{}", secret.strip_prefix("/").unwrap().display());
        read_secret(Path::new(&path))
    }),
    no("read it by a link to /proc/self/root", |s| {
        symlink("/proc/self/root", s.inside().join("link"))?;
        read_secret(&s.inside().join("link").join(s.secret().strip_prefix("/").unwrap()))
    }),
    no("read the environment of another process", |s| {
        read_any(Path::new(&format!("/proc/{}/environ", s.victim())))
    }),
    no("read the memory of another process", |s| {
        File::open(format!("/proc/{}/mem", s.victim())).map(drop)
    }),
    no("read a device", |_| read_some(Path::new("/dev/zero"))),
    no("list another user's root", |s| fs::read_dir(s.outside()).map(drop)),
    no("list the machine's root", |_| fs::read_dir("/").map(drop)),
    rare("open by a file handle", |s| raw::open_by_handle(&s.secret())),
    // Changing it.
    no("overwrite another user's file", |s| {
        OpenOptions::new().write(true).open(s.secret())?.write_all(b"!")
    }),
    no("append to another user's file", |s| {
        OpenOptions::new().append(true).open(s.secret())?.write_all(b"!")
    }),
    no("truncate another user's file by name", |s| raw::truncate(&s.secret())),
    no("make a file outside", |s| File::create_new(s.outside().join("new")).map(drop)),
    no("make a directory outside", |s| fs::create_dir(s.outside().join("new"))),
    no("make a link outside", |s| symlink("x", s.outside().join("new"))),
    no("make a file in /tmp", |s| {
        let path = format!("/tmp/sterna-escape-{}", s.victim());
        File::create_new(&path).map(drop)?;
        fs::remove_file(path)
    }),
    no("make a device", |s| raw::mknod(&s.inside().join("device"), libc::S_IFCHR | 0o666)),
    no("make a FIFO", |s| raw::mknod(&s.inside().join("fifo"), libc::S_IFIFO | 0o666)),
    no("remove another user's file", |s| fs::remove_file(s.secret())),
    no("remove another user's directory", |s| fs::remove_dir(s.outside().join("dir"))),
    moved("move a file out", |s| fs::rename(s.inside().join("own"), s.outside().join("new"))),
    moved("move a file in", |s| fs::rename(s.secret(), s.inside().join("taken"))),
    moved("move a directory in", |s| fs::rename(s.outside().join("dir"), s.inside().join("taken"))),
    moved("give another user's file a name inside", |s| {
        fs::hard_link(s.secret(), s.inside().join("taken"))
    }),
    moved("give a file a name outside", |s| {
        fs::hard_link(s.inside().join("own"), s.outside().join("new"))
    }),
    // Other processes.
    no("kill another process", |s| raw::kill(s.victim())),
    no("trace another process", |s| raw::trace(s.victim())),
    no("read the memory of another process by its number", |s| raw::read_memory(s.victim())),
    no("take a descriptor of another process", |s| raw::take_descriptor(s.victim())),
    no("run a program", |_| {
        use std::os::unix::process::CommandExt as _;
        Err(Command::new("/bin/true").exec())
    }),
    no("start a process", |_| raw::fork()),
    no("start a program", |_| Command::new("/bin/true").status().map(drop)),
    // Rights.
    no("become another user", |_| raw::set_user(12345)),
    no("become root again", |_| raw::set_user(0)),
    no("change the groups", |_| raw::set_groups()),
    no("take a capability", |_| raw::set_capabilities()),
    // Name spaces and mounts.
    no("a user name space of its own", |_| raw::unshare(libc::CLONE_NEWUSER)),
    no("a mount name space of its own", |_| raw::unshare(libc::CLONE_NEWNS)),
    Attempt {
        also: &[libc::ENOSYS],
        ..no("a process in a user name space", |_| raw::clone3_in_user_namespace())
    },
    no("join a name space", |s| raw::join_namespace(s.victim())),
    no("mount", |s| raw::mount(&s.inside().join("sub"))),
    no("another root", |s| raw::chroot(&s.outside())),
    // The network.
    no("connect to a port", |s| TcpStream::connect(("127.0.0.1", s.port)).map(drop)),
    no("listen", |_| TcpListener::bind("127.0.0.1:0").map(drop)),
    names("send a datagram", |_| UdpSocket::bind("127.0.0.1:0").map(drop)),
    no("a raw socket", |_| raw::socket(libc::AF_INET, libc::SOCK_RAW, libc::IPPROTO_ICMP)),
    no("a packet socket", |_| raw::socket(libc::AF_PACKET, libc::SOCK_RAW, 0)),
    no("a socket for the kernel's tables of packets", |_| {
        raw::socket(libc::AF_NETLINK, libc::SOCK_RAW, libc::NETLINK_NETFILTER)
    }),
    rare("a socket between machines", |_| raw::socket(libc::AF_VSOCK, libc::SOCK_STREAM, 0)),
    no("an abstract socket of another process", |s| {
        UnixStream::connect_addr(&s.abstract_name()).map(drop)
    }),
    // The kernel.
    rare("keyrings", |_| raw::keyctl()),
    rare("a new key", |_| raw::add_key()),
    rare("a program for the kernel", |_| raw::bpf()),
    rare("io_uring", |_| raw::io_uring()),
    rare("performance counters", |_| raw::perf_event_open()),
    rare("page faults in user space", |_| raw::userfaultfd()),
    rare("typing into a terminal", |_| raw::type_into_terminal()),
    no("the name of the machine", |_| raw::set_host_name()),
    no("the clock", |_| raw::set_clock()),
    no("the kernel's log", |_| raw::read_kernel_log()),
    no("another personality", |_| raw::personality()),
    no("memory that is written and executed", |_| raw::executable_memory()),
    no("be seen by others again", |_| raw::set_dumpable()),
    no("a higher limit of descriptors", |_| raw::raise_limit()),
];

fn read_any(path: &Path) -> io::Result<()> {
    let mut bytes = Vec::new();
    File::open(path)?.take(4096).read_to_end(&mut bytes)?;
    if bytes.is_empty() { Err(io::Error::other("nothing to read")) } else { Ok(()) }
}

fn read_some(path: &Path) -> io::Result<()> {
    File::open(path)?.read_exact(&mut [0])
}

fn read_secret(path: &Path) -> io::Result<()> {
    match fs::read_to_string(path)? {
        text if text == SECRET => Ok(()),
        _ => Err(io::Error::other("another file")),
    }
}
