//! Every bound of this crate, with its reason.

use sterna_sandbox::MESSAGE_LEN_MAX;
use sterna_storage::limits::{NAME_LEN_MAX, PATH_LEN_MAX, XATTR_NAME_LEN_MAX, XATTR_VALUE_LEN_MAX};

/// Bytes of a path in a message: one more than the longest, so that one that is too long is refused where it always is.
pub const PATH_MAX: usize = PATH_LEN_MAX + 1;

/// Bytes of a name in a listing. File systems with names of 255 UTF-16 units have longer ones than usual.
pub const ENTRY_NAME_MAX: usize = 4 * NAME_LEN_MAX;

/// Bytes of the name and of the value of an extended attribute: one more than what is taken.
pub const XATTR_NAME_MAX: usize = XATTR_NAME_LEN_MAX + 1;
pub const XATTR_VALUE_MAX: usize = XATTR_VALUE_LEN_MAX + 1;

/// Names of extended attributes in one answer: as many as fit into the list that the kernel gives.
pub const XATTR_NAMES_MAX: usize = XATTR_VALUE_LEN_MAX / 6;

/// Bytes of one entry of a listing without its name.
pub const ENTRY_LEN: usize = 108;

/// Entries in one answer: all of them fit, whatever their names.
pub const ENTRIES_MAX: usize = (MESSAGE_LEN_MAX - 64) / (ENTRY_LEN + ENTRY_NAME_MAX);

/// Directories that one worker has open: more than a session may have.
pub const DIRS_MAX: usize = 2048;

/// Bytes of a login name, of a password, of a path in the account of a user.
pub const USER_NAME_MAX: usize = 256;
pub const PASSWORD_MAX: usize = 1024;
pub const HOME_MAX: usize = PATH_LEN_MAX;

/// Bytes of a host's address as text.
pub const SOURCE_MAX: usize = 64;

/// Bytes of an authorized_keys file of a user: what fits into a message with room; a thousand keys of the usual kind.
pub const KEYS_LEN_MAX: usize = MESSAGE_LEN_MAX - 1024;

/// Supplementary groups of a user (the kernel's `NGROUPS_MAX`, far less in practice).
pub const GROUPS_MAX: usize = 1024;

/// Processes of users at a time: those of sessions, and of logins under way.
pub const PROCESSES_MAX: usize = 4096;

/// Bytes of what a helper says about a failure.
pub const REASON_MAX: usize = 1024;
