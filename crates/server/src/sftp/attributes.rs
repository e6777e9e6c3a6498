//! STAT, LSTAT, FSTAT, SETSTAT, FSETSTAT, `lsetstat@openssh.com` and `posix-attrs@sterna-sftp`.

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
    let exact = *at.exact_attrs;
    if let Some(found) = at.backend.try_stat(&path, follow) {
        return Start::Now(Answer::of_attrs(found, exact));
    }
    let backend = Arc::clone(at.backend);
    Start::answer(move || Answer::of_attrs(backend.stat(&path, follow), exact))
}

pub(super) fn fstat(request: &Fstat<'_>, at: &mut Serving<'_>) -> Start {
    let exact = *at.exact_attrs;
    let open = HandleId::from_wire(request.handle).and_then(|id| at.handles.get(id));
    match open {
        Some(Open::File(file)) => {
            if let Some(found) = file.file.try_stat() {
                return Start::Now(Answer::of_attrs(found, exact));
            }
            let file = Arc::clone(file);
            Start::answer(move || Answer::of_attrs(file.file.stat(), exact))
        }
        Some(Open::Dir(dir)) => {
            let dir = Arc::clone(dir);
            Start::answer(move || Answer::of_attrs(dir.stat(), exact))
        }
        None => Start::Now(Answer::BAD_HANDLE),
    }
}

/// From now on attributes carry nanoseconds, file id and link count.
pub(super) fn posix_attrs(at: &mut Serving<'_>) -> Start {
    *at.exact_attrs = true;
    Start::Now(Answer::OK)
}

pub(super) fn setstat(request: &Setstat<'_>, at: &mut Serving<'_>) -> Start {
    set_path(request.path, &request.attrs, true, at)
}

pub(super) fn lsetstat(request: &Lsetstat<'_>, at: &mut Serving<'_>) -> Start {
    set_path(request.path, &request.attrs, false, at)
}

fn set_path(path: &[u8], attrs: &Attrs<'_>, follow: bool, at: &Serving<'_>) -> Start {
    let path = at.absolute(path);
    let change = change(attrs, *at.exact_attrs);
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
            let file = Arc::clone(file);
            let change = change(&request.attrs, *at.exact_attrs);
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

/// `exact`: the client may say nanoseconds. From others a pair of that name is one of many unknown ones.
fn change(attrs: &Attrs<'_>, exact: bool) -> SetAttrs {
    let keep = |id: u32| (id != KEEP_ID).then_some(id);
    let posix = attrs.posix.filter(|_| exact).unwrap_or_default();
    let time = |seconds: u32, nanos| Time { seconds: seconds.into(), nanos };
    SetAttrs {
        size: attrs.size,
        mode: attrs.permissions.map(|bits| bits & 0o7777),
        times: attrs.times.map(|times| {
            (time(times.accessed, posix.accessed_nanos), time(times.modified, posix.modified_nanos))
        }),
        owner: attrs.owner.map(|owner| Owner { uid: keep(owner.uid), gid: keep(owner.gid) }),
    }
}
