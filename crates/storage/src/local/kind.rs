//! What kinds of file systems there are, as far as waiting for them goes (`statfs(2)`).

use std::os::fd::AsFd;

use rustix::fs::fstatfs;

const TMPFS: u64 = 0x0102_1994;
const RAMFS: u64 = 0x8584_58F6;

/// Attributes come from memory once a name was looked up: ext2 to ext4, XFS, Btrfs, F2FS, ZFS, bcachefs.
const ON_DISK: [u64; 6] = [0xEF53, 0x5846_5342, 0x9123_683E, 0xF2F5_2010, 0x2FC1_2FC1, 0xCA45_1A4E];

/// Whom a file system asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nobody: content and attributes are in memory.
    InMemory,
    /// A disk of this machine; what was looked up stays in memory for a while.
    OnDisk,
    /// Perhaps a server or a program.
    Other,
}

impl Kind {
    /// Of the file system that holds `fd`. May wait: of a network file system its server is asked.
    pub fn of(fd: impl AsFd) -> Self {
        // The field's type differs between architectures.
        match fstatfs(fd).map(|fs| u64::try_from(fs.f_type)) {
            Ok(Ok(TMPFS | RAMFS)) => Self::InMemory,
            Ok(Ok(kind)) if ON_DISK.contains(&kind) => Self::OnDisk,
            _ => Self::Other,
        }
    }

    /// Whether the attributes of what is open come without waiting.
    pub fn keeps_attrs(self) -> bool {
        self != Self::Other
    }
}
