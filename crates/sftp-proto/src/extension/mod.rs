//! THE extension table: request name, announced name and value, whether it changes the tree.
//!
//! A client uses an extension only if both its announced name *and* value match the table. A
//! server answers OP_UNSUPPORTED to what it did not announce.

mod check_file;
mod copy_data;
mod expand_path;
mod fsync;
mod hardlink;
mod home_directory;
mod limits;
mod lsetstat;
mod md5_hash;
mod posix_attrs;
mod posix_rename;
mod ranges;
mod space_available;
mod statvfs;
mod users_groups;
mod vendor_id;
mod xattr;

use sterna_sshwire::{DecodeError, Reader, put_string};

pub use check_file::{CheckFileHandle, CheckFileName, CheckFileReply, Digests};
pub use copy_data::CopyData;
pub use expand_path::ExpandPath;
pub use fsync::Fsync;
pub use hardlink::Hardlink;
pub use home_directory::HomeDirectory;
pub use limits::{Limits, LimitsReply};
pub use lsetstat::Lsetstat;
pub use md5_hash::{Md5Hash, Md5HashHandle, Md5HashReply, QUICK_LEN};
pub use posix_attrs::{NANOS_PER_SECOND, PosixAttrs, PosixAttrsRequest};
pub use posix_rename::PosixRename;
pub use ranges::{Ranges, RangesReply};
pub use space_available::{SpaceAvailable, SpaceAvailableReply};
pub use statvfs::{Fstatvfs, Statvfs, StatvfsReply};
pub use users_groups::{Ids, Names, UsersGroups, UsersGroupsReply};
pub use vendor_id::VendorId;
pub use xattr::{
    Fgetxattr, Flistxattr, Fremovexattr, Fsetxattr, Getxattr, GetxattrReply, Listxattr,
    ListxattrReply, Removexattr, Setxattr, XATTR_CREATE, XATTR_REPLACE,
};

use crate::limits::EXTENSION_NAME_LEN_MAX;
use crate::messages::ExtensionPairs;

/// One thing that a server may announce.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Extension {
    PosixRename,
    Statvfs,
    Fstatvfs,
    Hardlink,
    Fsync,
    Lsetstat,
    Limits,
    ExpandPath,
    CopyData,
    HomeDirectory,
    UsersGroups,
    CheckFile,
    /// Ours: `check-file` requests may list the hash `blake3`. It has no request of its own.
    CheckFileBlake3,
    Md5Hash,
    SpaceAvailable,
    /// Ours: attributes may carry nanoseconds, a file id and a link count once it was asked for.
    PosixAttrs,
    Ranges,
    Xattr,
    /// Who made the peer. It is only read, never announced.
    VendorId,
}

/// One row of [`EXTENSIONS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionRow {
    pub extension: Extension,
    /// The name in VERSION.
    pub announced: &'static str,
    /// The value in VERSION; `None` if it is data, and the row is not ours to announce.
    pub value: Option<&'static str>,
    /// Whether it may change the tree: a read-only session neither announces nor accepts it.
    pub changes: bool,
}

macro_rules! extensions {
    ($($extension:ident $announced:literal $value:expr, $changes:literal;)*) => {
        /// Every extension, in the order in which we announce.
        pub const EXTENSIONS: &[ExtensionRow] = &[$(ExtensionRow {
            extension: Extension::$extension,
            announced: $announced,
            value: $value,
            changes: $changes,
        }),*];
    };
}

extensions! {
    // extension     announced as                              value      changes
    PosixRename     "posix-rename@openssh.com"                 Some("1"), true;
    Statvfs         "statvfs@openssh.com"                      Some("2"), false;
    Fstatvfs        "fstatvfs@openssh.com"                     Some("2"), false;
    Hardlink        "hardlink@openssh.com"                     Some("1"), true;
    Fsync           "fsync@openssh.com"                        Some("1"), true;
    Lsetstat        "lsetstat@openssh.com"                     Some("1"), true;
    Limits          "limits@openssh.com"                       Some("1"), false;
    ExpandPath      "expand-path@openssh.com"                  Some("1"), false;
    CopyData        "copy-data"                                Some("1"), true;
    HomeDirectory   "home-directory"                           Some("1"), false;
    UsersGroups     "users-groups-by-id@openssh.com"           Some("1"), false;
    CheckFile       "check-file"                               Some("1"), false;
    CheckFileBlake3 "check-file-blake3@sterna-sftp"            Some("1"), false;
    Md5Hash         "md5-hash"                                 Some("1"), false;
    SpaceAvailable  "space-available"                          Some("1"), false;
    PosixAttrs      "posix-attrs@sterna-sftp"                  Some("1"), false;
    Ranges          "ranges@asyncssh.com"                      Some("1"), false;
    // Reading is for read-only sessions too; see `Extended::changes`.
    Xattr           "xattr@proftpd.org"                        Some("1"), false;
    VendorId        "vendor-id"                                None,      false;
}

