//! Every bound of this crate, with unit and reason.

use std::fmt;

/// A file is longer than its bound. A part of it would say something else, so none of it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileTooLong {
    /// Bytes that are allowed.
    pub len_max: usize,
}

impl fmt::Display for FileTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "file is longer than {} bytes", self.len_max)
    }
}

impl std::error::Error for FileTooLong {}

/// Bytes of one line of an authorized keys file: the largest key and generous options.
pub const AUTHORIZED_KEYS_LINE_LEN_MAX: usize = 16 << 10;

/// Bytes of a whole authorized keys file.
pub const AUTHORIZED_KEYS_LEN_MAX: usize = 4 << 20;

/// Keys taken from one authorized keys file: each login looks at all of them.
pub const AUTHORIZED_KEYS_MAX: usize = 4096;

/// Bytes of a list of addresses as text: an option of an authorized keys line or of a certificate is
/// never longer.
pub const ADDRESS_LIST_LEN_MAX: usize = 16 << 10;

/// Bytes of one known_hosts file: about 200,000 lines. A lookup goes through all of them, so files
/// that others write deserve a smaller bound where they are read.
pub const KNOWN_HOSTS_LEN_MAX: usize = 32 << 20;

/// Bytes of one line of a known_hosts file: the largest key and a few hundred names. Longer lines are
/// skipped.
pub const KNOWN_HOSTS_LINE_LEN_MAX: usize = 64 << 10;

/// Bytes of an `.shosts` or `hosts.equiv` file; each host-based login goes through its lines.
pub const SHOSTS_LEN_MAX: usize = 1 << 20;

/// Bytes of one of its lines: a host name and a user name have 255 each. Longer lines are skipped.
pub const SHOSTS_LINE_LEN_MAX: usize = 1024;

/// Bytes of a file of revoked keys, list or KRL: 900,000 fingerprints. In memory it takes ten times as
/// much at worst.
pub const REVOKED_KEYS_LEN_MAX: usize = 32 << 20;

/// Bytes of one bitmap of certificate serials in a KRL: 16 million serials, as OpenSSH's bitmaps.
pub const KRL_BITMAP_LEN_MAX: usize = 2 << 20;

/// Bytes of a certificate's key id in a KRL: as long as a certificate may hold one.
pub const KRL_KEY_ID_LEN_MAX: usize = 16 << 10;
