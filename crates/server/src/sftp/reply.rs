//! From a storage error to a status, only here (`sftp.md` STA-3, version 3 column), and the answer
//! of a handler to the bytes of a packet.

use std::borrow::Cow;

use sterna_sftp_proto::extension::{NANOS_PER_SECOND, PosixAttrs};
use sterna_sftp_proto::messages::{Name, Reply, Status};
use sterna_sftp_proto::{Attrs, Owner, StatusCode, Times, attrs};
use sterna_sshwire::{DecodeError, Why};
use sterna_storage::{self as storage, ErrorKind, FileKind};

/// What a request is answered with, apart from bytes of files.
#[derive(Debug)]
pub(crate) enum Answer {
    Status(StatusCode, Cow<'static, str>),
    Attrs(Attrs<'static>),
    /// The path of a NAME reply with one entry.
    Name(Vec<u8>),
    /// A handle, by its wire form.
    Handle([u8; 8]),
    /// The body of an EXTENDED_REPLY.
    Extended(Vec<u8>),
    /// A whole packet, its length word and request id included.
    Packet(Vec<u8>),
}

impl Answer {
    pub(crate) const OK: Self = Self::Status(StatusCode::Ok, Cow::Borrowed("Success"));
    pub(crate) const EOF: Self = Self::Status(StatusCode::Eof, Cow::Borrowed("End of file"));
    pub(crate) const BAD_HANDLE: Self = Self::failure("no such handle");

    pub(crate) const fn failure(text: &'static str) -> Self {
        Self::Status(StatusCode::Failure, Cow::Borrowed(text))
    }

    pub(crate) const fn denied(text: &'static str) -> Self {
        Self::Status(StatusCode::PermissionDenied, Cow::Borrowed(text))
    }

    pub(crate) const fn not_found(text: &'static str) -> Self {
        Self::Status(StatusCode::NoSuchFile, Cow::Borrowed(text))
    }

    pub(crate) const fn unsupported(text: &'static str) -> Self {
        Self::Status(StatusCode::OpUnsupported, Cow::Borrowed(text))
    }

    /// Attributes, or the error's status.
    pub(crate) fn of_attrs(result: storage::Result<storage::Attrs>, exact: bool) -> Self {
        match result {
            Ok(attrs) => Self::Attrs(wire_attrs(&attrs, exact)),
            Err(error) => Self::from(error),
        }
    }

    /// Success, or the error's status.
    pub(crate) fn of(result: storage::Result<()>) -> Self {
        match result {
            Ok(()) => Self::OK,
            Err(error) => Self::from(error),
        }
    }

    /// Appends the whole packet.
    pub(crate) fn encode(&self, id: u32, out: &mut Vec<u8>) {
        let reply = match self {
            Self::Status(code, text) => {
                Reply::Status(Status { code: *code, message: text.as_bytes() })
            }
            Self::Attrs(attrs) => Reply::Attrs(*attrs),
            Self::Name(path) => {
                let mut entry = Vec::with_capacity(2 * path.len() + 12);
                return Reply::Name(Name::single(path, &mut entry)).encode(id, out);
            }
            Self::Handle(handle) => Reply::Handle(sterna_sftp_proto::messages::Handle { handle }),
            Self::Extended(data) => {
                Reply::ExtendedReply(sterna_sftp_proto::messages::ExtendedReply { data })
            }
            Self::Packet(packet) => return out.extend_from_slice(packet),
        };
        reply.encode(id, out);
    }
}

/// The map from a storage error to a status.
impl From<storage::Error> for Answer {
    fn from(error: storage::Error) -> Self {
        let code = match error.kind {
            ErrorKind::NotFound | ErrorKind::NotADirectory => StatusCode::NoSuchFile,
            ErrorKind::PermissionDenied | ErrorKind::ReadOnly => StatusCode::PermissionDenied,
            ErrorKind::Unsupported => StatusCode::OpUnsupported,
            // The rest has codes of its own in later versions only. A kind that storage learns
            // later is a failure until it gets a line here.
            _ => StatusCode::Failure,
        };
        Self::Status(code, Cow::Owned(error.to_string()))
    }
}

/// A request that could not be read: the session lives on (FRM-8).
impl From<DecodeError> for Answer {
    fn from(error: DecodeError) -> Self {
        // A well-formed path that is only too long is a failure, as ENAMETOOLONG is.
        let code = match error.why {
            Why::TooLong { .. } => StatusCode::Failure,
            Why::Short { .. } | Why::Invalid | Why::Trailing { .. } => StatusCode::BadMessage,
        };
        Self::Status(code, Cow::Owned(error.to_string()))
    }
}

/// Attributes as version 3 says them: all four groups, with the file type among the permissions.
/// `exact` adds what the client has asked for by `posix-attrs@sterna-sftp`.
pub(crate) fn wire_attrs(attrs: &storage::Attrs, exact: bool) -> Attrs<'static> {
    Attrs {
        posix: exact.then(|| posix_attrs(attrs)),
        size: Some(attrs.size),
        owner: Some(Owner { uid: attrs.uid, gid: attrs.gid }),
        permissions: Some(kind_bits(attrs.kind) | (attrs.mode & 0o7777)),
        times: Some(Times {
            accessed: attrs::clamp_seconds(attrs.accessed.seconds),
            modified: attrs::clamp_seconds(attrs.modified.seconds),
        }),
        ..Attrs::default()
    }
}

fn posix_attrs(attrs: &storage::Attrs) -> PosixAttrs {
    // Seconds that version 3 cannot say are clamped, and nanoseconds beside those mean nothing.
    let nanos = |time: storage::Time| match u32::try_from(time.seconds) {
        Ok(_) => time.nanos.min(NANOS_PER_SECOND - 1),
        Err(_) => 0,
    };
    PosixAttrs {
        accessed_nanos: nanos(attrs.accessed),
        modified_nanos: nanos(attrs.modified),
        file_id: file_id(attrs.id),
        links: attrs.links.try_into().unwrap_or(u32::MAX),
    }
}

/// Device and inode in one number: on one device different inodes stay different, and those of another
/// device lie elsewhere.
fn file_id((device, inode): (u64, u64)) -> u64 {
    if (device, inode) == (0, 0) {
        return 0;
    }
    // The finaliser of splitmix64: each bit of the device changes about half of the result's.
    let mut mixed = device;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^= mixed >> 31;
    (mixed ^ inode).max(1)
}

fn kind_bits(kind: FileKind) -> u32 {
    use attrs::kind;
    match kind {
        FileKind::Regular => kind::REGULAR,
        FileKind::Directory => kind::DIRECTORY,
        FileKind::Symlink => kind::SYMLINK,
        FileKind::Fifo => kind::FIFO,
        FileKind::Socket => kind::SOCKET,
        FileKind::CharDevice => kind::CHAR_DEVICE,
        FileKind::BlockDevice => kind::BLOCK_DEVICE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The column "our v3" of STA-3.
    #[test]
    fn every_storage_error_has_the_status_of_the_table() {
        use ErrorKind as K;
        use StatusCode as S;
        let table = [
            (K::NotFound, S::NoSuchFile),
            (K::NotADirectory, S::NoSuchFile),
            (K::PermissionDenied, S::PermissionDenied),
            (K::ReadOnly, S::PermissionDenied),
            (K::Unsupported, S::OpUnsupported),
            (K::AlreadyExists, S::Failure),
            (K::DirectoryNotEmpty, S::Failure),
            (K::IsADirectory, S::Failure),
            (K::WrongKind, S::Failure),
            (K::NoSpace, S::Failure),
            (K::QuotaExceeded, S::Failure),
            (K::LinkLoop, S::Failure),
            (K::NameTooLong, S::Failure),
            (K::Invalid, S::Failure),
            (K::CrossDevice, S::Failure),
            (K::Busy, S::Failure),
            (K::TooManyOpen, S::Failure),
            (K::Other, S::Failure),
        ];
        for (kind, expected) in table {
            let answer = Answer::from(storage::Error::new(kind, "open"));

            assert!(matches!(answer, Answer::Status(code, _) if code == expected), "{kind:?}");
        }
    }
}