macro_rules! requests {
    ($($message:ident $extension:ident $name:literal;)*) => {
        /// `SSH_FXP_EXTENDED`: a request beyond version 3 (draft-02 §8).
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Extended<'a> {
            $($message($message<'a>),)*
            /// A name that is not in the table: answered by OP_UNSUPPORTED.
            Unknown { name: &'a [u8], data: &'a [u8] },
        }

        impl<'a> Extended<'a> {
            /// The name on the wire; `"unknown"` for one that is not in the table.
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$message(_) => $name,)*
                    Self::Unknown { .. } => "unknown",
                }
            }

            /// The row of the table, if there is one.
            pub fn row(&self) -> Option<&'static ExtensionRow> {
                match self {
                    $(Self::$message(_) => Some(Extension::$extension.row()),)*
                    Self::Unknown { .. } => None,
                }
            }

            /// Appends the body: the name and the request's own fields.
            pub fn encode(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$message(message) => {
                        put_string(out, $name.as_bytes());
                        message.encode(out);
                    })*
                    Self::Unknown { name, data } => {
                        put_string(out, name);
                        out.extend_from_slice(data);
                    }
                }
            }

            /// Reads the body; bytes behind the known fields are the caller's to ignore.
            pub fn decode(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
                let name = r.string("extension name", EXTENSION_NAME_LEN_MAX)?;
                $(if name == $name.as_bytes() {
                    return $message::decode(r).map(Self::$message);
                })*
                Ok(Self::Unknown { name, data: r.rest() })
            }
        }

        $(impl<'a> From<$message<'a>> for Extended<'a> {
            fn from(message: $message<'a>) -> Self {
                Self::$message(message)
            }
        })*
    };
}

requests! {
    // message       extension       name in the request
    PosixRename     PosixRename     "posix-rename@openssh.com";
    Statvfs         Statvfs         "statvfs@openssh.com";
    Fstatvfs        Fstatvfs        "fstatvfs@openssh.com";
    Hardlink        Hardlink        "hardlink@openssh.com";
    Fsync           Fsync           "fsync@openssh.com";
    Lsetstat        Lsetstat        "lsetstat@openssh.com";
    Limits          Limits          "limits@openssh.com";
    ExpandPath      ExpandPath      "expand-path@openssh.com";
    CopyData        CopyData        "copy-data";
    HomeDirectory   HomeDirectory   "home-directory";
    UsersGroups     UsersGroups     "users-groups-by-id@openssh.com";
    CheckFileHandle CheckFile       "check-file-handle";
    CheckFileName   CheckFile       "check-file-name";
    Md5Hash         Md5Hash         "md5-hash";
    Md5HashHandle   Md5Hash         "md5-hash-handle";
    SpaceAvailable  SpaceAvailable  "space-available";
    PosixAttrsRequest PosixAttrs    "posix-attrs@sterna-sftp";
    Ranges          Ranges          "ranges@asyncssh.com";
    Getxattr        Xattr           "getxattr@proftpd.org";
    Fgetxattr       Xattr           "fgetxattr@proftpd.org";
    Setxattr        Xattr           "setxattr@proftpd.org";
    Fsetxattr       Xattr           "fsetxattr@proftpd.org";
    Listxattr       Xattr           "listxattr@proftpd.org";
    Flistxattr      Xattr           "flistxattr@proftpd.org";
    Removexattr     Xattr           "removexattr@proftpd.org";
    Fremovexattr    Xattr           "fremovexattr@proftpd.org";
    VendorId        VendorId        "vendor-id";
}

