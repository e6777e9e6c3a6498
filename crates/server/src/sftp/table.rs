//! THE row per operation: its word, whether it writes, whether the audit log has a record of it, who serves it.
//!
//! The words are those of `sftp-proto`'s own tables, and what may overtake what is decided there
//! (`sterna_sftp_proto::order`). A request that has no row does not compile.

use std::sync::Arc;

use sterna_sftp_proto::Request;
use sterna_sftp_proto::extension::Extended;
use sterna_storage::{self as storage, Backend};

use super::handles::{Handles, OpenFile};
use super::listing::OpenDir;
use super::policy::SessionPolicy;
use super::read::{ReadDone, ReadPlan};
use super::reply::Answer;
use super::write::{WritePart, WritePlan};
use super::{
    attributes, check_file, copy_data, directory, links, names, open, path, ranges, read, rename,
    space, write, xattr,
};
use crate::buffers::BufferPool;
use crate::digest_memory::DigestMemory;
use crate::io_pool::IoPool;
use crate::jobs::Cancel;
use crate::observe::Observer;

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// The word for this operation everywhere: permissions, audit lines, settings.
    pub name: &'static str,
    pub writes: Writes,
    pub recorded: Recorded,
    /// Its place in [`ROWS`].
    pub index: usize,
}

/// The place of a name; found when the program is compiled.
const fn index_of(name: &str, names: &[&str]) -> usize {
    let mut at = 0;
    while at < names.len() {
        let (one, other) = (name.as_bytes(), names[at].as_bytes());
        let mut same = one.len() == other.len();
        let mut byte = 0;
        while same && byte < one.len() {
            same = one[byte] == other[byte];
            byte += 1;
        }
        if same {
            return at;
        }
        at += 1;
    }
    panic!("a row without a place")
}

/// Whether an operation may change the tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    No,
    Yes,
    /// OPEN: its flags say.
    ByRequest,
}

/// Whether the audit log has a record of each such request. What reads or writes a file is recorded as a
/// transfer when the file is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    Never,
    Always,
    /// If the storage says that it is not permitted. What the gate refuses is recorded in any case.
    IfRefused,
}

/// What a handler sees of its session.
pub(super) struct Serving<'s> {
    /// The request's id.
    pub(super) id: u32,
    pub(super) backend: &'s Arc<dyn Backend>,
    pub(super) policy: &'s SessionPolicy,
    pub(super) handles: &'s mut Handles,
    pub(super) buffers: &'s BufferPool,
    /// For what is done ahead of requests.
    pub(super) pool: &'s IoPool,
    pub(super) digests: &'s DigestMemory,
    pub(super) observer: Option<&'s Arc<Observer>>,
    /// The client wants the pair of `posix-attrs@sterna-sftp` in attributes.
    pub(super) exact_attrs: &'s mut bool,
}

impl Serving<'_> {
    pub(super) fn absolute(&self, path: &[u8]) -> Vec<u8> {
        path::absolute(&self.policy.start_dir, path)
    }
}

/// Work for the I/O pool.
pub(super) type Job = Box<dyn FnOnce(&Cancel) -> Outcome + Send>;

/// Long work for its own pool, cut into slices; `None`: there is more to do.
pub(super) type Slices = Box<dyn FnMut(&Cancel) -> Option<Outcome> + Send>;

/// What a handler decided.
pub(super) enum Start {
    /// Answered already.
    Now(Answer),
    /// Answered already; something is left to do that nobody waits for.
    NowAndDetach(Answer, Box<dyn FnOnce() + Send>),
    Job(Job),
    /// A job that waits for stable storage: it has threads of its own.
    Sync(Job),
    /// Work without a bound on its time: it has threads of its own.
    LongJob(Slices),
    /// The session reads, several at once where it can.
    Read(ReadPlan),
    /// The session writes, several at once where it can.
    Write(WritePlan),
}

impl Start {
    pub(super) fn job(work: impl FnOnce(&Cancel) -> Outcome + Send + 'static) -> Self {
        Self::Job(Box::new(work))
    }

    pub(super) fn long_job(work: impl FnMut(&Cancel) -> Option<Outcome> + Send + 'static) -> Self {
        Self::LongJob(Box::new(work))
    }

    pub(super) fn sync(work: impl FnOnce() -> Answer + Send + 'static) -> Self {
        Self::Sync(Box::new(move |_| Outcome::Answer(work())))
    }

