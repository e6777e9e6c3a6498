//! Records of single requests: begun when a request is served, finished by its answer.

use std::sync::Arc;
use std::time::Instant;

use sterna_audit::{Record, Value};
use sterna_sftp_proto::attrs::Attrs;
use sterna_sftp_proto::extension::Extended;
use sterna_sftp_proto::{Request, StatusCode};
use sterna_ssh_tokio::now;

use super::handles::{HandleId, Handles};
use super::path;
use super::policy::SessionPolicy;
use super::reply::Answer;
use super::table::{Recorded, Row};
use crate::observe::Observer;

/// A request that is served and will have a record. Dropped without an answer, it says so.
pub(super) struct Pending {
    observer: Arc<Observer>,
    row: &'static Row,
    record: Option<Record>,
    /// For an operation that is recorded if it is refused.
    path: Option<Vec<u8>>,
    began: Instant,
}

/// What paths and handles of a request mean.
pub(super) struct Meaning<'s> {
    pub(super) policy: &'s SessionPolicy,
    pub(super) handles: &'s Handles,
}

impl Meaning<'_> {
    fn absolute(&self, path: &[u8]) -> Vec<u8> {
        path::absolute(&self.policy.start_dir, path)
    }

    /// The path of an open file.
    fn path_of(&self, handle: &[u8]) -> Option<Vec<u8>> {
        let file = HandleId::from_wire(handle).and_then(|id| self.handles.file(id))?;
        Some(file.moves.path.clone())
    }
}

impl Pending {
    /// `None`: the request has no record whatever its answer is.
    pub(super) fn of(
        request: &Request<'_>,
        row: &'static Row,
        observer: &Arc<Observer>,
        meaning: &Meaning<'_>,
    ) -> Option<Box<Self>> {
        let (record, path) = match row.recorded {
            Recorded::Never => return None,
            Recorded::Always => {
                (Some(describe(request, observer.new_record(row.name)?, meaning)), None)
            }
            Recorded::IfRefused if observer.has_audit() => {
                (None, path_in(request).map(|path| meaning.absolute(path)))
            }
            Recorded::IfRefused => return None,
        };
        let observer = Arc::clone(observer);
        Some(Box::new(Self { observer, row, record, path, began: now() }))
    }

    pub(super) fn finish(mut self: Box<Self>, answer: &Answer) {
        self.end(
            result_of(answer),
            matches!(answer, Answer::Status(StatusCode::PermissionDenied, _)),
        );
    }

    fn end(&mut self, result: String, is_denied: bool) {
        if let Some(record) = self.record.take() {
            self.observer.record(record.result(result).duration(now() - self.began));
        } else if let Some(path) = self.path.take()
            && is_denied
        {
            self.observer.refused(self.row.name, "permissions", Some(&path));
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        // Nobody knows what became of it: the job may still run.
        self.end("unknown: the session ended".to_owned(), false);
    }
}

/// `ok`, or the text of the answer.
pub(super) fn result_of(answer: &Answer) -> String {
    match answer {
        // Some answers end with what is no error.
        Answer::Status(StatusCode::Ok, _) => "ok".to_owned(),
        Answer::Status(_, text) => text.to_string(),
        _ => "ok".to_owned(),
    }
}

/// The path that a request names first, if it names one.
pub(super) fn path_in<'r>(request: &Request<'r>) -> Option<&'r [u8]> {
    use Extended as E;
    use Request as R;
    Some(match request {
        R::Open(m) => m.path,
        R::Lstat(m) => m.path,
        R::Stat(m) => m.path,
        R::Setstat(m) => m.path,
        R::Opendir(m) => m.path,
        R::Remove(m) => m.path,
        R::Mkdir(m) => m.path,
        R::Rmdir(m) => m.path,
        R::Rename(m) => m.old_path,
        R::Readlink(m) => m.path,
        R::Symlink(m) => m.link,
        R::Extended(E::PosixRename(m)) => m.old_path,
        R::Extended(E::Hardlink(m)) => m.existing,
        R::Extended(E::Lsetstat(m)) => m.path,
        R::Extended(E::CheckFileName(m)) => m.path,
        R::Extended(E::Md5Hash(m)) => m.path,
        R::Extended(E::Setxattr(m)) => m.path,
        R::Extended(E::Removexattr(m)) => m.path,
        R::Extended(E::Getxattr(m)) => m.path,
        R::Extended(E::Listxattr(m)) => m.path,
        _ => return None,
    })
}

/// The details of a request that changes something.
fn describe(request: &Request<'_>, record: Record, meaning: &Meaning<'_>) -> Record {
    use Extended as E;
    use Request as R;
    let absolute = |path: &[u8]| meaning.absolute(path);
    let path_of = |handle: &[u8]| meaning.path_of(handle);
    let record = match request {
        // The target stays as it is: it may be relative to the link.
        R::Symlink(m) => {
            let m = if meaning.policy.draft_symlinks { m.swapped() } else { *m };
            record.with("path", absolute(m.link)).with("target", m.target)
        }
        _ => record.with_some("path", path_in(request).map(absolute)),
    };
    match request {
        R::Rename(m) => record.with("to", absolute(m.new_path)),
        R::Extended(E::PosixRename(m)) => record.with("to", absolute(m.new_path)),
        R::Extended(E::Hardlink(m)) => record.with("to", absolute(m.new)),
        R::Mkdir(m) => with_attrs(record, &m.attrs),
        R::Setstat(m) => with_attrs(record, &m.attrs),
        R::Extended(E::Lsetstat(m)) => with_attrs(record, &m.attrs),
        R::Fsetstat(m) => with_attrs(record.with_some("path", path_of(m.handle)), &m.attrs),
        R::Extended(E::CopyData(m)) => record
            .with_some("path", path_of(m.read_handle))
            .with_some("to", path_of(m.write_handle))
            .with("read_offset", m.read_offset)
            .with("write_offset", m.write_offset)
            .with("len", m.len),
        R::Extended(E::Setxattr(m)) => record.with("attribute", m.name),
        R::Extended(E::Removexattr(m)) => record.with("attribute", m.name),
        R::Extended(E::Fsetxattr(m)) => {
            record.with_some("path", path_of(m.handle)).with("attribute", m.name)
        }
        R::Extended(E::Fremovexattr(m)) => {
            record.with_some("path", path_of(m.handle)).with("attribute", m.name)
        }
        _ => record,
    }
}

fn with_attrs(record: Record, attrs: &Attrs<'_>) -> Record {
    let mode = attrs.permissions.map(|bits| format!("{:04o}", bits & 0o7777));
    let owner = attrs.owner.map(|owner| format!("{}:{}", owner.uid, owner.gid));
    record
        .with_some("size", attrs.size)
        .with_some("mode", mode)
        .with_some("owner", owner)
        .with_some("modified", attrs.times.map(|times| Value::from(u64::from(times.modified))))
}
