//! Every bound of this crate, with unit and reason.

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
