//! Attributes between the kernel's numbers and the contract's, and how they are changed.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RawMode, Stat, StatVfs, StatVfsMountFlags, Timespec,
    Timestamps, Uid, chmodat, chownat, fchmod, fstat, ftruncate, utimensat,
};
use rustix::io::{Errno, Result};

use super::file::open_regular;
use super::root::Root;
use crate::{Attrs, FileKind, Owner, SetAttrs, Space, Time};

/// Permission bits a client may set: all but set-user-id and set-group-id (04000, 02000), which
/// would let an uploaded file run as whoever owns it here.
const MODE_MASK: u32 = 0o1777;

const NANOS_PER_SECOND: u32 = 1_000_000_000;

/// The permission bits of `mode` that a client may set.
pub(super) fn mode_without_set_id(mode: u32) -> Mode {
    Mode::from_raw_mode((mode & MODE_MASK) as RawMode)
}

pub(super) fn kind(kind: FileType) -> FileKind {
    match kind {
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Symlink,
        FileType::Fifo => FileKind::Fifo,
        FileType::Socket => FileKind::Socket,
        FileType::CharacterDevice => FileKind::CharDevice,
        FileType::BlockDevice => FileKind::BlockDevice,
        // `stat` answers no other type; a kind the kernel invents later is read like a file's.
        _ => FileKind::Regular,
    }
}

#[allow(clippy::unnecessary_cast)] // The widths differ between architectures.
pub(super) fn attrs(stat: &Stat) -> Attrs {
    let time = |seconds: i64, nanos: u64| Time { seconds, nanos: nanos as u32 };
    Attrs {
        kind: kind(FileType::from_raw_mode(stat.st_mode)),
        size: u64::try_from(stat.st_size).unwrap_or(0),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        accessed: time(stat.st_atime as i64, stat.st_atime_nsec as u64),
        modified: time(stat.st_mtime as i64, stat.st_mtime_nsec as u64),
        changed: time(stat.st_ctime as i64, stat.st_ctime_nsec as u64),
        links: stat.st_nlink as u64,
        id: (stat.st_dev as u64, stat.st_ino as u64),
    }
}

pub(super) fn space(v: &StatVfs) -> Space {
    Space {
        block_size: v.f_bsize,
        fragment_size: v.f_frsize,
        blocks: v.f_blocks,
        blocks_free: v.f_bfree,
        blocks_available: v.f_bavail,
        files: v.f_files,
        files_free: v.f_ffree,
        files_available: v.f_favail,
        fs_id: v.f_fsid,
        read_only: v.f_flag.contains(StatVfsMountFlags::RDONLY),
        no_setuid: v.f_flag.contains(StatVfsMountFlags::NOSUID),
        name_len_max: v.f_namemax,
    }
}

/// Changes what `fd`, an open regular file, is.
pub(super) fn set_on_file(fd: &OwnedFd, change: &SetAttrs) -> Result<()> {
    let mut result = Ok(());
    if let Some(size) = change.size {
        result = result.and(truncate(fd, size));
    }
    if let Some(mode) = change.mode {
        result = fchmod(fd, mode_without_set_id(mode)).and(result);
    }
    if let Some(times) = change.times {
        result = timestamps(times).and_then(|t| rustix::fs::futimens(fd, &t)).and(result);
    }
    if let Some(owner) = change.owner {
        result = set_owner(fd, owner).and(result);
    }
    result
}

/// Changes what `path` names. It is resolved once to a descriptor; only the size, which needs a
/// descriptor open for writing, is a second lookup inside the same root.
pub(super) fn set_on_path(root: &Root, path: &[u8], change: &SetAttrs, follow: bool) -> Result<()> {
    let no_follow = if follow { OFlags::empty() } else { OFlags::NOFOLLOW };
    let fd = root.open_at(path, OFlags::PATH | no_follow, Mode::empty())?;
    let stat = fstat(&fd)?;
    let mut result = Ok(());
    if let Some(size) = change.size {
        let truncated = open_regular(root, path, OFlags::WRONLY | no_follow, Mode::empty())
            .and_then(|file| truncate(&file, size));
        result = truncated;
    }
    if let Some(mode) = change.mode {
        result = set_mode(root, path, &fd, &stat, mode).and(result);
    }
    if let Some(times) = change.times {
        result = set_times(&fd, &stat, times).and(result);
    }
    if let Some(owner) = change.owner {
        result = set_owner(&fd, owner).and(result);
    }
    result
}

fn truncate(fd: &OwnedFd, size: u64) -> Result<()> {
    // Negative for the kernel; said as "too large", not as "no sense".
    if i64::try_from(size).is_err() {
        return Err(Errno::FBIG);
    }
    ftruncate(fd, size)
}

/// `fchmod` for a descriptor that was opened by `O_PATH` and may not be readable.
fn set_mode(root: &Root, path: &[u8], fd: &OwnedFd, stat: &Stat, mode: u32) -> Result<()> {
    if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink {
        return Err(Errno::OPNOTSUPP);
    }
    let mode = mode_without_set_id(mode);
    // Our own descriptor's entry leads to exactly that object, whatever its name is by now.
    match chmodat(CWD, own_entry(fd), mode, AtFlags::empty()) {
        Err(Errno::NOENT | Errno::NOTDIR) => {}
        result => return result,
    }
    // No /proc here. Open it for reading and make sure that it is the same object.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let readable = root.open_at(path, flags, Mode::empty())?;
    let again = fstat(&readable)?;
    if (again.st_dev, again.st_ino) != (stat.st_dev, stat.st_ino) {
        return Err(Errno::BUSY);
    }
    fchmod(&readable, mode)
}

fn set_times(fd: &OwnedFd, stat: &Stat, times: (Time, Time)) -> Result<()> {
    let times = timestamps(times)?;
    match utimensat(fd, c"", &times, AtFlags::EMPTY_PATH) {
        // Linux before 5.8 has no empty path here.
        Err(Errno::INVAL) if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink => {
            utimensat(CWD, own_entry(fd), &times, AtFlags::empty())
        }
        result => result,
    }
}

/// Changes the owner; asking for the owner that is already there is always allowed.
fn set_owner(fd: &OwnedFd, owner: Owner) -> Result<()> {
    let now = fstat(fd)?;
    // u32::MAX means "keep" to the kernel and to many clients.
    let uid = owner.uid.filter(|&uid| uid != now.st_uid && uid != u32::MAX);
    let gid = owner.gid.filter(|&gid| gid != now.st_gid && gid != u32::MAX);
    if uid.is_none() && gid.is_none() {
        return Ok(());
    }
    chownat(fd, c"", uid.map(Uid::from_raw), gid.map(Gid::from_raw), AtFlags::EMPTY_PATH)
}

fn timestamps((accessed, modified): (Time, Time)) -> Result<Timestamps> {
    let timespec = |time: Time| {
        // Larger values are commands to the kernel (`UTIME_NOW`, `UTIME_OMIT`).
        if time.nanos >= NANOS_PER_SECOND {
            return Err(Errno::INVAL);
        }
        Ok(Timespec { tv_sec: time.seconds, tv_nsec: time.nanos.into() })
    };
    Ok(Timestamps { last_access: timespec(accessed)?, last_modification: timespec(modified)? })
}

pub(super) fn own_entry(fd: &OwnedFd) -> String {
    use std::os::fd::AsRawFd;
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}
