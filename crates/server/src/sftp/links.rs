//! READLINK, SYMLINK and `hardlink@openssh.com`.

use std::sync::Arc;

use sterna_sftp_proto::extension::Hardlink;
use sterna_sftp_proto::messages::{Readlink, Symlink};

use super::reply::Answer;
use super::table::{Serving, Start};

pub(super) fn readlink(request: &Readlink<'_>, at: &mut Serving<'_>) -> Start {
    let path = at.absolute(request.path);
    let backend = Arc::clone(at.backend);
    Start::answer(move || backend.readlink(&path).map_or_else(Answer::from, Answer::Name))
}

/// The target is stored as it is and may dangle; only the link's own path is resolved.
pub(super) fn symlink(request: &Symlink<'_>, at: &mut Serving<'_>) -> Start {
    let request = if at.policy.draft_symlinks { request.swapped() } else { *request };
    if request.target.is_empty() {
        return Start::Now(Answer::not_found("symlink: empty target"));
    }
    let (target, link) = (request.target.to_vec(), at.absolute(request.link));
    let backend = Arc::clone(at.backend);
    Start::answer(move || Answer::of(backend.symlink(&target, &link)))
}

pub(super) fn hardlink(request: &Hardlink<'_>, at: &mut Serving<'_>) -> Start {
    let (existing, new) = (at.absolute(request.existing), at.absolute(request.new));
    let backend = Arc::clone(at.backend);
    Start::answer(move || Answer::of(backend.hardlink(&existing, &new)))
}
