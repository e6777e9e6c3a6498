//! Which session writes which part, in this process. A part that nobody has here was left by a session
//! that is over, or by an earlier run of the server.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use crate::{Error, ErrorKind, Result};

/// Device and inode of a part.
type PartId = (u64, u64);

/// The parts that are open; shared by all sessions of a process.
#[derive(Default)]
pub struct Uploads {
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    sessions: u64,
    parts: HashMap<PartId, Upload>,
    /// What each session writes, by the name that it will have.
    by_session: HashMap<u64, HashMap<Vec<u8>, PartId>>,
}

struct Upload {
    session: u64,
    target: Vec<u8>,
    path: Vec<u8>,
    handles: usize,
    /// A handle ended without a close: what it still had to write is missing.
    torn: bool,
    /// It is being published: nobody may join.
    closing: bool,
    turn: Arc<Turn>,
}

/// Whether the handles of one session may still change a part. Taking it away waits for a change that is
/// under way.
type Turn = RwLock<Option<Lost>>;

/// Why a handle may not go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    TakenOver,
    Removed,
}

impl Uploads {
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn new_session(&self) -> u64 {
        let mut open = self.open();
        open.sessions += 1;
        open.sessions
    }

    /// Takes a part that was just made; `None` if somebody else has found it already.
    pub(super) fn claim(
        self: &Arc<Self>,
        id: PartId,
        session: u64,
        target: &[u8],
        path: &[u8],
    ) -> Option<Claim> {
        let mut open = self.open();
        if open.parts.contains_key(&id) {
            return None;
        }
        Some(self.insert(&mut open, id, session, target, path))
    }

    /// Takes a part to go on with it: together with other handles of this session, or away from another
    /// session.
    pub(super) fn join(
        self: &Arc<Self>,
        id: PartId,
        session: u64,
        target: &[u8],
        path: &[u8],
    ) -> Result<Claim> {
        let mut open = self.open();
        match open.parts.get_mut(&id) {
            Some(upload) if upload.closing => Err(Error::new(ErrorKind::Busy, "open")),
            Some(upload) if upload.session == session => {
                upload.handles += 1;
                let turn = Arc::clone(&upload.turn);
                Ok(Claim { uploads: Arc::clone(self), id, turn, held: true })
            }
            Some(_) => {
                lose(&mut open, id, Lost::TakenOver);
                Ok(self.insert(&mut open, id, session, target, path))
            }
            None => Ok(self.insert(&mut open, id, session, target, path)),
        }
    }

    /// Nobody may go on with this part: it is about to be removed.
    pub(super) fn discard(&self, id: PartId) {
        lose(&mut self.open(), id, Lost::Removed);
    }

    /// Does something to a part that nobody has, and keeps it so meanwhile; `false` if somebody has it.
    pub(super) fn while_nobody_has(&self, id: PartId, act: impl FnOnce() -> Result<()>) -> bool {
        let open = self.open();
        !open.parts.contains_key(&id) && act().is_ok()
    }

    pub(super) fn has_any(&self, session: u64) -> bool {
        self.open().by_session.contains_key(&session)
    }

    /// The part that `session` writes for `target`, the newest if there are several.
    pub(super) fn part_of(&self, session: u64, target: &[u8]) -> Option<(Vec<u8>, PartId)> {
        let open = self.open();
        let id = open.by_session.get(&session)?.get(target)?;
        Some((open.parts.get(id)?.path.clone(), *id))
    }

    fn insert(
        self: &Arc<Self>,
        open: &mut Open,
        id: PartId,
        session: u64,
        target: &[u8],
        path: &[u8],
    ) -> Claim {
        let turn = Arc::new(Turn::default());
        let upload = Upload {
            session,
            target: target.to_vec(),
            path: path.to_vec(),
            handles: 1,
            torn: false,
            closing: false,
            turn: Arc::clone(&turn),
        };
        open.parts.insert(id, upload);
        open.by_session.entry(session).or_default().insert(target.to_vec(), id);
        Claim { uploads: Arc::clone(self), id, turn, held: true }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // Nothing panics while it is half changed.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right of one handle to change a part. Dropped without a close, it leaves the part unfinished.
pub(super) struct Claim {
    uploads: Arc<Uploads>,
    id: PartId,
    turn: Arc<Turn>,
    held: bool,
}

impl Claim {
    /// Whether this handle may change its part now, and for as long as the guard lives.
    pub fn turn(&self, doing: &'static str) -> Result<RwLockReadGuard<'_, Option<Lost>>> {
        let guard = self.turn.read().unwrap_or_else(PoisonError::into_inner);
        match *guard {
            None => Ok(guard),
            Some(lost) => Err(said(doing, lost)),
        }
    }

    /// As [`Claim::turn`], at this moment only.
    pub fn is_held(&self) -> bool {
        self.turn("look").is_ok()
    }

    /// Ends this handle. The last one publishes the part, if nobody lost what it had to write.
    pub fn close(mut self, publish: impl FnOnce() -> Result<()>) -> Result<()> {
        {
            let mut open = self.uploads.open();
            let Some(upload) = open.parts.get_mut(&self.id).filter(|u| self.is_of(u)) else {
                let lost = *self.turn.read().unwrap_or_else(PoisonError::into_inner);
                return Err(said("close", lost.unwrap_or(Lost::Removed)));
            };
            if upload.handles > 1 {
                upload.handles -= 1;
                self.held = false;
                return Ok(());
            }
            if upload.torn {
                let why = "unfinished: another handle of this upload was cut off";
                return Err(other("close", why));
            }
            upload.closing = true;
        }
        let published = publish();
        self.give_back();
        published
    }

    /// Ends this handle as if it had never been.
    pub fn give_back(mut self) {
        self.end(false);
    }

    fn end(&mut self, torn: bool) {
        if !std::mem::take(&mut self.held) {
            return;
        }
        let mut open = self.uploads.open();
        let Some(upload) = open.parts.get_mut(&self.id).filter(|u| self.is_of(u)) else { return };
        upload.handles -= 1;
        upload.torn |= torn;
        if upload.handles == 0 {
            forget(&mut open, self.id);
        }
    }

    /// Whether this is still the same upload of that part.
    fn is_of(&self, upload: &Upload) -> bool {
        Arc::ptr_eq(&self.turn, &upload.turn)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.end(true);
    }
}

fn lose(open: &mut Open, id: PartId, why: Lost) {
    if let Some(upload) = forget(open, id) {
        *upload.turn.write().unwrap_or_else(PoisonError::into_inner) = Some(why);
    }
}

fn forget(open: &mut Open, id: PartId) -> Option<Upload> {
    let upload = open.parts.remove(&id)?;
    if let Some(targets) = open.by_session.get_mut(&upload.session) {
        if targets.get(&upload.target) == Some(&id) {
            targets.remove(&upload.target);
        }
        if targets.is_empty() {
            open.by_session.remove(&upload.session);
        }
    }
    Some(upload)
}

fn said(doing: &'static str, lost: Lost) -> Error {
    other(
        doing,
        match lost {
            Lost::TakenOver => "a later session of this user goes on with this upload",
            Lost::Removed => "the upload was removed",
        },
    )
}

fn other(doing: &'static str, why: &'static str) -> Error {
    Error { kind: ErrorKind::Other, doing, source: Some(std::io::Error::other(why)) }
}