    /// A job that ends in an answer and changes nothing in the session.
    pub(super) fn answer(work: impl FnOnce() -> Answer + Send + 'static) -> Self {
        Self::job(move |_| Outcome::Answer(work()))
    }
}

/// What a job brings back.
pub(super) enum Outcome {
    Answer(Answer),
    OpenedFile(storage::Result<OpenFile>),
    OpenedDir(storage::Result<OpenDir>),
    /// A file was opened by its path to be hashed. This is the rest, which holds nothing up.
    Hashes(Slices),
    Reads(ReadDone),
    Writes(Vec<WritePart>),
}

macro_rules! table {
    ($(
        $pattern:pat => $name:literal, $writes:ident, $recorded:ident, |$at:ident| $serve:expr;
    )*) => {
        const NAMES: &[&str] = &[$($name),*];

        /// Every row, in the order of the wire types, then of the extensions.
        pub const ROWS: &[Row] = &[$(Row {
            name: $name,
            writes: Writes::$writes,
            recorded: Recorded::$recorded,
index: index_of($name, NAMES),
        }),*];

        /// The row of a request.
        pub fn row(request: &Request<'_>) -> &'static Row {
            #[allow(unused_variables)]
            match request {
                $($pattern => const {
                    &Row {
                        name: $name,
                        writes: Writes::$writes,
                        recorded: Recorded::$recorded,
index: index_of($name, NAMES),
                    }
                },)*
            }
        }

        /// Begins to serve a request that has passed the gate.
        pub(super) fn serve(request: &Request<'_>, at: &mut Serving<'_>) -> Start {
            #[allow(unused_variables)]
            match request {
                $($pattern => { let $at = at; $serve })*
            }
        }
    };
}

use Extended as E;
use Request as R;

table! {
    // request                        word                   writes   record    served by
    R::Open(m)                     => "open",     ByRequest, IfRefused, |at| open::open(m, at);
    R::Close(m)                    => "close",    No, Never, |at| open::close(m, at);
    R::Read(m)                     => "read",     No, Never, |at| read::read(m, at);
    R::Write(m)                    => "write",    Yes, Never, |at| write::write(m, at);
    R::Lstat(m)                    => "lstat",    No, Never, |at| attributes::lstat(m, at);
    R::Fstat(m)                    => "fstat",    No, Never, |at| attributes::fstat(m, at);
    R::Setstat(m)                  => "setstat",  Yes, Always, |at| attributes::setstat(m, at);
    R::Fsetstat(m)                 => "fsetstat", Yes, Always, |at| attributes::fsetstat(m, at);
    R::Opendir(m)                  => "opendir",  No, IfRefused, |at| directory::opendir(m, at);
    R::Readdir(m)                  => "readdir",  No, Never, |at| directory::readdir(m, at);
    R::Remove(m)                   => "remove",   Yes, Always, |at| rename::remove(m, at);
    R::Mkdir(m)                    => "mkdir",    Yes, Always, |at| directory::mkdir(m, at);
    R::Rmdir(m)                    => "rmdir",    Yes, Always, |at| directory::rmdir(m, at);
    R::Realpath(m)                 => "realpath", No, Never, |at| path::realpath(m, at);
    R::Stat(m)                     => "stat",     No, Never, |at| attributes::stat(m, at);
    R::Rename(m)                   => "rename",   Yes, Always, |at| rename::rename(m, at);
    R::Readlink(m)                 => "readlink", No, IfRefused, |at| links::readlink(m, at);
    R::Symlink(m)                  => "symlink",  Yes, Always, |at| links::symlink(m, at);
    R::Extended(E::PosixRename(m)) => "posix-rename@openssh.com", Yes, Always, |at| rename::posix_rename(m, at);
    R::Extended(E::Statvfs(m))     => "statvfs@openssh.com",  No, Never, |at| space::statvfs(m, at);
    R::Extended(E::Fstatvfs(m))    => "fstatvfs@openssh.com", No, Never, |at| space::fstatvfs(m, at);
    R::Extended(E::Hardlink(m))    => "hardlink@openssh.com", Yes, Always, |at| links::hardlink(m, at);
    R::Extended(E::Fsync(m))       => "fsync@openssh.com",    Yes, Never, |at| open::fsync(m, at);
    R::Extended(E::Lsetstat(m))    => "lsetstat@openssh.com", Yes, Always, |at| attributes::lsetstat(m, at);
    R::Extended(E::Limits(m))      => "limits@openssh.com",   No, Never, |at| space::limits(at);
    R::Extended(E::ExpandPath(m))  => "expand-path@openssh.com", No, Never, |at| path::expand_path(m, at);
    R::Extended(E::CopyData(m))    => "copy-data", Yes, Always, |at| copy_data::copy_data(m, at);
    R::Extended(E::HomeDirectory(m)) => "home-directory",     No, Never, |at| path::home_directory(m, at);
    R::Extended(E::UsersGroups(m)) => "users-groups-by-id@openssh.com", No, Never, |at| names::users_groups(m, at);
    R::Extended(E::CheckFileHandle(m)) => "check-file-handle", No, Never, |at| check_file::by_handle(m, at);
    R::Extended(E::CheckFileName(m)) => "check-file-name",    No, IfRefused, |at| check_file::by_name(m, at);
    R::Extended(E::Md5Hash(m))     => "md5-hash",             No, IfRefused, |at| check_file::md5_by_name(m, at);
    R::Extended(E::Md5HashHandle(m)) => "md5-hash-handle",    No, Never, |at| check_file::md5_by_handle(m, at);
    R::Extended(E::SpaceAvailable(m)) => "space-available",   No, Never, |at| space::space_available(m, at);
    R::Extended(E::PosixAttrsRequest(m)) => "posix-attrs@sterna-sftp", No, Never, |at| attributes::posix_attrs(at);
    R::Extended(E::Ranges(m))      => "ranges@asyncssh.com",  No, Never, |at| ranges::ranges(m, at);
    R::Extended(E::Getxattr(m))     => "getxattr@proftpd.org",    No, IfRefused, |at| xattr::get(m, at);
    R::Extended(E::Fgetxattr(m))    => "fgetxattr@proftpd.org",   No, Never, |at| xattr::get_by_handle(m, at);
    R::Extended(E::Setxattr(m))     => "setxattr@proftpd.org",    Yes, Always, |at| xattr::set(m, at);
    R::Extended(E::Fsetxattr(m))    => "fsetxattr@proftpd.org",   Yes, Always, |at| xattr::set_by_handle(m, at);
    R::Extended(E::Listxattr(m))    => "listxattr@proftpd.org",   No, IfRefused, |at| xattr::list(m, at);
    R::Extended(E::Flistxattr(m))   => "flistxattr@proftpd.org",  No, Never, |at| xattr::list_by_handle(m, at);
    R::Extended(E::Removexattr(m))  => "removexattr@proftpd.org", Yes, Always, |at| xattr::remove(m, at);
    R::Extended(E::Fremovexattr(m)) => "fremovexattr@proftpd.org", Yes, Always, |at| xattr::remove_by_handle(m, at);
    R::Extended(E::VendorId(m))    => "vendor-id",            No, Never, |at| { let _ = at; Start::Now(Answer::OK) };
    // What nobody knows counts as writing, and is answered by "unsupported" before it comes here.
    R::Extended(E::Unknown { .. }) => "unknown", Yes, Never, |at| { let _ = at; Start::Now(Answer::unsupported("unknown extension")) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use sterna_sftp_proto::extension::{EXTENSIONS, Extension};
    use sterna_sftp_proto::messages::OPERATIONS;

    fn find(name: &str) -> Option<&'static Row> {
        ROWS.iter().find(|row| row.name == name)
    }

    #[test]
    fn every_wire_type_has_a_row() {
        for operation in OPERATIONS.iter().filter(|operation| operation.name != "extended") {
            assert!(find(operation.name).is_some(), "{}", operation.name);
        }
    }

    #[test]
    fn every_extension_has_a_row_that_agrees_on_writing() {
        for extension in EXTENSIONS {
            let names: &[&str] = match extension.extension {
                Extension::CheckFile => &["check-file-handle", "check-file-name"],
                // A hash name of check-file, not a request.
                Extension::CheckFileBlake3 => &[],
                // Announced for its readers; the gate refuses its writers by their own rows.
                Extension::Xattr => &["getxattr@proftpd.org", "flistxattr@proftpd.org"],
                Extension::Md5Hash => &["md5-hash", "md5-hash-handle"],
                _ => &[extension.announced],
            };
            for name in names {
                let row = find(name).unwrap_or_else(|| panic!("{name} has no row"));

                assert_eq!(row.writes == Writes::Yes, extension.changes, "{name}");
            }
        }
    }

    #[test]
    fn no_word_stands_for_two_operations() {
        for (at, row) in ROWS.iter().enumerate() {
            assert_eq!(row.index, at);
            assert!(ROWS[..at].iter().all(|other| other.name != row.name), "{}", row.name);
        }
    }
}
