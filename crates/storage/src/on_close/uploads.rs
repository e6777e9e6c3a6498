//! Which session writes which part, in this process. A part that nobody has here was left by a session
//! that is over, or by an earlier run of the server.
//!
//! A part is what it is by its number, and a number may be used again once a part is gone. So whoever makes,
//! takes, publishes or removes one holds its place ([`Uploads::alone`]) from the look to the deed.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use crate::limits::PART_LOCKS;
use crate::{Error, ErrorKind, Result};

/// Device and inode of a part.
type PartId = (u64, u64);

/// The parts that are open; shared by all sessions of a process.
pub struct Uploads {
    open: Mutex<Open>,
    /// Each for a share of the places where parts may be; see [`Uploads::alone`].
    places: Vec<Mutex<()>>,
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

impl Default for Uploads {
    fn default() -> Self {
        let places = std::iter::repeat_with(Mutex::default).take(PART_LOCKS).collect();
        Self { open: Mutex::default(), places }
    }
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

    /// Takes a part that was just made; `None` if somebody still has an earlier one of this number.
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
        let (claim, loser) = {
            let _alone = self.alone(path);
            let mut open = self.open();
            match open.parts.get_mut(&id) {
                Some(upload) if upload.closing => return Err(Error::new(ErrorKind::Busy, "open")),
                Some(upload) if upload.session == session => {
                    upload.handles += 1;
                    let turn = Arc::clone(&upload.turn);
                    return Ok(Claim { uploads: Arc::clone(self), id, turn, held: true });
                }
                Some(_) | None => {
                    let loser = forget(&mut open, id);
                    (self.insert(&mut open, id, session, target, path), loser)
                }
            }
        };
        if let Some(loser) = loser {
            loser.lose(Lost::TakenOver);
        }
        Ok(claim)
    }

    /// Nobody may go on with this part: it is about to be removed.
    pub(super) fn discard(&self, id: PartId) {
        // A statement of its own: the lock is not held while the loser's change is waited for.
        let loser = forget(&mut self.open(), id);
        if let Some(loser) = loser {
            loser.lose(Lost::Removed);
        }
    }

    /// Keeps the place of a part as it is until the guard goes: nobody else makes a part there, removes it
    /// or gives it its name, and nobody takes the one that is there. Not to be held while a disk is waited for
    /// on behalf of another place.
    pub(super) fn alone(&self, path: &[u8]) -> MutexGuard<'_, ()> {
        // The directory may have other names for other sessions.
        let name = path.rsplit(|byte| *byte == b'/').next();
        let mut hasher = DefaultHasher::new();
        name.hash(&mut hasher);
        let at = hasher.finish() as usize % self.places.len();
        self.places[at].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether somebody has this part. It stays so while the place of the part is held.
    pub(super) fn has(&self, id: PartId) -> bool {
        self.open().parts.contains_key(&id)
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

    /// As [`Claim::turn`], if it is held and nobody has to be waited for.
    pub fn try_turn(&self) -> Option<RwLockReadGuard<'_, Option<Lost>>> {
        self.turn.try_read().ok().filter(|lost| lost.is_none())
    }

    /// As [`Claim::turn`], at this moment only.
    pub fn is_held(&self) -> bool {
        self.turn("look").is_ok()
    }

    /// Device and inode of the part.
    pub fn id(&self) -> PartId {
        self.id
    }

    /// Fails if the part has been taken away, by whatever way.
    pub fn check_current(&self, doing: &'static str) -> Result<()> {
        match self.uploads.open().parts.get(&self.id).is_some_and(|upload| self.is_of(upload)) {
            true => Ok(()),
            false => Err(said(doing, Lost::Removed)),
        }
    }

