//! Groups of system calls, by what they are for. Measured by running all tests of the workspace under them.

use super::{Argument, Calls};

/// Memory, signals to itself, time, threads that are there, and the end.
const BASICS: &[i64] = &[
    libc::SYS_brk,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrlimit,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mincore,
    libc::SYS_mlock,
    libc::SYS_mremap,
    libc::SYS_munlock,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_sigaltstack,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_uname,
];

/// Looking: attributes, listings, content of files.
const READING: &[i64] = &[
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fcntl,
    libc::SYS_fgetxattr,
    libc::SYS_flistxattr,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getxattr,
    libc::SYS_listxattr,
    libc::SYS_lseek,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_openat2,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_statfs,
    libc::SYS_statx,
];

/// The same by their old names.
#[cfg(target_arch = "x86_64")]
const READING_OLD: &[i64] = &[
    libc::SYS_access,
    libc::SYS_dup2,
    libc::SYS_lstat,
    libc::SYS_open,
    libc::SYS_readlink,
    libc::SYS_stat,
    libc::SYS_time,
];
#[cfg(not(target_arch = "x86_64"))]
const READING_OLD: &[i64] = &[];

/// Changing files and directories, and what they are called and who may use them.
const WRITING: &[i64] = &[
    libc::SYS_copy_file_range,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    FCHMODAT2,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fdatasync,
    libc::SYS_fremovexattr,
    libc::SYS_fsetxattr,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_linkat,
    libc::SYS_mkdirat,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_removexattr,
    libc::SYS_renameat2,
    libc::SYS_sendfile,
    libc::SYS_setxattr,
    libc::SYS_symlinkat,
    libc::SYS_sync_file_range,
    libc::SYS_truncate,
    libc::SYS_umask,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_write,
    libc::SYS_writev,
];

/// The same by their old names.
#[cfg(target_arch = "x86_64")]
const WRITING_OLD: &[i64] = &[
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_creat,
    libc::SYS_lchown,
    libc::SYS_link,
    libc::SYS_mkdir,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_rmdir,
    libc::SYS_symlink,
    libc::SYS_unlink,
    libc::SYS_utime,
    libc::SYS_utimes,
];
#[cfg(not(target_arch = "x86_64"))]
const WRITING_OLD: &[i64] = &[];

/// `fchmodat2`, which the C library's headers of this release do not name; its number is the same everywhere.
const FCHMODAT2: i64 = 452;

/// Waiting for many things at once.
const EVENTS: &[i64] = &[
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    EPOLL_PWAIT2,
    libc::SYS_eventfd2,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pselect6,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
];

/// `epoll_pwait2`, the same everywhere.
const EPOLL_PWAIT2: i64 = 441;

/// The same by their old names.
#[cfg(target_arch = "x86_64")]
const EVENTS_OLD: &[i64] = &[
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_select,
];
#[cfg(not(target_arch = "x86_64"))]
const EVENTS_OLD: &[i64] = &[];

/// Talking over sockets that are there, and taking connections of those that listen.
const CONNECTIONS: &[i64] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
    libc::SYS_socketpair,
];

/// Commands of `ioctl` that do no harm: whether a descriptor waits, how much is there, whether it is a terminal.
const IOCTLS: [u32; 4] =
    [libc::FIONBIO as u32, libc::FIONREAD as u32, libc::TCGETS as u32, libc::TIOCGWINSZ as u32];

/// Names of threads and of memory.
const PRCTLS: [u32; 3] = [libc::PR_SET_NAME as u32, libc::PR_GET_NAME as u32, PR_SET_VMA];
const PR_SET_VMA: u32 = 0x5356_4d41;

/// Kinds of sockets: streams, datagrams, and those with messages and order; never raw ones.
const SOCKET_TYPES: [u32; 3] =
    [libc::SOCK_STREAM as u32, libc::SOCK_DGRAM as u32, libc::SOCK_SEQPACKET as u32];
const SOCKET_TYPE_MASK: u32 = 0xf;

/// Flags of `clone` that make other name spaces.
const NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWCGROUP
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET) as u32;

impl Calls {
    /// Of a server that serves files over sockets which it has opened already. `names`: it also looks up names of hosts,
    /// and asks services.
    pub fn of_server(names: bool) -> Self {
        let calls = Self::new().basics().threads().reading().writing().events().connections();
        let calls = calls.unix_sockets();
        // The C library loads what it needs for that when it knows what that is.
        if names { calls.internet_sockets().libraries() } else { calls }
    }

    /// Of a process that serves files on streams that are open already.
    pub fn of_file_server_on_streams() -> Self {
        Self::new().basics().threads().reading().writing().events()
    }

    /// Of a process that works on files for one peer, over sockets that it has: nothing else, and no threads.
    pub fn of_worker() -> Self {
        Self::new().basics().reading().writing().events().connections()
    }

