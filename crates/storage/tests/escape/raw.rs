//! System calls as somebody makes them who has taken over a process, whatever the library has to say.
//!
//! `unsafe`: each call gets numbers, or pointers to values that live until it returns, of the size that the kernel
//! expects. What the calls do to the process is the point of them; each is made in a process that does nothing else
//! afterwards.
#![allow(unsafe_code)]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::ptr;

fn c(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).unwrap()
}

fn done(result: i64) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

macro_rules! call {
    ($number:expr $(, $argument:expr)*) => {
        // SAFETY: see the head of this file.
        done(unsafe { libc::syscall($number $(, $argument)*) })
    };
}

pub fn open_by_handle(path: &Path) -> io::Result<()> {
    #[repr(C)]
    struct Handle {
        len: u32,
        kind: i32,
        bytes: [u8; 128],
    }
    let (path, mut mount) = (c(path), 0_i32);
    let mut handle = Handle { len: 128, kind: 0, bytes: [0; 128] };
    call!(
        libc::SYS_name_to_handle_at,
        libc::AT_FDCWD,
        path.as_ptr(),
        &raw mut handle,
        &raw mut mount,
        0
    )?;
    let root = c"/";
    // SAFETY: as above.
    let mount = unsafe { libc::open(root.as_ptr(), libc::O_RDONLY) };
    done(mount.into())?;
    call!(libc::SYS_open_by_handle_at, mount, &raw mut handle, libc::O_RDONLY)
}

pub fn truncate(path: &Path) -> io::Result<()> {
    call!(libc::SYS_truncate, c(path).as_ptr(), 0)
}

pub fn mknod(path: &Path, mode: u32) -> io::Result<()> {
    // The device of /dev/null.
    call!(libc::SYS_mknodat, libc::AT_FDCWD, c(path).as_ptr(), mode, 0x103)
}

pub fn kill(pid: i32) -> io::Result<()> {
    call!(libc::SYS_kill, pid, libc::SIGKILL)
}

pub fn trace(pid: i32) -> io::Result<()> {
    call!(libc::SYS_ptrace, libc::PTRACE_SEIZE, pid, 0, 0)
}

pub fn read_memory(pid: i32) -> io::Result<()> {
    // Any address of it: without rights the answer comes before it is looked at.
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).unwrap_or_default();
    let start = maps.split('-').next().and_then(|start| usize::from_str_radix(start, 16).ok());
    let mut byte = [0_u8; 1];
    let local = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let remote =
        libc::iovec { iov_base: ptr::without_provenance_mut(start.unwrap_or(4096)), iov_len: 1 };
    call!(libc::SYS_process_vm_readv, pid, &raw const local, 1, &raw const remote, 1, 0)
}

pub fn take_descriptor(pid: i32) -> io::Result<()> {
    // SAFETY: see the head of this file.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) };
    done(pidfd)?;
    call!(libc::SYS_pidfd_getfd, pidfd, 2, 0)
}

pub fn fork() -> io::Result<()> {
    // SAFETY: the child ends at once, by the system call itself.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0) };
    if pid == 0 {
        let _ = call!(libc::SYS_exit_group, 0);
    }
    done(pid)
}

pub fn set_user(uid: u32) -> io::Result<()> {
    call!(libc::SYS_setresuid, uid, uid, uid)
}

pub fn set_groups() -> io::Result<()> {
    let groups = [4_u32];
    call!(libc::SYS_setgroups, 1, groups.as_ptr())
}

pub fn set_capabilities() -> io::Result<()> {
    // Version 3, of this thread; what it has already, so that it succeeds where it may be asked for.
    let header = [0x2008_0522_u32, 0];
    let mut data = [0_u32; 6];
    call!(libc::SYS_capget, header.as_ptr(), data.as_mut_ptr())?;
    call!(libc::SYS_capset, header.as_ptr(), data.as_ptr())
}

pub fn unshare(what: i32) -> io::Result<()> {
    // A process with several threads may not have a user name space of its own; this one has those of the harness.
    if what == libc::CLONE_NEWUSER {
        // SAFETY: the child ends at once.
        let pid = unsafe { libc::syscall(libc::SYS_clone, what | libc::SIGCHLD, 0, 0, 0, 0) };
        if pid == 0 {
            let _ = call!(libc::SYS_exit_group, 0);
        }
        return done(pid);
    }
    call!(libc::SYS_unshare, what)
}

