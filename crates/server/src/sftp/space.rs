//! `statvfs@openssh.com`, `fstatvfs@openssh.com`, `space-available` and `limits@openssh.com`.

use std::sync::Arc;

use sterna_sftp_proto::extension::{
    Fstatvfs, LimitsReply, SpaceAvailable, SpaceAvailableReply, Statvfs, StatvfsReply,
};
use sterna_storage::Space;

use super::handles::{HandleId, Open};
use super::reply::Answer;
use super::table::{Serving, Start};

pub(super) fn statvfs(request: &Statvfs<'_>, at: &mut Serving<'_>) -> Start {
    with_space(at.absolute(request.path), at, statvfs_reply)
}

/// By the path that was opened: the file system stays the same even if the name went.
pub(super) fn fstatvfs(request: &Fstatvfs<'_>, at: &mut Serving<'_>) -> Start {
    let open = HandleId::from_wire(request.handle).and_then(|id| at.handles.get(id));
    let path = match open {
        Some(Open::File(file)) => file.moves.path.clone(),
        Some(Open::Dir(dir)) => dir.path.clone(),
        None => return Start::Now(Answer::BAD_HANDLE),
    };
    with_space(path, at, statvfs_reply)
}

pub(super) fn space_available(request: &SpaceAvailable<'_>, at: &mut Serving<'_>) -> Start {
    with_space(at.absolute(request.path), at, |space, out| {
        let bytes = |blocks: u64| blocks.saturating_mul(space.fragment_size);
        SpaceAvailableReply {
            bytes_on_device: bytes(space.blocks),
            unused_bytes_on_device: bytes(space.blocks_free),
            bytes_available_to_user: bytes(space.blocks),
            unused_bytes_available_to_user: bytes(space.blocks_available),
            bytes_per_allocation_unit: space.fragment_size.try_into().unwrap_or(u32::MAX),
        }
        .encode(out);
    })
}

fn with_space(path: Vec<u8>, at: &Serving<'_>, encode: fn(&Space, &mut Vec<u8>)) -> Start {
    let backend = Arc::clone(at.backend);
    Start::answer(move || match backend.statvfs(&path) {
        Ok(space) => {
            let mut body = Vec::with_capacity(11 * 8);
            encode(&space, &mut body);
            Answer::Extended(body)
        }
        Err(error) => error.into(),
    })
}

fn statvfs_reply(space: &Space, out: &mut Vec<u8>) {
    let flag = |set: bool, bit: u64| if set { bit } else { 0 };
    StatvfsReply {
        block_len: space.block_size,
        fragment_len: space.fragment_size,
        blocks: space.blocks,
        blocks_free: space.blocks_free,
        blocks_available: space.blocks_available,
        files: space.files,
        files_free: space.files_free,
        files_available: space.files_available,
        fs_id: space.fs_id,
        flags: flag(space.read_only, StatvfsReply::READ_ONLY)
            | flag(space.no_setuid, StatvfsReply::NO_SETUID),
        name_len_max: space.name_len_max,
    }
    .encode(out);
}

pub(super) fn limits(at: &mut Serving<'_>) -> Start {
    let mut body = Vec::with_capacity(4 * 8);
    LimitsReply::ours(at.handles.max() as u64).encode(&mut body);
    Start::Now(Answer::Extended(body))
}