impl Extended<'_> {
    pub const TYPE: u8 = 200;

    /// Whether a read-only session must refuse it; what is not known counts as changing.
    pub fn changes(&self) -> bool {
        match self {
            Self::Setxattr(_)
            | Self::Fsetxattr(_)
            | Self::Removexattr(_)
            | Self::Fremovexattr(_) => true,
            other => other.row().is_none_or(|row| row.changes),
        }
    }
}

impl Extension {
    /// The row of the table.
    pub fn row(self) -> &'static ExtensionRow {
        // The table has one row per variant, in the order of the variants (tested below).
        &EXTENSIONS[self as usize]
    }
}

/// A set of extensions: what a server announces, or a client may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionSet(u32);

impl ExtensionSet {
    pub const NONE: Self = Self(0);

    /// Everything that this crate can announce.
    pub fn all() -> Self {
        EXTENSIONS.iter().filter(|row| row.value.is_some()).map(|row| row.extension).collect()
    }

    /// Everything that a read-only session can announce.
    pub fn read_only() -> Self {
        let rows = EXTENSIONS.iter().filter(|row| row.value.is_some() && !row.changes);
        rows.map(|row| row.extension).collect()
    }

    pub fn contains(self, extension: Extension) -> bool {
        self.0 & (1 << extension as u32) != 0
    }

    #[must_use]
    pub fn with(self, extension: Extension) -> Self {
        Self(self.0 | 1 << extension as u32)
    }

    #[must_use]
    pub fn without(self, extension: Extension) -> Self {
        Self(self.0 & !(1 << extension as u32))
    }

    /// The rows in the set, in announcing order.
    pub fn rows(self) -> impl Iterator<Item = &'static ExtensionRow> {
        EXTENSIONS.iter().filter(move |row| self.contains(row.extension))
    }

    /// The (name, value) pairs for VERSION.
    pub fn announcement(self) -> impl Iterator<Item = (&'static [u8], &'static [u8])> {
        self.rows().filter_map(|row| Some((row.announced.as_bytes(), row.value?.as_bytes())))
    }

    /// What a server announced in the form that we know: name and value match.
    pub fn from_announcement(pairs: &ExtensionPairs<'_>) -> Self {
        let known = |(name, value): (&[u8], &[u8])| {
            let row = EXTENSIONS.iter().find(|row| row.announced.as_bytes() == name)?;
            let matches = row.value.is_none_or(|known| known.as_bytes() == value);
            matches.then_some(row.extension)
        };
        pairs.iter().filter_map(known).collect()
    }
}

impl FromIterator<Extension> for ExtensionSet {
    fn from_iter<I: IntoIterator<Item = Extension>>(extensions: I) -> Self {
        extensions.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_extension_finds_its_own_row() {
        for row in EXTENSIONS {
            assert_eq!(row.extension.row(), row);
        }
        assert_eq!(EXTENSIONS.len(), Extension::VendorId as usize + 1);
    }

    #[test]
    fn a_read_only_session_announces_nothing_that_changes() {
        let names: Vec<_> = ExtensionSet::read_only().rows().map(|row| row.announced).collect();

        for changing in ["posix-rename@openssh.com", "hardlink@openssh.com", "copy-data"] {
            assert!(!names.contains(&changing));
        }
        assert!(names.contains(&"statvfs@openssh.com"));
    }

    #[test]
    fn a_known_name_with_another_value_is_not_used() {
        let mut buffer = Vec::new();
        let pairs: [(&[u8], &[u8]); 3] = [
            (b"posix-rename@openssh.com", b"2"),
            (b"statvfs@openssh.com", b"2"),
            (b"supported2", b"\0\xff"),
        ];

        let set = ExtensionSet::from_announcement(&ExtensionPairs::build(pairs, &mut buffer));

        assert_eq!(set, ExtensionSet::NONE.with(Extension::Statvfs));
    }

    #[test]
    fn what_is_announced_is_understood() {
        let mut buffer = Vec::new();
        let pairs = ExtensionPairs::build(ExtensionSet::all().announcement(), &mut buffer);

        assert_eq!(ExtensionSet::from_announcement(&pairs), ExtensionSet::all());
    }
}