    /// Ends this handle. The last one publishes the part, if nobody lost what it had to write.
    pub fn close(mut self, publish: impl FnOnce(&Self) -> Result<()>) -> Result<()> {
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
        let published = publish(&self);
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

impl Upload {
    /// Tells the handles of an upload that was taken out. Waits for a change that is under way, and so for a
    /// disk: nobody may hold a lock meanwhile.
    fn lose(self, why: Lost) {
        *self.turn.write().unwrap_or_else(PoisonError::into_inner) = Some(why);
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

#[cfg(test)]
mod tests {
    use std::sync::TryLockError;
    use std::thread;
    use std::time::{Duration, Instant};

    use super::*;
    use crate::{Attrs, Backend, File, Folder, Memory, OnClose, OpenHow};

    /// A tree that is looked at while a file is made.
    struct Watched {
        below: Memory,
        uploads: Arc<Uploads>,
    }

    /// Asked for its number, to be taken.
    struct WatchedFile {
        below: Box<dyn File>,
        uploads: Arc<Uploads>,
    }

    fn assert_that_a_place_is_held(uploads: &Uploads) {
        let is_held = |place: &Mutex<()>| matches!(place.try_lock(), Err(TryLockError::WouldBlock));
        assert_eq!(uploads.places.iter().filter(|place| is_held(place)).count(), 1);
    }

    impl Backend for Watched {
        fn open(&self, path: &[u8], how: &OpenHow) -> Result<Box<dyn File>> {
            assert_that_a_place_is_held(&self.uploads);
            let below = self.below.open(path, how)?;
            Ok(Box::new(WatchedFile { below, uploads: Arc::clone(&self.uploads) }))
        }
        fn stat(&self, path: &[u8], follow: bool) -> Result<Attrs> {
            self.below.stat(path, follow)
        }
        fn mkdir(&self, path: &[u8], mode: Option<u32>) -> Result<()> {
            self.below.mkdir(path, mode)
        }
        fn realpath(&self, path: &[u8]) -> Result<Vec<u8>> {
            self.below.realpath(path)
        }
    }

    impl File for WatchedFile {
        fn read_at(&self, _: &mut [std::io::IoSliceMut<'_>], _: u64) -> Result<usize> {
            Ok(0)
        }
        fn stat(&self) -> Result<Attrs> {
            assert_that_a_place_is_held(&self.uploads);
            self.below.stat()
        }
        fn as_any(&self) -> &dyn std::any::Any {
            self
        }
    }

    #[test]
    fn a_part_is_made_and_taken_in_one_step() {
        let uploads = Uploads::new();
        let below = Watched { below: Memory::new(), uploads: Arc::clone(&uploads) };
        let everywhere = [Folder { path: b"/".to_vec(), on_close: true }];
        let alice = OnClose::new(Arc::new(below), b"alice", &everywhere, Arc::clone(&uploads));

        let how = OpenHow { write: true, create: true, truncate: true, ..OpenHow::default() };
        let file = alice.open(b"/f", &how).unwrap();

        assert_eq!(uploads.open().parts.len(), 1);
        drop(file);
    }

    /// Who waits longer than this for a lock has found that it is held for a disk.
    const PATIENCE: Duration = Duration::from_secs(30);

    type TakeAway = fn(&Arc<Uploads>, PartId);

    #[test]
    fn a_slow_change_holds_up_who_takes_the_part_away_and_nobody_else() {
        let take_over = |uploads: &Arc<Uploads>, id| {
            uploads.join(id, 2, b"/f", b"/part").unwrap().give_back();
        };
        let remove = |uploads: &Arc<Uploads>, id| uploads.discard(id);
        let ways: [(TakeAway, Lost); 2] = [(take_over, Lost::TakenOver), (remove, Lost::Removed)];
        for (take_away, why) in ways {
            let (uploads, id) = (Uploads::new(), (1, 1));
            let claim = uploads.claim(id, 1, b"/f", b"/part").unwrap();
            let under_way = claim.turn("write").unwrap();
            let taker = thread::spawn({
                let uploads = Arc::clone(&uploads);
                move || take_away(&uploads, id)
            });

            let is_taken = || match uploads.open.try_lock() {
                Ok(open) => !open.by_session.contains_key(&1),
                Err(_) => false,
            };
            let since = Instant::now();
            while !is_taken() {
                assert!(since.elapsed() < PATIENCE, "{why:?}: nobody else gets on");
                thread::yield_now();
            }
            assert!(!taker.is_finished(), "{why:?}: the change is not over");
            drop(under_way);
            taker.join().unwrap();

            assert_eq!(*claim.turn.read().unwrap(), Some(why));
        }
    }
}
