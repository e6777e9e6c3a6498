//! RENAME, which never overwrites (SRV-13), `posix-rename@openssh.com`, which does, and REMOVE.

use std::sync::Arc;

use sterna_sftp_proto::extension::PosixRename;
use sterna_sftp_proto::messages::{Remove, Rename};

use super::reply::Answer;
use super::table::{Serving, Start};

pub(super) fn rename(request: &Rename<'_>, at: &mut Serving<'_>) -> Start {
    start(request.old_path, request.new_path, false, at)
}

pub(super) fn posix_rename(request: &PosixRename<'_>, at: &mut Serving<'_>) -> Start {
    start(request.old_path, request.new_path, true, at)
}

fn start(from: &[u8], to: &[u8], replace: bool, at: &Serving<'_>) -> Start {
    let (from, to) = (at.absolute(from), at.absolute(to));
    let backend = Arc::clone(at.backend);
    Start::answer(move || Answer::of(backend.rename(&from, &to, replace)))
}

pub(super) fn remove(request: &Remove<'_>, at: &mut Serving<'_>) -> Start {
    let path = at.absolute(request.path);
    let backend = Arc::clone(at.backend);
    Start::answer(move || Answer::of(backend.remove(&path)))
}
