//! OPEN and CLOSE.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use sterna_sftp_proto::OpenFlags;
use sterna_sftp_proto::extension::Fsync;
use sterna_sftp_proto::messages::{Close, Open as OpenRequest};
use sterna_storage::{ErrorKind, OpenHow};

use super::handles::{HandleId, Open, OpenFile};
use super::recording::result_of;
use super::reply::Answer;
use super::table::{Outcome, Serving, Start};
use crate::digest_memory::DigestMemory;
use crate::jobs::Cancel;
use crate::observe::{FileMoves, digest_text};

/// Opens a regular file. Room for the handle is taken first: over the limit nothing is created.
pub(super) fn open(request: &OpenRequest<'_>, at: &mut Serving<'_>) -> Start {
    if !at.handles.reserve(false) {
        return Start::Now(Answer::failure("too many open handles"));
    }
    let path = at.absolute(request.path);
    let how = how(request, at);
    let backend = Arc::clone(at.backend);
    Start::job(move |_| {
        let opened = backend.open(&path, &how).map(|file| OpenFile {
            file,
            moves: Arc::new(FileMoves::new(path)),
            reads: how.read,
            writes: how.write,
            appends: how.append,
            at_hand: AtomicBool::new(false),
            write_failed: AtomicBool::new(false),
            sync_failed: AtomicBool::new(false),
            closing: Cancel::default(),
        });
        Outcome::OpenedFile(opened)
    })
}

fn how(request: &OpenRequest<'_>, at: &Serving<'_>) -> OpenHow {
    let has = |flag| request.flags.has(flag);
    OpenHow {
        read: request.flags.reads(),
        write: request.flags.writes(),
        append: has(OpenFlags::APPEND),
        create: has(OpenFlags::CREATE),
        truncate: has(OpenFlags::TRUNCATE),
        exclusive: has(OpenFlags::CREATE) && has(OpenFlags::EXCLUSIVE),
        // Set-id bits of a client are not for new files (SAFE-8). The size is ignored (SRV-5).
        mode: at.policy.mode_of_new(request.attrs.permissions, 0o666),
    }
}

/// Ends a handle. It is dead whatever comes out; what comes out is what writing may still owe.
pub(super) fn close(request: &Close<'_>, at: &mut Serving<'_>) -> Start {
    let open = HandleId::from_wire(request.handle).and_then(|id| at.handles.remove(id));
    if let Some(Open::File(file)) = &open {
        file.closing.set();
    }
    let observer = at.observer.map(Arc::clone);
    let digests = at.digests.clone();
    match open {
        None => Start::Now(Answer::BAD_HANDLE),
        Some(Open::File(file)) if file.writes => Start::sync(move || {
            let moves = Arc::clone(&file.moves);
            // The queue lets nothing run beside this, and the session waits until digests have stopped:
            // nobody else holds the file.
            let answer = match Arc::into_inner(file) {
                // Clients lose refusals among many answers (OpenSSH 9.2 keeps the last one), and a file that is
                // dropped is published nowhere.
                Some(open) if open.write_failed.load(Ordering::Relaxed) => {
                    drop(open.file);
                    Answer::failure("close: a write before it failed")
                }
                Some(open) if open.sync_failed.load(Ordering::Relaxed) => {
                    drop(open.file);
                    Answer::failure("close: an fsync before it failed")
                }
                Some(open) => Answer::of(open.file.close()),
                None => Answer::failure("close: still in use"),
            };
            if let Some(observer) = observer {
                observer.closed(&moves, true, &result_of(&answer), moves.digest());
            }
            answer
        }),
        Some(Open::File(file)) => Start::NowAndDetach(
            Answer::OK,
            Box::new(move || {
                if let Some(observer) = observer {
                    let digest = observer.has_audit().then(|| known_digest(&file, &digests));
                    observer.closed(&file.moves, false, "ok", digest.flatten());
                }
                drop(file);
            }),
        ),
        // Nothing can be owed. Letting go may still block, on a network mount for example.
        Some(other) => Start::NowAndDetach(Answer::OK, Box::new(move || drop(other))),
    }
}

/// The digest of a file that was read, if it has been computed before. Costs a `fstat` at most.
fn known_digest(file: &OpenFile, digests: &DigestMemory) -> Option<String> {
    file.moves.digest().or_else(|| {
        let attrs = (!digests.is_empty()).then(|| file.file.stat().ok())??;
        let (algorithm, digest) = digests.find_any(&attrs)?;
        Some(digest_text(algorithm.name(), &digest))
    })
}

/// Content and attributes to stable storage; of a directory, its entries.
pub(super) fn fsync(request: &Fsync<'_>, at: &mut Serving<'_>) -> Start {
    let open = HandleId::from_wire(request.handle).and_then(|id| at.handles.get(id));
    match open {
        Some(Open::File(file)) => {
            let file = Arc::clone(file);
            Start::sync(move || {
                if file.sync_failed.load(Ordering::Relaxed) {
                    return Answer::failure("fsync: one before it failed");
                }
                let synced = file.file.sync();
                if synced.as_ref().is_err_and(|error| error.kind != ErrorKind::Unsupported) {
                    file.sync_failed.store(true, Ordering::Relaxed);
                }
                Answer::of(synced)
            })
        }
        Some(Open::Dir(dir)) => {
            let dir = Arc::clone(dir);
            Start::sync(move || Answer::of(dir.sync()))
        }
        None => Start::Now(Answer::BAD_HANDLE),
    }
}