    /// What every program needs, and nothing that reaches anything beyond the process.
    #[must_use]
    pub fn basics(self) -> Self {
        let mut calls = self.allow(BASICS);
        for value in IOCTLS {
            calls = calls.allow_if(libc::SYS_ioctl, &[all_bits(1, value)]);
        }
        for value in PRCTLS {
            calls = calls.allow_if(libc::SYS_prctl, &[all_bits(0, value)]);
        }
        // Memory is written or executed, not both; what is executed is there already.
        calls = calls.allow_if(libc::SYS_mmap, &[no_bits(2, libc::PROT_EXEC as u32)]);
        calls = calls.allow_if(libc::SYS_mprotect, &[no_bits(2, libc::PROT_EXEC as u32)]);
        // Limits are read, not set: no new value is given.
        calls = calls.allow_if(libc::SYS_prlimit64, &[all_bits(2, 0)]);
        // `abort` sends itself a signal.
        let own = std::process::id();
        calls.allow_if(libc::SYS_tgkill, &[all_bits(0, own)])
    }

    /// More threads of the same process.
    #[must_use]
    pub fn threads(self) -> Self {
        let thread = libc::CLONE_THREAD as u32;
        self.allow_if(
            libc::SYS_clone,
            &[Argument { index: 0, mask: thread | NAMESPACES, value: thread }],
        )
        .allow(&[
            libc::SYS_sched_setaffinity,
            libc::SYS_sched_getparam,
            libc::SYS_sched_getscheduler,
        ])
    }

    /// Reading files.
    #[must_use]
    pub fn reading(self) -> Self {
        self.allow(READING).allow(READING_OLD)
    }

    /// Changing files.
    #[must_use]
    pub fn writing(self) -> Self {
        self.allow(WRITING).allow(WRITING_OLD)
    }

    /// Waiting for many descriptors.
    #[must_use]
    pub fn events(self) -> Self {
        self.allow(EVENTS).allow(EVENTS_OLD)
    }

    /// Talking over sockets that are there.
    #[must_use]
    pub fn connections(self) -> Self {
        self.allow(CONNECTIONS)
    }

    /// New Unix sockets, to listen on or to connect.
    #[must_use]
    pub fn unix_sockets(self) -> Self {
        self.sockets(libc::AF_UNIX)
    }

    /// New sockets of IPv4 and IPv6, and asking the kernel which addresses there are.
    #[must_use]
    pub fn internet_sockets(self) -> Self {
        let mut calls = self.sockets(libc::AF_INET).sockets(libc::AF_INET6);
        // The third argument is the protocol: the tables of addresses and routes.
        calls = calls.allow_if(
            libc::SYS_socket,
            &[all_bits(0, libc::AF_NETLINK as u32), all_bits(2, libc::NETLINK_ROUTE as u32)],
        );
        calls
    }

    /// Libraries that are loaded later, as the C library does to look up names.
    #[must_use]
    pub fn libraries(self) -> Self {
        let (written, executed) = (libc::PROT_WRITE as u32, libc::PROT_EXEC as u32);
        let code = Argument { index: 2, mask: written | executed, value: executed };
        self.allow_if(libc::SYS_mmap, &[code]).allow_if(libc::SYS_mprotect, &[code])
    }

    /// Other processes: starting, waiting for, ending them. Not one in name spaces of its own.
    #[must_use]
    pub fn processes(self) -> Self {
        self.allow_if(libc::SYS_clone, &[no_bits(0, NAMESPACES)])
            .allow(PROCESSES)
            .allow(PROCESSES_OLD)
    }

    fn sockets(mut self, family: i32) -> Self {
        for value in SOCKET_TYPES {
            let kind = Argument { index: 1, mask: SOCKET_TYPE_MASK, value };
            self = self.allow_if(libc::SYS_socket, &[all_bits(0, family as u32), kind]);
        }
        self.allow(&[libc::SYS_bind, libc::SYS_connect, libc::SYS_listen])
    }
}

const PROCESSES: &[i64] = &[
    libc::SYS_chdir,
    libc::SYS_execve,
    libc::SYS_kill,
    libc::SYS_pidfd_open,
    libc::SYS_pidfd_send_signal,
    libc::SYS_setpgid,
    libc::SYS_setsid,
    libc::SYS_wait4,
    libc::SYS_waitid,
];
#[cfg(target_arch = "x86_64")]
const PROCESSES_OLD: &[i64] = &[libc::SYS_vfork, libc::SYS_fork];
#[cfg(not(target_arch = "x86_64"))]
const PROCESSES_OLD: &[i64] = &[];

const fn all_bits(index: u8, value: u32) -> Argument {
    Argument { index, mask: u32::MAX, value }
}

const fn no_bits(index: u8, mask: u32) -> Argument {
    Argument { index, mask, value: 0 }
}
