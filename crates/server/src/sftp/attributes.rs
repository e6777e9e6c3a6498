//! STAT, LSTAT, FSTAT, SETSTAT, FSETSTAT and `lsetstat@openssh.com`.

use std::sync::Arc;

use sterna_sftp_proto::Attrs;
use sterna_sftp_proto::extension::Lsetstat;
use sterna_sftp_proto::messages::{Fsetstat, Fstat, Lstat, Setstat, Stat};
use sterna_storage::{self as storage, ErrorKind, Owner, SetAttrs, Time};

use super::handles::{HandleId, Open};
use super::reply::Answer;
use super::table::{Serving, Start};

/// In a uid or gid: keep what is (POSIX `chown`).
const KEEP_ID: u32 = u32::MAX;

pub(super) fn stat(request: &Stat<'_>, at: &mut Serving<'_>) -> Start {
    stat_path(request.path, true, at)
}

pub(super) fn lstat(request: &Lstat<'_>, at: &mut Serving<'_>) -> Start {
    stat_path(request.path, false, at)
}

fn stat_path(path: &[u8], follow: bool, at: &Serving<'_>) -> Start {
    let path = at.absolute(path);
    let backend = Arc::clone(at.backend);
    Start::answer(move || backend.stat(&path, follow).map_or_else(Answer::from, Answer::Attrs))
}

pub(super) fn fstat(request: &Fstat<'_>, at: &mut Serving<'_>) -> Start {
    let open = HandleId::from_wire(request.handle).and_then(|id| at.handles.get(id));
    match open {
        Some(Open::File(file)) => {
            let file = Arc::clone(file);
            Start::answer(move || file.file.stat().map_or_else(Answer::from, Answer::Attrs))
        }
        Some(Open::Dir(dir)) => {
            let dir = Arc::clone(dir);
            Start::answer(move || dir.listing().dir.stat().map_or_else(Answer::from, Answer::Attrs))
        }
        None => Start::Now(Answer::BAD_HANDLE),
    }
}

pub(super) fn setstat(request: &Setstat<'_>, at: &mut Serving<'_>) -> Start {
    set_path(request.path, &request.attrs, true, at)
}

pub(super) fn lsetstat(request: &Lsetstat<'_>, at: &mut Serving<'_>) -> Start {
    set_path(request.path, &request.attrs, false, at)
}

fn set_path(path: &[u8], attrs: &Attrs<'_>, follow: bool, at: &Serving<'_>) -> Start {
    let path = at.absolute(path);
    let change = change(attrs);
    let backend = Arc::clone(at.backend);
    Start::answer(move || {
        if change == SetAttrs::default() {
            return backend.stat(&path, follow).map_or_else(Answer::from, |_| Answer::OK);
        }
        settled(&change, backend.set_attrs(&path, &change, follow), || {
            backend.stat(&path, follow).map(|_| ())
        })
    })
}

pub(super) fn fsetstat(request: &Fsetstat<'_>, at: &mut Serving<'_>) -> Start {
    let id = HandleId::from_wire(request.handle);
    match id.and_then(|id| at.handles.get(id)) {
        Some(Open::File(file)) => {
            // As ftruncate: only through a handle that may write.
            if request.attrs.size.is_some() && !file.writes {
                return Start::Now(Answer::failure("fsetstat: not opened for writing"));
            }
            let (file, change) = (Arc::clone(file), change(&request.attrs));
            Start::answer(move || settled(&change, file.file.set_attrs(&change), || Ok(())))
        }
        Some(Open::Dir(_)) => Start::Now(Answer::failure("fsetstat: a directory handle")),
        None => Start::Now(Answer::BAD_HANDLE),
    }
}

/// Clients set mode and times after every upload and take a refusal for a failed upload. What the
/// backend cannot store at all is therefore accepted and dropped, except a size (SRV-8).
fn settled(
    change: &SetAttrs,
    result: storage::Result<()>,
    exists: impl FnOnce() -> storage::Result<()>,
) -> Answer {
    match result {
        Err(error) if error.kind == ErrorKind::Unsupported && change.size.is_none() => {
            Answer::of(exists())
        }
        result => Answer::of(result),
    }
}

fn change(attrs: &Attrs<'_>) -> SetAttrs {
    let keep = |id: u32| (id != KEEP_ID).then_some(id);
    let time = |seconds: u32| Time { seconds: seconds.into(), nanos: 0 };
    SetAttrs {
        size: attrs.size,
        mode: attrs.permissions.map(|bits| bits & 0o7777),
        times: attrs.times.map(|times| (time(times.accessed), time(times.modified))),
        owner: attrs.owner.map(|owner| Owner { uid: keep(owner.uid), gid: keep(owner.gid) }),
    }
}