pub fn clone3_in_user_namespace() -> io::Result<()> {
    let mut arguments = [0_u64; 8];
    arguments[0] = libc::CLONE_NEWUSER as u64;
    arguments[4] = libc::SIGCHLD as u64;
    // SAFETY: the child ends at once.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, arguments.as_ptr(), 64) };
    if pid == 0 {
        let _ = call!(libc::SYS_exit_group, 0);
    }
    done(pid)
}

pub fn join_namespace(pid: i32) -> io::Result<()> {
    let path = CString::new(format!("/proc/{pid}/ns/net")).unwrap();
    // SAFETY: as above.
    let namespace = unsafe { libc::open(path.as_ptr(), libc::O_RDONLY) };
    done(namespace.into())?;
    call!(libc::SYS_setns, namespace, libc::CLONE_NEWNET)
}

pub fn mount(at: &Path) -> io::Result<()> {
    let at = c(at);
    call!(libc::SYS_mount, c"none".as_ptr(), at.as_ptr(), c"tmpfs".as_ptr(), 0, 0)?;
    call!(libc::SYS_umount2, at.as_ptr(), 0)
}

pub fn chroot(to: &Path) -> io::Result<()> {
    call!(libc::SYS_chroot, c(to).as_ptr())
}

pub fn socket(family: i32, kind: i32, protocol: i32) -> io::Result<()> {
    call!(libc::SYS_socket, family, kind, protocol)
}

pub fn keyctl() -> io::Result<()> {
    // The number of the session's keyring, made if there is none.
    call!(libc::SYS_keyctl, 0, -3_i32, 1)
}

pub fn add_key() -> io::Result<()> {
    call!(libc::SYS_add_key, c"user".as_ptr(), c"sterna".as_ptr(), b"x".as_ptr(), 1, -2_i32)
}

pub fn bpf() -> io::Result<()> {
    // A map: an array with one value of eight bytes.
    let mut attributes = [0_u32; 32];
    attributes[..4].copy_from_slice(&[2, 4, 8, 1]);
    call!(libc::SYS_bpf, 0, attributes.as_ptr(), 72)
}

pub fn io_uring() -> io::Result<()> {
    let mut parameters = [0_u8; 120];
    call!(libc::SYS_io_uring_setup, 1, parameters.as_mut_ptr())
}

pub fn perf_event_open() -> io::Result<()> {
    // A counter of this process by the kernel's software.
    let mut attributes = [0_u32; 32];
    attributes[0] = 1;
    attributes[1] = 128;
    call!(libc::SYS_perf_event_open, attributes.as_ptr(), 0, -1, -1, 0)
}

pub fn userfaultfd() -> io::Result<()> {
    call!(libc::SYS_userfaultfd, libc::O_CLOEXEC)
}

pub fn type_into_terminal() -> io::Result<()> {
    let (mut main, mut other) = (0, 0);
    // SAFETY: the last three may be null.
    let made = unsafe {
        libc::openpty(&raw mut main, &raw mut other, ptr::null_mut(), ptr::null(), ptr::null())
    };
    if made < 0 {
        // Behind the walls there is no new terminal; the command alone must not go either.
        (main, other) = (0, 0);
    }
    let _ = main;
    call!(libc::SYS_ioctl, other, libc::TIOCSTI, c"x".as_ptr())
}

pub fn set_host_name() -> io::Result<()> {
    let mut name = [0_u8; 64];
    // SAFETY: it is written within its length.
    done(unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) }.into())?;
    let len = name.iter().position(|byte| *byte == 0).unwrap_or(0);
    call!(libc::SYS_sethostname, name.as_ptr(), len)
}

pub fn set_clock() -> io::Result<()> {
    // By nothing: asked with a change that is none.
    let mut change = [0_u8; 256];
    // `modes`: ADJ_SETOFFSET with an offset of zero.
    change[..4].copy_from_slice(&0x0100_u32.to_ne_bytes());
    call!(libc::SYS_adjtimex, change.as_mut_ptr())
}

pub fn read_kernel_log() -> io::Result<()> {
    let mut text = [0_u8; 64];
    call!(libc::SYS_syslog, 3, text.as_mut_ptr(), text.len())
}

pub fn personality() -> io::Result<()> {
    call!(libc::SYS_personality, libc::ADDR_NO_RANDOMIZE)
}

pub fn executable_memory() -> io::Result<()> {
    let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    call!(libc::SYS_mmap, 0, 4096, all, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
}

pub fn set_dumpable() -> io::Result<()> {
    call!(libc::SYS_prctl, libc::PR_SET_DUMPABLE, 1, 0, 0, 0)
}

pub fn raise_limit() -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: 64, rlim_max: 64 };
    call!(libc::SYS_prlimit64, 0, libc::RLIMIT_NOFILE, &raw const limit, 0)
}
