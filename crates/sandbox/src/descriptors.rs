//! Descriptors that were left open by whoever started this process.
//!
//! `unsafe`: closing a descriptor by its number takes it from whoever believes to own it. The one function here must be
//! called before anything of this process was opened; what is open then was inherited and has no owner in this process
//! but the standard streams and what the caller names.
#![allow(unsafe_code)]

use std::os::fd::RawFd;

/// Closes every descriptor above the standard streams but those in `keep`. Call it first thing in a process.
pub fn close_all_but(keep: &[RawFd]) {
    let mut kept: Vec<RawFd> =
        keep.iter().copied().filter(|fd| *fd > libc::STDERR_FILENO).collect();
    kept.sort_unstable();
    kept.dedup();
    let mut first = libc::STDERR_FILENO + 1;
    for fd in kept {
        close_range(first, fd - 1);
        first = fd + 1;
    }
    close_range(first, RawFd::MAX);
}

fn close_range(first: RawFd, last: RawFd) {
    let (Ok(first), Ok(last)) = (u32::try_from(first), u32::try_from(last)) else { return };
    if first > last {
        return;
    }
    // SAFETY: no memory is touched; nobody here owns what is closed (see above). Linux before 5.9 knows no such call:
    // then the descriptors stay, as they would without it.
    unsafe {
        libc::syscall(libc::SYS_close_range, first, last, 0);
    }
}
