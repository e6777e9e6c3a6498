//! Closing a descriptor and hearing what `close(2)` says: network file systems report a full disk
//! or a lost server only then.
#![allow(unsafe_code)]

use std::os::fd::{IntoRawFd, OwnedFd};

use rustix::io::{Result, try_close};

pub(super) fn close(fd: OwnedFd) -> Result<()> {
    // SAFETY: `into_raw_fd` gives up ownership, so nobody else uses or closes this number. Linux
    // frees it whatever the answer is; it is not touched again.
    unsafe { try_close(fd.into_raw_fd()) }
}
